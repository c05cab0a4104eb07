"""What the execution engine tells of the account over REST: ``GET /account`` and ``GET /positions`` (fleet facts §7.5).

Read-only, as for the exchange: nothing but GET leaves, no redirect is followed. Three pitfalls are minded:

* ``total_balance_usdt`` is of ``account_type`` ``combined``: beside money at the exchange it counts what the engine's
  simulator holds. Where both are there, the exchange's own wallet balance is taken.
* An engine that cannot reach its exchange may go on and tell of its simulator alone. A report of another account than
  the first that was told is none.
* Which keys a position has is not certain, so those that are documented are accepted; if one cannot be read, no
  positions are told, never some of them.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx2

from petrosa_cio.apps.nurse.facts import Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.core.exchange.binance import checked_base_url, only_get
from petrosa_cio.core.exchange.polled import (
    Polled,
    Unreadable,
    figure,
    figure_if_told,
    listed,
    object_in,
    positive,
    symbol,
)
from petrosa_cio.core.exchange.tokens import DECODER

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

ORIGIN = "engine"
LIKE = "http://petrosa-tradeengine:8000"

_LARGEST_BODY = 4 * 1024 * 1024
_PAGE = 500
_MOST_PAGES = 10
_DEEPEST = 16
_LONGEST_PAUSE_SECONDS = 600.0
_SIDES = {"LONG": Side.LONG, "BUY": Side.LONG, "SHORT": Side.SHORT, "SELL": Side.SHORT}
_ZERO, _ONE = Decimal(0), Decimal(1)


class _NoAnswer(Exception):
    """The engine gave no answer that can be read."""

    def __init__(self, why: str, wait_seconds: float = 0.0) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class _Holdings:
    positions: tuple[Position, ...] | None
    unrealised: Decimal | None = None
    notes: tuple[str, ...] = ()
    wait_seconds: float = 0.0


class Engine:
    """A connection to the engine. Use it as an async context manager. Raises SettingsError for what is no URL."""

    def __init__(self, base_url: str, *, now_ns: Callable[[], int], timeout_seconds: float = 5.0) -> None:
        self._now_ns = now_ns
        self._timeout = timeout_seconds
        self._account = ""
        self.client = httpx2.AsyncClient(
            base_url=checked_base_url(base_url, "CIO_ENGINE_URL", LIKE),
            timeout=httpx2.Timeout(timeout_seconds),
            headers={"User-Agent": "petrosa-cio"},
            follow_redirects=False,
            event_hooks={"request": [only_get]},
        )

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.__aexit__(kind, error, trace)

    async def report(self) -> Polled:
        """What the engine says that the account holds, as of when it was asked. Without a wallet there is no report."""
        asked = self._now_ns()
        try:
            account, wallet, notes = _wallet(await self._get("/account"))
            self._same(account)
        except _NoAnswer as error:
            return Polled(None, f"/account: {error}", wait_seconds=error.wait_seconds)
        except Unreadable as error:
            return Polled(None, f"/account: {error}")
        held = await self._holdings()
        report = AccountReport(ORIGIN, asked, wallet, held.unrealised, held.positions)
        return Polled(report, notes=(*notes, *held.notes), wait_seconds=held.wait_seconds)

    def _same(self, account: str) -> None:
        if self._account not in ("", account):
            msg = f"tells of the account of {account}, and of that of {self._account} before"
            raise Unreadable(msg)
        self._account = account

    async def _holdings(self) -> _Holdings:
        try:
            return _held(await self._positions())
        except (_NoAnswer, Unreadable) as error:
            wait = error.wait_seconds if isinstance(error, _NoAnswer) else 0.0
            return _Holdings(None, notes=(f"no positions: {error}",), wait_seconds=wait)

    async def _positions(self) -> list[object]:
        """Every position, page after page; what changed while it was read is not told."""
        found: list[object] = []
        for _ in range(_MOST_PAGES):
            answer = object_in(await self._get(f"/positions?limit={_PAGE}&offset={len(found)}"), "the answer")
            if answer.get("status", "success") != "success":
                msg = "the engine says that it failed"
                raise Unreadable(msg)
            page = listed(answer.get("data"), "data")
            found += page
            pagination = object_in(answer.get("pagination", {}), "pagination")
            if pagination.get("has_next") is not True:
                if pagination.get("total", len(found)) != len(found):
                    msg = f"{len(found)} were read where the engine counts another number"
                    raise Unreadable(msg)
                return found
            if not page:
                break
        msg = f"they do not end within {_MOST_PAGES} pages"
        raise Unreadable(msg)

    async def _get(self, path: str) -> object:
        """The JSON under ``path``. Raises _NoAnswer."""
        try:
            # The client bounds each read, not the whole answer: an engine that drips bytes would hold us for ever.
            async with asyncio.timeout(self._timeout):
                return await self._read(path)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
            raise _NoAnswer(type(error).__name__) from error

    async def _read(self, path: str) -> object:
        body = bytearray()
        async with self.client.stream("GET", path) as response:
            if response.status_code != httpx2.codes.OK:
                why = f"HTTP status {response.status_code}"
                raise _NoAnswer(why, _pause(response.headers.get("Retry-After")))
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_BODY:
                    why = f"more than {_LARGEST_BODY} bytes"
                    raise _NoAnswer(why)
        try:
            value: object = DECODER.decode(body.decode("utf-8"))
        except (RecursionError, ValueError) as error:
            why = "no JSON"
            raise _NoAnswer(why) from error
        return value


def _pause(told: str | None) -> float:
    """Seconds that the engine wants not to be asked; 0 where it names none. A date is none: its clock is not ours."""
    if told is None or not re.fullmatch(r"[0-9]{1,9}", told.strip(), re.ASCII):
        return 0.0
    return min(float(told), _LONGEST_PAUSE_SECONDS)


def _wallet(answer: object) -> tuple[str, Decimal, tuple[str, ...]]:
    """Whose account the engine tells of, its wallet balance, and what is to be said of it. Raises Unreadable."""
    account = object_in(answer, "the answer")
    balances = _object_if_told(account, "balances")
    at_exchange = _object_if_told(balances, "binance")
    simulated = _holds(balances.get("simulator"))
    if at_exchange.get("error"):
        msg = "the engine says that it cannot read its exchange"
        raise Unreadable(msg)
    if not at_exchange:
        return "its simulator" if simulated else "its own", figure(account, "total_balance_usdt"), ()
    if not simulated:
        return "the exchange", figure(account, "total_balance_usdt"), ()
    usdt = object_in(at_exchange.get("USDT"), "balances.binance.USDT")
    note = "total_balance_usdt counts a simulator's money too: the wallet is that at the exchange"
    return "the exchange", figure(usdt, "wallet_balance"), (note,)


def _object_if_told(fields: dict[str, object], name: str) -> dict[str, object]:
    """The object under ``name``; an empty one where there is none. Raises Unreadable."""
    return {} if fields.get(name) is None else object_in(fields[name], name)


def _holds(value: object, depth: int = 0) -> bool:
    """Whether any figure in ``value``, however it is nested, is other than 0; what is no figure and no word is."""
    if depth > _DEEPEST:
        return True
    if isinstance(value, dict):
        return any(_holds(one, depth + 1) for one in value.values())
    if isinstance(value, list):
        return any(_holds(one, depth + 1) for one in value)
    if value is None or isinstance(value, bool):
        return False
    try:
        return figure({"": value}, "") != _ZERO
    except Unreadable:
        return not isinstance(value, str)


def _held(found: list[object]) -> _Holdings:
    """The open positions among ``found``. Raises Unreadable where one cannot be read."""
    positions: list[Position] = []
    profits: list[Decimal | None] = []
    unknown_leverage: list[str] = []
    for item in found:
        fields = object_in(item, "a position")
        if not _is_open(fields):
            continue
        profit = figure_if_told(fields, "unrealized_pnl")
        leverage = figure_if_told(fields, "leverage")
        position = _position(fields, profit, leverage)
        positions.append(position)
        profits.append(profit)
        if leverage is None:
            unknown_leverage.append(position.symbol)
    told = [profit for profit in profits if profit is not None]
    note = f"leverage is not told, and taken as 1: {', '.join(sorted(set(unknown_leverage))[:10])}"
    return _Holdings(
        tuple(positions),
        sum(told, _ZERO) if len(told) == len(profits) else None,
        (note,) if unknown_leverage else (),
    )


def _is_open(fields: dict[str, object]) -> bool:
    status = fields.get("status", "open")
    if not isinstance(status, str):
        msg = "status is no word"
        raise Unreadable(msg)
    return status.lower() == "open" and figure(fields, "quantity", "size") != _ZERO


def _position(fields: dict[str, object], profit: Decimal | None, leverage: Decimal | None) -> Position:
    side = _side(fields)
    quantity = figure(fields, "quantity", "size")
    if quantity < _ZERO and side is Side.LONG:
        msg = "quantity contradicts side"
        raise Unreadable(msg)
    quantity, entry = abs(quantity), positive(fields, "avg_price", "entry_price")
    if leverage is not None and leverage < _ONE:
        msg = "leverage is below 1"
        raise Unreadable(msg)
    paid = quantity * entry
    gained = _ZERO if profit is None else profit if side is Side.LONG else -profit
    who = fields.get("strategy_id")
    return Position(
        symbol(fields),
        side,
        quantity=quantity,
        entry=entry,
        notional=max(paid + gained, _ZERO),  # at the mark, since profit is quantity times its distance from the entry
        leverage=_ONE if leverage is None else leverage,
        liquidation_price=_liquidation(fields),
        strategy_id=who if isinstance(who, str) and who.isprintable() and 0 < len(who) <= 128 else None,
    )


def _side(fields: dict[str, object]) -> Side:
    word = fields.get("side")
    side = _SIDES.get(word.upper()) if isinstance(word, str) else None
    if side is None:
        msg = "side is none"
        raise Unreadable(msg)
    return side


def _liquidation(fields: dict[str, object]) -> Decimal | None:
    told = figure_if_told(fields, "liquidation_price")
    return told if told is not None and told > _ZERO else None
