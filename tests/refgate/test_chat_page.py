"""The page on chat calls says what the code does: each policy with its default, each outcome and status."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from refgate.chat.records import ChatOutcome
from refgate.config.chat import Chat
from refgate.dialects.canonical import Protocol
from refgate.dialects.error_bodies import ALL_POOLS_EXHAUSTED, status_of
from refgate.dialects.spoken import FaultKind

PAGE = (Path(__file__).parents[2] / "docs" / "chat.md").read_text()


def leaves(value: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for name, one in value.items():
        if isinstance(one, Mapping):
            yield from leaves(one, f"{place}{name}.")
        else:
            yield f"{place}{name}", str(one)


def test_every_policy_is_there_with_its_default() -> None:
    """What the page says of a field that nobody sets is what the gateway does."""
    shown = Chat().model_dump(mode="json", by_alias=True)
    told = dict(re.findall(r"^\| `([a-z_.]+)` \| `([^`]+)` \| \S", PAGE, re.MULTILINE))
    assert told == dict(leaves(shown))


@pytest.mark.parametrize("outcome", ChatOutcome)
def test_every_outcome_has_its_charge(outcome: ChatOutcome) -> None:
    """Whatever a row may say, the page says what it costs."""
    assert f"`{outcome.value}`" in PAGE.partition("## What is charged")[2].partition("\n## ")[0]


def rows() -> Iterator[tuple[str, tuple[int, ...]]]:
    table = PAGE.partition("## What callers are told")[2]
    for names, statuses in re.findall(r"^\| (`[^|]+`) \| (\d+ \| \d+ \| \d+) \|", table, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            yield name, tuple(map(int, statuses.split(" | ")))


@pytest.mark.parametrize(("name", "statuses"), tuple(rows()))
def test_every_error_has_its_status(name: str, statuses: tuple[int, ...]) -> None:
    """In each protocol that callers speak."""
    kind = FaultKind.EXHAUSTED if name == ALL_POOLS_EXHAUSTED else FaultKind(name)
    protocols = (Protocol.OPENAI_CHAT, Protocol.ANTHROPIC, Protocol.GEMINI)
    assert statuses == tuple(status_of(protocol, kind) for protocol in protocols)
