"""What is known of one backend, shared by all calls: its cooldown, its breaker, its rate.

`begin` takes leave for one attempt from all three at once; each attempt begun is ended exactly once, by
`succeeded`, `failed` or `let_go` (also when it was cancelled: a probe's lease depends on it), or by
`take_back`. Small mutable state, owned by the caller; pure otherwise. Which kinds of failure mean what is
declared here, in `Blame`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from refgate.dialects.spoken import Fault, FaultKind
from refgate.policy.breaker import Breaker, BreakerRule, Pass
from refgate.policy.cooldown import Cooldown, CooldownRule
from refgate.policy.rate import Rate, Taken

__all__ = ["Blame", "Health", "Slip"]


@dataclass(frozen=True, slots=True)
class Blame:
    """`cools`: the backend asks to be left alone. `trips`: it is not well. Of the rest, `sound` kinds are the
    caller's own doing and show it well; others show nothing. A hint cools, whatever the kind.
    """

    cools: frozenset[FaultKind] = frozenset({FaultKind.RATE_LIMITED, FaultKind.OVERLOADED})
    trips: frozenset[FaultKind] = frozenset(
        {
            FaultKind.OVERLOADED,
            FaultKind.SERVER,
            FaultKind.TIMEOUT,
            FaultKind.BROKEN,
            FaultKind.TRUNCATED,
            FaultKind.UNREACHABLE,
            FaultKind.UNAUTHORIZED,
            FaultKind.NO_MONEY,
        }
    )
    sound: frozenset[FaultKind] = frozenset(
        {FaultKind.BAD_REQUEST, FaultKind.CONTEXT_OVERFLOW, FaultKind.CONTENT_FILTER}
    )


@dataclass(slots=True, eq=False)
class Slip:
    """Leave for one attempt, to be ended once."""

    backend: str
    begun_us: int
    tokens: int
    leave: Pass
    room: Taken
    ended: bool = False


@dataclass(slots=True)
class Health:
    name: str
    cooldown_rule: CooldownRule
    breaker: Breaker
    rate: Rate = field(default_factory=Rate)
    blame: Blame = field(default_factory=Blame)
    cooldown: Cooldown = field(default_factory=Cooldown)
    strikes: int = 0
    """Failed attempts since the last success, whatever they were."""

    @classmethod
    def of(
        cls, name: str, cooldown_rule: CooldownRule, breaker_rule: BreakerRule, rate: Rate | None = None
    ) -> Health:
        """A backend of which nothing is known yet."""
        return cls(name, cooldown_rule, Breaker(breaker_rule), rate or Rate())

    def free_us(self, now_us: int, tokens: int) -> int:
        """The soonest instant at which a call of so many tokens may go out: now, if it may now."""
        return max(
            self.cooldown.until_us or 0, self.breaker.free_us(now_us), self.rate.free_us(now_us, tokens)
        )

    def begin(self, now_us: int, tokens: int) -> Slip | None:
        """Leave for an attempt that goes out now; None where the backend is not free."""
        if self.free_us(now_us, tokens) > now_us:
            return None
        leave = self.breaker.admit(now_us)
        if leave is None:
            return None
        return Slip(self.name, now_us, tokens, leave, self.rate.take(now_us, tokens))

    def begin_anyway(self, now_us: int, tokens: int) -> Slip | None:
        """Leave in the emergency lane: past cooldown and breaker, never past the rate."""
        if self.rate.free_us(now_us, tokens) > now_us:
            return None
        leave = self.breaker.admit_anyway()
        return Slip(self.name, now_us, tokens, leave, self.rate.take(now_us, tokens))

    def succeeded(self, slip: Slip, now_us: int, *, tokens: int | None = None) -> None:
        """The attempt went well; `tokens` are those it used, where that is known."""
        if not self._end(slip, now_us, tokens):
            return
        self.strikes = 0
        self.cooldown = self.cooldown.succeeded(begun_us=slip.begun_us)
        self.breaker.succeeded(slip.leave)

    def failed(
        self, slip: Slip, now_us: int, fault: Fault, chance: random.Random, *, tokens: int | None = None
    ) -> None:
        """The attempt failed; what it used is kept as estimated where it is not known."""
        if not self._end(slip, now_us, tokens):
            return
        hint_us = fault.retry_after_us or 0
        if fault.kind in self.blame.cools or hint_us > 0:
            self.cooldown = self.cooldown.refused(
                self.cooldown_rule, begun_us=slip.begun_us, now_us=now_us, hint_us=hint_us, chance=chance
            )
        if fault.kind in self.blame.trips:
            self.breaker.failed(slip.leave, now_us, chance)
        elif fault.kind in self.blame.sound:
            self.breaker.succeeded(slip.leave)
            return
        else:
            self.breaker.let_go(slip.leave)
        self.strikes += 1

    def let_go(self, slip: Slip, now_us: int, *, tokens: int | None = None) -> None:
        """The attempt was called off, and tells nothing of the backend."""
        if self._end(slip, now_us, tokens):
            self.breaker.let_go(slip.leave)

    def take_back(self, slip: Slip, now_us: int) -> None:
        """The attempt never went out: its room in the rate is free again."""
        if self._end(slip, now_us, None):
            self.rate.take_back(slip.room, now_us, taken=slip.tokens)
            self.breaker.let_go(slip.leave)

    def _end(self, slip: Slip, now_us: int, tokens: int | None) -> bool:
        """Whether this is the attempt's first end; later ones change nothing."""
        if slip.ended:
            return False
        slip.ended = True
        if tokens is not None:
            self.rate.correct(slip.room, now_us, taken=slip.tokens, used=tokens)
        return True
