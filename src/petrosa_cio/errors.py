"""Our exceptions. Each says whose fault it is; a refused intent is never one of them (that is a verdict).

::

    CioError
    ├── PolicyError            the operator's: a policy file or patch that breaks rules, all faults named
    ├── SettingsError          the operator's: a setting that cannot be used
    ├── RecordingError         the caller's: a recording or kline file that cannot be read, with file and line
    ├── BusError               the environment's: NATS is unreachable, refuses us or lacks JetStream
    │   └── Fenced             another gate's: it wrote the ledger first; recover and go on
    ├── LedgerError            the data's: a record is altered, missing or out of order; names the record
    ├── StoreError             the environment's: a store cannot be read or written
    │   └── VersionTaken       another writer's: the number of a configuration version is kept already
    ├── PatchRefused           the author's: a change of policy that breaks rules, all faults named
    │   └── VersionConflict    another author's: the scope was changed meanwhile; names both versions
    ├── MalformedIntent        the caller's: what a strategy would submit is no intent, all faults named
    └── NotFound               the caller's: no such decision, version or proposal
        ├── NoLeader           the environment's: no gate that leads the book answers an operator
        └── CommandRefused     the operator's: what was asked for is not there, such as a latch to lift
"""

from __future__ import annotations


class CioError(Exception):
    """Base of everything this package raises on purpose."""


class PolicyError(CioError):
    """A policy that cannot be used. ``faults`` names every broken rule, not only the first."""

    def __init__(self, faults: tuple[str, ...], source: str = "policy") -> None:
        self.faults = faults
        self.source = source
        super().__init__(f"{source}: " + "; ".join(faults))


class SettingsError(CioError):
    """A setting that cannot be used; the message names the setting and what it accepts."""


class RecordingError(CioError):
    """A recording of intents or klines that cannot be read; the message names file and line."""


class BusError(CioError):
    """NATS is unreachable, refuses us, or lacks JetStream; the message says how to mend it."""


class Fenced(BusError):
    """The ledger refused an append because another gate wrote first. Discard state, recover, go on."""


class LedgerError(CioError):
    """A ledger record is altered, missing or out of order. The message names the record."""


class StoreError(CioError):
    """A store cannot be read or written."""


class VersionTaken(StoreError):
    """A configuration version of this number is kept already: another writer was first. Read the head and try again."""


class PatchRefused(CioError):
    """A change of policy that cannot be made. ``faults`` names every broken rule, not only the first."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class VersionConflict(PatchRefused):
    """A patch was made against a version of its scope that is no longer the latest. Read again and decide anew."""

    def __init__(self, scope: str, expected: int, found: int) -> None:
        self.scope = scope
        self.expected = expected
        self.found = found
        super().__init__((f"{scope}: expected version {expected}, found version {found}",))


class MalformedIntent(CioError):
    """What a strategy would submit is no intent. ``faults`` names every broken rule, not only the first."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class NotFound(CioError):
    """No such decision, version or proposal."""


class NoLeader(NotFound):
    """No gate that leads the book answered a command in time; whether it was carried out is not known."""


class CommandRefused(NotFound):
    """The gate that leads cannot carry a command out: what it is about is not there. The message says what."""
