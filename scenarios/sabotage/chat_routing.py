"""Where chats go: B4 errors taken for answers · B6 cooldowns · B7 the same backend again · B10 backends that
are to be left alone · B16 cooldowns without an end, and herds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from refgate.chat import backends, flow
from refgate.chat.attempts import Tried, attempt_end
from refgate.chat.exchange import Exchange
from refgate.chat.records import AttemptEnd, Metering
from refgate.chat.result import Result
from refgate.config.models import Backend
from refgate.dialects.spoken import Fault, FaultKind
from refgate.policy.answers import Failure, Stop, Try
from refgate.policy.cooldown import Cooldown, CooldownRule
from refgate.policy.health import Health, Slip
from refgate.policy.plan import Plan
from refgate.policy.rate import Rate
from refgate.upstream import Stream
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_classified = Exchange._classified
_failed = Health.failed
_from_pools = Plan._from_pools
_over = Plan._over
_primary_us = Plan._primary_us
_refused = Cooldown.refused
_LONG_US = 365 * 86_400_000_000


def _handed_on(self: Exchange, reply: Stream, body: bytes) -> Result:
    """Whatever it is that came with a 5xx, it came: the answer to a call that was not streamed."""
    if reply.status < 500 or self._aim.stream:
        return _classified(self, reply, body)
    return Result(reply.status, None, body=body)


def _good_if_answered(done: Tried, metering: Metering | None = None) -> AttemptEnd:
    """An attempt that had a status failed in no way."""
    end = attempt_end(done, metering)
    return end if end.status is None else replace(end, failure=None)


def _final(self: Plan, now_us: int, last: Failure | None) -> Stop | None:
    """What a server says of itself is the last word."""
    if last is not None and last.fault.kind is FaultKind.SERVER:
        return Stop("final")
    return _over(self, now_us, last)


@dataclass(slots=True)
class _ReadThenWritten(Health):
    """The cooldown is read as an attempt goes out, and what becomes of it is written as that comes back."""

    read: dict[Slip, Cooldown] = field(default_factory=dict, init=False)

    def begin(self, now_us: int, tokens: int) -> Slip | None:
        slip = Health.begin(self, now_us, tokens)
        if slip is not None:
            self.read[slip] = self.cooldown
        return slip

    def succeeded(self, slip: Slip, now_us: int, *, tokens: int | None = None) -> None:
        self.cooldown = self.read.pop(slip, self.cooldown)
        Health.succeeded(self, slip, now_us, tokens=tokens)

    def failed(
        self, slip: Slip, now_us: int, fault: Fault, chance: random.Random, *, tokens: int | None = None
    ) -> None:
        self.cooldown = self.read.pop(slip, self.cooldown)
        Health.failed(self, slip, now_us, fault, chance, tokens=tokens)


def _never_reset(self: Cooldown, *, begun_us: int) -> Cooldown:
    """A success is no reason to forget refusals."""
    return self


def _unasked(
    self: Health, slip: Slip, now_us: int, fault: Fault, chance: random.Random, *, tokens: int | None = None
) -> None:
    """For how long, the configuration says; what the backend says of it is not read."""
    _failed(self, slip, now_us, replace(fault, retry_after_us=None), chance, tokens=tokens)


def _whoever(self: Plan, now_us: int, eligible: set[str]) -> Try:
    """Which backends of this call have failed is not looked at."""
    failed, self._failed, self._last = self._failed, set(), None
    try:
        return _from_pools(self, now_us, eligible)
    finally:
        self._failed |= failed


def _free_while_cooling(self: Health, now_us: int, tokens: int) -> int:
    """The breaker's word and the rate's, without the cooldown's."""
    return max(self.breaker.free_us(now_us), self.rate.free_us(now_us, tokens))


def _unlimited(self: Backend) -> Rate:
    """Declared limits are read, and not kept."""
    return Rate()


def _for_ever(
    self: Cooldown, rule: CooldownRule, *, begun_us: int, now_us: int, hint_us: int, chance: random.Random
) -> Cooldown:
    """A refused backend is out until somebody restarts the gateway."""
    made = _refused(self, rule, begun_us=begun_us, now_us=now_us, hint_us=hint_us, chance=chance)
    return replace(made, until_us=now_us + _LONG_US)


def _all_at_once(self: Plan, now_us: int) -> int | None:
    """Whoever waits comes the instant that the cooldown ends."""
    chance, self.chance = self.chance, _Nothing()
    try:
        return _primary_us(self, now_us)
    finally:
        self.chance = chance


class _Nothing(random.Random):
    """A draw that is always the least."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return 0 if stop is None else start


SABOTAGES = (
    Sabotage(
        "B4",
        "handed-on",
        "a 5xx is the answer: handed on in a 200, charged, and no other backend is tried",
        Swap(Exchange, _classified, _handed_on),
        ("error-mapped", "failure-is-free"),
    ),
    Sabotage(
        "B4",
        "a-good-row",
        "an attempt that was answered with a 5xx is recorded as a good one",
        Swap(flow, attempt_end, _good_if_answered),
        ("attempts-recorded",),
    ),
    Sabotage(
        "B4",
        "final",
        "a 5xx is the end of a call: no other backend is tried",
        Swap(Plan, _over, _final),
        ("fallback-in-order",),
    ),
    Sabotage(
        "B6",
        "read-then-written",
        "a backend's refusals are read when a call goes out and written when it comes back",
        Swap(backends, Health, _ReadThenWritten),
        ("cooldown-respected",),
    ),
    Sabotage(
        "B6",
        "never-reset",
        "a success does not end a row of refusals, so that cooldowns only grow",
        Swap(Cooldown, Cooldown.succeeded, _never_reset),
        ("traffic-returns",),
    ),
    Sabotage(
        "B6",
        "unasked",
        "Retry-After is not read: the declared cooldown is all there is",
        Swap(Health, _failed, _unasked),
        ("cooldown-respected",),
    ),
    Sabotage(
        "B7",
        "whoever",
        "the next try may go to the backend that has just failed",
        Swap(Plan, _from_pools, _whoever),
        ("fallback-in-order",),
    ),
    Sabotage(
        "B10",
        "free-while-cooling",
        "a cooling backend is as eligible as any",
        Swap(Health, Health.free_us, _free_while_cooling),
        ("cooldown-respected",),
    ),
    Sabotage(
        "B10",
        "unlimited",
        "a backend's declared limits are not kept",
        Swap(Backend, Backend.rate, _unlimited),
        ("rate-within-limit",),
    ),
    Sabotage(
        "B16",
        "for-ever",
        "a cooldown has no end",
        Swap(Cooldown, _refused, _for_ever),
        ("traffic-returns",),
    ),
    Sabotage(
        "B16",
        "all-at-once",
        "whoever waits for a backend comes back in the same instant as all the others",
        Swap(Plan, _primary_us, _all_at_once),
        ("traffic-returns",),
    ),
)
