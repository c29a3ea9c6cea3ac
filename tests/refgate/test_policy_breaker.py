"""Breaker: opens as declared, lets one probe through under a lease, and is never stuck."""

import random

import pytest

from refgate.policy.breaker import Breaker, BreakerRule, Pass, State

S = 1_000_000
RULE = BreakerRule(open_us=10 * S, lease_us=5 * S, failures_max=3)
CHANCE = random.Random(2)


def leave(breaker: Breaker, now_us: int) -> Pass:
    given = breaker.admit(now_us)
    assert given is not None
    return given


def tripped(rule: BreakerRule = RULE) -> Breaker:
    breaker = Breaker(rule)
    for _ in range(3):
        breaker.failed(leave(breaker, 0), 0, CHANCE)
    return breaker


def half_open_us(breaker: Breaker) -> int:
    assert breaker.opens_until_us is not None
    return breaker.opens_until_us


def test_it_opens_after_failures_in_a_row() -> None:
    """Two are not enough, and a success in between starts the count anew."""
    breaker = Breaker(RULE)
    for failed in (True, True, False, True, True):
        given = leave(breaker, 0)
        if failed:
            breaker.failed(given, 0, CHANCE)
        else:
            breaker.succeeded(given)
    assert breaker.state(0) is State.CLOSED
    breaker.failed(leave(breaker, 0), 0, CHANCE)
    assert breaker.state(0) is State.OPEN
    assert breaker.admit(0) is None


def test_after_its_time_one_probe_goes_out() -> None:
    """Exactly one, whoever asks next."""
    breaker = tripped()
    now = half_open_us(breaker)
    assert breaker.state(now) is State.HALF_OPEN
    assert [breaker.admit(now - 1) is None, breaker.admit(now) is None, breaker.admit(now) is None] == [
        True,
        False,
        True,
    ]


def test_a_probe_that_succeeds_closes_it() -> None:
    """All may go again."""
    breaker = tripped()
    now = half_open_us(breaker)
    breaker.succeeded(leave(breaker, now))
    assert breaker.state(now + 1) is State.CLOSED
    assert breaker.free_us(now + 1) == now + 1


def test_a_probe_that_fails_opens_it_for_another_time() -> None:
    """Counted from the failure."""
    breaker = tripped()
    now = half_open_us(breaker)
    breaker.failed(leave(breaker, now), now + S, CHANCE)
    assert now + 11 * S <= half_open_us(breaker) <= now + S + 10 * S * 5 // 4


def test_a_hung_probe_gives_its_lease_back_by_time() -> None:
    """It is never heard of again; the next one goes out when the lease ends."""
    breaker = tripped()
    now = half_open_us(breaker)
    leave(breaker, now)
    assert breaker.free_us(now) == now + 5 * S
    assert breaker.admit(now + 5 * S - 1) is None
    assert breaker.admit(now + 5 * S) is not None


def test_a_cancelled_probe_gives_its_lease_back_at_once() -> None:
    """The next caller may probe."""
    breaker = tripped()
    now = half_open_us(breaker)
    breaker.let_go(leave(breaker, now))
    assert breaker.admit(now) is not None


def test_only_the_probe_in_hand_may_give_back_or_reopen() -> None:
    """One whose lease ran out cannot let a third go out beside the second, nor send it back."""
    breaker = tripped()
    now = half_open_us(breaker)
    first = leave(breaker, now)
    leave(breaker, now + 5 * S)
    breaker.let_go(first)
    breaker.failed(first, now + 5 * S, CHANCE)
    assert breaker.state(now + 5 * S) is State.HALF_OPEN
    assert breaker.admit(now + 5 * S) is None


def test_a_late_success_of_a_hung_probe_is_good_news() -> None:
    """It was sent since the opening: the backend is well."""
    breaker = tripped()
    now = half_open_us(breaker)
    first = leave(breaker, now)
    leave(breaker, now + 5 * S)
    breaker.succeeded(first)
    assert breaker.state(now + 6 * S) is State.CLOSED


def test_news_from_before_the_opening_is_ignored() -> None:
    """Calls that were under way neither close it, nor open it again after it closed."""
    breaker = Breaker(RULE)
    early = [leave(breaker, 0) for _ in range(9)]
    for given in early[:3]:
        breaker.failed(given, 1, CHANCE)
    breaker.succeeded(early[3])
    assert breaker.state(2) is State.OPEN
    now = half_open_us(breaker)
    breaker.succeeded(leave(breaker, now))
    for given in early[4:]:
        breaker.failed(given, now, CHANCE)
    assert breaker.state(now) is State.CLOSED


def test_an_exception_past_an_open_breaker_may_close_it_and_not_prolong_it() -> None:
    """The emergency lane's failures must not keep the probe away."""
    breaker = tripped()
    until = half_open_us(breaker)
    breaker.failed(breaker.admit_anyway(), S, CHANCE)
    assert half_open_us(breaker) == until
    breaker.succeeded(breaker.admit_anyway())
    assert breaker.state(S) is State.CLOSED


def test_breakers_opened_together_do_not_probe_together() -> None:
    """Jitter spreads them over a quarter of the time."""
    assert len({half_open_us(tripped()) for _ in range(30)}) > 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: BreakerRule(0, 1),
        lambda: BreakerRule(1, 0),
        lambda: BreakerRule(1, 1, failures_max=0),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(make: type) -> None:
    """Times and counts above zero."""
    with pytest.raises(ValueError, match="breaker"):
        make()
