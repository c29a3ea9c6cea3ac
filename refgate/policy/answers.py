"""What a plan is told of an attempt that failed, and what it answers: a try, a wait, or the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refgate.dialects.spoken import Fault
from refgate.policy.health import Slip
from refgate.policy.rate import Reserved

__all__ = ["Failure", "Stop", "Try", "Wait", "Why"]

Why = Literal["left", "heard", "final", "ambiguous", "deadline", "attempts", "exhausted"]
"""`final`: no other try would fare better. `exhausted`: no backend is eligible."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How the last attempt ended. `ambiguous`: it was sent and there is no verdict, so it may have been done.
    `heard`: the caller has had a token of it. `left`: the caller is gone.
    """

    fault: Fault
    ambiguous: bool = False
    heard: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class Try:
    """Go out now to this backend, and end the slip at its `Health`; or not at all, and have the plan take it
    back. `room` is what it has of the emergency lane.
    """

    backend: str
    lane: Literal["pool", "emergency"]
    pool: str
    slip: Slip
    room: Reserved | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again at that time, or once the caller has left."""

    until_us: int


@dataclass(frozen=True, slots=True)
class Stop:
    """No further try. `retry_after_us`: until the soonest recovery; None where that is not the matter."""

    why: Why
    retry_after_us: int | None = None
