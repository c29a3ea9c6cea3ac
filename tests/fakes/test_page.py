"""What the page on fakes shows is what happens."""

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "fakes.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    """The SDK waits out both 429s, in virtual time, and gets its answer."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "docs/fakes.md", "exec"), names)
    assert names["text"]
    assert 40_000_000 <= names["now_us"] < 45_000_000
