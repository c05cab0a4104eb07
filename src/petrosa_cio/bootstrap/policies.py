"""Policies at start: a file, or the default of the command that starts."""

from __future__ import annotations

import json
from collections import Counter
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
    "scopes": {"global": {"max_daily_trades": 10_000, "max_orders_per_minute": 6_000, "slippage_tolerance_pct": 1.0}},
    "required_facts": [],
}
"""``up``: no market or account fact is required, so where none is known (``--market none``) their controls are
unevaluated, and each decision says so. Counts are wide enough for a day of sample strategies, and the price collar for
an invented market that moves by minutes twice a second."""

REPLAY: dict[str, Json] = {"required_facts": []}
"""``replay``: the fleet's defaults; controls whose facts the recording does not tell are unevaluated."""

_FACTS = "required_facts"


def load(path: Path | None, default: dict[str, Json]) -> Policy:
    """The policy in ``path``, else ``default``. Raises PolicyError naming every fault, or what cannot be read.

    A file that does not say which facts are required requires those that ``default`` does: a command that has no feeds
    would block every entry otherwise.
    """
    if path is None:
        return read_policy(default, "default policy")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError((f"cannot be read: {error}",), str(path)) from error
    return read_policy(with_required_facts(policy_text(text, str(path)), default), str(path))


def policy_text(text: str, source: str) -> Json:
    """Decode a policy file. Raises PolicyError also for a name that is given twice: which of the two is meant?"""
    repeated: list[str] = []

    def noting(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        repeated.extend(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        return dict(pairs)

    try:
        content: Json = json.loads(text, object_pairs_hook=noting)
    except ValueError as error:
        raise PolicyError((f"cannot be read: {error}",), source) from error
    except RecursionError as error:
        raise PolicyError(("cannot be read: nested too deep",), source) from error
    if repeated:
        raise PolicyError(tuple(f"{name!r} is given more than once" for name in dict.fromkeys(repeated)), source)
    return content


def with_required_facts(content: Json, default: dict[str, Json]) -> Json:
    """``content`` with the required facts of ``default`` where it names none."""
    if not isinstance(content, dict) or _FACTS in content or _FACTS not in default:
        return content
    scopes = content.get("scopes")
    everywhere = scopes.get("global") if isinstance(scopes, dict) else None
    if isinstance(everywhere, dict) and _FACTS in everywhere:
        return content
    return {**content, _FACTS: default[_FACTS]}
