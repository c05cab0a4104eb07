"""Closed bars, and whether a feed of them can be believed.

A feed can fail while messages keep coming: a bar is missing, comes twice, comes late, cannot be, or repeats the last
price without a trade. Each has a name here; none of them is a quiet market.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Protocol


class Bar(Protocol):
    """One closed bar of one symbol: prices in quote currency, volume in base asset, times in ms, both inclusive.

    The exchange's bars (`petrosa_cio.core.exchange.klines.Bar`) are of this form.
    """

    @property
    def symbol(self) -> str:
        """Exchange symbol."""

    @property
    def open_time_ms(self) -> int:
        """When it opened, ms since 1970 in UTC."""

    @property
    def close_time_ms(self) -> int:
        """Its last millisecond."""

    @property
    def open(self) -> float:
        """First price."""

    @property
    def high(self) -> float:
        """Highest price."""

    @property
    def low(self) -> float:
        """Lowest price."""

    @property
    def close(self) -> float:
        """Last price."""

    @property
    def volume(self) -> float:
        """What was traded, base asset."""


class Place(Enum):
    """Where a sound bar stands to the last one that was folded."""

    FIRST = "first"
    NEXT = "next"
    GAP = "gap"
    """Later, with bars missing between."""
    REPEAT = "repeat"
    """The last one again, or an older one: nothing new. What a feed sends after it has connected anew."""
    CONTRADICTION = "contradiction"
    """Of the time of the last one, or overlapping it, but not the same: one of the two is wrong."""


def is_sound(bar: Bar) -> bool:
    """Whether a bar can be: finite positive prices in order, a volume that is not negative, a time that passes."""
    high, low, volume = bar.high, bar.low, bar.volume
    # A comparison with NaN is false, so NaN fails here; the finite upper end refuses infinity.
    return (
        0.0 < low <= bar.open <= high < math.inf
        and low <= bar.close <= high
        and 0.0 <= volume < math.inf
        and 0 <= bar.open_time_ms < bar.close_time_ms
    )


def interval_of(bar: Bar) -> int:
    """Length of a bar in ms."""
    return bar.close_time_ms - bar.open_time_ms + 1


def place_of(bar: Bar, last: Bar | None) -> Place:
    """Where ``bar`` stands to ``last``, both sound."""
    if last is None:
        return Place.FIRST
    step = bar.open_time_ms - last.close_time_ms
    if step == 1:
        return Place.NEXT
    if step > 1:
        return Place.GAP
    if bar.open_time_ms == last.open_time_ms:
        return Place.REPEAT if _told(bar) == _told(last) else Place.CONTRADICTION
    return Place.REPEAT if bar.close_time_ms < last.open_time_ms else Place.CONTRADICTION


def is_flat(bar: Bar, previous_close: float) -> bool:
    """Whether nothing happened in ``bar``: no volume, and every price is the last one before it."""
    return bar.volume == 0.0 and bar.high == bar.low == previous_close


def _told(bar: Bar) -> tuple[float, ...]:
    return bar.close_time_ms, bar.open, bar.high, bar.low, bar.close, bar.volume
