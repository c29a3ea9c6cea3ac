"""How often the deliverer and the reconciler look, how long they wait, and how much they take at once.

Pure: the caller says what time it is and brings the random stream.
"""

import random
from dataclasses import dataclass

__all__ = ["Backoff", "Cadence"]

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling waits up to a ceiling, each drawn from its upper half, so that a herd spreads out."""

    first_us: int
    max_us: int

    def delay_us(self, tries: int, chance: random.Random) -> int:
        """The wait after the `tries`-th try, counted from 1."""
        doublings = min(max(tries - 1, 0), 40)  # beyond any ceiling; keeps the power small
        whole_us = min(self.first_us << doublings, self.max_us)
        return whole_us - chance.randrange(whole_us // 2 + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """`lease_us` is at least as long as one request to billing or a provider may take: for so long others
    keep off what a replica has, or had, in hand.
    """

    every_us: int = 5 * _SECOND_US
    poll_after_us: int = 60 * _SECOND_US
    lease_us: int = 30 * _SECOND_US
    verdict_within_us: int = 3_600 * _SECOND_US
    keep_us: int = 86_400 * _SECOND_US
    orphans_every_us: int = 60 * _SECOND_US
    orphan_after_us: int = 60 * _SECOND_US
    stuck_retry_us: int = 600 * _SECOND_US
    delivery: Backoff = Backoff(first_us=_SECOND_US // 5, max_us=60 * _SECOND_US)
    at_once: int = 16
    batch: int = 50
    pages_max: int = 10

    @property
    def hand_us(self) -> int:
        """The ceiling on attending to one call or intent, which may take up to three requests."""
        return 3 * self.lease_us

    def deadline_us(self, created_us: int) -> int:
        """When a call made then must have its verdict, or falls to the declared policy."""
        return created_us + self.verdict_within_us

    def next_look_us(self, *, created_us: int, now_us: int, after_us: int) -> int:
        """`after_us` from now, but never across the deadline, however often it is asked: a caller who
        keeps polling must not keep the sweep, and with it the declared policy, away for ever.
        """
        return min(now_us + after_us, self.deadline_us(created_us))
