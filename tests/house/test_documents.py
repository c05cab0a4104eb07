"""The documents say what the code does: generated ones are fresh, links resolve, examples run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from builders_records import make_decisions
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.decision import Totals
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.models import Intent
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.reasons import Reason
from petrosa_cio.bootstrap.documents import DOCUMENTS, main
from petrosa_cio.bootstrap.judging import judge_text
from petrosa_cio.bootstrap.policies import REPLAY
from petrosa_cio.cli import app
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.core.nats import wire
from petrosa_cio.core.nats.ledger import Position, entry
from petrosa_cio.settings import described

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.ports import StoredRecord

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
COMMANDS = {name: command for name, command in typer.main.get_group(app).commands.items() if not command.hidden}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its code, fenced or inline: what is left holds its links and headings."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def section(page: str, heading: str) -> str:
    """The text under one heading, up to the next of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text_of(page), re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading!r}"
    return found.group(1)


@pytest.mark.parametrize(("name", "written"), DOCUMENTS.items(), ids=str)
def test_a_generated_document_is_what_the_code_says_now(name: str, written: Callable[[], str]) -> None:
    """A committed generated document equals what would be generated; `make docs` writes it."""
    assert (DOCS / name).read_text(encoding="utf-8") == written()


def test_the_generator_writes_every_document(tmp_path: Path) -> None:
    """The generator writes each generated document into the directory it is given, and nothing else."""
    assert main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(DOCUMENTS)


@pytest.mark.parametrize("arguments", [[], ["no such directory"], ["a", "b"]], ids=str)
def test_the_generator_refuses_what_is_no_directory(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without exactly one existing directory the generator says how it is used and exits 2."""
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_every_reason_has_one_row() -> None:
    """The table of reasons has exactly one row for each code, in order of precedence."""
    assert re.findall(r"^\| `([A-Z_]+)` \|", text_of("docs/reasons.md"), re.MULTILINE) == [str(code) for code in Reason]


def test_every_parameter_has_one_entry_and_one_row() -> None:
    """The document of parameters has an entry and a row for each parameter, in table order."""
    page = text_of("docs/parameters.md")
    assert re.findall(r"^## `(\w+)`$", page, re.MULTILINE) == list(PARAMETERS)
    assert re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE) == list(PARAMETERS)


@pytest.mark.parametrize("name", sorted(name for name in DOCUMENTS if name.endswith(".md")))
def test_rows_of_a_generated_table_have_as_many_cells_as_its_head(name: str) -> None:
    """Text from the code that holds a pipe or a line break does not break a table."""
    rows = [line for line in text_of(f"docs/{name}").splitlines() if line.startswith("|")]
    assert len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    """Every relative link leads to a file of this repository, and its anchor to a heading of that file."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_path_of_some_machine(page: Path) -> None:
    """No document holds an absolute path of the machine it was written on."""
    assert not re.findall(r"(?<![\w.$~}])/(?:work|farm|root|tmp|home|Users)/\S*", page.read_text(encoding="utf-8"))


def test_every_page_is_on_the_map() -> None:
    """docs/index.md links every page and every decision, and the README leads to it."""
    index = prose(DOCS / "index.md")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"index.md"}
    assert pages == set(re.findall(r"\]\(([^)\s#]+)\)", index))
    assert "(docs/index.md)" in text_of("README.md")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_described_with_every_option(name: str) -> None:
    """docs/operations.md has a section for each command that is not hidden, and it names each of its options."""
    told = section("docs/operations.md", f"`petrosa-cio {name}`")
    commands = [COMMANDS[name], *getattr(COMMANDS[name], "commands", {}).values()]
    options = {flag for command in commands for option in command.params for flag in option.opts if flag[:2] == "--"}
    assert not {flag for flag in options - {"--help"} if f"`{flag}`" not in told}
    assert not {part for part in getattr(COMMANDS[name], "commands", {}) if f"`{name} {part}" not in told}


def test_every_setting_is_named() -> None:
    """docs/operations.md says of each setting what to decide."""
    told = section("docs/operations.md", "Settings of `serve`")
    assert not [name for name, _, _ in described() if f"`{name}`" not in told]


@pytest.mark.parametrize("example", blocks("docs/policy.md", "json"), ids=lambda text: " ".join(text.split())[:40])
def test_policy_examples_are_policies(example: str) -> None:
    """Every policy in docs/policy.md is accepted as it stands."""
    assert read_policy(json.loads(example)).revision


@pytest.mark.parametrize("example", blocks("docs/intents.md", "json"), ids=lambda text: " ".join(text.split())[:40])
def test_intent_examples_are_intents(example: str) -> None:
    """Every intent in docs/intents.md is well-formed."""
    assert isinstance(wire.receive(1, "intent.example", example.encode(), None, 0).body, Intent)


def test_every_field_of_an_intent_is_described() -> None:
    """docs/intents.md names every field that is looked at."""
    told = section("docs/intents.md", "Fields")
    assert not [name for name in Intent.model_fields if f"`{name}`" not in told]


def test_the_readme_shows_what_judge_says() -> None:
    """The reasons and the verdict in the README's session are those that judge gives for the intent shown."""
    shown = blocks("README.md", "console")[0]
    given = re.search(r"echo '(.*)' \|", shown)
    assert given
    answer = judge_text(given.group(1).encode(), None)
    reasons = re.search(r'"reasons": (\[.*?\n  \])', shown, re.DOTALL)
    assert reasons
    assert json.loads(reasons.group(1)) == answer["reasons"]
    assert f'"verdict": "{answer["verdict"]}"' in shown


def test_the_readme_counts_the_controls_that_await_facts() -> None:
    """The number of unevaluated controls in the README is the number of controls that need a fact."""
    assert f"{sum(bool(control.needs) for control in TABLE)} controls" in text_of("README.md")


def test_the_first_record_in_the_ledger_page_is_the_one_replay_writes() -> None:
    """The worked example of docs/ledger.md is the first record of a replay, and its hash is right."""
    shown = blocks("docs/ledger.md", "console")[0]
    body = re.search(r" 0 '(.*)' \| sha256sum\n([0-9a-f]{64})", shown)
    assert body
    policy = read_policy(REPLAY)
    content: Content = {"kind": "policy", "policy_revision": policy.revision, "policy": policy.content}
    assert entry(Position("main"), content, 0, Totals(), policy.revision).body == body.group(1).encode()
    assert hashlib.sha256(b"0" * 64 + b"\n" + body.group(1).encode()).hexdigest() == body.group(2)


async def filled(path: Path, records: list[StoredRecord]) -> None:
    store = SqliteStore(path)
    await store.append("main", records, [], 0)
    await store.close()


@pytest.mark.skipif(not (shutil.which("sqlite3") and shutil.which("sha256sum")), reason="needs sqlite3 and sha256sum")
def test_the_ledger_page_verifies_a_book_without_our_code(tmp_path: Path) -> None:
    """The script in docs/ledger.md gives the head of a sound book, and names the first record that was altered."""
    records = make_decisions(3)
    path, script = tmp_path / "decisions.sqlite", tmp_path / "verify.sh"
    script.write_text(next(block for block in blocks("docs/ledger.md", "sh") if "sha256sum" in block))
    asyncio.run(filled(path, records))

    def verified() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", script, path, "main"], capture_output=True, text=True, timeout=30, check=False)

    assert verified().stdout == f"head {records[-1].hash}\n"
    altered = records[1].body.replace(b"BTCUSDT", b"ETHUSDT")
    assert record.chain(records[1].prev, altered) != records[1].hash
    alter = f"UPDATE records SET body = X'{altered.hex()}' WHERE idx = 2"
    subprocess.run(["sqlite3", path, alter], timeout=30, check=True)
    again = verified()
    assert (again.returncode, again.stdout) == (1, "record 2 does not hold\n")
