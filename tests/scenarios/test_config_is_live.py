"""Each setting of chat has an effect: with another value the same world, from the same seed, goes elsewhere.

Nothing of the configuration stands in a history, so that two histories differ only by what was done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from refgate.config.chat import Cache, Chat, RequestLog
from scenarios.model.scenario import Scenario
from scenarios.reference import Reference
from scenarios.run import play

GATEWAYS = Path(__file__).parent.parent.parent / "scenarios" / "suite" / "gateways"
TROUBLE = [
    {"from": "4s", "until": "12s", "chance": 0.7, "do": {"rate_limited": {"retry_after": "1s"}}},
    {"chance": 0.15, "do": {"error": {"status": 500}}},
    {"chance": 0.1, "do": {"accepted_and_lost": {"how": "reset"}}},
    {"chance": 0.06, "do": {"never_answers": {}}},
    {"chance": 0.1, "match": {"stream": True}, "do": {"stall": {"after_words": 3}}},
    {"chance": 0.2, "do": {"usage": {"shown": "missing"}}},
]
USUAL: dict[str, Any] = {
    "models": {
        "small": {
            "aliases": ["tiny"],
            "pools": [
                {
                    "name": "main",
                    "primary": True,
                    "backends": [
                        {"backend": "east", "model": "gpt-4o-mini"},
                        {"backend": "west", "model": "gpt-4o-mini"},
                    ],
                },
                {"name": "spare", "backends": [{"backend": "rome", "model": "claude-haiku-4-5"}]},
            ],
            "output_max": 1024,
        }
    },
    "chat": {
        "backoff": {"first": "300ms", "max": "1s"},
        "primary_wait": {"times": 1, "wait": "1s"},
        "cooldown": {"first": "2s", "max": "6s"},
        "breaker": {"failures": 2, "open": "3s", "lease": "4s"},
        "emergency": {"calls": 1, "rpm": 30, "fraction": "0.2"},
        "timeouts": {
            "connect": "2s",
            "headers": "5s",
            "first_token": "4s",
            "between_tokens": "3s",
            "whole": "15s",
        },
        "drain": {"streams": 2, "within": "3s"},
    },
}


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for name, value in over.items():
        below = found.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        found[name] = merged(below, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return found


def chats(**over: Any) -> dict[str, Any]:
    return {"send": "chat", "account": "alice", "model": "small", "rate": "2/s", "for": "20s", **over}


def alone(**over: Any) -> dict[str, Any]:
    """The model at one backend only."""
    only = {"name": "only", "primary": True, "backends": [{"backend": "east", "model": "gpt-4o-mini"}]}
    other = {"name": "o", "backends": [{"backend": "west", "model": "gpt-4o-mini"}]}
    return {"models": {"small": {"pools": [merged(only, over)]}, "other": {"pools": [other]}}}


WORLDS: dict[str, dict[str, Any]] = {
    "trouble": {
        "acts": TROUBLE,
        "traffic": [
            chats(stream="half"),
            chats(stream="always", rate="1/s", leaves_after_tokens=4),
            chats(rate="30/m", leaves_after="300ms"),
        ],
        "plan": {"between": "100ms"},
    },
    "rounds": {
        "config": merged(alone(), {"chat": {"attempts": 6, "breaker": {"failures": 50}}}),
        "acts": [{"chance": 0.8, "do": {"error": {"status": 500}}}],
        "traffic": [chats(**{"for": "5s"})],
    },
    "probe": {
        "config": alone(),
        "acts": [
            {"until": "3s", "do": {"error": {"status": 500}}},
            {"from": "3s", "until": "15s", "do": {"never_answers": {}}},
        ],
        "traffic": [chats()],
    },
    "narrow": {
        "config": alone(),
        "plan": {"first": "4s"},
        "traffic": [chats(**{"for": "3s"})],
        "more": {"links": [{"from": "gateway", "to": "east", "connections_max": 1}]},
    },
    "slow": {
        "plan": {"headers": "100ms", "first": "6s"},
        "traffic": [chats(stream="always", **{"for": "2s"})],
    },
    "long": {
        "plan": {"words": 300, "between": "100ms"},
        "traffic": [chats(stream="always", **{"for": "2s"})],
    },
    "doubtful": {
        "config": {"models": {"small": {"idempotent": True}}},
        "acts": [{"chance": 0.5, "do": {"accepted_and_lost": {"how": "reset"}}}],
        "traffic": [chats(**{"for": "4s"})],
    },
    "unpriced": {
        "config": alone(backends=[{"backend": "east", "model": "gpt-4.1-mini"}]),
        "traffic": [chats(**{"for": "3s"})],
    },
    "large": {"plan": {"prompt": 50_000}, "traffic": [chats(**{"for": "3s"})]},
    "again": {
        "config": {"cache": {"ttl": "3s"}},
        "traffic": [
            chats(same=True, body={"temperature": 0}),
            chats(same=True, body={"temperature": 0}, model="tiny"),
        ],
    },
    "outage": {
        "traffic": [chats(rate="10/s", **{"for": "5s"})],
        "more": {"faults": [{"at": "1s", "until": "20s", "store": {"error": "locked"}}]},
    },
}


@cache
def digest(world: str, changes: str) -> str:
    """How the world goes under these changes, which are YAML."""
    shape = WORLDS[world]
    base = yaml.safe_load((GATEWAYS / "chat.yaml").read_text(encoding="utf-8"))
    config = merged(merged(merged(base, USUAL), shape.get("config", {})), yaml.safe_load(changes) or {})
    wires = {"east": "openai", "west": "openai", "rome": "anthropic"}
    told = {
        "about": "a world in which a setting shows",
        "gateway": {"config": config},
        "providers": {
            name: {"wire": wire, "plan": shape.get("plan", {}), "acts": shape.get("acts", [])}
            for name, wire in wires.items()
        }
        | {"tokyo": {"wire": "gemini"}},
        "traffic": shape["traffic"],
        "settle": "2m",
        **shape.get("more", {}),
    }
    scenario = Scenario.model_validate(told, by_alias=True)
    return play(scenario, 3, gateway=Reference(), judged=False).digest


EAST_FIRST = json.dumps(
    [
        {
            "name": "main",
            "primary": True,
            "backends": [
                {"backend": "east", "model": "gpt-4o-mini", "weight": 9},
                {"backend": "west", "model": "gpt-4o-mini"},
            ],
        },
        USUAL["models"]["small"]["pools"][1],
    ]
)
SETTINGS = [
    ("trouble", "chat: {attempts: 1}"),
    ("trouble", "chat: {backoff: {first: 900ms}}"),
    ("rounds", "chat: {backoff: {max: 300ms}}"),
    ("trouble", "chat: {primary_wait: {times: 3}}"),
    ("trouble", "chat: {primary_wait: {wait: 2s}}"),
    ("trouble", "chat: {emergency: {calls: 2}}"),
    ("trouble", "chat: {emergency: {rpm: 5}}"),
    ("trouble", 'chat: {emergency: {fraction: "0.9"}}'),
    ("trouble", "chat: {cooldown: {first: 1s}}"),
    ("trouble", "chat: {cooldown: {max: 2s}}"),
    ("trouble", "chat: {breaker: {failures: 1}}"),
    ("trouble", "chat: {breaker: {open: 1s}}"),
    ("probe", "chat: {breaker: {lease: 1s}}"),
    ("narrow", "chat: {timeouts: {connect: 300ms}}"),
    ("trouble", "chat: {timeouts: {headers: 2s}}"),
    ("slow", "chat: {timeouts: {first_token: 1s}}"),
    ("trouble", "chat: {timeouts: {between_tokens: 1s}}"),
    ("long", "chat: {timeouts: {whole: 6s}}"),
    ("trouble", "chat: {drain: {streams: 1}}"),
    ("trouble", "chat: {drain: {within: 500ms}}"),
    ("trouble", "chat: {ambiguous: always_retry}"),
    ("doubtful", "chat: {ambiguous: never_retry}"),
    ("trouble", "chat: {client_leaves: abort}"),
    ("trouble", "chat: {missing_usage: hold}"),
    ("trouble", "chat: {missing_usage: zero}"),
    ("unpriced", "chat: {unpriced_model: zero}"),
    ("unpriced", "price_snapshot: genai-prices"),
    ("large", "chat: {usage_above_hold: cap_at_hold}"),
    ("trouble", "chat: {all_open: refuse}"),
    ("trouble", "models: {small: {output_max: 20}}"),
    ("trouble", "models: {small: {idempotent: true}}"),
    ("again", "models: {small: {aliases: []}}"),
    ("trouble", f"models: {{small: {{pools: {EAST_FIRST}}}}}"),
    ("trouble", "backends: {east: {rpm: 5}}"),
    ("trouble", "backends: {east: {tpm: 4000}}"),
    ("trouble", 'prices: {gpt-4o-mini: {input: "0.15", output: "0.61"}}'),
    ("again", "cache: {ttl: 5m}"),
    ("again", "cache: {entries: 1}"),
    ("again", "cache: {body: 100B}"),
    ("again", "cache: {hit: full_price}"),
    ("again", "cache: null"),
    ("trouble", "request_log: {body: 1KiB}"),
    ("outage", "request_log: {batch: 1}"),
    ("outage", "request_log: {every: 10s}"),
    ("trouble", "request_log: {keep: 1s}"),
]


@pytest.mark.parametrize(("world", "changes"), SETTINGS)
def test_a_setting_has_an_effect(world: str, changes: str) -> None:
    """The same seed, another history."""
    assert digest(world, changes) != digest(world, "{}")


def test_the_same_again_goes_the_same_way() -> None:
    """Else a difference would show nothing."""
    assert digest.__wrapped__("trouble", "{}") == digest("trouble", "{}")


def settings(kind: type[BaseModel], at: str) -> Iterator[str]:
    """Every setting of a part of the configuration, by its name in a file."""
    for name, field in kind.model_fields.items():
        here = f"{at}.{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, here)
        else:
            yield here


def named(value: Any, at: str = "") -> Iterator[str]:
    """Every setting that a change names."""
    for name, below in value.items():
        here = f"{at}.{name}" if at else name
        yield here
        if isinstance(below, dict):
            yield from named(below, here)


def test_every_setting_is_tried() -> None:
    """None is left out, also none that comes to be later."""
    tried = {one for _, changes in SETTINGS for one in named(yaml.safe_load(changes))}
    parts: tuple[tuple[type[BaseModel], str], ...] = (
        (Chat, "chat"),
        (Cache, "cache"),
        (RequestLog, "request_log"),
    )
    there = {one for kind, at in parts for one in settings(kind, at)}
    assert there <= tried, sorted(there - tried)
