"""What the page on fakes shows is what happens."""

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "fakes.md").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def played(number: int) -> dict[str, Any]:
    """The names an example leaves behind."""
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[number], "docs/fakes.md", "exec"), names)
    return names


def test_the_example_runs() -> None:
    """The SDK waits out both 429s, in virtual time, and gets its answer."""
    names = played(0)
    assert names["text"]
    assert 40_000_000 <= names["now_us"] < 45_000_000


def test_the_example_on_a_real_port_runs() -> None:
    """The same SDK over a socket, in real time."""
    assert "by openai/1" in played(1)["said"]
