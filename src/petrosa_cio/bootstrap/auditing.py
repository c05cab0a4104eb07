"""The Auditor joined to recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.pnl import MINUTE_MS
from petrosa_cio.apps.auditor.reconciliation import Reconciliation, compare, reconcile
from petrosa_cio.core.exchange.funding import read_funding
from petrosa_cio.core.exchange.trades import read_trades

if TYPE_CHECKING:
    from pathlib import Path

_MS = 1_000_000


def audit_trades(trades: Path, funding: Path, *, covered_only: bool = False) -> Reconciliation:
    """Price the recorded trades anew and hold them against what they say they earned.

    Raises RecordingError naming file and line for a file that cannot be believed.
    """
    told = read_trades(trades)
    table = read_funding([funding], marked=True)
    # A settlement is stamped late, never early, so the last one may bear a time just after the trade.
    met = (
        table.between(one.trade.symbol, one.trade.opened_at // _MS - MINUTE_MS, one.trade.closed_at // _MS + MINUTE_MS)
        for one in told
    )
    return reconcile(map(compare, told, met), covered_only=covered_only)
