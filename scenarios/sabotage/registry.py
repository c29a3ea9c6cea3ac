"""Every sabotage there is, hazard by hazard in the order of their numbers."""

from __future__ import annotations

from scenarios.sabotage import (
    answers,
    chat_attempts,
    chat_cache,
    chat_lanes,
    chat_logs,
    chat_money,
    chat_routing,
    chat_streams,
    delivery,
    idempotency,
    money,
    outcomes,
    requests,
)
from scenarios.sabotage.swap import Sabotage

__all__ = ["HAZARDS", "all_sabotages", "named"]

_SYSTEMS = {"A": 21, "B": 16, "C": 11}

HAZARDS = tuple(f"{system}{number}" for system, most in _SYSTEMS.items() for number in range(1, most + 1))
"""What the gateway must not do again, with tasks (A) and chats (B, C); each has at least one sabotage."""


def all_sabotages() -> tuple[Sabotage, ...]:
    """Sorted by hazard; the faces of one hazard stay in the order in which they are written down."""
    found = (
        *idempotency.SABOTAGES,
        *outcomes.SABOTAGES,
        *delivery.SABOTAGES,
        *money.SABOTAGES,
        *answers.SABOTAGES,
        *requests.SABOTAGES,
        *chat_routing.SABOTAGES,
        *chat_lanes.SABOTAGES,
        *chat_attempts.SABOTAGES,
        *chat_streams.SABOTAGES,
        *chat_money.SABOTAGES,
        *chat_cache.SABOTAGES,
        *chat_logs.SABOTAGES,
    )
    return tuple(sorted(found, key=lambda one: HAZARDS.index(one.hazard)))


def named(name: str) -> Sabotage:
    """The one of this name. Sent to another process, a sabotage travels as its name."""
    return next(one for one in all_sabotages() if one.name == name)
