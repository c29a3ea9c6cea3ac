"""What a run may be told besides its seed. Plain values: a report can print them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Options"]

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How time, schedule and ceilings behave. The defaults are what the suite runs with."""

    grid_us: int = 1_000
    """Timers come due on multiples of this. Coarse on purpose: events must be able to meet."""
    step_cost_us: int = 0
    """Each step takes a seeded 0 to this many microseconds of virtual time."""
    schedule: Literal["fifo", "pick"] = "fifo"
    """`fifo`: only orders that stock asyncio can produce. `pick`: any ready step may be next."""
    time_max_us: int = 30 * _DAY_US
    steps_max: int = 50_000_000
    livelock_steps: int = 100_000
    """So many steps at one instant are a livelock."""
    epoch_us: int = 1_767_571_200_000_000
    """The wall clock when the run begins: 2026-01-05 00:00:00 UTC, a Monday."""

    def __post_init__(self) -> None:
        if self.schedule not in ("fifo", "pick"):
            raise ValueError(f"schedule is 'fifo' or 'pick', not {self.schedule!r}")
        if self.step_cost_us < 0:
            raise ValueError("step_cost_us must not be negative")
        for name in ("grid_us", "time_max_us", "steps_max", "livelock_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
