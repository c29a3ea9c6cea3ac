"""Health: what each end of an attempt does to a backend's cooldown, breaker and rate."""

import random

import pytest

from refgate.dialects.spoken import FaultKind
from refgate.policy.breaker import State
from refgate.policy.health import Health, Slip
from refgate.policy.rate import Rate, Window
from tests.refgate.policy_kit import S, backends, fault

CHANCE = random.Random(4)


def one(**more: int) -> Health:
    return backends("a", **more)["a"]


def begun(health: Health, now_us: int = 0, tokens: int = 0) -> Slip:
    slip = health.begin(now_us, tokens)
    assert slip is not None
    return slip


def trip(health: Health) -> int:
    for _ in range(3):
        health.failed(begun(health), 0, fault(), CHANCE)
    assert health.breaker.opens_until_us is not None
    return health.breaker.opens_until_us


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.OVERLOADED])
def test_a_backend_that_asks_for_rest_gets_it(kind: FaultKind) -> None:
    """Too many requests, and overloaded, cool; no call goes out until the end."""
    health = one()
    health.failed(begun(health), 0, fault(kind, 20 * S), CHANCE)
    assert health.free_us(0, 0) >= 20 * S
    assert health.begin(20 * S - 1, 0) is None
    assert health.begin(health.free_us(0, 0), 0) is not None


def test_a_hint_is_kept_whatever_the_failure() -> None:
    """A 500 with Retry-After too."""
    health = one()
    health.failed(begun(health), 0, fault(FaultKind.SERVER, 5 * S), CHANCE)
    assert health.free_us(0, 0) >= 5 * S


def test_refusals_for_rate_do_not_trip_the_breaker() -> None:
    """The cooldown is what answers them."""
    health = one()
    for slip in [begun(health) for _ in range(5)]:
        health.failed(slip, 0, fault(FaultKind.RATE_LIMITED), CHANCE)
    assert health.breaker.state(0) is State.CLOSED


def test_failures_trip_and_the_callers_own_do_not() -> None:
    """Three 500s open it; any number of bad requests shows it well."""
    health = one()
    for _ in range(5):
        health.failed(begun(health), 0, fault(FaultKind.BAD_REQUEST), CHANCE)
    assert health.breaker.state(0) is State.CLOSED and health.strikes == 0
    trip(health)
    assert health.strikes == 3


def test_a_probe_answered_with_the_callers_own_fault_closes() -> None:
    """A 400 proves that somebody is at home."""
    health = one()
    now = trip(health)
    health.failed(begun(health, now), now, fault(FaultKind.BAD_REQUEST), CHANCE)
    assert health.breaker.state(now) is State.CLOSED


def test_a_probe_that_is_refused_for_rate_gives_its_lease_back() -> None:
    """After the cooldown another may probe; it is neither closed nor stuck."""
    health = one()
    now = trip(health)
    health.failed(begun(health, now), now, fault(FaultKind.RATE_LIMITED), CHANCE)
    assert health.free_us(now, 0) < now + 2 * S  # its cooldown; the lease would have been five seconds
    assert health.begin(health.free_us(now, 0), 0) is not None


def test_a_cancelled_probe_lets_the_next_one_go() -> None:
    """The caller left; the lease does not stay with nobody."""
    health = one()
    now = trip(health)
    health.let_go(begun(health, now), now)
    assert health.begin(now, 0) is not None


def test_success_makes_well() -> None:
    """Strikes and the count of refusals start anew."""
    health = one()
    health.failed(begun(health), 0, fault(FaultKind.RATE_LIMITED), CHANCE)
    now = health.free_us(0, 0)
    health.succeeded(begun(health, now), now)
    assert (health.strikes, health.cooldown.in_a_row) == (0, 0)


def test_an_attempt_ends_once() -> None:
    """A second end, from another hand, changes nothing."""
    health = one()
    slip = begun(health)
    health.succeeded(slip, 0)
    for _ in range(9):
        health.failed(slip, 0, fault(FaultKind.RATE_LIMITED), CHANCE)
    assert health.free_us(0, 0) == 0


def test_the_emergency_lane_passes_cooldown_and_breaker_and_never_the_rate() -> None:
    """Its calls are counted like all others."""
    health = one(calls=4)
    trip(health)
    assert health.begin(0, 0) is None
    assert health.begin_anyway(0, 0) is not None
    assert health.begin_anyway(0, 0) is None


def test_tokens_are_corrected_by_what_was_used() -> None:
    """And kept as estimated where nobody knows."""
    health = one()
    health.rate = Rate(tokens=Window(100))
    health.succeeded(begun(health, tokens=80), 0, tokens=10)
    health.let_go(begun(health, tokens=40), 0)
    assert health.free_us(0, 50) == 0
    assert health.free_us(0, 51) > 0
