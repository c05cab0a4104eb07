"""How the regime guard reads a market: lengths, thresholds to enter a label and to leave it, and patience with a feed.

Pairs that end in ``_enter`` and ``_exit`` are hysteresis: a label is entered at the one and kept down to the other.
Why each default is what it is stands in its description; docs/regime.md has the sources and what was measured.
"""

from __future__ import annotations

from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening, Parameter

_GUARD = "guard"


def _number(
    name: str,
    default: float,
    bounds: tuple[float, float],
    unit: str,
    texts: tuple[str, str, str],
    *,
    example: float,
    loosening: Loosening = Loosening.UP,
) -> Parameter:
    """A number that is never null; ``texts`` are description, impact and when to change."""
    description, impact, when_to_change = texts
    return Parameter(
        name=f"regime_{name}",
        kind=Kind.FLOAT,
        default=default,
        minimum=bounds[0],
        maximum=bounds[1],
        unit=unit,
        description=description,
        example=example,
        impact=impact,
        when_to_change=when_to_change,
        enforced_by=_GUARD,
        loosening=loosening,
    )


_MEASURES = (
    _number(
        "volatility_decay", 0.94, (0.5, 0.999), "weight 0..1 that the past keeps per `regime_volatility_step_minutes`",
        (
            "Decay of the EWMA realised volatility. 0.94 is RiskMetrics' own for its shortest horizon (1996, §5.3); "
            "with steps of five minutes half of the weight is 56 minutes old or younger.",
            "Higher is smoother and later; lower reacts sooner and to less.",
            "Hardly ever; look at the crash report before and after.",
        ),
        example=0.97, loosening=Loosening.NEITHER,
    ),
    _number(
        "volatility_step_minutes", 5.0, (1.0, 1440.0), "minutes",
        (
            "Time in which the past of the EWMA decays once. Five minutes is about the finest step at which trading "
            "noise does not yet dominate realised variance (Andersen, Bollerslev, Diebold, Labys 2001).",
            "Longer is smoother and later; shorter reacts sooner and to less.",
            "Hardly ever, and together with `regime_volatility_decay`.",
        ),
        example=15.0, loosening=Loosening.NEITHER,
    ),
    _number(
        "sample_minutes", 15.0, (1.0, 240.0), "minutes",
        (
            "Spacing of the kept closes, ranges and volatilities; it bounds the guard's memory. A quarter of an hour "
            "is a quarter of the volatility's half-life, so nothing that matters falls between two samples.",
            "Longer keeps less and sees coarser trends; shorter costs memory.",
            "With another horizon of trading; then all lengths together.",
        ),
        example=5.0, loosening=Loosening.NEITHER,
    ),
    _number(
        "window_hours", 168.0, (24.0, 720.0), "hours",
        (
            "Window of which a volatility is a percentile, and whose median is called usual. A week has each hour and "
            "each weekday once, so a quiet Sunday is not the measure of a Monday.",
            "Longer remembers calmer and wilder times; shorter gets used to a crisis within days.",
            "When the guard calls every busy week a stress, or none.",
        ),
        example=336.0, loosening=Loosening.NEITHER,
    ),
    _number(
        "range_hours", 24.0, (1.0, 168.0), "hours",
        (
            "Window of the high from which drawdown is measured, and of the range that a breakout leaves. A day, as "
            "daily loss limits have.",
            "Longer sees slow falls, and holds them against the market for longer.",
            "To match the time for which positions are held.",
        ),
        example=72.0, loosening=Loosening.NEITHER,
    ),
    _number(
        "trend_hours", 8.0, (1.0, 168.0), "hours",
        (
            "Window of Kaufman's efficiency ratio. With samples of 15 minutes it has 32 moves, of which a random walk "
            "shows 1/sqrt(32) = 0.18.",
            "Longer finds slower trends and finds them later.",
            "To match the time for which positions are held.",
        ),
        example=24.0, loosening=Loosening.NEITHER,
    ),
    _number(
        "atr_minutes", 70.0, (5.0, 1440.0), "minutes",
        (
            "Length of Wilder's average true range. 70 minutes are his 14 bars, of five minutes each.",
            "Longer compares a bar with a calmer past, so that more bars are abnormal at first.",
            "Hardly ever.",
        ),
        example=140.0, loosening=Loosening.NEITHER,
    ),
)  # fmt: skip

_STRESS = (
    _number(
        "volatility_enter", 0.03, (0.0, 10.0), "FRACTION (0.03 = 3 %) of price: EWMA volatility scaled to a day",
        (
            "Volatility under which nothing but a fall is a stress, however unusual. Equal to the default of "
            "`volatility_scale_threshold`: where orders keep their size, a market is not called violent.",
            "Higher has fewer false alarms in quiet markets; lower is warned by smaller unrest.",
            "Per symbol, with `volatility_scale_threshold`.",
        ),
        example=0.04,
    ),
    _number(
        "volatility_exit", 0.025, (0.0, 10.0), "FRACTION (0.025 = 2.5 %) of price: EWMA volatility scaled to a day",
        (
            "Volatility under which a stress by volatility is over. A sixth below the entry: more than the figure "
            "moves within one sample of a calm market.",
            "Higher ends stress sooner; nearer to the entry it ends and begins more often.",
            "With `regime_volatility_enter`, staying below it.",
        ),
        example=0.03,
    ),
    _number(
        "percentile_enter", 0.98, (0.5, 1.0), "FRACTION of the window's samples, 0..1 (0.98 = as high as 98 % of them)",
        (
            "Percentile of volatility from which a market is in high volatility: the wildest three hours of a week. "
            "Chosen among 0.95 to 0.99 on two crashes and five calm months (docs/regime.md): from 0.95 to 0.98 false "
            "alarms halve and warnings come no later; at 0.99 warnings are lost.",
            "Higher has fewer alarms and misses slow falls in wild times; each 0.01 is up to 1 % of all time.",
            "From the crash report's cost in calm months.",
        ),
        example=0.95,
    ),
    _number(
        "percentile_exit", 0.95, (0.0, 1.0), "FRACTION of the window's samples, 0..1",
        (
            "Percentile under which high volatility ends: what happens one time in twenty is not usual. More than "
            "twice as common as the entry, so that a market that hovers at the entry does not flap.",
            "Higher ends stress sooner.",
            "With `regime_percentile_enter`, staying below it.",
        ),
        example=0.9,
    ),
    _number(
        "drawdown_enter", 2.0, (0.1, 100.0), "usual daily volatilities (2.0 = twice what a usual day moves)",
        (
            "Fall from the window's high from which a market is in high volatility. Two standard deviations: one day "
            "in twenty if moves were normal. It finds slides that no single hour gives away.",
            "Higher waits for deeper falls.",
            "From the crash report.",
        ),
        example=2.5,
    ),
    _number(
        "drawdown_exit", 1.25, (0.0, 100.0), "usual daily volatilities",
        (
            "Fall under which a stress by drawdown is over: most of the way back to one usual day.",
            "Higher ends stress sooner.",
            "With `regime_drawdown_enter`, staying below it.",
        ),
        example=1.5,
    ),
    _number(
        "drawdown_floor", 0.08, (0.0, 1.0), "FRACTION (0.08 = 8 %) of the window's high",
        (
            "Fall under which drawdown is no stress, however unusual. Two days of a usual alternative coin, whose "
            "volatility is about 4 %. Chosen over 0.06, which costs more in calm months and warns no sooner.",
            "Higher has fewer false alarms in quiet markets.",
            "Per symbol: lower for symbols that hardly move.",
        ),
        example=0.06,
    ),
    _number(
        "drawdown_percentile", 0.75, (0.0, 1.0), "FRACTION of the window's samples, 0..1",
        (
            "Percentile of volatility without which a fall is no stress: the upper quarter. A fall that has come to "
            "rest is behind us, not ahead.",
            "Higher ends stress sooner after a fall, and misses quieter slides.",
            "When falls go on after the label has ended.",
        ),
        example=0.8,
    ),
    _number(
        "abnormal_bar", 10.0, (2.0, 1000.0), "ratio of a bar's true range to the average true range before it",
        (
            "Size from which one bar is a stress at once, without waiting for the average. At ten times the "
            "average a bar is beyond what fat tails bring on most days of a calm month.",
            "Higher ignores larger single bars.",
            "When single prints set it off.",
        ),
        example=8.0,
    ),
    _number(
        "spread_enter", 5.0, (1.0, 1000.0), "ratio of the bid-ask spread to its average over a day",
        (
            "Widening of the spread from which a market is in stress, where spreads are given. Makers that ask five "
            "times the usual price for their risk see something that bars do not show yet. Not measured: no recorded "
            "spreads of a crash are at hand.",
            "Higher ignores wider spreads.",
            "From the spreads of the symbol, once they are recorded.",
        ),
        example=8.0,
    ),
    _number(
        "spread_exit", 3.0, (1.0, 1000.0), "ratio of the bid-ask spread to its average over a day",
        (
            "Widening under which a stress by spread is over.",
            "Higher ends stress sooner.",
            "With `regime_spread_enter`, staying below it.",
        ),
        example=4.0,
    ),
    _number(
        "capitulation_drawdown_enter", 3.0, (0.1, 100.0), "usual daily volatilities",
        (
            "Fall from the window's high from which high volatility is capitulation: three standard deviations of a "
            "usual day.",
            "Higher calls only deeper falls a capitulation.",
            "From the crash report.",
        ),
        example=4.0,
    ),
    _number(
        "capitulation_drawdown_exit", 2.0, (0.0, 100.0), "usual daily volatilities",
        (
            "Fall under which capitulation is over: where high volatility by drawdown begins.",
            "Higher ends capitulation sooner.",
            "With `regime_capitulation_drawdown_enter`, staying below it.",
        ),
        example=2.5,
    ),
    _number(
        "capitulation_floor", 0.1, (0.0, 1.0), "FRACTION (0.1 = 10 %) of the window's high",
        (
            "Fall under which nothing is a capitulation. A tenth within a day is what is commonly called a crash.",
            "Higher calls only deeper falls a capitulation.",
            "Per symbol: higher for symbols that fall by a tenth now and then.",
        ),
        example=0.15,
    ),
    _number(
        "capitulation_percentile_enter", 0.99, (0.5, 1.0), "FRACTION of the window's samples, 0..1",
        (
            "Percentile of volatility without which a fall is no capitulation: the wildest hour or two of a week.",
            "Higher waits for wilder selling.",
            "From the crash report.",
        ),
        example=0.98,
    ),
    _number(
        "capitulation_percentile_exit", 0.95, (0.0, 1.0), "FRACTION of the window's samples, 0..1",
        (
            "Percentile under which capitulation is over; high volatility may follow it.",
            "Higher ends capitulation sooner.",
            "With `regime_capitulation_percentile_enter`, staying below it.",
        ),
        example=0.9,
    ),
)  # fmt: skip

_CALMER = (
    _number(
        "recovery_retrace", 0.382, (0.0, 1.0), "FRACTION of the way from the window's low back to its high, 0..1",
        (
            "Rebound from which a market that leaves a stress, still well under its high, is in recovery. The "
            "customary first retracement of chartists; nothing better is known.",
            "Higher calls only stronger rebounds a recovery, and others ranging or a trend.",
            "When `recovery` is listed in `blocked_regimes`.",
        ),
        example=0.5, loosening=Loosening.NEITHER,
    ),
    _number(
        "trend_enter", 0.4, (0.0, 1.0), "efficiency ratio, 0..1",
        (
            "Efficiency ratio from which a market trends: more than twice what a random walk shows.",
            "Higher finds fewer and straighter trends.",
            "With `regime_trend_hours`: a random walk of n moves shows 1/sqrt(n).",
        ),
        example=0.5, loosening=Loosening.NEITHER,
    ),
    _number(
        "trend_exit", 0.25, (0.0, 1.0), "efficiency ratio, 0..1",
        (
            "Efficiency ratio under which a trend is over: still somewhat more than a random walk shows.",
            "Higher ends trends sooner.",
            "With `regime_trend_enter`, staying below it.",
        ),
        example=0.3, loosening=Loosening.NEITHER,
    ),
    _number(
        "breakout_volatility", 1.25, (0.0, 100.0), "ratio of volatility to its median over the window",
        (
            "Volatility with which leaving the range of the window is a breakout (a channel as Donchian's), not a "
            "drift over its edge.",
            "Higher finds fewer and more forceful breakouts.",
            "When `breakout_phase` is listed in `blocked_regimes`.",
        ),
        example=1.5, loosening=Loosening.NEITHER,
    ),
    _number(
        "choppy_volatility_enter", 2.0, (0.0, 100.0), "ratio of volatility to its median over the window",
        (
            "Volatility from which a market without direction is choppy: twice the usual. Entries are blocked in "
            "choppy markets by default, so this costs time; see docs/regime.md.",
            "Higher calls fewer hours choppy.",
            "From the report's figures by regime.",
        ),
        example=1.5,
    ),
    _number(
        "choppy_volatility_exit", 1.5, (0.0, 100.0), "ratio of volatility to its median over the window",
        (
            "Volatility under which a choppy market is ranging again.",
            "Higher ends choppy phases sooner.",
            "With `regime_choppy_volatility_enter`, staying below it.",
        ),
        example=1.25,
    ),
    _number(
        "choppy_efficiency_enter", 0.1, (0.0, 1.0), "efficiency ratio, 0..1",
        (
            "Efficiency ratio down to which movement has no direction: about half of what a random walk shows.",
            "Higher calls more hours choppy.",
            "With `regime_trend_hours`: a random walk of n moves shows 1/sqrt(n).",
        ),
        example=0.15, loosening=Loosening.DOWN,
    ),
    _number(
        "choppy_efficiency_exit", 0.18, (0.0, 1.0), "efficiency ratio, 0..1",
        (
            "Efficiency ratio above which a choppy market has a direction again: what a random walk shows.",
            "Higher keeps choppy phases for longer.",
            "With `regime_choppy_efficiency_enter`, staying above it.",
        ),
        example=0.2, loosening=Loosening.DOWN,
    ),
)  # fmt: skip

_PATIENCE = (
    _number(
        "dwell_minutes", 30.0, (0.0, 1440.0), "minutes",
        (
            "Shortest time that a label lasts, unless a graver one follows or the feed fails. Half of the "
            "volatility's half-life: what is over sooner was not seen to be over.",
            "Longer flaps less and stays out for longer after an alarm.",
            "When labels change more often than strategies can use.",
        ),
        example=60.0, loosening=Loosening.DOWN,
    ),
    _number(
        "warm_up_hours", 24.0, (1.0, 168.0), "hours",
        (
            "History without which a regime is unknown. A day: the window's high and what is usual need one of each "
            "hour.",
            "Longer knows better what is usual, and refuses for longer after a start without history.",
            "Give the guard history rather than shorten it.",
        ),
        example=48.0, loosening=Loosening.DOWN,
    ),
    _number(
        "settle_minutes", 15.0, (0.0, 1440.0), "minutes",
        (
            "Time of unbroken bars after a gap, a frozen feed or an unsound bar until the regime is known again: one "
            "sample.",
            "Longer distrusts a feed that has failed for longer.",
            "When feeds fail again soon after they come back.",
        ),
        example=30.0, loosening=Loosening.DOWN,
    ),
    _number(
        "frozen_minutes", 15.0, (1.0, 1440.0), "minutes",
        (
            "Time of flat bars without volume after which a feed is frozen. Recorded failures of the exchange lasted "
            "15 minutes and an hour; symbols that trade all day have no such quarter of an hour otherwise.",
            "Longer takes a dead feed for a quiet market for longer.",
            "Longer for symbols that nobody trades for minutes; shorter for the most liquid ones.",
        ),
        example=5.0,
    ),
    _number(
        "leader_age_minutes", 15.0, (1.0, 1440.0), "minutes",
        (
            "How far the leader's last bar may lie behind the symbol's own until the symbol's regime is unknown. "
            "The longest common bar of the fleet's strategies.",
            "Longer trusts an older opinion on the market as a whole.",
            "With the length of the bars that are fed.",
        ),
        example=5.0,
    ),
    Parameter(
        name="regime_leaders",
        kind=Kind.LIST,
        default=["BTCUSDT"],
        unit="list of symbols; empty = none",
        description="Market leaders, whose stress counts for every symbol. Most crypto assets fall with Bitcoin, and "
        "often after it.",
        example=["BTCUSDT", "ETHUSDT"],
        impact="A longer list is warned by more markets; with none each symbol stands for itself.",
        when_to_change="When a symbol follows another market than Bitcoin.",
        enforced_by=_GUARD,
        loosening=Loosening.DOWN,
    ),
)  # fmt: skip

REGIME: tuple[Parameter, ...] = (*_MEASURES, *_STRESS, *_CALMER, *_PATIENCE)
