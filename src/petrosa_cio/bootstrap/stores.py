"""Which stores: MongoDB where one is configured, else files in the data directory.

The query store is what the projector fills and commands read; the configuration store holds a book's versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.core.db.configs_sqlite import SqliteConfigs
from petrosa_cio.core.db.mongo.address import MongoAddress
from petrosa_cio.core.db.mongo.configs import MongoConfigs
from petrosa_cio.core.db.mongo.decisions import MongoDecisions
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.nurse.ports import DecisionStore
    from petrosa_cio.apps.strategist.ports import ConfigStore
    from petrosa_cio.settings import Settings

STORE_FILE = "decisions.sqlite"
CONFIG_FILE = "config.sqlite"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where the stores are: in MongoDB where that is named, else in the data directory."""

    data_dir: Path
    mongodb: MongoAddress | None = None


def place_of(settings: Settings) -> StorePlace:
    """Where the settings say that the stores are."""
    if settings.mongodb_uri is None:
        return StorePlace(settings.data_dir)
    address = MongoAddress(settings.mongodb_uri.get_secret_value(), settings.mongodb_database)
    return StorePlace(settings.data_dir, address)


async def fill_store(place: StorePlace) -> DecisionStore:
    """The query store to carry the ledger into; made where there is none. Raises StoreError."""
    if place.mongodb is not None:
        return await MongoDecisions.open(place.mongodb)
    return SqliteStore(place.data_dir / STORE_FILE)


async def open_store(place: StorePlace) -> DecisionStore:
    """The query store to read. Raises StoreError, saying where it looked, if there is none."""
    if place.mongodb is not None:
        return await MongoDecisions.open(place.mongodb, read_only=True)
    path = place.data_dir / STORE_FILE
    if not path.exists():
        msg = f"no decisions in {place.data_dir} (looked for {STORE_FILE}); name the directory with --data-dir"
        raise StoreError(msg)
    return SqliteStore(path, read_only=True)


async def open_config_store(place: StorePlace) -> ConfigStore:
    """The configuration store at ``place``, made where it is not there yet. Raises StoreError."""
    if place.mongodb is not None:
        return await MongoConfigs.open(place.mongodb)
    try:
        place.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{place.data_dir}: {error.strerror}"
        raise StoreError(msg) from error
    return SqliteConfigs(place.data_dir / CONFIG_FILE)
