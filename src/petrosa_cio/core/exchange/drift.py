"""Drift: where an answer and our model of it part.

Each difference is named once with the number of times it occurs, not once for each symbol. ``where`` is the way to the
field: ``symbols[].filters[LOT_SIZE].stepSize``. Values of an answer are not repeated, but for words of a closed
vocabulary and text that should have been a number: an answer may be an account's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import ValidationError

from petrosa_cio.core.exchange.contracts import KLINE_COLUMNS
from petrosa_cio.core.exchange.endpoints import EXCHANGE_INFO, KLINES
from petrosa_cio.core.exchange.shapes import OTHER_UNIT
from petrosa_cio.core.exchange.tokens import UnsoundNumber

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic_core import ErrorDetails

    from petrosa_cio.core.exchange.endpoints import Endpoint

_SHOWN = 40


class Kind(StrEnum):
    """What sort of difference."""

    FIELD_GONE = "field_gone"
    FIELD_NEW = "field_new"
    TYPE_CHANGED = "type_changed"
    VALUE_UNREADABLE = "value_unreadable"
    UNIT_CHANGED = "unit_changed"
    ENUM_VALUE_NEW = "enum_value_new"
    ENUM_VALUE_GONE = "enum_value_gone"
    FILTER_NEW = "filter_new"
    FILTER_GONE = "filter_gone"
    FILTER_CHANGED = "filter_changed"
    CLOCK_SKEW = "clock_skew"


SENTENCES: dict[Kind, str] = {
    Kind.FIELD_GONE: "our model needs this field, and the answer does not have it",
    Kind.FIELD_NEW: "the answer has this field, and our model does not know it",
    Kind.TYPE_CHANGED: "the field is of another type than in our model",
    Kind.VALUE_UNREADABLE: "the field has the right type, and a value that our model cannot read",
    Kind.UNIT_CHANGED: "the time does not read as milliseconds: seconds or microseconds",
    Kind.ENUM_VALUE_NEW: "the answer uses a word that our model does not know",
    Kind.ENUM_VALUE_GONE: "a word that our model expects here is not in the answer",
    Kind.FILTER_NEW: "the answer has a filter that our model does not know",
    Kind.FILTER_GONE: "a filter that our model expects is not in the answer",
    Kind.FILTER_CHANGED: "a configured override and the exchange's own filter do not agree",
    Kind.CLOCK_SKEW: "our clock and the exchange's differ by more than the exchange forgives",
}
"""What each kind means."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference, seen ``count`` times; ``example`` is a symbol (or a file's own word) where it was seen first."""

    kind: Kind
    where: str
    expected: str
    found: str
    count: int = 1
    example: str = ""

    def content(self) -> dict[str, str | int]:
        """This difference as JSON."""
        return {
            "kind": self.kind.value,
            "field": self.where,
            "expected": self.expected,
            "found": self.found,
            "count": self.count,
            "example": self.example,
            "sentence": SENTENCES[self.kind],
        }


def drift_of(endpoint: Endpoint, answer: object) -> tuple[Drift, ...]:
    """Every difference between ``answer`` (parsed JSON) and our model of ``endpoint``, in order of place. Never raises.

    An answer may be one object or, where the endpoint gives lists, a list of them.
    """
    several = endpoint.many and isinstance(answer, list)
    try:
        (endpoint.several if several else endpoint.one).validate_python(answer)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        details = []
    found = [_drift(detail, answer, bars=endpoint is KLINES) for detail in details]
    if endpoint is EXCHANGE_INFO:
        found.extend(_absent(answer))
    return gathered(found)


def gathered(found: Iterable[Drift]) -> tuple[Drift, ...]:
    """The same differences, each named once with its count, by kind and place."""
    counts: Counter[tuple[Kind, str, str, str]] = Counter()
    examples: dict[tuple[Kind, str, str, str], str] = {}
    for drift in found:
        key = (drift.kind, drift.where, drift.expected, drift.found)
        counts[key] += drift.count
        examples[key] = examples.get(key) or drift.example
    return tuple(Drift(*key, count, examples[key]) for key, count in sorted(counts.items()))


def _drift(detail: ErrorDetails, answer: object, *, bars: bool) -> Drift:
    way, value = detail["loc"], detail.get("input")
    where, example = place(way, bars=bars), _symbol_at(answer, way)
    context = detail.get("ctx") or {}
    match detail["type"]:
        case "missing":
            return Drift(Kind.FIELD_GONE, where, "a value", "nothing", example=example)
        case "extra_forbidden":
            return Drift(Kind.FIELD_NEW, where, "nothing", type_of(value), example=example)
        case "too_long" if bars:
            more = f"{where}.column{len(KLINE_COLUMNS) + 1}"
            return Drift(Kind.FIELD_NEW, more, "nothing", "another column", example=example)
        case "union_tag_invalid":
            tag = shown(context.get("tag", ""))
            return Drift(Kind.FILTER_NEW, f"{where.removesuffix('[]')}[{tag}]", "nothing", tag, example=example)
        case "union_tag_not_found":
            where = f"{where}.filterType"
            return Drift(Kind.FIELD_GONE, where, "a value", "nothing", example=example)
        case "literal_error" if isinstance(value, str):
            expected = str(context.get("expected", ""))
            return Drift(Kind.ENUM_VALUE_NEW, where, expected, shown(value), example=example)
        case "string_pattern_mismatch" | "string_too_long" | "string_unicode":
            return Drift(Kind.VALUE_UNREADABLE, where, "decimal number in text", shown(value), example=example)
        case "greater_than_equal" | "less_than_equal":
            return Drift(Kind.VALUE_UNREADABLE, where, "integer of 64 bits", "a larger one", example=example)
        case kind if kind == OTHER_UNIT:
            return Drift(Kind.UNIT_CHANGED, where, "milliseconds", f"{len(str(value))} digits", example=example)
        case kind:
            return Drift(Kind.TYPE_CHANGED, where, _expected(kind), type_of(value), example=example)


_TYPES = {
    "string_type": "text",
    "int_type": "integer",
    "bool_type": "boolean",
    "list_type": "array",
    "tuple_type": "array",
    "literal_error": "text",
    "model_type": "object",
    "model_attributes_type": "object",
}


def _expected(kind: str) -> str:
    return _TYPES.get(kind, kind.removesuffix("_type").replace("_", " "))


def place(way: tuple[int | str, ...], *, bars: bool = False) -> str:
    """The way to a field as text: rows of a list as ``[]``, columns of a bar by their names."""
    text = ""
    for depth, step in enumerate(way):
        if bars and depth == len(way) - 1 and isinstance(step, int) and depth > 0:
            text += f".{KLINE_COLUMNS[step]}" if step < len(KLINE_COLUMNS) else f"[{step}]"
        elif isinstance(step, int):
            text += "[]"
        elif text.endswith("filters[]"):
            text = f"{text.removesuffix('[]')}[{shown(step)}]"
        else:
            text += f".{shown(step)}"
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A word of an answer as it may be told: short, and with nothing that a terminal would act on."""
    text = value if isinstance(value, str) else type_of(value)
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def type_of(value: object) -> str:
    """The JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case UnsoundNumber():
            return f"number that is none ({shown(value.text)})"
        case float():
            return "number"
        case str():
            return "text"
        case list():
            return "array"
        case _:
            return "object"


def _symbol_at(answer: object, way: tuple[int | str, ...]) -> str:
    """The symbol of the innermost object that a way leads through; empty where there is none."""
    named = _symbol_of(answer)
    for step in way:
        if isinstance(answer, list) and isinstance(step, int) and step < len(answer):
            answer = answer[step]
        elif isinstance(answer, dict) and isinstance(step, str):
            answer = answer.get(step)
        named = _symbol_of(answer) or named
    return named


def _symbol_of(value: object) -> str:
    symbol = value.get("symbol") if isinstance(value, dict) else None
    return shown(symbol) if isinstance(symbol, str) else ""


# On every symbol in July 2026; POSITION_RISK_CONTROL on most.
_FILTERS = ("PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "MAX_NUM_ORDERS", "MIN_NOTIONAL", "PERCENT_PRICE")
_SOME_FILTERS = ("POSITION_RISK_CONTROL",)
_EXPECTED_WORDS = {
    "orderTypes": (
        "LIMIT",
        "MARKET",
        "STOP",
        "STOP_MARKET",
        "TAKE_PROFIT",
        "TAKE_PROFIT_MARKET",
        "TRAILING_STOP_MARKET",
    ),
    "timeInForce": ("GTC", "IOC", "FOK", "GTX", "GTD"),
}


def contracts_in(answer: object) -> Iterator[dict[str, object]]:
    """The symbols of an ``exchangeInfo`` that can be looked at."""
    symbols = answer.get("symbols") if isinstance(answer, dict) else None
    yield from (symbol for symbol in (symbols if isinstance(symbols, list) else ()) if isinstance(symbol, dict))


def filters_of(contract: dict[str, object]) -> dict[str, dict[str, object]]:
    """The filters of a symbol by name, those that can be looked at."""
    filters = contract.get("filters")
    return {
        item["filterType"]: item
        for item in (filters if isinstance(filters, list) else ())
        if isinstance(item, dict) and isinstance(item.get("filterType"), str)
    }


def _absent(answer: object) -> Iterator[Drift]:
    """What a model cannot say is missing: members of lists."""
    seen: set[str] = set()
    contracts = list(contracts_in(answer))
    for contract in contracts:
        filters = filters_of(contract).keys()
        seen |= filters
        example = shown(contract.get("symbol", ""))
        if "filters" in contract:
            for name in _FILTERS:
                if name not in filters:
                    yield Drift(Kind.FILTER_GONE, f"symbols[].filters[{name}]", name, "nothing", example=example)
        for field, words in _EXPECTED_WORDS.items():
            given = contract.get(field)
            if not isinstance(given, list):
                continue
            for word in words:
                if word not in given:
                    yield Drift(Kind.ENUM_VALUE_GONE, f"symbols[].{field}[]", word, "nothing", example=example)
    for name in _SOME_FILTERS if contracts else ():
        if name not in seen:
            yield Drift(Kind.FILTER_GONE, f"symbols[].filters[{name}]", f"{name} on some symbols", "nothing")
