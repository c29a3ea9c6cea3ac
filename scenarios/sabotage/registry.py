"""Every sabotage there is, hazard by hazard in the order of their numbers."""

from __future__ import annotations

from scenarios.sabotage import answers, delivery, idempotency, money, outcomes, requests
from scenarios.sabotage.swap import Sabotage

__all__ = ["HAZARDS", "all_sabotages", "named"]

HAZARDS = tuple(f"A{number}" for number in range(1, 22))
"""What the gateway must not do again; each has at least one sabotage."""


def all_sabotages() -> tuple[Sabotage, ...]:
    """Sorted by hazard; the faces of one hazard stay in the order in which they are written down."""
    found = (
        *idempotency.SABOTAGES,
        *outcomes.SABOTAGES,
        *delivery.SABOTAGES,
        *money.SABOTAGES,
        *answers.SABOTAGES,
        *requests.SABOTAGES,
    )
    return tuple(sorted(found, key=lambda one: HAZARDS.index(one.hazard)))


def named(name: str) -> Sabotage:
    """The one of this name. Sent to another process, a sabotage travels as its name."""
    return next(one for one in all_sabotages() if one.name == name)
