"""What a route declares of where its calls may go: pools, bounds, and what is done when nothing is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refgate.policy.backoff import Backoff

__all__ = ["Policy", "Pool"]


@dataclass(frozen=True, slots=True)
class Pool:
    """Backends that are as good as each other: name and weight. `primary` ones are worth waiting for."""

    name: str
    backends: tuple[tuple[str, int], ...]
    primary: bool = False

    def __post_init__(self) -> None:
        if not self.backends:
            raise ValueError("a pool has one backend or more")
        if any(weight < 1 for _, weight in self.backends):
            raise ValueError("a backend's weight is one or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a route declares. Attempts of one call are at most `attempts_max + emergency_max`."""

    attempts_max: int
    backoff: Backoff
    primary_waits_max: int = 0
    primary_wait_us: int = 0
    all_open: Literal["emergency", "refuse"] = "emergency"
    emergency_max: int = 1
    ambiguous: Literal["retry_if_idempotent", "never_retry", "always_retry"] = "retry_if_idempotent"

    def __post_init__(self) -> None:
        if self.attempts_max < 1 or self.emergency_max < 0 or self.primary_waits_max < 0:
            raise ValueError("a plan has one attempt or more, and no bound is below zero")
        if self.primary_waits_max and self.primary_wait_us < 1:
            raise ValueError("waiting for a primary takes time")
