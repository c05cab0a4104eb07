"""The spill file: closes that were let through while the ledger took no records, fsynced one by one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


class SpillFile:
    """`ports.Spill` as a file of JSON lines. One process writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, entry: bytes) -> None:
        """Append one line and wait until the disk has it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(entry + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"spill {self._path.name}: {error}"
            raise StoreError(msg) from error

    def pending(self) -> list[bytes]:
        """The whole lines of the file."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            msg = f"spill {self._path.name}: {error}"
            raise StoreError(msg) from error
        return [line for line in text.split(b"\n") if line and _whole(line)]

    def clear(self) -> None:
        """Rename the file out of the way."""
        number = 1
        while (aside := self._path.with_suffix(f".reconciled-{number}")).exists():
            number += 1
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        except OSError as error:
            msg = f"spill {self._path.name}: {error}"
            raise StoreError(msg) from error


def _whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
