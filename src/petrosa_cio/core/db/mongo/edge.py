"""Where the driver's exceptions stop: each becomes one of ours, tells no secret and keeps its cause."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bson.errors import BSONError
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError

from petrosa_cio.core.db.mongo.address import secrets
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.core.db.mongo.address import MongoAddress

FOREIGN: tuple[type[Exception], ...] = (
    *(PyMongoError, BSONError, OSError),
    # Integers beyond 64 bits, text that UTF-8 cannot carry, and nesting without end: none of it can be in the store.
    *(OverflowError, UnicodeEncodeError, RecursionError),
)
"""What the driver raises while it works."""

UNUSABLE: tuple[type[Exception], ...] = (TypeError, ValueError, UserWarning)
"""What it raises besides for a connection string that cannot be used."""

_LONGEST_TOLD = 400


class Taken(StoreError):
    """A document was not inserted because one with the same key is there."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge towards one deployment."""

    address: MongoAddress

    @contextmanager
    def guard(self, *more: type[Exception]) -> Iterator[None]:
        """Raise Taken where a unique key is taken, StoreError for everything else of `FOREIGN` and ``more``."""
        try:
            yield
        except DuplicateKeyError as error:
            raise Taken(self._told(error)) from error
        except (*FOREIGN, *more) as error:
            # One that quotes a secret is not kept as the cause either: a traceback would print it.
            raise StoreError(self._told(error)) from (None if self._quotes_secret(error) else error)

    def _told(self, error: Exception) -> str:
        """What may be told of ``error``: its own words, without documents, lists of servers and secrets."""
        if self._quotes_secret(error):
            return f"{self.address}: {type(error).__name__}"
        text = str(error)
        if isinstance(error, BulkWriteError):
            faults = [*(error.details.get("writeErrors") or ()), *(error.details.get("writeConcernErrors") or ())]
            text = str(faults[0].get("errmsg", "")) if faults else text
        elif isinstance(error, OperationFailure):
            text = text.partition(", full error: ")[0]
        return f"{self.address}: {type(error).__name__}: {text[:_LONGEST_TOLD]}"

    def _quotes_secret(self, error: Exception) -> bool:
        return any(secret in str(error) for secret in secrets(self.address.uri))
