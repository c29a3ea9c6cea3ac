"""The pages say what the code says, and nothing that a person may write is left out of them."""

from pathlib import Path

import typer
from typer.main import get_command

from fakes.acts.vocabulary import BillingDo, ChatDo, ProviderDo
from refgate import cli
from scenarios.pages import acts_page

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_page_of_acts_is_made_from_the_code() -> None:
    """If this fails: make docs"""
    assert (DOCS / "acts.md").read_text(encoding="utf-8") == acts_page()


def test_every_act_has_a_line() -> None:
    """An act that no page names is an act that nobody uses."""
    page = (DOCS / "acts.md").read_text(encoding="utf-8")
    acts = [*ProviderDo.model_fields, *ChatDo.model_fields, *BillingDo.model_fields]
    assert [act for act in acts if f"| `{act}` |" not in page] == []


def test_every_command_and_option_is_written_about() -> None:
    """The command page names each command, and each of its options."""
    page = (DOCS / "command.md").read_text(encoding="utf-8")
    group = get_command(cli._app)
    assert isinstance(group, typer.core.TyperGroup)
    missing = []
    for name, command in group.commands.items():
        if f"refgate {name}" not in page:
            missing.append(name)
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if longest.startswith("--") and longest != "--help" and f"{longest}" not in page:
                missing.append(f"{name} {longest}")
    assert missing == []
