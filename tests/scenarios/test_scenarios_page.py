"""The page on scenarios names everything that a file can say, and its example loads."""

import re
from pathlib import Path
from typing import get_args

import pytest

from fakes.acts.vocabulary import BillingDo, ChatDo, ProviderDo
from scenarios.load import load_text
from scenarios.model.scenario import schema

PAGE = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
NAMED = set(re.findall(r"[A-Za-z_][\w-]*", PAGE))
ACTS = {name for do in (ProviderDo, ChatDo, BillingDo) for name in do.model_fields}
KINDS_OF_ACTS = {
    get_args(field.annotation)[0].__name__
    for do in (ProviderDo, ChatDo, BillingDo)
    for field in do.model_fields.values()
}


def fields() -> set[str]:
    """Every field of a file, those of acts left out: there are too many for a page."""
    found = set(schema()["properties"])
    for name, part in schema()["$defs"].items():
        if name not in KINDS_OF_ACTS:
            found |= set(part.get("properties", ()))
    return found


@pytest.mark.parametrize("name", sorted(fields() | ACTS))
def test_every_field_and_act_is_on_the_page(name: str) -> None:
    """Nobody has to read the code to write a file."""
    assert name in NAMED


def test_the_example_loads() -> None:
    """As it stands."""
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert load_text(example).gateway.replicas == 2
