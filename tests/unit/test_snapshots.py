"""Snapshots in one record or in several: what was written is read, whatever stands between the parts."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from petrosa_cio.apps.nurse import record
from petrosa_cio.core.nats.snapshots import SNAPSHOT, Parts, begins_at, records_of

STATE: dict[str, object] = {"holdings": {"names": ["ü" * 300, "\\" * 300, "𝄞" * 300]}}
LARGEST = 1024


def written(state: dict[str, object], largest: int = LARGEST) -> list[dict[str, object]]:
    """The records of ``state`` as a ledger gives them back."""
    return [json.loads(record.encode(one)) for one in records_of(state, largest)]


def test_a_state_of_half_a_message_is_one_record_that_holds_it_as_it_is() -> None:
    """13 bytes of JSON in a message of 26; of 25 they are cut into pieces of 3 characters."""
    assert written({"some": "text"}, 30) == [{"kind": SNAPSHOT, "some": "text"}]
    found = written({"some": "text"}, 29)
    assert [one["text"] for one in found] == ['{"s', "ome", '":"', "tex", 't"}']
    assert [(one["part"], one["of"]) for one in found] == [(n, 5) for n in range(1, 6)]


@given(st.dictionaries(st.text(), st.text(max_size=4000), max_size=4), st.integers(1024, 4096))
def test_every_part_fits_and_together_they_are_the_state(texts: dict[str, str], largest: int) -> None:
    """Whatever the state holds, in characters of whatever length."""
    parts = Parts()
    *before, last = written({"holdings": texts}, largest)
    assert all(len(record.encode(one)) < largest for one in (*before, last))
    assert all(parts.take(one) is None for one in before)
    complete = parts.take(last)
    assert complete is not None
    assert complete[0]["holdings"] == texts


def test_a_snapshot_begins_where_its_first_part_is_once_its_last_is_there() -> None:
    """Parts before the last complete nothing; a whole one begins where it stands."""
    assert begins_at({"kind": SNAPSHOT, "holdings": {}}, 7) == 7
    assert begins_at({"part": 1, "of": 2}, 8) is None
    assert begins_at({"part": 2, "of": 2, "first": 8}, 10) == 8


def test_parts_of_a_gate_that_died_come_to_nothing() -> None:
    """The next gate begins anew; a part out of its turn, or after a whole one, is passed over."""
    parts, found = Parts(), written(STATE)
    assert len(found) > 3
    assert parts.take(found[0]) is None
    assert parts.take(found[1]) is None
    assert [parts.take(one) is not None for one in found] == [False] * (len(found) - 1) + [True]
    assert parts.take(found[-1]) is None
    assert parts.take(found[0]) is None
    assert parts.take({"kind": SNAPSHOT, "holdings": {}}) == ({"kind": SNAPSHOT, "holdings": {}}, [])
    assert [parts.take(one) for one in found[1:]] == [None] * (len(found) - 1)


def test_what_expired_among_the_parts_is_told_with_the_state() -> None:
    """The state was taken before; what expired before its first part is in it."""
    parts, found = Parts(), written(STATE)
    parts.expire("d1")
    parts.take(found[0])
    parts.expire("d2")
    complete = [parts.take(one) for one in found[1:]][-1]
    assert complete is not None
    assert complete[1] == ["d2"]
