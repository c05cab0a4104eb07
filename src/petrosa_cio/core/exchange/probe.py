"""One live probe: every endpoint asked once, every answer held against its model, our clock against the exchange's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.core.exchange.answers import Finding, examine
from petrosa_cio.core.exchange.drift import Drift, Kind, gathered
from petrosa_cio.core.exchange.endpoints import ENDPOINTS, EXCHANGE_INFO, TIME
from petrosa_cio.core.exchange.overrides import filters_changed
from petrosa_cio.core.exchange.refusals import SENTENCES, ErrorClass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.core.exchange.binance import Binance, Reply
    from petrosa_cio.core.exchange.endpoints import Endpoint
    from petrosa_cio.core.exchange.overrides import Override

FORGIVEN_SKEW_MS = 1000
"""A signed request that is stamped further ahead than this is refused."""

_CLOCK_SAMPLES = 3
_SILENT = 2
"""After so many endpoints in a row without an answer the rest is not asked: each would cost the whole time limit."""

# Weight is of an address, and the engine may trade from ours: what is left of the minute is left to it.
_WEIGHT_SHARE = 0.8
_USUAL_WEIGHT_LIMIT = 2400
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Probed:
    """What one endpoint answered. ``error_class`` says why there was nothing to hold against the model."""

    endpoint: str
    drift: tuple[Drift, ...] = ()
    error_class: ErrorClass | None = None
    status: int | None = None
    trouble: str = ""

    def content(self) -> dict[str, object]:
        """This endpoint as JSON."""
        return {
            "endpoint": self.endpoint,
            "drift": [drift.content() for drift in self.drift],
            "error_class": None if self.error_class is None else self.error_class.value,
            "error": None if self.error_class is None else SENTENCES[self.error_class],
            "status": self.status,
            "trouble": self.trouble,
        }


@dataclass(slots=True)
class ProbeReport:
    """What a live probe found. Skew is the exchange's clock less ours, in ms; None where it was not measured."""

    probed: list[Probed] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Endpoints that were not asked: no keys, or the exchange told us to stop."""
    skew_ms: int | None = None
    skew_uncertain_ms: int = 0
    """Half of the time that the answer took: the skew is known no better."""
    weight_used: int | None = None
    weight_limit: int | None = None
    wait_seconds: float = 0.0
    """How long the exchange wants not to be asked; 0 where it named nothing."""

    @property
    def drift(self) -> tuple[Drift, ...]:
        """Every difference, of all endpoints."""
        return tuple(drift for probed in self.probed for drift in probed.drift)

    @property
    def unreachable(self) -> bool:
        """Whether an endpoint that was to be asked gave no answer that could be held against its model."""
        return any(probed.error_class is not None for probed in self.probed) or self.wait_seconds > 0

    def content(self) -> dict[str, object]:
        """This report as JSON."""
        return {
            "endpoints": [probed.content() for probed in self.probed],
            "skipped": list(self.skipped),
            "clock_skew_ms": self.skew_ms,
            "clock_skew_uncertain_ms": self.skew_uncertain_ms,
            "weight_used_1m": self.weight_used,
            "weight_limit_1m": self.weight_limit,
            "wait_seconds": self.wait_seconds,
            "drifted": bool(self.drift),
            "unreachable": self.unreachable,
        }


async def probe(exchange: Binance, symbol: str, overrides: Sequence[Override] = ()) -> ProbeReport:
    """Ask every endpoint once (the clock three times) and report. Never raises for what the exchange does."""
    report = ProbeReport()
    asked = [endpoint for endpoint in ENDPOINTS if exchange.has_keys or not endpoint.signed]
    report.skipped = [endpoint.path for endpoint in ENDPOINTS if endpoint not in asked]
    silent = 0
    for number, endpoint in enumerate(asked):
        probed = await _probed(exchange, endpoint, symbol, overrides, report)
        report.probed.append(probed)
        silent = silent + 1 if probed.status is None else 0
        if report.wait_seconds or silent == _SILENT:
            report.skipped.extend(other.path for other in asked[number + 1 :])
            break
    return report


async def _probed(
    exchange: Binance, endpoint: Endpoint, symbol: str, overrides: Sequence[Override], report: ProbeReport
) -> Probed:
    """Ask one endpoint, and note in ``report`` what its answer tells beside itself."""
    reply = await exchange.ask(endpoint, symbol)
    _count(report, reply)
    finding = _examined(endpoint, reply)
    drift = list(finding.drift)
    if endpoint is EXCHANGE_INFO:
        report.weight_limit = _weight_limit(finding.answer)
        drift.extend(filters_changed(finding.answer, overrides))
    if endpoint is TIME:
        samples = _sample(finding, reply)
        while samples and len(samples) < _CLOCK_SAMPLES and not report.wait_seconds:
            again = await exchange.ask(TIME, symbol)
            _count(report, again)
            samples.extend(_sample(_examined(TIME, again), again) or samples[:1])
        drift.extend(_skew(report, samples))
        exchange.skew_ms = report.skew_ms or 0
    return Probed(endpoint.path, gathered(drift), finding.error_class, reply.status, reply.trouble)


def _count(report: ProbeReport, reply: Reply) -> None:
    report.wait_seconds = max(report.wait_seconds, reply.wait_seconds)
    if reply.weight is not None:
        report.weight_used = max(report.weight_used or 0, reply.weight)
        if report.weight_used >= _WEIGHT_SHARE * (report.weight_limit or _USUAL_WEIGHT_LIMIT):
            report.wait_seconds = max(report.wait_seconds, _MINUTE)


def _examined(endpoint: Endpoint, reply: Reply) -> Finding:
    if reply.status is None:
        return Finding(error_class=ErrorClass.UNREACHABLE)
    if reply.large:
        return Finding(error_class=ErrorClass.TOO_LARGE)
    return examine(endpoint, reply.body, reply.status)


def _sample(finding: Finding, reply: Reply) -> list[tuple[float, float]]:
    """How long an answer took and the skew it shows, in ms."""
    answer = finding.answer
    server = answer.get("serverTime") if isinstance(answer, dict) else None
    if type(server) is not int:
        return []
    took = (reply.answered_ns - reply.asked_ns) / 1e6
    middle = (reply.answered_ns + reply.asked_ns) / 2e6
    return [(took, server - middle)]


def _skew(report: ProbeReport, samples: list[tuple[float, float]]) -> list[Drift]:
    """Take the skew of the quickest answer: it is the least uncertain."""
    if not samples:
        return []
    took, skew = min(samples)
    report.skew_ms, report.skew_uncertain_ms = round(skew), round(took / 2)
    if abs(skew) - took / 2 <= FORGIVEN_SKEW_MS:
        return []
    return [Drift(Kind.CLOCK_SKEW, "serverTime", f"within {FORGIVEN_SKEW_MS} ms", f"{round(skew)} ms")]


def _weight_limit(answer: object) -> int | None:
    limits = answer.get("rateLimits") if isinstance(answer, dict) else None
    for limit in limits if isinstance(limits, list) else ():
        if isinstance(limit, dict) and limit.get("rateLimitType") == "REQUEST_WEIGHT":
            value = limit.get("limit")
            return value if type(value) is int else None
    return None
