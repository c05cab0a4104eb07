"""The JSON Schema (draft 2020-12) of a report in JSON. Every key is always there; what is not known is null.

A later version may add keys, and its schema names them; no key changes its meaning while ``v`` is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.calibration import Standing
from petrosa_cio.apps.auditor.figures import Breakdown
from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource
from petrosa_cio.apps.auditor.report_content import FORMAT
from petrosa_cio.apps.nurse.models import VerdictKind
from petrosa_cio.apps.nurse.policy_schema import DIALECT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Json

_MONEY = r"^-?\d+(\.\d+)?$"
_INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00$"


def report_schema() -> dict[str, Json]:
    """The schema of what `report_content.report_content` gives."""
    whole = _object(
        v={"const": FORMAT},
        headline=_text("The first line of every face."),
        book=_text("An account whose intents are judged one after another."),
        **{"from": _instant("Beginning, included."), "to": _instant("End, left out.")},
        intents=_count("Decisions of the window, of any verdict."),
        verdicts=_verdicts(),
        earnings=_or_null(_ref("money")),
        net_profit=_or_null(_ref("net_profit")),
        net_savings=_ref("money"),
        estimate=_ref("estimate"),
        trailing_12_weeks=_ref("estimate"),
        calibration=_calibration(),
        against_chance=_or_null(_ref("chance")),
        equity=_equity(),
        savings=_savings(),
        strategies=_array(_strategy()),
        rules=_array(_rule()),
        policies=_array(_policy()),
        red_lines=_array(_red_line()),
        gate=_gate(),
        assumptions=_assumptions(),
    )
    return {
        "$schema": DIALECT,
        "title": "petrosa-cio report",
        "description": "Money in quote currency, as exact decimal text. Shares are decimal text from 0 to 1.",
        **whole,
        "$defs": {
            "money": {"type": "string", "pattern": _MONEY},
            "instant": {"type": "string", "pattern": _INSTANT},
            "figures": _figures(),
            "estimate": _estimate(),
            "error": _money("total", "mean", "median_absolute", "largest", "rate", pairs=_count("Promoted trades.")),
            "net_profit": _net_profit(),
            "placement": _money("real", "expected", "low", "median", "high", "p_skill", "p_harm"),
            "chance": _object(
                runs=_count("Blocked and promoted ones."),
                blocked=_count("Blocked ones."),
                shuffled=_count("Those that could have had the other verdict."),
                net=_ref("placement"),
                move=_ref("placement"),
                costs=_ref("placement"),
            ),
            "share": _money("share", count=_count("How many.")),
        },
    }


def _net_profit() -> dict[str, Json]:
    return _money(
        "net",
        "pnl",
        "fees",
        funding=_or_null(_ref("money"), "What the wallet changed by beyond profit and fees."),
        open=_or_null(_ref("money"), "Unrealised, in no other figure."),
        executions=_count("Executions told."),
        unpriced_fees=_count("Fills whose fee is in another asset, and in no figure."),
        origin=_or_null(_text("Whose account.")),
    )


def _estimate() -> dict[str, Json]:
    interval = _money("low", "high", "below_zero", "block_days")
    return _money(
        "net_savings",
        episodes=_count("Filled ones."),
        days=_count("From the first to the last."),
        active_days=_count("With a result."),
        worst=_or_null(_ref("money")),
        best=_or_null(_ref("money")),
        interval=_or_null(interval, "95 %; null where episodes or days are too few."),
    )


def _calibration() -> dict[str, Json]:
    return _object(
        standing={"enum": [word.value for word in Standing]},
        simulated={"type": "boolean", "description": "Whether fills are simulated."},
        error=_or_null(_ref("error")),
        by_symbol=_map(_ref("error")),
        bias=_or_null(_ref("money"), "By how much net savings are too high."),
        distinguishable={"type": ["boolean", "null"], "description": "Whether net savings exceed the bias."},
    )


def _equity() -> dict[str, Json]:
    return _money(
        "governed_fall",
        "ungoverned_fall",
        basis={"enum": ["account", "paper"]},
        points=_array(_money("governed", "ungoverned", at=_ref("instant"))),
    )


def _savings() -> dict[str, Json]:
    paper = _money(
        "all",
        "promoted",
        "blocked",
        promoted_positions=_count("In the paper portfolio."),
        promoted_apart=_count("Open or unavailable, and not in it."),
    )
    return _object(
        paper=paper,
        total=_ref("figures"),
        **{f"by_{breakdown.value}": _map(_ref("figures")) for breakdown in Breakdown},
        open=_ref("figures"),
        unmarked=_count("Open positions without a price."),
        unavailable=_count("Positions that nothing can be said of."),
    )


def _figures() -> dict[str, Json]:
    counts = ("positions", "episodes", "repeats", "losses", "gains", "ambiguous")
    return _money(
        "avoided_loss",
        "missed_gain",
        "net_savings",
        "fees_avoided",
        "funding_avoided",
        "move_avoided",
        "other_way",
        **{name: _count(f"Number of {name}.") for name in counts},
    )


def _rule() -> dict[str, Json]:
    return _object(
        code=_text("A reason of docs/reasons.md."),
        decisions=_count("That name it."),
        named=_ref("figures"),
        sole=_ref("figures"),
        estimate=_ref("estimate"),
        costs_more={"type": "boolean", "description": "Whether it alone missed more than it avoided."},
    )


def _strategy() -> dict[str, Json]:
    return _money(
        "share",
        strategy_id=_text("As sent."),
        intents=_count("Approved, reduced or blocked."),
        blocked=_count("Of these."),
        longest_run=_count("Blocked one after another."),
        chief_reason=_or_null(_text("The gravest reason of most blocks.")),
        chief_blocks=_count("Blocks with it."),
        tired={"type": "boolean", "description": "Whether its intents keep being blocked."},
    )


def _policy() -> dict[str, Json]:
    return _object(
        revision=_or_null(_text("SHA-256 of the policy.")),
        at=_or_null(_ref("instant")),
        within={"type": "boolean", "description": "Whether it took the place of another in the window."},
        who=_or_null(_text("Where the record has it.")),
        why=_or_null(_text("Where the record has it.")),
        trace=_or_null(_text("Where the record has it.")),
        changed=_array(_text("A setting: before -> after.")),
        verdicts=_verdicts(),
        figures=_ref("figures"),
    )


def _red_line() -> dict[str, Json]:
    return _object(
        at=_ref("instant"),
        change=_text("set, lifted, or the state an operator put the book in."),
        code=_or_null(_text("Of the red line.")),
        strategy_id=_or_null(_text("Null: the whole book.")),
        effect=_or_null(_text("State that it puts the book or strategy in.")),
        until=_or_null(_ref("instant")),
        who=_or_null(_text("A person.")),
        why=_or_null(_text("In their words.")),
        cause=_map(_text("A number that was compared.")),
    )


def _gate() -> dict[str, Json]:
    some: dict[str, Json] = {"type": ["integer", "null"], "minimum": 0}
    outage = _object(
        **{"from": _ref("instant"), "to": _ref("instant")},
        passed=_count("Closes that passed unrecorded."),
        why=_text("The last trouble seen."),
    )
    return _object(
        latency_us=_object(measured=_count("Decisions."), p50=some, p99=some, max=some),
        outages=_array(outage),
        losses=_object(
            expired=_count("Not promoted in time."),
            gap=_count("Gone before they could be judged."),
            spilled=_count("Closes that passed unrecorded."),
        ),
    )


def _assumptions() -> dict[str, Json]:
    return _object(
        positions=_count("Blocked, of any outcome."),
        price_sources=_object(**{word.value: _ref("share") for word in PriceSource}),
        outcomes=_object(**{word.value: _ref("share") for word in Outcome}),
        gaps=_ref("share"),
    )


def _verdicts() -> dict[str, Json]:
    names: list[Json] = [word.value for word in VerdictKind]
    return {**_map(_count("Decisions.")), "propertyNames": {"enum": names}}


# -- words -------------------------------------------------------------------------------------------------------------


def _object(**properties: Json) -> dict[str, Json]:
    required: list[Json] = [*properties]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _money(*names: str, **others: Json) -> dict[str, Json]:
    """An object of amounts, and what else there is in it."""
    amounts: Mapping[str, Json] = {name: _ref("money") for name in names}
    return _object(**amounts, **others)


def _map(values: Json) -> dict[str, Json]:
    return {"type": "object", "additionalProperties": values}


def _array(items: Json) -> dict[str, Json]:
    return {"type": "array", "items": items}


def _or_null(schema: dict[str, Json], description: str = "") -> dict[str, Json]:
    found: dict[str, Json] = {"anyOf": [schema, {"type": "null"}]}
    return {**found, "description": description} if description else found


def _text(description: str) -> dict[str, Json]:
    return {"type": "string", "description": description}


def _count(description: str) -> dict[str, Json]:
    return {"type": "integer", "minimum": 0, "description": description}


def _instant(description: str) -> dict[str, Json]:
    return {**_ref("instant"), "description": description}


def _ref(name: str) -> dict[str, Json]:
    return {"$ref": f"#/$defs/{name}"}
