"""The witness tells what was published and not stored from what was stored, and from a retry that was meant."""

from __future__ import annotations

from petrosa_cio.core.nats.witness import Witness

SUBJECT = "intent.trading.btc"
ID = {"Nats-Msg-Id": "once"}


def test_what_was_heard_and_read_is_forgotten() -> None:
    """In either order, a message that was heard and read leaves nothing behind."""
    witness = Witness()
    witness.hear(SUBJECT, {}, b"a", 1.0)
    witness.read(SUBJECT, b"a", 1.1)
    witness.read(SUBJECT, b"b", 1.2)
    witness.hear(SUBJECT, {}, b"b", 1.3)
    assert not witness.overdue(9.0)
    assert witness.uncaptured(9.0) == []


def test_what_was_heard_and_never_read_is_uncaptured() -> None:
    """Heard twice and read once is one that was not stored; it is told once."""
    witness = Witness()
    for _ in range(2):
        witness.hear(SUBJECT, {}, b"a", 1.0)
    witness.read(SUBJECT, b"a", 1.1)
    assert witness.overdue(9.0)
    assert [heard.data for heard in witness.uncaptured(9.0)] == [b"a"]
    assert witness.uncaptured(9.0) == []


def test_a_retry_under_its_message_id_is_no_loss() -> None:
    """A retry that the server takes for one message is counted, whether it comes before or after the first is read."""
    before, after = Witness(), Witness()
    before.hear(SUBJECT, ID, b"a", 1.0)
    before.hear(SUBJECT, ID, b"a", 1.01)
    before.read(SUBJECT, b"a", 1.02)
    after.hear(SUBJECT, ID, b"a", 1.0)
    after.read(SUBJECT, b"a", 1.01)
    after.hear(SUBJECT, ID, b"a", 1.05)
    for witness in (before, after):
        assert witness.uncaptured(9.0) == []
        assert witness.deduplicated == 1


def test_another_message_under_the_same_id_is_a_loss() -> None:
    """A producer whose ids are all the same loses intents, and that is told: their content differs."""
    witness = Witness()
    witness.hear(SUBJECT, ID, b"a", 1.0)
    witness.read(SUBJECT, b"a", 1.01)
    witness.hear(SUBJECT, ID, b"b", 1.02)
    assert [heard.data for heard in witness.uncaptured(9.0)] == [b"b"]
    assert witness.deduplicated == 0


def test_an_old_retry_is_a_loss() -> None:
    """What comes long after the first is beyond the server's window: had it been stored, it would have been read."""
    witness = Witness()
    witness.hear(SUBJECT, ID, b"a", 1.0)
    witness.read(SUBJECT, b"a", 1.01)
    witness.hear(SUBJECT, ID, b"other", 60.0)
    witness.read(SUBJECT, b"other", 60.01)
    witness.hear(SUBJECT, ID, b"a", 60.02)
    assert [heard.data for heard in witness.uncaptured(90.0)] == [b"a"]
