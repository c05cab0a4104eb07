"""Which query store: what the projector fills, and what commands read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.nurse.ports import DecisionStore

STORE_FILE = "decisions.sqlite"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where the query store is: a file in the data directory."""

    data_dir: Path


async def fill_store(place: StorePlace) -> DecisionStore:
    """The query store to carry the ledger into; made where there is none. Raises StoreError."""
    return SqliteStore(place.data_dir / STORE_FILE)


async def open_store(place: StorePlace) -> DecisionStore:
    """The query store to read. Raises StoreError, saying where it looked, if there is none."""
    path = place.data_dir / STORE_FILE
    if not path.exists():
        msg = f"no decisions in {place.data_dir} (looked for {STORE_FILE}); name the directory with --data-dir"
        raise StoreError(msg)
    return SqliteStore(path, read_only=True)
