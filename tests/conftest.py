"""How property tests run here: no deadline (the machine is shared), and the same examples every time under CI.

And one MongoDB for all tests that need one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import mongo_server

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("house", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("house"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "house")


def pytest_report_header() -> str:
    """Which MongoDB the tests run against."""
    try:
        return f"MongoDB: {mongo_server.choose().told}"
    except LookupError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mongo_server.MongoServer]:
    """A server that speaks MongoDB's protocol, for the whole run; tests take a `fresh` database each."""
    with mongo_server.serving(mongo_server.choose(), tmp_path_factory.mktemp("mongo")) as server:
        yield server
