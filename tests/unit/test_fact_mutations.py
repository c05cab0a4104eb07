"""The mutation table: each figure of each fact missing, no number, stale, negative or in the future, in every cell.

An entry is refused with a reason of the fact's own where the fact is required. Where it is not, exactly the controls
that read the figure are unevaluated. A close passes in every cell, and so does what only reduces, while the position
that it takes off is known.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders import START, account_state, case_of, market_state, order_of, policy_of, position_of
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.models import (
    ACCOUNT_FACTS,
    SECOND,
    BookFacts,
    Bracket,
    Fact,
    MarketState,
    OpenOrder,
    Outcome,
    Portfolio,
    Position,
    Side,
    StrategyResult,
    Streak,
    TradingState,
    VerdictKind,
)
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.models import Json, Verdict

D = Decimal
R = Reason
HOUR = 3600 * SECOND
EXPOSURE = {R.PORTFOLIO_EXPOSURE, R.SYMBOL_CONCENTRATION, R.CORRELATED_EXPOSURE}

MARKET = market_state()
ACCOUNT = account_state(
    positions=(position_of("BTCUSDT", liquidation_price=D(50)), position_of(side=Side.SHORT)),
    orders=(order_of(),),
    strategies=(StrategyResult("momo", D(0), D(0)),),
    streaks=(Streak("global", 1, START - HOUR),),
)
"""Everything is known and sound, and one BTCUSDT is held long, so that a sell of one reduces."""

LIMITS: dict[str, Json] = {
    "position_mode": "one-way",
    "max_spread_bps": 10.0,
    "max_book_share": 1.0,
    "max_adverse_funding_bps": 10.0,
    "max_consecutive_losses": 5,
    "stop_cooldown_seconds": 60,
    "portfolio_leverage_cap": 100,
}
"""Every control has something to look for."""


@dataclass(frozen=True)
class Figure:
    """A figure, by the path to it; the fact it is of; the controls that read it, for a buy and for a sell."""

    path: str
    fact: Fact
    read_for_buy: frozenset[Reason]
    read_for_sell: frozenset[Reason]
    mutations: tuple[tuple[str, object], ...]


NUMBER = (("missing", None), ("no number", D("NaN")), ("negative", D(-1)))
SIGNED = (("missing", None), ("no number", D("NaN")), ("no number at all", D("Infinity")))
WORD = (("missing", None), ("no such word", ""))
LIST = (("missing", None),)
# A figure of a part is never missing by itself: a feed has the part or has not.
PART = (("no number", D("NaN")), ("negative", D(-1)))


def figure(
    fact: Fact,
    path: str,
    mutations: tuple[tuple[str, object], ...],
    *codes: Reason,
    buy: Reason | None = None,
    sell: Reason | None = None,
) -> Figure:
    own = frozenset(codes)
    return Figure(path, fact, own | ({buy} if buy else set()), own | ({sell} if sell else set()), mutations)


OPEN = (*EXPOSURE, R.MAX_CONCURRENT_POSITIONS, R.PORTFOLIO_LEVERAGE)
HELD = (*OPEN, R.LIQUIDATION_NEAR)
ORDERED = (*OPEN, R.MAX_ORDERS)
EQUITY = (*EXPOSURE, R.POSITION_FRACTION, R.DRAWDOWN, R.STRATEGY_DRAWDOWN)

FIGURES: tuple[Figure, ...] = (
    figure(Fact.MARK, "mark", NUMBER, R.PRICE_COLLAR),
    figure(Fact.BOOK, "bid", NUMBER, R.SPREAD_TOO_WIDE, sell=R.THIN_BOOK),
    figure(Fact.BOOK, "bid_quantity", NUMBER, sell=R.THIN_BOOK),
    figure(Fact.BOOK, "ask", NUMBER, R.SPREAD_TOO_WIDE, buy=R.THIN_BOOK),
    figure(Fact.BOOK, "ask_quantity", NUMBER, buy=R.THIN_BOOK),
    figure(Fact.FUNDING, "funding_rate", SIGNED, R.FUNDING_ADVERSE),
    figure(Fact.FUNDING, "next_funding_at", (("missing", None), ("stale", START - SECOND)), R.FUNDING_ADVERSE),
    figure(Fact.FILTERS, "status", WORD, R.SYMBOL_NOT_TRADING),
    figure(Fact.FILTERS, "step_size", NUMBER, R.EXCHANGE_FILTER),
    figure(Fact.FILTERS, "tick_size", NUMBER, R.EXCHANGE_FILTER),
    figure(Fact.FILTERS, "min_notional", NUMBER, R.EXCHANGE_FILTER),
    figure(Fact.FILTERS, "min_quantity", NUMBER, R.EXCHANGE_FILTER),
    figure(Fact.FILTERS, "max_quantity", (*NUMBER, ("under the least", D("0.0001"))), R.EXCHANGE_FILTER),
    figure(Fact.FILTERS, "brackets", (*LIST, ("empty", ())), R.LIQUIDATION_NEAR),
    figure(Fact.FILTERS, "brackets.cap", PART, R.LIQUIDATION_NEAR),
    figure(Fact.FILTERS, "brackets.rate", (*PART, ("all of it", D(1))), R.LIQUIDATION_NEAR),
    figure(Fact.FILTERS, "brackets.deduction", PART, R.LIQUIDATION_NEAR),
    figure(Fact.BARS, "regime", (*WORD, ("unknown", "unknown")), R.REGIME_BLOCKED),
    figure(Fact.BARS, "regime_confidence", (*NUMBER, ("above 1", D("1.01"))), R.REGIME_BLOCKED),
    figure(Fact.BARS, "volatility", NUMBER, R.VOLATILITY),
    figure(Fact.BARS, "correlated", LIST, R.CORRELATED_EXPOSURE),
    figure(Fact.ACCOUNT, "equity", SIGNED, *EQUITY),
    figure(Fact.ACCOUNT, "day_start_equity", NUMBER, R.DAILY_LOSS),
    figure(Fact.ACCOUNT, "peak_equity", NUMBER, R.DRAWDOWN),
    figure(Fact.ACCOUNT, "realised_today", SIGNED, R.DAILY_LOSS),
    figure(Fact.ACCOUNT, "open_today", SIGNED, R.DAILY_LOSS),
    figure(Fact.ACCOUNT, "positions", LIST, *HELD),
    figure(Fact.ACCOUNT, "positions.quantity", PART, *HELD),
    figure(Fact.ACCOUNT, "positions.entry", PART, *HELD),
    figure(Fact.ACCOUNT, "positions.notional", PART, *HELD),
    figure(Fact.ACCOUNT, "positions.leverage", PART, *HELD),
    figure(Fact.ACCOUNT, "positions.liquidation_price", PART, *HELD),
    figure(Fact.ACCOUNT, "orders", LIST, *ORDERED),
    figure(Fact.ACCOUNT, "orders.quantity", PART, *ORDERED),
    figure(Fact.ACCOUNT, "orders.notional", PART, *ORDERED),
    figure(Fact.ACCOUNT, "orders.leverage", PART, *ORDERED),
    figure(Fact.ACCOUNT, "strategies", LIST, R.STRATEGY_DRAWDOWN),
    figure(Fact.ACCOUNT, "strategies.result", PART[:1], R.STRATEGY_DRAWDOWN),
    figure(Fact.ACCOUNT, "strategies.peak", PART, R.STRATEGY_DRAWDOWN),
    figure(Fact.ACCOUNT, "streaks", LIST, R.LOSS_STREAK, R.COOLDOWN),
    figure(Fact.ACCOUNT, "streaks.losses", (("negative", -1),), R.LOSS_STREAK, R.COOLDOWN),
    figure(Fact.ACCOUNT, "streaks.stopped_at", (("in the future", START + SECOND),), R.LOSS_STREAK, R.COOLDOWN),
)

TOLD: dict[type, set[str]] = {
    MarketState: {"symbol", "as_of", "last", "contract_type"},
    Portfolio: {"as_of"},
    Position: {"symbol", "side", "strategy_id"},
    OpenOrder: {"symbol", "side", "reduce_only"},
    StrategyResult: {"strategy_id"},
    Streak: {"scope"},
    Bracket: set(),
}
"""Fields that no control compares as a figure: names, and what is only told along."""

AGES = {"stale": (START - 31 * SECOND, START - 61 * SECOND), "in the future": (START + 6 * SECOND,) * 2}
"""For the market and for the account."""


@dataclass(frozen=True)
class Cell:
    """One mutated figure, and what is then known."""

    figure: Figure
    mutation: str
    market: MarketState
    account: Portfolio
    whole: bool
    """Whether the whole fact is doubtful, not this figure alone."""

    def unevaluated(self, action: str) -> set[Reason]:
        """The controls that cannot look, for an entry of ``action``."""
        same = [one for one in FIGURES if one.fact is self.figure.fact] if self.whole else [self.figure]
        return set().union(*(one.read_for_buy if action == "buy" else one.read_for_sell for one in same))

    @property
    def position_known(self) -> bool:
        """Whether what is open can still be told."""
        return self.figure.fact is not Fact.ACCOUNT or not (self.whole or self.figure.path.startswith("positions"))


def mutated(one: Figure, value: object) -> tuple[MarketState, Portfolio]:
    """What is known, with ``value`` put in place of the figure; of a list, in place of the first part's."""
    whole: MarketState | Portfolio = ACCOUNT if one.fact is Fact.ACCOUNT else MARKET
    name, _, inner = one.path.partition(".")
    if inner:
        first, *rest = getattr(whole, name)
        value = (replace(first, **{inner: value}), *rest)
    changed = replace(whole, **{name: value})  # type: ignore[arg-type]
    return (MARKET, changed) if isinstance(changed, Portfolio) else (changed, ACCOUNT)


def aged(one: Figure, kind: str) -> tuple[MarketState, Portfolio]:
    """What is known, with the fact of the figure too old or ahead."""
    of_market, of_account = AGES[kind]
    if one.fact is Fact.ACCOUNT:
        # Nothing that the account tells is later than the account itself.
        return MARKET, replace(ACCOUNT, as_of=of_account)
    as_of = tuple((fact, of_market if fact is one.fact else at) for fact, at in MARKET.as_of)
    return replace(MARKET, as_of=as_of), ACCOUNT


def cells() -> Iterator[Cell]:
    for one in FIGURES:
        for kind, value in one.mutations:
            yield Cell(one, kind, *mutated(one, value), whole=False)
        for kind in AGES:
            yield Cell(one, f"{kind} as a whole", *aged(one, kind), whole=True)


CELLS = tuple(cells())
every_cell = pytest.mark.parametrize("cell", CELLS, ids=[f"{cell.figure.path}: {cell.mutation}" for cell in CELLS])
ENTRIES: tuple[dict[str, Json], ...] = ({"action": "buy"}, {"action": "sell", "quantity": 3.0})


def judged(
    cell: Cell, fields: dict[str, Json], required: tuple[str, ...], state: TradingState = TradingState.ACTIVE
) -> Verdict:
    """The verdict on an intent where the figure of ``cell`` is mutated."""
    policy, book = policy_of(LIMITS, required=required), BookFacts(state)
    return judge(case_of(fields, policy, book=book, market=cell.market, portfolio=cell.account))


def unevaluated(verdict: Verdict) -> set[Reason]:
    return {seen.code for seen in verdict.observed if seen.outcome is Outcome.UNEVALUATED}


def test_every_figure_is_in_the_table() -> None:
    """No fact can be added to the market or the account without a row here."""
    parts = {"": (MarketState, Portfolio), "positions": (Position,), "orders": (OpenOrder,), "brackets": (Bracket,)}
    parts |= {"strategies": (StrategyResult,), "streaks": (Streak,)}
    expected = {
        f"{name}.{one.name}".lstrip(".")
        for name, kinds in parts.items()
        for kind in kinds
        for one in fields(kind)
        if one.name not in TOLD[kind]
    }
    assert {one.path for one in FIGURES} == expected
    assert len(FIGURES) == len(expected)


@pytest.mark.parametrize("intent", ENTRIES, ids=["buy", "sell"])
def test_unmutated_nothing_objects_and_everything_is_evaluated(intent: dict[str, Json]) -> None:
    """The base of the table: with all facts required and sound the entry passes, and no control is blind."""
    every = policy_of(LIMITS, required=tuple(fact.value for fact in Fact))
    verdict = judge(case_of(intent, every, market=MARKET, portfolio=ACCOUNT))
    assert (verdict.kind, verdict.reasons, unevaluated(verdict)) == (VerdictKind.APPROVED, (), set())


@every_cell
@pytest.mark.parametrize("intent", ENTRIES, ids=["buy", "sell"])
def test_where_the_fact_is_required_an_entry_is_refused_by_its_name(cell: Cell, intent: dict[str, Json]) -> None:
    """The fact's own reason blocks, names the fact and, unless the whole is doubtful, the figure."""
    verdict = judged(cell, intent, (cell.figure.fact.value,))
    assert verdict.kind is VerdictKind.BLOCKED
    reason = verdict.reasons[0]
    assert reason.code is (R.ACCOUNT_UNKNOWN if cell.figure.fact in ACCOUNT_FACTS else R.MARKET_STALE)
    numbers = dict(reason.numbers)
    assert numbers["missing"] == (cell.figure.fact.value,)
    unsound = numbers.get("unsound", ())
    assert isinstance(unsound, tuple)
    assert cell.whole == (not unsound)
    assert cell.whole or cell.figure.path.partition(".")[0] in unsound


@every_cell
@pytest.mark.parametrize("intent", ENTRIES, ids=["buy", "sell"])
def test_where_it_is_not_required_exactly_its_controls_are_unevaluated(cell: Cell, intent: dict[str, Json]) -> None:
    """None of them passes on what is not known; every other control looks as before, and none objects."""
    verdict = judged(cell, intent, ())
    assert unevaluated(verdict) == cell.unevaluated(str(intent["action"]))
    assert verdict.reasons == ()


@every_cell
@pytest.mark.parametrize("required", [(), tuple(fact.value for fact in Fact)], ids=["none required", "all required"])
@pytest.mark.parametrize("state", TradingState)
def test_a_close_passes_and_so_does_what_is_known_to_reduce(
    cell: Cell, required: tuple[str, ...], state: TradingState
) -> None:
    """In every cell and state. Only where the position itself is in doubt is a sell no reduction but an entry."""
    assert judged(cell, {"action": "close"}, required, state).kind is VerdictKind.APPROVED
    verdict = judged(cell, {"action": "sell"}, required, state)
    if cell.position_known:
        assert (verdict.kind, verdict.reasons, verdict.reduces) == (VerdictKind.APPROVED, (), D(1))
    else:
        assert verdict.reduces is None
        held_back = bool(required) or state is not TradingState.ACTIVE
        assert verdict.kind is (VerdictKind.BLOCKED if held_back else VerdictKind.APPROVED)


@pytest.mark.parametrize("intent", ENTRIES, ids=["buy", "sell"])
def test_a_negative_equity_is_no_pass_either_way(intent: dict[str, Json]) -> None:
    """The one negative figure that an account can truly have: required it is unknown, else it leaves no order."""
    cell = Cell(FIGURES[0], "", MARKET, replace(ACCOUNT, equity=D(-1)), whole=False)
    assert judged(cell, intent, ("account",)).reasons[0].code is R.ACCOUNT_UNKNOWN
    verdict = judged(cell, intent, ())
    assert verdict.kind is VerdictKind.BLOCKED
    assert {R.POSITION_FRACTION, *EXPOSURE, R.DRAWDOWN} == {reason.code for reason in verdict.reasons}


@pytest.mark.parametrize("intent", ENTRIES, ids=["buy", "sell"])
def test_a_crossed_book_is_none(intent: dict[str, Json]) -> None:
    """A bid above the ask: neither can be relied on, on either side."""
    cell = Cell(FIGURES[0], "", replace(MARKET, bid=D("100.02")), ACCOUNT, whole=False)
    (reason,) = judged(cell, intent, ("book",)).reasons
    assert dict(reason.numbers)["unsound"] == ("bid", "ask")
    assert unevaluated(judged(cell, intent, ())) == {R.SPREAD_TOO_WIDE, R.THIN_BOOK}
