"""How a shadow position is written down, and read back to the digit. Figures are decimal text, as in `facts_record`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Shadow, Tracked
from petrosa_cio.apps.auditor.positions import ZERO, Exit, Position, text_of
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.models import iso, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Instant, Json

_MS = 1_000_000
_FIGURES = ("entry", "exit", "gross", "fees", "funding", "result", "low", "high")


def shadow_content(shadow: Shadow) -> dict[str, Json]:
    """``shadow`` as one JSON object; what is not known is null."""
    return {
        "decision_id": shadow.decision_id,
        "tracked": shadow.tracked.value,
        "strategy_id": shadow.strategy_id,
        "symbol": shadow.symbol,
        "side": shadow.side.value,
        "reasons": list(shadow.reasons),
        "regime": shadow.regime,
        "episode": shadow.episode,
        "repeats": shadow.repeats,
        "decided_at": iso(shadow.decided_at),
        "outcome": shadow.outcome.value,
        "price_source": shadow.price_source.value,
        "quantity": text_of(shadow.quantity),
        "opened_at": None if shadow.opened_at is None else iso(shadow.opened_at),
        "closed_at": None if shadow.closed_at is None else iso(shadow.closed_at),
        **{name: _text(getattr(shadow, name)) for name in _FIGURES},
        "data_gap": shadow.data_gap,
    }


def shadow_of(content: Mapping[str, Json]) -> Shadow:
    """The shadow position that `shadow_content` wrote."""
    reasons, repeats, regime = content["reasons"], content["repeats"], content["regime"]
    return Shadow(
        decision_id=str(content["decision_id"]),
        tracked=Tracked(str(content["tracked"])),
        strategy_id=str(content["strategy_id"]),
        symbol=str(content["symbol"]),
        side=Side(str(content["side"])),
        reasons=tuple(str(code) for code in reasons) if isinstance(reasons, list) else (),
        regime=None if regime is None else str(regime),
        episode=str(content["episode"]),
        repeats=repeats if isinstance(repeats, int) else 0,
        decided_at=parse_instant(str(content["decided_at"])),
        outcome=Outcome(str(content["outcome"])),
        price_source=PriceSource(str(content["price_source"])),
        quantity=Decimal(str(content["quantity"])),
        opened_at=_instant(content["opened_at"]),
        closed_at=_instant(content["closed_at"]),
        entry=_figure(content["entry"]),
        exit=_figure(content["exit"]),
        gross=_figure(content["gross"]),
        fees=_figure(content["fees"]),
        funding=_figure(content["funding"]),
        result=_figure(content["result"]),
        low=_figure(content["low"]),
        high=_figure(content["high"]),
        data_gap=content["data_gap"] is True,
    )


def _text(figure: Decimal | None) -> str | None:
    return None if figure is None else text_of(figure)


def _figure(value: Json) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _instant(value: Json) -> Instant | None:
    return None if value is None else parse_instant(str(value))


def shadow_made(position: Position, repeats: int, last: Decimal | None, *, known: bool = True) -> Shadow:
    """How ``position`` stands: ended, or open and marked at ``last``, or unavailable where the market is not
    ``known``."""
    if position.unavailable or not (known or position.over):
        return _shadow(position, repeats, Outcome.UNAVAILABLE)
    if position.unfilled:
        return _shadow(position, repeats, Outcome.NOT_FILLED, Exit(Outcome.NOT_FILLED, ZERO, 0, ZERO, ZERO, ZERO))
    low, high = position.lowest, position.highest
    if not position.over:
        if last is None or position.entry is None:
            return _shadow(position, repeats, Outcome.OPEN)
        marked = position.exit(Outcome.OPEN, last, 0)
        bounds = [one.result for one in (low, high, marked) if one is not None]
        return _shadow(position, repeats, Outcome.OPEN, marked, (min(bounds), max(bounds)))
    if low is None or high is None:
        return _shadow(position, repeats, Outcome.UNAVAILABLE)
    # For what was blocked the worse for governance is that it would have won; for what was promoted, that it lost.
    headline = low if position.tracked is Tracked.PROMOTED else high
    outcome = headline.outcome if low.result == high.result else Outcome.AMBIGUOUS
    return _shadow(position, repeats, outcome, headline, (low.result, high.result))


def _shadow(
    position: Position,
    repeats: int,
    outcome: Outcome,
    end: Exit | None = None,
    bounds: tuple[Decimal, Decimal] | None = None,
) -> Shadow:
    entered = position.entry is not None
    ended = end is not None and end.at_ms > 0
    return Shadow(
        decision_id=position.decision_id,
        tracked=position.tracked,
        strategy_id=position.strategy_id,
        symbol=position.symbol,
        side=position.side,
        reasons=position.reasons,
        regime=position.regime,
        episode=position.episode,
        repeats=repeats,
        decided_at=position.decided_at,
        outcome=outcome,
        price_source=position.price_source,
        quantity=position.quantity,
        opened_at=position.opened_ms * _MS if entered else None,
        entry=position.entry,
        closed_at=end.at_ms * _MS if end is not None and ended else None,
        exit=end.price if end is not None and ended else None,
        gross=None if end is None else end.gross,
        fees=None if end is None else end.fees,
        funding=None if end is None else end.funding,
        result=None if end is None else end.result,
        low=None if bounds is None else bounds[0],
        high=None if bounds is None else bounds[1],
        data_gap=position.data_gap,
    )
