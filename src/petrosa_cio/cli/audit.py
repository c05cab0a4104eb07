"""`petrosa-cio audit-pnl`: trades that another engine priced, priced anew by our arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from petrosa_cio.cli.options import NO


def audit_pnl(
    trades: Annotated[Path, typer.Option(help="Recorded trades with their results, JSON lines (.gz).")],
    funding: Annotated[Path, typer.Option(help="Recorded funding rates and mark prices, CSV (.gz).")],
    covered_only: Annotated[
        bool, typer.Option("--covered-only", help="Leave out, and name, trades that met funding not recorded.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Price recorded trades with our arithmetic. Exit 1 where a result is not the one that was recorded."""
    from petrosa_cio.bootstrap.auditing import audit_trades
    from petrosa_cio.faces.audit import AuditScreen

    found = audit_trades(trades, funding, covered_only=covered_only)
    AuditScreen().reconciliation(found, as_json=as_json)
    if not found.holds:
        raise typer.Exit(NO)
