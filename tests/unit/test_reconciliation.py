"""Recorded results against ours: what matches, what does not, and which part explains it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders_trades import at, fill, make_trade, settlement
from petrosa_cio.apps.auditor.reconciliation import Told, compare, reconcile

D = Decimal


def told(result: str, place: str = "trades.jsonl:1", relative: str | None = None) -> Told:
    """10 in at 100 and out at 120, 0.1 % a side: gross 200, fees 2.2; with funding of 0.1 % at 100: paid 1."""
    trade = make_trade([fill(1, "10", "100", "0.001")], [fill(9, "10", "120", "0.001")])
    return Told(place, "LTC/USDT:USDT", trade, D(result), None if relative is None else D(relative))


PAID = (settlement(8, "0.001", "100"),)


@pytest.mark.parametrize(
    ("result", "matches"),
    # Ours is 196.8. Allowed of x is 0.01 + 0.0005 x, so from (196.8 - 0.01) / 1.0005 to (196.8 + 0.01) / 0.9995.
    [
        ("196.8", True),
        ("196.6917", True),
        ("196.6916", False),
        ("196.9084", True),
        ("196.9085", False),
        ("-196.8", False),
        ("0", False),
    ],
)
def test_a_result_matches_within_a_cent_and_five_basis_points(result: str, matches: bool) -> None:
    """Of what was told, on both sides."""
    assert compare(told(result), PAID).matches is matches


@pytest.mark.parametrize(
    ("price", "matches"), [("120.02", True), ("120.0200001", False), ("119.98", True), ("119.9799999", False)]
)
def test_at_the_limit_it_matches(price: str, matches: bool) -> None:
    """Of 20 that were told, 0.01 + 0.01 are allowed: 20.02 and 19.98 match, and nothing beyond."""
    trade = make_trade([fill(1, "1", "100")], [fill(2, "1", price)])
    assert compare(Told("a:1", "LTCUSDT", trade, D(20)), ()).matches is matches


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        ("196.8", None),
        ("197.8", "funding_left_out"),
        ("198.8", "funding_sign"),
        ("199", "fees_left_out"),
        ("200", "fees_and_funding_left_out"),
        ("-201.2", "side"),
        ("150", None),
    ],
)
def test_a_difference_is_explained_by_the_part_that_makes_it(result: str, cause: str | None) -> None:
    """200 - 2.2 - 1, each part left out or turned round; where none does it, none is named."""
    assert compare(told(result), PAID).cause == cause


def test_unrecorded_funding_explains_before_all_else() -> None:
    """Without the settlement the trade is off by it, and its time is named; what is told is still held against ours."""
    found = compare(told("196.8"), ())
    assert (found.matches, found.cause, found.difference) == (False, "funding_unrecorded", D(1))
    assert found.unrecorded == (at(8) // 1_000_000,)


def test_funding_without_a_mark_is_unrecorded() -> None:
    """It is not priced at any other price."""
    found = compare(told("197.8"), (settlement(8, "0.001", None),))
    assert (found.ours.funding, found.unrecorded) == (0, (at(8) // 1_000_000,))


def test_a_match_by_what_is_recorded_is_named_as_uncovered() -> None:
    """The trade matches, and the account says which settlement it had to do without."""
    found = reconcile([compare(told("197.8"), ())])
    assert (found.matched, found.holds, len(found.uncovered)) == (1, True, 1)


def test_the_largest_difference_is_found_on_either_side() -> None:
    """By size, not by sign; mismatches come in this order."""
    results = ("196.8", "190", "210", "196.81")
    found = reconcile(compare(told(result, f"a:{line}"), PAID) for line, result in enumerate(results, 1))
    assert found.largest is not None
    assert (found.largest.told.place, found.largest.difference) == ("a:3", D("-13.2"))
    assert [one.told.place for one in found.mismatched] == ["a:3", "a:2"]
    assert (found.matched, found.holds) == (2, False)


def test_left_out_trades_do_not_count() -> None:
    """With covered trades only, one that met unrecorded funding neither matches nor fails, and is named."""
    every = [compare(told("196.8"), PAID), compare(told("196.8", "a:2"), ())]
    found = reconcile(every, covered_only=True)
    assert (found.matched, len(found.compared), found.holds) == (1, 1, True)
    assert [one.told.place for one in found.left_out] == ["a:2"]


def test_of_no_trade_nothing_holds() -> None:
    """An account in which nothing was compared is no proof."""
    found = reconcile([compare(told("196.8"), ())], covered_only=True)
    assert (found.holds, found.largest, found.content()["largest_difference"]) == (False, None, None)


def test_relative_results_are_shown_and_decide_nothing() -> None:
    """196.8 of 1001 is 0.1966...; told 0.5 the trade still matches."""
    found = reconcile([compare(told("196.8", relative="0.5"), PAID), compare(told("196.8"), PAID)])
    assert found.holds
    assert found.largest_relative is not None
    assert found.largest_relative.relative_difference == D("196.8") / 1001 - D("0.5")
    assert reconcile([compare(told("196.8"), PAID)]).largest_relative is None


def test_json_tells_a_trade_whole_and_exactly() -> None:
    """Money is text without exponents; the parts are there, times in UTC."""
    tiny = replace(told("196.8"), result=D("196.80000001"))
    content = compare(tiny, PAID).content()
    assert content == {
        "trade": "trades.jsonl:1",
        "pair": "LTC/USDT:USDT",
        "symbol": "LTCUSDT",
        "side": "LONG",
        "opened_at": "2023-01-01T01:00:00.000000+00:00",
        "closed_at": "2023-01-01T09:00:00.000000+00:00",
        "matches": True,
        "told": "196.80000001",
        "ours": "196.800",
        "difference": "-0.00000001",
        "allowed": "0.108400000005",
        "gross": "200",
        "fees": "2.200",
        "funding": "-1.000",
        "settlements": 1,
        "unrecorded": [],
        "cause": None,
        "told_relative": None,
        "ours_relative": "0.1966033966033966033966033966",
    }
