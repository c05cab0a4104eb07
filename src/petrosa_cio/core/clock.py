"""The only reader of the clock. Everything inside takes time as an argument."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Nanoseconds since the Unix epoch, to the microsecond: instants are recorded to that, and judged as recorded."""
    return time.time_ns() // 1000 * 1000


def steady_ns() -> int:
    """Nanoseconds on a clock that nobody sets and that runs on while the process is stopped; spans only."""
    return time.monotonic_ns()
