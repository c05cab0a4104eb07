"""The words our models of the exchange's answers are made of: numbers in text, instants, closed vocabularies.

The exchange writes money as text, so a price is a string that reads as a decimal number, and never a float. An instant
is whole milliseconds since the Unix epoch, UTC; 0 stands for "never". A model knows every field of its answer: a field
it does not know, one it misses and one of another type are findings, not noise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

OTHER_UNIT = "other_unit"
"""The kind of error that `Moment` reports for a time that reads as seconds or microseconds."""

# 1973 and 2286 in milliseconds: outside of it lie the same years in seconds and in microseconds.
_EARLIEST_MS, _LATEST_MS = 10**11, 10**13
_LARGEST = 2**63 - 1


def _in_milliseconds(value: int) -> int:
    if value and not _EARLIEST_MS <= value < _LATEST_MS:
        raise PydanticCustomError(OTHER_UNIT, "is not an instant in milliseconds")
    return value


DecimalText = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$")
]
"""A decimal number in text; scientific notation occurs (2.8E-4)."""

Count = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
"""A whole number that 64 bits hold."""

Moment = Annotated[int, AfterValidator(_in_milliseconds)]
"""Milliseconds since the Unix epoch, UTC; 0 means never."""

Side = Literal["BUY", "SELL"]
PositionSide = Literal["BOTH", "LONG", "SHORT"]
OrderType = Literal[
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"
]
TimeInForce = Literal["GTC", "IOC", "FOK", "GTX", "GTD", "RPI"]


class Shape(BaseModel):
    """An object of an answer: strict types, every field known. Field names are those of the wire, in our spelling."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel)
