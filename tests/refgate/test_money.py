"""Amounts are exact, and what a provider says it used is never believed blindly (A8, A9)."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refgate.money import (
    NANOS_MAX,
    BadAmount,
    BadUsage,
    charge_nanos,
    loads_exact,
    parse_nanos,
    parse_price,
)

DOLLAR = 10**9


@pytest.mark.parametrize(
    ("written", "nanos"),
    [
        ("0.30", 300_000_000),
        ("10.00", 10 * DOLLAR),
        ("0.000000001", 1),
        ("0", 0),
        (5, 5 * DOLLAR),
        ("1e-9", 1),
    ],
)
def test_a_configured_amount_is_exact(written: object, nanos: int) -> None:
    """Decimal text and whole numbers become nano-dollars without loss."""
    assert parse_nanos(written) == nanos


@pytest.mark.parametrize(
    "written",
    [0.3, "0.0000000001", "-1", "", None, True, "1,5", "1_000", "NaN", "Infinity", "1e10", "١", " 1", [], {}],
)
def test_an_inexact_configured_amount_is_refused(written: object) -> None:
    """Floats, too many decimals, and everything that is not a plain decimal are refused at start."""
    with pytest.raises(BadAmount):
        parse_nanos(written)


def test_a_price_may_be_finer_than_a_nano_dollar() -> None:
    """List prices of 37.5 nano-dollars exist; only the product is rounded."""
    price = parse_price("0.0000000375")
    assert charge_nanos(2, unit_price=price, max_nanos=NANOS_MAX) == 75
    assert charge_nanos(1, unit_price=price, max_nanos=NANOS_MAX) == 38


@pytest.mark.parametrize(
    ("units", "nanos"),
    [
        ("0.25", 250_000_000),
        (Decimal("0.25"), 250_000_000),
        (3, 3 * DOLLAR),
        ("0", 0),
        ("-0.0", 0),
        (".5", 5 * 10**8),
    ],
)
def test_usage_comes_as_text_number_or_decimal(units: object, nanos: int) -> None:
    """Providers write usage as a string, a number, or a header: all cost the same."""
    assert charge_nanos(units, unit_price=Decimal(1), max_nanos=NANOS_MAX) == nanos


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        ("-0.01", "negative"),
        (-1, "negative"),
        (-(10**5000), "negative"),
        (Decimal("-1e-9"), "negative"),
        ("NaN", "not_finite"),
        ("-Infinity", "not_finite"),
        (Decimal("sNaN"), "not_finite"),
        (Decimal("Infinity"), "not_finite"),
        ("1e308", "too_large"),
        ("1e9999", "too_large"),
        (2**64, "too_large"),
        (10**5000, "too_large"),
        (Decimal("1e999999"), "too_large"),
        ("5.000000001", "too_large"),
        (Decimal("1e-999999"), "too_precise"),
        (Decimal("9" * 41 + "e-40"), "too_precise"),
        ("9" * 100_000, "not_a_number"),
        (Decimal("9" * 100_000), "too_large"),
        (True, "not_a_number"),
        (0.25, "not_a_number"),
        ("0x10", "not_a_number"),
        ("1_0", "not_a_number"),
        ("１", "not_a_number"),
        ("1 USD", "not_a_number"),
        ([1], "not_a_number"),
        ({"amount": 1}, "not_a_number"),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) else f"{value.bit_length()} bits",
)
def test_hostile_usage_is_named_and_never_an_amount(units: object, reason: str) -> None:
    """Missing, not a number, negative, infinite or beyond the bound: a typed refusal."""
    with pytest.raises(BadUsage) as refused:
        charge_nanos(units, unit_price=Decimal(1), max_nanos=5 * DOLLAR)
    assert refused.value.reason == reason


def test_a_half_nano_dollar_is_rounded_up_once() -> None:
    """Half up, on the product, and not on the units or the price."""
    assert charge_nanos("0.5", unit_price=Decimal("0.000000001"), max_nanos=10) == 1
    assert charge_nanos("0.49999", unit_price=Decimal("0.000000001"), max_nanos=10) == 0
    assert charge_nanos("1.5", unit_price=Decimal("0.000000001"), max_nanos=10) == 2


@given(
    units=st.decimals(min_value=0, max_value=10**6, places=9),
    price=st.decimals(min_value=0, max_value=100, places=12),
)
def test_the_charge_is_the_exact_product_rounded_half_up(units: Decimal, price: Decimal) -> None:
    """Against rational arithmetic done apart from the code."""
    exact = Fraction(str(units)) * Fraction(str(price)) * DOLLAR
    whole = exact.numerator // exact.denominator
    expected = whole + (exact - whole >= Fraction(1, 2))
    assert charge_nanos(units, unit_price=price, max_nanos=NANOS_MAX) == expected
    assert charge_nanos(str(units), unit_price=price, max_nanos=NANOS_MAX) == expected


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.from_regex(r"\A[-+]?[0-9]{0,30}\.?[0-9]{0,30}([eE][-+]?[0-9]{1,6})?\Z"),
        st.decimals(),
        st.binary(),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(units=anything, bound=st.integers(min_value=0, max_value=NANOS_MAX))
@example(units="1E-9999", bound=10)
def test_whatever_comes_the_charge_stays_in_bounds(units: Any, bound: int) -> None:
    """Either an integer from 0 to the bound, or BadUsage; no other exception, whatever the value."""
    try:
        charged = charge_nanos(units, unit_price=Decimal("0.37"), max_nanos=bound)
    except BadUsage:
        return
    assert type(charged) is int
    assert 0 <= charged <= bound


def test_json_numbers_keep_what_was_written() -> None:
    """0.1 is a tenth, an integer may have any number of digits, NaN and overflow are not amounts."""
    digits = "9" * 100_000
    value = loads_exact(f'{{"a": 0.1, "b": {digits}, "c": NaN, "d": 1e99999999999999999999, "e": -Infinity}}')
    assert value["a"] == Decimal("0.1")
    for name in "bcde":
        with pytest.raises(BadUsage):
            charge_nanos(value[name], unit_price=Decimal(1), max_nanos=NANOS_MAX)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff\xfe", "nope"])
def test_what_is_not_json_is_a_value_error(text: str | bytes) -> None:
    """Depth bombs and broken encodings included."""
    with pytest.raises(ValueError):
        loads_exact(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_other_json_is_read_as_ever(value: Any) -> None:
    """Only numbers are read differently."""
    assert loads_exact(json.dumps(value)) == value
