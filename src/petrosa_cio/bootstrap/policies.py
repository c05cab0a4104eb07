"""Policies at start: a file, or the default of the command that starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.policy import Policy

PRODUCTION: dict[str, Json] = {}
"""``serve``: the defaults as they are, which require every fact. Without feeds nothing that adds risk passes."""

EMBEDDED: dict[str, Json] = {
    "scopes": {"global": {"max_daily_trades": 10_000, "max_orders_per_minute": 6_000}},
    "required_facts": [],
}
"""``up``: no market or account fact is required, so their controls are unevaluated and each decision says so; counts
are wide enough for a day of sample strategies."""

REPLAY: dict[str, Json] = {"required_facts": []}
"""``replay``: the fleet's defaults on intent, policy, clock and book alone; market and account controls unevaluated."""


def load(path: Path | None, default: dict[str, Json]) -> Policy:
    """The policy in ``path``, else ``default``. Raises PolicyError naming every fault, or what cannot be read."""
    if path is None:
        return read_policy(default, "default policy")
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolicyError((f"cannot be read: {error}",), str(path)) from error
    return read_policy(content, str(path))
