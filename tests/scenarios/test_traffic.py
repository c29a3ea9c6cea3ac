"""Clients arrive, submit, poll, retry, repeat and leave as the file says, and each request is recorded."""

from collections import Counter
from itertools import pairwise

import pytest

from fakes.journal import Received
from scenarios.history import Got, Left, Sent
from scenarios.model.scenario import Scenario
from scenarios.outcomes import outcome_of
from scenarios.run import Run, play
from tests.scenarios.toy_gateway import CONFIG, Toy

SECOND = 1_000_000


def run(*traffic, seed: int = 0, gateway=None, **parts) -> Run:
    scenario = Scenario.model_validate(
        {
            "about": "a test",
            "gateway": {"config": CONFIG, **(gateway or {})},
            "providers": {"rh": {"wire": "runninghub", "plan": {"takes": "4s", "queued": "0s"}}},
            "traffic": list(traffic),
            "settle": "1m",
            **parts,
        },
        by_alias=True,
    )
    return play(scenario, seed, gateway=Toy(), judged=False)


def task(**parts):
    return {"send": "task", "provider": "rh", "account": "alice", **parts}


def sent(run: Run, op: str = "submit") -> list[Sent]:
    return [fact for fact in run.history.of(Sent) if fact.op == op and fact.account != "probe"]


def got(run: Run, op: str = "submit") -> list[Got]:
    probes = {fact.call for fact in run.history.of(Sent) if fact.account == "probe"}
    return [fact for fact in run.history.of(Got) if fact.op == op and fact.call not in probes]


def test_a_burst():
    """So many clients at one instant."""
    played = run(task(clients=7, at="3s", poll=None))
    assert [fact.t_us for fact in sent(played)] == [3 * SECOND] * 7
    assert len({fact.nonce for fact in sent(played)}) == 7


def test_a_spread_burst():
    """`spread` draws each client's start from the seed."""
    times = [fact.t_us for fact in sent(run(task(clients=20, at="1s", spread="1s", poll=None)))]
    assert times == sorted(times) and SECOND <= times[0] < times[-1] <= 2 * SECOND
    assert len(set(times)) > 10
    others = sent(run(task(clients=20, at="1s", spread="1s", poll=None), seed=1))
    assert times != [fact.t_us for fact in others]


def test_a_sequence():
    """`times` calls one after another, each after the one before has ended, and a pause."""
    played = run(task(times=3, pause="10s"))
    ends = {fact.call: fact.t_us for fact in got(played, "poll")}
    begins = {fact.call: fact.t_us for fact in sent(played)}
    calls = sorted(begins)
    assert len(calls) == 3
    assert all(begins[b] == ends[a] + 10 * SECOND for a, b in pairwise(calls))


def test_an_even_open_loop():
    """So many a second, whatever becomes of earlier ones."""
    played = run(task(rate="4/s", arrivals="even", poll=None, at="1s", **{"for": "2s"}))
    assert [fact.t_us for fact in sent(played)] == [SECOND + n * 250_000 for n in range(8)]


def test_a_random_open_loop():
    """Arrivals are drawn from the seed; the rate holds on average."""
    played = run(task(rate="20/s", poll=None, **{"for": "30s"}))
    times = [fact.t_us for fact in sent(played)]
    assert 500 < len(times) < 700 and times[-1] < 31 * SECOND
    assert len({b - a for a, b in pairwise(times)}) > 20


def test_polling_to_the_end():
    """Every so often until the answer is terminal; then as often again as the file says."""
    played = run(task(poll={"every": "1s", "keep_polling": 2}))
    polls = sent(played, "poll")
    ends = got(played, "poll")
    terminal = [b"SUCCESS" in fact.body for fact in ends]
    assert terminal == [False] * (len(ends) - 3) + [True] * 3
    assert all(poll.task_id for poll in polls)
    assert all(b.t_us == a.t_us + SECOND for a, b in zip(ends, polls[1:], strict=False))


def test_giving_up():
    """A poller has an end of its own."""
    played = run(
        task(poll={"every": "1s", "give_up": "5s"}),
        providers={"rh": {"wire": "runninghub", "acts": [{"do": {"task_never_ends": {}}}]}},
    )
    assert 4 <= len(sent(played, "poll")) <= 6


def test_pollers_side_by_side():
    """Each of them polls, at the same instants."""
    played = run(task(poll={"pollers": 3, "every": "2s"}))
    per_instant = Counter(fact.t_us for fact in sent(played, "poll"))
    assert per_instant.most_common(1)[0][1] == 3


def test_somebody_else_asks_too():
    """With that account's own key, about the same task, until the owner has done and once more."""
    played = run(task(poll={"every": "2s", "also_by": ["bob"]}))
    foreign = [fact for fact in sent(played, "poll") if fact.account == "bob"]
    own = [fact for fact in sent(played, "poll") if fact.account == "alice"]
    assert len(foreign) >= len(own)
    assert {fact.task_id for fact in foreign} == {fact.task_id for fact in own}
    assert all(("authorization", "Bearer canary-caller-bob") in fact.headers for fact in foreign)


def test_nobody_polls():
    """`poll: null`: submitted and forgotten."""
    assert sent(run(task(poll=None)), "poll") == []


def test_keys():
    """None, one for each call, or one and the same call for all clients of the block."""
    none = sent(run(task(key="none", clients=2, poll=None)))
    own = sent(run(task(key="own", clients=2, poll=None)))
    shared = sent(run(task(key="shared", clients=3, name="same", poll=None)))
    assert [fact.key for fact in none] == [None, None]
    assert len({fact.key for fact in own}) == 2 == len({fact.call for fact in own})
    assert {fact.key for fact in shared} == {"key-same"}
    assert len({(fact.call, fact.body, fact.nonce) for fact in shared}) == 1
    assert [fact.attempt for fact in shared] == [1, 2, 3]
    assert ("x-idempotency-key", "key-same") in shared[0].headers


def test_copies_at_once():
    """The same request so many times at one instant, under one key."""
    copies = sent(run(task(copies=4, poll=None)))
    assert len(copies) == 4
    assert len({(fact.t_us, fact.call, fact.key, fact.body) for fact in copies}) == 1


def test_the_same_again_later():
    """After its answer the client sends the very same request again."""
    played = run(task(again={"times": 2, "after": "30s"}, poll=None))
    first, second, third = sent(played)
    assert first.body == second.body == third.body and first.call == third.call
    assert second.t_us == got(played)[0].t_us + 30 * SECOND


def test_another_body_under_the_key():
    """Another call with another nonce, and the first one's key."""
    first, other = sent(run(task(repeat_with_other_body=True, poll=None)))
    assert first.key == other.key
    assert first.call != other.call and first.nonce != other.nonce and first.body != other.body


REFUSE_TWICE = [{"from": "client", "to": "gateway", "do": {"refuse": {}}, "count": 2}]


def test_retries_under_a_key_are_one_call():
    """The wait doubles; the call, its key and its body stay."""
    played = run(task(retry={"attempts": 5, "on": ["lost"]}, poll=None), links=REFUSE_TWICE)
    attempts = sent(played)
    assert len(attempts) == 3 and len({(fact.call, fact.body) for fact in attempts}) == 1
    ends = got(played)
    assert [b.t_us - a.t_us for a, b in zip(ends, attempts[1:], strict=False)] == [SECOND, 2 * SECOND]


def test_retries_without_a_key_are_new_calls():
    """Nothing ties them together, so nothing may be expected of them together."""
    played = run(task(retry={"attempts": 5, "on": ["lost"]}, key="none"), links=REFUSE_TWICE)
    assert len({fact.call for fact in sent(played)}) == len({fact.nonce for fact in sent(played)}) == 3
    assert {fact.call for fact in sent(played, "poll")} == {3}


def test_retries_end():
    """`attempts` counts the first one too."""
    links = [{"from": "client", "to": "gateway", "do": {"refuse": {}}}]
    assert len(sent(run(task(retry={"attempts": 3}, poll=None), links=links))) == 3


def test_retry_waits_as_told():
    """At least as long as the answer's Retry-After says."""
    played = run(
        task(retry={"attempts": 2, "on": [429]}, poll=None),
        providers={
            "rh": {
                "wire": "runninghub",
                "acts": [{"count": 1, "do": {"rate_limited": {"retry_after": "7s"}}}],
            }
        },
    )
    first, second = sent(played)
    # The toy hands no headers on: the client falls back to its own wait.
    assert second.t_us - got(played)[0].t_us == SECOND
    assert first.call == second.call


def test_leaving():
    """A client that goes away leaves a fact and no answer; the request was sent all the same."""
    played = run(
        task(leaves_after="30ms", poll=None),
        links=[{"from": "gateway-0", "to": "rh", "latency": {"fixed": "200ms"}}],
    )
    assert [fact.call for fact in played.history.of(Left)] == [1]
    assert got(played) == []
    assert len(played.history.where(Received, lambda fact: fact.nonce == "n00001")) == 1


def test_leaving_too_late():
    """An answer that came before is an answer."""
    played = run(task(leaves_after="50s", poll=None))
    assert not played.history.of(Left) and got(played)[0].outcome == "ok"


def test_patience_ends():
    """No answer within the client's own time is lost to it."""
    played = run(
        task(timeout="3s", poll=None),
        links=[{"from": "gateway-0", "to": "rh", "latency": {"fixed": "9s"}}],
    )
    (end,) = got(played)
    assert (end.error, end.outcome, end.t_us - sent(played)[0].t_us) == ("ReadTimeout", "info", 3 * SECOND)


def test_raw_requests():
    """Sent in order, as they are written; the caller's key goes with an account."""
    played = run(
        {
            "send": "http",
            "account": "alice",
            "times": 2,
            "headers": {"X-Note": "1"},
            "requests": [
                {"method": "PUT", "path": "/api/proxy/rh/a?b=c", "json": {"k": 1}},
                {"method": "POST", "path": "/elsewhere", "filler": "2KiB", "wait": "1s"},
            ],
        }
    )
    first, second, third, _ = sent(played, "other")
    assert (first.method, first.path, first.body, first.provider) == (
        "PUT",
        "/api/proxy/rh/a?b=c",
        b'{"k": 1}',
        "rh",
    )
    assert dict(first.headers) == {
        "authorization": "Bearer canary-caller-alice",
        "content-type": "application/json",
        "x-note": "1",
    }
    assert (len(second.body), second.provider, second.call) == (2048, None, first.call)
    assert third.call != first.call


def test_headers_of_the_file_stand_above_the_usual():
    """So a scenario can send a wrong key, or none that is right."""
    (one,) = sent(run(task(headers={"Authorization": "Bearer wrong"}, poll=None)))
    assert dict(one.headers)["authorization"] == "Bearer wrong"


def test_threads():
    """An account that is not its caller's first goes with the caller's key and X-Thread-Id."""
    (team,) = sent(run(task(account="team", poll=None)))
    assert team.account == "team"
    assert dict(team.headers)["x-thread-id"] == "team"
    assert dict(team.headers)["authorization"] == "Bearer canary-caller-alice"
    (foreign,) = sent(run(task(thread="bob", poll=None)))
    assert (foreign.account, dict(foreign.headers)["x-thread-id"]) == ("bob", "bob")


@pytest.mark.parametrize(
    ("balance", "per_replica"), [("round_robin", {2}), ("sticky", {2}), ("random", None)]
)
def test_balance(balance: str, per_replica):
    """Which replica a request goes to is declared, and drawn from the seed where it is drawn."""
    played = run(task(clients=6, poll=None), gateway={"replicas": 3, "balance": balance})
    counted = Counter(fact.to for fact in sent(played))
    assert set(counted) <= {"gateway-0", "gateway-1", "gateway-2"}
    assert per_replica is None or set(counted.values()) == per_replica


@pytest.mark.parametrize(
    ("status", "options", "outcome"),
    [
        (200, {}, "ok"),
        (201, {}, "ok"),
        (200, {"complete": False}, "info"),
        (400, {}, "fail"),
        (402, {"headers": (("x-refgate-error", "insufficient_funds"),)}, "fail"),
        (404, {}, "fail"),
        (409, {"headers": (("x-refgate-error", "in_flight"),)}, "info"),
        (409, {}, "info"),
        (422, {"headers": (("x-refgate-error", "key_reused"),)}, "fail"),
        (429, {}, "fail"),
        (500, {}, "info"),
        (502, {}, "info"),
        (502, {"headers": (("x-refgate-error", "upstream_unreachable"),)}, "fail"),
        (503, {"headers": (("x-refgate-error", "billing_unavailable"),)}, "fail"),
        (503, {"headers": (("x-refgate-error", "draining"),)}, "fail"),
        (503, {"headers": (("x-refgate-error", "store_unavailable"),)}, "info"),
        (504, {"headers": (("x-refgate-error", "outcome_unknown"),)}, "info"),
        (None, {"error": "ConnectFailed"}, "fail"),
        (None, {"error": "ConnectTimeout"}, "fail"),
        (None, {"error": "PoolTimeout"}, "fail"),
        (None, {"error": "ReadFailed"}, "info"),
        (None, {"error": "ReadTimeout"}, "info"),
        (None, {"error": "ProtocolBroken"}, "info"),
        (None, {}, "info"),
    ],
)
def test_outcomes(status, options, outcome):
    """Only what is known to have had no effect is a fail; what is not known is info."""
    assert outcome_of(status, **options) == outcome
