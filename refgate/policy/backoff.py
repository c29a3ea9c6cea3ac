"""How long to wait before a further try: longer each time, spread by chance, never past the deadline.

What a provider asks for is never shortened: where it does not fit into the time that is left, there is no
further try. Pure: the caller counts the tries and brings the random stream.
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

    def delay_us(self, tries: int, chance: random.Random, *, hint_us: int = 0) -> int:
        """The wait after the `tries`-th try: not below the hint, and spread above it."""
        whole_us = self.whole_us(tries)
        spread_us = chance.randrange(whole_us // 2 + 1)
        return max(whole_us - spread_us, hint_us + spread_us if hint_us else 0)

    def until_us(
        self, tries: int, chance: random.Random, *, now_us: int, deadline_us: int, hint_us: int = 0
    ) -> int | None:
        """When to try again; None where the hint leaves no time for it before the deadline.

        The gateway's own wait is cut to half of what is left: the other half is for the try.
        """
        left_us = deadline_us - now_us
        if left_us <= max(hint_us, 0):
            return None
        delay_us = self.delay_us(tries, chance, hint_us=hint_us)
        return now_us + max(hint_us, min(delay_us, left_us // 2))
