"""Which symbols move together: the rolling correlation of their bars, and from where on two of them are one risk."""

from __future__ import annotations

from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening, Parameter

_GUARD = "guard"

CORRELATION: tuple[Parameter, ...] = (
    Parameter(
        name="correlation_hours",
        kind=Kind.FLOAT,
        default=24.0,
        minimum=6.0,
        maximum=168.0,
        unit="hours",
        description="Window of the rolling correlation of log returns, one each `regime_sample_minutes`. A day of "
        "quarters of an hour has 96, so that the standard error of a correlation of 0.7 is (1 - 0.49)/sqrt(96) = 0.05 "
        "(Fisher 1915), and is short enough to follow correlations up in a crash (Longin, Solnik 2001).",
        example=72.0,
        impact="Longer is steadier, and slower to see markets fall in step; shorter follows chance.",
        when_to_change="With `regime_sample_minutes`: keep some 100 samples in the window.",
        enforced_by=_GUARD,
        loosening=Loosening.NEITHER,
    ),
    Parameter(
        name="correlation_threshold",
        kind=Kind.FLOAT,
        default=0.7,
        minimum=-1.0,
        maximum=1.0,
        unit="correlation, -1..1",
        description="Correlation above which two symbols count as moving together, for `max_correlated_exposure_pct`. "
        "At 0.7 half of what one does is explained by the other (0.7 squared is 0.49). Two symbols of which too "
        "little is known to tell count as moving together.",
        example=0.5,
        impact="Higher finds smaller groups and leaves more room; lower counts more symbols as one risk.",
        when_to_change="When symbols that fell together on a bad day were not counted together.",
        enforced_by=_GUARD,
        loosening=Loosening.UP,
    ),
)
