"""Backends, pools and faults for tests of routing."""

import random
from fractions import Fraction

from refgate.dialects.spoken import Fault, FaultKind
from refgate.policy.answers import Failure
from refgate.policy.backoff import Backoff
from refgate.policy.breaker import BreakerRule
from refgate.policy.cooldown import CooldownRule
from refgate.policy.declared import Policy, Pool
from refgate.policy.health import Health
from refgate.policy.plan import Plan
from refgate.policy.rate import Rate, Window, lane_limit

__all__ = ["MS", "POOLS", "S", "backends", "failure", "fault", "plan", "policy"]

S = 1_000_000
MS = 1_000
POOLS = (Pool("main", (("a", 1), ("b", 1)), primary=True), Pool("spare", (("c", 1),)))


def backends(*names: str, calls: int | None = None, failures_max: int = 3) -> dict[str, Health]:
    return {
        name: Health.of(
            name,
            CooldownRule(first_us=S, max_us=60 * S),
            BreakerRule(open_us=10 * S, lease_us=5 * S, failures_max=failures_max),
            Rate(calls=Window(calls) if calls else None),
        )
        for name in names or ("a", "b", "c")
    }


def policy(**changed: object) -> Policy:
    declared: dict[str, object] = {"attempts_max": 4, "backoff": Backoff(100 * MS, S), **changed}
    return Policy(**declared)  # type: ignore[arg-type]  # each test names fields of Policy


def plan(
    health: dict[str, Health],
    declared: Policy | None = None,
    *,
    pools: tuple[Pool, ...] = POOLS,
    deadline_us: int = 30 * S,
    idempotent: bool = False,
    lane: Window | None = None,
    seed: int = 1,
) -> Plan:
    return Plan(
        pools,
        health,
        declared or policy(),
        random.Random(seed),
        deadline_us,
        idempotent=idempotent,
        lane=lane or Window(lane_limit(60, Fraction(1, 10))),
    )


def fault(kind: FaultKind = FaultKind.SERVER, hint_us: int | None = None) -> Fault:
    return Fault(kind, "", retry_after_us=hint_us)


def failure(kind: FaultKind = FaultKind.SERVER, *, hint_us: int | None = None, **more: bool) -> Failure:
    return Failure(fault(kind, hint_us), **more)
