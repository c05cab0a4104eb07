"""`petrosa-cio config`: the configuration of a book, read and changed by one audited way.

What loosens a limit is only tried unless ``--loosen`` is given; beyond `loosening_ratio` it then waits for a second
person. Values are JSON where they can be read as JSON, else text.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petrosa_cio.cli.options import NO, WAITS, Book, DataDir, NatsUrl, run
from petrosa_cio.errors import PolicyError, SettingsError
from petrosa_cio.settings import default_data_dir, read_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.bootstrap.configuring import Change, ConfigPlace, Office

config = typer.Typer(
    help="Read and change the configuration of a book: every change judged, audited, and with a way back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

FromSettings = Annotated[
    bool, typer.Option("--from-settings", help="Take book and stores from the environment, as `serve` does.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Author = Annotated[str, typer.Option(help="Who makes the change: a person or an agent, by name.")]
Trace = Annotated[str, typer.Option(help="The reasoning, at least 100 characters; @FILE reads it from a file.")]
Why = Annotated[str, typer.Option("--reason", help="The reason in a few words.")]
Loosen = Annotated[bool, typer.Option("--loosen", help="Really make a change that loosens; without it, only try.")]
Scope = Annotated[str | None, typer.Option(help="global, symbol:S, strategy:ID, symbol:S:LONG or symbol:S:SHORT.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
File = Annotated[Path, typer.Argument(help="Policy file (JSON, docs/policy.md); -: standard input.")]
ProposalId = Annotated[str, typer.Argument(help="Id of a proposal that waits.")]

_PLACE = (
    inspect.Parameter("data_dir", inspect.Parameter.KEYWORD_ONLY, default=default_data_dir(), annotation=DataDir),
    inspect.Parameter("book", inspect.Parameter.KEYWORD_ONLY, default="main", annotation=Book),
    inspect.Parameter("nats_url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=NatsUrl),
    inspect.Parameter("from_settings", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=FromSettings),
)


def placed(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say whose configuration it is about, and the place they name as ``place``."""
    # What the type checker alone imports is of no concern to typer.
    signature = inspect.signature(command, eval_str=True, locals={"ConfigPlace": object})
    own = [parameter for name, parameter in signature.parameters.items() if name != "place"]

    @functools.wraps(command)
    def with_place(data_dir: Path, book: str, nats_url: str | None, from_settings: bool, **own_: object) -> None:
        command(place=_place(data_dir, book, nats_url, from_settings=from_settings), **own_)

    with_place.__signature__ = signature.replace(parameters=[*own, *_PLACE])  # type: ignore[attr-defined]
    with_place.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *_PLACE)}
    return with_place


def _place(data_dir: Path, book: str, nats_url: str | None, *, from_settings: bool) -> ConfigPlace:
    from petrosa_cio.bootstrap.configuring import ConfigPlace, production_place
    from petrosa_cio.bootstrap.stores import StorePlace

    return production_place(read_settings()) if from_settings else ConfigPlace(book, StorePlace(data_dir), nats_url)


def _asked(place: ConfigPlace, question: Callable[[Office], Awaitable[Json]]) -> Json:
    from petrosa_cio.bootstrap.configuring import office

    found: list[Json] = []

    async def ask() -> None:
        async with office(place) as opened:
            found.append(await question(opened))

    run(ask())
    return found[0]


def _change(author: str, trace: str, reason: str) -> Change:
    from petrosa_cio.bootstrap.configuring import Change

    if trace.startswith("@"):
        try:
            trace = Path(trace[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"--trace: {trace[1:]} cannot be read: {error}"
            raise SettingsError(msg) from error
    return Change(author, trace, reason)


def _values(pairs: list[str]) -> dict[str, Json]:
    changes: dict[str, Json] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            msg = f"{pair!r}: write NAME=VALUE"
            raise SettingsError(msg)
        try:
            changes[name] = json.loads(text)
        except ValueError:
            changes[name] = text
    return changes


def _read(file: Path) -> Json:
    from petrosa_cio.bootstrap.policies import policy_text

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError((f"cannot be read: {error}",), str(file)) from error
    return policy_text(text, str(file))


def _made(found: Json, *, as_json: bool) -> None:
    """Show what became of a change, and exit accordingly."""
    from petrosa_cio.faces.configuration import ConfigScreen

    ConfigScreen().change(found, as_json=as_json)
    if isinstance(found, dict) and not found["applied"]:
        raise typer.Exit(WAITS if found.get("waits") else NO)


@config.command()
@placed
def get(
    place: ConfigPlace,
    names: Annotated[list[str] | None, typer.Argument(help="Parameters; none: all.")] = None,
    symbol: Annotated[str, typer.Option(help="The value for intents on this symbol.")] = "",
    strategy: Annotated[str, typer.Option(help="The value for intents of this strategy.")] = "",
    side: Annotated[str | None, typer.Option(help="LONG or SHORT; needs --symbol.")] = None,
    scope: Annotated[str | None, typer.Option(help="Show what this scope sets instead; all: every scope.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show parameters: meaning, bounds, default, the value in force and the scope that sets it."""
    from petrosa_cio.bootstrap.configuring import For
    from petrosa_cio.faces.configuration import ConfigScreen

    async def question(opened: Office) -> Json:
        if scope is not None:
            return await opened.scopes(None if scope == "all" else scope)
        return await opened.parameters(names or (), For(symbol, strategy, side))

    ConfigScreen().configuration(_asked(place, question), as_json=as_json)


@config.command(name="set")
@placed
def set_(
    place: ConfigPlace,
    scope: Annotated[str, typer.Argument(help="global, symbol:S, strategy:ID, symbol:S:LONG or symbol:S:SHORT.")],
    author: Author,
    trace: Trace,
    reason: Why,
    values: Annotated[list[str] | None, typer.Argument(help="NAME=VALUE; mode.CODE=enforce, observe or off.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A name that the scope shall no longer set.")] = None,
    expect: Annotated[int | None, typer.Option(help="Version of the scope that the change is made on.")] = None,
    loosen: Loosen = False,
    as_json: AsJson = False,
) -> None:
    """Change values of a scope. Exit 1 where nothing was changed, 5 where it waits for a second person."""
    changes, change = _values(values or []), _change(author, trace, reason)

    async def question(opened: Office) -> Json:
        return await opened.set(scope, changes, remove or (), change, expected=expect, loosen=loosen)

    _made(_asked(place, question), as_json=as_json)


@config.command()
@placed
def rollback(
    place: ConfigPlace,
    to: Annotated[str, typer.Argument(help="Number of a version (0: defaults alone), or its revision.")],
    author: Author,
    trace: Trace,
    reason: Why,
    scope: Scope = None,
    as_json: AsJson = False,
) -> None:
    """Bring an earlier configuration back, whole or one scope of it: at once, as a new version."""
    change = _change(author, trace, reason)

    async def question(opened: Office) -> Json:
        return await opened.rollback(to, scope, change)

    _made(_asked(place, question), as_json=as_json)


@config.command()
@placed
def history(place: ConfigPlace, scope: Scope = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List versions, newest first: who changed what, when and why."""
    from petrosa_cio.faces.configuration import ConfigScreen

    async def question(opened: Office) -> Json:
        return list(await opened.history(scope, limit))

    ConfigScreen().versions(_asked(place, question), as_json=as_json)


@config.command()
@placed
def diff(
    place: ConfigPlace,
    before: Annotated[str, typer.Argument(help="Number or revision of a version.")],
    after: Annotated[str | None, typer.Argument(help="Another; none: the one in force.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every value that differs between two versions."""
    from petrosa_cio.faces.configuration import ConfigScreen

    async def question(opened: Office) -> Json:
        return list(await opened.diff(before, after))

    ConfigScreen().differences(_asked(place, question), as_json=as_json)


@config.command()
@placed
def export(
    place: ConfigPlace,
    version: Annotated[str | None, typer.Argument(help="Number or revision; none: the one in force.")] = None,
    out: Annotated[Path | None, typer.Option(help="File; none: standard output.")] = None,
) -> None:
    """Write a version as a policy file, which `import`, `up --policy` and `replay --policy` read."""

    async def question(opened: Office) -> Json:
        return await opened.export(version)

    text = json.dumps(_asked(place, question), indent=2, sort_keys=True) + "\n"
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"--out: {out}: {error.strerror}"
        raise SettingsError(msg) from error


@config.command(name="import")
@placed
def import_(
    place: ConfigPlace,
    file: File,
    author: Author,
    trace: Trace,
    reason: Why,
    loosen: Loosen = False,
    as_json: AsJson = False,
) -> None:
    """Make a policy file the whole configuration. Exit 1 where nothing was changed, 5 where it waits."""
    content, change = _read(file), _change(author, trace, reason)

    async def question(opened: Office) -> Json:
        return await opened.import_(content, change, loosen=loosen)

    _made(_asked(place, question), as_json=as_json)


@config.command()
def validate(file: File, as_json: AsJson = False) -> None:
    """Check a policy file without a store or a server; every fault is named. Exit 2 where there is one."""
    from petrosa_cio.bootstrap.configuring import validate as judged
    from petrosa_cio.faces.configuration import ConfigScreen

    ConfigScreen().valid(str(file), judged(_read(file), str(file)), as_json=as_json)


@config.command()
def schema() -> None:
    """Print the JSON Schema of policy files, every parameter described."""
    from petrosa_cio.bootstrap.configuring import schema as made

    sys.stdout.write(json.dumps(made(), indent=2) + "\n")


@config.command()
@placed
def proposals(
    place: ConfigPlace,
    state: Annotated[str, typer.Option(help="waiting, approved, rejected, superseded, or all.")] = "waiting",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List changes that wait for a second person, or waited."""
    from petrosa_cio.faces.configuration import ConfigScreen

    async def question(opened: Office) -> Json:
        return list(await opened.proposals(None if state == "all" else state, limit))

    ConfigScreen().proposals(_asked(place, question), as_json=as_json)


@config.command()
@placed
def approve(
    place: ConfigPlace,
    proposal_id: ProposalId,
    by: Annotated[str, typer.Option(help="The second person: not the author.")],
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Put a proposal in force, as its second person."""

    async def question(opened: Office) -> Json:
        return await opened.approve(proposal_id, by, reason)

    _made(_asked(place, question), as_json=as_json)


@config.command()
@placed
def reject(
    place: ConfigPlace,
    proposal_id: ProposalId,
    by: Annotated[str, typer.Option(help="Whoever rejects it.")],
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """Settle a proposal without putting it in force."""
    from petrosa_cio.faces.configuration import ConfigScreen

    async def question(opened: Office) -> Json:
        return await opened.reject(proposal_id, by, reason)

    ConfigScreen().proposals([_asked(place, question)], as_json=as_json)
