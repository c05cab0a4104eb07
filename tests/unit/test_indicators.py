"""Each indicator on numbers that can be checked on paper."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrosa_cio.apps.nurse.indicators import (
    DAY_MS,
    Ranked,
    drawdown,
    efficiency_ratio,
    path_of,
    true_range,
    variance_step,
    weight_of,
    wilder_step,
)

HOUR_MS = DAY_MS // 24
finite = st.floats(1e-6, 1e6)


class TestVolatility:
    def test_the_first_return_is_its_own_estimate(self) -> None:
        """A return of 1 % over one day is a variance of 0.0001 per day."""
        assert variance_step(None, 0.01, DAY_MS, 0.94) == pytest.approx(0.0001)

    def test_returns_are_scaled_to_a_day(self) -> None:
        """The same return within an hour is 24 times the variance per day."""
        assert variance_step(None, 0.01, HOUR_MS, 0.94) == pytest.approx(0.0024)

    def test_the_past_keeps_its_weight(self) -> None:
        """0.94 of 0.0001 and 0.06 of 0.02 squared are 0.000118; the sign of the return does not count."""
        for moved in (0.02, -0.02):
            assert variance_step(0.0001, moved, DAY_MS, 0.94) == pytest.approx(0.000118)

    def test_weights_multiply(self) -> None:
        """What keeps 0.94 in five minutes keeps 0.94 squared in ten, and five single minutes are five minutes."""
        five = 5 * 60_000
        assert weight_of(0.94, five, five) == pytest.approx(0.94)
        assert weight_of(0.94, 2 * five, five) == pytest.approx(0.8836)
        assert weight_of(0.94, five // 5, five) ** 5 == pytest.approx(0.94)


class TestRange:
    @pytest.mark.parametrize(("before", "expected"), [(102.0, 5.0), (100.0, 5.0), (98.0, 7.0), (107.0, 7.0)])
    def test_the_close_before_widens_the_range(self, before: float, expected: float) -> None:
        """A bar from 100 to 105 has a true range of 5, and of 7 where the close before was 98 or 107."""
        assert true_range(105.0, 100.0, before) == expected

    def test_wilders_average(self) -> None:
        """Of 14 bars: starts with the first value; after 10 and then 24 it is (13 x 10 + 24) / 14 = 11."""
        assert wilder_step(None, 10.0, 14) == 10.0
        assert wilder_step(10.0, 24.0, 14) == pytest.approx(11.0)

    def test_drawdown(self) -> None:
        """90 is a tenth below 100; at the high, or over it, there is none."""
        assert drawdown(90.0, 100.0) == pytest.approx(0.1)
        assert drawdown(100.0, 100.0) == 0.0
        assert drawdown(101.0, 100.0) == 0.0


class TestEfficiency:
    @pytest.mark.parametrize(
        ("closes", "expected"),
        [
            ([100.0, 101.0, 102.0, 103.0], 1.0),
            ([103.0, 102.0, 101.0, 100.0], 1.0),
            ([100.0, 102.0, 101.0, 103.0], 0.6),
            ([100.0, 101.0, 100.0], 0.0),
            ([100.0, 100.0], 0.0),
        ],
        ids=["straight up", "straight down", "3 of 5", "there and back", "nothing moved"],
    )
    def test_net_move_over_path(self, closes: list[float], expected: float) -> None:
        """Kaufman's ratio is the net move over the sum of the single moves."""
        assert efficiency_ratio(closes[0], closes[-1], path_of(closes)) == expected

    @given(st.lists(finite, min_size=2, max_size=40))
    def test_bounds(self, closes: list[float]) -> None:
        """Whatever the closes, the ratio is from 0 to 1."""
        assert 0.0 <= efficiency_ratio(closes[0], closes[-1], path_of(closes)) <= 1.0


class TestRanked:
    def test_median(self) -> None:
        """The middle of 3, 1, 2 is 2; with a 4 it is the mean of 2 and 3."""
        window = Ranked().add(3.0, 9).add(1.0, 9).add(2.0, 9)
        assert window.median == 2.0
        assert window.add(4.0, 9).median == 2.5

    def test_percentile(self) -> None:
        """Of 1, 2, 2, 3: none are up to 0.5, three quarters up to 2, all up to 3."""
        window = Ranked()
        for sample in (2.0, 3.0, 1.0, 2.0):
            window = window.add(sample, 9)
        assert [window.percentile(value) for value in (0.5, 1.0, 2.0, 2.5, 3.0)] == [0.0, 0.25, 0.75, 0.75, 1.0]

    @given(st.lists(st.sampled_from([1.0, 2.0, 3.0]) | finite, min_size=1, max_size=60), st.integers(1, 20))
    def test_it_is_the_sorted_tail(self, samples: list[float], length: int) -> None:
        """After any samples the window holds the last ones in order of time, and the same in order of size."""
        window = Ranked()
        for sample in samples:
            window = window.add(sample, length)
        assert list(window.recent) == samples[-length:]
        assert list(window.ranked) == sorted(samples[-length:])
        assert window.percentile(math.inf) == 1.0
