"""The policy cache as other services read it: keys, consistency, secrets, TLS, and the regime key of the fleet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import ssl
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import until

from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.apps.nurse.ports import PublishedPolicy
from petrosa_cio.core.db.redis import RedisBoard, RedisServer
from petrosa_cio.core.db.regime import Opinion, Regime, RegimeKey, Standing
from petrosa_cio.errors import StoreError
from redis_server import RedisOfOurs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from petrosa_cio.apps.nurse.models import Json

ROOT = Path(__file__).resolve().parents[2]
AT = 1_795_512_600_000_000_000
"""2026-11-24T09:30:00Z."""
SECOND = 1_000_000_000
SCOPES = ("global", "symbol:BTCUSDT", "symbol:BTCUSDT:LONG", "strategy:momentum_pulse")


def policy(version: int, content: dict[str, Json], book: str = "main") -> PublishedPolicy:
    return PublishedPolicy(book, version, f"{version:064x}", content, AT)


def whole(version: int) -> PublishedPolicy:
    """A version whose every value is its own number; every third lacks a scope, so that hashes come and go."""
    names = SCOPES if version % 3 else SCOPES[:-1]
    scopes: dict[str, Json] = {scope: {f"p{n}": version for n in range(8)} for scope in names}
    return policy(version, {"scopes": scopes})


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[RedisOfOurs]:
    """A Redis on a port and store of its own."""
    started = RedisOfOurs.start(tmp_path)
    try:
        await started.answers()
        yield started
    finally:
        started.process.end()


@pytest.fixture
async def reader(redis_server: RedisOfOurs) -> AsyncIterator[Redis]:
    """A plain client: another service."""
    async with redis_server.client() as client:
        yield client


@pytest.fixture
async def server(redis_server: RedisOfOurs) -> AsyncIterator[RedisServer]:
    opened = RedisServer(redis_server.url)
    yield opened
    await opened.close()


@pytest.fixture
def board(server: RedisServer) -> RedisBoard:
    return RedisBoard(server)


# -- keys --------------------------------------------------------------------------------------------------------------


async def test_the_main_book_has_the_keys_that_are_documented(board: RedisBoard, reader: Redis) -> None:
    """A hash a scope with the JSON text of each value, and what a reader needs to read consistently."""
    content: dict[str, Json] = {
        "scopes": {
            "global": {"max_position_size_usd": 500, "require_stop_loss": True, "allowed_symbols": ["BTCUSDT"]},
            "symbol:BTCUSDT": {"sl_distance_max_pct": 3.5, "max_daily_trades": None, "mode.ORDER_RATE": "observe"},
            "symbol:ETHUSDT": {},
        },
        "modes": {"SIGNAL_CONFLICT": "off"},
        "required_facts": [],
    }
    assert await board.publish(policy(12, content))
    assert sorted(await reader.keys("*")) == [
        "policy:current",
        "policy:global",
        "policy:revision",
        "policy:scopes",
        "policy:symbol:BTCUSDT",
        "policy:version",
    ]
    assert await reader.hgetall("policy:global") == {
        "max_position_size_usd": "500",
        "require_stop_loss": "true",
        "allowed_symbols": '["BTCUSDT"]',
        "mode.SIGNAL_CONFLICT": '"off"',
        "required_facts": "[]",
    }
    assert await reader.hgetall("policy:symbol:BTCUSDT") == {
        "sl_distance_max_pct": "3.5",
        "max_daily_trades": "null",
        "mode.ORDER_RATE": '"observe"',
    }
    assert await reader.smembers("policy:scopes") == {"global", "symbol:BTCUSDT"}
    assert await reader.get("policy:version") == "12"
    assert await reader.get("policy:revision") == f"{12:064x}"
    assert json.loads(await reader.get("policy:current")) == {
        "v": 1,
        "book": "main",
        "version": 12,
        "revision": f"{12:064x}",
        "at": "2026-11-24T09:30:00.000000+00:00",
        "content": content,
    }


async def test_another_book_has_a_prefix(board: RedisBoard, reader: Redis) -> None:
    """Every key of a book that is not the main one begins with its name; nothing of the main book is touched."""
    await board.publish(policy(1, {"scopes": {"global": {"a": 1}}}))
    await board.publish(policy(2, {"scopes": {"global": {"a": 2}}}, book="second"))
    names = ("current", "global", "revision", "scopes", "version")
    assert sorted(await reader.keys("*")) == [
        f"{beginning}policy:{n}" for beginning in ("book:second:", "") for n in names
    ]
    assert await reader.hgetall("policy:global") == {"a": "1"}
    assert await reader.hgetall("book:second:policy:global") == {"a": "2"}


async def test_a_scope_or_value_that_is_gone_is_deleted(board: RedisBoard, reader: Redis) -> None:
    """A hash holds what its scope sets now, and nothing of before; no scope, no hash."""
    await board.publish(policy(1, {"scopes": {"global": {"a": 1, "b": 1}, "strategy:s": {"a": 1}}}))
    await board.publish(policy(2, {"scopes": {"global": {"b": 2}, "symbol:BTCUSDT": {"c": 2}}}))
    assert await reader.hgetall("policy:global") == {"b": "2"}
    assert await reader.smembers("policy:scopes") == {"global", "symbol:BTCUSDT"}
    assert not await reader.exists("policy:strategy:s")
    await board.publish(policy(3, {}))
    assert await reader.keys("*") == await reader.keys("policy:[crv]*")


async def test_what_others_left_in_the_way_is_replaced(board: RedisBoard, reader: Redis) -> None:
    """Keys of a wrong type, a lost list of scopes, a damaged text: the next version is written whole all the same."""
    await board.publish(policy(1, {"scopes": {"global": {"a": 1}, "strategy:s": {"a": 1}}}))
    await reader.delete("policy:scopes", "policy:global")
    await reader.set("policy:scopes", "text")
    await reader.set("policy:global", "text")
    await reader.set("policy:symbol:BTCUSDT", "text")
    await reader.delete("policy:version")
    await reader.hset("policy:version", "a", "hash")
    assert await board.publish(policy(2, {"scopes": {"global": {"a": 2}, "symbol:BTCUSDT": {"a": 2}}}))
    assert await reader.get("policy:version") == "2"
    assert await reader.hgetall("policy:symbol:BTCUSDT") == {"a": "2"}
    assert await reader.smembers("policy:scopes") == {"global", "symbol:BTCUSDT"}
    assert not await reader.exists("policy:strategy:s")  # known from what stood, though the list was lost
    await reader.delete("policy:current")
    await reader.hset("policy:current", "a", "hash")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await board.current("main")
    assert await board.publish(policy(1, {"scopes": {"global": {"a": 1}}}))
    assert await board.current("main") == policy(1, {"scopes": {"global": {"a": 1}}})


async def test_each_change_is_announced(board: RedisBoard, reader: Redis) -> None:
    """The channel tells book, version and revision of what was put up, and nothing of what was ignored."""
    async with reader.pubsub() as pubsub:
        await pubsub.subscribe("policy:changes")
        for version in (3, 2, 4):
            await board.publish(policy(version, {}))
        heard: list[object] = []
        async with asyncio.timeout(10):
            while len(heard) < 2:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
                heard += [] if message is None else [json.loads(message["data"])]
    assert heard == [{"book": "main", "version": v, "revision": f"{v:064x}"} for v in (3, 4)]


async def test_a_change_without_a_push_is_found_by_asking(board: RedisBoard, reader: Redis) -> None:
    """Whoever writes past the channel is not noticed by a watch, but by `current`."""
    await board.publish(whole(1))
    told: list[PublishedPolicy] = []
    watch = asyncio.create_task(board.watch("main", told.append))
    await until(lambda: told == [whole(1)], "told of version 1")
    text = await reader.get("policy:current")
    await reader.set("policy:current", text.replace('"version":1', '"version":2'))
    found = await board.current("main")
    assert found is not None
    assert (found.version, told) == (2, [whole(1)])
    await reader.publish("policy:changes", "")
    await until(lambda: [one.version for one in told] == [1, 2], "told at the next push")
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


# -- consistency -------------------------------------------------------------------------------------------------------


async def in_one_transaction(reader: Redis) -> set[str]:
    """The versions found by a reader that asks for everything at once."""
    async with reader.pipeline(transaction=True) as asked:
        asked.get("policy:version")
        for scope in SCOPES:
            asked.hvals(f"policy:{scope}")
        version, *values = await asked.execute()
    return {version, *(value for scope in values for value in scope)}


async def by_version(reader: Redis) -> set[str] | None:
    """The versions found by a reader that asks key by key; None where the version moved meanwhile: ask again."""
    before = await reader.get("policy:version")
    found = {value for scope in SCOPES for value in await reader.hvals(f"policy:{scope}")}
    after = await reader.get("policy:version")
    return {before, *found} if before == after else None


async def test_no_reader_sees_two_versions_mixed(redis_server: RedisOfOurs, board: RedisBoard) -> None:
    """While 200 versions are put up, both documented ways of reading find one version at a time, many of them."""
    await board.publish(whole(1))
    seen: list[set[str]] = []
    done = asyncio.Event()

    async def hammer(*, at_once: bool) -> None:
        async with redis_server.client() as reader:
            while not done.is_set():
                found = await (in_one_transaction(reader) if at_once else by_version(reader))
                if found is not None:
                    seen.append(found)

    readers = [asyncio.create_task(hammer(at_once=n % 2 == 0)) for n in range(4)]
    for version in range(2, 202):
        assert await board.publish(whole(version))
    done.set()
    await asyncio.gather(*readers)
    assert [found for found in seen if len(found) != 1] == []
    assert len(set().union(*seen)) > 20


# -- the connection ----------------------------------------------------------------------------------------------------


async def test_a_subscription_that_falls_silent_is_made_anew(redis_server: RedisOfOurs) -> None:
    """A server that hangs without closing anything is noticed, and the watch goes on when it answers again."""
    log: list[tuple[str, dict[str, object]]] = []
    opened = RedisServer(redis_server.url)
    board = RedisBoard(opened, log=lambda event, facts: log.append((event, facts)))
    await board.publish(whole(1))
    told: list[PublishedPolicy] = []
    watch = asyncio.create_task(board.watch("main", told.append))
    await until(lambda: bool(told), "told of version 1")
    redis_server.process.send(signal.SIGSTOP)
    await until(lambda: bool(log), "the silence is noticed")
    redis_server.process.send(signal.SIGCONT)
    assert await RedisBoard(opened).publish(whole(2))
    await until(lambda: told == [whole(1), whole(2)], "told of version 2", deadline=2.0)
    assert log[0][0] == "policy watch interrupted"
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    await opened.close()


async def test_the_protocol_is_resp3(board: RedisBoard, reader: Redis) -> None:
    """The server says of our connection that it speaks version 3, under our name."""
    await board.current("main")
    ours = [one for one in await reader.client_list() if one["name"] == "petrosa-cio"]
    assert [one["resp"] for one in ours] == ["3"]


async def test_more_questions_than_connections_take_turns(board: RedisBoard) -> None:
    """300 at once are all answered: those beyond the pool wait for a connection."""
    await board.publish(whole(1))
    assert await asyncio.gather(*(board.current("main") for _ in range(300))) == [whole(1)] * 300


READER = ("~policy:*", "~book:*", "&policy:*", "&book:*", "+@read", "+@pubsub", "+@transaction", "+@connection")
WRITER = ("~policy:*", "~book:*", "&policy:*", "&book:*", "+@read", "+@pubsub", "+@connection", "+@write", "+eval")


async def test_the_documented_rights_are_enough(redis_server: RedisOfOurs, reader: Redis) -> None:
    """A reader reads and hears with the rights of docs/redis.md and cannot write; a writer can, with its own."""
    page = (ROOT / "docs" / "redis.md").read_text(encoding="utf-8")
    for user, rights in (("reader", READER), ("writer", WRITER)):
        assert f"`{' '.join(rights)}`" in page
        await reader.execute_command("ACL", "SETUSER", user, "on", ">pass", *rights)
    reading, writing = (
        RedisServer(redis_server.url.replace("redis://", f"redis://{user}:pass@")) for user in ("reader", "writer")
    )
    told: list[PublishedPolicy] = []
    watch = asyncio.create_task(RedisBoard(reading).watch("main", told.append))
    assert await RedisBoard(writing).publish(whole(1))
    await until(lambda: told == [whole(1)], "told of version 1")
    with pytest.raises(StoreError, match="permissions"):
        await RedisBoard(reading).publish(whole(2))
    async with redis_server.client() as other:
        await other.execute_command("AUTH", "reader", "pass")
        assert await in_one_transaction(other) == {"1"}
        assert await by_version(other) == {"1"}
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    await reading.close()
    await writing.close()


SECRET = "s3cret/with:odd@letters"
QUOTED = "s3cret%2Fwith%3Aodd%40letters"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[RedisOfOurs]:
    """A Redis that asks for a password."""
    started = RedisOfOurs.start(tmp_path, "--requirepass", SECRET)
    try:
        await until(lambda: "eady to accept connections" in started.process.text(), "a Redis with a password")
        yield started
    finally:
        started.process.end()


def everything_said(error: BaseException | None) -> str:
    """The error and all that led to it, as text."""
    said = ""
    while error is not None:
        said += f"{error!r} {error}\n"
        error = error.__cause__ or error.__context__
    return said


async def test_the_password_opens_the_server(guarded: RedisOfOurs) -> None:
    """User and password of the URL are used, odd letters quoted."""
    opened = RedisServer(f"redis://default:{QUOTED}@127.0.0.1:{guarded.port}/0")
    assert await RedisBoard(opened).publish(whole(1))
    assert await RedisBoard(opened).current("main") == whole(1)
    assert repr(opened) == f"RedisServer(redis://127.0.0.1:{guarded.port}/0)"
    await opened.close()


@pytest.mark.parametrize("user", ["default", "opensesame"])
async def test_a_wrong_password_is_an_error_that_does_not_tell_it(
    guarded: RedisOfOurs, caplog: pytest.LogCaptureFixture, user: str
) -> None:
    """Refused credentials are named by server, and appear in no message, cause, repr or log."""
    caplog.set_level(logging.DEBUG)
    log: list[str] = []
    opened = RedisServer(f"redis://{user}:wrong-{QUOTED}@127.0.0.1:{guarded.port}/0?client_name=hidden")
    board = RedisBoard(opened, log=lambda event, facts: log.append(f"{event} {facts}"))
    with pytest.raises(StoreError, match=f"redis://127.0.0.1:{guarded.port}/0: ") as found:
        await board.current("main")
    watch = asyncio.create_task(board.watch("main", lambda _: None))
    await until(lambda: bool(log), "the watch says why it does not hear")
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    said = everything_said(found.value) + "".join(log) + caplog.text + repr(opened) + repr(board)
    assert "s3cret" not in said
    assert "opensesame" not in said
    await opened.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "http://user:s3cret@host:6379/0",
        "redis://:s3cret:6379",
        "redis://user:pass:s3cret",
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@host:99999/0",
        "redis://:6379/s3cret@host",
        "redis://:6379#s3cret@host",
        "redis://host:6379/no-number-s3cret",
        "redis://host:6379/0?no_such_option=s3cret",
        "redis://:s3cret@",
        "redis://[::s3cret",
        "unix://?password=s3cret",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_told(url: str) -> None:
    """At once, not at the first question, and without quoting what may hold a password."""
    with pytest.raises(StoreError, match="is no Redis address") as found:
        RedisServer(url)
    assert "s3cret" not in everything_said(found.value)


async def test_tls_is_a_matter_of_the_url(redis_server: RedisOfOurs, tmp_path: Path) -> None:
    """``rediss://`` speaks TLS and believes only a certificate that it was given an authority for."""
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    tasks: set[asyncio.Task[None]] = set()

    async def relay(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, onward = await asyncio.open_connection("127.0.0.1", redis_server.port)
        tasks.update((asyncio.create_task(_pour(near, onward)), asyncio.create_task(_pour(far, back))))

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    address = f"rediss://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/0"
    trusting, doubting = RedisServer(f"{address}?ssl_ca_certs={certificate}"), RedisServer(address)
    assert await RedisBoard(trusting).publish(whole(1))
    assert await RedisBoard(trusting).current("main") == whole(1)
    with pytest.raises(StoreError, match="certificate"):
        await RedisBoard(doubting).current("main")
    await trusting.close()
    await doubting.close()
    proxy.close()
    await asyncio.gather(*tasks)
    await proxy.wait_closed()


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while text := await source.read(65_536):
            target.write(text)
            await target.drain()
    target.close()
    with contextlib.suppress(OSError):
        await target.wait_closed()


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own address, signed by itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        why = "no openssl to make a certificate with"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    made = (openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    named = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    command = (*made, *named, "-keyout", str(key), "-out", str(certificate))
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key


# -- the regime --------------------------------------------------------------------------------------------------------

CALM = Regime("trending_bull", current_drawdown=Decimal("0.031"), scale_down_factor=Decimal("0.4"), as_of=AT)


@pytest.fixture
def regime(server: RedisServer) -> RegimeKey:
    return RegimeKey(server)


async def test_a_regime_is_written_in_the_fleets_format(regime: RegimeKey, reader: Redis) -> None:
    """Five fields by the fleet's names, numbers as numbers, and when it held; it does not expire."""
    await regime.write(replace(CALM, vol_threshold_breach=True))
    assert json.loads(await reader.get("policy:regime")) == {
        "current_regime": "trending_bull",
        "vol_threshold_breach": True,
        "drawdown_limit_exceeded": False,
        "current_drawdown": 0.031,
        "scale_down_factor": 0.4,
        "as_of": "2026-11-24T09:30:00.000000+00:00",
    }
    assert await reader.ttl("policy:regime") == -1


async def test_a_regime_comes_back_as_it_was(regime: RegimeKey, server: RedisServer) -> None:
    """With its date it is fresh, without one undated; each book has its own."""
    await regime.write(CALM)
    assert await regime.read(AT, SECOND) == Opinion(Standing.FRESH, CALM)
    await regime.write(replace(CALM, as_of=None))
    assert await regime.read(AT, SECOND) == Opinion(Standing.UNDATED, replace(CALM, as_of=None))
    assert await RegimeKey(server, "second").read(AT, SECOND) == Opinion(Standing.MISSING)


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (60 * SECOND, Standing.FRESH),
        (60 * SECOND + 1000, Standing.STALE),
        (-60 * SECOND, Standing.FRESH),
        (-60 * SECOND - 1000, Standing.STALE),
    ],
)
async def test_a_regime_is_stale_beyond_its_age(regime: RegimeKey, age: int, state: Standing) -> None:
    """At 60 s it is fresh, beyond it stale, and so is what lies that far in the future; a stale one is not given."""
    await regime.write(CALM)
    found = await regime.read(AT + age, 60 * SECOND)
    assert found == Opinion(state, CALM if state is Standing.FRESH else None)


@pytest.mark.parametrize("text", [None, ""], ids=["no key", "empty"])
async def test_no_regime_is_missing(regime: RegimeKey, reader: Redis, text: str | None) -> None:
    """Missing is said, and is not all defaults: those would approve."""
    if text is not None:
        await reader.set("policy:regime", text)
    assert await regime.read(AT, SECOND) == Opinion(Standing.MISSING)


async def test_absent_fields_have_the_fleets_defaults(regime: RegimeKey, reader: Redis) -> None:
    """What is not said is as the fleet's table says; what is unknown is ignored."""
    await reader.set("policy:regime", json.dumps({"drawdown_limit_exceeded": True, "as_of": iso(AT), "extra": [1]}))
    expected = Regime("unknown", False, True, Decimal(0), Decimal("0.5"), AT)
    assert await regime.read(AT, SECOND) == Opinion(Standing.FRESH, expected)


MALFORMED = [
    ("{", ""),
    ("[]", "object"),
    ("null", "object"),
    ('"calm"', "object"),
    ('{"current_regime": 1}', "current_regime"),
    ('{"current_regime": null}', "current_regime"),
    (json.dumps({"current_regime": "x" * 65}), "current_regime"),
    ('{"vol_threshold_breach": 1}', "vol_threshold_breach"),
    ('{"vol_threshold_breach": null}', "vol_threshold_breach"),
    ('{"drawdown_limit_exceeded": "false"}', "drawdown_limit_exceeded"),
    ('{"current_drawdown": "0.1"}', "current_drawdown"),
    ('{"current_drawdown": NaN}', ""),
    ('{"current_drawdown": true}', "current_drawdown"),
    ('{"current_drawdown": null}', "current_drawdown"),
    ('{"scale_down_factor": 1.0000001}', "scale_down_factor"),
    ('{"scale_down_factor": -0.1}', "scale_down_factor"),
    ('{"as_of": 1795512600}', "as_of"),
    ('{"as_of": "yesterday"}', "ISO-8601"),
]


@pytest.mark.parametrize(("text", "problem"), MALFORMED, ids=[text for text, _ in MALFORMED])
async def test_a_malformed_regime_is_said_to_be(regime: RegimeKey, reader: Redis, text: str, problem: str) -> None:
    """It is no opinion, and why is said: no field of it is used, and nothing is raised."""
    await reader.set("policy:regime", text)
    found = await regime.read(AT, SECOND)
    assert (found.state, found.regime) == (Standing.MALFORMED, None)
    assert problem in found.why
    assert found.why


@pytest.mark.parametrize("factor", ["0", "1"])
async def test_the_bounds_of_a_factor_belong_to_it(regime: RegimeKey, factor: str) -> None:
    """0 and 1 are fractions."""
    await regime.write(replace(CALM, scale_down_factor=Decimal(factor)))
    assert (await regime.read(AT, SECOND)).state is Standing.FRESH


async def test_what_could_not_be_read_is_not_written(regime: RegimeKey, reader: Redis) -> None:
    """A writer's mistake is the writer's to hear of."""
    for wrong in (replace(CALM, scale_down_factor=Decimal("1.5")), replace(CALM, current_drawdown=Decimal("NaN"))):
        with pytest.raises(ValueError):
            await regime.write(wrong)
    assert not await reader.exists("policy:regime")


async def test_a_policy_leaves_the_regime_alone(board: RedisBoard, regime: RegimeKey) -> None:
    """Publishing deletes the scopes that are gone and no other key."""
    await regime.write(CALM)
    await board.publish(whole(1))
    await board.publish(policy(2, {}))
    assert await regime.read(AT, SECOND) == Opinion(Standing.FRESH, CALM)


async def test_a_regime_cannot_be_read_without_a_server(redis_server: RedisOfOurs, regime: RegimeKey) -> None:
    """No server is an error, unlike no opinion: bounded, and named."""
    redis_server.process.kill()
    with pytest.raises(StoreError, match=f"redis://127.0.0.1:{redis_server.port}/0"):
        await regime.read(AT, SECOND)
