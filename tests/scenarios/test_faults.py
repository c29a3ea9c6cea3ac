"""The timeline: what it breaks is broken where it says, comes back when it says, and leaves a fact."""

import pytest

from fakes.journal import TaskAccepted
from scenarios.counts import count
from scenarios.history import (
    Calm,
    Crashed,
    Got,
    LinkChanged,
    Observed,
    Restarted,
    Sent,
    StartFailed,
    Stopped,
    StoreFaulted,
    Unapplied,
)
from scenarios.model.scenario import Scenario
from scenarios.run import Run, play
from scenarios.world.faults import DoesNotStart
from tests.scenarios.toy_gateway import CONFIG, Toy

SECOND = 1_000_000


def run(seed: int = 0, *, toy: Toy | None = None, **parts) -> Run:
    usual = {
        "about": "a test",
        "gateway": {"config": CONFIG},
        "providers": {"rh": {"wire": "runninghub", "plan": {"takes": "4s", "queued": "0s"}}},
        "traffic": [{"send": "task", "provider": "rh", "account": "alice", "at": "1s"}],
        "settle": "1m",
    }
    scenario = Scenario.model_validate({**usual, **parts}, by_alias=True)
    return play(scenario, seed, gateway=toy or Toy(), judged=False)


def kept(run: Run) -> int:
    """Rows of calls that the store kept, probes left out."""
    last = next(fact for fact in run.history.of(Observed) if fact.what == "calls" and fact.final)
    return len(last.rows) - 1


def test_a_crash_at_a_time():
    """The power goes at that instant, and the replica is back after that long."""
    history = run(faults=[{"crash": "gateway-0", "at": "2s", "back_after": "3s"}]).history
    (crashed,), (restarted,) = history.of(Crashed), history.of(Restarted)
    assert (crashed.t_us, crashed.at, crashed.where) == (2 * SECOND, "gateway-0", "time")
    assert (restarted.t_us, restarted.incarnation) == (5 * SECOND, 2)


def test_nobody_is_served_while_the_power_is_gone():
    """Connections are refused, and calls in hand are lost with a reset."""
    history = run(
        traffic=[
            {"send": "task", "provider": "rh", "account": "alice", "at": "1990ms", "poll": None},
            {"send": "task", "provider": "rh", "account": "alice", "at": "3s", "poll": None},
        ],
        faults=[{"crash": "gateway-0", "at": "2s"}],
    ).history
    lost, refused, *_ = history.of(Got)
    assert (lost.error, lost.outcome) == ("ReadFailed", "info")
    assert (refused.error, refused.outcome) == ("ConnectFailed", "fail")


@pytest.mark.parametrize(("side", "rows"), [("before", 0), ("after", 1)])
def test_a_crash_at_a_commit(side: str, rows: int):
    """Before it nothing of the transaction stays; after it all of it does, and nobody hears of it."""
    # The first commit makes the toy's table, the second is the call's row.
    faults = [{"crash": "gateway-0", "at_commit": 2, "side": side}]
    played = run(
        traffic=[{"send": "task", "provider": "rh", "account": "alice", "poll": None}], faults=faults
    )
    assert [fact.where for fact in played.history.of(Crashed)] == [f"commit 2 {side}"]
    assert kept(played) == rows
    assert len(played.history.where(TaskAccepted, lambda fact: fact.nonce == "n00001")) == 0


def test_a_crash_at_an_await():
    """The n-th step of the replica is the first that does not run."""
    whole = run()
    for number in (1, 2, 5, whole.numbers.awaits[0]):
        history = run(faults=[{"crash": "gateway-0", "at_await": number}]).history
        assert [fact.where for fact in history.of(Crashed)] == [f"await {number}"]
        assert len(history.of(Restarted)) == 1


def test_awaits_count_on_over_incarnations():
    """Two cuts in one file come in the order of their places, whichever incarnation they meet."""
    history = run(
        faults=[{"crash": "gateway-0", "at_await": 12}, {"crash": "gateway-0", "at_await": 7}]
    ).history
    assert [fact.where for fact in history.of(Crashed)] == ["await 7", "await 12"]
    assert [fact.incarnation for fact in history.of(Restarted)] == [2, 3]


def test_a_place_counted_from_a_time():
    """`at` says from when awaits or commits are counted."""
    history = run(faults=[{"crash": "gateway-0", "at_commit": 1, "at": "500ms"}]).history
    assert [fact.where for fact in history.of(Crashed)] == ["commit 2 after"]


def test_a_place_that_never_comes():
    """It is told as a fact, and what the file expects of it is not met."""
    played = run(faults=[{"crash": "gateway-0", "at_commit": 99}])
    (unapplied,) = played.history.of(Unapplied)
    assert unapplied.at == "gateway-0" and "commit 99 after" in unapplied.fault
    assert count(played.history)["crash"] == 0
    assert count(played.history)["unapplied"] == 1


def test_a_crash_that_meets_a_dead_replica():
    """A second power cut of the same replica has nothing to cut."""
    history = run(
        faults=[
            {"crash": "gateway-0", "at": "2s", "back_after": "5s"},
            {"crash": "gateway-0", "at": "3s"},
        ]
    ).history
    assert len(history.of(Crashed)) == 1
    assert len(history.of(Unapplied)) == 1


def test_a_replica_that_is_not_brought_back_returns_with_the_calm():
    """`back_after: null` lasts until the faults are over."""
    history = run(faults=[{"crash": "gateway-0", "at": "2s", "back_after": None}]).history
    (restarted,), (calm,) = history.of(Restarted), history.of(Calm)
    assert restarted.t_us <= calm.t_us
    assert restarted.t_us > 300 * SECOND  # the poller kept at it until it gave up


def test_a_graceful_stop():
    """What is in hand is finished, then the replica is gone, then it is back."""
    history = run(
        gateway={"config": CONFIG, "drain": "10s"},
        links=[{"from": "gateway-0", "to": "rh", "latency": {"fixed": "300ms"}}],
        faults=[{"stop": "gateway-0", "at": "1100ms", "back_after": "2s"}],
    ).history
    (stopped,) = history.of(Stopped)
    first = history.of(Got)[0]
    assert stopped.clean and first.outcome == "ok"
    assert first.t_us - 20_000 <= stopped.t_us <= first.t_us + 20_000
    assert history.of(Restarted)[0].t_us == stopped.t_us + 2 * SECOND
    assert not history.of(Crashed)


def test_a_stop_that_has_to_hurry():
    """A request that does not end in time is cut, and the stop is not called clean."""
    history = run(
        gateway={"config": CONFIG, "drain": "1s"},
        links=[{"from": "gateway-0", "to": "rh", "latency": {"fixed": "5s"}}],
        faults=[{"stop": "gateway-0", "at": "1500ms"}],
    ).history
    (stopped,) = history.of(Stopped)
    assert not stopped.clean
    assert history.of(Got)[0].error == "ReadFailed"


@pytest.mark.parametrize("error", ["locked", "full", "io"])
@pytest.mark.parametrize("on", ["begin", "commit"])
def test_store_errors_in_their_window(error: str, on: str):
    """Statements fail while the window is open, and nothing of their transaction stays."""
    played = run(
        traffic=[
            {"send": "task", "provider": "rh", "account": "alice", "at": "1s", "poll": None},
            {"send": "task", "provider": "rh", "account": "alice", "at": "3s", "poll": None},
        ],
        faults=[{"at": "900ms", "until": "2s", "store": {"error": error, "on": on}}],
    )
    assert {fact.error for fact in played.history.of(StoreFaulted)} == {error}
    assert [got.status for got in played.history.of(Got)[:2]] == [503, 200]
    assert kept(played) == 1


def test_a_store_error_spares_and_counts():
    """`skip` lets the first ones pass, `count` ends it."""
    played = run(
        traffic=[{"send": "task", "provider": "rh", "account": "alice", "times": 4, "poll": None}],
        faults=[{"until": "9s", "store": {"error": "io", "on": "begin"}, "skip": 2, "count": 1}],
    )
    # The toy begins one transaction at start and one for each call.
    assert [got.status for got in played.history.of(Got)[:4]] == [200, 503, 200, 200]


def test_a_start_into_a_broken_store_is_tried_again():
    """A supervisor starts the replica until the window is over."""
    history = run(faults=[{"until": "2500ms", "store": {"error": "io", "on": "commit"}}]).history
    assert len(history.of(StartFailed)) == 3
    assert history.of(Restarted)[-1].t_us == 3 * SECOND


@pytest.mark.parametrize("fail", ["build", "startup"])
def test_a_gateway_that_does_not_start_at_all(fail: str):
    """With nothing to blame, the run is refused at once: the input is wrong."""
    with pytest.raises(DoesNotStart, match=r"no such setting|no store"):
        run(toy=Toy(fail=fail))


@pytest.mark.parametrize(
    "do",
    [
        {"refuse": {}},
        {"reset_before": {}},
        {"reset_during": {"after_bytes": 5}},
        {"reset_after": {}},
        {"blackhole": {"phase": "answer"}},
        {"trickle": {"bytes_per_s": 1000}},
        {"half_close": {}},
    ],
    ids=lambda do: next(iter(do)),
)
def test_every_link_fault_leaves_a_fact(do):
    """The fact names the link and what met the exchange; with the calm it is over."""
    history = run(
        traffic=[{"send": "task", "provider": "rh", "account": "alice", "poll": None, "timeout": "5s"}],
        links=[{"from": "client", "to": "gateway", "do": do, "count": 1}],
    ).history
    (met,) = history.of(LinkChanged)
    assert (met.src, met.dst, met.what) == ("client", "gateway-0", next(iter(do)))


def test_latency_is_the_law_of_a_link():
    """A message takes as long as the file says, each way."""
    history = run(
        links=[
            {"from": "client", "to": "gateway", "latency": {"fixed": "100ms"}},
            {"from": "gateway", "to": "rh", "latency": {"jitter": {"low": "10ms", "high": "10ms"}}},
        ]
    ).history
    assert history.of(Got)[0].t_us - history.of(Sent)[0].t_us == 220_000


def test_crash_and_restart_play_the_same_twice():
    """Cuts are part of what a seed decides."""
    faults = [{"crash": "gateway-0", "at_await": 9}, {"crash": "gateway-0", "at": "3s"}]
    one, other = run(7, faults=faults), run(7, faults=faults)
    assert list(one.history.lines()) == list(other.history.lines())
    assert one.trace == other.trace
