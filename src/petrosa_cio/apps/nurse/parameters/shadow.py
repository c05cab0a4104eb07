"""How long the shadow ledger follows what was blocked, and which intents it counts as one episode.

Fee and slippage of its positions are `taker_fee_bps` and `slippage_bps` (see `protection`); nothing here reaches a
verdict.
"""

from __future__ import annotations

from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening, Parameter

SHADOW: tuple[Parameter, ...] = (
    Parameter(
        name="shadow_max_holding_hours",
        kind=Kind.FLOAT,
        default=24.0,
        minimum=0.1,
        maximum=2400.0,
        unit="hours since the entry",
        description="Longest that the shadow ledger holds a position that neither its stop, its target, liquidation "
        "nor its strategy ends; it is then closed at the market. A limit order rests for as long.",
        example=8.0,
        impact="Longer lets positions without a stop and target run, and figures come later; shorter values them "
        "nearer to their entry.",
        when_to_change="Set it to how long the strategy really holds a position.",
        enforced_by="auditor",
        loosening=Loosening.NEITHER,
    ),
    Parameter(
        name="shadow_cooldown_minutes",
        kind=Kind.FLOAT,
        default=60.0,
        minimum=0.0,
        maximum=10080.0,
        unit="minutes since the last intent of the episode",
        description="How soon an intent of the same strategy, symbol and side must follow, once nothing of them is "
        "open any more, to belong to the same episode of the shadow ledger.",
        example=240.0,
        impact="Longer puts more intents into one episode and widens the interval of net savings; shorter counts "
        "repeats of one idea as several.",
        when_to_change="Set it to a few bars of the strategy's timeframe.",
        enforced_by="auditor",
        loosening=Loosening.NEITHER,
    ),
)
