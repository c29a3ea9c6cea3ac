"""How long, and how often: B8 calls without a deadline · B9 the emergency lane · B12 when to come back ·
C4 rests between tries · C6 breakers that do not half open · C7 stampedes.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

from refgate.chat import exchange, telling
from refgate.chat.backends import Backends
from refgate.chat.patience import Patience
from refgate.config.chat import Chat
from refgate.dialects.spoken import Fault
from refgate.policy.answers import Failure, Stop, Try
from refgate.policy.backoff import Backoff
from refgate.policy.breaker import Breaker, Pass
from refgate.policy.health import Health, Slip
from refgate.policy.plan import Plan
from refgate.policy.rate import Window
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_emergency = Plan._emergency
_failed = Health.failed
_free_us = Breaker.free_us
_lane = Chat.lane
_plan = Backends.plan
_stopped = telling.stopped
_HOUR_US = 3_600_000_000
_NEVER_US = 1 << 61
_A_STAMPEDE = 1_000_000


def _no_deadline(
    self: Backends, model: str, places: Collection[tuple[str, str]], *, tokens: int, deadline_us: int
) -> Plan:
    """Each try has its time, and each wait: all of them together have none."""
    return _plan(self, model, places, tokens=tokens, deadline_us=deadline_us + _HOUR_US)


class _Endless(Patience):
    """Only silence ends an exchange, not the call's deadline."""

    def __init__(self, *, whole_us: int) -> None:
        super().__init__(whole_us=whole_us + _HOUR_US)


def _lane_of_its_own(
    self: Backends, model: str, places: Collection[tuple[str, str]], *, tokens: int, deadline_us: int
) -> Plan:
    """The lane's rate is kept by each call for itself."""
    made = _plan(self, model, places, tokens=tokens, deadline_us=deadline_us)
    if made.lane is not None:
        made.lane = Window(made.lane.limit)
    return made


def _again_and_again(self: Plan, now_us: int) -> Try | None:
    """As long as the lane lets anything through, a call goes round in it."""
    self.emergencies, self._last = 0, None
    return _emergency(self, now_us)


def _some_time(stop: Stop, last: Failure | None) -> Fault:
    """When it may be tried again, nobody is told."""
    return replace(_stopped(stop, last), retry_after_us=None)


def _the_longest(self: Plan, now_us: int) -> int:
    """Until all backends are free."""
    free = [
        self.health[name].free_us(now_us, self.tokens) for pool in self.pools for name, _ in pool.backends
    ]
    return max(free) - now_us


def _in_step(self: Backoff, tries: int, chance: random.Random) -> int:
    """Everybody rests for the same time."""
    return self.whole_us(tries)


def _past_the_deadline(
    self: Backoff, tries: int, chance: random.Random, *, now_us: int, deadline_us: int
) -> int:
    """However little time is left."""
    return now_us + self.delay_us(tries, chance)


def _own_time_only(
    self: Health, slip: Slip, now_us: int, fault: Fault, chance: random.Random, *, tokens: int | None = None
) -> None:
    """Only a 429 may ask for a pause; what comes with another error is not read."""
    if fault.kind not in self.blame.cools:
        fault = replace(fault, retry_after_us=None)
    _failed(self, slip, now_us, fault, chance, tokens=tokens)


def _everybody_probes(self: Breaker, now_us: int) -> Pass | None:
    """Once its time is over an open breaker lets through whoever comes."""
    if self.opens_until_us is not None and now_us < self.opens_until_us:
        return None
    self._probe += self.opens_until_us is not None
    return Pass(self.era, self._probe if self.opens_until_us is not None else 0)


def _one_probe_for_ever(self: Breaker, now_us: int) -> int:
    """Whoever has a probe in hand keeps all others away until it is settled."""
    return _NEVER_US if self._leased_until_us is not None else _free_us(self, now_us)


def _kept(self: Breaker, leave: Pass) -> None:
    """A probe that was called off has not been settled."""


def _wide(self: Chat) -> Window | None:
    """Where all breakers are open everybody goes past them."""
    lane = _lane(self)
    return None if lane is None else Window(_A_STAMPEDE)


SABOTAGES = (
    Sabotage(
        "B8",
        "no-deadline",
        "tries and waits have their times, and the call as a whole has none",
        Swap(Backends, _plan, _no_deadline),
        ("answers-in-time",),
    ),
    Sabotage(
        "B8",
        "endless",
        "an answer that goes on is read however long it takes",
        Swap(exchange, Patience, _Endless),
        ("answers-in-time",),
    ),
    Sabotage(
        "B9",
        "lane-of-its-own",
        "each call counts the emergency lane's rate for itself",
        Swap(Backends, _plan, _lane_of_its_own),
        ("rate-within-limit",),
    ),
    Sabotage(
        "B9",
        "again-and-again",
        "a call goes round in the emergency lane without a bound of its own",
        Swap(Plan, _emergency, _again_and_again),
        ("attempts-bounded",),
    ),
    Sabotage(
        "B12",
        "some-time",
        "a caller is told that nothing is left, and not when to come back",
        Swap(telling, _stopped, _some_time),
        ("error-mapped",),
    ),
    Sabotage(
        "B12",
        "the-longest",
        "a caller is told to come back when the last backend recovers, not the first",
        Swap(Plan, Plan._recovery_us, _the_longest),
        ("traffic-returns",),
    ),
    Sabotage(
        "C4",
        "in-step",
        "rests between rounds are not spread by chance",
        Swap(Backoff, Backoff.delay_us, _in_step),
        ("traffic-returns",),
    ),
    Sabotage(
        "C4",
        "own-time-only",
        "Retry-After is read of a 429 alone",
        Swap(Health, _failed, _own_time_only),
        ("cooldown-respected",),
    ),
    Sabotage(
        "C4",
        "past-the-deadline",
        "a rest is not cut by the deadline of its call",
        Swap(Backoff, Backoff.until_us, _past_the_deadline),
        ("answers-in-time",),
    ),
    Sabotage(
        "C6",
        "everybody-probes",
        "once its time is over an open breaker lets everybody through",
        Swap(Breaker, Breaker.admit, _everybody_probes),
        ("cooldown-respected",),
    ),
    Sabotage(
        "C6",
        "one-probe-for-ever",
        "a probe that hangs keeps its breaker open: it has no lease",
        Swap(Breaker, _free_us, _one_probe_for_ever),
        ("traffic-returns",),
    ),
    Sabotage(
        "C6",
        "kept",
        "a probe that was called off is not given back",
        Swap(Breaker, Breaker.let_go, _kept),
        ("traffic-returns",),
    ),
    Sabotage(
        "C7",
        "wide",
        "where everything is open, everybody goes everywhere: the lane has no rate",
        Swap(Chat, _lane, _wide),
        ("rate-within-limit",),
    ),
)
