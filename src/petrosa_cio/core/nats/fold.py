"""A book folded from its ledger: position, memory and the promises that are still open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import remembered_of
from petrosa_cio.apps.nurse.happenings_record import execution_of, part, report_of
from petrosa_cio.apps.nurse.holdings import Holdings
from petrosa_cio.apps.nurse.models import SECOND, Intent, parse_instant
from petrosa_cio.apps.nurse.orders import order_of
from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.ledger import Position, position_after
from petrosa_cio.core.nats.snapshots import SNAPSHOT, Parts
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.models import Json, Receipt
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import Accounts
    from petrosa_cio.core.nats.reader import Delivered


@dataclass(slots=True)
class Promise:
    """A recorded decision whose signal must leave, or expire. ``index`` is its record's, 0 until it has one."""

    index: int
    receipt: Receipt
    intent: Intent
    decision_id: str
    signal_id: str
    quantity: float | None
    reduces: bool = False
    """Whether it only takes off what is open, though it is no ``close``."""

    @property
    def sequence(self) -> int:
        """Sequence of the intent."""
        return self.receipt.sequence


def receipt_of(content: dict[str, Json]) -> Receipt:
    """The receipt that a decision record was made from, decoded again from the recorded payload and trace."""
    trace = content.get("trace")
    carried = trace if isinstance(trace, dict) else {}
    parent, state = carried.get("traceparent"), carried.get("tracestate")
    headers = {name: str(value) for name, value in (("traceparent", parent), ("tracestate", state)) if value}
    payload = str(content.get("payload", "")).encode()
    arrived_at = parse_instant(str(content["arrived_at"]))
    return wire.receive(int(str(content["sequence"])), str(content["subject"]), payload, headers, arrived_at)


def promise_of(index: int, content: dict[str, Json]) -> Promise:
    """The promise that an approved or reduced decision made. Raises LedgerError where its payload is no intent."""
    receipt = receipt_of(content)
    if not isinstance(receipt.body, Intent):
        msg = f"record {index} promises a signal for what is no intent"
        raise LedgerError(msg)
    quantity = content.get("quantity")
    return Promise(
        index,
        receipt,
        receipt.body,
        str(content["decision_id"]),
        str(content["signal_id"]),
        None if quantity is None else float(str(quantity)),
        reduces=content.get("reduces") is not None,
    )


def spilled_key(content: dict[str, Json]) -> tuple[str, str]:
    """What tells a spilled close from every other."""
    return str(content.get("decision_id")), str(content.get("at"))


@dataclass(slots=True)
class Folded:
    """What the ledger says so far. Fold every record in order; a broken chain raises LedgerError."""

    book: str
    policy: Policy
    origin: str = ""
    """Whose reports of the account count."""
    rehearsed: Accounts | None = None
    """A simulated account that must live through what the ledger holds, as it did when it was written."""
    settled: int = 0
    """Promises of records up to this index are known to be settled."""
    position: Position = field(init=False)
    memory: Book = field(init=False)
    holdings: Holdings = field(init=False)
    open: dict[int, Promise] = field(default_factory=dict)
    """Promises not known to be settled, by intent sequence."""
    spilled: set[tuple[str, str]] = field(default_factory=set)
    """Decision ids and times of the closes that passed unrecorded and are written down."""
    _parts: Parts = field(default_factory=Parts)

    def __post_init__(self) -> None:
        self.position = Position(self.book)
        self.memory = Book(int(self.policy.longest("duplicate_window_seconds")) * SECOND)
        self.holdings = Holdings(self.origin)
        if self.rehearsed is not None:
            self.rehearsed.begin(0)

    def keep_for(self, policy: Policy) -> None:
        """Remember from now on as long as ``policy`` needs, if that is longer: what is forgotten stays so."""
        self.memory.retention = max(self.memory.retention, int(policy.longest("duplicate_window_seconds")) * SECOND)

    def take(self, message: Delivered, *, first: bool = False) -> None:
        """Fold one ledger message. ``first`` marks the one a reading starts from, whose predecessor is not known."""
        found, content = position_after(self.book, message)
        if not first and message.headers.get(subjects.PREV_HEADER) != self.position.head:
            msg = f"ledger of {self.book}: record {found.index} does not continue record {self.position.index}"
            raise LedgerError(msg)
        self.position = found
        try:
            self._take(found.index, content)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            msg = f"ledger of {self.book}: record {found.index} cannot be folded: {error!r}"
            raise LedgerError(msg) from error

    def _take(self, index: int, content: dict[str, Json]) -> None:
        match content.get("kind"):
            case "decision":
                self._decision(index, content)
            case "spilled":
                self.take_spilled(content)
            case "state" | "latch":
                self.memory.take_standing(content)
            case "expired":
                self.open.pop(int(str(content.get("sequence"))), None)
                self.holdings.expired(str(content.get("decision_id")))
                self._parts.expire(str(content.get("decision_id")))
            case "execution":
                execution = execution_of(part(content, "execution"))
                self.holdings.executed(execution)
                self.memory.executed(execution)
            case "account":
                self.holdings.reported(report_of(part(content, "report")))
            case kind if kind == SNAPSHOT:
                self._snapshot(content)
            case _:
                pass

    def take_spilled(self, content: dict[str, Json]) -> None:
        """Fold a close that passed unrecorded, from the record that is written of it."""
        self.spilled.add(spilled_key(content))
        remembered = remembered_of(content)
        if remembered is not None:
            self.memory.fold(remembered)

    def snapshot_content(self) -> Content:
        """The state that a recovery could not count up again from the last day of the ledger."""
        return {"holdings": self.holdings.content(), "standing": self.memory.standing_content()}

    def _snapshot(self, content: dict[str, Json]) -> None:
        complete = self._parts.take(content)
        if complete is None:
            return
        state, expired = complete
        self.holdings = Holdings.read(part(state, "holdings"))
        self.holdings.under(self.origin)  # the account may be told of by another source than when this was written
        self.memory.take_standing(part(state, "standing"))
        for decision_id in expired:
            self.holdings.expired(decision_id)

    def _decision(self, index: int, content: dict[str, Json]) -> None:
        self._order(content)
        remembered = remembered_of(content)
        if remembered is None:
            return
        self.memory.fold(remembered)
        if remembered.promoted and index > self.settled:
            promise = promise_of(index, content)
            self.open[promise.sequence] = promise

    def _order(self, content: dict[str, Json]) -> None:
        order = order_of(content)
        if self.rehearsed is not None:
            self.rehearsed.due(parse_instant(str(content["at"])))  # it is in the ledger already
        if order is not None:
            self.holdings.promoted(order)
            if self.rehearsed is not None:
                self.rehearsed.promoted(order)

    def forget_settled(self) -> None:
        """Drop the promises that the latest record says are settled."""
        self.open = {key: promise for key, promise in self.open.items() if promise.index > self.position.settled}
