"""`petrosa-cio probe`: the exchange's answers, live or stored, held against our models.

Its exit codes are its own: 0 no drift, 3 drift, 4 something could not be asked (and no drift in the rest), 2 wrong
arguments or settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petrosa_cio.cli.options import Book, DataDir, PolicyFile, run
from petrosa_cio.settings import default_data_dir, read_settings

if TYPE_CHECKING:
    from petrosa_cio.core.exchange.overrides import Override

DRIFT, UNREACHABLE = 3, 4


def probe(
    recorded: Annotated[Path | None, typer.Option(help="Examine stored answers under this directory instead.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    policy: PolicyFile = None,
    symbol: Annotated[str, typer.Option(help="Symbol that single-symbol endpoints are asked about.")] = "BTCUSDT",
    base_url: Annotated[str | None, typer.Option(help="Where to ask; none: CIO_BINANCE_URL.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=120.0, help="Seconds that one answer may take.")] = 10.0,
    data_dir: DataDir = default_data_dir(),  # noqa: B008  evaluated once on purpose
    book: Book = "main",
    from_settings: Annotated[
        bool, typer.Option("--from-settings", help="Take the configuration from where `serve` keeps it.")
    ] = False,
) -> None:
    """Hold the exchange's answers against our models; read-only. Exit 0 no drift, 3 drift, 4 unreachable."""
    from petrosa_cio.bootstrap.probing import ProbeOptions, keys_in, run_probe, run_recorded
    from petrosa_cio.core.exchange.probe import ProbeReport
    from petrosa_cio.faces.probe import ProbeScreen

    overrides = _overrides(policy, data_dir, book, from_settings=from_settings)
    if recorded is not None:
        files = run_recorded(recorded, overrides)
        ProbeScreen().stored(files, as_json=as_json)
        raise typer.Exit(DRIFT if any(file.drift for file in files) else 0)
    settings = read_settings()
    options = ProbeOptions(base_url or settings.binance_url, symbol, keys_in(settings), timeout)
    reports: list[ProbeReport] = []

    async def ask() -> None:
        reports.append(await run_probe(options, overrides))

    run(ask())
    ProbeScreen().report(reports[0], as_json=as_json)
    raise typer.Exit(DRIFT if reports[0].drift else UNREACHABLE if reports[0].unreachable else 0)


def _overrides(policy: Path | None, data_dir: Path, book: str, *, from_settings: bool) -> tuple[Override, ...]:
    """What a policy file overrides, else the configuration in force where there is one."""
    from petrosa_cio.bootstrap import policies
    from petrosa_cio.bootstrap.configuring import ConfigPlace, production_place
    from petrosa_cio.bootstrap.probing import is_kept, overrides_in_force
    from petrosa_cio.bootstrap.stores import StorePlace
    from petrosa_cio.core.exchange.overrides import overrides_in

    if policy is not None:
        return overrides_in(policies.load(policy, policies.PRODUCTION).scopes)
    place = production_place(read_settings()) if from_settings else ConfigPlace(book, StorePlace(data_dir))
    if not (from_settings or is_kept(place.store)):
        return ()
    found: list[Override] = []

    async def read() -> None:
        found.extend(await overrides_in_force(place))

    run(read())
    return tuple(found)
