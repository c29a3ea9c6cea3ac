"""Many calls over shared backends, with any outcomes and any timing: where each may go, and that it ends."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from refgate.dialects.spoken import FaultKind
from refgate.policy.answers import Failure, Stop, Try, Wait
from refgate.policy.backoff import Backoff
from refgate.policy.breaker import BreakerRule
from refgate.policy.cooldown import CooldownRule
from refgate.policy.declared import Policy, Pool
from refgate.policy.health import Health
from refgate.policy.plan import Plan
from refgate.policy.rate import MINUTE_US, Rate, Window
from tests.refgate.policy_kit import fault

S = 1_000_000
KINDS = [
    FaultKind.RATE_LIMITED,
    FaultKind.SERVER,
    FaultKind.TIMEOUT,
    FaultKind.BAD_REQUEST,
    FaultKind.OVERLOADED,
]
POLICIES = st.builds(
    Policy,
    attempts_max=st.integers(1, 6),
    backoff=st.builds(Backoff, st.integers(0, S), st.integers(0, 20 * S)),
    primary_waits_max=st.integers(0, 3),
    primary_wait_us=st.integers(1, 10 * S),
    all_open=st.sampled_from(["emergency", "refuse"]),
    emergency_max=st.integers(0, 2),
    ambiguous=st.sampled_from(["retry_if_idempotent", "never_retry", "always_retry"]),
)
LAYOUTS = st.sampled_from(
    [
        (Pool("one", (("a", 1),), primary=True),),
        (Pool("one", (("a", 2), ("b", 1)), primary=True), Pool("two", (("c", 1),))),
        (Pool("one", (("a", 1),), primary=True), Pool("two", (("b", 3), ("c", 1))), Pool("six", (("a", 1),))),
    ]
)


@dataclass
class World:
    """Plays calls against backends that answer as a random stream says, and watches each step."""

    policy: Policy
    pools: tuple[Pool, ...]
    calls_max: int | None
    ill: int  # of ten attempts, so many fail
    chance: random.Random
    health: dict[str, Health] = field(init=False)
    lane: Window = field(default_factory=lambda: Window(2))
    began: dict[str, list[int]] = field(default_factory=dict)
    emergencies: list[int] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.health = {
            name: Health.of(
                name,
                CooldownRule(S, 30 * S),
                BreakerRule(open_us=5 * S, lease_us=2 * S, failures_max=3),
                Rate(calls=Window(self.calls_max) if self.calls_max else None),
            )
            for name in "abc"
        }

    def play(self, starts: list[int]) -> None:
        """Every call to its end, in order of time."""
        queue: list[tuple[int, int, Call]] = []
        for number, at in enumerate(sorted(starts)):
            plan = Plan(
                self.pools,
                self.health,
                self.policy,
                self.chance,
                at + self.chance.randrange(1, 60 * S),
                idempotent=self.chance.random() < 0.5,
                lane=self.lane,
            )
            heapq.heappush(queue, (at, number, Call(plan)))
        while queue:
            now_us, number, call = heapq.heappop(queue)
            at = call.step(self, now_us)
            if at is not None:
                assert at > now_us or call.out is not None
                heapq.heappush(queue, (at, number, call))


@dataclass
class Call:
    plan: Plan
    out: Try | None = None
    failed: Failure | None = None
    before: str | None = None
    tries: int = 0
    steps: int = 0

    def step(self, world: World, now_us: int) -> int | None:
        """What happens now; when to come back, or None at the end."""
        self.steps += 1
        assert self.steps <= 100, "a call goes on and on"
        if self.out is not None and not self._ended(world, now_us):
            return None
        free = {name for name, one in world.health.items() if one.free_us(now_us, 0) <= now_us}
        free &= {name for pool in world.pools for name, _ in pool.backends}
        last, self.failed = self.failed, None
        answer = self.plan.next(now_us, last)
        if isinstance(answer, Stop):
            self._judge_stop(answer, last, free)
            world.stops.append(answer)
            return None
        if isinstance(answer, Wait):
            assert now_us < answer.until_us <= self.plan.deadline_us
            return answer.until_us
        self._judge_try(world, answer, last, free, now_us)
        self.out = answer
        return now_us + world.chance.randrange(4 * S)

    def _ended(self, world: World, now_us: int) -> bool:
        """The attempt comes to its end. Whether it failed."""
        assert self.out is not None
        slip, self.out = self.out.slip, None
        health = world.health[slip.backend]
        if world.chance.randrange(10) >= world.ill:
            health.succeeded(slip, now_us)
            return False
        if world.chance.random() < 0.1:  # lost: nobody ends the slip
            return False
        kind = world.chance.choice(KINDS)
        what = fault(kind, world.chance.choice([None, 3 * S]) if kind is FaultKind.RATE_LIMITED else None)
        health.failed(slip, now_us, what, world.chance)
        self.failed = Failure(
            what,
            ambiguous=kind is FaultKind.TIMEOUT,
            heard=world.chance.random() < 0.05,
            left=world.chance.random() < 0.05,
        )
        self.before = slip.backend
        return True

    def _judge_stop(self, stop: Stop, last: Failure | None, free: set[str]) -> None:
        if stop.why == "exhausted":
            assert not free and stop.retry_after_us is not None and stop.retry_after_us > 0
        if stop.why == "attempts":
            assert free and self.plan.attempts == self.plan.policy.attempts_max
        if stop.why in ("left", "heard", "final", "ambiguous"):
            assert last is not None

    def _judge_try(
        self, world: World, answer: Try, last: Failure | None, free: set[str], now_us: int
    ) -> None:
        assert now_us < self.plan.deadline_us
        self.tries += 1
        policy = self.plan.policy
        assert self.tries <= policy.attempts_max + policy.emergency_max
        if last is not None:
            assert last.fault.retryable and not last.heard and not last.left
            assert not last.ambiguous or policy.ambiguous == "always_retry" or self.plan.idempotent
            assert policy.ambiguous != "never_retry" or not last.ambiguous
        if answer.lane == "emergency":
            assert not free and policy.all_open == "emergency"
            world.emergencies.append(now_us)
        else:
            assert answer.backend in free
            assert answer.backend != self.before or free == {self.before}
        world.began.setdefault(answer.backend, []).append(now_us)


def judge_rate(times: list[int], limit: int) -> None:
    for start in times:
        assert sum(start <= at < start + MINUTE_US for at in times) <= limit


@given(
    policy=POLICIES,
    pools=LAYOUTS,
    calls_max=st.sampled_from([None, 2, 5]),
    ill=st.integers(0, 10),
    starts=st.lists(st.integers(0, 120 * S), min_size=1, max_size=25),
    seed=st.integers(0, 2**32),
)
def test_every_call_ends_where_it_may(
    policy: Policy, pools: tuple[Pool, ...], calls_max: int | None, ill: int, starts: list[int], seed: int
) -> None:
    """Bounded attempts, before the deadline, only to eligible backends outside the emergency lane, never to
    the one that just failed while another is eligible, nothing after a token or an undeclared ambiguity;
    all rates kept, the lane's too, whatever is concurrent.
    """
    world = World(policy, pools, calls_max, ill, random.Random(seed))
    world.play(starts)
    judge_rate(world.emergencies, 2)
    for times in world.began.values():
        judge_rate(times, calls_max or 10**9)


@given(
    policy=POLICIES,
    pools=LAYOUTS,
    starts=st.lists(st.integers(0, 60 * S), max_size=15),
    seed=st.integers(0, 9),
)
def test_a_fallback_serves_only_when_no_earlier_choice_is_eligible(
    policy: Policy, pools: tuple[Pool, ...], starts: list[int], seed: int
) -> None:
    """A call's first attempt goes to the first pool that has an eligible backend."""
    world = World(policy, pools, 3, 5, random.Random(seed))
    world.play(starts)
    now_us = 61 * S
    free = {name for name, one in world.health.items() if one.free_us(now_us, 0) <= now_us}
    first = next((pool for pool in pools if free & {name for name, _ in pool.backends}), None)
    answer = Plan(pools, world.health, policy, world.chance, now_us + S, lane=world.lane).next(now_us)
    if first is not None:
        assert isinstance(answer, Try)
        assert (answer.pool, answer.lane) == (first.name, "pool")
    else:
        assert not isinstance(answer, Try) or answer.lane == "emergency"


@given(
    policy=POLICIES,
    pools=LAYOUTS,
    starts=st.lists(st.integers(0, 60 * S), max_size=15),
    seed=st.integers(0, 99),
)
def test_traffic_returns(policy: Policy, pools: tuple[Pool, ...], starts: list[int], seed: int) -> None:
    """However it went, with probes hung and lost: after a quiet time a call is let through at once."""
    world = World(policy, pools, 5, 9, random.Random(seed))
    world.play(starts)
    now_us = 600 * S
    for _ in range(2):
        assert isinstance(
            Plan(pools, world.health, policy, world.chance, now_us + S, lane=world.lane).next(now_us), Try
        )
        now_us += 5 * S  # the first may hold a probe's lease; it is never heard of again
