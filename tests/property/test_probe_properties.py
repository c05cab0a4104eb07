"""Whatever bytes are stored, and however a real answer is changed, there is a result and never an exception."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from builders_exchange import ANSWERS
from petrosa_cio.core.exchange.answers import examine, findings
from petrosa_cio.core.exchange.endpoints import ENDPOINTS
from petrosa_cio.core.exchange.refusals import ErrorClass
from petrosa_cio.core.exchange.stored import examine_bytes

if TYPE_CHECKING:
    from petrosa_cio.core.exchange.endpoints import Endpoint

PATHS = {endpoint.path for endpoint in ENDPOINTS}
TEXTS = [json.dumps(answer).encode() for answer in ANSWERS.values()]


def zipped(content: bytes) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("answer", content)
    return box.getvalue()


PACKED = [*map(gzip.compress, TEXTS), *map(zipped, TEXTS)]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
names = st.sampled_from(
    ["body", "raw", "text", "code", "msg", "status", "symbol", "price", "symbols", "data", "\ud800"]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


def has_a_result(raw: bytes) -> bool:
    """At least one answer, each of them exactly one of: of an endpoint, an error of the vocabulary, unknown."""
    found = list(findings(raw))
    for finding in found:
        states = [finding.endpoint is not None, finding.error_class is not None, finding.unknown]
        assert states.count(True) == 1
        assert finding.endpoint is None or finding.endpoint in PATHS
        assert finding.error_class is None or finding.error_class in ErrorClass
        assert not finding.drift or finding.endpoint is not None
    told = json.dumps(examine_bytes(raw, "file").content())
    assert json.loads(told)["file"] == "file"
    return bool(found)


@given(st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"")
@example(b"\x1f\x8b")
@example(b"PK\x05\x06" + b"\x00" * 18)
@example(b"[" * 50_000)
@example(b'{"a":' * 50_000 + b"1")
@example(b"1" * 10_000)
@example(b'{"serverTime":' + b"1" * 10_000 + b"}")
@example(b'{"serverTime":NaN}')
@example(b'{"symbol":"\\ud800","price":"\\ud800","time":1,"\\ud800":1}')
@example(b"\xff\xfe[\x00]\x00")
@example(b"\x00\x00\xfe\xff")
@example(b'"' + b'\\"' * 5000)
@example(b"HTTP/1.1 200\n\n" * 30)
@example(b"GET\n" * 200 + b"{}")
@example(b"\n".join([b"{}", b"[", b"x"] * 20))
def test_any_bytes_have_a_result(raw: bytes) -> None:
    """Arbitrary bytes and text, sound or not."""
    assert has_a_result(raw)


@given(values)
def test_any_json_has_a_result(value: object) -> None:
    """Arbitrary JSON, with the names that records use in it."""
    assert has_a_result(json.dumps(value).encode())


@given(st.sampled_from(TEXTS + PACKED), st.data())
def test_a_mutated_answer_has_a_result(raw: bytes, data: st.DataObject) -> None:
    """Cut, doubled, with bytes changed: packed or plain."""
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, max(len(changed) - 1, 0)))
        match data.draw(st.sampled_from(["cut", "set", "drop", "insert"])):
            case "cut":
                del changed[at:]
            case "set" if changed:
                changed[at] = data.draw(st.integers(0, 255))
            case "drop":
                del changed[at : at + data.draw(st.integers(1, 30))]
            case _:
                changed[at:at] = data.draw(st.binary(max_size=10))
    assert has_a_result(bytes(changed))


@given(st.sampled_from(sorted(ANSWERS)), st.data())
def test_a_changed_field_has_a_result(path: str, data: st.DataObject) -> None:
    """Any field of any answer, at any depth, set to any JSON, gone, or renamed."""
    answer = json.loads(json.dumps(ANSWERS[path]))
    node = answer
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans())):
            break
        node = node[key]
    match data.draw(st.sampled_from(["set", "gone", "renamed"])):
        case "set":
            node[key] = data.draw(values)
        case "renamed" if isinstance(node, dict):
            node[data.draw(st.text(max_size=5))] = node.pop(key)
        case _:
            del node[key]
    assert has_a_result(json.dumps(answer).encode())


@given(
    st.sampled_from(ENDPOINTS),
    st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()),
    st.none() | st.integers(100, 599),
)
def test_any_answer_of_a_known_endpoint_has_a_result(endpoint: Endpoint, body: bytes, status: int | None) -> None:
    """Asked of an endpoint, any body with any status is held against its model or classified."""
    found = examine(endpoint, body, status)
    assert (found.endpoint is None) != (found.error_class is None)
