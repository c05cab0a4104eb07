"""Why an answer is none, out of one closed vocabulary."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import pytest

from builders_exchange import ANSWERS
from petrosa_cio.core.exchange.answers import examine, findings
from petrosa_cio.core.exchange.archives import unpacked
from petrosa_cio.core.exchange.endpoints import PRICE_TICKER
from petrosa_cio.core.exchange.refusals import SENTENCES, ErrorClass, of_code, of_status

GOOD = json.dumps(ANSWERS["/fapi/v1/ticker/price"]).encode()
NGINX = b"<html>\r\n<head><title>%s</title></head>\r\n<body><center><h1>%s</h1></center></body></html>"
CLOUDFRONT = b"<!DOCTYPE HTML>\n<HTML><TITLE>ERROR: The request could not be satisfied</TITLE><H1>403 ERROR</H1>"
RESTRICTED = b'{"code": 0, "msg": "Service unavailable from a restricted location according to \'b. Eligibility\'"}'

BODIES: list[tuple[bytes, ErrorClass]] = [
    (b"", ErrorClass.EMPTY),
    (b" \r\n", ErrorClass.EMPTY),
    (b"null", ErrorClass.BARE_VALUE),
    (b"42", ErrorClass.BARE_VALUE),
    (b"true", ErrorClass.BARE_VALUE),
    (b'"OK"', ErrorClass.BARE_VALUE),
    (b"NaN", ErrorClass.UNSOUND_NUMBER),
    (b"-Infinity", ErrorClass.UNSOUND_NUMBER),
    (b"9" * 5000, ErrorClass.UNSOUND_NUMBER),
    (b"[" * 100_000, ErrorClass.TOO_DEEP),
    (b'{"a":' * 100_000, ErrorClass.TOO_DEEP),
    (GOOD[:-1], ErrorClass.TRUNCATED),
    (GOOD[:12], ErrorClass.TRUNCATED),
    (b'{"symbol": tr', ErrorClass.TRUNCATED),
    (b"[", ErrorClass.TRUNCATED),
    (b"{symbol: 1}", ErrorClass.NOT_JSON),
    (GOOD + b"}", ErrorClass.NOT_JSON),
    (b"hello", ErrorClass.NOT_JSON),
    (b"a,b\n1,2\n", ErrorClass.NOT_JSON),
    (GOOD.decode().encode("utf-16"), ErrorClass.WRONG_ENCODING),
    ('{"msg": "é"}'.encode("latin-1"), ErrorClass.WRONG_ENCODING),
    (b"\xff\x00\xfe", ErrorClass.WRONG_ENCODING),
    (NGINX % (b"403 Forbidden", b"403 Forbidden"), ErrorClass.BLOCKED),
    (NGINX % (b"429 Too Many Requests", b""), ErrorClass.RATE_LIMITED),
    (NGINX % (b"418 I'm a teapot", b""), ErrorClass.BANNED),
    (NGINX % (b"451", b"Unavailable For Legal Reasons"), ErrorClass.RESTRICTED_LOCATION),
    (NGINX % (b"502 Bad Gateway", b""), ErrorClass.OVERLOADED),
    (NGINX % (b"504 Gateway Time-out", b""), ErrorClass.OUTCOME_UNKNOWN),
    (CLOUDFRONT, ErrorClass.BLOCKED),
    (b"ERROR: The request could not be satisfied", ErrorClass.BLOCKED),
    (b"<html><body>Welcome to our hotel's network", ErrorClass.PAGE),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', ErrorClass.BLOCKED),
    (RESTRICTED, ErrorClass.RESTRICTED_LOCATION),
    (b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}', ErrorClass.CREDENTIALS),
    (b'{"code":-1022,"msg":"Signature for this request is not valid."}', ErrorClass.SIGNATURE),
    (b'{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}', ErrorClass.CLOCK),
    (b'{"code":-1121,"msg":"Invalid symbol."}', ErrorClass.BAD_SYMBOL),
    (b'{"code":-1106,"msg":"Parameter \'reduceOnly\' sent when not required."}', ErrorClass.BAD_REQUEST),
    (b'{"code":-1003,"msg":"Too many requests queued."}', ErrorClass.RATE_LIMITED),
    (b'{"code":-1003,"msg":"Way too many requests; IP() banned until 1771748578656."}', ErrorClass.BANNED),
    (b'{"code":"-1003","msg":"Too many requests queued."}', ErrorClass.RATE_LIMITED),
    (b'{"code":-2019,"msg":"Margin is insufficient."}', ErrorClass.REFUSED),
    (b'{"code":-1008,"msg":"Server is currently overloaded."}', ErrorClass.OVERLOADED),
    (b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}', ErrorClass.OUTCOME_UNKNOWN),
    (b'{"code":-1000,"msg":"An unknown error occured."}', ErrorClass.EXCHANGE_FAULT),
    (b'{"code":51061,"msg":"Due to high borrowing demand"}', ErrorClass.OTHER_CODE),
    (b'{"message":"Forbidden"}', ErrorClass.BLOCKED),
    (b'{"id":"1","status":400,"error":{"code":-2015,"msg":"x"},"rateLimits":[]}', ErrorClass.CREDENTIALS),
    (b'{"status":429,"headers":{"Retry-After":"3"},"body":""}', ErrorClass.RATE_LIMITED),
    (b"HTTP/1.1 418 I'm a teapot\r\nRetry-After: 10\r\n\r\n", ErrorClass.BANNED),
    (b"\x1f\x8b\x08\x00", ErrorClass.BROKEN_ARCHIVE),
    (gzip.compress(GOOD)[:-6], ErrorClass.BROKEN_ARCHIVE),
    (b"PK\x03\x04 and no more", ErrorClass.BROKEN_ARCHIVE),
]


def test_the_vocabulary_is_closed() -> None:
    """Every class has a sentence of its own."""
    assert set(SENTENCES) == set(ErrorClass)
    assert len(set(SENTENCES.values())) == len(ErrorClass)


@pytest.mark.parametrize(("body", "expected"), BODIES, ids=[repr(body[:40]) for body, _ in BODIES])
def test_a_body_has_its_class(body: bytes, expected: ErrorClass) -> None:
    """Each broken, foreign or refusing body falls into the class that says what happened, and is of no endpoint."""
    (found,) = findings(body)
    assert (found.endpoint, found.error_class, found.drift) == (None, expected, ())
    assert not found.unknown


@pytest.mark.parametrize("body", [b"{}", b"[]", b"[[]]", b'{"hello": "world"}', b'{"code":200,"msg":"success"}'])
def test_sound_json_of_no_model_is_unknown(body: bytes) -> None:
    """Unknown is a result of its own: neither of an endpoint nor an error."""
    (found,) = findings(body)
    assert found.unknown


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, None), (200, None), (302, ErrorClass.REDIRECTED), (400, ErrorClass.BAD_REQUEST),
        (401, ErrorClass.CREDENTIALS), (403, ErrorClass.BLOCKED), (404, ErrorClass.NOT_FOUND), (418, ErrorClass.BANNED),
        (429, ErrorClass.RATE_LIMITED), (451, ErrorClass.RESTRICTED_LOCATION), (500, ErrorClass.EXCHANGE_FAULT),
        (503, ErrorClass.OVERLOADED), (504, ErrorClass.OUTCOME_UNKNOWN), (599, ErrorClass.EXCHANGE_FAULT),
    ],
)  # fmt: skip
def test_a_status_has_its_class(status: int | None, expected: ErrorClass | None) -> None:
    """What the exchange documents about its HTTP statuses; an answer below 300 is none."""
    assert of_status(status) is expected


def test_a_code_counts_before_the_status() -> None:
    """The exchange's own word is the more exact one; only a ban is told by the status."""
    assert of_code(-2015, "x", 401) is ErrorClass.CREDENTIALS
    assert of_code(-1121, "Invalid symbol.", 400) is ErrorClass.BAD_SYMBOL
    assert of_code(-1003, "Too many requests.", 429) is ErrorClass.RATE_LIMITED
    assert of_code(-1003, "Too many requests.", 418) is ErrorClass.BANNED
    assert of_code(2, "internal", 500) is ErrorClass.EXCHANGE_FAULT


def test_an_error_with_a_sound_status_is_an_error() -> None:
    """A code in the body of a 200 is an error; an answer in the body of a 503 is no answer."""
    assert examine(PRICE_TICKER, b'{"code":-1121,"msg":"Invalid symbol."}', 200).error_class is ErrorClass.BAD_SYMBOL
    assert examine(PRICE_TICKER, GOOD, 503).error_class is ErrorClass.OVERLOADED
    assert examine(PRICE_TICKER, GOOD, 200).endpoint == "/fapi/v1/ticker/price"


def test_a_bomb_is_not_unpacked() -> None:
    """What grows beyond the limit is given up, at any depth of packing."""
    bomb = gzip.compress(b"0" * 1_000_000)
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"0" * 1_000_000)
    for packed in (bomb, gzip.compress(bomb), box.getvalue()):
        assert list(unpacked(packed, largest=100_000)) == [ErrorClass.TOO_LARGE]
