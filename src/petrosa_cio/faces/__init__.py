"""What a person sees on a terminal. Colour only where there is one; every text from the wire is escaped."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from petrosa_cio.apps.nurse.reasons import REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petrosa_cio.apps.nurse.record import ChainReport
    from petrosa_cio.bootstrap.tailing import Story

_COLOURS = {"approved": "green", "reduced": "yellow", "blocked": "red", "absorbed": "dim", "quarantined": "magenta"}
_NOT_NUMBERS = ("code", "outcome")


def _safe(value: object) -> str:
    """Text from the wire without control characters or markup: it may not move the cursor or paint."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))


def _numbers(reason: dict[str, object]) -> str:
    return ", ".join(f"{name} {_safe(value)}" for name, value in reason.items() if name not in _NOT_NUMBERS)


class Screen:
    """The terminal."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """One line for the operator."""
        self._out.print(escape(text))

    def record(self, content: dict[str, object]) -> None:
        """One ledger record as a JSON line."""
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()

    def decision(self, content: dict[str, object]) -> None:
        """One ledger record as a readable line."""
        match content.get("kind"):
            case "decision":
                self._out.print(_decision_line(content))
            case "policy":
                self._out.print(f"policy {_safe(content.get('policy_revision'))[:12]} in force", style="bold")
            case "expired":
                self._out.print(
                    f"expired {_safe(content.get('decision_id'))}: its hard timeout had passed", style="red"
                )
            case "state":
                what = f"{_safe(content.get('state'))} by {_safe(content.get('who'))}: {_safe(content.get('why'))}"
                self._out.print(f"state {what}", style="bold")
            case "latch":
                on = "book" if content.get("strategy_id") is None else _safe(content["strategy_id"])
                self._out.print(f"latch {_safe(content.get('code'))} {_safe(content.get('change'))}, {on}", style="red")
            case "gap":
                self._out.print(f"gap: {_safe(content.get('count'))} intents left the stream unjudged", style="red")
            case "outage":
                self._out.print(f"outage from {_safe(content.get('from'))}: {_safe(content.get('why'))}", style="red")
            case "spilled":
                what = " ".join(_safe(content.get(name) or "?") for name in ("strategy_id", "action", "symbol"))
                self._out.print(f"spilled {_safe(content.get('decision_id'))[:8]} {what}", style="red")
            case "execution":
                self._out.print(_execution_line(content), style="dim")
            case "account" | "snapshot":
                pass  # every few seconds; --json shows them
            case kind:
                self._out.print(f"{_safe(kind)}", style="red")

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A progress bar on standard error; nothing where that is no terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._err, disable=not self._err.is_terminal) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def summary(self, found: dict[str, object]) -> None:
        """What a replay came to."""
        table = Table(show_header=False, box=None)
        for name in (
            "intents",
            "decisions",
            "approved",
            "reduced",
            "blocked",
            "absorbed",
            "quarantined",
            "promoted",
            "expired",
            "lost",
            "duplicated",
            "unpromised",
            "recovered_from_outbox",
            "seconds",
            "latency_ms",
            "chain_head",
        ):
            table.add_row(name, _safe(found.get(name)))
        self._out.print(table)
        reasons = found.get("by_reason")
        if isinstance(reasons, dict) and reasons:
            blocks = Table(title="by reason", box=None, title_justify="left")
            blocks.add_column("intents", justify="right")
            blocks.add_column("reason")
            blocks.add_column("meaning")
            for code, count in reasons.items():
                blocks.add_row(str(count), code, REASONS[Reason(code)].sentence)
            self._out.print(blocks)

    def story(self, story: Story, *, as_json: bool) -> None:
        """Everything about one decision."""
        content = story.content
        again = {"verdict": story.verdict_again, "same": story.same_verdict, "hash_holds": story.hash_holds}
        if as_json:
            full = {**content, "signal": story.signal, "expired": story.expired, "judged_again": again}
            sys.stdout.write(json.dumps(full, indent=2) + "\n")
            return
        self._out.print(_decision_line(dict(content)))
        for name in ("decision_id", "intent_id", "sequence", "subject", "at", "arrived_at", "policy_revision"):
            self._out.print(f"  {name:16} {_safe(content.get(name))}")
        self._out.print(f"  {'ledger record':16} {story.stored.index} of book {_safe(story.stored.book)}")
        self._out.print(f"  {'hash':16} {story.stored.hash} {'holds' if story.hash_holds else 'DOES NOT HOLD'}")
        for name in ("payload", "quarantine", "facts", "order", "quantity", "trace"):
            if content.get(name) is not None:
                self._out.print(f"  {name:16} {_safe(content[name])}")
        self._checks(content.get("observed"), content.get("unevaluated"))
        sent = "promoted" if story.signal else "expired" if story.expired else "no signal"
        self._out.print(f"  {'outcome':16} {sent}")
        same = "the same" if story.same_verdict else "NOT THE SAME"
        self._out.print(f"  {'judged again':16} {story.verdict_again}: {same}")

    def _checks(self, observed: object, unevaluated: object) -> None:
        if isinstance(observed, dict) and observed:
            table = Table(box=None, title="checks", title_justify="left")
            for heading in ("control", "outcome", "numbers"):
                table.add_column(heading)
            order = list(Reason)
            for code, seen in sorted(observed.items(), key=lambda item: order.index(Reason(item[0]))):
                table.add_row(_safe(code), _safe(seen.get("outcome")), _numbers(seen))
            self._out.print(table)
        if isinstance(unevaluated, list) and unevaluated:
            self._out.print(f"  unevaluated (facts not required and not known): {', '.join(map(_safe, unevaluated))}")

    def chains(self, reports: list[ChainReport]) -> None:
        """What a walk along the chains found."""
        if not reports:
            self._out.print("no ledger here", style="red")
        for report in reports:
            verdict = "verifies" if not report.breaks else "DOES NOT VERIFY"
            self._out.print(f"book {_safe(report.book)}: {report.records} records, chain {verdict}, head {report.head}")
            for found in report.breaks:
                named = f" (decision {_safe(found.decision_id)})" if found.decision_id else ""
                self._out.print(f"  record {found.index}{named}: {_safe(found.problem)}", style="red")

    def status(self, found: dict[str, object], *, as_json: bool) -> None:
        """A gate and its accounts."""
        if as_json:
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
            return
        table = Table(show_header=False, box=None)
        for name in ("book", "state", "pid", "policy_revision"):
            table.add_row(name, _safe(found.get(name)))
        for group in ("ledger", "account", "holdings", "standing", "process"):
            facts = found.get(group)
            for name, value in facts.items() if isinstance(facts, dict) else ():
                table.add_row(f"{group} {name}", _safe(value))
        self._out.print(table)


def _execution_line(content: dict[str, object]) -> str:
    told = content.get("execution")
    found = told if isinstance(told, dict) else {}
    names = ("kind", "strategy_id", "side", "quantity", "symbol", "price", "pnl")
    what = " ".join(
        f"pnl {_safe(found[name])}" if name == "pnl" else _safe(found[name])
        for name in names
        if found.get(name) is not None
    )
    return f"{str(found.get('at'))[11:23]} {what}"


def _decision_line(content: dict[str, object]) -> str:
    verdict = str(content.get("verdict"))
    colour = _COLOURS.get(verdict, "white")
    reasons = content.get("reasons")
    why = "; ".join(
        f"{_safe(reason['code'])} ({_numbers(reason)})" for reason in (reasons if isinstance(reasons, list) else ())
    )
    at = str(content.get("at"))[11:23]
    what = " ".join(_safe(content.get(name) or "?") for name in ("strategy_id", "action", "symbol"))
    return f"{at} [{colour}]{verdict:11}[/] {str(content.get('decision_id'))[:8]} {what}  {why}"
