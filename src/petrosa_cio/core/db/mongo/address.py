"""Where a MongoDB is, and what of that may be told.

A connection string holds a password. It is kept out of every message, repr and log: what is told of it is the scheme
and the hosts, and nothing at all where it does not follow the grammar, so that hosts cannot be told from secrets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

UNTOLD = "MongoDB at an address that is not well formed"
_SECRET_OPTIONS = ("authmechanismproperties", "tlscertificatekeyfilepassword")
# A password with one of these characters unescaped must not be taken for hosts or a path: none is allowed an "@".
_GRAMMAR = re.compile(r"(mongodb(?:\+srv)?://)(?:[^@/?#]*@)?([\w.\-:\[\],%]+)(?:/[^?@]*)?(?:\?[^@]*)?")


@dataclass(frozen=True, slots=True)
class MongoAddress:
    """A deployment by its connection string, and the database there that is ours."""

    uri: str = field(repr=False)
    """``mongodb://`` or ``mongodb+srv://``. Options in it that weaken what is promised are overruled."""
    database: str = "petrosa_cio"

    def __str__(self) -> str:
        return f"{public(self.uri)}, database {self.database}"


def public(uri: str) -> str:
    """``uri`` without credentials, path and options."""
    found = _GRAMMAR.fullmatch(uri)
    return found.group(1) + found.group(2) if found else UNTOLD


def secrets(uri: str) -> frozenset[str]:
    """The parts of ``uri`` that must never be told, as they are written and as they are meant."""
    rest = uri.partition("://")[2]
    credentials, _, place = rest.rpartition("@")
    _, _, password = credentials.partition(":")
    options = [option.partition("=") for option in place.partition("?")[2].split("&")]
    found = {password, *(value for name, _, value in options if name.lower() in _SECRET_OPTIONS)}
    return frozenset({*found, *map(unquote, found), *map(unquote_plus, found)} - {""})
