"""What the exchange's events say, and which of them are not read: by hand, and on recorded streams."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders_bars import MINUTE, T0
from builders_market import MS, SYMBOL, envelope, kline_event, mark_event, quote_event, trade_event
from petrosa_cio.apps.nurse.observations import Candle, Marked, Quoted, Traded
from petrosa_cio.core.market_events import LARGEST, Unread, read_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.observations import Observation

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "binance"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded streams are not beside this repository")
NOW = T0 * MS + 7


def read(event: object, stream: str = "") -> tuple[Observation, ...]:
    found = read_event(envelope(event, stream) if isinstance(event, dict) else json.dumps(event).encode(), NOW)  # type: ignore[arg-type]
    assert found.unread is None
    return found.observations


def refused(event: object, stream: str = "") -> Unread | None:
    found = read_event(envelope(event, stream) if isinstance(event, dict) else json.dumps(event).encode(), NOW)  # type: ignore[arg-type]
    assert found.observations == ()
    return found.unread


def test_a_mark_is_read() -> None:
    """Mark, index, funding rate and time, with the exchange's time and ours."""
    assert read(mark_event(T0 + 5)) == (
        Marked(
            SYMBOL,
            (T0 + 5) * MS,
            NOW,
            Decimal("100.2"),
            Decimal("100.1"),
            Decimal("0.00010000"),
            (T0 + 28_800_000) * MS,
        ),
    )


@pytest.mark.parametrize("changed", [{"r": ""}, {"T": 0}, {"r": "", "T": 0}])
def test_a_delivery_contracts_mark_has_no_funding(changed: dict[str, object]) -> None:
    """An empty rate, or a funding time of never, is the mark of a contract that has none."""
    (mark,) = read(mark_event(T0, **changed))
    assert isinstance(mark, Marked)
    assert (mark.mark, mark.funding_rate, mark.next_funding_at) == (Decimal("100.2"), None, None)


def test_a_negative_funding_rate_is_a_rate() -> None:
    """Shorts pay: the rate is below zero."""
    (mark,) = read(mark_event(T0, r="-0.00250000"))
    assert isinstance(mark, Marked)
    assert mark.funding_rate == Decimal("-0.0025")


def test_a_book_ticker_is_read() -> None:
    """Best bid and ask with what stands there."""
    assert read(quote_event(T0 + 1)) == (
        Quoted(SYMBOL, (T0 + 1) * MS, NOW, Decimal("100.1"), Decimal("2.5"), Decimal("100.3"), Decimal("3.5")),
    )


@pytest.mark.parametrize("kind", ["trade", "aggTrade"])
def test_a_trade_is_read_with_its_own_time(kind: str) -> None:
    """A trade is of the time it was made, not of when it was told."""
    (trade,) = read(trade_event(T0 + 1, E=T0 + 9, e=kind))
    assert trade == Traded(SYMBOL, (T0 + 1) * MS, NOW, Decimal("100.25"), Decimal("0.010"))


def test_a_closed_bar_is_read() -> None:
    """Its prices, its volume, its times, and that it is closed."""
    assert read(kline_event(2)) == (
        Candle(
            SYMBOL, (T0 + 3 * MINUTE + 20) * MS, NOW, T0 + 2 * MINUTE, T0 + 3 * MINUTE - 1, 100.0, 101.0, 99.5, 100.5,
            12.5, True,
        ),
    )  # fmt: skip


def test_a_forming_bar_tells_the_last_price() -> None:
    """While it is formed its close is the last price."""
    last, bar = read(kline_event(0, "100.7", x=False))
    assert isinstance(last, Traded)
    assert (last.price, last.quantity) == (Decimal("100.7"), None)
    assert isinstance(bar, Candle)
    assert not bar.closed


def test_a_spot_ticker_tells_last_price_and_book() -> None:
    """The fleet's default stream: last price, best bid and best ask."""
    event: dict[str, object] = {
        "e": "24hrTicker", "E": T0, "s": SYMBOL, "p": "-94.9", "P": "-0.14", "w": "67100.0", "x": "67500.0",
        "c": "67412.5", "Q": "0.1", "b": "67412.4", "B": "1.0", "a": "67412.6", "A": "2.0", "o": "67507.4",
    }  # fmt: skip
    last, book = read(event)
    assert last == Traded(SYMBOL, T0 * MS, NOW, Decimal("67412.5"))
    assert book == Quoted(SYMBOL, T0 * MS, NOW, Decimal("67412.4"), Decimal("1.0"), Decimal("67412.6"), Decimal("2.0"))
    for name in "bBaA":
        del event[name]
    assert read(event) == (last,)


def levels(count: int, first: float, step: float) -> list[list[str]]:
    return [[f"{first + step * place:.1f}", f"{place + 1}.0"] for place in range(count)]


def depth(bids: object, asks: object, **changed: object) -> dict[str, object]:
    return {"e": "depthUpdate", "E": T0, "T": T0, "s": SYMBOL, "U": 1, "u": 2, "pu": 0, "b": bids, "a": asks, **changed}


@pytest.mark.parametrize("step", [0.1, -0.1])
def test_a_partial_book_is_read_whichever_way_it_is_sorted(step: float) -> None:
    """The highest bid and the lowest ask of a whole partial book are the best."""
    bids, asks = levels(20, 90.0, step), levels(20, 110.0, step)
    (book,) = read(depth(bids, asks), "btcusdt@depth20@100ms")
    assert isinstance(book, Quoted)
    assert (book.bid, book.ask) == (
        (Decimal("91.9"), Decimal("110.0")) if step > 0 else (Decimal("90.0"), Decimal("108.1"))
    )


@pytest.mark.parametrize(
    ("bids", "asks", "stream"),
    [
        (levels(20, 90.0, 0.1), levels(20, 110.0, 0.1), "btcusdt@depth@100ms"),
        (levels(20, 90.0, 0.1), levels(20, 110.0, 0.1), ""),
        (levels(19, 90.0, 0.1), levels(20, 110.0, 0.1), "btcusdt@depth20@100ms"),
        (levels(20, 90.0, 0.1), [], "btcusdt@depth20@100ms"),
        ([*levels(19, 90.0, 0.1), ["95.0", "0.0"]], levels(20, 110.0, 0.1), "btcusdt@depth20@100ms"),
        ([*levels(19, 90.0, 0.1), ["95.0"]], levels(20, 110.0, 0.1), "btcusdt@depth20@100ms"),
        (None, levels(20, 110.0, 0.1), "btcusdt@depth20@100ms"),
    ],
)
def test_changes_of_a_book_are_no_book(bids: object, asks: object, stream: str) -> None:
    """What is not as many levels as its stream promises, none of them empty, is not taken for the book."""
    assert refused(depth(bids, asks), stream) is Unread.NO_BOOK


def test_a_spot_book_is_not_believed_though_its_stream_names_a_symbol() -> None:
    """The fleet puts its first stream's symbol on every spot book, so one that names none itself is nobody's."""
    event = {"lastUpdateId": 160, "bids": [["67412.4", "1.0"]], "asks": [["67412.6", "2.0"]]}
    assert refused(event, "btcusdt@depth20@100ms") is Unread.NO_SYMBOL


@pytest.mark.parametrize("symbol", [None, "", "btcusdt", 7, "BTC.USDT", "BTC>", "*BTC", "BTC USDT", "BT"])
def test_an_event_without_a_symbol_is_nobodys(symbol: object) -> None:
    """What is no symbol of the exchange, or would be several subjects on the bus, is refused."""
    assert refused(quote_event(T0, s=symbol)) is Unread.NO_SYMBOL


@pytest.mark.parametrize("time", [None, "1700006400000", 1_700_006_400, 1_700_006_400_000_000, 1.7e12, True, -1])
def test_an_event_without_a_time_in_milliseconds_is_refused(time: object) -> None:
    """Seconds, microseconds, text and fractions are no milliseconds."""
    assert refused(quote_event(T0, E=time)) is Unread.NO_TIME


BAD = ["NaN", "Infinity", "-1", "", "1e5", "0x1", "١", " 1", "1 ", 100.1, 100, None, True, ["1"], "1" * 16, "0"]


@pytest.mark.parametrize("figure", BAD)
@pytest.mark.parametrize("event", [quote_event(T0, b="{}"), mark_event(T0, p="{}"), trade_event(T0, p="{}")])
def test_a_price_that_cannot_be_refuses_the_event_whole(event: dict[str, object], figure: object) -> None:
    """Nothing is coerced: a price is positive decimal text, or nothing of the event is taken."""
    broken = {name: figure if value == "{}" else value for name, value in event.items()}
    assert refused(broken) is Unread.UNSOUND


@pytest.mark.parametrize(
    "changed",
    [
        {"s": "ETHUSDT"}, {"i": "1s"}, {"i": None}, {"x": "true"}, {"x": 1}, {"T": T0 + MINUTE}, {"o": "101.5"},
        {"l": "100.6"}, {"c": "102"}, {"v": "-1"}, {"v": 12.5}, {"h": "NaN"}, {"t": T0 + 1, "T": T0 + MINUTE},
    ],
)  # fmt: skip
def test_a_bar_that_contradicts_itself_is_refused(changed: dict[str, object]) -> None:
    """Times that are not one whole interval, prices out of order, another symbol, a word where a flag should be."""
    assert refused(kline_event(0, **changed)) is Unread.UNSOUND


def test_a_trade_outside_the_market_is_left_out() -> None:
    """What the insurance fund takes over is at no price of the market."""
    assert refused(trade_event(T0, X="INSURANCE_FUND")) is Unread.OFF_MARKET
    assert len(read(trade_event(T0, X="MARKET"))) == 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", Unread.NOT_JSON),
        (b"\xff\xfe\x00", Unread.NOT_JSON),
        (b"[" * 100_000, Unread.NOT_JSON),
        (b"[1]", Unread.NO_EVENT),
        (b"null", Unread.NO_EVENT),
        (b'{"result":null,"id":1}', Unread.NO_EVENT),
        (b'{"stream":"x","data":[{"e":"trade"}]}', Unread.NO_EVENT),
        (b'{"e":"forceOrder","E":1,"s":"BTCUSDT"}', Unread.OTHER_EVENT),
        (b'{"e":["trade"]}', Unread.NO_EVENT),
        (b'{"stream":"x","data":{}}', Unread.NO_EVENT),
        (b" " * (LARGEST + 1), Unread.NO_EVENT),
    ],
    ids=range(11),
)
def test_what_is_no_event_is_counted_by_what_it_is(raw: bytes, why: Unread) -> None:
    """Whatever bytes come, nothing is raised and the kind is named."""
    assert read_event(raw, NOW).unread is why


def test_an_event_is_the_same_raw_and_in_either_wrapper() -> None:
    """The fleet's envelope, the exchange's own wrapper and the bare event say the same."""
    event = quote_event(T0)
    bare, wrapped = json.dumps(event).encode(), json.dumps({"stream": "x", "data": event}).encode()
    assert read_event(bare, NOW) == read_event(wrapped, NOW) == read_event(envelope(event), NOW)


# -- recorded streams --------------------------------------------------------------------------------------------------


def frames() -> Iterator[tuple[int, bytes]]:
    """Frames of four futures symbols on 2021-07-22, with when they were received."""
    with gzip.open(RECORDED / "cryptofeed_um_ws_2021-07-22.txt.gz", "rt") as lines:
        for line in lines:
            moment, _, frame = line.partition(": ")
            if frame.startswith("{"):
                yield int(float(moment) * 1e9), frame.strip().encode()


@recorded
def test_a_recorded_stream_is_read_to_its_last_event() -> None:
    """Every event of a recorded stream is read but changes of books; each kind as often as a plain count finds it."""
    unread, seen, written = Counter[Unread | None](), Counter[type](), Counter[str]()
    for received, frame in frames():
        data = json.loads(frame)["data"]
        written[data["e"]] += 1
        found = read_event(frame, received)
        unread[found.unread] += 1
        seen.update(type(one) for one in found.observations if not isinstance(one, Traded) or one.quantity is not None)
    assert unread == {None: sum(written.values()) - written["depthUpdate"], Unread.NO_BOOK: written["depthUpdate"]}
    assert seen == {Quoted: written["bookTicker"], Traded: written["aggTrade"], Candle: written["kline"]}
    assert min(written.values()) > 0


@recorded
def test_recorded_books_are_books() -> None:
    """No bid of a recorded stream reaches the ask beside it."""
    books = [one for at, frame in frames() for one in read_event(frame, at).observations if isinstance(one, Quoted)]
    assert len(books) > 100
    assert all(one.bid < one.ask for one in books)


@recorded
def test_recorded_samples_of_another_client_are_read_or_named() -> None:
    """Ticker and book of the samples are read; what has impossible times, or is another kind of event, is named."""
    found = [
        read_event(line, NOW).unread for line in (RECORDED / "gct_ws_messages.jsonl").read_bytes().splitlines()[:8]
    ]
    other = Unread.OTHER_EVENT
    assert found == [None, Unread.NO_TIME, Unread.NO_TIME, Unread.NO_TIME, other, other, other, other]


@recorded
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rs_book_ticker_stream.json", Quoted),
        ("rs_mark_price_stream.json", Marked),
        ("rs_kline_stream_closed.json", Candle),
    ],
)
def test_samples_of_the_exchange_are_read(name: str, kind: type) -> None:
    """A documented sample of each event is read as what it is."""
    found = read_event((RECORDED / "nautilus" / name).read_bytes(), NOW)
    assert [type(one) for one in found.observations] == [kind]
