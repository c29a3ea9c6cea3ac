"""How long a backend that answered "too many requests" is left alone.

The time grows with refusals in a row, is never shorter than the backend's own hint, and always ends.
Refusals of calls that were already under way when the last one came say nothing new: they may lengthen the
time by their hint, and do not make it grow. Pure values: the caller says what time it is and brings the
random stream. Does not know which answers are refusals.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from fractions import Fraction

__all__ = ["Cooldown", "CooldownRule"]

_SPREAD = 4
"""A cooldown is lengthened by up to a quarter, so that backends do not all come back at once."""

_GROWN_MAX = 64


@dataclass(frozen=True, slots=True)
class CooldownRule:
    """The first cooldown, how it grows, and the ceiling on what growth alone can make of it."""

    first_us: int
    max_us: int
    multiplier: Fraction = Fraction(2)

    def __post_init__(self) -> None:
        if not 0 < self.first_us <= self.max_us:
            raise ValueError("a cooldown's first time is above zero and not above its ceiling")
        if self.multiplier < 1:
            raise ValueError("a cooldown does not shrink: the multiplier is 1 or more")

    def whole_us(self, in_a_row: int) -> int:
        """The time before jitter and hint, after so many refusals in a row."""
        grown = Fraction(self.first_us)
        for _ in range(min(in_a_row, _GROWN_MAX) - 1):
            if grown >= self.max_us:
                break
            grown *= self.multiplier
        return min(int(grown), self.max_us)

    def longest_us(self, hint_us: int = 0) -> int:
        """No cooldown under such hints is longer."""
        return max(self.max_us, hint_us) + self.max_us // _SPREAD


@dataclass(frozen=True, slots=True)
class Cooldown:
    """What one backend's refusals have led to. A new value is one that was never refused."""

    in_a_row: int = 0
    refused_us: int | None = None
    until_us: int | None = None

    def cooling(self, now_us: int) -> bool:
        """Whether the backend is to be left alone now. At `until_us` it no longer is."""
        return self.until_us is not None and now_us < self.until_us

    def refused(
        self, rule: CooldownRule, *, begun_us: int, now_us: int, hint_us: int, chance: random.Random
    ) -> Cooldown:
        """After the refusal, now, of a call begun then. Never ends earlier than it did before."""
        known = self.refused_us is not None and begun_us < self.refused_us
        in_a_row = self.in_a_row if known else min(self.in_a_row + 1, _GROWN_MAX)
        length_us = max(rule.whole_us(max(in_a_row, 1)), hint_us)
        length_us += chance.randrange(min(length_us, rule.max_us) // _SPREAD + 1)
        until_us = max(self.until_us or 0, now_us + length_us)
        if known:
            return replace(self, until_us=until_us)
        return Cooldown(in_a_row, now_us, until_us)

    def succeeded(self, *, begun_us: int) -> Cooldown:
        """After the success of a call begun then: refusals count from one again, unless one came since.

        A cooldown that still runs is not cut short (the success was one of the emergency lane): the
        backend asked for it.
        """
        if self.refused_us is not None and begun_us < self.refused_us:
            return self
        return replace(self, in_a_row=0)
