"""docs/probe.md names everything that a report of the probe can hold."""

from __future__ import annotations

import re
from pathlib import Path

from petrosa_cio.core.exchange.drift import Kind
from petrosa_cio.core.exchange.endpoints import ENDPOINTS
from petrosa_cio.core.exchange.probe import ProbeReport
from petrosa_cio.core.exchange.refusals import ErrorClass

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "probe.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([^`\n]+)`", PAGE))


def test_every_endpoint_is_named() -> None:
    """Each endpoint that is asked stands in the page."""
    assert not [endpoint.path for endpoint in ENDPOINTS if endpoint.path not in WORDS]


def test_every_kind_of_drift_and_every_class_of_error_is_explained() -> None:
    """Both vocabularies stand in the page, word by word."""
    assert not {word.value for word in (*Kind, *ErrorClass)} - WORDS


def test_every_key_of_a_live_report_is_named() -> None:
    """What `--json` prints is described."""
    assert not ProbeReport().content().keys() - WORDS
