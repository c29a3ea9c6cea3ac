"""What an ended task costs, for any usage a provider may show."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.answer import Answer
from refgate.config.routes import Usage
from refgate.config.settings import Policies
from refgate.flows.charge import charge
from refgate.flows.reading import document

HOLD = 500_000_000
BY_PATH = Usage.model_validate(
    {"path": "$.usage.cost", "unit_price": "0.5", "max": "2.00", "estimate": "0.07"}
)
BY_HEADER = Usage.model_validate(
    {"header": "X-Units", "unit_price": "0.01", "max": "2.00", "estimate": "0.07"}
)


def policies(**changes: str) -> Policies:
    return Policies.model_validate(changes)


def cost(
    body: bytes, declared: Policies | None = None, usage: Usage = BY_PATH
) -> tuple[int, tuple[str, ...]]:
    found = charge(usage, declared or policies(), hold_nanos=HOLD, document=document(body), answer=None)
    return found.amount_nanos, found.flags


@pytest.mark.parametrize(
    ("shown", "nanos"),
    [
        (b'"0.250"', 125_000_000),
        (b"0.25", 125_000_000),
        (b"3", 1_500_000_000),
        (b"0", 0),
        (b'"0.000000001"', 1),
        (b"4", 2_000_000_000),
        (b"1e0", 500_000_000),
    ],
)
def test_usage_costs_units_times_price(shown: bytes, nanos: int) -> None:
    """Exact decimals, rounded once, half up."""
    assert cost(b'{"usage":{"cost":' + shown + b"}}") == (nanos, ())


@pytest.mark.parametrize(
    "body", [b"{}", b'{"usage":null}', b'{"usage":{"cost":null}}', b'{"usage":{"cost":""}}']
)
def test_missing_usage_costs_what_is_declared(body: bytes) -> None:
    """The hold, nothing or an estimate; flagged, so that a person finds the row."""
    assert cost(body) == (HOLD, ("usage_missing",))
    assert cost(body, policies(missing_usage="zero")) == (0, ("usage_missing",))
    assert cost(body, policies(missing_usage="estimate")) == (70_000_000, ("usage_missing",))


@pytest.mark.parametrize(
    "shown",
    [b"-1", b'"-0.5"', b"NaN", b"Infinity", b"1e308", b"18446744073709551616", b'"abc"', b"true",
     b"[1]", b'"0x1"', b"4.1", b'"1e400"', b"1e-400", b'{"a":1}', b'" 1"'],
)  # fmt: skip
def test_hostile_usage_costs_what_is_declared(shown: bytes) -> None:
    """No number lowers a charge below 0 or raises it above its bound; it is not believed at all."""
    assert cost(b'{"usage":{"cost":' + shown + b"}}") == (HOLD, ("usage_invalid",))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.decimals(), st.lists, max_leaves=3
    )
)
def test_every_charge_is_within_its_bounds(value: Any) -> None:
    """Whatever stands where usage should: 0 <= charge <= the declared maximum."""
    for policy in ("hold", "zero", "estimate"):
        declared = policies(missing_usage=policy)
        found = charge(BY_PATH, declared, hold_nanos=HOLD, document={"usage": {"cost": value}}, answer=None)
        assert 0 <= found.amount_nanos <= 2_000_000_000


def test_usage_above_the_hold_is_charged_or_capped_as_declared() -> None:
    """The work was done and is charged; or the hold is the most, and the row says so."""
    assert cost(b'{"usage":{"cost":3}}', policies(usage_above_hold="cap_at_hold")) == (HOLD, ("hold_capped",))
    assert cost(b'{"usage":{"cost":1}}', policies(usage_above_hold="cap_at_hold")) == (HOLD, ())


@pytest.mark.parametrize(
    ("headers", "nanos", "flags"),
    [
        ((("x-units", "12.5"),), 125_000_000, ()),
        ((("x-units", " 3 "),), 30_000_000, ()),
        ((), HOLD, ("usage_missing",)),
        ((("x-units", ""),), HOLD, ("usage_missing",)),
        ((("x-units", "1"), ("x-units", "2")), HOLD, ("usage_invalid",)),
        ((("x-units", "1, 2"),), HOLD, ("usage_invalid",)),
    ],
)
def test_usage_may_be_a_header(
    headers: tuple[tuple[str, str], ...], nanos: int, flags: tuple[str, ...]
) -> None:
    """Once, and a number; otherwise as if there were none."""
    found = charge(BY_HEADER, policies(), hold_nanos=HOLD, document=None, answer=Answer(200, headers, b""))
    assert (found.amount_nanos, found.flags) == (nanos, flags)
    assert charge(BY_HEADER, policies(), hold_nanos=HOLD, document=None, answer=None).flags == (
        "usage_missing",
    )


def test_a_flat_price_asks_nobody() -> None:
    """What is flat does not depend on what the provider shows."""
    assert cost(b'{"usage":{"cost":"x"}}', usage=Usage.model_validate({"flat": "0.40"})) == (400_000_000, ())
