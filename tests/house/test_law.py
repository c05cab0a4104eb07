"""The laws of the house that a type checker does not hold: purity of the judgement, and one closed vocabulary of no."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import petrosa_cio.apps
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.reasons import ALWAYS_ON, REASONS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.parameters.parameter import Parameter

APPS = Path(petrosa_cio.apps.__file__).parent
FILES = sorted(APPS.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(APPS)) for path in FILES])

CONTRACTS = APPS / "nurse" / "contracts.py"

IMPURE = {"asyncio", "socket", "os", "time", "random", "logging"}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}
SERVICES = {"engine", "gate", "auditor", "strategist", "alerts", "guard"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that ``tree`` imports, and every name it imports from one, dotted."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module)):
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)


def used(tree: ast.AST) -> Iterator[str]:
    """Every name that ``tree`` uses, plain or as an attribute; string annotations are read as code."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.Constant(value=str(text)) if "Any" in text.replace("[", " ").replace("]", " ").split():
                yield "Any"


def clocks_read(tree: ast.AST) -> Iterator[str]:
    """Calls of a method that tells the time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield ast.unparse(node.func)


def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_there_is_a_judgement_to_hold_to_the_law() -> None:
    """The files are found, the Nurse among them: an empty walk would prove nothing."""
    assert {"enforcer.py", "decision.py", "book.py", "policy.py"} <= {path.name for path in FILES}


@every_file
def test_apps_are_pure(path: Path) -> None:
    """No clock, no chance, no network, no environment, no log: not imported under any name."""
    assert {name for name in imported(tree_of(path)) if name.split(".")[0] in IMPURE} == set()


@every_file
def test_apps_do_not_say_any(path: Path) -> None:
    """Types say what a thing is: `Any` is neither imported nor used, not even inside a quoted annotation."""
    tree = tree_of(path)
    assert {name for name in imported(tree) if name.split(".")[-1] == "Any"} == set()
    assert "Any" not in set(used(tree))


@every_file
def test_apps_read_no_clock(path: Path) -> None:
    """Time is an argument: nothing in here asks what time it is, but once the engine's contracts, for a default."""
    assert list(clocks_read(tree_of(path))) == (["datetime.now"] if path == CONTRACTS else [])


def test_the_clock_of_the_contracts_is_a_default_only() -> None:
    """What reads the clock for the engine's contracts only fills in a field for which no time was given."""
    tree = tree_of(CONTRACTS)
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "_now"]
    defaults = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "default_factory"
    ]
    blanks = [
        value
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_moment_or_now"
        for value in ast.walk(node)
    ]
    assert len(uses) == 6
    assert [use for use in uses if use not in defaults and use not in blanks] == []


@every_file
def test_nothing_inside_makes_what_reads_the_clock(path: Path) -> None:
    """The engine's contracts are handed on by the models and used by nothing else in here."""
    stamped = {"Signal", "TradingConfig", "TradingConfigAudit", "LeverageStatus"}
    if path not in (CONTRACTS, CONTRACTS.with_name("models.py")):
        assert stamped & {name.split(".")[-1] for name in imported(tree_of(path))} == set()


@pytest.mark.parametrize(
    "code",
    [
        "from typing import Any",
        "import typing as t\nx: t.Any = 1",
        "def f(x: 'dict[str, Any]') -> None: ...",
        "x: Any = 1",
    ],
)
def test_the_walk_finds_any(code: str) -> None:
    """The law is not held by a walk that cannot see."""
    tree = ast.parse(code)
    assert "Any" in {name.split(".")[-1] for name in (*imported(tree), *used(tree))}


@pytest.mark.parametrize("code", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "clock.time_ns()"])
def test_the_walk_finds_clocks(code: str) -> None:
    """The law is not held by a walk that cannot see."""
    assert list(clocks_read(ast.parse(code)))


@pytest.mark.parametrize("code", Reason)
def test_every_reason_is_told_in_words(code: Reason) -> None:
    """A code is its own value, and has a sentence and a remedy that end as sentences do."""
    assert code.value == code.name
    assert REASONS[code].sentence.endswith(".")
    assert REASONS[code].remedy.endswith(".")


def test_no_words_without_a_reason() -> None:
    """The table of texts follows the vocabulary, in its order."""
    assert list(REASONS) == list(Reason)


OUTSIDE_THE_TABLE = {
    Reason.MALFORMED_INTENT,
    Reason.DUPLICATE_INTENT,
    Reason.BELOW_MINIMUM_AFTER_REDUCTION,
    Reason.LEDGER_UNAVAILABLE,
}


def test_the_table_has_every_other_reason_once_and_in_order() -> None:
    """Declaration order is precedence, and the table keeps it; four reasons are judged outside it."""
    assert [control.code for control in TABLE] == [code for code in Reason if code not in OUTSIDE_THE_TABLE]


def test_what_is_always_on_comes_first() -> None:
    """Safety controls precede all others in the table, so that the gravest reason is the first that is read."""
    always = [control.code in ALWAYS_ON for control in TABLE]
    assert always == sorted(always, reverse=True)


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS)
def test_every_parameter_is_enforced_by_something_that_exists(parameter: Parameter) -> None:
    """A control of the vocabulary, or a service by name: none is decoration."""
    assert parameter.enforced_by in {*(code.value for code in Reason), *SERVICES}


def test_every_control_with_a_limit_of_its_own_has_a_parameter() -> None:
    """What a parameter says enforces it is a row of the table, or a duplicate, which is judged before it."""
    enforcers = {parameter.enforced_by for parameter in PARAMETERS.values()} - SERVICES
    assert enforcers <= {control.code.value for control in TABLE} | {Reason.DUPLICATE_INTENT.value}
