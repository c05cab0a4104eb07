"""What a report reads out of a ledger, record by record: a few figures of each, so that a long ledger fits in memory.

Records come in the order in which they were written. One that bears no time of its own, a policy for instance, counts
as of the next that does: a ledger says what was in force for which decision, and nothing of the machine's clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.happenings_record import execution_of, moment, objects, part, report_of, whole, word
from petrosa_cio.apps.nurse.models import parse_instant
from petrosa_cio.apps.nurse.record import decode
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.happenings import AccountReport, Execution
    from petrosa_cio.apps.nurse.models import Json

UNREADABLE = "(unreadable)"
"""Stands for the strategy of an intent that names none, or that could not be read."""
HOLDS_BACK = ("block", "reduce")
"""Outcomes of a control that fired."""


class Judged(NamedTuple):
    """One decision."""

    at: Instant
    decision_id: str
    strategy_id: str
    verdict: str
    reasons: tuple[str, ...]
    """Codes that blocked or reduced it, the gravest first."""
    policy: int
    """How many policies had come into force before it: which one it was judged under."""


class PolicyInForce(NamedTuple):
    """A policy came into force. Who, why and with what trace stand only where the record has them."""

    at: Instant | None
    """None: no record after it bears a time."""
    revision: str
    content: Mapping[str, Json]
    who: str | None
    why: str | None
    trace: str | None


class Turn(NamedTuple):
    """A red line latched, a person lifted a latch, or an operator changed the state of the book."""

    at: Instant
    change: str
    """``set``, ``lifted``, or the state that an operator put the book in."""
    code: str | None
    """Of the red line; None where an operator spoke."""
    strategy_id: str | None
    """None: the whole book."""
    effect: str | None
    until: Instant | None
    who: str | None
    why: str | None
    cause: tuple[tuple[str, str], ...]
    """Numbers that were compared, by name, as text."""


class Outage(NamedTuple):
    """The ledger took no records between two instants; ``passed`` closes went through meanwhile."""

    since: Instant
    until: Instant
    passed: int
    why: str


class Measured(NamedTuple):
    """How long an intent waited for its verdict, in microseconds from arrival."""

    at: Instant
    after_us: int


@dataclass(slots=True)
class LedgerReading:
    """What was read of the ledger of one book so far."""

    book: str
    judged: list[Judged] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    reports: list[AccountReport] = field(default_factory=list)
    policies: list[PolicyInForce] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    losses: list[tuple[Instant, str, int]] = field(default_factory=list)
    """When, what (``expired``, ``gap``, ``spilled``) and how many intents."""
    records: int = 0
    _last: Instant | None = None
    _untimed: list[int] = field(default_factory=list)
    _before: Counter[str] = field(default_factory=Counter)

    def take(self, body: bytes, measured: str = "") -> None:
        """Read the next record, and what was measured about it.

        :raises LedgerError: it is no record of the kind that it says it is.
        """
        self.records += 1
        try:
            self._take(decode(body), measured)
        except (ValueError, ArithmeticError, KeyError) as error:
            msg = f"record {self.records} of book {self.book!r} cannot be read: {error}"
            raise LedgerError(msg) from error

    @property
    def span(self) -> tuple[Instant, Instant] | None:
        """From the first decision, execution or report of the account to the last; None where there is none."""
        times = [one.at for one in self.judged] + [one.at for one in self.executions]
        times += [one.as_of for one in self.reports]
        return (min(times), max(times)) if times else None

    def _take(self, content: dict[str, Json], measured: str) -> None:
        match content.get("kind"):
            case "decision":
                self._decision(content, measured)
            case "execution":
                self.executions.append(execution_of(part(content, "execution")))
                self._seen(self.executions[-1].at)
            case "account":
                self.reports.append(report_of(part(content, "report")))
                self._seen(self.reports[-1].as_of)
            case "policy":
                self._untimed.append(len(self.policies))
                self.policies.append(_policy_of(content))
            case "latch" | "state":
                self.turns.append(_turn_of(content))
                self._seen(self.turns[-1].at)
            case "outage":
                since, until = parse_instant(str(content["from"])), parse_instant(str(content["to"]))
                self.outages.append(Outage(since, until, whole(content, "passed"), str(content["why"])))
            case "expired" | "spilled" as kind:
                self.losses.append((self._seen(parse_instant(str(content["at"]))), kind, 1))
            case "gap":
                if self._last is not None:
                    self.losses.append((self._last, "gap", whole(content, "count")))
                else:
                    self._before["gap"] += whole(content, "count")
            case _:
                pass  # a snapshot says nothing that the records before it have not said

    def _decision(self, content: dict[str, Json], measured: str) -> None:
        at = self._seen(parse_instant(str(content["at"])))
        strategy_id = word(content, "strategy_id") or UNREADABLE
        reasons = tuple(
            str(one["code"]) for one in objects(content, "reasons") if one.get("outcome", "block") in HOLDS_BACK
        )
        decision_id, verdict = str(content["decision_id"]), str(content["verdict"])
        self.judged.append(Judged(at, decision_id, strategy_id, verdict, reasons, len(self.policies)))
        if measured:
            self.measured.append(Measured(at, whole(decode(measured.encode()), "judged_after_us")))

    def _seen(self, at: Instant) -> Instant:
        """Time has come to ``at``: what bears no time and came before it counts as of it."""
        for place in self._untimed:
            self.policies[place] = self.policies[place]._replace(at=at)
        self.losses.extend((at, what, count) for what, count in self._before.items())
        self._untimed, self._before, self._last = [], Counter(), at
        return at


def _policy_of(content: Mapping[str, Json]) -> PolicyInForce:
    inner, trace = content.get("policy"), content.get("thought_trace", content.get("trace"))
    return PolicyInForce(
        None,
        str(content["policy_revision"]),
        inner if isinstance(inner, dict) else {},
        word(dict(content), "who"),
        word(dict(content), "why"),
        None if trace is None else str(trace),
    )


def _turn_of(content: dict[str, Json]) -> Turn:
    latch = content["kind"] == "latch"
    return Turn(
        parse_instant(str(content["at"])),
        str(content["change"] if latch else content["state"]),
        str(content["code"]) if latch else None,
        word(content, "strategy_id"),
        word(content, "effect"),
        moment(content, "until"),
        word(content, "who"),
        word(content, "why"),
        tuple(sorted((name, str(text)) for name, text in part(content, "cause").items())),
    )
