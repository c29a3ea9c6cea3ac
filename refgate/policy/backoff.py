"""How long to wait before a further try: longer each time, spread by chance, never past the deadline.

What a provider asks for is the business of its cooldown. Pure: the caller counts the tries and brings the
random stream.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Backoff"]

_TRIES_MAX = 64  # beyond any ceiling; keeps the power small


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing waits up to a ceiling, each drawn from its upper half, so that a herd spreads out."""

    first_us: int
    max_us: int
    multiplier: Fraction = Fraction(2)

    def __post_init__(self) -> None:
        if self.first_us < 0 or self.max_us < 0:
            raise ValueError("a backoff's waits are zero or more")
        if self.multiplier < 1:
            raise ValueError("a backoff does not shrink: the multiplier is 1 or more")

    def whole_us(self, tries: int) -> int:
        """The longest wait after the `tries`-th try, counted from 1."""
        grown = Fraction(self.first_us)
        for _ in range(min(tries, _TRIES_MAX) - 1):
            if grown >= self.max_us:
                break
            grown *= self.multiplier
        return min(int(grown), self.max_us)

    def delay_us(self, tries: int, chance: random.Random) -> int:
        """The wait after the `tries`-th try."""
        whole_us = self.whole_us(tries)
        return whole_us - chance.randrange(whole_us // 2 + 1)

    def until_us(self, tries: int, chance: random.Random, *, now_us: int, deadline_us: int) -> int:
        """When to try again, before the deadline.

        The wait is cut to half of what is left: the other half is for the try.
        """
        left_us = max(deadline_us - now_us, 0)
        return now_us + min(self.delay_us(tries, chance), left_us // 2)
