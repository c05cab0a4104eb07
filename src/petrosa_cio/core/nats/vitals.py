"""What a gate observes of itself: how late its own loop is, what the streams say, whether what waits moves.

Nothing here is taken from what the gate hopes for: the loop is timed, the streams are asked, an intent is judged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from petrosa_cio.apps.nurse.liveness import LEADING, STANDING_BY, Observed, canary
from petrosa_cio.apps.nurse.models import SECOND, parse_instant
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.together import first_failure
from petrosa_cio.core.nats.trouble import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.liveness import Span
    from petrosa_cio.apps.nurse.models import Instant, MarketState, Portfolio, Verdict
    from petrosa_cio.core.nats.interceptor import Gate

TICK_SECONDS = 0.02
"""How often the loop is timed: a fifth of the shortest block that the default timeout would notice twice over."""

LOOK_SECONDS = 0.2
"""How often the streams are asked and the canary is judged: five times within the second that a beat may be wrong."""

PATIENCE_SECONDS = 1.0
"""How long one question to the streams waits before it is asked anew."""

LAG_MEMORY: Span = SECOND
"""How long a block of the loop is remembered: whoever was blocked a moment ago is not yet known to be well."""

_INFO = "$JS.API.STREAM.INFO."


class _Config(msgspec.Struct):
    max_msgs: int = -1
    max_bytes: int = -1
    discard: str = "old"


class _State(msgspec.Struct):
    messages: int = 0
    bytes: int = 0
    last_seq: int = 0


class _Info(msgspec.Struct):
    """What a server says of a stream, and by its own clock when."""

    ts: str = ""
    config: _Config = msgspec.field(default_factory=_Config)
    state: _State = msgspec.field(default_factory=_State)
    error: dict[str, object] | None = None

    @property
    def full(self) -> bool:
        """Whether the stream refuses what comes next, by its own limits."""
        config, state = self.config, self.state
        by_count = 0 < config.max_msgs <= state.messages
        return config.discard == "new" and (by_count or 0 < config.max_bytes <= state.bytes)


_DECODER = msgspec.json.Decoder(_Info)


def _nothing_known(_: Instant) -> tuple[MarketState | None, Portfolio | None]:
    return None, None


@dataclass(slots=True)
class Vitals:
    """Watches one gate while `watch` runs; `observed` answers from memory, without waiting."""

    gate: Gate
    steady: Callable[[], int]
    """A clock that runs on while the process is stopped, in nanoseconds."""
    facts: Callable[[Instant], tuple[MarketState | None, Portfolio | None]] = _nothing_known
    """What the gate knows of the canary's market and of the account, as an intent would be judged on it."""
    _ticked: int = field(init=False)
    _lags: deque[tuple[int, Span]] = field(default_factory=deque)
    _owed_since: int | None = None
    _known: bool = False
    _full: bool = False
    _overtaken: bool = False
    _stored: int = 0
    """Last intent that the stream was seen to have."""
    _oldest: tuple[int, int] = (0, 0)
    """Sequence of the oldest pending intent, and when it was stored, by `steady`."""
    _skew: Span = 0
    _mark: tuple[int, int] = (0, 0)
    _progressed: int | None = None
    _waiting: bool = False
    _waiting_since: int = field(init=False)
    """Since when something waits and nothing has moved."""
    _canary: Verdict | None = None
    _fault: str = ""

    def __post_init__(self) -> None:
        self._ticked = self._waiting_since = self.steady()

    async def watch(self) -> None:
        """Watch, for ever."""
        await first_failure(self._tick(), self._look())

    def observed(self, leader_heard: bool) -> Observed:
        """What is to be seen now; whether another leader was heard is for whoever listens to say."""
        gate, now = self.gate, self.steady()
        self._note(now)
        pending = max(0, self._stored - gate.position.cursor)
        sequence, stored_at = self._oldest
        return Observed(
            state=gate.state,
            connected=gate.link.connected and not gate.link.lost.is_set(),
            lag=max(self._overdue(now), max((lag for _, lag in self._lags), default=0)),
            unanswered=0 if self._owed_since is None else now - self._owed_since,
            known=self._known,
            full=self._full,
            overtaken=self._overtaken,
            pending=pending,
            oldest=now - stored_at if pending and sequence > gate.position.cursor else 0,
            standstill=now - self._waiting_since if self._waiting else 0,
            since_progress=None if self._progressed is None else now - self._progressed,
            leader_heard=leader_heard,
            canary=self._canary,
            canary_fault=self._fault,
            skew=self._skew,
        )

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        self._ticked = self.steady()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self.steady()
            self._lags.append((now, self._overdue(now)))
            self._ticked = now
            while self._lags[0][0] < now - LAG_MEMORY:
                self._lags.popleft()
            self._note(now)

    def _overdue(self, now: int) -> Span:
        return max(0, now - self._ticked - int(TICK_SECONDS * SECOND))

    def _note(self, now: int) -> None:
        """Whether anything was judged, acknowledged or settled since the last time, and whether anything waits."""
        gate = self.gate
        mark = (gate.position.cursor, gate.folded.settled)
        waits = not gate.idle or self._stored > gate.position.cursor
        if mark != self._mark:
            self._mark, self._progressed = mark, now
        if self._progressed == now or not (waits and self._waiting):
            self._waiting_since = now
        self._waiting = waits

    # -- the streams -------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            if self.gate.state in (LEADING, STANDING_BY) and self.gate.link.connected:
                self._owed_since = self._owed_since or self.steady()
                self._judge()
                if await self._asked():
                    self._owed_since, self._known = None, True
            else:
                self._owed_since, self._known = None, False
            await asyncio.sleep(LOOK_SECONDS)

    async def _asked(self) -> bool:
        """Whether both streams answered; what they said is kept."""
        gate = self.gate
        ledger = await self._info(subjects.ledger_stream(gate.terms.book))
        if ledger is None:
            return False
        self._full = ledger.full
        self._overtaken = gate.state == LEADING and ledger.state.last_seq > gate.position.index
        intents = await self._info(subjects.INTENTS_STREAM)
        if intents is None:
            return False
        self._stored = intents.state.last_seq
        await self._find_oldest(parse_instant(intents.ts))
        return True

    async def _info(self, stream: str) -> _Info | None:
        before, began = self.gate.terms.now(), self.steady()
        answer = await self.gate.link.request(_INFO + stream, PATIENCE_SECONDS)
        if answer is None:
            return None
        info = _DECODER.decode(answer)
        if info.error is not None:
            return None
        # The server read its clock somewhere between question and answer: only what is outside of that is a skew.
        told, took = parse_instant(info.ts), self.steady() - began
        self._skew = max(0, before - told, told - (before + took))
        return info

    async def _find_oldest(self, told: Instant) -> None:
        sequence = self.gate.position.cursor + 1
        if sequence > self._stored or self._oldest[0] == sequence:
            return
        now = self.steady()
        try:
            found = await self.gate.link.at(subjects.INTENTS_STREAM, sequence)
        except Interrupted:  # gone from the stream, which is for the gate to find, or no answer, which is noticed
            self._oldest = (sequence, now)
        else:
            self._oldest = (sequence, now - max(0, told - found.stored_at))

    # -- the judgement -----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        terms = self.gate.terms
        now = terms.now()
        try:
            self._canary = canary(terms.policy, now, terms.policy_as_of, *self.facts(now))
        except Exception as error:  # noqa: BLE001  whatever it is, an intent would meet it as well
            self._fault = repr(error)
        else:
            self._fault = ""
