"""What can be drawn of chats: every policy with each of its values, every protocol and way to speak it."""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from refgate import Settings
from refgate.config.chat import Cache, Chat, RequestLog
from refgate.config.models import Backend
from refgate.prices import Rates
from scenarios.gateways import environ, gateway_config, with_probe
from scenarios.generate import chats
from scenarios.model.chat import ChatProtocol, ChatVia, ChatWire
from scenarios.model.scenario import ChatProviderPart, ChatTraffic, ProviderPart, Scenario

DRAWS = 600
FIXED = {"dialect", "base_url", "key"}
"""What is not drawn: who the backends are."""


@pytest.fixture(scope="module")
def drawn() -> list[Scenario]:
    """Some hundred scenarios, as they come."""
    found: list[Scenario] = []

    @seeded(1)
    @settings(
        max_examples=DRAWS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(chats())
    def draw(scenario: Scenario) -> None:
        found.append(scenario)

    draw()
    return found


def blocks(drawn: list[Scenario]) -> Iterator[ChatTraffic]:
    for scenario in drawn:
        yield from (block for block in scenario.traffic if isinstance(block, ChatTraffic))


def said(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field of a mapping with its value, by its path."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from said(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}", str(inner)


def fields_of(part: Any, path: str = "") -> Iterator[str]:
    """Every field of a part of the configuration, by the names that files use."""
    for name, field in part.model_fields.items():
        written, inner = field.alias or name, field.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            yield from fields_of(inner, f"{path}{written}.")
        elif written not in FIXED:
            yield f"{path}{written}"


def test_the_gateway_accepts_every_configuration(drawn: list[Scenario]) -> None:
    """What is drawn is never what the gateway refuses at its start."""
    for scenario in drawn:
        config = with_probe(gateway_config(scenario))
        assert Settings.parse(config, environ=environ(config)).models


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("chat", set(fields_of(Chat))),
        ("cache", set(fields_of(Cache))),
        ("request_log", set(fields_of(RequestLog))),
        ("backends", set(fields_of(Backend))),
    ],
)
def test_every_policy_is_drawn(drawn: list[Scenario], part: str, fields: set[str]) -> None:
    """Whatever can be declared of chats is declared otherwise in some scenario."""
    found = set()
    for scenario in drawn:
        override = scenario.gateway.override.get(part, {})
        for one in override.values() if part == "backends" else [override]:
            found |= {name for name, _ in said(one)}
    assert fields <= found


def test_every_value_of_a_policy_is_drawn(drawn: list[Scenario]) -> None:
    """Of a policy that is one of a few words, every word."""
    values = {pair for one in drawn for pair in said(one.gateway.override.get("chat", {}))}
    values |= {
        (f"cache.{name}", value)
        for one in drawn
        for name, value in said(one.gateway.override.get("cache", {}))
    }
    for prefix, part in (("", Chat), ("cache.", Cache)):
        for name, field in part.model_fields.items():
            for word in typing.get_args(field.annotation):
                if isinstance(word, str):
                    assert (f"{prefix}{name}", word) in values


def test_every_way_to_speak_is_drawn(drawn: list[Scenario]) -> None:
    """Every protocol, by every client that speaks it, streamed and whole; models of every vendor."""
    spoken = {(block.via, block.protocol, block.stream) for block in blocks(drawn)}
    assert {via for via, _, _ in spoken} == set(typing.get_args(ChatVia))
    assert {protocol for _, protocol, _ in spoken} == set(typing.get_args(ChatProtocol))
    for via, protocol in (
        *(("plain", one) for one in typing.get_args(ChatProtocol)),
        ("openai", "openai_chat"),
        ("openai", "openai_responses"),
        ("openai", "openai_embeddings"),
        ("anthropic", "anthropic"),
    ):
        streams = ("never",) if protocol == "openai_embeddings" else ("never", "always", "half")
        assert {(via, protocol, stream) for stream in streams} <= spoken
    wires = {
        part.wire for one in drawn for part in one.providers.values() if isinstance(part, ChatProviderPart)
    }
    assert wires == set(typing.get_args(ChatWire))


@pytest.mark.parametrize(
    "has",
    [
        lambda block: block.tools,
        lambda block: block.image,
        lambda block: block.same and (block.clients > 1 or block.times > 1),
        lambda block: block.body,
        lambda block: block.retry is not None,
        lambda block: block.via != "plain" and block.sdk_retries != 2,
        lambda block: block.leaves_after is not None,
        lambda block: block.leaves_after_tokens is not None,
        lambda block: block.rate is not None,
        lambda block: block.thread is not None,
        lambda block: block.max_tokens is not None,
    ],
    ids=[
        "tools",
        "image",
        "same",
        "body",
        "retry",
        "sdk retries",
        "leaves",
        "leaves after words",
        "rate",
        "thread",
        "bound",
    ],
)
def test_every_habit_of_callers_is_drawn(drawn: list[Scenario], has: Callable[[ChatTraffic], bool]) -> None:
    """What a block of traffic can say is said in some scenario."""
    assert any(has(block) for block in blocks(drawn))


def test_prices_are_drawn_in_every_form(drawn: list[Scenario]) -> None:
    """Tiers, dates, fees and prices of classes of tokens; models without a price; and the snapshot."""
    found: Counter[str] = Counter()
    for scenario in drawn:
        override = scenario.gateway.override
        found.update({"snapshot"} if "price_snapshot" in override else set())
        found.update({"unpriced"} if "secret-1" in str(override.get("models")) else set())
        for price in override.get("prices", {}).values():
            for one in price if isinstance(price, list) else [price]:
                found.update(one.keys())
    classes = set(Rates.__dataclass_fields__)
    assert {*classes, "tiers", "from", "request", "web_search", "unpriced", "snapshot"} <= set(found)


def test_tasks_are_drawn_beside_chats(drawn: list[Scenario]) -> None:
    """Now and then a gateway serves both."""
    mixed = [one for one in drawn if any(isinstance(part, ProviderPart) for part in one.providers.values())]
    assert 0 < len(mixed) < len(drawn) / 4
