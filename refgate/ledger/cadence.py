"""How often the deliverer and the reconciler look, how long they wait, and how much they take at once.

Pure: the caller says what time it is.
"""

from dataclasses import dataclass

from refgate.policy.backoff import Backoff

__all__ = ["Cadence"]

_SECOND_US = 1_000_000
_DELIVERY = Backoff(first_us=_SECOND_US // 5, max_us=60 * _SECOND_US)


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
    delivery: Backoff = _DELIVERY
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
