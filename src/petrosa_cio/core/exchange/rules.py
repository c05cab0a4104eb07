"""The rules of symbols: whether they trade, filters and published margin, out of an ``exchangeInfo`` answer.

Only what is used is judged here: a field that the exchange adds elsewhere is the probe's to find, and must not take the
filters of every symbol away.
"""

from __future__ import annotations

import gzip
import json
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from petrosa_cio.apps.nurse.facts import Bracket
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.observations import Ruled
from petrosa_cio.core.exchange.drift import contracts_in, filters_of
from petrosa_cio.core.exchange.shapes import DecimalText
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petrosa_cio.apps.nurse.facts import Instant

RULES_SECONDS = 3600.0
"""How often the rules are read: the exchange changes them a few times a month, and announces it."""
UNLISTED = "UNKNOWN"
"""Status of a symbol that the exchange does not list."""

# More than any position is worth: the published margin holds for all of them.
_NO_CAP = Decimal("1e12")
_TEXT: TypeAdapter[str] = TypeAdapter(DecimalText)


def rules_in(answer: object, now: Instant) -> dict[str, Ruled]:
    """What an ``exchangeInfo`` answer, read at ``now``, says of each symbol; empty where it lists none."""
    listed = ((contract.get("symbol"), contract) for contract in contracts_in(answer))
    return {symbol: _ruled(symbol, contract, now) for symbol, contract in listed if isinstance(symbol, str)}


def unlisted(symbol: str, now: Instant) -> Ruled:
    """What is said of a symbol that the exchange does not list."""
    return Ruled(symbol, now, now, _due(now), UNLISTED)


def read_rules(path: Path) -> dict[str, Ruled]:
    """What a stored ``exchangeInfo`` answer (gzip where the name ends in .gz) says of each symbol.

    Raises RecordingError where it cannot be read, or lists no symbol.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            answer: object = json.loads(file.read())
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        msg = f"{path.name}: cannot be read as an exchangeInfo answer: {error}"
        raise RecordingError(msg) from error
    found = rules_in(answer, 0)
    if not found:
        msg = f"{path.name}: is no exchangeInfo answer: it lists no symbol"
        raise RecordingError(msg)
    return found


def _due(now: Instant) -> Instant:
    return now + int(RULES_SECONDS * SECOND)


def _ruled(symbol: str, contract: dict[str, object], now: Instant) -> Ruled:
    due = _due(now)
    filters = filters_of(contract)

    def figure(name: str, field: str) -> Decimal | None:
        return _decimal(filters.get(name, {}).get(field))

    status, kind = contract.get("status"), contract.get("contractType")
    return Ruled(
        symbol,
        now,
        now,
        due,
        status=status if isinstance(status, str) and status else UNLISTED,
        contract_type=kind if isinstance(kind, str) and kind else None,
        step_size=figure("LOT_SIZE", "stepSize"),
        tick_size=figure("PRICE_FILTER", "tickSize"),
        min_notional=figure("MIN_NOTIONAL", "notional"),
        min_quantity=figure("LOT_SIZE", "minQty"),
        max_quantity=figure("MARKET_LOT_SIZE", "maxQty"),
        brackets=tuple(_brackets(contract)) or None,
    )


def _brackets(contract: dict[str, object]) -> Iterator[Bracket]:
    """One step with the published margin, as `Bracket` says: the steps of the account itself need a key."""
    percent = _decimal(contract.get("maintMarginPercent"))
    if percent is not None:
        yield Bracket(_NO_CAP, percent / 100, Decimal(0))


def _decimal(value: object) -> Decimal | None:
    try:
        return Decimal(_TEXT.validate_python(value, strict=True))
    except ValidationError:
        return None
