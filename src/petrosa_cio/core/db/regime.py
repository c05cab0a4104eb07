"""The market regime under the fleet's Redis key ``policy:regime``: written for others, and read as a second opinion.

The fleet's format is one JSON object of five fields, each with a default. Ours adds ``as_of`` (ISO-8601), without which
nobody could tell an opinion of today from one of last week.

A second opinion is never needed: whatever is wrong with it is said by `Opinion.state` and is not an exception. Nor is
its absence a sign that all is well: a consumer adds it to a judgement of its own, and lets the stricter win.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.models import decimal_of, iso, parse_instant
from petrosa_cio.core.db.redis import key_prefix

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.core.db.redis import RedisServer

LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Regime:
    """What is said of the market. ``current_drawdown`` and ``scale_down_factor`` are fractions, the latter 0..1."""

    current_regime: str = "unknown"
    vol_threshold_breach: bool = False
    drawdown_limit_exceeded: bool = False
    current_drawdown: Decimal = Decimal(0)
    scale_down_factor: Decimal = Decimal("0.5")
    as_of: Instant | None = None
    """When it held, to the microsecond; None where whoever wrote it did not say."""


class Standing(StrEnum):
    """What an opinion is worth."""

    FRESH = "fresh"
    UNDATED = "undated"
    """It does not say when it held, which the fleet's five fields cannot."""
    STALE = "stale"
    """Older than allowed, or further in the future than that."""
    MALFORMED = "malformed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What was found. ``regime`` is given where it is fresh or undated, ``why`` where it is malformed."""

    state: Standing
    regime: Regime | None = None
    why: str = ""


class RegimeKey:
    """The regime of one book on a Redis server."""

    def __init__(self, server: RedisServer, book: str = "main") -> None:
        self._server = server
        self._key = f"{key_prefix(book)}regime"

    async def read(self, now: Instant, max_age: int) -> Opinion:
        """What stands, at ``now``, if it is at most ``max_age`` nanoseconds old. Raises StoreError: no server."""
        text = await self._server.get(self._key)
        if not text:
            return Opinion(Standing.MISSING)
        try:
            regime = parse(text)
        except ValueError as error:
            return Opinion(Standing.MALFORMED, why=str(error))
        if regime.as_of is None:
            return Opinion(Standing.UNDATED, regime)
        if abs(now - regime.as_of) > max_age:
            return Opinion(Standing.STALE)
        return Opinion(Standing.FRESH, regime)

    async def write(self, regime: Regime) -> None:
        """Put ``regime`` up, for good: it does not expire, since a reader of the fleet takes no key for no trouble.

        Raises ValueError where `parse` would refuse it, StoreError where the server cannot be reached.
        """
        content: dict[str, Json | Decimal] = {
            "current_regime": regime.current_regime,
            "vol_threshold_breach": regime.vol_threshold_breach,
            "drawdown_limit_exceeded": regime.drawdown_limit_exceeded,
            "current_drawdown": regime.current_drawdown,
            "scale_down_factor": regime.scale_down_factor,
        }
        if regime.as_of is not None:
            content["as_of"] = iso(regime.as_of)
        text = record.encode(content)
        parse(text)
        await self._server.put(self._key, text)


def parse(text: bytes) -> Regime:
    """Return what ``text`` says; a field that is absent has its default, one that is unknown is ignored.

    Raises ValueError naming what is wrong: no JSON object, a wrong type, a fraction out of bounds, no date.
    """
    found = record.decode(text)
    name, as_of = found.get("current_regime", "unknown"), found.get("as_of")
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        msg = f"current_regime must be text of at most {LONGEST_NAME} characters"
        raise ValueError(msg)
    if as_of is not None and not isinstance(as_of, str):
        msg = "as_of must be an ISO-8601 date and time"
        raise ValueError(msg)
    drawdown = _number(found, "current_drawdown", Regime().current_drawdown)
    factor = _number(found, "scale_down_factor", Regime().scale_down_factor)
    if not 0 <= factor <= 1:
        msg = f"scale_down_factor {factor} is not between 0 and 1"
        raise ValueError(msg)
    return Regime(
        name,
        _flag(found, "vol_threshold_breach"),
        _flag(found, "drawdown_limit_exceeded"),
        drawdown,
        factor,
        None if as_of is None else parse_instant(as_of),
    )


def _flag(found: dict[str, Json], name: str) -> bool:
    value = found.get(name, False)
    if not isinstance(value, bool):
        msg = f"{name} must be true or false"
        raise ValueError(msg)  # noqa: TRY004  one kind of fault: malformed
    return value


def _number(found: dict[str, Json], name: str, default: Decimal) -> Decimal:
    value = found.get(name)
    if name not in found:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{name} must be a number"
        raise ValueError(msg)  # noqa: TRY004
    return decimal_of(value)
