"""The scenarios that are too long for a test: their beginnings hold."""

from pathlib import Path

import pytest

from scenarios.checks import Verdict
from scenarios.load import find, load
from scenarios.model.scenario import Expect, Scenario
from scenarios.reference import Reference
from scenarios.run import play

LONG = Path(__file__).parents[2] / "scenarios" / "soak"
SECONDS = 20


def beginning(scenario: Scenario) -> Scenario:
    blocks = [block.model_copy(update={"lasting": SECONDS * 1_000_000}) for block in scenario.traffic]
    return scenario.model_copy(update={"traffic": tuple(blocks), "expect": Expect()})


@pytest.mark.parametrize("path", find([LONG]), ids=lambda path: path.stem)
def test_a_long_scenario_begins_well(path: Path) -> None:
    """Some seconds of its traffic, under its own faults: every promise is kept."""
    run = play(beginning(load(path).scenario), 0, gateway=Reference())
    assert [one for one in run.findings if one.verdict in (Verdict.BROKEN, Verdict.ERROR)] == []
    assert run.calls > 100
