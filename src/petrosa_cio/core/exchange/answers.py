"""Answers out of whatever bytes they were stored in: plain, packed, one a line, or wrapped in a record of the request.

Total over bytes: what cannot be read is a finding with a class of `refusals`, never an exception. A record is unwrapped
by the usual names of its body (``body``, ``response``, ``raw`` and the like), as often as need be; a status that stands
beside the body helps to classify it.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TYPE_CHECKING

from petrosa_cio.core.exchange import refusals
from petrosa_cio.core.exchange.archives import unpacked
from petrosa_cio.core.exchange.drift import Drift, drift_of
from petrosa_cio.core.exchange.recognise import recognise
from petrosa_cio.core.exchange.refusals import ErrorClass
from petrosa_cio.core.exchange.tokens import DECODER, UnsoundNumber

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from petrosa_cio.core.exchange.endpoints import Endpoint

_DEEPEST = 10
"""How many wrappers may lie around an answer."""

_LINES_TRIED = 50
_MOST_VALUES = 10_000
_LINE = re.compile(r"(?:[^{\[]{0,3000}?[\s:>])?(?=[{\[])")
_STATUS_LINE = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})[^\n]*\n")
_BODY_START = re.compile(r"^(?:[<>=]\s*)?(?=[{\[])", re.MULTILINE)

_BODIES = (
    "body",
    "response",
    "raw",
    "httpResponse",
    "http_response",
    "response_body",
    "responseBody",
    "content",
    "text",
)
"""Names under which a record keeps an answer, whatever it is."""
_PERHAPS_BODIES = ("result", "data", "payload", "answer", "error", "log", "entries", "records", "responses")
"""Names under which a record keeps an answer if it is an object or array."""
_STATUSES = ("http_status", "status_code", "statusCode", "httpStatus", "status")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one answer is: of an endpoint with its drift, or an error of a class, or unknown (neither)."""

    endpoint: str | None = None
    drift: tuple[Drift, ...] = ()
    error_class: ErrorClass | None = None
    answer: object = None
    """The answer itself where it was recognised, for those who look further."""

    @property
    def unknown(self) -> bool:
        """Sound JSON of a shape that we have no model of."""
        return self.endpoint is None and self.error_class is None


def findings(raw: bytes) -> Iterator[Finding]:
    """Every answer in ``raw``, in order; at least one finding. Never raises."""
    for part in unpacked(raw):
        if isinstance(part, ErrorClass):
            yield Finding(error_class=part)
            continue
        try:
            text = part.decode("utf-8-sig")
        except UnicodeDecodeError:
            yield Finding(error_class=ErrorClass.WRONG_ENCODING)
            continue
        yield from _of_text(text, None, 0)


def examine(endpoint: Endpoint, body: bytes, status: int | None = None) -> Finding:
    """What an answer is that was asked of ``endpoint``: held against its model, or an error. Never raises."""
    try:
        text = body.decode("utf-8-sig").strip()
        value = DECODER.decode(text)
    except UnicodeDecodeError:
        return Finding(error_class=refusals.of_status(status) or ErrorClass.WRONG_ENCODING)
    except RecursionError:
        return Finding(error_class=refusals.of_status(status) or ErrorClass.TOO_DEEP)
    except JSONDecodeError as error:
        return Finding(error_class=_of_broken(text, error, status))
    refused = _refusal(value, status) or refusals.of_status(status) or _of_bare(value)
    if refused is not None:
        return Finding(error_class=refused)
    return Finding(endpoint.path, drift_of(endpoint, value), answer=value)


def _of_text(text: str, status: int | None, depth: int) -> Iterator[Finding]:
    text = text.strip()
    broken: JSONDecodeError
    try:
        value = DECODER.decode(text)
    except RecursionError:
        yield Finding(error_class=ErrorClass.TOO_DEEP)
        return
    except JSONDecodeError as error:
        broken = error
    else:
        yield from _of_value(value, status, depth)
        return
    if depth < _DEEPEST and text and not refusals.is_page(text):
        if message := _STATUS_LINE.match(text):
            # A proxy puts its own status line before that of the exchange.
            _, _, body = text.replace("\r\n", "\n").partition("\n\n")
            yield from _of_text(body, int(message[1]), depth + 1)
            return
        if _is_lines(text):
            yield from _of_lines(text, status, depth)
            return
        if values := _embedded(text):
            for value in values:
                yield from _of_value(value, status, depth + 1)
            return
    yield Finding(error_class=_of_broken(text, broken, status))


def _is_lines(text: str) -> bool:
    lines = list(itertools.islice(_lines(text), _LINES_TRIED))
    return bool(lines) and 2 * sum(_on_line(line) is not None for line in lines) >= len(lines)


def _lines(text: str) -> Iterator[str]:
    # Not splitlines: text inside JSON may hold other separators than these two.
    return (line for line in re.split(r"\r?\n", text) if line.strip())


def _on_line(line: str) -> object:
    """The object or array on a line, after what a recorder wrote before it; None where there is none."""
    start = _LINE.match(line)
    if start is None:
        return None
    try:
        found: object = DECODER.decode(line[start.end() :])
    except (JSONDecodeError, RecursionError):
        return None
    return found


def _of_lines(text: str, status: int | None, depth: int) -> Iterator[Finding]:
    for line in _lines(text):
        value = _on_line(line)
        if value is not None:
            yield from _of_value(value, status, depth + 1)
        else:
            yield from _of_text(line, status, _DEEPEST)


def _embedded(text: str) -> list[object]:
    """Objects and arrays that begin on lines of their own after other lines; none unless the last one ends the text."""
    found: list[object] = []
    position = 0
    while len(found) < _MOST_VALUES and (start := _BODY_START.search(text, position)):
        try:
            value, position = DECODER.raw_decode(text, start.end())
        except (JSONDecodeError, RecursionError):
            return []
        found.append(value)
    return [] if text[position:].strip() else found


def _of_value(value: object, status: int | None, depth: int) -> Iterator[Finding]:
    if isinstance(value, str):
        yield from _of_text(value, status, _DEEPEST) if depth >= _DEEPEST else _of_quoted(value, status, depth)
        return
    endpoint = recognise(value)
    if endpoint is not None:
        yield Finding(endpoint.path, drift_of(endpoint, value), answer=value)
        return
    inside = None if depth >= _DEEPEST else _unwrapped(value, status, depth)
    if inside is not None:
        yield from inside
        return
    yield Finding(error_class=_refusal(value, status) or _of_bare(value) or _of_http(value, status))


def _of_quoted(text: str, status: int | None, depth: int) -> Iterator[Finding]:
    """A body that was stored as text: JSON in JSON, a page, or a lone word."""
    if text.strip()[:1] in ("{", "[", "<", "H", ""):
        yield from _of_text(text, status, depth + 1)
        return
    found = list(_of_text(text, status, depth + 1))
    lone = len(found) == 1 and found[0].error_class is ErrorClass.NOT_JSON
    yield from [Finding(error_class=ErrorClass.BARE_VALUE)] if lone and depth == 0 else found


def _unwrapped(value: object, status: int | None, depth: int) -> Iterable[Finding] | None:
    """The findings of what ``value`` wraps; None where it wraps nothing that says anything."""
    if isinstance(value, dict):
        beside = next((value[name] for name in _STATUSES if _is_status(value.get(name))), status)
        name = next((name for name in _BODIES if name in value), None) or next(
            (name for name in _PERHAPS_BODIES if isinstance(value.get(name), dict | list)), None
        )
        if name is not None:
            return _worth(_of_value(value[name], beside, depth + 1), surely=name in _BODIES)
        return None if _refusal(value, status) else _named(value.values(), beside, depth)
    if isinstance(value, list):
        parts = [part for part in value if isinstance(part, dict | list)]
        return _worth(finding for part in parts for finding in _of_value(part, status, depth + 1))
    return None


def _named(parts: Iterable[object], status: int | None, depth: int) -> Iterable[Finding] | None:
    """Answers and errors kept under names of a recorder's own; what is unknown beside them says nothing."""
    found: list[Finding] = []
    for part in parts:
        inner = _on_line(part) if isinstance(part, str) and part[:1] in ("{", "[") else part
        if not isinstance(inner, dict | list):
            continue
        refused = _refusal(inner, status)
        within = [Finding(error_class=refused)] if refused else _of_value(inner, None, depth + 1)
        found.extend(finding for finding in within if finding.endpoint or refused)
    return found or None


def _worth(found: Iterable[Finding], *, surely: bool = False) -> list[Finding] | None:
    """The findings, unless all are unknown: then what wraps them is one unknown answer."""
    listed = list(found)
    return listed if surely or any(not finding.unknown for finding in listed) else None


def _is_status(value: object) -> bool:
    return type(value) is int and 100 <= value <= 599


def _refusal(value: object, status: int | None) -> ErrorClass | None:
    """The class of an error of the exchange; None for what is none, such as ``{"code": 200, "msg": "success"}``.

    Without a code it is what a gateway before the exchange says: a lone message.
    """
    if not isinstance(value, dict):
        return None
    message = value.get("msg", value.get("message"))
    if "code" not in value:
        return refusals.of_words(message) if isinstance(message, str) and len(value) == 1 else None
    code = value["code"]
    if isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,9}", code):
        code = int(code)
    if type(code) is not int or not isinstance(message, str):
        return None
    found = refusals.of_code(code, message, status)
    return None if code in (0, 200) and found is ErrorClass.OTHER_CODE else found


def _of_bare(value: object) -> ErrorClass | None:
    if isinstance(value, UnsoundNumber):
        return ErrorClass.UNSOUND_NUMBER
    return None if isinstance(value, dict | list) else ErrorClass.BARE_VALUE


def _of_http(value: object, status: int | None) -> ErrorClass | None:
    """The class of the status beside a body that says nothing, or of the one that a record holds itself."""
    own = (
        next((value[name] for name in _STATUSES if _is_status(value.get(name))), None)
        if isinstance(value, dict)
        else None
    )
    return refusals.of_status(own if status is None else status)


def _of_broken(text: str, error: JSONDecodeError, status: int | None) -> ErrorClass:
    if not text:
        return refusals.of_status(status) or ErrorClass.EMPTY
    if refusals.is_page(text):
        return refusals.of_page(text, status)
    if text[0] in '{["' and _ends_early(text, error):
        return ErrorClass.TRUNCATED
    return refusals.of_status(status) or (refusals.of_words(text) if len(text) < 500 else None) or ErrorClass.NOT_JSON


def _ends_early(text: str, error: JSONDecodeError) -> bool:
    """Whether it is the end of the text that breaks the JSON, and not something in it."""
    rest = text[error.pos :]
    cut_word = bool(rest) and any(word.startswith(rest) for word in ("true", "false", "null", "NaN", "-", "-Infinity"))
    in_text = error.msg.startswith("Unterminated") or (error.msg.startswith("Invalid \\") and len(rest) <= 6)
    return not rest or cut_word or in_text
