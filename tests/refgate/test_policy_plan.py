"""Plan: pools in order, rounds, primary-wait, the emergency lane, and how it ends."""

import random

import pytest

from refgate.dialects.spoken import FaultKind
from refgate.policy.answers import Failure, Stop, Try, Wait
from refgate.policy.declared import Pool
from refgate.policy.health import Health
from refgate.policy.plan import Plan
from refgate.policy.rate import Window
from tests.refgate.policy_kit import MS, POOLS, S, backends, failure, fault, plan, policy

LIMITED = FaultKind.RATE_LIMITED
ONE = (Pool("main", (("a", 1),), primary=True),)


def tried(answer: object) -> Try:
    assert isinstance(answer, Try)
    return answer


def cool(health: Health, now_us: int = 0, for_us: int = 20 * S) -> None:
    slip = health.begin(now_us, 0)
    assert slip is not None
    health.failed(slip, now_us, fault(LIMITED, for_us), random.Random(9))


def fails(way: Plan, health: dict[str, Health], last: Failure, now_us: int = 0) -> Try:
    """The next try, which then fails."""
    answer = tried(way.next(now_us))
    health[answer.backend].failed(answer.slip, now_us, last.fault, random.Random(9))
    return answer


def test_the_first_pool_serves_while_it_can() -> None:
    """The spare is not touched."""
    health = backends()
    names = {tried(plan(health, seed=seed).next(0)).backend for seed in range(40)}
    assert names == {"a", "b"}


def test_after_a_failure_the_rest_of_the_pool_and_then_the_fallback() -> None:
    """Never the one that just failed; at once, for another backend is no herd."""
    health, last = backends(), failure()
    way = plan(health)
    first = fails(way, health, last)
    second = tried(way.next(0, last))
    health[second.backend].failed(second.slip, 0, last.fault, random.Random(9))
    third = tried(way.next(0, last))
    assert {first.backend, second.backend} == {"a", "b"}
    assert (third.backend, third.pool, third.lane) == ("c", "spare", "pool")


def test_when_all_have_failed_a_new_round_begins_after_a_rest() -> None:
    """With backoff, and not with the backend that failed last."""
    health, last = backends("a", "b"), failure()
    way = plan(health, pools=POOLS[:1])
    fails(way, health, last)
    second = fails(way, health, last)
    rest = way.next(0, last)
    assert isinstance(rest, Wait) and 50 * MS <= rest.until_us <= 100 * MS
    assert way.next(rest.until_us - 1) == rest
    assert tried(way.next(rest.until_us)).backend != second.backend


def test_a_lone_backend_is_tried_again() -> None:
    """There is no other; the rest grows from round to round."""
    health, last = backends("a", failures_max=99), failure()
    way, now, rests = plan(health, pools=ONE), 0, []
    for _ in range(3):
        fails(way, health, last, now)
        rest = way.next(now, last)
        assert isinstance(rest, Wait)
        rests.append(rest.until_us - now)
        now = rest.until_us
    assert 50 * MS <= rests[0] <= 100 * MS <= rests[1] <= 200 * MS <= rests[2] <= 400 * MS


def test_a_rest_that_the_deadline_cuts_short_is_the_last() -> None:
    """Rests do not shrink towards the deadline, with ever more tries in its last moments."""
    health, last = backends("a", failures_max=99), failure()
    way, now, rests = plan(health, policy(attempts_max=99), pools=ONE, deadline_us=S), 0, []
    while True:
        fails(way, health, last, now)
        rest = way.next(now, last)
        if not isinstance(rest, Wait):
            break
        rests.append(rest.until_us - now)
        now = rest.until_us
    assert rest == Stop("deadline")
    assert rests[:-1] == sorted(rests[:-1]) and len(rests) <= 5


def test_a_cooling_backend_gets_no_call() -> None:
    """It is passed over, also where that means the fallback."""
    health = backends()
    cool(health["a"])
    cool(health["b"])
    assert tried(plan(health).next(0)).backend == "c"


def test_attempts_are_bounded() -> None:
    """The next would be one too many, though somebody is eligible."""
    health, last = backends(), failure()
    way = plan(health, policy(attempts_max=2))
    fails(way, health, last)
    fails(way, health, last)
    assert way.next(0, last) == Stop("attempts")


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (failure(left=True), "left"),
        (failure(heard=True), "heard"),
        (failure(FaultKind.BAD_REQUEST), "final"),
        (failure(FaultKind.CONTEXT_OVERFLOW), "final"),
        (failure(FaultKind.TIMEOUT, ambiguous=True), "ambiguous"),
    ],
)
def test_what_ends_a_call_at_once(last: Failure, why: str) -> None:
    """The caller left or heard a token, another try would fare no better, or it may have been done."""
    health = backends()
    way = plan(health)
    fails(way, health, last)
    assert way.next(0, last) == Stop(why)  # type: ignore[arg-type]  # one of Why, from the table above


@pytest.mark.parametrize("kind", [FaultKind.UNAUTHORIZED, FaultKind.FORBIDDEN, FaultKind.NO_MONEY])
def test_a_refused_account_is_that_of_one_backend(kind: FaultKind) -> None:
    """The others are asked at once, in order; the refused are not asked again in this call."""
    health, last = backends(failures_max=99), failure(kind)
    way = plan(health, policy(attempts_max=9))
    names, answer = [], way.next(0)
    while isinstance(answer, Try):
        health[answer.backend].failed(answer.slip, 0, last.fault, random.Random(9))
        names.append(answer.backend)
        answer = way.next(0, last)
    assert answer == Stop("final")
    assert (set(names[:2]), names[2:]) == ({"a", "b"}, ["c"])


def test_a_refused_account_is_not_asked_in_the_next_round() -> None:
    """One backend is refused its credential, the other is merely down: only that one is tried again."""
    health = backends("a", "b", failures_max=99)
    way = plan(health, policy(attempts_max=9), pools=POOLS[:1])
    refused = fails(way, health, failure(FaultKind.UNAUTHORIZED)).backend
    down = tried(way.next(0, failure(FaultKind.UNAUTHORIZED)))
    health[down.backend].failed(down.slip, 0, failure().fault, random.Random(9))
    rest = way.next(0, failure())
    assert isinstance(rest, Wait)
    assert tried(way.next(rest.until_us)).backend == down.backend != refused


@pytest.mark.parametrize(
    ("rule", "idempotent", "again"),
    [
        ("retry_if_idempotent", False, False),
        ("retry_if_idempotent", True, True),
        ("never_retry", True, False),
        ("always_retry", False, True),
    ],
)
def test_ambiguous_failures_follow_the_declared_rule(rule: str, idempotent: bool, again: bool) -> None:
    """What may have been done is sent again only if the rule says so."""
    health, last = backends(), failure(FaultKind.TIMEOUT, ambiguous=True)
    way = plan(health, policy(ambiguous=rule), idempotent=idempotent)
    fails(way, health, last)
    assert isinstance(way.next(0, last), Try if again else Stop)


def test_after_the_deadline_nothing_is_tried() -> None:
    """Whoever is eligible."""
    assert plan(backends(), deadline_us=S).next(S) == Stop("deadline")


def test_exhaustion_names_the_soonest_recovery() -> None:
    """Of all backends, counted from now."""
    health = backends()
    for name, for_s in (("a", 40), ("b", 20), ("c", 30)):
        cool(health[name], for_us=for_s * S)
    stop = plan(health, policy(all_open="refuse")).next(5 * S)
    assert isinstance(stop, Stop) and stop.why == "exhausted"
    assert stop.retry_after_us == health["b"].free_us(0, 0) - 5 * S


def test_a_primary_is_waited_for_before_the_emergency_lane() -> None:
    """So often as declared, no longer than until one is free, and then it is tried."""
    health = backends("a", "b")
    cool(health["a"], for_us=2 * S)
    cool(health["b"], for_us=9 * S)
    way = plan(health, policy(primary_waits_max=2, primary_wait_us=5 * S), pools=POOLS[:1])
    wait = way.next(0)
    assert isinstance(wait, Wait)
    free = health["a"].free_us(0, 0)
    assert free <= wait.until_us <= free + 5 * S // 4
    answer = tried(way.next(wait.until_us))
    assert (answer.backend, answer.lane) == ("a", "pool")


def test_waits_for_a_primary_are_bounded_by_their_number_and_the_deadline() -> None:
    """Then the call is refused."""
    for deadline_us, waits in ((1_000 * S, 3), (8 * S, 1)):
        health = backends("a")
        cool(health["a"], for_us=500 * S)
        declared = policy(primary_waits_max=3, primary_wait_us=5 * S, all_open="refuse")
        way, now, seen = plan(health, declared, pools=ONE, deadline_us=deadline_us), 0, 0
        while isinstance(answer := way.next(now), Wait):
            now, seen = answer.until_us, seen + 1
        assert (seen, answer) == (waits, Stop("exhausted", health["a"].free_us(0, 0) - now))


def test_all_open_goes_through_the_emergency_lane_at_its_rate() -> None:
    """However many callers come at once: six a minute, the others are refused."""
    health = backends()
    for one in health.values():
        cool(one)
    lane = Window(6)
    answers = [plan(health, lane=lane, seed=seed).next(1) for seed in range(50)]
    lanes = [answer.lane for answer in answers if isinstance(answer, Try)]
    assert lanes == ["emergency"] * 6
    assert all(isinstance(answer, Stop) and answer.why == "exhausted" for answer in answers[6:])


def test_a_half_open_backend_gets_one_call_of_many() -> None:
    """The others go to the fallback, and do not wait for the probe."""
    health = backends("a", "c", failures_max=1)
    slip = health["a"].begin(0, 0)
    assert slip is not None
    health["a"].failed(slip, 0, fault(), random.Random(1))
    now = health["a"].free_us(0, 0)
    pools = (*ONE, POOLS[1])
    names = [
        tried(plan(health, pools=pools, deadline_us=now + S, seed=n).next(now)).backend for n in range(30)
    ]
    assert names == ["a"] + ["c"] * 29


def test_the_emergency_lane_keeps_the_backends_own_rate() -> None:
    """Its calls are calls."""
    health = backends("a", calls=2)
    cool(health["a"])
    answers = [plan(health, pools=ONE).next(1) for _ in range(3)]
    assert [type(answer) for answer in answers] == [Try, Stop, Stop]


def test_the_emergency_lane_prefers_a_closed_breaker() -> None:
    """A backend that is only cooling is better than one that is not well."""
    health = backends("a", "b", failures_max=1)
    cool(health["b"])
    slip = health["a"].begin(0, 0)
    assert slip is not None
    health["a"].failed(slip, 0, fault(), random.Random(1))
    assert {tried(plan(health, pools=POOLS[:1], seed=n).next(0)).backend for n in range(10)} == {"b"}


def test_the_emergency_lane_does_not_ask_the_one_that_just_refused() -> None:
    """A moment ago it said no; its recovery is what the caller is told."""
    health, last = backends("a"), failure(LIMITED, hint_us=9 * S)
    way = plan(health, pools=ONE)
    fails(way, health, last)
    assert way.next(0, last) == Stop("exhausted", health["a"].free_us(0, 0))


def test_declared_refusal_keeps_all_calls_from_open_backends() -> None:
    """`refuse` is no lane."""
    health = backends("a")
    cool(health["a"])
    assert isinstance(plan(health, policy(all_open="refuse"), pools=ONE).next(1), Stop)


@pytest.mark.parametrize(
    "make",
    [
        lambda: policy(attempts_max=0),
        lambda: policy(primary_waits_max=1),
        lambda: Pool("empty", ()),
        lambda: Pool("weightless", (("a", 0),)),
        lambda: plan(backends(), pools=()),
        lambda: Plan(POOLS, backends(), policy(), random.Random(1), S),
    ],
)
def test_what_makes_no_sense_is_refused(make: type) -> None:
    """Bounds below one, waits of no time, nobody to call, a lane declared and not given."""
    with pytest.raises(ValueError, match=r"plan|waiting|pool|weight|lane"):
        make()
