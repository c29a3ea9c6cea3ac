"""What an ended task costs: usage × price where the provider's usage can be taken at its word, else the
declared policy, flagged. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refgate.answer import Answer
from refgate.config.routes import Usage
from refgate.config.settings import Policies
from refgate.money import BadUsage, charge_nanos

__all__ = ["Charge", "charge"]


@dataclass(frozen=True, slots=True)
class Charge:
    """`flags`: usage_missing · usage_invalid (policy `missing_usage` set the amount) · hold_capped (policy
    `usage_above_hold` did). A number beyond `usage.max` is as invalid as a word."""

    amount_nanos: int
    flags: tuple[str, ...] = ()


def charge(
    usage: Usage, policies: Policies, *, hold_nanos: int, document: Any, answer: Answer | None
) -> Charge:
    """`document` and `answer` are those that usage is read from; None where there is none to read."""
    reported = _reported(usage, policies, hold_nanos=hold_nanos, document=document, answer=answer)
    if policies.usage_above_hold == "cap_at_hold" and reported.amount_nanos > hold_nanos:
        return Charge(hold_nanos, (*reported.flags, "hold_capped"))
    return reported


def _reported(
    usage: Usage, policies: Policies, *, hold_nanos: int, document: Any, answer: Answer | None
) -> Charge:
    if usage.flat is not None:
        return Charge(usage.flat)
    assert usage.unit_price is not None and usage.max is not None  # a measured usage is checked to have both
    try:
        units = _units(usage, document, answer)
        return Charge(charge_nanos(units, unit_price=usage.unit_price, max_nanos=usage.max))
    except BadUsage as bad:
        flag = "usage_missing" if bad.reason == "missing" else "usage_invalid"
    match policies.missing_usage:
        case "zero":
            return Charge(0, (flag,))
        case "estimate":
            assert usage.estimate is not None  # checked when the configuration was read
            return Charge(usage.estimate, (flag,))
        case "hold":
            return Charge(hold_nanos, (flag,))


def _units(usage: Usage, document: Any, answer: Answer | None) -> Any:
    if usage.path is not None:
        found, value = usage.path.first(document)
        return value if found else None
    values = [] if answer is None else [value for name, value in answer.headers if name == usage.header]
    if len(values) > 1:
        raise BadUsage("not_a_number")
    return values[0].strip() if values else None
