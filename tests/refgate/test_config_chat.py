"""The chat part of the configuration: names lead somewhere, everything has an effect, nothing is guessed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from refgate import ConfigError, Settings, load_settings
from refgate.dialects.spoken import Usage
from refgate.policy.backoff import Backoff
from refgate.policy.breaker import BreakerRule
from refgate.policy.cooldown import CooldownRule
from refgate.policy.declared import Policy, Pool
from refgate.price_list import Cost
from tests.refgate.test_config import ENVIRON, EXAMPLE, example, put, refused

SMALL = "models.small"
MAIN = "models.small.pools.0.backends"


def chat_only(**changes: Any) -> dict[str, Any]:
    """The example without providers, and without any default written down."""
    config = example()
    for part in ("providers", "chat", "cache", "request_log"):
        del config[part]
    return config | changes


def parsed(config: dict[str, Any]) -> Settings:
    return Settings.parse(config, environ=ENVIRON)


def test_a_gateway_may_serve_models_alone() -> None:
    """No provider needs to be invented; something must be served."""
    settings = parsed(chat_only())
    assert (dict(settings.providers), settings.cache) == ({}, None)
    empty = chat_only()
    for part in ("models", "backends", "prices"):
        del empty[part]
    assert refused(empty) == "g.yaml: providers: there is nothing to serve: declare providers, or models"


def test_models_become_what_plans_are_made_of() -> None:
    """Pools in order, with weights; names and aliases lead to one model."""
    settings = load_settings(EXAMPLE, ENVIRON)
    small = settings.models["small"]
    assert small.policy_pools() == (
        Pool("main", (("east", 3), ("west", 1)), primary=True),
        Pool("spare", (("rome", 1),)),
    )
    assert (small.output_max, settings.models["embed"].output_max) == (4096, 0)
    assert dict(settings.model_names) == {"small": "small", "gpt-4o-mini": "small", "embed": "embed"}


def test_a_backend_is_sent_what_it_is_declared_to_take() -> None:
    """Each count is a new one; no limit is none."""
    settings = load_settings(EXAMPLE, ENVIRON)
    rate = settings.backends["east"].rate()
    assert rate.calls is not None and rate.tokens is not None
    assert (rate.calls.limit, rate.tokens.limit) == (600, 200_000)
    assert rate.calls is not settings.backends["east"].rate().calls
    free = settings.backends["west"].rate()
    assert (free.calls, free.tokens) == (None, None)


def test_policies_are_given_on_as_they_were_declared() -> None:
    """Every field of the chat part arrives at the policy that keeps it."""
    config = chat_only(
        chat={
            "attempts": 5,
            "backoff": {"first": "1s", "max": "3s"},
            "primary_wait": {"times": 2, "wait": "7s"},
            "emergency": {"calls": 4, "rpm": 30, "fraction": "0.25"},
            "cooldown": {"first": "6s", "max": "9s"},
            "breaker": {"failures": 8, "open": "11s", "lease": "12s"},
            "ambiguous": "never_retry",
        }
    )
    chat = parsed(config).chat
    assert chat.policy() == Policy(
        attempts_max=5,
        backoff=Backoff(1_000_000, 3_000_000),
        primary_waits_max=2,
        primary_wait_us=7_000_000,
        all_open="emergency",
        emergency_max=4,
        ambiguous="never_retry",
    )
    assert chat.cooldown.rule() == CooldownRule(6_000_000, 9_000_000, Fraction(2))
    assert chat.breaker.rule() == BreakerRule(11_000_000, 12_000_000, 8)
    lane = chat.lane()
    assert lane is not None and lane.limit == 7
    config["chat"]["all_open"] = "refuse"
    assert parsed(config).chat.lane() is None


def test_a_lane_lets_one_through_at_least() -> None:
    """A small share of a small limit is still a lane."""
    lane = parsed(chat_only(chat={"emergency": {"rpm": 3, "fraction": "0.1"}})).chat.lane()
    assert lane is not None and lane.limit == 1


def test_defaults_are_the_first_choice_of_each_policy() -> None:
    """What is not declared is as the documentation says."""
    settings = parsed(chat_only(cache={}))
    shown = settings.effective()
    assert shown["chat"] == {
        "attempts": 3,
        "backoff": {"first": "250ms", "max": "8s"},
        "primary_wait": {"times": 0, "wait": "2s"},
        "emergency": {"calls": 1, "rpm": 60, "fraction": "0.1"},
        "cooldown": {"first": "5s", "max": "2m"},
        "breaker": {"failures": 5, "open": "30s", "lease": "30s"},
        "timeouts": {
            "connect": "5s",
            "headers": "1m",
            "first_token": "1m",
            "between_tokens": "30s",
            "whole": "5m",
        },
        "drain": {"streams": 64, "within": "1m"},
        "ambiguous": "retry_if_idempotent",
        "client_leaves": "drain",
        "missing_usage": "estimate",
        "unpriced_model": "refuse",
        "usage_above_hold": "charge_actual",
        "all_open": "emergency",
    }
    assert shown["cache"] == {"ttl": "5m", "entries": 1000, "body": "256KiB", "hit": "free"}
    assert shown["request_log"] == {"body": 0, "batch": 100, "every": "1s", "keep": "7d"}
    assert parsed(shown).effective() == shown


def test_prices_are_exact_and_dated() -> None:
    """What is written is what is charged, from the day it says."""
    prices = load_settings(EXAMPLE, ENVIRON).price_list
    usage = Usage(input=1_000, cache_read=1_000, output=1_000)
    assert prices.cost_nanos("gpt-4o-mini", usage, 0) == Cost(150_000 + 75_000 + 600_000, 0)
    new_year_us = 1_798_761_600_000_000
    assert prices.cost_nanos("claude-haiku-4-5", Usage(output=1), new_year_us - 1) == Cost(5_000, 0)
    assert prices.cost_nanos("claude-haiku-4-5", Usage(output=1), new_year_us) == Cost(4_000, new_year_us)


def test_the_keys_of_backends_are_secrets() -> None:
    """Known for redaction, and never shown."""
    settings = load_settings(EXAMPLE, ENVIRON)
    assert {f"canary-provider-{name}" for name in ("east", "west", "rome")} <= set(settings.secrets())
    assert "canary" not in f"{settings!r} {settings.effective()}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{MAIN}.0.backend": "eats"}, f"{MAIN}.0.backend: there is no backend 'eats'; did you mean"),
        ({f"{SMALL}.pools": []}, "models.small: pools lists one pool or more"),
        ({MAIN: []}, "models.small.pools.0: backends lists one backend or more"),
        ({f"{MAIN}.1.backend": "east"}, "models.small.pools.0: 'east' is listed twice: give it one line"),
        ({f"{SMALL}.pools.1.name": "main"}, "models.small: two pools are named 'main'"),
        ({f"{SMALL}.aliases": ["embed"]}, f"{SMALL}.aliases.0: 'embed' already stands for the model 'embed'"),
        ({f"{SMALL}.aliases": ["a", "a"]}, f"{SMALL}.aliases.1: 'a' already stands for the model 'small'"),
        ({f"{MAIN}.0.weight": 0}, f"{MAIN}.0.weight: Input should be greater than or equal to 1"),
        ({f"{MAIN}.0.wieght": 1}, f"{MAIN}.0.wieght: unknown field; did you mean 'weight'?"),
        ({"backends.rome.base_url": "rome"}, "backends.rome.base_url: a base URL begins with http://"),
        ({"backends.rome.dialect": "grpc"}, "backends.rome.dialect: Input should be 'openai', 'anthropic'"),
        ({"backends.east.rpm": 0}, "backends.east.rpm: Input should be greater than or equal to 1"),
        ({"backends.rome.key": "sk-1"}, "backends.rome.key: a secret is never written here"),
        ({f"{SMALL}.pools.1": ...}, "backends.rome: no model goes there, so that it has no effect"),
        ({"models.embed.output_max": 5}, "models.embed: output_max has no effect on embeddings"),
        (
            {"models.embed.pools.0.backends.0.backend": "rome"},
            "models.embed.pools.0.backends.0.backend: 'rome' speaks anthropic: embeddings are for openai",
        ),
        ({"prices.gpt-4o-mini.output": ...}, "prices.gpt-4o-mini: [0]: a price names input and output"),
        ({"prices.gpt-4o-mini.output": 0.6}, "prices.gpt-4o-mini: [0].output: a float is not exact"),
        ({"prices.gpt-4o-mini.inptu": "1"}, "prices.gpt-4o-mini: [0]: unknown inptu; known are from"),
        ({"chat.primary_wait.times": 1, f"{SMALL}.pools.0.primary": False}, "chat.primary_wait: there is no"),
        ({"chat.emergency.fraction": "0"}, "chat.emergency: fraction is above 0 and at most 1"),
        ({"chat.emergency.fraction": "1.01"}, "chat.emergency: fraction is above 0 and at most 1"),
        ({"chat.cooldown.first": "3m"}, "chat.cooldown: first is longer than max"),
        ({"chat.backoff.max": "1ms"}, "chat.backoff: first is longer than max"),
        ({"chat.timeouts.first_tokn": "1s"}, "chat.timeouts.first_tokn: unknown field; did you mean"),
        ({"cache.body": 0}, "cache.body: a size is text such as '64KiB'"),
        ({"request_log.body": False}, "request_log.body: a size is text such as '64KiB'"),
        ({"models": {}, "backends": {}}, "prices: has no effect without models"),
        ({"models": {}, "backends": {}, "prices": {}, "cache": ..., "price_snapshot": "genai-prices"},
         "price_snapshot: has no effect without models"),
        ({"price_snapshot": "litellm"}, "price_snapshot: Input should be 'none' or 'genai-prices'"),
        ({"models": {}, "backends": {}, "prices": {}}, "cache: has no effect without models"),
    ],
)  # fmt: skip
def test_what_could_not_work_is_refused(changes: dict[str, Any], message: str) -> None:
    """Each mistake is named with its field and what to do about it."""
    config = example()
    for place, value in changes.items():
        put(config, place, value)
    assert refused(config).startswith(f"g.yaml: {message}")


def test_every_bad_price_is_told_with_its_line(tmp_path: Path) -> None:
    """One look at the file mends all of them."""
    text = EXAMPLE.read_text().replace('input: "0.15"', 'input: "x"').replace('input: "0.02"', "inpt: 1")
    file = tmp_path / "g.yaml"
    file.write_text(text)

    def line(start: str) -> int:
        return next(n for n, one in enumerate(text.splitlines(), 1) if one.lstrip().startswith(start))

    with pytest.raises(ConfigError) as caught:
        load_settings(file, ENVIRON)
    told = [(problem.line, problem.field) for problem in caught.value.problems]
    assert told == [
        (line('gpt-4o-mini: {input: "x"'), "prices.gpt-4o-mini"),
        (line("text-embedding-3-small: {inpt"), "prices.text-embedding-3-small"),
    ]


def test_models_need_the_embedded_ledger() -> None:
    """Their calls are charged in the transaction that ends them."""
    remote = {"kind": "remote", "url": "http://billing.test", "key": {"env": "RH_KEY"}}
    assert refused(chat_only(billing=remote)) == "g.yaml: billing.kind: models need billing.kind: embedded"
