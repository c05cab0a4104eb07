"""`petrosa-cio probe` against an exchange that answers over HTTP: what it asks, what it finds, what it never does."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import Process, core_client, ours, run_cli, until

import petrosa_cio.core.exchange.binance
from builders_exchange import ANSWERS, FILTERS, exchange_info, fields
from exchange_server import KEY, SECRET, SIGNED, Exchange, exchange
from petrosa_cio.bootstrap.probing import ProbeOptions, ScheduledProbe, run_probe
from petrosa_cio.core import clock
from petrosa_cio.core.exchange.binance import Binance, Keys, OtherMethod
from petrosa_cio.core.exchange.drift import Kind
from petrosa_cio.core.exchange.overrides import overrides_in
from petrosa_cio.core.exchange.refusals import ErrorClass
from petrosa_cio.errors import BusError, SettingsError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness import NatsServer, Outcome

    from petrosa_cio.core.exchange.overrides import Override
    from petrosa_cio.core.exchange.probe import ProbeReport

KEYS = {"CIO_BINANCE_API_KEY": KEY, "CIO_BINANCE_API_SECRET": SECRET}
PUBLIC = [path for path in ANSWERS if path not in SIGNED]
PRICE, INFO, TIME = "/fapi/v1/ticker/price", "/fapi/v1/exchangeInfo", "/fapi/v1/time"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def played() -> Iterator[Exchange]:
    with exchange() as found:
        yield found


def options(played: Exchange, *, keys: bool = False) -> ProbeOptions:
    return ProbeOptions(played.url, keys=Keys(KEY, SECRET) if keys else None)


def cli(played: Exchange, tmp_path: Path, *arguments: str, **environment: str) -> Outcome:
    """The command, on a data directory that has no configuration."""
    return run_cli("probe", "--base-url", played.url, "--data-dir", str(tmp_path), *arguments, **environment)


def kinds(report: ProbeReport) -> list[tuple[Kind, str]]:
    return [(drift.kind, drift.where) for drift in report.drift]


def classes(report: ProbeReport) -> dict[str, ErrorClass]:
    return {probed.endpoint: probed.error_class for probed in report.probed if probed.error_class is not None}


# -- what it asks and finds --------------------------------------------------------------------------------------------


def test_an_exchange_as_modelled_has_no_drift(played: Exchange, tmp_path: Path) -> None:
    """Every public endpoint is asked; without keys the signed ones are not. Exit 0, one JSON object."""
    done = cli(played, tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert [probed["endpoint"] for probed in report["endpoints"]] == PUBLIC
    assert sorted(report["skipped"]) == sorted(SIGNED)
    assert set(played.asked) == set(PUBLIC)
    assert (report["drifted"], report["unreachable"]) == (False, False)
    assert (report["weight_used_1m"], report["weight_limit_1m"]) == (7, 2400)
    assert abs(report["clock_skew_ms"]) <= 1000
    assert not any(tmp_path.iterdir())


def test_with_keys_everything_is_asked_and_signed(played: Exchange, tmp_path: Path) -> None:
    """Key in the header, HMAC over the query, a timestamp: an exchange that checks all three is content."""
    done = cli(played, tmp_path, "--json", **KEYS)
    assert done.code == 0, done.out
    assert set(played.asked) == set(ANSWERS)
    assert {request.path for request in played.requests if request.key} == SIGNED


def test_drift_is_shown_and_exits_3(played: Exchange, tmp_path: Path) -> None:
    """A field that came is in the table and in the JSON, and the exit code says so."""
    played.say(PRICE, fields(PRICE) | {"brandNew": "1"})
    shown = cli(played, tmp_path)
    assert shown.code == 3
    assert "brandNew" in shown.out
    done = cli(played, tmp_path, "--json")
    assert done.code == 3
    (drift,) = [drift for probed in json.loads(done.out)["endpoints"] for drift in probed["drift"]]
    assert (drift["kind"], drift["field"], drift["count"]) == ("field_new", "brandNew", 1)


async def test_an_answer_is_held_against_what_was_asked_for(played: Exchange) -> None:
    """A price without its time, which by its shape would be of another market, has lost a field."""
    played.say(PRICE, {"symbol": "BTCUSDT", "price": "1.0"})
    assert kinds(await run_probe(options(played))) == [(Kind.FIELD_GONE, "time")]


async def test_the_exchanges_filters_are_held_against_overrides(played: Exchange) -> None:
    """An override below what the exchange takes is found, from a configuration's scopes."""
    overrides = overrides_in({"symbol:BTCUSDT": {"override_min_notional": 5.0}})
    (drift,) = (await run_probe(options(played), overrides)).drift
    assert (drift.kind, drift.found, drift.example) == (Kind.FILTER_CHANGED, "50", "BTCUSDT")


def test_overrides_come_from_a_file_or_from_the_configuration_in_force(played: Exchange, tmp_path: Path) -> None:
    """`--policy` names a file; without it, what `config set` keeps in the data directory holds."""
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"scopes": {"symbol:BTCUSDT": {"override_min_qty": 0.002}}}))
    assert cli(played, tmp_path / "empty", "--policy", str(file)).code == 3
    assert cli(played, tmp_path / "empty").code == 0

    trace = "The exchange raised its minimum on this symbol last week, and our orders at the old one were all refused."
    why = ("--author", "ana", "--trace", trace, "--reason", "filter", "--data-dir", str(tmp_path), "--loosen")
    assert run_cli("config", "set", "symbol:BTCUSDT", "override_min_qty=0.003", *why).code == 0
    done = cli(played, tmp_path, "--json")
    assert done.code == 3
    (drift,) = [drift for probed in json.loads(done.out)["endpoints"] for drift in probed["drift"]]
    assert drift["expected"] == "0.003 (override_min_qty of symbol:BTCUSDT)"


@pytest.mark.parametrize("ahead", [-60_000, 60_000])
async def test_a_clock_that_differs_is_measured_and_allowed_for(played: Exchange, ahead: int) -> None:
    """A minute either way is drift; signed requests are stamped with the exchange's time and still accepted."""
    played.clock_ms = ahead
    report = await run_probe(options(played, keys=True))
    assert kinds(report) == [(Kind.CLOCK_SKEW, "serverTime")]
    assert report.skew_ms is not None
    assert abs(report.skew_ms - ahead) <= report.skew_uncertain_ms + 5
    assert classes(report) == {}


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_nobody_there_exits_4(tmp_path: Path) -> None:
    """A port that nobody listens on: no exception, exit 4, and after two endpoints the rest is not tried."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = run_cli("probe", "--base-url", url, "--data-dir", str(tmp_path), "--json", **KEYS)
    assert (done.code, done.err) == (4, "")
    report = json.loads(done.out)
    found = {probed["endpoint"]: probed["error_class"] for probed in report["endpoints"]}
    assert found == {TIME: "unreachable", INFO: "unreachable"}
    assert set(report["skipped"]) == set(ANSWERS) - {TIME, INFO}


@pytest.mark.parametrize(("status", "expected"), [(418, ErrorClass.BANNED), (429, ErrorClass.RATE_LIMITED)])
async def test_a_refusal_for_asking_too_much_ends_the_probe(
    played: Exchange, status: int, expected: ErrorClass
) -> None:
    """Nothing is asked after a 418 or 429; the report names what was left out and for how long to wait."""
    played.say("/fapi/v1/premiumIndex", b"", status, Retry_After="17")
    report = await run_probe(options(played, keys=True))
    assert played.asked[-1] == "/fapi/v1/premiumIndex"
    assert played.asked.count("/fapi/v1/premiumIndex") == 1
    assert (report.wait_seconds, report.unreachable) == (17, True)
    assert classes(report) == {"/fapi/v1/premiumIndex": expected}
    assert set(report.skipped) == set(ANSWERS) - set(played.asked)


async def test_a_ban_is_waited_out_though_only_its_text_says_how_long(played: Exchange) -> None:
    """The end of a ban, in ms in the message, counts where it is later than the header says."""
    until_ms = clock.now_ns() // 1_000_000 + 300_000
    said = {"code": -1003, "msg": f"Way too many requests; IP() banned until {until_ms}. Please use the websocket."}
    played.say(TIME, said, 418, Retry_After="5")
    report = await run_probe(options(played))
    assert played.asked == [TIME]
    assert 290 <= report.wait_seconds <= 300


async def test_the_rest_of_a_minute_is_left_to_others(played: Exchange) -> None:
    """When four fifths of the minute's weight are used, the probe stops by itself: the engine may trade from here."""
    played.weight = 1920
    report = await run_probe(options(played))
    assert played.asked == [TIME]
    assert (report.wait_seconds, report.unreachable, report.weight_used) == (60, True, 1920)


async def test_one_endpoint_that_fails_leaves_the_others(played: Exchange) -> None:
    """A page of a proxy, a moved endpoint, a redirect, a body cut short: each has its class, the rest is asked."""
    played.say(PRICE, b"<html><title>403 Forbidden</title></html>", 403)
    played.say("/fapi/v1/fundingRate", b"", 404)
    played.say("/fapi/v1/klines", b"", 302, Location=f"{played.url}/fapi/v1/elsewhere")
    played.say("/fapi/v1/premiumIndex", b'{"symbol": "BTC')
    report = await run_probe(options(played))
    assert classes(report) == {
        PRICE: ErrorClass.BLOCKED,
        "/fapi/v1/fundingRate": ErrorClass.NOT_FOUND,
        "/fapi/v1/klines": ErrorClass.REDIRECTED,
        "/fapi/v1/premiumIndex": ErrorClass.TRUNCATED,
    }
    assert "/fapi/v1/elsewhere" not in played.asked
    assert set(played.asked) == set(PUBLIC)


async def test_drift_counts_more_than_what_could_not_be_asked(played: Exchange, tmp_path: Path) -> None:
    """Where one endpoint drifted and another did not answer, the exit code is 3 and the JSON says both."""
    played.say(INFO, exchange_info(filters=FILTERS[1:]))
    played.say(PRICE, b"", 503)
    done = await asyncio.to_thread(cli, played, tmp_path, "--json")
    report = json.loads(done.out)
    assert (done.code, report["drifted"], report["unreachable"]) == (3, True, True)


async def test_an_exchange_that_never_answers_is_given_up(played: Exchange) -> None:
    """The time an answer may take is bounded as a whole, and the endpoint is unreachable then."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        report = await run_probe(ProbeOptions(url, timeout_seconds=0.1))
    assert classes(report) == {TIME: ErrorClass.UNREACHABLE, INFO: ErrorClass.UNREACHABLE}


# -- what it never does ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_no_other_method_leaves(played: Exchange, method: str) -> None:
    """Whoever sends anything but GET through the probe's client is stopped before a byte leaves."""
    async with Binance(played.url, Keys(KEY, SECRET), now_ns=clock.now_ns) as way:
        with pytest.raises(OtherMethod, match=method):
            await way.client.request(method, "/fapi/v1/order")
    assert played.requests == []


async def test_a_whole_probe_only_reads(played: Exchange) -> None:
    """Of everything that arrives in a probe with keys, nothing is but GET."""
    await run_probe(options(played, keys=True))
    assert {request.method for request in played.requests} == {"GET"}


def test_the_module_names_no_other_method() -> None:
    """In the source of the transport no other method is written, and no call that would send one."""
    tree = ast.parse(Path(petrosa_cio.core.exchange.binance.__file__).read_text(encoding="utf-8"))
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    calls = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "GET" in words
    assert not words & {"POST", "PUT", "DELETE", "PATCH"}
    assert not calls & {"post", "put", "delete", "patch", "request", "send"}


@pytest.mark.parametrize("echo", ["answers", "nobody"])
def test_key_and_secret_are_in_no_output(tmp_path: Path, echo: str) -> None:
    """Not in the table, the JSON, or the errors; not even when whoever answers sends them back."""
    with exchange() as played:
        if echo == "answers":
            played.say(PRICE, fields(PRICE) | {f"x{KEY}": 1, "price": SECRET})
            played.say("/fapi/v2/account", {"code": -2015, "msg": f"{KEY} {SECRET}"}, 401)
            played.say("/fapi/v1/income", [{"incomeType": SECRET, **dict.fromkeys(fields("/fapi/v1/income"), KEY)}])
            url = played.url
        else:
            url = "http://127.0.0.1:9"
        for form in ((), ("--json",)):
            done = run_cli("probe", "--base-url", url, "--data-dir", str(tmp_path), *form, **KEYS)
            assert done.code in (3, 4)
            for word in (KEY, SECRET, "signature"):
                assert word not in done.out + done.err


async def test_key_and_secret_are_in_no_log_and_no_repr(played: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at its most talkative, and in whatever one prints while looking for a fault."""
    caplog.set_level(logging.DEBUG)
    given = options(played, keys=True)
    report = await run_probe(given)
    assert set(played.asked) == set(ANSWERS)
    assert caplog.records
    for word in (KEY, SECRET, "signature="):
        assert word not in caplog.text + repr(given) + repr(given.keys) + repr(report)


@pytest.mark.parametrize(
    "url", ["ftp://x", "fapi.binance.com", "http://user:hunter2@host", "http://", "http://a b"], ids=repr
)
def test_a_url_that_cannot_be_asked_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    """Exit 2, without the URL: it may hold a password."""
    done = run_cli("probe", f"--base-url={url}", "--data-dir", str(tmp_path))
    assert done.code == 2
    assert "hunter2" not in done.err


def test_one_key_without_the_other_is_refused(played: Exchange, tmp_path: Path) -> None:
    """Half a pair is a fault of the settings, named, and nothing is asked."""
    done = cli(played, tmp_path, CIO_BINANCE_API_KEY=KEY)
    assert done.code == 2
    assert "CIO_BINANCE_API_SECRET" in done.err
    assert KEY not in done.err
    assert played.requests == []


def test_a_symbol_that_is_none_is_refused() -> None:
    """What would change the query is no symbol."""
    with pytest.raises(SettingsError, match="--symbol"):
        ProbeOptions("http://127.0.0.1", "BTCUSDT&recvWindow=1")


# -- again and again ---------------------------------------------------------------------------------------------------


class Heard:
    """What a scheduled probe said, and to whom."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, object]] = []
        self.logged: list[str] = []
        self.bus_is_down = False

    async def alert(self, body: bytes) -> None:
        if self.bus_is_down:
            msg = "away"
            raise BusError(msg)
        self.alerts.append(json.loads(body))

    def log(self, event: str, facts: dict[str, object]) -> None:
        assert facts
        self.logged.append(event)


async def no_overrides() -> Sequence[Override]:
    return ()


async def test_a_change_is_told_once(played: Exchange) -> None:
    """Nothing, drift, the same drift, nothing again: two alerts, of which the second says that it is over."""
    heard = Heard()
    scheduled = ScheduledProbe(options(played), no_overrides, heard.alert, heard.log)
    await scheduled.once()
    assert heard.alerts == []
    played.say(PRICE, fields(PRICE) | {"brandNew": "1"})
    await scheduled.once()
    await scheduled.once()
    played.answers.clear()
    await scheduled.once()
    assert [alert["state"] for alert in heard.alerts] == ["drift", "none"]
    assert heard.alerts[0]["drifted"] is True
    assert heard.logged[0].startswith("ALARM")
    assert (scheduled.probes, scheduled.failed) == (4, 0)


async def test_an_alert_that_nobody_took_is_told_again(played: Exchange) -> None:
    """While the bus is away what was found waits; unreadable overrides do not stop the probe."""
    heard = Heard()

    async def unreadable() -> Sequence[Override]:
        msg = "gone"
        raise StoreError(msg)

    scheduled = ScheduledProbe(options(played), unreadable, heard.alert, heard.log)
    played.say(PRICE, b"", 503)
    heard.bus_is_down = True
    await scheduled.once()
    assert heard.alerts == []
    heard.bus_is_down = False
    await scheduled.once()
    assert [alert["state"] for alert in heard.alerts] == ["unreachable"]
    assert scheduled.failed == 2


async def test_it_goes_on_until_it_is_stopped(played: Exchange) -> None:
    """Probe after probe at the interval, and no longer than asked."""
    heard, stop = Heard(), asyncio.Event()
    scheduled = ScheduledProbe(options(played), no_overrides, heard.alert, heard.log)
    running = asyncio.create_task(scheduled.run(stop, 0.01))
    await until(lambda: scheduled.probes >= 3, "three probes")
    stop.set()
    await asyncio.wait_for(running, 20)


async def test_the_pause_that_the_exchange_asks_for_is_kept(played: Exchange) -> None:
    """After a 429 nothing is asked before its Retry-After is over, however short the interval."""
    heard, stop = Heard(), asyncio.Event()
    scheduled = ScheduledProbe(options(played), no_overrides, heard.alert, heard.log)
    played.say(TIME, b"", 429, Retry_After="3600")
    running = asyncio.create_task(scheduled.run(stop, 0.001))
    await until(lambda: scheduled.probes == 1, "one probe")
    done, _ = await asyncio.wait({running}, timeout=0.2)
    assert not done
    assert played.asked == [TIME]
    stop.set()
    await asyncio.wait_for(running, 20)


async def test_the_steward_of_serve_probes_and_alerts(
    nats_server: NatsServer, played: Exchange, tmp_path: Path
) -> None:
    """With an interval set, the steward probes at its start and publishes what it finds on `alerts.cio.drift`."""
    played.say(PRICE, fields(PRICE) | {"brandNew": "1"})
    environment = {
        "CIO_NATS_URL": nats_server.url,
        "CIO_DATA_DIR": str(tmp_path / "data"),
        "CIO_BINANCE_URL": played.url,
        "CIO_PROBE_INTERVAL_MINUTES": "60",
        **KEYS,
    }
    heard: list[dict[str, object]] = []

    async def hear(message: object) -> None:
        heard.append(json.loads(message.data))  # type: ignore[attr-defined]

    async with core_client(nats_server.url) as client:
        await client.subscribe("alerts.cio.drift", cb=hear)
        await client.flush()
        steward = Process(ours("steward", "--from-settings"), tmp_path / "steward.log", environment).start()
        try:
            await until(lambda: bool(heard), "an alert")
        finally:
            steward.end()
    assert heard[0]["state"] == "drift"
    assert set(played.asked) == set(ANSWERS)
    assert "ALARM: the exchange answers otherwise" in steward.text()
    assert KEY not in steward.text()
    assert SECRET not in steward.text()
