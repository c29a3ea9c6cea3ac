"""Numbers that are taken at their word: A8 usage that is none · A9 floats."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from refgate.answer import Answer
from refgate.config.routes import Usage
from refgate.config.settings import Policies
from refgate.flows import charge as charging
from refgate.flows import query
from refgate.flows.charge import Charge, charge
from refgate.money import NANOS_MAX, BadUsage, charge_nanos
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]


def _for_nothing(*reasons: str) -> Callable[..., int]:
    """Usage that is unusable for one of these reasons costs nothing."""

    def charge_of(units: object, *, unit_price: Decimal, max_nanos: int) -> int:
        try:
            return charge_nanos(units, unit_price=unit_price, max_nanos=max_nanos)
        except BadUsage as bad:
            if bad.reason in reasons:
                return 0
            raise

    return charge_of


def _as_much_as_may_be(units: object, *, unit_price: Decimal, max_nanos: int) -> int:
    """What is too large, or endless, is the most that is declared."""
    try:
        return charge_nanos(units, unit_price=unit_price, max_nanos=max_nanos)
    except BadUsage as bad:
        if bad.reason in ("too_large", "not_finite"):
            return max_nanos
        raise


def _without_bound(units: object, *, unit_price: Decimal, max_nanos: int) -> int:
    return charge_nanos(units, unit_price=unit_price, max_nanos=NANOS_MAX)


def _without_sign(units: object, *, unit_price: Decimal, max_nanos: int) -> int:
    """A negative number is the amount without its sign."""
    if isinstance(units, str):
        units = units.removeprefix("-")
    elif isinstance(units, int | Decimal) and not isinstance(units, bool):
        units = abs(units)
    return charge_nanos(units, unit_price=unit_price, max_nanos=max_nanos)


def _unflagged(
    usage: Usage, policies: Policies, *, hold_nanos: int, document: Any, answer: Answer | None
) -> Charge:
    """The policy decides the amount, and the row does not say so."""
    return Charge(
        charge(usage, policies, hold_nanos=hold_nanos, document=document, answer=answer).amount_nanos
    )


def _in_floats(units: object, *, unit_price: Decimal, max_nanos: int) -> int:
    """Refused and rounded as it must be, and yet not exact."""
    charge_nanos(units, unit_price=unit_price, max_nanos=max_nanos)
    return math.floor(float(str(units)) * float(unit_price) * 1e9 + 0.5)


SABOTAGES = (
    Sabotage(
        "A8",
        "missing-is-free",
        "a success without usage costs 0, whatever is declared",
        Swap(charging, charge_nanos, _for_nothing("missing")),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "A8",
        "nan-is-free",
        "usage that is no number, or NaN, is 0",
        Swap(charging, charge_nanos, _for_nothing("not_a_number", "not_finite")),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "A8",
        "negative-is-free",
        "negative usage is 0",
        Swap(charging, charge_nanos, _for_nothing("negative")),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "A8",
        "negative-is-an-amount",
        "negative usage is an amount, without its sign",
        Swap(charging, charge_nanos, _without_sign),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "A8",
        "endless-is-the-most",
        "infinite and far too large usage is cut to the most that is declared",
        Swap(charging, charge_nanos, _as_much_as_may_be),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "A8",
        "no-bound",
        "usage beyond the declared most is charged as it is",
        Swap(charging, charge_nanos, _without_bound),
        ("charge-in-bounds",),
    ),
    Sabotage(
        "A8",
        "unflagged",
        "an amount that a policy set is not marked as such",
        Swap(query, charge, _unflagged),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "A9",
        "floats",
        "units × price is computed in floats",
        Swap(charging, charge_nanos, _in_floats),
        ("cost-equals-tokens-times-price",),
    ),
)
