"""Why an answer is none: a closed vocabulary over codes, HTTP statuses, pages of proxies and broken bodies.

A code of the exchange counts first, then the HTTP status, then what a page says of itself, then the form of the body.
"""

from __future__ import annotations

import re
from enum import StrEnum


class ErrorClass(StrEnum):
    """What an answer that is no answer means."""

    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    RESTRICTED_LOCATION = "restricted_location"
    BLOCKED = "blocked"
    CREDENTIALS = "credentials"
    SIGNATURE = "signature"
    CLOCK = "clock"
    BAD_SYMBOL = "bad_symbol"
    BAD_REQUEST = "bad_request"
    REFUSED = "refused"
    OVERLOADED = "overloaded"
    OUTCOME_UNKNOWN = "outcome_unknown"
    EXCHANGE_FAULT = "exchange_fault"
    NOT_FOUND = "not_found"
    REDIRECTED = "redirected"
    OTHER_CODE = "other_code"
    PAGE = "page"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    NOT_JSON = "not_json"
    BARE_VALUE = "bare_value"
    UNSOUND_NUMBER = "unsound_number"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    WRONG_ENCODING = "wrong_encoding"
    BROKEN_ARCHIVE = "broken_archive"
    UNREADABLE_FILE = "unreadable_file"
    UNREACHABLE = "unreachable"


SENTENCES: dict[ErrorClass, str] = {
    ErrorClass.RATE_LIMITED: "too many requests: wait as long as the exchange says, then ask less",
    ErrorClass.BANNED: "our address is banned for a time: it went on asking after a refusal",
    ErrorClass.RESTRICTED_LOCATION: "the exchange does not serve the country our address is in",
    ErrorClass.BLOCKED: "a firewall or proxy before the exchange refuses us",
    ErrorClass.CREDENTIALS: "the key is missing, wrong, not allowed from this address, or lacks a permission",
    ErrorClass.SIGNATURE: "the signature does not fit the request: a wrong secret",
    ErrorClass.CLOCK: "our clock is too far from the exchange's",
    ErrorClass.BAD_SYMBOL: "the exchange does not know this symbol, or does not trade it now",
    ErrorClass.BAD_REQUEST: "the request itself is wrong: a parameter is missing, unknown or out of bounds",
    ErrorClass.REFUSED: "the exchange understood and refuses: margin, filter, mode or state forbid it",
    ErrorClass.OVERLOADED: "the exchange is overloaded or down: nothing was read, try later",
    ErrorClass.OUTCOME_UNKNOWN: "the exchange gave up waiting: whether it acted is not known",
    ErrorClass.EXCHANGE_FAULT: "the exchange failed inside",
    ErrorClass.NOT_FOUND: "there is no such endpoint: it was moved or withdrawn",
    ErrorClass.REDIRECTED: "the answer points elsewhere; redirects are not followed",
    ErrorClass.OTHER_CODE: "an error code that is in no class of ours",
    ErrorClass.PAGE: "a page for people instead of an answer",
    ErrorClass.EMPTY: "the answer has no body",
    ErrorClass.TRUNCATED: "JSON that ends before its end",
    ErrorClass.NOT_JSON: "text that is neither JSON nor a page",
    ErrorClass.BARE_VALUE: "a lone value (null, number, boolean, text) where an object or array belongs",
    ErrorClass.UNSOUND_NUMBER: "a lone NaN, infinity, or integer that 64 bits do not hold",
    ErrorClass.TOO_DEEP: "JSON nested deeper than any answer is",
    ErrorClass.TOO_LARGE: "more bytes than any answer has; not read to its end",
    ErrorClass.WRONG_ENCODING: "bytes that are no UTF-8 text",
    ErrorClass.BROKEN_ARCHIVE: "a compressed file that cannot be unpacked",
    ErrorClass.UNREADABLE_FILE: "the file cannot be opened or read",
    ErrorClass.UNREACHABLE: "no answer: no connection, no name, no certificate, or no time left",
}
"""What each class means, in one sentence."""

_CODES: dict[int, ErrorClass] = {
    **dict.fromkeys((-1003, -1015, -1034, -4188), ErrorClass.RATE_LIMITED),
    **dict.fromkeys((-1002, -1099, -2014, -2015, -2017, -4087, -4088), ErrorClass.CREDENTIALS),
    **dict.fromkeys((-1022,), ErrorClass.SIGNATURE),
    **dict.fromkeys((-1021, -5028), ErrorClass.CLOCK),
    **dict.fromkeys((-1121, -1122, -4141, -4144, -1142), ErrorClass.BAD_SYMBOL),
    **dict.fromkeys((-1004, -1008, -1016), ErrorClass.OVERLOADED),
    **dict.fromkeys((-1006, -1007), ErrorClass.OUTCOME_UNKNOWN),
    **dict.fromkeys((-1000, -1001), ErrorClass.EXCHANGE_FAULT),
}

_STATUSES: dict[int, ErrorClass] = {
    401: ErrorClass.CREDENTIALS,
    403: ErrorClass.BLOCKED,
    404: ErrorClass.NOT_FOUND,
    407: ErrorClass.BLOCKED,
    408: ErrorClass.OUTCOME_UNKNOWN,
    410: ErrorClass.NOT_FOUND,
    418: ErrorClass.BANNED,
    429: ErrorClass.RATE_LIMITED,
    451: ErrorClass.RESTRICTED_LOCATION,
    500: ErrorClass.EXCHANGE_FAULT,
    502: ErrorClass.OVERLOADED,
    503: ErrorClass.OVERLOADED,
    504: ErrorClass.OUTCOME_UNKNOWN,
}

_WORDS: tuple[tuple[re.Pattern[str], ErrorClass], ...] = (
    (re.compile(r"banned until|ip banned|auto.?banned", re.IGNORECASE), ErrorClass.BANNED),
    (
        re.compile(r"restricted location|unavailable for legal|eligibility", re.IGNORECASE),
        ErrorClass.RESTRICTED_LOCATION,
    ),
    (re.compile(r"too many requests|rate limit|error code: 1015", re.IGNORECASE), ErrorClass.RATE_LIMITED),
    (
        re.compile(
            r"request blocked|access ?denied|request could not be satisfied|forbidden|captcha|just a moment",
            re.IGNORECASE,
        ),
        ErrorClass.BLOCKED,
    ),
    (
        re.compile(r"bad gateway|service unavailable|overloaded|maintenance|upstream connect error", re.IGNORECASE),
        ErrorClass.OVERLOADED,
    ),
    (re.compile(r"gateway time-?out", re.IGNORECASE), ErrorClass.OUTCOME_UNKNOWN),
    (re.compile(r"internal server error", re.IGNORECASE), ErrorClass.EXCHANGE_FAULT),
)

_HEADING = re.compile(r"<(?:title|h1)[^>]{0,200}>([^<]{0,200})", re.IGNORECASE)
_STATUS_IN_HEADING = re.compile(r"(?<!\d)(4\d\d|5\d\d)(?!\d)")
_PAGE = re.compile(r"\s*(?:<\?xml|<!--|<!doctype|<html|<head|<body|<title|<h1|<center|<div|<p>|<error)", re.IGNORECASE)
_LOOKED_AT = 20_000


def of_code(code: int, message: str, status: int | None = None) -> ErrorClass:
    """The class of an error code of the exchange and its message; codes of other markets fall into ranges.

    A ban is told apart from a limit only by the message or the status, and a closed country only by the message.
    """
    if code in _CODES:
        known = _CODES[code]
        banned = known is ErrorClass.RATE_LIMITED and (status == 418 or of_words(message) is ErrorClass.BANNED)
        return ErrorClass.BANNED if banned else known
    spoken = of_words(message)
    if spoken in (ErrorClass.RESTRICTED_LOCATION, ErrorClass.BANNED):
        return spoken
    if -1199 <= code <= -1100:
        return ErrorClass.BAD_REQUEST
    if -2099 <= code <= -2000 or -5099 <= code <= -4000:
        return ErrorClass.REFUSED
    return of_status(status) or ErrorClass.OTHER_CODE


def of_status(status: int | None) -> ErrorClass | None:
    """The class of an HTTP status; None below 300 and where there is none."""
    if status is None or status < 300:
        return None
    if status < 400:
        return ErrorClass.REDIRECTED
    return _STATUSES.get(status) or (ErrorClass.BAD_REQUEST if status < 500 else ErrorClass.EXCHANGE_FAULT)


def of_words(text: str) -> ErrorClass | None:
    """The class that a message or a page names in words; None where it names none."""
    text = text[:_LOOKED_AT]
    return next((found for pattern, found in _WORDS if pattern.search(text)), None)


def is_page(text: str) -> bool:
    """Whether a text is a page of HTML or XML."""
    return _PAGE.match(text[:_LOOKED_AT]) is not None


def of_page(text: str, status: int | None = None) -> ErrorClass:
    """The class of a page: by the HTTP status, by the number or the words of its heading, by its text."""
    headings = " ".join(_HEADING.findall(text[:_LOOKED_AT]))
    number = _STATUS_IN_HEADING.search(headings)
    spoken = None if number is None else of_status(int(number[1]))
    return of_status(status) or spoken or of_words(headings) or of_words(text) or ErrorClass.PAGE
