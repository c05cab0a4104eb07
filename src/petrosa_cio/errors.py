"""Our exceptions. Each says whose fault it is; a refused intent is never one of them (that is a verdict).

::

    CioError
    ├── PolicyError            the operator's: a policy file or patch that breaks rules, all faults named
    ├── SettingsError          the operator's: a setting that cannot be used
    ├── RecordingError         the caller's: a recording or kline file that cannot be read, with file and line
    ├── BusError               the environment's: NATS is unreachable, refuses us or lacks JetStream
    │   └── Fenced             another gate's: it wrote the ledger first; recover and go on
    ├── LedgerError            the data's: a record is altered, missing or out of order; names the record
    ├── StoreError             the environment's: the query store cannot be read or written
    └── NotFound               the caller's: no such decision
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
    """The query store cannot be read or written."""


class NotFound(CioError):
    """No such decision."""
