"""One run: its order, its end, what it counts and expects, and what makes it unsound."""

import json

import pytest

from scenarios.checks import Verdict
from scenarios.counts import count
from scenarios.expect import expectations
from scenarios.gateways import NoSuchGateway
from scenarios.history import AppFailed, Calm, Ended, Escaped, Observed, Resources, Sent
from scenarios.load import load
from scenarios.model.scenario import Expect, Scenario
from scenarios.reference import Reference
from scenarios.run import Run, play
from scenarios.select import SUITE
from tests.scenarios.toy_gateway import CONFIG, Toy

SECOND = 1_000_000


def scenario(**parts) -> Scenario:
    usual = {
        "about": "a test",
        "gateway": {"config": CONFIG},
        "providers": {"rh": {"wire": "runninghub", "plan": {"takes": "4s", "queued": "0s"}}},
        "traffic": [{"send": "task", "provider": "rh", "account": "alice"}],
        "settle": "1m",
    }
    return Scenario.model_validate({**usual, **parts}, by_alias=True)


def run(seed: int = 0, *, toy: Toy | None = None, **parts) -> Run:
    return play(scenario(**parts), seed, gateway=toy or Toy())


def verdicts(played: Run) -> dict[str, Verdict]:
    return {one.check: one.verdict for one in played.findings}


def test_the_order_of_a_run():
    """Replicas start, clients play, faults end, a plain call per provider, the last reading, the end."""
    facts = list(run().history)
    calm = next(index for index, fact in enumerate(facts) if isinstance(fact, Calm))
    probes = [index for index, fact in enumerate(facts) if isinstance(fact, Sent) and fact.op == "probe"]
    baseline, final = (index for index, fact in enumerate(facts) if isinstance(fact, Resources))
    last = [index for index, fact in enumerate(facts) if isinstance(fact, Observed) and fact.final]
    assert baseline < calm < probes[0] < final < last[0] < last[-1] < len(facts) - 1
    assert isinstance(facts[-1], Ended) and facts[-1].trouble is None
    assert [facts[index].what for index in last] == [
        "accounts",
        "calls",
        "attempts",
        "holds",
        "entries",
        "intents",
    ]


def test_calm_waits_for_the_last_window():
    """Acts and links with an end are faults that are not over before it."""
    (calm,) = run(
        traffic=[],
        links=[{"from": "client", "to": "gateway", "do": {"refuse": {}}, "at": "5s", "until": "40s"}],
    ).history.of(Calm)
    assert calm.t_us == 40 * SECOND


def test_with_the_calm_scripts_and_links_behave():
    """Acts without an end would keep the plain calls from succeeding."""
    played = run(
        providers={"rh": {"wire": "runninghub", "acts": [{"match": {"op": "submit"}, "do": {"error": {}}}]}},
        links=[{"from": "client", "to": "gateway", "do": {"reset_after": {}}}],
    )
    assert count(played.history)["ok"] == 0
    assert count(played.history)["probe_ok"] > 0


def test_readings_on_the_way_are_few():
    """Accounts are read ever more rarely, and at most so often."""
    played = run(
        traffic=[
            {"send": "task", "provider": "rh", "account": "alice", "times": 2, "pause": "20h", "poll": None}
        ]
    )
    readings = [fact for fact in played.history.of(Observed) if not fact.final]
    assert 10 < len(readings) <= 64


def test_equal_seeds_play_equal_histories():
    """The same scenario, seed and gateway: the same lines and the same steps. Another seed: others."""
    one, other, third = run(3), run(3), run(4)
    assert list(one.history.lines()) == list(other.history.lines())
    assert (one.digest, one.trace, one.steps) == (other.digest, other.trace, other.steps)
    assert one.digest != third.digest


def test_a_pick_schedule_is_another_order_of_the_same_world():
    """It is seeded like everything else."""
    parts = {"schedule": {"order": "pick", "step_cost": "20us"}}
    one, other = run(3, **parts), run(3, **parts)
    assert one.trace == other.trace != run(3).trace


def test_an_exception_out_of_an_app_is_unsound():
    """As a server would log it, and answer 500."""
    played = run(toy=Toy(fail="request"))
    assert played.history.of(AppFailed)
    assert verdicts(played)["run-sound"] is Verdict.BROKEN
    assert not played.holds


def test_a_stray_request_is_unsound():
    """Nobody may reach for a host outside the world, and nobody does."""
    played = run(toy=Toy(strays=True))
    assert {fact.host for fact in played.history.of(Escaped)} == {"elsewhere.example"}
    assert verdicts(played)["run-sound"] is Verdict.BROKEN


def test_a_gateway_that_hangs_is_told_as_such():
    """A request that nobody answers is lost to the client; the run still ends."""
    played = run(toy=Toy(fail="hang"), traffic=[])
    assert verdicts(played)["run-sound"] is Verdict.BROKEN
    assert "Unreadable" in str(played.history.of(Ended)[0].trouble)


def test_a_livelock_is_told_as_such():
    """Code that never waits ends the run with its name, not the patience of whoever runs it."""
    played = run(toy=Toy(fail="spin"), traffic=[])
    assert verdicts(played)["run-sound"] is Verdict.BROKEN
    assert "Livelock" in str(played.history.of(Ended)[0].trouble)


def test_a_configuration_by_an_unknown_name():
    """Names are those of the suite."""
    with pytest.raises(NoSuchGateway, match=r"there are: .*runninghub\.yaml"):
        run(gateway={"config": "nowhere.yaml"})


def test_overrides_are_merged():
    """A scenario changes one setting and keeps the rest; the configuration itself stays as it is."""
    from scenarios.gateways import gateway_config

    one = gateway_config(
        scenario(gateway={"config": "runninghub.yaml", "override": {"reconcile": {"every": "1s"}}})
    )
    plain = gateway_config(scenario(gateway={"config": "runninghub.yaml"}))
    assert one["reconcile"]["every"] == "1s"
    assert plain.get("reconcile", {}).get("every") != "1s"
    assert {**one, "reconcile": None} == {**plain, "reconcile": None}


def test_secrets_are_canaries():
    """Each is told apart by what it is for."""
    from scenarios.gateways import environ, with_probe

    found = environ(with_probe(json.loads(json.dumps(CONFIG))))
    assert found == {
        "ADMIN_KEY": "canary-admin",
        "ALICE_KEY": "canary-caller-alice",
        "BOB_KEY": "canary-caller-bob",
        "PROBE_KEY": "canary-caller-probe",
        "RH_KEY": "canary-provider-rh",
    }


def test_judging_is_left_to_the_file():
    """`skip` leaves a check out; `require` makes an untested one an error of the scenario."""
    skipped = run(judge={"skip": ["success-is-charged"]})
    assert "success-is-charged" not in verdicts(skipped)
    required = run(judge={"require": ["one-effect-per-key"]})
    assert "one-effect-per-key" in [one.check for one in required.faulty_checks]
    assert not required.holds


@pytest.mark.parametrize(
    ("expect", "holds"),
    [
        ({"charged": "0.00"}, True),
        ({"charged": "0.25"}, False),
        ({"charged": {"alice": "0.00"}}, True),
        ({"served": "100%"}, True),
        ({"served": ">= 1"}, True),
        ({"served": "< 50%"}, False),
        ({"counts": {"task_accepted": 1, "submitted": "== 1", "polled": ">= 2"}}, True),
        ({"counts": {"task_accepted": 2}}, False),
        ({"reached": ["task_succeeded", "ok", "state_finalized"]}, True),
        ({"reached": ["crash"]}, False),
    ],
)
def test_expectations(expect, holds):
    """What a file expects is held against the history; probes count in none of it."""
    found = expectations(Expect.model_validate(expect), _played().history)
    assert all(one.holds for one in found) is holds and found
    assert all(one.what and one.seen for one in found)


def _played(kept: list[Run] = []) -> Run:  # noqa: B006  # one run serves every expectation
    if not kept:
        kept.append(run())
    return kept[0]


@pytest.mark.parametrize("name", ["first/embedded", "first/remote"])
def test_the_reference_keeps_its_promises(name: str):
    """The smallest whole life of a call, out of either billing, holds everywhere."""
    played = play(load(SUITE / f"{name}.yaml").scenario, 1, gateway=Reference())
    assert played.holds, [one.sentence for one in played.broken] + [one.what for one in played.unmet]
    assert played.numbers.awaits[0] > 10 and played.numbers.commits[0] > 5
