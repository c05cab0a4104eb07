"""Stored answers, file by file: what each file holds, told once however many answers are in it."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from petrosa_cio.core.exchange.answers import findings
from petrosa_cio.core.exchange.archives import LARGEST
from petrosa_cio.core.exchange.drift import Drift, gathered
from petrosa_cio.core.exchange.endpoints import EXCHANGE_INFO
from petrosa_cio.core.exchange.overrides import filters_changed
from petrosa_cio.core.exchange.refusals import SENTENCES, ErrorClass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from petrosa_cio.core.exchange.overrides import Override

_MOST_UNGATHERED = 20_000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a file holds. Counts are of answers; ``unknown`` counts those that are sound and have no model."""

    file: str
    endpoints: dict[str, int]
    drift: tuple[Drift, ...]
    error_classes: dict[str, int]
    unknown: int

    def content(self) -> dict[str, object]:
        """This file as JSON. ``endpoint`` and ``error_class`` are the commonest; the counts have all of them."""
        error_class = next(iter(self.error_classes), None)
        return {
            "file": self.file,
            "endpoint": next(iter(self.endpoints), None),
            "drift": [drift.content() for drift in self.drift],
            "error_class": error_class,
            "error": None if error_class is None else SENTENCES[ErrorClass(error_class)],
            "unknown": not self.endpoints and not self.error_classes,
            "counts": {
                "answers": sum(self.endpoints.values()) + sum(self.error_classes.values()) + self.unknown,
                "endpoints": self.endpoints,
                "errors": self.error_classes,
                "unknown": self.unknown,
            },
        }


def files_in(directory: Path) -> Iterator[Path]:
    """Every file under ``directory``, by name; links to directories are not followed."""
    for root, folders, names in os.walk(directory):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))


def examine_file(path: Path, name: str, overrides: Sequence[Override] = ()) -> StoredFile:
    """What ``path`` holds, told under ``name``. Whatever the file is, this never raises."""
    try:
        # Opening a pipe would wait for a writer, and a device has no end.
        raw = path.read_bytes() if stat.S_ISREG(path.stat().st_mode) and path.stat().st_size <= LARGEST else None
        large = raw is None and stat.S_ISREG(path.stat().st_mode)
    except OSError:
        raw, large = None, False
    if raw is None:
        failed = ErrorClass.TOO_LARGE if large else ErrorClass.UNREADABLE_FILE
        return StoredFile(name, {}, (), {failed.value: 1}, 0)
    return examine_bytes(raw, name, overrides)


def examine_bytes(raw: bytes, name: str, overrides: Sequence[Override] = ()) -> StoredFile:
    """What ``raw`` holds, told under ``name``. Whatever the bytes are, this never raises."""
    endpoints: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    drifts: list[Drift] = []
    unknown = 0
    for finding in findings(raw):
        if finding.endpoint is not None:
            endpoints[finding.endpoint] += 1
            drifts.extend(finding.drift)
            if len(drifts) > _MOST_UNGATHERED:
                drifts = list(gathered(drifts))
            if finding.endpoint == EXCHANGE_INFO.path:
                drifts.extend(filters_changed(finding.answer, overrides))
        elif finding.error_class is not None:
            classes[finding.error_class.value] += 1
        else:
            unknown += 1
    return StoredFile(name, _ordered(endpoints), gathered(drifts), _ordered(classes), unknown)


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """The commonest first, the rest by name."""
    pairs: Iterable[tuple[str, int]] = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(pairs)
