"""The processes that `up`, `serve` and `replay` start: commands that nobody types."""

from __future__ import annotations

from typing import Annotated

import typer

from petrosa_cio.cli.options import Book, DataDir, Equity, ExchangeInfo, Funding, Klines, PolicyFile, run
from petrosa_cio.settings import default_data_dir, read_settings


def gate(
    nats_url: Annotated[str, typer.Option()] = "",
    book: Book = "main",
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    signal_subject: Annotated[str, typer.Option()] = "signals.trading",
    policy: PolicyFile = None,
    default_policy: Annotated[str, typer.Option()] = "embedded",
    event_clock: Annotated[bool, typer.Option("--event-clock")] = False,
    klines: Klines = None,
    funding: Funding = None,
    account: Equity = None,
    begins: Annotated[str | None, typer.Option()] = None,
    exchange_info: ExchangeInfo = None,
    hear_market: Annotated[bool, typer.Option("--hear-market")] = False,
    origin: Annotated[str, typer.Option()] = "none",
    governed: Annotated[bool, typer.Option("--governed")] = False,
    from_settings: Annotated[bool, typer.Option("--from-settings")] = False,
) -> None:
    """Run one gate process; `up`, `serve` and `replay` start it."""
    from petrosa_cio.apps.nurse.models import parse_instant
    from petrosa_cio.bootstrap import policies
    from petrosa_cio.bootstrap.gate import GateOptions, Recording, run_gate
    from petrosa_cio.core import logs
    from petrosa_cio.core.nats.link import Retention

    logs.configure(json=True)
    if from_settings:
        settings = read_settings()
        kept = Retention(settings.intents_days, settings.outbox_days, settings.quarantine_days, settings.replicas)
        options = GateOptions(
            settings.nats_url,
            settings.book,
            policies.load(settings.policy_file, policies.PRODUCTION),
            settings.signal_subject,
            kept,
            settings.nats_credentials,
            data_dir=settings.data_dir,
            governed=True,
            redis_url=None if settings.redis_url is None else settings.redis_url.get_secret_value(),
            heartbeat_subject=settings.heartbeat_subject,
            heartbeat_seconds=settings.heartbeat_seconds,
            hears_market=settings.market_source != "none",
            account=settings.account_source,
        )
    else:
        default = {"embedded": policies.EMBEDDED, "replay": policies.REPLAY}[default_policy]
        options = GateOptions(
            nats_url,
            book,
            policies.load(policy, default),
            signal_subject,
            Retention(),
            event_clock=event_clock,
            recording=Recording(
                tuple(klines or ()),
                tuple(funding or ()),
                account,
                None if begins is None else parse_instant(begins),
                exchange_info,
            ),
            hears_market=hear_market,
            account=origin,
            data_dir=data_dir,
            governed=governed,
        )
    run(run_gate(options))


def steward(
    nats_url: Annotated[str, typer.Option()] = "",
    book: Book = "main",
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    policy: PolicyFile = None,
    default_policy: Annotated[str, typer.Option()] = "embedded",
    from_settings: Annotated[bool, typer.Option("--from-settings")] = False,
) -> None:
    """Run one steward process; `up` and `serve` start it."""
    from petrosa_cio.bootstrap import policies
    from petrosa_cio.bootstrap.probing import scheduled_options
    from petrosa_cio.bootstrap.steward import StewardOptions, run_steward
    from petrosa_cio.bootstrap.stores import StorePlace, place_of
    from petrosa_cio.core import logs

    logs.configure(json=True)
    if from_settings:
        settings = read_settings()
        options = StewardOptions(
            settings.nats_url,
            settings.book,
            place_of(settings),
            policies.load(settings.policy_file, policies.PRODUCTION),
            settings.replicas,
            settings.nats_credentials,
            None if settings.redis_url is None else settings.redis_url.get_secret_value(),
            scheduled_options(settings),
            settings.probe_interval_minutes,
        )
    else:
        default = {"embedded": policies.EMBEDDED, "replay": policies.REPLAY}[default_policy]
        options = StewardOptions(nats_url, book, StorePlace(data_dir), policies.load(policy, default))
    run(run_steward(options))


def feeds(
    nats_url: Annotated[str, typer.Option()] = "",
    book: Book = "main",
    policy: PolicyFile = None,
    default_policy: Annotated[str, typer.Option()] = "embedded",
    source: Annotated[str, typer.Option(help="fleet, binance or none.")] = "fleet",
    symbols: Annotated[str, typer.Option(help="Comma-separated; empty: every one that comes.")] = "",
    binance_url: Annotated[str, typer.Option()] = "https://fapi.binance.com",
    stream_url: Annotated[str, typer.Option()] = "wss://fstream.binance.com",
    governed: Annotated[bool, typer.Option("--governed")] = False,
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    account: Equity = None,
    no_exchange: Annotated[bool, typer.Option("--no-exchange")] = False,
    from_settings: Annotated[bool, typer.Option("--from-settings")] = False,
) -> None:
    """Run one feeds process; `up` and `serve` start it."""
    from petrosa_cio.bootstrap import policies
    from petrosa_cio.bootstrap.account_feed import account_options
    from petrosa_cio.bootstrap.feeds import FeedsOptions, SimulatedAccount, run_feeds
    from petrosa_cio.core import logs

    logs.configure(json=True)
    if from_settings:
        settings = read_settings()
        options = FeedsOptions(
            settings.nats_url,
            settings.book,
            policies.load(settings.policy_file, policies.PRODUCTION),
            settings.market_source,
            tuple(settings.market_subjects.split(",")),
            tuple(filter(None, settings.symbols.split(","))),
            settings.binance_url,
            settings.binance_stream_url,
            governed=True,
            credentials=settings.nats_credentials,
            replicas=settings.replicas,
            redis_url=None if settings.redis_url is None else settings.redis_url.get_secret_value(),
            account=account_options(settings),
        )
    else:
        default = {"embedded": policies.EMBEDDED, "replay": policies.REPLAY}[default_policy]
        options = FeedsOptions(
            nats_url,
            book,
            policies.load(policy, default),
            source,
            symbols=tuple(filter(None, symbols.split(","))),
            binance_url=binance_url,
            stream_url=stream_url,
            governed=governed,
            asks_exchange=not no_exchange,
            simulated=None if account is None else SimulatedAccount(account, data_dir / "simulated-account.json"),
        )
    run(run_feeds(options))


def projector(
    nats_url: Annotated[str, typer.Option()] = "",
    book: Book = "main",
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    from_settings: Annotated[bool, typer.Option("--from-settings")] = False,
) -> None:
    """Run one projector process; `up`, `serve` and `replay` start it."""
    from petrosa_cio.bootstrap.projector import ProjectorOptions, run_projector
    from petrosa_cio.bootstrap.stores import StorePlace, place_of
    from petrosa_cio.core import logs

    logs.configure(json=True)
    if from_settings:
        settings = read_settings()
        options = ProjectorOptions(settings.nats_url, settings.book, place_of(settings), settings.nats_credentials)
    else:
        options = ProjectorOptions(nats_url, book, StorePlace(data_dir))
    run(run_projector(options))


def samples(nats_url: Annotated[str, typer.Option()], market: Annotated[str, typer.Option()] = "synthetic") -> None:
    """Run the market and the sample strategies; `up` starts it."""
    from petrosa_cio.bootstrap.samples import run_market
    from petrosa_cio.core import logs

    logs.configure(json=True)
    run(run_market(nats_url, market))
