"""Printing never holds up what is being told of."""

from __future__ import annotations

import threading

from petrosa_cio.faces.unhurried import Unhurried


def test_everything_is_shown_in_order() -> None:
    """What there is time for is shown, in order, before closing ends."""
    shown: list[int] = []
    show = Unhurried(shown.append)
    for number in range(500):
        show(number)
    show.close(10)
    assert (shown, show.passed_over) == (list(range(500)), 0)


def test_a_reader_that_takes_nothing_holds_nobody_up() -> None:
    """With a reader that never takes anything, showing returns at once; what finds no room is counted."""
    never = threading.Event()
    show = Unhurried(lambda _: never.wait(), most=10)
    try:
        for number in range(1000):
            show(number)
        assert 989 <= show.passed_over <= 990  # ten wait, and one may be with the reader
        show.close(0.01)
    finally:
        never.set()


def test_a_reader_that_went_away_is_no_error() -> None:
    """A closed pipe is counted, and what comes after it is tried."""

    def show(number: int) -> None:
        if number == 1:
            raise BrokenPipeError
        shown.append(number)

    shown: list[int] = []
    unhurried = Unhurried(show)
    for number in range(3):
        unhurried(number)
    unhurried.close(10)
    assert (shown, unhurried.passed_over) == ([0, 2], 1)
