"""What a person sees of a configuration on a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.models import Json


def _safe(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))


def _rows(found: Json) -> Iterator[dict[str, Json]]:
    yield from (row for row in (found if isinstance(found, list) else ()) if isinstance(row, dict))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


class ConfigScreen:
    """The terminal. With ``as_json`` every answer is one JSON document instead."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=False)

    def configuration(self, found: Json, *, as_json: bool) -> None:
        """Parameters with their values, or what scopes set."""
        if as_json or not isinstance(found, dict):
            _print_json(found)
            return
        self._out.print(f"book {_safe(found['book'])}, version {found['version']}, {_safe(found['revision'])[:12]}")
        if "scopes" in found:
            self._scopes(found)
            return
        rows = list(_rows(found["parameters"]))
        table = _table("parameter", "value", "set by", "default", "enforced by")
        for row in rows:
            style = None if row["set_by"] == "defaults" else "bold"
            table.add_row(
                *(_safe(row[name]) for name in ("name", "value", "set_by", "default", "enforced_by")), style=style
            )
        self._out.print(table)
        if len(rows) == 1:
            for name in ("description", "unit", "impact", "when_to_change", "example", "loosening"):
                self._out.print(f"{name.replace('_', ' ')}: {_safe(rows[0][name])}")

    def _scopes(self, found: dict[str, Json]) -> None:
        scopes, versions = found["scopes"], found["scope_versions"]
        table = _table("scope", "version", "parameter", "value")
        for scope, values in scopes.items() if isinstance(scopes, dict) else ():
            version = versions.get(scope) if isinstance(versions, dict) else None
            for name, value in values.items() if isinstance(values, dict) else ():
                table.add_row(_safe(scope), _safe(version), _safe(name), _safe(value))
        self._out.print(table)

    def change(self, found: Json, *, as_json: bool) -> None:
        """What became of a change."""
        if as_json or not isinstance(found, dict):
            _print_json(found)
            return
        version, proposal, loosens = found.get("version"), found.get("proposal"), found.get("loosens")
        if isinstance(version, dict):
            self._out.print(
                f"version {version['number']}, {_safe(version['action'])} of {_safe(version['scope'])}, revision "
                f"{_safe(version['revision'])[:12]}: {_safe(found['boards'])}"
            )
        elif isinstance(proposal, dict):
            self._out.print(f"waits for a second person as proposal {_safe(proposal['id'])}", style="yellow")
            self._loosened(proposal["loosens"])
            self._out.print(f"  petrosa-cio config approve {_safe(proposal['id'])} --by NAME")
        else:
            self._out.print("nothing changed: this loosens, and was only tried", style="yellow")
            self._loosened(loosens)
            second = found.get("needs_second_person")
            self._out.print("  with --loosen it " + ("waits for a second person" if second else "is put in force"))

    def _loosened(self, sentences: Json) -> None:
        for sentence in sentences if isinstance(sentences, list) else ():
            self._out.print(f"  {_safe(sentence)}")

    def versions(self, found: Json, *, as_json: bool) -> None:
        """Versions, newest first."""
        if as_json:
            _print_json(found)
            return
        table = _table("version", "at", "action", "scope", "author", "reason", "revision")
        for row in _rows(found):
            author = _safe(row["author"]) + (f" + {_safe(row['approved_by'])}" if row["approved_by"] else "")
            table.add_row(
                _safe(row["number"]),
                _safe(row["at"])[:19],
                _safe(row["action"]),
                _safe(row["scope"]),
                author,
                _safe(row["reason"]),
                _safe(row["revision"])[:12],
            )
        self._out.print(table)

    def differences(self, found: Json, *, as_json: bool) -> None:
        """Values that differ."""
        if as_json:
            _print_json(found)
            return
        table = _table("scope", "parameter", "before", "after")
        for row in _rows(found):
            before = _safe(row["before"]) if row["set_before"] else "not set"
            after = _safe(row["after"]) if row["set_after"] else "not set"
            table.add_row(_safe(row["scope"]), _safe(row["name"]), before, after)
        self._out.print(table)

    def proposals(self, found: Json, *, as_json: bool) -> None:
        """Proposals, newest first."""
        if as_json:
            _print_json(found)
            return
        for row in _rows(found):
            settled = f" by {_safe(row['settled_by'])}" if row["settled_by"] else ""
            self._out.print(
                f"{_safe(row['id'])}  {_safe(row['state'])}{settled}  {_safe(row['scope'])}  "
                f"by {_safe(row['author'])} at {_safe(row['at'])[:19]}: {_safe(row['reason'])}"
            )
            self._loosened(row["loosens"])

    def valid(self, source: str, found: Json, *, as_json: bool) -> None:
        """A policy file that has no fault."""
        if as_json or not isinstance(found, dict):
            _print_json(found)
            return
        self._out.print(f"{_safe(source)}: valid, revision {_safe(found['revision'])}")


def _print_json(found: Json) -> None:
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
