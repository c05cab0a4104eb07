"""The monitor that stands for the engine keeps the engine's rules: restriction after a minute, recovery after three."""

from __future__ import annotations

import pytest

from engine_monitor import EngineMonitor, is_beat

BEAT = b'{"service": "petrosa-cio", "status": "GOVERNANCE_ACTIVE", "timestamp": 1795512600.5, "version": "0.1.0"}'


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        (BEAT, True),
        (b'{"service": "socket-client", "status": "healthy", "timestamp": 1.0}', True),
        (b'{"service": "petrosa-cio"}', True),
        (b'{"service": "petrosa-cio", "timestamp": "1795512600"}', True),
        (b'{"service": "petrosa-cio", "timestamp": "2026-11-24T09:30:00+00:00"}', False),
        (b'{"status": "GOVERNANCE_ACTIVE", "timestamp": 1.0}', False),
        (b'{"service": 7}', False),
        (b"ping", False),
        (b"", False),
        (b"[]", False),
    ],
)
def test_what_counts_as_a_beat(data: bytes, counts: bool) -> None:
    """Text ``service`` is needed, ``timestamp`` must be a number where there is one, and nothing else is looked at."""
    assert is_beat(data) is counts


@pytest.mark.parametrize(("last_beat", "restricted_at"), [(0.0, 65.0), (3.0, 65.0), (4.9, 65.0), (5.0, 70.0)])
def test_it_restricts_sixty_to_sixty_five_seconds_after_the_last_beat(last_beat: float, restricted_at: float) -> None:
    """The age is examined every five seconds and must be above sixty: at sixty itself nothing happens."""
    engine = EngineMonitor()
    engine.at(last_beat).hear(BEAT)
    assert not engine.at(restricted_at - 0.1).restricted
    assert engine.at(restricted_at).restricted


def test_it_recovers_after_three_beats_in_a_row() -> None:
    """A message that is no beat begins the count anew, and does no other harm."""
    engine = EngineMonitor().at(65)
    for data, restricted in [(BEAT, True), (BEAT, True), (b"ping", True), (BEAT, True), (BEAT, True), (BEAT, False)]:
        engine.hear(data)
        assert engine.restricted is restricted
    engine.hear(b"ping")
    assert not engine.restricted
