"""Which store keeps a book's configuration: a file in the data directory, or a database where one is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.core.db.configs_sqlite import SqliteConfigs
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.strategist.ports import ConfigStore

CONFIG_FILE = "config.sqlite"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where the configuration is kept."""

    data_dir: Path


async def open_config_store(place: StorePlace) -> ConfigStore:
    """The store at ``place``, made where it is not there yet. Raises StoreError."""
    try:
        place.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{place.data_dir}: {error.strerror}"
        raise StoreError(msg) from error
    return SqliteConfigs(place.data_dir / CONFIG_FILE)
