"""How the policy itself may change."""

from __future__ import annotations

from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening, Parameter

CHANGE: tuple[Parameter, ...] = (
    Parameter(
        name="loosening_needs_second_person",
        kind=Kind.BOOLEAN,
        default=True,
        unit="true or false",
        description="Whether a patch that loosens a limit beyond `loosening_ratio`, or switches a control off, waits "
        "for a second person. Patches that tighten never wait.",
        example=True,
        impact="True puts two pairs of eyes before more risk; false lets one author, or one agent, admit it alone.",
        when_to_change="Switch it off only where one person runs the account and nobody else could answer.",
        enforced_by="strategist",
        loosening=Loosening.DOWN,
    ),
    Parameter(
        name="loosening_ratio",
        kind=Kind.FLOAT,
        default=1.0,
        minimum=1.0,
        maximum=10.0,
        unit="ratio of looser to tighter value (1.0 = any loosening counts, 1.2 = up to 20 % is free)",
        description="How far one author may loosen a numeric limit before a second person is needed.",
        example=1.2,
        impact="Higher lets limits drift further without a second look; at 1 every loosening needs one.",
        when_to_change="Raise it a little where small adjustments are frequent and have proved harmless.",
        enforced_by="strategist",
        loosening=Loosening.UP,
    ),
)
