"""A policy on its way to gates and other services: one JSON text that holds it whole, and the values of each scope.

The text is the same on every board: ``v``, ``book``, ``version``, ``revision``, ``at`` (ISO-8601, to the microsecond)
and ``content``, keys sorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.models import iso, parse_instant
from petrosa_cio.apps.nurse.policy import GLOBAL
from petrosa_cio.apps.nurse.ports import PublishedPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.policy import Values

FORMAT: int = 1
HIGHEST_VERSION: int = 2**53 - 1
"""Beyond it a reader whose numbers are floats (Lua, JavaScript) could not tell two versions apart."""

_KINDS = (GLOBAL, "symbol", "strategy")


def encode(policy: PublishedPolicy) -> bytes:
    """Return the text of ``policy``.

    Raises ValueError where it would not be read back as it is (NaN, infinity, text that is not Unicode), where the
    version is not between 1 and `HIGHEST_VERSION`, or where `by_scope` cannot take the content apart.
    """
    if not 1 <= policy.version <= HIGHEST_VERSION:
        msg = f"version {policy.version} is not between 1 and {HIGHEST_VERSION}"
        raise ValueError(msg)
    content = dict(policy.content)
    by_scope(content)
    try:
        body = record.encode(
            {
                "v": FORMAT,
                "book": policy.book,
                "version": policy.version,
                "revision": policy.revision,
                "at": iso(policy.at),
                "content": content,
            }
        )
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if decode(policy.book, body).content != content:
        msg = "holds what JSON cannot carry, such as NaN"
        raise ValueError(msg)
    return body


def decode(book: str, body: bytes) -> PublishedPolicy:
    """Return the policy of ``book`` that ``body`` holds. Raises ValueError where it holds none, or another book's."""
    found = record.decode(body)
    version, revision, at, content = (found.get(key) for key in ("version", "revision", "at", "content"))
    if found.get("v") != FORMAT:
        msg = f"format {found.get('v')!r} is not known here"
        raise ValueError(msg)
    if found.get("book") != book:
        msg = f"says of itself that it belongs to book {found.get('book')!r}"
        raise ValueError(msg)
    if (
        not isinstance(version, int)
        or isinstance(version, bool)
        or not isinstance(revision, str)
        or not isinstance(at, str)
        or not isinstance(content, dict)
    ):
        msg = "lacks a version, revision, time or content, or has one of the wrong type"
        raise ValueError(msg)  # noqa: TRY004  the caller's question is whether this is a policy
    return PublishedPolicy(book, version, revision, content, parse_instant(at))


def version_of(body: bytes) -> int:
    """Return the version that ``body`` says it has, also in a format that is not known here; 0 where it says none."""
    try:
        version = record.decode(body).get("version")
    except ValueError:
        return 0
    return version if isinstance(version, int) and not isinstance(version, bool) else 0


def by_scope(content: Mapping[str, Json]) -> dict[str, Values]:
    """Return what each scope of a policy's content sets: by parameter name, modes of controls as ``mode.CODE``.

    ``modes`` and ``required_facts`` at the top are the global scope's, and win over what it sets, as in `read_policy`.
    Raises ValueError where these are not objects, or a scope is none of global, symbol and strategy.
    """
    scopes = {scope: dict(_object(scope, values)) for scope, values in _object("scopes", content.get("scopes")).items()}
    for scope in scopes:
        if scope.partition(":")[0] not in _KINDS:
            msg = f"unknown scope {scope!r}"
            raise ValueError(msg)
    modes = _object("modes", content.get("modes"))
    whole: Values = {f"mode.{code}": mode for code, mode in modes.items()}
    if "required_facts" in content:
        whole["required_facts"] = content["required_facts"]
    if whole:
        scopes.setdefault(GLOBAL, {}).update(whole)
    return scopes


def _object(name: str, value: Json) -> Values:
    if value is None:
        return {}
    if not isinstance(value, dict):
        msg = f"{name} must be an object"
        raise ValueError(msg)  # noqa: TRY004  one kind of fault: this content cannot be taken apart
    return value


class Rising:
    """Hands on each policy that is newer than every one before it: pushes may come doubled, late or out of order."""

    def __init__(self, changed: Callable[[PublishedPolicy], None]) -> None:
        self._changed = changed
        self._version = 0

    def tell(self, policy: PublishedPolicy | None) -> None:
        """Hand ``policy`` on if it is newer."""
        if policy is not None and policy.version > self._version:
            self._version = policy.version
            self._changed(policy)
