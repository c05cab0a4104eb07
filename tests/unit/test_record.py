"""The chain of ledger records: what anyone can compute by hand, and what no alteration escapes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builders_records import digest, make_chain, make_decisions, make_record
from petrosa_cio.apps.nurse.record import GENESIS, chain, decode, encode, verify

if TYPE_CHECKING:
    from random import Random

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.ports import StoredRecord

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, width=32) | texts
finite = scalars.filter(lambda value: not (isinstance(value, float) and value in (float("inf"), float("-inf"))))
values: st.SearchStrategy[Json] = st.recursive(
    finite, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(texts, values, max_size=5)
kinds = st.sampled_from(["decision", "policy", "expired", "gap"])
contents = st.builds(lambda kind, extra: {"kind": kind, "extra": extra}, kinds, objects)
chains = st.lists(contents, min_size=1, max_size=6).map(make_chain)
long_chains = st.lists(contents, min_size=2, max_size=6).map(make_chain)


def first_break(records: list[StoredRecord]) -> tuple[int, str]:
    found = verify("main", records).breaks[0]
    return found.index, found.problem


class TestFormula:
    def test_hash_of_a_hand_made_record(self) -> None:
        """The hash is SHA-256 over the previous hash in hexadecimal, a line feed and the body, in hexadecimal."""
        body = b'{"book":"main","index":1,"kind":"gap","v":1}'
        assert chain(GENESIS, body) == hashlib.sha256(b"0" * 64 + b"\n" + body).hexdigest()

    def test_hash_of_the_record_after_it(self) -> None:
        """The second record's hash is over the first one's hash, so both can be checked with nothing but SHA-256."""
        one, two = b'{"index":1}', b'{"index":2}'
        first = hashlib.sha256(b"0" * 64 + b"\n" + one).hexdigest()
        second = hashlib.sha256(first.encode("ascii") + b"\n" + two).hexdigest()
        assert chain(chain(GENESIS, one), two) == second

    def test_a_previous_hash_that_is_no_ascii_is_hashed_not_raised(self) -> None:
        """A record whose previous hash was altered into anything at all can still be checked."""
        assert chain("é", b"{}") != chain(GENESIS, b"{}")


class TestEncode:
    def test_a_hand_made_text(self) -> None:
        """Keys are sorted at every depth, there are no spaces, and a decimal is a number with the digits it has."""
        content = {"b": {"z": Decimal("0.10"), "a": [True, None]}, "a": "é"}
        assert encode(content) == '{"a":"é","b":{"a":[true,null],"z":0.10}}'.encode()

    @given(content=objects, randomness=st.randoms(use_true_random=False))
    def test_the_order_of_keys_does_not_matter(self, content: dict[str, Json], randomness: Random) -> None:
        """Two mappings with the same entries have one text, whatever order they were filled in, at every depth."""

        def shuffled(value: Json) -> Json:
            if isinstance(value, dict):
                items = list(value.items())
                randomness.shuffle(items)
                return {name: shuffled(inner) for name, inner in items}
            return [shuffled(inner) for inner in value] if isinstance(value, list) else value

        assert encode(shuffled(content)) == encode(content)

    @given(content=objects)
    def test_any_json_reader_reads_it(self, content: dict[str, Json]) -> None:
        """The text is JSON in UTF-8: a reader that is not ours reads the same content out of it."""
        assert json.loads(encode(content)) == content

    @given(content=objects)
    def test_decode_gives_back_what_was_encoded(self, content: dict[str, Json]) -> None:
        """What was encoded is decoded again, and encoding that gives the same bytes."""
        body = encode(content)
        assert decode(body) == content
        assert encode(decode(body)) == body


class TestDecode:
    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"1", b"null", b'"{}"', b"{", b"{}{}", b"\xff", b'{"a":"\xff"}', b"{'a':1}"]
    )
    def test_what_is_no_object_is_value_error(self, body: bytes) -> None:
        """A body that is not one JSON object raises ValueError."""
        with pytest.raises(ValueError):
            decode(body)

    @given(body=st.binary(max_size=40))
    def test_any_bytes_are_an_object_or_value_error(self, body: bytes) -> None:
        """No bytes make decode raise anything but ValueError."""
        try:
            content = decode(body)
        except ValueError:
            return
        assert isinstance(json.loads(body), dict)
        assert isinstance(content, dict)

    def test_nesting_beyond_all_measure_is_value_error(self) -> None:
        """A body nested deeper than can be read raises ValueError like any other that cannot be read."""
        with pytest.raises(ValueError):
            decode(b'{"a":' * 100_000)


class TestVerify:
    @given(records=chains)
    def test_a_chain_that_was_built_verifies(self, records: list[StoredRecord]) -> None:
        """Any chain built by the rule verifies, and the report ends at its last hash."""
        report = verify("main", records)
        assert (report.book, report.records, report.head, report.breaks) == ("main", len(records), records[-1].hash, ())

    def test_no_records_verify(self) -> None:
        """An empty book verifies; its head is the genesis hash."""
        report = verify("main", [])
        assert (report.records, report.head, report.breaks) == (0, GENESIS, ())

    @given(records=chains, choice=st.data(), flip=st.integers(1, 255))
    def test_any_altered_byte_is_found(self, records: list[StoredRecord], choice: st.DataObject, flip: int) -> None:
        """One byte of one body changed: the first break names that record and says its content was altered."""
        place = choice.draw(st.integers(0, len(records) - 1))
        body = bytearray(records[place].body)
        body[choice.draw(st.integers(0, len(body) - 1))] ^= flip
        records[place] = replace(records[place], body=bytes(body))
        index, problem = first_break(records)
        assert index == place + 1
        assert "altered" in problem

    @given(records=chains, choice=st.data())
    def test_bytes_added_or_cut_off_are_found(self, records: list[StoredRecord], choice: st.DataObject) -> None:
        """A body made longer or shorter is found at its record."""
        place = choice.draw(st.integers(0, len(records) - 1))
        body = records[place].body
        other = choice.draw(st.sampled_from([body + b" ", body + b"\n", body[:-1], b""]))
        records[place] = replace(records[place], body=other)
        assert first_break(records)[0] == place + 1

    @given(records=chains, choice=st.data())
    def test_an_altered_hash_is_found(self, records: list[StoredRecord], choice: st.DataObject) -> None:
        """A hash replaced by another is found at its record, the last one's too."""
        place = choice.draw(st.integers(0, len(records) - 1))
        records[place] = replace(records[place], hash=digest("another"))
        assert first_break(records)[0] == place + 1

    @given(records=long_chains, choice=st.data())
    def test_a_removed_record_is_found(self, records: list[StoredRecord], choice: st.DataObject) -> None:
        """Any record but the last removed: the first break says which one is missing, where the next one stands."""
        place = choice.draw(st.integers(0, len(records) - 2))
        del records[place]
        assert first_break(records) == (
            place + 2,
            f"record {place + 1} is missing: found record {place + 2} in its place",
        )

    @given(records=long_chains, choice=st.data())
    def test_two_swapped_records_are_found(self, records: list[StoredRecord], choice: st.DataObject) -> None:
        """Any two records swapped: the first break names the earlier place and the record that was put there."""
        early = choice.draw(st.integers(0, len(records) - 2))
        late = choice.draw(st.integers(early + 1, len(records) - 1))
        records[early], records[late] = records[late], records[early]
        index, problem = first_break(records)
        assert index == late + 1
        assert problem.startswith(f"record {early + 1} is missing")

    @given(records=chains, choice=st.data())
    def test_a_repeated_record_is_found(self, records: list[StoredRecord], choice: st.DataObject) -> None:
        """Any record there twice: the first break names it, where the next one should stand."""
        place = choice.draw(st.integers(0, len(records) - 1))
        records.insert(place + 1, records[place])
        index, problem = first_break(records)
        assert index == place + 1
        assert problem.startswith(f"record {place + 2} is repeated")

    @given(records=long_chains, choice=st.data())
    def test_a_forged_record_with_a_fitting_hash_is_found(
        self, records: list[StoredRecord], choice: st.DataObject
    ) -> None:
        """A record rewritten together with its own hash no longer fits the record after it, which the break names."""
        place = choice.draw(st.integers(0, len(records) - 2))
        forged = make_record(place + 1, records[place].prev, forged=True)
        assume(forged.hash != records[place].hash)
        records[place] = forged
        assert first_break(records)[0] == place + 2

    @given(records=long_chains)
    def test_a_tail_cut_off_shows_only_in_the_head(self, records: list[StoredRecord]) -> None:
        """A chain without its last record verifies, but its head is not the one that was anchored elsewhere."""
        anchored = records[-1].hash
        report = verify("main", records[:-1])
        assert report.breaks == ()
        assert report.head != anchored

    def test_a_record_of_another_book_or_index_is_found(self) -> None:
        """A record that says of itself that it is another one is named, though its hash fits."""
        elsewhere = replace(make_record(1, GENESIS, book="paper"), book="main")
        assert verify("main", [elsewhere]).breaks[0].problem == "says of itself that it belongs to book paper"
        renumbered = replace(make_record(2, GENESIS), index=1)
        assert verify("main", [renumbered]).breaks[0].problem == "says of itself that it is record 2"

    def test_measurements_are_not_covered(self) -> None:
        """When a record was stored and what was measured about it may differ between two stores of one chain."""
        records = [replace(record, measured='{"ms":9}', stored_at=0) for record in make_decisions(3)]
        assert verify("main", records).breaks == ()

    def test_a_break_names_the_decision(self) -> None:
        """A break carries the id of the decision it concerns, where that can still be read."""
        records = make_chain([{}, {"decision_id": "f" * 32, "symbol": "BTCUSDT"}])
        altered = replace(records[1], body=records[1].body.replace(b"BTC", b"ETH"))
        unreadable = replace(records[1], body=b"\x00")
        assert verify("main", [records[0], altered]).breaks[0].decision_id == "f" * 32
        assert verify("main", [records[0], unreadable]).breaks[0].decision_id is None

    @given(wanted=st.integers(1, 30))
    def test_at_most_so_many_breaks(self, wanted: int) -> None:
        """The report names no more breaks than asked for, and still counts every record."""
        ruined = [replace(record, body=b"{}") for record in make_decisions(10)]
        report = verify("main", ruined, at_most=wanted)
        assert len(report.breaks) == min(wanted, 30)
        assert report.records == 10
