"""A ledger and a shadow ledger that are small enough to be added up on paper, and what a report makes of them.

Monday 2024-10-07, an account of 1,000. Positions are of size 1 and entered at 100.

======== ========= ======== =========== =================================== ===== ==== ======= ======
Decision At        Strategy Symbol      Verdict                             Gross Fees Funding Result
======== ========= ======== =========== =================================== ===== ==== ======= ======
d1       Mon 01:00 momo     BTCUSDT     approved                               12    1       0     11
d2       Mon 02:00 momo     BTCUSDT     blocked, REGIME_BLOCKED               -10    1       0    -11
d3       Mon 03:00 fade     ETHUSDT     blocked, REGIME_BLOCKED, VOLATILITY     6    1    -0.5    4.5
d4       Mon 04:00 fade     ETHUSDT     blocked, VOLATILITY                     8    1       0      7
d5       Mon 05:00 odd      BTCUSDT     blocked, VOLATILITY                 unavailable
d6       Tue 02:00 momo     BTCUSDT     blocked, REGIME_BLOCKED                -3  0.5       0   -3.5
======== ========= ======== =========== =================================== ===== ==== ======= ======

What was promoted really earned 12 less fees of 0.50 each way, and the wallet is 0.25 short of that: funding. Before d6
another policy comes into force; after it a red line latches and an operator halts the book.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from builders_shadows import DAY, MONDAY, shadow
from petrosa_cio.apps.auditor.outcomes import Outcome, Shadow, Tracked
from petrosa_cio.apps.auditor.report import report_of
from petrosa_cio.apps.auditor.report_ledger import LedgerReading
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.apps.nurse.record import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.auditor.report import Report
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.models import Json

HOUR = 3_600 * 1_000_000_000
FRIDAY = MONDAY + 4 * DAY
ODD = '<script>alert("1")</script>|[red]_x_&\u202e'
"""A strategy whose name means something to every face."""


def decision(
    name: str, at: Instant, strategy_id: str | None, verdict: str, *codes: str, outcome: str = "block"
) -> dict[str, Json]:
    """The record of a decision, as far as a report reads it."""
    reasons: list[Json] = [{"code": code, "outcome": outcome} for code in codes]
    return {
        "kind": "decision",
        "decision_id": name,
        "at": iso(at),
        "strategy_id": strategy_id,
        "verdict": verdict,
        "reasons": reasons,
    }


def policy(revision: str, most: int, **more: Json) -> dict[str, Json]:
    """The record of a policy with one setting."""
    content: Json = {"scopes": {"global": {"max_daily_trades": most}}}
    return {"kind": "policy", "policy_revision": revision, "policy": content, **more}


def account(at: Instant, wallet: str, unrealised: str = "0", origin: str = "simulated") -> dict[str, Json]:
    """The record of a report of the account."""
    return {
        "kind": "account",
        "report": {"origin": origin, "as_of": iso(at), "wallet": wallet, "unrealised": unrealised},
    }


def execution(at: Instant, **told: Json) -> dict[str, Json]:
    """The record of a fill of momo's."""
    return {"kind": "execution", "execution": {"kind": "filled", "at": iso(at), "strategy_id": "momo", **told}}


def hand_ledger(odd: str = "odd") -> list[dict[str, Json]]:
    """The records of the table above, in order."""
    fee: dict[str, Json] = {"fee": "0.50", "fee_asset": "USDT"}
    return [
        policy("a" * 64, 5),
        account(MONDAY, "1000"),
        decision("d1", MONDAY + HOUR, "momo", "approved"),
        execution(MONDAY + HOUR, **fee),
        decision("d2", MONDAY + 2 * HOUR, "momo", "blocked", "REGIME_BLOCKED"),
        decision("d3", MONDAY + 3 * HOUR, "fade", "blocked", "REGIME_BLOCKED", "VOLATILITY"),
        decision("d4", MONDAY + 4 * HOUR, "fade", "blocked", "VOLATILITY"),
        decision("d5", MONDAY + 5 * HOUR, odd, "blocked", "VOLATILITY"),
        execution(MONDAY + 6 * HOUR, pnl="12", closes=True, **fee),
        account(MONDAY + 7 * HOUR, "1010.75", "3"),
        policy("b" * 64, 3, who="ana", why="too many <i>trades</i>"),
        decision("d6", MONDAY + 26 * HOUR, "momo", "blocked", "REGIME_BLOCKED"),
        {
            "kind": "latch", "change": "set", "at": iso(MONDAY + 27 * HOUR), "code": "DAILY_LOSS", "strategy_id": None,
            "effect": "reducing", "until": iso(MONDAY + 2 * DAY), "cause": {"loss": "30.5"},
        },
        {"kind": "state", "at": iso(MONDAY + 28 * HOUR), "state": "halted", "who": "ben", "why": "lunch | [red]"},
    ]  # fmt: skip


def hand_shadows(odd: str = "odd") -> list[Shadow]:
    """The positions of the table above."""
    regime, both, volatility = ("REGIME_BLOCKED",), ("REGIME_BLOCKED", "VOLATILITY"), ("VOLATILITY",)
    unknown = shadow("d5", at=MONDAY + 5 * HOUR, strategy_id=odd, reasons=volatility, outcome=Outcome.UNAVAILABLE)
    fade = {"strategy_id": "fade", "symbol": "ETHUSDT", "regime": "choppy"}
    return [
        shadow("d1", "12", "1", tracked=Tracked.PROMOTED, at=MONDAY + HOUR),
        shadow("d2", "-10", "1", at=MONDAY + 2 * HOUR, reasons=regime),
        shadow("d3", "6", "1", "-0.5", at=MONDAY + 3 * HOUR, reasons=both, **fade),  # type: ignore[arg-type]
        shadow("d4", "8", "1", at=MONDAY + 4 * HOUR, reasons=volatility, **fade),  # type: ignore[arg-type]
        replace(unknown, entry=None, gross=None, fees=None, funding=None, result=None),
        shadow("d6", "-3", "0.5", at=MONDAY + 26 * HOUR, reasons=regime),
    ]


def read(records: Iterable[dict[str, Json]], measured: Iterable[str] = ()) -> LedgerReading:
    """What is read of ``records``; ``measured`` is of the first of them that are decisions."""
    reading, texts = LedgerReading("main"), iter(measured)
    for content in records:
        reading.take(encode(content), next(texts, "") if content["kind"] == "decision" else "")
    return reading


def hand_report(odd: str = "odd") -> Report:
    """The report of the table above, from Monday to Friday."""
    measured = [f'{{"judged_after_us":{us}}}' for us in (300, 100, 400, 200)]
    return report_of(read(hand_ledger(odd), measured), hand_shadows(odd), MONDAY, FRIDAY)
