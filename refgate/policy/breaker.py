"""Circuit breaker for one backend: closed, open, half open with one probe under a lease.

Opens after so many failures in a row. After `open_us` one probe may go out; if it is neither settled nor
given back, its lease runs out and the next call may probe. Outcomes of calls let through before the last
change of state are old news, and ignored. Pure: the caller says what time it is. Does not know which failures
count, nor what to do when all are open.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Breaker", "BreakerRule", "Pass", "State"]

_SPREAD = 4  # an opening is lengthened by up to a quarter, so that breakers do not all probe at once


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """What trips the breaker, how long it stays open, and for how long a probe keeps others away."""

    open_us: int
    lease_us: int
    failures_max: int = 5

    def __post_init__(self) -> None:
        if self.open_us < 1 or self.lease_us < 1:
            raise ValueError("a breaker's times are above zero")
        if self.failures_max < 1:
            raise ValueError("a breaker opens after one failure or more")


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave for one call. `era` is the breaker's when it was given; `probe` is above 0 for a probe."""

    era: int
    probe: int = 0


@dataclass(slots=True)
class Breaker:
    rule: BreakerRule
    era: int = field(default=0, init=False)
    in_a_row: int = field(default=0, init=False)
    opens_until_us: int | None = field(default=None, init=False)
    _probe: int = field(default=0, init=False)  # the number of the latest probe
    _leased_until_us: int | None = field(default=None, init=False)

    def state(self, now_us: int) -> State:
        """As a reader sees it; the passing of time alone makes open half open."""
        if self.opens_until_us is None:
            return State.CLOSED
        return State.OPEN if now_us < self.opens_until_us else State.HALF_OPEN

    def free_us(self, now_us: int) -> int:
        """When a call is let through at the latest, unless another fails: now, if it is let through now."""
        return max(now_us, self.opens_until_us or 0, self._leased_until_us or 0)

    def admit(self, now_us: int) -> Pass | None:
        """Leave for a call to go out now. Given in the half-open state, it is the probe's."""
        if self.opens_until_us is None:
            return Pass(self.era)
        if self.free_us(now_us) > now_us:
            return None
        self._probe += 1
        self._leased_until_us = now_us + self.rule.lease_us
        return Pass(self.era, self._probe)

    def admit_anyway(self) -> Pass:
        """Leave past an open breaker, for a declared exception: success closes it, failure tells nothing."""
        return Pass(self.era)

    def succeeded(self, leave: Pass) -> None:
        """The call under this pass went well: closes a breaker that is not closed."""
        if leave.era != self.era:
            return
        self.in_a_row = 0
        if self.opens_until_us is not None:
            self._change(None)

    def failed(self, leave: Pass, now_us: int, chance: random.Random) -> None:
        """The call under this pass failed in a way that counts: may trip, or end a probe."""
        if leave.era != self.era:
            return
        if self.opens_until_us is not None:
            if self._holds(leave):
                self._open(now_us, chance)
            return
        self.in_a_row += 1
        if self.in_a_row >= self.rule.failures_max:
            self._open(now_us, chance)

    def let_go(self, leave: Pass) -> None:
        """The call ended without telling anything: a probe's lease is given back at once."""
        if self._holds(leave):
            self._leased_until_us = None

    def _holds(self, leave: Pass) -> bool:
        """Whether it is the latest probe's; numbers are never given twice."""
        return leave.probe > 0 and leave.probe == self._probe

    def _open(self, now_us: int, chance: random.Random) -> None:
        self._change(now_us + self.rule.open_us + chance.randrange(self.rule.open_us // _SPREAD + 1))

    def _change(self, opens_until_us: int | None) -> None:
        self.era += 1
        self.opens_until_us = opens_until_us
        self._leased_until_us = None
