"""Commands of an operator to the gate that leads a book."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.commands import decode
from petrosa_cio.core.nats.link import Link
from petrosa_cio.errors import CommandRefused, NoLeader, SettingsError

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

_OPTIONS = {"why": "--reason", "who": "--who", "code": "CODE", "strategy_id": "--strategy"}
"""What people call the keys of a command: its options and argument on the command line."""

ANSWER_SECONDS = 2.0
"""How long somebody who commands waits for the gate that leads."""


async def command(url: str, book: str, asked: dict[str, Json]) -> dict[str, Json]:
    """Ask for ``asked`` and return how the book stands afterwards.

    Raises SettingsError naming every fault of a command that is none, CommandRefused where the gate cannot carry it
    out, NoLeader where no gate that leads answers, and BusError where there is no server.
    """
    data = json.dumps(asked).encode()
    known = decode(data)
    if isinstance(known, tuple):
        raise SettingsError("; ".join(map(_as_people_say, known)))
    link = await Link.open(url, f"petrosa-cio command {os.getpid()}", patience=3)
    try:
        answer = await link.request(subjects.command_subject(subjects.check_book(book)), ANSWER_SECONDS, data)
    finally:
        await link.close()
    if answer is None:
        msg = (
            f"no gate that leads book {book} answered within {ANSWER_SECONDS:g} s: it is not known whether the command "
            "was carried out. See `petrosa-cio status` and `petrosa-cio state`"
        )
        raise NoLeader(msg)
    found: dict[str, Json] = json.loads(answer)
    if not found.get("ok"):
        faults = found.get("faults")
        raise CommandRefused("; ".join(str(fault) for fault in faults) if isinstance(faults, list) else "refused")
    return found


def _as_people_say(fault: str) -> str:
    key, colon, rest = fault.partition(": ")
    return f"{_OPTIONS.get(key, key)}{colon}{rest}"
