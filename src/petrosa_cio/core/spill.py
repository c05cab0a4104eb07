"""The spill file: closes that were let through while the ledger took no records, fsynced one by one.

Lines are JSON: ``{"key": K, "entry": {...}}`` for an entry, ``{"sent": K}`` for its mark. Processes append to one file.
Who writes the entries down claims the file first by renaming it, so an entry that is appended meanwhile is in the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.ports import Kept
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SpillFile:
    """`ports.Spill` as files of JSON lines beside ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._given: list[Path] = []

    def keep(self, key: str, entry: bytes) -> None:
        """Append one line and wait until the disk has it."""
        self._append(b'{"key":%s,"entry":%s}' % (json.dumps(key).encode(), entry))

    def sent(self, key: str) -> None:
        """Append a mark."""
        self._append(b'{"sent":%s}' % json.dumps(key).encode())

    def _append(self, line: bytes) -> None:
        with self._told():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                # A line torn by a crash must not swallow the one that follows it.
                torn = file.tell() > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
                file.write(b"\n" + line + b"\n" if torn else line + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def pending(self) -> list[Kept]:
        """Claim what was appended, and return the whole entries of every claimed file, oldest first."""
        with self._told():
            if self._path.exists() and self._path.stat().st_size:
                number = max((int(found.suffix.split("-")[1]) for found in self._claimed()), default=0) + 1
                self._path.rename(self._path.with_suffix(f".claimed-{number}-{uuid.uuid4().hex[:8]}"))
            self._given = self._claimed()
            lines = [line for file in self._given for line in file.read_bytes().split(b"\n")]
        found = [content for line in lines if (content := _whole(line)) is not None]
        marked = {content["sent"] for content in found if "sent" in content}
        return [
            Kept(str(content["key"]), json.dumps(content["entry"]).encode(), content["key"] in marked)
            for content in found
            if "key" in content and "entry" in content
        ]

    def clear(self) -> None:
        """Rename the files that `pending` read out of the way."""
        with self._told():
            for file in self._given:
                with contextlib.suppress(FileNotFoundError):
                    file.rename(file.with_suffix(file.suffix.replace(".claimed-", ".reconciled-")))
        self._given = []

    def _claimed(self) -> list[Path]:
        found = self._path.parent.glob(f"{self._path.stem}.claimed-*-*")
        return sorted(found, key=lambda file: int(file.suffix.split("-")[1]))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = f"spill {self._path.name}: {error.strerror or error}"
            raise StoreError(msg) from error


def _whole(line: bytes) -> dict[str, object] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
