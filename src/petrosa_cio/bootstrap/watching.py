"""The watch: follows a book's ledger and tells people of limits that run out, of latches, and of who changed the state.

Alerts are core messages in the fleet's shape (fleet facts §7.6), so they reach whoever listens at that moment. What was
recorded while no watch ran is not told afterwards; what could not be sent because the connection broke is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.decision import observation_of, seen_in
from petrosa_cio.apps.nurse.headroom import Asked, Breaches, Headroom
from petrosa_cio.apps.nurse.models import Side
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.reasons import REASONS, Reason
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.trouble import Interrupted, NoSuchStream
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petrosa_cio.apps.nurse.headroom import NearLimit
    from petrosa_cio.apps.nurse.models import Json, Observation
    from petrosa_cio.apps.nurse.policy import Limits, Policy
    from petrosa_cio.core.nats.link import Link

LIMIT_SUBJECT = "alerts.cio.limit"
LATCH_SUBJECT = "alerts.cio.latch"
LEVERAGE_SUBJECT = "alerts.cio.leverage"
STATE_SUBJECT = "alerts.cio.state"

PAUSE_SECONDS = 0.25
"""Before an interrupted watch looks again."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One message to people: where it goes, and its body."""

    subject: str
    body: dict[str, Json]


@dataclass(slots=True)
class Watch:
    """What to tell of one book, record by record. ``policy`` is the one in force until a record names another."""

    book: str
    policy: Policy
    unreadable: int = 0
    """Records that could not be understood; they are passed over."""
    _headroom: Headroom = field(default_factory=Headroom)
    _breaches: Breaches = field(default_factory=Breaches)

    def take(self, content: dict[str, Json]) -> list[Alert]:
        """What to tell people after this record. Never raises for what a ledger may hold."""
        try:
            return list(self._told(content))
        except (KeyError, TypeError, ValueError, PolicyError):
            self.unreadable += 1
            return []

    def _told(self, content: dict[str, Json]) -> Iterator[Alert]:
        match content.get("kind"):
            case "policy":
                self.policy = read_policy(content["policy"], "the policy in force")
            case "decision":
                yield from self._decision(content)
            case "latch":
                yield self._latch(content)
            case "state":
                yield self._state(content)
            case _:
                return

    def _decision(self, content: dict[str, Json]) -> Iterator[Alert]:
        action, observed = content.get("action"), content.get("observed")
        if action not in ("buy", "sell") or not isinstance(observed, dict) or not observed:
            return
        asked = Asked(str(content["strategy_id"]), str(content["symbol"]))
        side = Side.LONG if action == "buy" else Side.SHORT
        limits = self.policy.limits(asked.symbol, asked.strategy_id, side)
        for warning in self._headroom.look(_observations(observed), asked, limits.required_number("warning_share")):
            yield self._warning(content, warning)
        yield from self._leverage(content, limits)

    def _warning(self, content: dict[str, Json], warning: NearLimit) -> Alert:
        percent = f"{warning.usage:.0%}"
        where = f" ({warning.of})" if warning.of else ""
        message = f"{warning.code}{where}: {percent} of the limit is used. {REASONS[warning.code].sentence}"
        facts: dict[str, Json] = {
            "category": "limit",
            "severity": "critical" if warning.usage >= 1 else "warning",
            "code": warning.code.value,
            "of": warning.of,
            "usage": float(warning.usage),
            "threshold": float(warning.threshold),
        }
        subject = f"{LIMIT_SUBJECT}.{warning.code}"
        return self._alert(subject, content, message, facts, (warning.code.value, warning.of))

    def _leverage(self, content: dict[str, Json], limits: Limits) -> Iterator[Alert]:
        threshold = int(limits.required_number("leverage_breach_alert_threshold"))
        count = self._breaches.look(seen_in(content.get("reasons")), threshold)
        if count:
            message = f"leverage was breached {count} times since the last alert"
            facts: dict[str, Json] = {"category": "leverage", "severity": "warning", "breaches": count}
            yield self._alert(LEVERAGE_SUBJECT, content, message, facts, ("leverage",))

    def _latch(self, content: dict[str, Json]) -> Alert:
        code, change, strategy = str(content["code"]), str(content["change"]), content.get("strategy_id")
        on = f"book {self.book}" if strategy is None else f"strategy {strategy}"
        if change == "set":
            until = content.get("until") or "an operator lifts it"
            message = f"{code} latched {on}: entries are blocked, exits live, until {until}"
        else:
            message = f"{content.get('who')} lifted {code} from {on}: {content.get('why')}"
        facts: dict[str, Json] = {
            **{name: content.get(name) for name in ("code", "change", "strategy_id", "effect", "since", "until")},
            **{name: content[name] for name in ("cause", "who", "why") if name in content},
            "category": "latch",
            "severity": "critical" if change == "set" else "info",
        }
        return self._alert(f"{LATCH_SUBJECT}.{code}", content, message, facts, (code, str(strategy), change))

    def _state(self, content: dict[str, Json]) -> Alert:
        state, who, why = str(content["state"]), str(content["who"]), str(content["why"])
        facts: dict[str, Json] = {
            "category": "state",
            "severity": "info" if state == "ACTIVE" else "critical",
            "state": state,
            "who": who,
            "why": why,
        }
        return self._alert(STATE_SUBJECT, content, f"{who} put book {self.book} to {state}: {why}", facts, (state,))

    def _alert(
        self, subject: str, content: dict[str, Json], message: str, facts: dict[str, Json], parts: tuple[str, ...]
    ) -> Alert:
        """The body; the dedupe key tells apart what it is about and which record told of it."""
        key = "|".join((subject, self.book, *parts, str(content.get("index"))))
        common: dict[str, Json] = {
            "book": self.book,
            "message": message,
            "decision_id": content.get("decision_id") or None,
            "timestamp": content.get("at"),
            "dedupe_key": hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:16],
        }
        return Alert(subject, {**facts, **common})


def _observations(observed: dict[str, Json]) -> Iterator[Observation]:
    for code, seen in observed.items():
        if code in Reason.__members__ and isinstance(seen, dict):
            yield observation_of(code, seen)


async def watch(link: Link, watching: Watch, log: Callable[[str, dict[str, object]], None]) -> None:
    """Follow the ledger from its end on and publish what it gives cause for; for ever. Heals without a gap."""
    stream = subjects.ledger_stream(watching.book)
    unsent: deque[Alert] = deque()
    index: int | None = None
    told = ""
    while True:
        try:
            await link.stands()
            if index is None:
                index = await _end(link, watching.book)
            async with link.read(stream, index + 1) as reader:
                await _send(link, unsent, log)
                async for batch in reader.batches():
                    for message in batch:
                        index = message.sequence
                        unsent.extend(watching.take(_content(message.data)))
                    await _send(link, unsent, log)
        except Interrupted as error:
            if str(error) != told:
                told = str(error)
                log("the watch was interrupted", {"why": told})
        await asyncio.sleep(PAUSE_SECONDS)


async def _end(link: Link, book: str) -> int:
    """Index of the last record; 0 where there is none yet, or no ledger."""
    try:
        last = await link.last(subjects.ledger_stream(book), subjects.ledger_subject(book))
    except NoSuchStream:
        return 0
    return 0 if last is None else last.sequence


def _content(body: bytes) -> dict[str, Json]:
    try:
        return record.decode(body)
    except ValueError:
        return {}


async def _send(link: Link, unsent: deque[Alert], log: Callable[[str, dict[str, object]], None]) -> None:
    while unsent:
        alert = unsent[0]
        await link.publish(alert.subject, json.dumps(alert.body).encode())
        log("alert", {"subject": alert.subject, "message": alert.body["message"]})
        unsent.popleft()
