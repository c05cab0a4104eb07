"""`petrosa-cio state` and `petrosa-cio latch`: how a book stands, and an operator's word about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petrosa_cio.cli.options import Book, DataDir, NatsUrl, run
from petrosa_cio.errors import SettingsError
from petrosa_cio.settings import default_data_dir

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

state = typer.Typer(
    help="Show whether a book takes entries, and halt it, let it only reduce, or resume it.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
latch = typer.Typer(
    help="Lift what a red line has latched.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Why = Annotated[str, typer.Option("--reason", help="Why, in at least 10 characters; it is recorded.")]
Who = Annotated[str | None, typer.Option("--who", help="Who says so; default: the user of this machine.")]
Code = Annotated[str, typer.Argument(help="Code of the latch, as `state` shows it.")]
Strategy = Annotated[str | None, typer.Option(help="The strategy that it is on; without it, one on the whole book.")]


@state.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    data_dir: DataDir = default_data_dir(),  # noqa: B008  evaluated once on purpose
    nats_url: NatsUrl = None,
    book: Book = "main",
    as_json: AsJson = False,
) -> None:
    """Show the state of a book: by whom or what, since when, until when, and every latch."""
    if context.invoked_subcommand is None:
        _command({"command": "show"}, data_dir, nats_url, book, as_json)


@state.command()
def halt(
    reason: Why,
    who: Who = None,
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    nats_url: NatsUrl = None,
    book: Book = "main",
    as_json: AsJson = False,
) -> None:
    """Block every entry until somebody resumes; what reduces risk passes."""
    _command({"command": "halt", "who": _named(who), "why": reason}, data_dir, nats_url, book, as_json)


@state.command()
def reduce(
    reason: Why,
    who: Who = None,
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    nats_url: NatsUrl = None,
    book: Book = "main",
    as_json: AsJson = False,
) -> None:
    """Let only pass what reduces risk, until somebody resumes."""
    _command({"command": "reduce", "who": _named(who), "why": reason}, data_dir, nats_url, book, as_json)


@state.command()
def resume(
    reason: Why,
    who: Who = None,
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    nats_url: NatsUrl = None,
    book: Book = "main",
    as_json: AsJson = False,
) -> None:
    """Take an operator's word back. It lifts no latch."""
    _command({"command": "resume", "who": _named(who), "why": reason}, data_dir, nats_url, book, as_json)


@latch.command()
def lift(
    code: Code,
    reason: Why,
    strategy: Strategy = None,
    who: Who = None,
    data_dir: DataDir = default_data_dir(),  # noqa: B008
    nats_url: NatsUrl = None,
    book: Book = "main",
    as_json: AsJson = False,
) -> None:
    """Lift one latch. Where its red line is still crossed the next entry sets it again."""
    asked: dict[str, Json] = {"command": "lift", "code": code, "who": _named(who), "why": reason}
    if strategy is not None:
        asked["strategy_id"] = strategy
    _command(asked, data_dir, nats_url, book, as_json)


@latch.callback()
def _root() -> None:
    """Keep ``lift`` a command of its own, though it is the only one."""


def _command(asked: dict[str, Json], data_dir: Path, nats_url: str | None, book: str, as_json: bool) -> None:
    from petrosa_cio.bootstrap.asking import address
    from petrosa_cio.bootstrap.commanding import command
    from petrosa_cio.faces.standing import StandingScreen

    found: dict[str, Json] = {}

    async def ask() -> None:
        found.update(await command(address(data_dir, nats_url), book, asked))

    run(ask())
    StandingScreen().show(found, as_json=as_json)


def _named(who: str | None) -> str:
    """Who commands. The machine is asked, not the environment, which anybody can set."""
    if who is not None:
        return who
    try:
        import pwd
    except ImportError as error:
        msg = "--who: this system does not tell who you are"
        raise SettingsError(msg) from error
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
