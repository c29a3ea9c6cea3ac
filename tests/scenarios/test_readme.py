"""What the README shows is what happens."""

import re
from pathlib import Path

import pytest

from scenarios.load import load_text
from scenarios.reference import Reference
from scenarios.run import play

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def test_there_is_an_example_of_each_kind() -> None:
    """One of a task, one of a model."""
    assert [set(re.findall(r"send: (\w+)", text)) for text in EXAMPLES] == [{"task"}, {"chat"}]


@pytest.mark.parametrize("text", EXAMPLES, ids=["tasks", "chats"])
def test_an_example_is_a_scenario_that_holds(text: str) -> None:
    """The file in the README loads, reaches what it is about, and every promise holds."""
    scenario = load_text(text, source="README.md")
    for seed in range(3):
        run = play(scenario, seed, gateway=Reference())
        assert run.holds, (run.broken, run.unmet)
