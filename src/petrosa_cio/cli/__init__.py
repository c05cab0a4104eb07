"""The command line: arguments in, exit codes out.

Exit codes: 0 done; 1 the answer is no (blocked, a broken chain, something lost or doubled, books out of balance);
2 wrong arguments, settings, policy or recording; 3 the environment (NATS, store); 4 no such decision, version,
proposal or latch, or no gate that leads; 5 kept, and waiting for a second person; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petrosa_cio import __version__
from petrosa_cio.cli.audit import audit_pnl
from petrosa_cio.cli.config import config
from petrosa_cio.cli.options import (
    ENVIRONMENT,
    INTERRUPTED,
    MISSING,
    NO,
    USAGE,
    Book,
    DataDir,
    Equity,
    ExchangeInfo,
    Funding,
    Klines,
    NatsUrl,
    PolicyFile,
    StoreDir,
    run,
)
from petrosa_cio.cli.probe import probe
from petrosa_cio.cli.processes import feeds, gate, projector, samples, steward
from petrosa_cio.cli.report import report, write_report
from petrosa_cio.cli.state import latch, state
from petrosa_cio.errors import (
    BusError,
    CioError,
    LedgerError,
    NotFound,
    PatchRefused,
    PolicyError,
    RecordingError,
    SettingsError,
    StoreError,
)
from petrosa_cio.settings import default_data_dir, described, read_settings

if TYPE_CHECKING:
    from petrosa_cio.bootstrap.stores import StorePlace

_SETTINGS_HELP = "Production settings, all from the environment:\n\n" + "\n\n".join(
    f"{name} (default {default or 'none'}): {meaning}" for name, default, meaning in described()
)

app = typer.Typer(
    name="petrosa-cio",
    help="The gate between trading intents and the execution engine.",
    epilog="Exit codes: 0 done, 1 the answer is no, 2 wrong input, 3 environment, 4 not found, 5 waits for a second "
    "person, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(config, name="config")
app.add_typer(state, name="state")
app.add_typer(latch, name="latch")
app.command()(probe)
app.command()(audit_pnl)
app.command()(report)


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except CioError as error:
        sys.stderr.write(f"petrosa-cio: {error}\n")
        raise SystemExit(_code(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stderr.close()
        raise SystemExit(0) from None


def _code(error: CioError) -> int:
    match error:
        case SettingsError() | PolicyError() | RecordingError():
            return USAGE
        case NotFound():
            return MISSING
        case LedgerError() | PatchRefused():
            return NO
        case BusError() | StoreError():
            return ENVIRONMENT
        case _:
            return ENVIRONMENT


def _place(data_dir: Path | None) -> StorePlace:
    """The query store in a directory that is named, else the one that `serve` with these settings fills."""
    from petrosa_cio.bootstrap.stores import StorePlace, place_of

    return place_of(read_settings()) if data_dir is None else StorePlace(data_dir)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def up(
    data_dir: DataDir = default_data_dir(),  # noqa: B008  evaluated once on purpose
    market: Annotated[str, typer.Option(help="auto, live, synthetic, or none: no feed, no samples.")] = "auto",
    policy: PolicyFile = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once intents are being judged.")] = None,
    signal_subject: Annotated[
        str, typer.Option(help="Where signals leave; the current engine needs signals.trading.{strategy_id}.")
    ] = "signals.trading",
    account: Equity = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print decisions.")] = False,
) -> None:
    """Run everything on this machine: embedded NATS, gate, projector, a market with sample strategies."""
    from petrosa_cio.bootstrap.running import UpOptions
    from petrosa_cio.bootstrap.running import up as run_up
    from petrosa_cio.core import logs
    from petrosa_cio.core.unhurried import Unhurried
    from petrosa_cio.faces import Screen

    if market not in ("auto", "live", "synthetic", "none"):
        msg = f"--market: must be auto, live, synthetic or none, got {market}"
        raise SettingsError(msg)
    end_logs = logs.configure(json=False, unhurried=True)
    if ready_file is not None and not ready_file.parent.is_dir():
        msg = f"--ready-file: {ready_file.parent} is no directory"
        raise SettingsError(msg)
    screen = Screen()
    # One thread prints all, so that lines keep their order and a terminal that takes nothing stops nothing.
    printing: Unhurried[str | dict[str, object]] = Unhurried(
        lambda item: screen.say(item) if isinstance(item, str) else screen.decision(item)
    )
    options = UpOptions(data_dir.resolve(), market, policy, ready_file, signal_subject)
    if account is not None:
        options = replace(options, equity=account)
    try:
        run(run_up(options, printing, (lambda _: None) if quiet else printing))
    finally:
        shown, logged = printing.close(), end_logs()
    if not (shown and logged):
        os._exit(0)  # a thread hangs in a write that nobody reads; all else is done, and would wait for it


@app.command(help="Run gate and projector against your NATS. " + _SETTINGS_HELP)
def serve() -> None:
    """Run gate and projector against a NATS of yours."""
    from petrosa_cio.bootstrap.probing import scheduled_options
    from petrosa_cio.bootstrap.running import serve as run_serve
    from petrosa_cio.core import logs
    from petrosa_cio.core.unhurried import Unhurried
    from petrosa_cio.faces import Screen

    settings = read_settings()
    scheduled_options(settings)  # what cannot be used is told here, not by a child that dies of it
    end_logs = logs.configure(json=settings.log_format == "json", unhurried=True)
    printing: Unhurried[str] = Unhurried(Screen().say)
    try:
        run(run_serve(settings, printing))
    finally:
        shown, logged = printing.close(), end_logs()
    if not (shown and logged):
        os._exit(0)  # as above


@app.command()
def judge(policy: PolicyFile = None) -> None:
    """Judge one intent from standard input; print the verdict with every check. Exit 1 where it would be blocked."""
    from petrosa_cio.bootstrap.judging import judge_text

    answer = judge_text(sys.stdin.buffer.read(), policy)
    typer.echo(json.dumps(answer, indent=2))
    if answer["verdict"] in ("blocked", "quarantined"):
        raise typer.Exit(NO)


@app.command()
def replay(
    intents: Annotated[list[Path], typer.Option(help="Recorded intents, JSON lines (.gz); repeatable.")],
    out: Annotated[Path, typer.Option(help="Directory for results, the report and the store.")],
    klines: Klines = None,
    funding: Funding = None,
    account: Equity = None,
    exchange_info: ExchangeInfo = None,
    policy: PolicyFile = None,
) -> None:
    """Drive recorded intents through the real path, on the recording's clock. Exit 1 if anything is lost or doubled."""
    from petrosa_cio.bootstrap.replay import ReplayOptions, run_replay
    from petrosa_cio.core import logs
    from petrosa_cio.faces import Screen

    logs.configure(json=False)
    options = ReplayOptions(
        tuple(intents), tuple(klines or ()), out.resolve(), policy, tuple(funding or ()), account, exchange_info
    )
    screen = Screen()
    found: dict[str, object] = {}

    async def work() -> None:
        with screen.progress("intents decided") as progress:
            found.update(await run_replay(options, progress))

    run(work())
    screen.summary(found)
    if options.klines:
        write_report(options.out)
    if found["lost"] or found["duplicated"] or found["unpromised"] or found["decisions"] != found["intents"]:
        raise typer.Exit(NO)


@app.command()
def explain(
    decision_id: Annotated[str, typer.Argument(help="Decision id, or at least its first 8 characters.")],
    data_dir: StoreDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Tell the whole story of a decision, and judge it again. Exit 1 where the verdict does not come out the same."""
    from petrosa_cio.bootstrap.stores import open_store
    from petrosa_cio.bootstrap.tailing import tell
    from petrosa_cio.faces import Screen

    stories = []

    async def ask() -> None:
        store = await open_store(_place(data_dir))
        try:
            stories.append(await tell(store, decision_id))
        finally:
            await store.close()

    run(ask())
    (story,) = stories
    Screen().story(story, as_json=as_json)
    if not (story.same_verdict and story.hash_holds):
        raise typer.Exit(NO)


@app.command()
def verify_ledger(
    data_dir: StoreDir = None,
    nats_url: Annotated[str | None, typer.Option(help="Walk the ledger stream itself on this server.")] = None,
    book: Book = "main",
) -> None:
    """Walk the hash chain and name every altered, missing or reordered record. Exit 1 where there is one."""
    from petrosa_cio.bootstrap.asking import verify_at
    from petrosa_cio.bootstrap.stores import open_store
    from petrosa_cio.bootstrap.tailing import verify_store
    from petrosa_cio.faces import Screen

    reports = []

    async def walk() -> None:
        if nats_url is not None:
            reports.append(await verify_at(nats_url, book))
            return
        store = await open_store(_place(data_dir))
        try:
            reports.extend(await verify_store(store))
        finally:
            await store.close()

    run(walk())
    Screen().chains(reports)
    if not reports or any(report.breaks for report in reports):
        raise typer.Exit(NO)


@app.command()
def tail(
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    nats_url: NatsUrl = None,
    book: Book = "main",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record a line.")] = False,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the first record.")] = False,
) -> None:
    """Print decisions as they are recorded."""
    from petrosa_cio.bootstrap.asking import address, tail_at
    from petrosa_cio.faces import Screen

    screen = Screen()
    show = screen.record if as_json else screen.decision
    run(tail_at(address(data_dir, nats_url), book, show, from_start=from_start))


@app.command()
def status(
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    nats_url: NatsUrl = None,
    book: Book = "main",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Show a book's gate and its accounts. Exit 1 where they do not balance, 3 where no gate answers."""
    from petrosa_cio.bootstrap.asking import address, ask_status
    from petrosa_cio.faces import Screen

    found: dict[str, object] = {}

    async def ask() -> None:
        found.update(await ask_status(address(data_dir, nats_url), book))

    run(ask())
    Screen().status(found, as_json=as_json)
    account = found.get("account")
    if not isinstance(account, dict) or not account.get("balanced"):
        raise typer.Exit(NO)


for process in (gate, steward, projector, feeds, samples):
    app.command(hidden=True)(process)
