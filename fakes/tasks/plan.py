"""What a provider does with work when no act says otherwise: how long it takes, how it ends, what it costs.

Units and their price are exact: a plan whose cost is no whole number of nano-dollars is refused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from fakes.acts.play import IdempotencyMode, Strict, UnitsText
from fakes.durations import DurationUs

__all__ = ["TaskPlan", "cost_nanos"]


class TaskPlan(Strict):
    """The defaults of one provider. `units` is the truth; `unit_cost_nanos` what each unit costs."""

    takes_us: DurationUs = Field(default=20_000_000, alias="takes")
    queued_us: DurationUs = Field(default=0, alias="queued")
    units: UnitsText = "0.25"
    unit_cost_nanos: int = Field(default=1_000_000_000, ge=0)
    outcome: Literal["success", "failed"] = "success"
    idempotency: IdempotencyMode = "ignored"

    @model_validator(mode="after")
    def _whole_nanos(self) -> TaskPlan:
        cost_nanos(self.units, self.unit_cost_nanos)
        return self


def cost_nanos(units: str, unit_cost_nanos: int) -> int:
    """Exactly `units` times the price of one; a `ValueError` where that is no whole number."""
    numerator, denominator = Decimal(units).as_integer_ratio()
    cost, rest = divmod(numerator * unit_cost_nanos, denominator)
    if rest:
        raise ValueError(
            f"{units} units at {unit_cost_nanos} nano-dollars is no whole number of nano-dollars"
        )
    return cost
