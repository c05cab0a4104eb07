"""The heartbeat: a gate answers whoever asks and tells the engine that it lives, or says nothing.

Beats leave on the subject that the engine hears, in the only shape that it counts (fleet facts §6.1). Answers go to the
inbox of whoever asked and nowhere else; nothing but a beat is ever published on the subject by us.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.liveness import LEADING, Liveness, Part, Status, answer_within, assess
from petrosa_cio.apps.nurse.models import SECOND, iso
from petrosa_cio.core.nats.together import first_failure
from petrosa_cio.core.nats.trouble import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.vitals import Vitals

SUBJECT = "cio.heartbeat"
"""Where the engine listens for beats, and where the fleet's plan has strategies ask."""

PING = "ping"
"""Token under that subject where asking disturbs nobody: the engine takes each message on the subject for a beat or for
a broken one, and a broken one sets back its recovery."""

SERVICE = "petrosa-cio"

LARGEST_BEAT = 4096
"""Bytes. Anybody may publish on the subject; what is longer is no beat of ours and is not read."""

MISSED_BEATS = 3
"""A leader that was not heard for so many beats is taken for gone: one may be lost, and the next be late."""


@dataclass(frozen=True, slots=True)
class HeartbeatTerms:
    """On which subject, how often in seconds, and as who a gate beats. ``gate`` tells this process from all others."""

    subject: str
    seconds: float
    version: str
    gate: str


@dataclass(slots=True)
class Heartbeat:
    """The voice of one gate. A gate that stands by is silent while it hears the beats of one that leads."""

    vitals: Vitals
    terms: HeartbeatTerms
    log: Callable[[str, dict[str, object]], None]
    _leader_heard_at: int = field(init=False)
    _said: tuple[Status, tuple[Part, ...]] | None = None

    def __post_init__(self) -> None:
        self._leader_heard_at = self.vitals.steady()  # one that has just come waits for the others to be heard

    async def answer(self) -> None:
        """Answer from now on, as long as the connection is ours. Call it once."""
        link, subject = self.vitals.gate.link, self.terms.subject
        for asked in (subject, f"{subject}.{PING}"):
            await link.answer(asked, self._reply)
        await link.listen(subject, self._hear)

    async def run(self) -> None:
        """Watch the gate and push beats, for ever."""
        await first_failure(self.vitals.watch(), self._push())

    def liveness(self) -> Liveness:
        """What may be said now."""
        quiet = self.vitals.steady() - self._leader_heard_at
        heard = quiet <= MISSED_BEATS * int(self.terms.seconds * SECOND)
        return assess(self.vitals.observed(heard), answer_within(self.vitals.gate.terms.policy))

    # -- asked -------------------------------------------------------------------------------------------------------

    async def _reply(self) -> bytes | None:
        began = self.vitals.steady()
        live = self.liveness()
        if live.status is Status.SILENT:
            return None
        lacks: dict[str, str] = {}
        for part, what in live.degraded:
            lacks[part.value] = f"{lacks[part.value]}, {what}" if part.value in lacks else what
        body: dict[str, object] = {
            "status": "OK",
            "status_code": live.status.value,
            "service": SERVICE,
            "timestamp": iso(self.vitals.gate.terms.now()),
            "version": self.terms.version,
            "dependencies": {part.value: "degraded" if part.value in lacks else "ok" for part in Part},
            "degraded": [f"{part}: {what}" for part, what in lacks.items()],
            "response_time_ms": round((self.vitals.steady() - began) / 1_000_000, 3),
        }
        return json.dumps(body).encode()

    # -- unasked -----------------------------------------------------------------------------------------------------

    async def _push(self) -> None:
        while True:
            live = self.liveness()
            self._tell(live)
            if live.status is not Status.SILENT:
                await self._beat(live)
            await asyncio.sleep(self.terms.seconds)

    async def _beat(self, live: Liveness) -> None:
        gate = self.vitals.gate
        body: dict[str, object] = {
            "service": SERVICE,
            "status": live.status.value,
            "timestamp": gate.terms.now() / SECOND,
            "version": self.terms.version,
            "book": gate.terms.book,
            "gate": self.terms.gate,
            "leading": gate.state == LEADING,
        }
        try:
            await gate.link.publish(self.terms.subject, json.dumps(body).encode())
        except Interrupted as error:  # the next one may get through; this one is missing, as it should be
            self.log("a beat was not sent", {"why": str(error)})

    def _tell(self, live: Liveness) -> None:
        """Log what is said where it changed in kind; figures change at every beat."""
        said = (live.status, tuple(part for part, _ in live.degraded))
        if said != self._said:
            facts = {"status": live.status.value, "degraded": [f"{part.value}: {what}" for part, what in live.degraded]}
            self.log("heartbeat", {**facts, "silent": list(live.silent)})
        self._said = said

    def _hear(self, _: str, __: Mapping[str, str], data: bytes) -> None:
        """Note the beat of another gate that leads this book."""
        if len(data) > LARGEST_BEAT:
            return
        try:
            body: Json = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(body, dict) or body.get("service") != SERVICE or body.get("leading") is not True:
            return
        if body.get("book") == self.vitals.gate.terms.book and body.get("gate") != self.terms.gate:
            self._leader_heard_at = self.vitals.steady()
