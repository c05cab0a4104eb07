"""`petrosa-cio config` as an operator uses it: alone on a data directory, and on a running `up`."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from harness import Outcome, Process, ours, run_cli, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACE = (
    "Three of the strategies send the same entry within a minute of one another on news days, and the fund pays fees "
    "for all of them; a lower rate keeps the first and drops the echoes."
)
WHY = ("--author", "ana", "--trace", TRACE, "--reason", "echoes")


def config(directory: Path, *arguments: str, given: bytes = b"") -> Outcome:
    return run_cli("config", *arguments, "--data-dir", str(directory), given=given)


def answer(done: Outcome) -> dict[str, object]:
    found: dict[str, object] = json.loads(done.out)
    return found


def test_every_parameter_is_listed_with_every_field_filled(tmp_path: Path) -> None:
    """At least 60 parameters, each with its meaning, unit, effect, enforcer and the value in force."""
    done = config(tmp_path, "get", "--json")
    assert done.code == 0
    parameters = answer(done)["parameters"]
    assert isinstance(parameters, list)
    assert len(parameters) >= 60
    for parameter in parameters:
        for name in ("name", "type", "unit", "description", "impact", "when_to_change", "enforced_by", "loosening"):
            assert isinstance(parameter[name], str)
            assert parameter[name]
        assert {"default", "example", "value", "set_by", "minimum", "maximum", "allowed", "nullable"} <= set(parameter)


def test_a_change_is_kept_shown_and_taken_back(tmp_path: Path) -> None:
    """Set, get, diff, history, rollback, export: the round that an operator makes."""
    done = config(tmp_path, "set", "global", "max_orders_per_minute=5", "symbol_is=", *WHY)
    assert done.code == 1
    assert "symbol_is" in done.err

    made = answer(config(tmp_path, "set", "global", "max_orders_per_minute=5", "--json", *WHY))
    assert made["applied"] is True
    assert made["version"]["number"] == 1  # type: ignore[index]
    assert answer(config(tmp_path, "set", "symbol:BTCUSDT", "leverage=3", "--json", *WHY))["applied"] is True

    (shown,) = answer(config(tmp_path, "get", "leverage", "--symbol", "BTCUSDT", "--json"))["parameters"]  # type: ignore[misc]
    assert (shown["value"], shown["set_by"]) == (3, "symbol:BTCUSDT")
    (shown,) = answer(config(tmp_path, "get", "leverage", "--json"))["parameters"]  # type: ignore[misc]
    assert (shown["value"], shown["set_by"]) == (10, "defaults")

    differences = json.loads(config(tmp_path, "diff", "1", "--json").out)
    assert [(one["scope"], one["name"], one["after"]) for one in differences] == [("symbol:BTCUSDT", "leverage", 3)]
    back = answer(config(tmp_path, "rollback", "1", "--json", *WHY))
    assert back["version"]["rolled_back_to"] == 1  # type: ignore[index]
    history = json.loads(config(tmp_path, "history", "--json").out)
    assert [(one["number"], one["action"]) for one in history] == [(3, "rollback"), (2, "create"), (1, "create")]
    assert json.loads(config(tmp_path, "export").out) == {"scopes": {"global": {"max_orders_per_minute": 5}}}
    assert history[0]["revision"] == history[2]["revision"]


def test_what_loosens_is_only_tried_and_then_waits(tmp_path: Path) -> None:
    """Loosening changes nothing without --loosen; with it, it waits; only another person puts it in force."""
    tried = config(tmp_path, "set", "global", "max_daily_trades=5000", "--json", *WHY)
    assert tried.code == 1
    assert (answer(tried)["dry_run"], answer(tried)["needs_second_person"]) == (True, True)
    assert json.loads(config(tmp_path, "history", "--json").out) == []

    waits = config(tmp_path, "set", "global", "max_daily_trades=5000", "--loosen", "--json", *WHY)
    assert waits.code == 5
    proposal = str(answer(waits)["proposal"]["id"])  # type: ignore[index]
    assert [one["id"] for one in json.loads(config(tmp_path, "proposals", "--json").out)] == [proposal]
    refused = config(tmp_path, "approve", proposal, "--by", " ANA ")
    assert refused.code == 1
    assert "second person" in refused.err
    approved = answer(config(tmp_path, "approve", proposal, "--by", "ben", "--json"))
    assert approved["version"]["approved_by"] == "ben"  # type: ignore[index]
    assert json.loads(config(tmp_path, "proposals", "--json").out) == []


def test_every_fault_is_named(tmp_path: Path) -> None:
    """A patch is judged whole: each wrong name, type, bound, the missing reasoning, all in one answer."""
    done = config(
        tmp_path, "set", "global", "leverage=999", "margin_type=odd", "no_such=1", "mode.STALE_INTENT=off",
        "--author", "ana", "--trace", "because", "--reason", "r",
    )  # fmt: skip
    assert done.code == 1
    for part in ("leverage must be <= 125", "margin_type", "no_such", "STALE_INTENT", "100 characters"):
        assert part in done.err


def test_a_stale_expectation_names_both_versions(tmp_path: Path) -> None:
    """A change made on an older version of its scope is refused, and says which was expected and which found."""
    config(tmp_path, "set", "global", "leverage=5", *WHY)
    done = config(tmp_path, "set", "global", "leverage=4", "--expect", "0", *WHY)
    assert done.code == 1
    assert "expected version 0, found version 1" in done.err


def test_policy_files_are_validated_and_imported(tmp_path: Path) -> None:
    """A faulty file is refused naming every fault; a sound one becomes the whole configuration."""
    bad = config(tmp_path, "import", "-", *WHY, given=b'{"scopes": {"global": {"leverage": 0, "nope": 1}}}')
    assert bad.code == 1
    assert "leverage" in bad.err
    assert "nope" in bad.err
    assert run_cli("config", "validate", "-", given=b"{").code == 2
    assert run_cli("config", "validate", "-", given=b'{"scopes": {"global": {"leverage": 7}}}').code == 0
    config(tmp_path, "set", "global", "max_orders_per_minute=5", *WHY)
    tried = config(tmp_path, "import", "-", "--json", *WHY, given=b'{"scopes": {"global": {"leverage": 7}}}')
    assert tried.code == 1  # it would take the limit on orders away
    assert answer(tried)["dry_run"] is True
    tighter = b'{"scopes": {"global": {"leverage": 7, "max_orders_per_minute": 4}}}'
    assert answer(config(tmp_path, "import", "-", "--json", *WHY, given=tighter))["applied"] is True


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """An `up` without market on a data directory of its own."""
    ready = tmp_path / "ready.json"
    up = Process(
        ours("up", "--data-dir", str(tmp_path / "data"), "--market", "none", "--ready-file", str(ready)),
        tmp_path / "up.log",
    ).start()
    try:
        wait_until(lambda: ready.exists() or not up.alive, "up is judging", 60)
        yield tmp_path / "data"
    finally:
        up.end()


def status(directory: Path) -> dict[str, object]:
    return answer(run_cli("status", "--data-dir", str(directory), "--json"))


def test_a_change_is_in_force_when_the_command_returns(running: Path) -> None:
    """On a running system a change is put up for the gate before the command says so."""
    made = answer(config(running, "set", "global", "max_orders_per_minute=5", "--json", *WHY))
    assert made["boards"] == "in force"
    wait_until(lambda: status(running)["policy"]["version"] == 2, "the gate has it", 2)  # type: ignore[index]
    assert status(running)["policy_revision"] == made["version"]["revision"]  # type: ignore[index]


def test_a_change_that_nobody_put_up_is_put_up_by_the_steward(running: Path) -> None:
    """A change whose author was ended after keeping it, and before putting it up, reaches the gate all the same."""
    made = answer(
        config(running, "set", "global", "max_orders_per_minute=5", "--json", "--nats-url", "nats://127.0.0.1:1", *WHY)
    )
    assert "not put up yet" in str(made["boards"])
    wait_until(lambda: status(running)["policy"]["version"] == 2, "the gate has it")  # type: ignore[index]


def test_the_configuration_survives_a_restart(tmp_path: Path) -> None:
    """What was changed while `up` ran, and while it did not, is in force after the next start; the file seeds once."""
    data, ready, seed = tmp_path / "data", tmp_path / "ready.json", tmp_path / "policy.json"
    seed.write_text('{"scopes": {"global": {"max_daily_trades": 9}}, "required_facts": []}')
    revisions = []
    for leverage in (5, 4):
        up = Process(
            ours("up", "--data-dir", str(data), "--market", "none", "--ready-file", str(ready), "--policy", str(seed)),
            tmp_path / "up.log",
        ).start()
        try:
            wait_until(lambda up=up: ready.exists() or not up.alive, "up is judging", 60)
            revisions.append(status(data)["policy_revision"])
        finally:
            up.send(signal.SIGINT)
            up.wait()
        assert answer(config(data, "set", "global", f"leverage={leverage}", "--json", *WHY))["applied"] is True
    history = json.loads(config(data, "history", "--json").out)
    assert [one["number"] for one in history] == [3, 2, 1]
    assert revisions == [history[2]["revision"], history[1]["revision"]]
