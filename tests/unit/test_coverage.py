"""Statistics of the shadow ledger on histories of known answer. `bench/coverage.py` does the same on 1,000 each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

BENCH = Path(__file__).resolve().parents[2] / "bench"


def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


histories = _loaded("histories")
coverage = _loaded("coverage")
World = histories.World


@pytest.mark.parametrize(
    "world",
    [World(rate=0.8), World(days=28, barriers=True), World(days=14, rate=3.0)],
    ids=["12 weeks", "4 weeks of stops and targets", "2 weeks"],
)
def test_the_interval_covers_the_truth(world: object) -> None:
    """Of 200 seeded histories with re-fires, common shocks and heavy tails, 90 to 98 % have the truth within.

    An interval that covers 95 % leaves these bounds with one of 100 seeds (binomial, 180 to 196 of 200), one that
    covers 85 % meets them with one of 30.
    """
    share, count = coverage.covered(world, 200)
    assert count >= 195
    assert 0.90 <= share <= 0.98


def test_refires_taken_for_independent_would_cover_far_less() -> None:
    """The same histories with every position an episode of its own on a day of its own: the check can fail."""
    naive = 0
    ledgers = list(histories.histories(World(), 60, 5))
    for ledger in ledgers:
        results = [float(one.result) for one in ledger.shadows]
        mean = sum(results) / len(results)
        half = 1.96 * sum((result - mean) ** 2 for result in results) ** 0.5
        naive += abs(-sum(results) - World().expected_savings) <= half
    assert naive / len(ledgers) < 0.8


def test_a_gate_that_blocks_at_random_looks_random_and_its_fees_are_apart() -> None:
    """Of 100 histories few are significant either way (at most 10, where 5 are due), while savings are positive."""
    skilled, harmful, real, expected = coverage.significant(World(days=28, rate=2.0, block=0.4), 100)
    assert skilled <= 0.10
    assert harmful <= 0.10
    assert real > 0
    assert real == pytest.approx(expected, rel=0.05)


def test_a_gate_with_skill_is_told_from_chance() -> None:
    """A gate that blocks losers half as often again, and winners half as often, is found in most of 25 histories."""
    skilled, harmful, _, _ = coverage.significant(World(days=28, rate=4.0, block=0.4, skill=0.5), 25)
    assert skilled >= 0.5
    assert harmful == 0


def test_a_live_gate_starts_without_numpy() -> None:
    """What a gate and the feeds import brings no NumPy: it is the Auditor's alone."""
    told = "import sys, petrosa_cio.cli.processes; print(sorted({'numpy', 'pyarrow'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
