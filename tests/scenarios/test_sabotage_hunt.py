"""What counts as caught, what the command shows of it, and the code it ends with."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from refgate.flows import submit
from refgate.flows.opening import fingerprint
from scenarios.load import Loaded
from scenarios.report.console import Printer
from scenarios.sabotage import run_sabotage
from scenarios.sabotage.hunt import hunt
from scenarios.sabotage.registry import named
from scenarios.sabotage.session import wanted
from scenarios.sabotage.swap import Sabotage, Swap, applied
from scenarios.select import chosen


def files(*names: str) -> list[Loaded]:
    return chosen(names, None)


def told() -> tuple[Printer, io.StringIO]:
    """A printer, and what it prints."""
    out = io.StringIO()
    return Printer(Console(file=out, highlight=False, soft_wrap=True)), out


def harmless(*witnesses: str) -> Sabotage:
    """The honest gateway under a false name."""
    return Sabotage(
        "A2", "harmless", "nothing", Swap(submit, fingerprint, lambda asked: fingerprint(asked)), witnesses
    )


def test_what_changes_nothing_survives() -> None:
    """Every file with every seed is played before that is said."""
    found = hunt(harmless("same-answer-per-key"), files("idempotency/other-body", "first/embedded"), seeds=2)
    assert (found.caught, found.catch, found.runs) == (False, None, 4)


def test_scenarios_that_name_the_hazard_come_first() -> None:
    """With all their seeds, whatever the order in which they are handed in."""
    found = hunt(named("A2/any-body"), files("first/embedded", "idempotency/other-body"), seeds=3)
    assert found.catch is not None
    assert (found.catch.scenario, found.runs, found.seeds) == ("idempotency/other-body", 1, 1)


def test_of_these_the_ones_that_require_the_promise_come_first() -> None:
    """What a scenario must have judged it surely provokes."""
    found = hunt(named("C4/past-the-deadline"), files("failover", "streams"), seeds=1)
    assert found.catch is not None
    assert (found.catch.scenario, found.catch.check) == (
        "failover/rests-longer-than-the-call",
        "answers-in-time",
    )
    assert found.runs <= 3


def test_another_scenario_may_catch_it_too() -> None:
    """After those that name it, the rest is played; the seeds count on."""
    others = [
        replace(one, scenario=one.scenario.model_copy(update={"hazards": ("A14",)}))
        for one in files("idempotency/other-body")
    ]
    found = hunt(named("A2/any-body"), [*files("polls/unpolled"), *others], seeds=1)
    assert found.catch is not None
    assert found.catch.scenario == "idempotency/other-body"


def test_a_complaint_of_another_check_is_no_proof() -> None:
    """It is told as having been noticed, and the hunt goes on."""
    elsewhere = replace(named("A14/objects-only"), witnesses=("money-is-conserved",))
    found = hunt(elsewhere, files("headers/non-object-answers"), seeds=1)
    assert found.catch is None
    assert "bytes-intact" in found.others


def test_a_check_that_accuses_the_honest_gateway_proves_nothing() -> None:
    """Here what is taken for the honest one hands cookies on: then the jar is not what the check saw."""
    with applied(named("A13/set-cookie")):
        found = hunt(named("A21/one-jar"), files("headers/cookies"), seeds=1)
    assert found.catch is not None
    assert "headers-clean" in found.catch.accused
    assert not found.caught


def test_the_table_says_what_caught_what() -> None:
    """Hazard, what was changed, scenario, check, seeds; 0 where all is caught."""
    printer, out = told()
    assert run_sabotage(["A14"], seeds=1, files=files("headers/non-object-answers"), printer=printer) == 0
    text = out.getvalue()
    assert "a 2xx answer that is no JSON object is replaced by {}" in text
    assert "headers/non-object-answers" in text
    assert "bytes-intact" in text
    assert "1 of 1 hazards caught · 1 of 1 sabotages · 1 sabotaged runs" in text


def test_a_survivor_ends_with_1() -> None:
    """It is named, with the checks that should have spoken."""
    printer, out = told()
    assert run_sabotage(["A2"], seeds=2, files=files("first/passthrough"), printer=printer) == 1
    assert "A2/any-body survived 2 runs: never broken: same-answer-per-key" in out.getvalue()
    assert "0 of 1 hazards caught" in out.getvalue()


def test_an_accusation_ends_with_1() -> None:
    """Whatever the sabotage did."""
    printer, out = told()
    with applied(named("A13/set-cookie")):
        assert run_sabotage(["A21"], seeds=1, files=files("headers/cookies"), printer=printer) == 1
    assert "the honest gateway is accused in the same run" in out.getvalue()


def test_a_hazard_with_one_face_that_survives_is_not_caught() -> None:
    """A8 is caught only if each of its faces is."""
    printer, out = told()
    assert run_sabotage(["A18"], seeds=1, files=files("isolation/accounts"), printer=printer) == 1
    assert "0 of 1 hazards caught · 1 of 3 sabotages" in out.getvalue()


def test_an_unknown_hazard_ends_with_2() -> None:
    """Nothing is played."""
    printer, out = told()
    assert run_sabotage(["A5", "A99"], printer=printer) == 2
    assert "no such hazard: A99" in out.getvalue()


@pytest.mark.parametrize(
    ("words", "faces"),
    [(["a20"], 2), (["A20/no-limit"], 1), (["A2", "A20/no-limit"], 2), (["A2", "a2"], 1)],
)
def test_hazards_and_faces_may_be_chosen(words: list[str], faces: int) -> None:
    """In any case of letters; a hazard means all of its faces."""
    found, unknown = wanted(words)
    assert (len(found), unknown) == (faces, [])


def test_several_processes_find_the_same_in_the_same_order(tmp_path: Path) -> None:
    """The report is the same document, save for the time it took."""
    reports: list[dict[str, Any]] = []
    for workers in (1, 2):
        printer, _ = told()
        path = tmp_path / f"{workers}.json"
        within = files("idempotency/other-body", "headers/non-object-answers", "headers/cookies")
        code = run_sabotage(
            ["A21", "A14", "A2"], seeds=2, workers=workers, json=path, files=within, printer=printer
        )
        assert code == 0
        reports.append(json.loads(path.read_text(encoding="utf-8")))
    assert reports[0].pop("wall_s") and reports[1].pop("wall_s")
    assert reports[0] == reports[1]
    assert [one["name"] for one in reports[0]["sabotages"]] == [
        "A2/any-body",
        "A14/objects-only",
        "A21/one-jar",
    ]
    assert (reports[0]["hazards"], reports[0]["caught"]) == (3, 3)
