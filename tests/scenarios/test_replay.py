"""Replay: a seed decides everything, in this process, in a fresh one, and out of a kept file."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from scenarios.crashes import crash_jobs, places
from scenarios.fresh import elsewhere, judged_elsewhere
from scenarios.history import Crashed
from scenarios.load import Loaded, load
from scenarios.mistakes import BadScenario
from scenarios.model.scenario import Crash, Expect, Scenario
from scenarios.reference import Reference
from scenarios.report.console import Printer
from scenarios.report.crashfile import keep, take_up, versions
from scenarios.run import Numbers, play
from scenarios.select import SUITE
from scenarios.session import Wish, replay, run
from scenarios.sweep import Job, compare, play_job
from tests.scenarios.toy_gateway import CONFIG, Toy

DATA = Path(__file__).parent / "data"
CUT = SUITE / "crashes" / "at-an-await.yaml"


def job(path: Path = DATA / "holds.yaml", seed: int = 0, **parts) -> Job:
    loaded = load(path)
    return Job(loaded.name, loaded.path, loaded.scenario, seed, Reference(), **parts)


def test_a_fresh_process_plays_the_same():
    """Another interpreter with another PYTHONHASHSEED: the same facts, the same steps."""
    jobs = [job(CUT, 1), job(CUT, 2), job(DATA / "holds.yaml")]
    here = [play_job(one) for one in jobs]
    assert elsewhere(jobs) == [one.fingerprint for one in here]
    assert {one.verdict.value for one in judged_elsewhere(jobs, here)} == {"holds"}
    assert here[0].fingerprint != here[1].fingerprint


def test_the_first_seed_is_played_twice():
    """And compared, line by line."""
    (finding,) = [one for one in play_job(job(twice=True)).findings if one.check == "deterministic"]
    assert finding.verdict.value == "holds"


def scenario(**parts) -> Scenario:
    return Scenario.model_validate(
        {
            "about": "a test",
            "gateway": {"config": CONFIG},
            "providers": {"rh": {"wire": "runninghub", "plan": {"takes": "4s", "queued": "0s"}}},
            "traffic": [{"send": "task", "provider": "rh", "account": "alice"}],
            "settle": "1m",
            "expect": {"counts": {"sent": 1}},
            **parts,
        },
        by_alias=True,
    )


def test_runs_that_differ_are_told_apart():
    """With the first line that differs."""
    one, other = (play(scenario(), seed, gateway=Toy(), judged=False) for seed in (1, 2))
    finding = compare(one, other)
    assert finding.verdict.value == "broken"
    assert "line" in finding.sentence


def test_places_are_every_await_and_both_sides_of_every_commit():
    """Of every replica, in order, each with a name."""
    found = list(places(Numbers(awaits=(2, 1), commits=(1, 0))))
    assert [name for name, _ in found] == [
        "gateway-0 await 1",
        "gateway-0 await 2",
        "gateway-1 await 1",
        "gateway-0 commit 1 before",
        "gateway-0 commit 1 after",
    ]
    assert found[3][1] == Crash(crash="gateway-0", at_commit=1, side="before")


def test_every_place_of_a_run_is_reached():
    """Each run of the sweep crashes exactly where it says, on top of the scenario's own faults."""
    one = Job("x", None, scenario(faults=[{"crash": "gateway-0", "at": "30s"}]), 5, Toy())
    numbers = play(one.scenario, 5, gateway=Toy(), judged=False).numbers
    for crash_job in crash_jobs(one, numbers):
        played = play(crash_job.scenario, 5, gateway=Toy(), faults=crash_job.faults, judged=False)
        crashed = [f"gateway-0 {fact.where}" for fact in played.history.of(Crashed)]
        assert sorted(crashed) == sorted(["gateway-0 time", crash_job.label])


def test_a_kept_failure_stands_on_its_own(tmp_path: Path):
    """Scenario, crash, seed, what was broken and the versions: all in one file that reads back."""
    crash = Crash(crash="gateway-0", at_await=9)
    one = job(DATA / "fails.yaml", 7, faults=(crash,), label="gateway-0 await 9")
    played = play_job(one)
    kept = take_up(keep(one.as_played, played, folder=tmp_path))
    assert kept.scenario.faults == (crash,)
    assert kept.scenario.gateway.config == one.scenario.gateway.config
    assert (kept.name, kept.seed, kept.differs) == ("fails", 7, ())
    assert kept.broken == tuple(
        [finding.check for finding in played.broken] + [item.what for item in played.unmet]
    )
    again = play_job(Job(kept.name, None, kept.scenario, 7, Reference()))
    assert again.fingerprint == played.fingerprint


def test_a_kept_failure_that_was_spoilt(tmp_path: Path):
    """What is no seed is told as such."""
    path = tmp_path / "x.yaml"
    for said in ("{seed: many}", "3", "{broken: x}", "{seed: 1, versions: [a]}"):
        path.write_text((DATA / "holds.yaml").read_text() + f"failed: {said}\n")
        with pytest.raises(BadScenario, match="names a seed"):
            take_up(path)


def test_versions_name_what_a_replay_hangs_on():
    """Python, refgate, and the libraries under it."""
    assert {"python", "refgate", "anyio", "httpx", "starlette", "pydantic"} <= set(versions())


def test_failing_places_are_kept_and_told(tmp_path: Path):
    """Each with its own file and command, the first at length; the files hold the crash that failed."""
    out = io.StringIO()
    file = Loaded("toys/one", "toys/one.yaml", scenario())
    wish = Wish(crash_everywhere=True, failures=tmp_path)
    code = run([file], wish, Toy(), Printer(Console(file=out, width=200, highlight=False)))
    kept = sorted(tmp_path.glob("toys-one-gateway-0-await-*-0.yaml"))
    assert code == 1 and 10 < len(kept) <= 20
    assert take_up(tmp_path / "toys-one-0.yaml").scenario == file.scenario
    assert f"again: refgate replay {tmp_path / 'toys-one-0.yaml'}" in out.getvalue()
    assert str(kept[0]) in out.getvalue() and "more failed" in out.getvalue()
    again = take_up(kept[0]).scenario
    assert again.faults[0].at_await is not None
    assert again.expect == Expect()  # a crash may change what the file expects: the sweep did not judge it


def test_what_differs_elsewhere_is_told(tmp_path: Path, monkeypatch):
    """A run that another process plays differently is a failure of its file, with a command of its own."""
    monkeypatch.setattr("scenarios.fresh.elsewhere", lambda jobs: ["other/steps" for _ in jobs])
    out = io.StringIO()
    file = Loaded("one", "one.yaml", load(DATA / "holds.yaml").scenario)
    wish = Wish(seeds=2, fresh=True, failures=tmp_path)
    code = run([file], wish, Reference(), Printer(Console(file=out, width=200, highlight=False)))
    assert code == 1
    assert "a fresh process with another hash seed has another history" in out.getvalue()
    kept = take_up(tmp_path / "one-0.yaml")
    assert kept.broken == ("deterministic",)
    printer = Printer(Console(file=out, width=200, highlight=False))
    assert replay(kept, Reference(), printer, seed=None, timeline=False) == 1
    assert "FAILED one" in out.getvalue()
    monkeypatch.undo()
    assert replay(kept, Reference(), printer, seed=None, timeline=False) == 0
    assert "FIXED one" in out.getvalue()


def test_what_is_skipped_is_not_compared_either():
    """`deterministic` is a check like any other."""
    skipping = scenario(judge={"skip": ["deterministic"]})
    played = play_job(Job("one", None, skipping, 0, Toy(), twice=True))
    assert "deterministic" not in {one.check for one in played.findings}


def test_a_report_that_cannot_be_written_is_told_before_anything_is_played(tmp_path: Path):
    """With the path and why; a folder that is missing is made."""
    (tmp_path / "here").write_text("")
    out = io.StringIO()
    printer = Printer(Console(file=out, width=200, highlight=False))
    file = load(DATA / "holds.yaml")
    assert run([file], Wish(json=tmp_path / "here" / "o.json"), Reference(), printer) == 2
    assert (
        "nothing was played: a report cannot be written" in out.getvalue() and "holds" not in out.getvalue()
    )
    assert run([file], Wish(json=tmp_path / "new" / "o.json"), Reference(), printer) == 0
    assert (tmp_path / "new" / "o.json").read_text().startswith("{")


def test_a_shortened_failure_tells_its_own_lines(tmp_path: Path):
    """A person edits it: a mistake is told where the person made it."""
    path = tmp_path / "x.yaml"
    path.write_text("failed: {seed: 1}\n\n\n" + (DATA / "holds.yaml").read_text() + "settel: 5m\n")
    last = len(path.read_text().splitlines())
    with pytest.raises(BadScenario, match=rf"x\.yaml:{last}: settel: no such field"):
        take_up(path)
