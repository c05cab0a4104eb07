"""Configuration versions and proposals as JSON text, the form in which stores keep them whole.

One text holds one version, so what comes back is what went in: integers of any size, floats, nulls, and names with dots
or dollars in them, which a document database would otherwise interpret.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

from petrosa_cio.apps.strategist.ports import Proposal, Version
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from typing import Any

_TUPLES = ("remove", "loosens")


def version_text(version: Version) -> str:
    """The one JSON text of ``version``, ASCII, keys sorted. Raises StoreError for what JSON cannot carry (NaN)."""
    return _text(version)


def proposal_text(proposal: Proposal) -> str:
    """The one JSON text of ``proposal``. Raises StoreError for what JSON cannot carry."""
    return _text(proposal)


def read_version(text: str) -> Version:
    """The version that ``text`` was made of. Raises StoreError where it was not made by `version_text`."""
    try:
        return Version(**_object(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a configuration version cannot be read: {error}") from error


def read_proposal(text: str) -> Proposal:
    """The proposal that ``text`` was made of. Raises StoreError where it was not made by `proposal_text`."""
    try:
        found = _object(text)
        return Proposal(**{**found, **{name: tuple(found[name]) for name in _TUPLES}})
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a proposal cannot be read: {error}") from error


def _text(kept: Version | Proposal) -> str:
    # The fields by name, not `dataclasses.asdict`: that would copy every configuration once more, key by key.
    content = {field.name: getattr(kept, field.name) for field in fields(kept)}
    try:
        # ASCII with escapes carries every string there is, lone surrogates among them; UTF-8 would not.
        return json.dumps(content, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"cannot be kept as JSON: {error}") from error


def _object(text: str) -> dict[str, Any]:
    content = json.loads(text)
    if not isinstance(content, dict):
        msg = "not a JSON object"
        raise ValueError(msg)  # noqa: TRY004  the caller's question is whether this is a record
    return content
