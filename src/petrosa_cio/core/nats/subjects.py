"""Names on the bus: streams, subjects and headers of ours, once."""

from __future__ import annotations

import re

from petrosa_cio.errors import SettingsError

INTENTS_STREAM = "CIO_INTENTS"
INTENT_SUBJECTS = ("intent.>", "cio.intent.>")
QUARANTINE_STREAM = "CIO_QUARANTINE"
QUARANTINE_SUBJECTS = ("cio.quarantine.>",)
EXECUTIONS_STREAM = "CIO_EXECUTIONS"
EXECUTION_SUBJECTS = ("execution.events.>",)
HEADS_BUCKET = "cio-heads"
POLICY_BUCKET = "cio-policy"
POLICY_STREAM = f"KV_{POLICY_BUCKET}"

MARKET_SUBJECTS = "cio.market.>"
MARKET_SNAPSHOT = "cio.market-snapshot"
"""Request subject on which a feed answers with all that it knows of the markets."""

PREV_HEADER = "Cio-Prev"
MEASURED_HEADER = "Cio-Measured"
SETTLED_HEADER = "Cio-Settled"
SNAPSHOT_HEADER = "Cio-Snapshot"
RECORDED_AT_HEADER = "Cio-Recorded-At"

_BOOK = re.compile(r"[A-Za-z0-9_-]{1,32}\Z", re.ASCII)


def check_book(book: str) -> str:
    """Return ``book`` if it may name a stream and a subject token; raise SettingsError otherwise."""
    if not _BOOK.match(book):
        msg = f"book {book!r}: 1 to 32 letters, digits, _ or -"
        raise SettingsError(msg)
    return book


def ledger_stream(book: str) -> str:
    """Stream of a book's ledger. One a book, so that stream sequence and record index are the same number."""
    return f"CIO_LEDGER_{book}"


def ledger_subject(book: str) -> str:
    """Subject of a book's ledger."""
    return f"cio.ledger.{book}"


def outbox_stream(book: str) -> str:
    """Stream of a book's outbox."""
    return f"CIO_OUTBOX_{book}"


def outbox_settlement(book: str, sequence: int) -> str:
    """Everything that can settle one intent: at most one message is ever stored under it."""
    return f"cio.outbox.{book}.{sequence}.>"


def outbox_signal(book: str, sequence: int, token: str) -> str:
    """Subject of the signal of one intent; the server republishes it to the signal subject."""
    return f"cio.outbox.{book}.{sequence}.signal.{token}"


def outbox_expired(book: str, sequence: int) -> str:
    """Subject of the mark that one approved intent expired: it bars the signal from being stored later."""
    return f"cio.outbox.{book}.{sequence}.expired"


def outbox_sequence(subject: str) -> int:
    """The intent sequence that an outbox subject settles; 0 for a subject that is none of ours."""
    tokens = subject.split(".")
    found = tokens[3] if len(tokens) > 3 else ""
    return int(found) if found.isdigit() else 0


def quarantine_subject(book: str, sequence: int) -> str:
    """Subject of the raw bytes of one quarantined message."""
    return f"cio.quarantine.{book}.{sequence}"


def status_subject(book: str) -> str:
    """Request subject on which every gate of a book answers with its status."""
    return f"cio.status.{book}"


def account_subject(book: str) -> str:
    """Subject on which reports of what a book's account holds are published, at most once each."""
    return f"cio.account.{book}"


def execution_subject(token: str) -> str:
    """Subject on which an engine tells of one strategy's orders."""
    return f"execution.events.{token}"


def command_subject(book: str) -> str:
    """Request subject on which the gate that leads a book answers an operator's commands."""
    return f"cio.command.{book}"


def market_subject(symbol: str) -> str:
    """Subject on which what is known of a symbol's market is published."""
    return f"cio.market.{symbol}"


def policy_subject(book: str) -> str:
    """Subject under which the bucket of policies stores a book's. Raises SettingsError where ``book`` is no name."""
    return f"$KV.{POLICY_BUCKET}.{check_book(book)}"
