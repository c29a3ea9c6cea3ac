"""What the README shows is what happens."""

import re
from pathlib import Path

from scenarios.load import load_text
from scenarios.reference import Reference
from scenarios.run import play

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_is_a_scenario_that_holds() -> None:
    """The file in the README loads, reaches what it is about, and every promise holds."""
    found = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert found is not None
    scenario = load_text(found[1], source="README.md")
    for seed in range(5):
        run = play(scenario, seed, gateway=Reference())
        assert run.holds, (run.broken, run.unmet)
