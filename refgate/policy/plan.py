"""Where one call goes next: pools in order, rounds, waiting for a primary, the emergency lane, the end.

Ask `next` before each attempt and after each that failed; it answers with a try, a wait, or the end. It
takes leave from the backend's `Health` as it answers, so that nobody comes in between; the caller ends
each slip there before asking again, or, where nothing was sent, has it taken back here. Every answer uses up
something that is bounded, so it ends.

A fallback is for when nothing before it is eligible that has not failed in this round. When all that are
eligible have failed, a new round begins after a backoff. A backend whose account is refused is not asked
again in this call. Pure: the caller says what time it is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from refgate.policy.answers import Failure, Stop, Try, Wait
from refgate.policy.choose import Candidate, choose
from refgate.policy.declared import Policy, Pool
from refgate.policy.health import Health, Slip
from refgate.policy.rate import Reserved, Window

__all__ = ["Plan"]


@dataclass(slots=True)
class Plan:
    """One call's way. `tokens` is what the call is estimated at; `idempotent`, whether a backend that gets it
    twice does it once.
    """

    pools: tuple[Pool, ...]
    health: Mapping[str, Health]
    policy: Policy
    chance: random.Random
    deadline_us: int
    tokens: int = 0
    idempotent: bool = False
    lane: Window | None = None
    attempts: int = field(default=0, init=False)
    emergencies: int = field(default=0, init=False)
    waits: int = field(default=0, init=False)
    rounds: int = field(default=0, init=False)
    _failed: set[str] = field(default_factory=set, init=False)  # in this round
    _barred: set[str] = field(default_factory=set, init=False)  # in this call
    _last: str | None = field(default=None, init=False)
    _resting_until_us: int = field(default=0, init=False)
    _cut: bool = field(default=False, init=False)  # the last rest was shorter than it should have been

    def __post_init__(self) -> None:
        if not self.pools:
            raise ValueError("a plan has one pool or more")
        if self.policy.all_open == "emergency" and self.policy.emergency_max and self.lane is None:
            raise ValueError("an emergency lane is declared and not given")

    def next(self, now_us: int, last: Failure | None = None) -> Try | Wait | Stop:
        """`last` is the failure of the attempt since the last answer; None at first and after a wait."""
        over = self._over(now_us, last)
        if over is not None:
            return over
        if now_us < self._resting_until_us:
            return Wait(self._resting_until_us)
        eligible = self._eligible(now_us)
        if eligible and self.attempts >= self.policy.attempts_max:
            return Stop("attempts")
        if any(name not in self._failed for name in eligible):
            return self._from_pools(now_us, eligible)
        return self._again(now_us) if eligible else self._none_eligible(now_us)

    def take_back(self, step: Try, now_us: int) -> None:
        """The try never went out: what it had of its backend's rate and of the lane is free again."""
        self.health[step.backend].take_back(step.slip, now_us)
        if step.room is not None and self.lane is not None:
            self.lane.correct(step.room, now_us, taken=1, used=0)

    def _over(self, now_us: int, last: Failure | None) -> Stop | None:
        """Whether the call ends here, whatever the backends."""
        if last is not None:
            if last.left:
                return Stop("left")
            if last.heard:
                return Stop("heard")
            if last.fault.elsewhere and self._last is not None:
                self._barred.add(self._last)
            if not (last.fault.retryable or (last.fault.elsewhere and self._open())):
                return Stop("final")
            if last.ambiguous and not self._may_repeat():
                return Stop("ambiguous")
        return Stop("deadline", self._recovery_us(now_us) or None) if now_us >= self.deadline_us else None

    def _may_repeat(self) -> bool:
        rule = self.policy.ambiguous
        return rule == "always_retry" or (rule == "retry_if_idempotent" and self.idempotent)

    def _open(self) -> set[str]:
        """The backends that this call may still go to."""
        return {name for pool in self.pools for name, _ in pool.backends} - self._barred

    def _eligible(self, now_us: int) -> set[str]:
        return {name for name in self._open() if self.health[name].free_us(now_us, self.tokens) <= now_us}

    def _from_pools(self, now_us: int, eligible: set[str]) -> Try:
        """The first pool that has one; the one that just failed only where no pool has another."""
        fresh = eligible - self._failed
        fresh = fresh - {self._last} or fresh
        for pool in self.pools:
            name = self._draw(pool, fresh)
            slip = self.health[name].begin(now_us, self.tokens) if name is not None else None
            if slip is not None:
                self.attempts += 1
                return self._go(slip, "pool", pool)
        raise AssertionError("what is eligible is in a pool, and nobody came in between")

    def _again(self, now_us: int) -> Wait | Stop:
        """All that are eligible have failed in this round: a new one, after a rest.

        What a backend asked for is its cooldown, and makes it ineligible; this is the call's own patience.
        A rest that the deadline cuts short is the last: tries must not crowd before it.
        """
        if self._cut:
            return Stop("deadline")
        self.rounds += 1
        until_us = self.policy.backoff.until_us(
            self.rounds, self.chance, now_us=now_us, deadline_us=self.deadline_us
        )
        self._cut = 2 * (until_us - now_us) < self.policy.backoff.whole_us(self.rounds)
        return self._rest(max(until_us, now_us + 1))  # a wait takes time, or asking again would spin

    def _rest(self, until_us: int) -> Wait:
        self._failed.clear()
        self._resting_until_us = until_us
        return Wait(until_us)

    def _none_eligible(self, now_us: int) -> Try | Wait | Stop:
        if self.attempts < self.policy.attempts_max and self.waits < self.policy.primary_waits_max:
            until_us = self._primary_us(now_us)
            if until_us is not None and until_us < self.deadline_us:
                self.waits += 1
                return self._rest(until_us)
        return self._emergency(now_us) or Stop("exhausted", self._recovery_us(now_us))

    def _primary_us(self, now_us: int) -> int | None:
        """The end of one primary-wait: after its time, or when a primary is free if that is before; and then
        some, so that not all who wait for it come at once.
        """
        primaries = {name for pool in self.pools if pool.primary for name, _ in pool.backends} & self._open()
        if not primaries:
            return None
        soonest_us = min(self.health[name].free_us(now_us, self.tokens) for name in primaries)
        wait_us = self.policy.primary_wait_us
        return min(now_us + wait_us, soonest_us) + self.chance.randrange(wait_us // 4 + 1)

    def _emergency(self, now_us: int) -> Try | None:
        """One call past cooldowns and breakers, through a lane that lets few through."""
        if self.policy.all_open != "emergency" or self.lane is None:
            return None
        if self.emergencies >= self.policy.emergency_max or self.lane.free_us(now_us) > now_us:
            return None
        among = self._emergency_choice(now_us)
        for pool in self.pools:
            name = self._draw(pool, among)
            slip = self.health[name].begin_anyway(now_us, self.tokens) if name is not None else None
            if slip is not None:
                self.emergencies += 1
                return self._go(slip, "emergency", pool, self.lane.take(now_us))
        return None

    def _emergency_choice(self, now_us: int) -> set[str]:
        """Of those with room in their rate: not failed in this round, and breaker closed, as far as there are
        such. Never the one that has just said no.
        """
        room = {
            name for name in self._open() if self.health[name].rate.free_us(now_us, self.tokens) <= now_us
        } - {self._last}
        closed = {name for name in room if self.health[name].breaker.opens_until_us is None}
        return closed - self._failed or room - self._failed or closed or room

    def _draw(self, pool: Pool, among: set[str]) -> str | None:
        candidates = [
            Candidate(name, weight, self.health[name].strikes)
            for name, weight in pool.backends
            if name in among
        ]
        return choose(candidates, self.chance) if candidates else None

    def _go(
        self, slip: Slip, lane: Literal["pool", "emergency"], pool: Pool, room: Reserved | None = None
    ) -> Try:
        self._failed.add(slip.backend)  # if it does not fail, nobody asks again
        self._last = slip.backend
        return Try(slip.backend, lane, pool.name, slip, room)

    def _recovery_us(self, now_us: int) -> int:
        """From now until the soonest of the backends is free: of all, where none is left to this call."""
        among = self._open() or {name for pool in self.pools for name, _ in pool.backends}
        return min(self.health[name].free_us(now_us, self.tokens) for name in among) - now_us
