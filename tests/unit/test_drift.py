"""Recognition by shape, and drift: every field that goes, comes or changes is named, at its place, once."""

from __future__ import annotations

import copy

import pytest

from builders_exchange import ANSWERS, CONTRACT, FILTERS, Json, T, answer, exchange_info, fields
from petrosa_cio.core.exchange.drift import SENTENCES, Drift, Kind, drift_of
from petrosa_cio.core.exchange.endpoints import ENDPOINTS, EXCHANGE_INFO, KLINES
from petrosa_cio.core.exchange.recognise import recognise

BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}
OBJECTS = sorted(ANSWERS.keys() - {KLINES.path})
every_answer = pytest.mark.parametrize("path", sorted(ANSWERS))
every_object = pytest.mark.parametrize("path", OBJECTS)

# An answer without these is that of another market, or says nothing at all.
TELLING = {"/fapi/v1/time": {"serverTime"}, "/fapi/v1/ticker/price": {"price", "time"}}


def named(path: str, changed: object) -> set[tuple[str, str]]:
    return {(drift.kind.value, drift.where) for drift in drift_of(BY_PATH[path], changed)}


def of_info(info: Json) -> dict[str, Drift]:
    return {drift.where: drift for drift in drift_of(EXCHANGE_INFO, info)}


def test_every_endpoint_has_a_sound_answer_here() -> None:
    """The tests below go over every endpoint that is modelled."""
    assert set(ANSWERS) == set(BY_PATH)


def test_every_kind_has_its_sentence() -> None:
    """The vocabulary of drift is closed, and each word explained."""
    assert set(SENTENCES) == set(Kind)


@every_answer
def test_a_sound_answer_is_recognised_and_has_no_drift(path: str) -> None:
    """As documented, an answer is of its endpoint and differs from the model in nothing."""
    found = recognise(ANSWERS[path])
    assert found is BY_PATH[path]
    assert drift_of(found, ANSWERS[path]) == ()


@every_object
def test_one_and_many_are_recognised_alike(path: str) -> None:
    """An object and a list of such objects are of the same endpoint, where the endpoint gives lists."""
    one = fields(path)
    many = [one, one, one]
    assert recognise(one) is BY_PATH[path]
    assert recognise(many) is (BY_PATH[path] if BY_PATH[path].many else None)
    if BY_PATH[path].many:
        assert drift_of(BY_PATH[path], many) == ()


@every_object
def test_a_field_that_is_gone_is_named(path: str) -> None:
    """Take any one field away: the answer is still recognised, and the field named as gone."""
    whole = fields(path)
    assert BY_PATH[path].required
    for name in BY_PATH[path].required:
        less = {key: value for key, value in whole.items() if key != name}
        assert named(path, less) == {("field_gone", name)}
        if name not in TELLING.get(path, ()):
            assert recognise(less) is BY_PATH[path], name


@every_object
def test_a_new_field_is_named(path: str) -> None:
    """Add a field: the answer is still recognised, and the field named as new, not dropped."""
    more = fields(path) | {"brandNew": "1"}
    assert recognise(more) is BY_PATH[path]
    assert named(path, more) == {("field_new", "brandNew")}


@every_object
def test_a_type_that_changed_is_named(path: str) -> None:
    """Make any field an object: the answer is still recognised, and the field named with what it is now."""
    for name in BY_PATH[path].required:
        changed = fields(path) | {name: {}}
        if (path, name) != (EXCHANGE_INFO.path, "symbols"):
            assert recognise(changed) is BY_PATH[path], name
        found = [drift for drift in drift_of(BY_PATH[path], changed) if drift.where == name]
        assert [(drift.kind, drift.found) for drift in found] == [(Kind.TYPE_CHANGED, "object")], name


@pytest.mark.parametrize(
    ("path", "name", "value", "kind", "found"),
    [
        ("/fapi/v1/ticker/price", "price", 64000.1, Kind.TYPE_CHANGED, "number"),
        ("/fapi/v1/ticker/price", "price", None, Kind.TYPE_CHANGED, "null"),
        ("/fapi/v1/ticker/price", "price", "", Kind.VALUE_UNREADABLE, ""),
        ("/fapi/v1/ticker/price", "price", "NaN", Kind.VALUE_UNREADABLE, "NaN"),
        ("/fapi/v1/ticker/price", "price", "1,5", Kind.VALUE_UNREADABLE, "1,5"),
        ("/fapi/v1/ticker/price", "time", str(T), Kind.TYPE_CHANGED, "text"),
        ("/fapi/v1/ticker/price", "time", True, Kind.TYPE_CHANGED, "boolean"),
        ("/fapi/v1/ticker/price", "time", T // 1000, Kind.UNIT_CHANGED, "10 digits"),
        ("/fapi/v1/ticker/price", "time", T * 1000, Kind.UNIT_CHANGED, "16 digits"),
        ("/fapi/v1/ticker/price", "symbol", 1, Kind.TYPE_CHANGED, "integer"),
        ("/fapi/v2/account", "canTrade", "true", Kind.TYPE_CHANGED, "text"),
        ("/fapi/v2/positionRisk", "marginType", "portfolio", Kind.ENUM_VALUE_NEW, "portfolio"),
        ("/fapi/v3/positionRisk", "positionSide", "NONE", Kind.ENUM_VALUE_NEW, "NONE"),
        ("/fapi/v1/openOrders", "status", "NEW_INSURANCE", Kind.ENUM_VALUE_NEW, "NEW_INSURANCE"),
        ("/fapi/v1/income", "incomeType", "GIFT", Kind.ENUM_VALUE_NEW, "GIFT"),
        ("/fapi/v1/income", "tranId", "9689322392", Kind.TYPE_CHANGED, "text"),
    ],
)
def test_what_changed_is_told_with_what_was_found(path: str, name: str, value: object, kind: Kind, found: str) -> None:
    """Each kind of difference in a field has its own name; what is found is a type, a word or an unreadable number."""
    assert [
        (drift.kind, drift.where, drift.found) for drift in drift_of(BY_PATH[path], fields(path) | {name: value})
    ] == [(kind, name, found)]


@pytest.mark.parametrize("value", ["2.8E-4", "-0.00000000", "0", "1e3", "+1"])
def test_numbers_in_scientific_notation_are_numbers(value: str) -> None:
    """The exchange writes small prices as 2.8E-4."""
    assert drift_of(BY_PATH["/fapi/v1/ticker/price"], fields("/fapi/v1/ticker/price") | {"price": value}) == ()


def test_a_difference_in_many_objects_is_named_once_with_its_count() -> None:
    """A field that is gone from three symbols of four is one difference, seen three times, first at the first."""
    path = "/fapi/v1/premiumIndex"
    less = [{key: value for key, value in fields(path).items() if key != "indexPrice"} for _ in range(3)]
    items = [fields(path), *(item | {"symbol": f"X{row}USDT"} for row, item in enumerate(less))]
    assert drift_of(BY_PATH[path], items) == (
        Drift(Kind.FIELD_GONE, "[].indexPrice", "a value", "nothing", 3, "X0USDT"),
    )


def test_amounts_of_an_account_are_not_repeated() -> None:
    """A new field of an account is told by its type: what the fund holds is in no report."""
    (found,) = drift_of(BY_PATH["/fapi/v3/account"], fields("/fapi/v3/account") | {"secretBalance": "123456.78"})
    assert "123456" not in repr(found)


def test_a_filter_that_came_and_one_that_went_are_named() -> None:
    """An unknown filter and a missing one are told by their names."""
    info = exchange_info(filters=[*FILTERS[1:], {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 100}])
    assert {(drift.kind.value, drift.where) for drift in drift_of(EXCHANGE_INFO, info)} == {
        ("filter_gone", "symbols[].filters[PRICE_FILTER]"),
        ("filter_new", "symbols[].filters[MAX_NUM_ALGO_ORDERS]"),
    }


def test_a_field_of_a_filter_is_named_with_its_filter() -> None:
    """The way to a field inside a filter names the filter, not its number."""
    filters = copy.deepcopy(FILTERS)
    filters[1]["stepSize"] = 0.001
    del filters[4]["notional"]
    filters[4]["minNotional"] = "50"
    assert {(drift.kind.value, drift.where) for drift in drift_of(EXCHANGE_INFO, exchange_info(filters=filters))} == {
        ("type_changed", "symbols[].filters[LOT_SIZE].stepSize"),
        ("field_gone", "symbols[].filters[MIN_NOTIONAL].notional"),
        ("field_new", "symbols[].filters[MIN_NOTIONAL].minNotional"),
    }


def test_a_control_that_only_some_symbols_have_is_missed_when_none_has_it() -> None:
    """POSITION_RISK_CONTROL may be missing on a symbol; on all of them it is gone."""
    with_it, without = copy.deepcopy(CONTRACT), copy.deepcopy(CONTRACT) | {"filters": FILTERS[:-1]}
    info = exchange_info()
    info["symbols"] = [with_it, without]
    assert drift_of(EXCHANGE_INFO, info) == ()
    info["symbols"] = [without]
    assert list(of_info(info)) == ["symbols[].filters[POSITION_RISK_CONTROL]"]


def test_words_that_came_and_went_are_named() -> None:
    """A new contract type, a new order type, and a time in force that no longer is."""
    types = [*ANSWERS[EXCHANGE_INFO.path]["symbols"][0]["orderTypes"], "ICEBERG"]  # type: ignore[index]
    info = exchange_info(contractType="PERPETUAL_OPTION", orderTypes=types, timeInForce=["GTC", "IOC", "FOK", "GTX"])
    found = of_info(info)
    assert {
        where: (drift.kind, drift.found, drift.expected) for where, drift in found.items() if "Type" not in where
    } == {"symbols[].timeInForce[]": (Kind.ENUM_VALUE_GONE, "nothing", "GTD")}
    assert found["symbols[].contractType"].found == "PERPETUAL_OPTION"
    assert found["symbols[].orderTypes[]"].found == "ICEBERG"


def test_a_column_of_a_bar_is_named() -> None:
    """A bar has no field names on the wire; ours say which column changed, is missing, or is one too many."""
    row = answer(KLINES.path)[0]  # type: ignore[index]
    changed = [*row[:4], 64050.0, *row[5:]]
    assert named(KLINES.path, [changed]) == {("type_changed", "[].close")}
    assert named(KLINES.path, [row[:11]]) == {("field_gone", "[].unused")}
    assert named(KLINES.path, [[*row, "0"]]) == {("field_new", "[].column13")}
    assert recognise([changed]) is recognise([row[:11]]) is recognise([[*row, "0"]]) is KLINES


@pytest.mark.parametrize("path", sorted(ANSWERS))
@pytest.mark.parametrize("other", [None, 5, "text", [], {}, [[]], [None], {"a": 1}], ids=repr)
def test_another_form_altogether_is_told_and_never_raises(path: str, other: object) -> None:
    """Whatever is asked to be held against a model is; only an empty list of an endpoint that gives lists is sound."""
    sound = other == [] and BY_PATH[path].many
    assert bool(drift_of(BY_PATH[path], other)) is not sound


@pytest.mark.parametrize(
    "foreign",
    [
        {"symbol": "ETHBTC", "price": "0.028"},
        [{"symbol": "ETHBTC", "price": "0.028"}, {"symbol": "LTCBTC", "price": "0.0007"}],
        {"symbol": "ETHBTC", "bidPrice": "1", "bidQty": "1", "askPrice": "2", "askQty": "1"},
        fields("/fapi/v1/ticker/24hr") | {"prevClosePrice": "1", "bidPrice": "1", "askPrice": "1"},
        fields("/fapi/v1/premiumIndex") | {"pair": "BTCUSD"},
        {"symbol": "BTCUSDT", "openInterest": "1", "time": T},
        {
            "symbol": "A",
            "adjustedFundingRateCap": "0.02",
            "adjustedFundingRateFloor": "-0.02",
            "fundingIntervalHours": 8,
        },
        {"id": 1, "price": "4", "qty": "12", "quoteQty": "48", "time": T, "isBuyerMaker": True},
        {"e": "bookTicker", "u": 400, "s": "BNBUSDT", "b": "25.3", "B": "31", "a": "25.4", "A": "40"},
        fields("/fapi/v1/exchangeInfo") | {"symbols": [{"symbol": "ETHBTC", "baseAsset": "ETH", "permissions": []}]},
        {"a": 1},
        [],
        {},
        [1, 2],
        [fields("/fapi/v1/ticker/price"), 1, 2],
        None,
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_not_ours_is_not_taken_for_ours(foreign: object) -> None:
    """Spot and coin-margined answers, other endpoints and stream frames are unknown, not drifted."""
    assert recognise(foreign) is None
