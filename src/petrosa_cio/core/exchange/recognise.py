"""Which endpoint an answer is of, told by its shape alone: never by a file's name, and never by what was asked.

An answer is taken for that endpoint whose fields it has most of, and only if it has the marks of that one and not those
of another market. So an answer that lost or gained a field is still recognised, and the field is found by `drift`.
Two kinds look alike by nature: bars of every sort (mark price, index, spot), and lists of orders of every sort. An
empty list says nothing.
"""

from __future__ import annotations

import functools
from collections import Counter

from petrosa_cio.core.exchange.endpoints import ENDPOINTS, EXCHANGE_INFO, KLINES, Endpoint

_SAMPLE = 50
_LEAST_SHARE = 0.6
_KLINE_COLUMNS = range(11, 15)
_OF_A_FUTURE = frozenset(
    {"contractType", "pair", "marginAsset", "underlyingType", "onboardDate", "requiredMarginPercent"}
)


def recognise(answer: object) -> Endpoint | None:
    """The endpoint that ``answer`` (parsed JSON) is of, or None. Looks at a sample of a long list; never raises."""
    if isinstance(answer, dict):
        return _of_object(answer)
    if not isinstance(answer, list) or not answer:
        return None
    sample = answer[:_SAMPLE]
    if sum(map(_is_kline, sample)) * 2 > len(sample):
        return KLINES
    found = Counter(_of_object(item) if isinstance(item, dict) else None for item in sample)
    endpoint, times = found.most_common(1)[0]
    return endpoint if endpoint is not None and endpoint.many and times * 2 > len(sample) else None


def _of_object(answer: dict[str, object]) -> Endpoint | None:
    endpoint = _of_fields(frozenset(answer)) if len(answer) < 100 else None
    return None if endpoint is EXCHANGE_INFO and not _of_futures(answer.get("symbols")) else endpoint


@functools.lru_cache(maxsize=1024)
def _of_fields(fields: frozenset[str]) -> Endpoint | None:
    scores = [(_score(endpoint, fields), endpoint) for endpoint in ENDPOINTS if endpoint.model is not None]
    best, endpoint = max(scores, key=lambda score: score[0])
    return endpoint if best > 0 else None


def _score(endpoint: Endpoint, fields: frozenset[str]) -> float:
    """How much of the endpoint there is in ``fields``, from above 0 to 1; 0 or less where it is none of it."""
    known = len(fields & endpoint.required)
    missing = len(endpoint.required - fields)
    unknown = len(fields - endpoint.required - endpoint.optional)
    lacks = len(endpoint.marks - fields)
    if lacks > endpoint.may_lack or known < _LEAST_SHARE * len(endpoint.required) or unknown > known:
        return 0.0
    if (endpoint.any_of and not endpoint.any_of & fields) or any(group <= fields for group in endpoint.foreign):
        return 0.0
    return known / (known + missing + unknown)


def _is_kline(row: object) -> bool:
    if not isinstance(row, list) or len(row) not in _KLINE_COLUMNS:
        return False
    times, prices = (row[0], row[6]), row[1:5]
    # One column may have changed its type and the row still be a bar.
    sound = sum(type(time) is int for time in times) + sum(isinstance(price, str) for price in prices)
    return sound >= len(times) + len(prices) - 1


def _of_futures(symbols: object) -> bool:
    """Whether the symbols of an ``exchangeInfo`` are futures; spot has the same frame around others."""
    if not isinstance(symbols, list) or not symbols or not isinstance(symbols[0], dict):
        return True
    return len(_OF_A_FUTURE & symbols[0].keys()) > len(_OF_A_FUTURE) // 2 and "contractSize" not in symbols[0]
