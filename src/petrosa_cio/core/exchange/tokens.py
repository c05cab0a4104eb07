"""JSON as the exchange should not write it, read all the same: what is no number is kept as a token of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

_DIGITS = 19
"""As many as every integer of 64 bits has at most."""


@dataclass(frozen=True, slots=True)
class UnsoundNumber:
    """A number in form only: NaN, an infinity, or an integer that 64 bits do not hold."""

    text: str


def _whole(text: str) -> int | UnsoundNumber:
    return int(text) if len(text.lstrip("-")) <= _DIGITS else UnsoundNumber(text[:40])


DECODER = json.JSONDecoder(parse_int=_whole, parse_constant=UnsoundNumber)
"""Reads JSON; raises ValueError (JSONDecodeError) for what is none and RecursionError for what nests too deep."""
