"""The spill file keeps what it was given, whatever a crash or a second process does to it."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrosa_cio.core.spill import SpillFile
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spill" / "main.jsonl"


def keys(spill: SpillFile) -> list[str]:
    return [kept.key for kept in spill.pending()]


def test_what_is_kept_is_pending_until_cleared(path: Path) -> None:
    """Entries come back in order with their content, in this process and the next, until they are cleared."""
    spill = SpillFile(path)
    for number in range(12):
        spill.keep(f"k{number}", json.dumps({"number": number}).encode())
    assert keys(spill) == [f"k{number}" for number in range(12)]
    found = SpillFile(path).pending()
    assert [json.loads(kept.entry) for kept in found] == [{"number": number} for number in range(12)]
    spill.clear()
    assert keys(spill) == keys(SpillFile(path)) == []


def test_nothing_is_destroyed_by_clearing(path: Path) -> None:
    """What was cleared is moved aside, not deleted."""
    spill = SpillFile(path)
    spill.keep("k", b'{"close":1}')
    spill.pending()
    spill.clear()
    assert b'{"close":1}' in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_mark_says_that_an_entry_was_sent(path: Path) -> None:
    """Only the marked entry counts as sent, also where the mark came after others claimed the file."""
    spill = SpillFile(path)
    spill.keep("a", b"{}")
    spill.keep("b", b"{}")
    spill.pending()
    spill.sent("b")
    assert [(kept.key, kept.sent) for kept in SpillFile(path).pending()] == [("a", False), ("b", True)]


def test_what_is_kept_between_reading_and_clearing_is_not_cleared(path: Path) -> None:
    """An entry that another process appends while the spill is written down stays pending."""
    writer, other = SpillFile(path), SpillFile(path)
    other.keep("early", b"{}")
    assert keys(writer) == ["early"]
    other.keep("late", b"{}")
    writer.clear()
    assert keys(writer) == ["late"]


@given(cut=st.integers(min_value=1, max_value=60))
def test_a_torn_line_harms_no_other(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """However much of the last line a crash has left, the entries before and after it are whole."""
    path = tmp_path_factory.mktemp("spill") / "main.jsonl"
    spill = SpillFile(path)
    spill.keep("before", b"{}")
    whole = path.stat().st_size
    spill.keep("torn", json.dumps({"text": "x" * 60}).encode())
    with path.open("rb+") as file:
        file.truncate(whole + cut)
    spill.keep("after", b"{}")
    assert keys(spill) == ["before", "after"]


def test_several_writers_at_once(path: Path) -> None:
    """Entries of writers that do not know of one another are all there."""

    def write(name: str) -> None:
        spill = SpillFile(path)
        for number in range(25):
            spill.keep(f"{name}-{number}", b"{}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(keys(SpillFile(path))) == sorted(f"{name}-{number}" for name in "abcd" for number in range(25))


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    """Where the directory cannot be made, keeping raises StoreError naming the spill."""
    (tmp_path / "spill").write_text("a file in the way")
    with pytest.raises(StoreError, match=r"spill main\.jsonl"):
        SpillFile(tmp_path / "spill" / "main.jsonl").keep("k", b"{}")
