"""The documents that are generated from the code: reasons, parameters, settings, the schema of a report.

``python -m petrosa_cio.bootstrap.documents docs`` writes them; a house test holds the committed files to what the code
says now.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.report_schema import report_schema
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.parameters.parameter import Loosening
from petrosa_cio.apps.nurse.reasons import REASONS, Reason
from petrosa_cio.settings import described

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.parameters.parameter import Parameter

_GENERATED = "<!-- Generated from the code by `make docs`. Do not edit: a test compares. -->"

_OUTSIDE_THE_TABLE: Mapping[Reason, str] = {
    Reason.MALFORMED_INTENT: "in force, before the table; a `close` answers to it too",
    Reason.DUPLICATE_INTENT: "in force, before the table; a `close` answers to it too",
    Reason.BELOW_MINIMUM_AFTER_REDUCTION: "in force, after a reduction",
    Reason.LEDGER_UNAVAILABLE: "marks what passed unrecorded while the ledger took no records; blocks nothing itself",
}

_NEEDS = {control.code: control.needs for control in TABLE}

_REASONS_HEAD = """\
# Reasons

Every refusal and every reduction carries at least one of these codes, with the numbers that were compared. The order
below is precedence: the order in which a decision lists its reasons. A decision names every reason that fired, not only
the first. Codes are vocabulary of the wire and the ledger: they are added, never renamed and never reused.

* **Always on** marks a safety control: no policy can switch it off or merely observe it.
* **State** says what the control needs. Every one has its check; one that *needs* a fact looks where the fact is known,
  fresh and sound. Where it is not, the control is *unevaluated*: it neither passes nor blocks, and the decision names
  it. To refuse entries while a fact is missing, list the fact in `required_facts` ([policy.md](policy.md)): then
  MARKET_STALE or ACCOUNT_UNKNOWN blocks. Where facts of the market come from: [market.md](market.md).
* POLICY_UNAVAILABLE blocks until a gate has heard which policy is in force, and again once that was not confirmed for
  `max_policy_age_seconds`. In a replay the policy is a file, which has no age.
* TRADING_HALTED, REDUCING_ONLY and STRATEGY_LATCHED say what holds entries back (`by`: `operator`, or the code of a
  red line), since when and until when (null: until a person lifts it). DAILY_LOSS, DRAWDOWN, STRATEGY_DRAWDOWN and
  REPEATED_EXECUTION are red lines: what they block, they latch ([operations.md](operations.md#halting-a-book)).
* `close` answers to MALFORMED_INTENT and DUPLICATE_INTENT only; `hold` too, and in one-way mode a `buy` or `sell` that
  takes off no more than what is known to be open on the other side. All others are for `buy` and `sell`.
"""

_PARAMETERS_HEAD = """\
# Parameters

Every value that a policy can set, in any scope ([policy.md](policy.md) says how). Bounds are inclusive. Mind the units:
some names that end in `_pct` are percent and some are fractions; the unit line says which.

*Enforced by* names the control that reads the parameter, `engine` where it describes the execution engine's own
configuration (the gate may read it, and never sends it anywhere), or a part of ours. Where it adds that the control
needs a fact, setting the parameter changes no verdict while that fact is not known. The exception are the four
parameters of EXCHANGE_FILTER, which also count when the effective order is worked out. `guard` reads bars: what it
finds, a regime and what moves together, reaches verdicts through the controls that need `bars`
([regime.md](regime.md)). A parameter of `alerts` changes of what somebody is told, and no verdict; the one of `gate`
decides when a gate says that it lives ([client.md](client.md)).
"""

_SETTINGS_HEAD = """\
# Settings

Environment variables read by `petrosa-cio serve`. They are read once at the start; a name that begins with `CIO_` and
is not listed here is refused (names under `CIO_TEST_` are left alone), and every fault is named at once.
[operations.md](operations.md) says how to choose them.
"""

_LOOSER: Mapping[Loosening, str] = {
    Loosening.UP: "a higher value admits more risk",
    Loosening.DOWN: "a lower value admits more risk",
    Loosening.NEITHER: "values are not ordered by risk",
}


def reasons_markdown() -> str:
    """The table of reasons: code, meaning, remedy, and what this version does about it."""
    rows = [
        (f"`{code}`", text.sentence, text.remedy, "yes" if text.always_on else "", _state(code))
        for code, text in ((code, REASONS[code]) for code in Reason)
    ]
    table = _table(("Code", "Meaning", "What to do", "Always on", "State"), rows)
    return _document(_REASONS_HEAD, table)


def parameters_markdown() -> str:
    """Every parameter: an overview in table order, then one entry each."""
    overview = _table(("Name", "Type", "Default", "Accepts", "Enforced by"), map(_row, PARAMETERS.values()))
    return _document(_PARAMETERS_HEAD, overview, *map(_entry, PARAMETERS.values()))


def settings_markdown() -> str:
    """The table of environment variables."""
    rows = [(f"`{name}`", f"`{default}`" if default else "none", meaning) for name, default, meaning in described()]
    return _document(_SETTINGS_HEAD, _table(("Variable", "Default", "Meaning"), rows))


def report_schema_json() -> str:
    """The JSON Schema of a report in JSON."""
    return json.dumps(report_schema(), indent=2) + "\n"


DOCUMENTS = {
    "reasons.md": reasons_markdown,
    "parameters.md": parameters_markdown,
    "settings.md": settings_markdown,
    "report.schema.json": report_schema_json,
}
"""Name of each generated file in the directory of documents, and what writes it."""


def main(arguments: Sequence[str]) -> int:
    """Write every generated document into the directory that is named; return the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m petrosa_cio.bootstrap.documents DIRECTORY\n")
        return 2
    for name, written in DOCUMENTS.items():
        (Path(arguments[0]) / name).write_text(written(), encoding="utf-8")
    return 0


def _state(code: Reason) -> str:
    if code in _OUTSIDE_THE_TABLE:
        return _OUTSIDE_THE_TABLE[code]
    facts = " and ".join(f"`{fact}`" for fact in _NEEDS[code])
    return f"in force; needs {facts}" if facts else "in force"


def _row(item: Parameter) -> tuple[str, ...]:
    name = f"[`{item.name}`](#{item.name})"
    return name, item.kind.value, f"`{_json(item.default)}`", _accepted(item), _enforced(item)


def _entry(item: Parameter) -> str:
    return "\n".join(
        (
            f"## `{item.name}`\n",
            f"{item.description}\n",
            f"* Type {item.kind.value}, default `{_json(item.default)}`, accepts {_accepted(item)}.",
            f"* Unit: {item.unit}.",
            f"* Effect: {item.impact}",
            f"* When to change: {item.when_to_change}",
            f"* Enforced by {_enforced(item)}; {_LOOSER[item.loosening]}.",
            f"* Example: `{_json(item.example)}`",
        )
    )


def _enforced(item: Parameter) -> str:
    if item.enforced_by not in Reason.__members__:
        return f"`{item.enforced_by}`"
    facts = " and ".join(f"`{fact}`" for fact in _NEEDS.get(Reason(item.enforced_by), ()))
    return f"`{item.enforced_by}`" + (f" (needs {facts})" if facts else "")


def _accepted(item: Parameter) -> str:
    bounds = " and ".join(_bounds(item)) or ", ".join(f"`{word}`" for word in item.allowed) or f"any {item.kind.value}"
    return f"{bounds}, or `null`" if item.nullable else bounds


def _bounds(item: Parameter) -> Iterator[str]:
    if item.minimum is not None:
        yield f"≥ {item.minimum}"
    if item.maximum is not None:
        yield f"≤ {item.maximum}"


def _json(value: Json) -> str:
    return json.dumps(value)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """``text`` so that it stays one cell: no line breaks, pipes escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def _document(*parts: str) -> str:
    return "\n\n".join((_GENERATED, *(part.strip() for part in parts))) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
