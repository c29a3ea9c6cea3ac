"""Rate limits as vendors keep them: buckets of requests and tokens that refill evenly over a minute.

All in integers: a bucket counts in sixty-millionths of a token, so that each microsecond refills a whole
number of them. A request takes from every bucket or from none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fakes.chance import chance
from fakes.chat.plan import Limits

__all__ = ["Level", "Meter", "Shortage"]

_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Level:
    """How one bucket stands. `reset_us`: until it is full again, if nobody takes from it."""

    limit: int
    remaining: int
    reset_us: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """The bucket that has not enough, and how long until it has."""

    bucket: str
    wait_us: int


class _Bucket:
    def __init__(self, limit: int, level: float) -> None:
        self.limit = limit
        self.full = limit * _MINUTE_US
        self.held = int(self.full * level)
        self.at_us = 0

    def refill(self, now_us: int) -> None:
        self.held = min(self.full, self.held + (now_us - self.at_us) * self.limit)
        self.at_us = now_us

    def wait_us(self, count: int) -> int:
        """Until there is enough; for more than it ever holds, until it is full."""
        missing = min(count * _MINUTE_US, self.full) - self.held
        if count > self.limit:
            missing = max(missing, 1)  # never enough
        return -(-missing // self.limit) if missing > 0 else 0


class Meter:
    """The buckets of one set of limits: `requests`, `tokens`, `input-tokens`, `output-tokens`."""

    def __init__(self, limits: Limits, *, clock: Callable[[], int], seed: int, owner: str) -> None:
        self._clock = clock
        given = {
            "requests": limits.rpm,
            "tokens": limits.tpm,
            "input-tokens": limits.input_tpm,
            "output-tokens": limits.output_tpm,
        }
        seeded = limits.start == "seeded"
        self._buckets = {
            name: _Bucket(limit, chance(seed, owner, "bucket", name) if seeded else 1)
            for name, limit in given.items()
            if limit is not None
        }
        for bucket in self._buckets.values():
            bucket.at_us = clock()

    def take(self, *, input_tokens: int, output_tokens: int) -> Shortage | None:
        """Takes one request of this size, or says which bucket is short for the longest time."""
        wanted = {
            "requests": 1,
            "tokens": input_tokens + output_tokens,
            "input-tokens": input_tokens,
            "output-tokens": output_tokens,
        }
        now_us = self._clock()
        worst: Shortage | None = None
        for name, bucket in self._buckets.items():
            bucket.refill(now_us)
            wait_us = bucket.wait_us(wanted[name])
            if wait_us and (worst is None or wait_us > worst.wait_us):
                worst = Shortage(name, wait_us)
        if worst is None:
            for name, bucket in self._buckets.items():
                bucket.held -= wanted[name] * _MINUTE_US
        return worst

    def levels(self) -> Mapping[str, Level]:
        now_us = self._clock()
        levels: dict[str, Level] = {}
        for name, bucket in self._buckets.items():
            bucket.refill(now_us)
            missing = bucket.full - bucket.held
            levels[name] = Level(bucket.limit, bucket.held // _MINUTE_US, -(-missing // bucket.limit))
        return levels
