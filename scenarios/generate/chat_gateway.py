"""The gateway of a drawn scenario of chats: one of the suite's configurations, and what is overridden in it.

Every policy of chats may be drawn, pools and weights, limits, prices, budgets, the cache and the logs; times
are short, so that what depends on one happens within a run. Now and then the gateway serves tasks as well.
What it would refuse at its start is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hypothesis.strategies import DrawFn

from scenarios.generate.chat_prices import draw_prices
from scenarios.generate.gateway import (
    NAMES,
    POLICIES,
    TEAM_ACCOUNTS,
    TIMES,
    Known,
    draw_ending,
    draw_providers,
    group,
)
from scenarios.generate.plain import Plain, Word, either, fields, seldom, sometimes, spans

__all__ = ["ChatKnown", "draw_chat_gateway"]

_WIRES: Mapping[str, str] = MappingProxyType(
    {"east": "openai", "west": "openai", "rome": "anthropic", "tokyo": "gemini"}
)
"""Provider → the wire it speaks, in the suite's configurations."""

_UPSTREAM: Mapping[str, str] = MappingProxyType(
    {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}
)
_POOLED, _SINGLE = "chat.yaml", "chat-single.yaml"
_ASKED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        _POOLED: ("small", "smart", "small", "gpt-4o-mini"),
        _SINGLE: ("gpt", "claude", "flash", "duo", "duo"),
    }
)
"""What callers may ask for there."""


@dataclass(frozen=True, slots=True)
class ChatKnown:
    """What the rest of a scenario must know of its gateway. `tasks`: the part that serves tasks, if any."""

    known: Known
    tasks: Known | None
    wires: Mapping[str, str]  # of every provider, by name
    odd: frozenset[str]  # the providers that are asked for a model that is not one of their vendor's usual
    asked: tuple[str, ...]  # models of chat
    cached: bool


# Policies.

_UP_TO_A_MINUTE = fields(first=either("5s", "1s", "500ms", "20s"), max=either("1m", "20s"))
_BACKOFF = fields(first=either("250ms", "10ms", "2s"), max=either("8s", "2s"))
_EMERGENCY = fields(
    calls=sometimes(either(2, 1, 5)),
    rpm=sometimes(either(6, 60, 1, 600)),
    fraction=sometimes(either("0.1", "1", "0.5", "0.001")),
)
_BREAKER = fields(
    failures=sometimes(either(1, 2, 5, 50)),
    open=sometimes(spans(1_000, 40_000, by_ms=1_000)),
    lease=sometimes(spans(1_000, 40_000, by_ms=1_000)),
)
_TIMEOUTS = fields(
    connect=sometimes(spans(1_000, 10_000, by_ms=1_000)),
    headers=sometimes(spans(15_000, 30_000, by_ms=1_000)),
    first_token=sometimes(spans(10_000, 30_000, by_ms=1_000)),
    between_tokens=sometimes(spans(2_000, 15_000, by_ms=1_000)),
    whole=sometimes(spans(20_000, 90_000, by_ms=5_000)),
)
_DRAIN = fields(streams=sometimes(either(1, 2, 16)), within=sometimes(spans(1_000, 40_000, by_ms=1_000)))
_CHAT = fields(
    attempts=sometimes(either(3, 1, 2, 6)),
    backoff=seldom(_BACKOFF),
    emergency=sometimes(_EMERGENCY),
    cooldown=sometimes(_UP_TO_A_MINUTE),
    breaker=sometimes(_BREAKER),
    timeouts=sometimes(_TIMEOUTS),
    drain=sometimes(_DRAIN),
    ambiguous=sometimes(either("always_retry", "never_retry", "retry_if_idempotent")),
    client_leaves=sometimes(either("abort", "drain")),
    missing_usage=sometimes(either("hold", "zero", "estimate")),
    unpriced_model=sometimes(either("zero", "refuse")),
    usage_above_hold=sometimes(either("cap_at_hold", "charge_actual")),
    all_open=sometimes(either("refuse", "emergency")),
)
_PRIMARY_WAIT = sometimes(fields(times=either(1, 0, 3), wait=sometimes(spans(100, 20_000, by_ms=100))))
_CACHE = fields(
    ttl=sometimes(either("5m", "2s", "20s")),
    entries=sometimes(either(1000, 1, 3)),
    body=sometimes(either("256KiB", "500B", "2KiB")),
    hit=sometimes(either("full_price", "free")),
)
_CACHED = either(False, True)
_LOG = fields(
    body=sometimes(either("64KiB", "200B", 0)),
    batch=sometimes(either(100, 1, 5)),
    every=sometimes(either("1s", "100ms", "5s")),
    keep=sometimes(either("7d", "30s", "5m")),
)
_LIMITS = group(
    request_body=either("4KiB", "64KiB"), answer_body=either("4KiB", "64KiB"), requests=either(8, 20)
)
_LOGGED, _LIMITED = seldom(_LOG), seldom(_LIMITS)
_SWEEP = seldom(
    fields(
        every=sometimes(spans(1_000, 20_000, by_ms=1_000)), lease=sometimes(spans(2_000, 40_000, by_ms=1_000))
    )
)


# Pools.

_SMALL: tuple[Sequence[Sequence[str]] | None, ...] = (
    None,
    (("west",),),
    (("east", "west"),),
    (("east",), ("west",), ("rome",)),
    (("west", "east", "rome", "tokyo"),),
    (("tokyo",), ("west", "east")),
    (("rome", "tokyo"), ("west", "east")),
)
_SMART: tuple[Sequence[Sequence[str]] | None, ...] = (
    None,
    (("rome", "tokyo"),),
    (("tokyo",), ("rome",)),
    (("tokyo",), ("rome", "west"), ("east",)),
)
_DUO: tuple[Sequence[Sequence[str]] | None, ...] = (
    None,
    (("east", "rome", "tokyo"),),
    (("tokyo", "rome"), ("east",)),
    (("tokyo",), ("east",), ("rome",)),
)
_OF_A_MODEL = fields(output_max=seldom(either(64, 4096, 8)), idempotent=sometimes(either(True)))
_WEIGHT = seldom(either(3, 100))
_PRIMARY = either(False, True)
_ODD_NAME = seldom(either("secret-1"))


def _pools(layouts: tuple[Sequence[Sequence[str]] | None, ...]) -> Word:
    """What is changed of a model, and which of its backends are asked for an odd name."""
    layout_of = either(*layouts)

    def word(draw: DrawFn) -> tuple[Plain, set[str]]:
        layout, changed, odd = layout_of(draw), _OF_A_MODEL(draw), set[str]()
        if layout is None:
            return changed, odd
        pools = []
        last = layout[-1][-1]  # which has a price, so that somebody may serve
        for number, names in enumerate(layout):
            members = []
            for name in names:
                named, weight = _ODD_NAME(draw) if name != last else None, _WEIGHT(draw)
                odd |= {name} if named else set()
                member: Plain = {"backend": name, "model": named or _UPSTREAM[_WIRES[name]]}
                members.append({**member, **({"weight": weight} if weight else {})})
            primary = {"primary": True} if number == 0 and _PRIMARY(draw) else {}
            pools.append({"name": f"pool-{number}", **primary, "backends": members})
        return {**changed, "pools": pools}, odd

    return word


_MODELS: Mapping[str, Mapping[str, Word]] = MappingProxyType(
    {_POOLED: {"small": _pools(_SMALL), "smart": _pools(_SMART)}, _SINGLE: {"duo": _pools(_DUO)}}
)


# Who is there.

_BASE = either(_POOLED, _SINGLE, _POOLED)
_MIXED = seldom(either(*NAMES))
_TEAMS = either(False, False, True)
_REPLICAS = either(1, 1, 2, 3)
_BALANCE = fields(balance=sometimes(either("random", "sticky")))
_GATEWAY_DRAIN = fields(drain=sometimes(spans(0, 30_000, by_ms=500)))
_OF_A_BACKEND = fields(rpm=seldom(either(60, 6, 1)), tpm=seldom(either(2_000, 300)))
_ACCOUNT = fields(
    grant=seldom(either("0.02", "0.001", "0")), budget=sometimes(either("0.01", "0.003", "0.0002", "1"))
)


def draw_chat_gateway(draw: DrawFn) -> ChatKnown:
    """The `gateway` part of a scenario whose providers are of models, and seldom of tasks too."""
    base, mixed, teams, replicas = _BASE(draw), _MIXED(draw), _TEAMS(draw), _REPLICAS(draw)
    names = [name for name in _WIRES if base == _POOLED or name != "west"]
    models, odd = _draw_models(draw, base)
    override: Plain = {
        "chat": _draw_chat(draw, base, models),
        "cache": (_CACHE(draw) or {"ttl": "5m"}) if _CACHED(draw) else None,
        "request_log": _LOGGED(draw),
        "limits": _LIMITED(draw),
        "reconcile": _SWEEP(draw),
        "backends": {name: changed for name in names if (changed := _OF_A_BACKEND(draw))},
        "models": models,
        **draw_prices(draw),
        "callers": {"alice": {"accounts": ["alice", "team-*"]}} if teams else {},
        "billing": _draw_billing(draw, teams=teams),
    }
    of_tasks = _draw_tasks(draw, base, mixed) if mixed is not None else {}
    override = {name: part for name, part in (override | of_tasks).items() if part}
    part: Plain = {"config": base, **({"override": override} if override else {})}
    if replicas > 1:
        part |= {"replicas": replicas, **_BALANCE(draw)}
    part |= _GATEWAY_DRAIN(draw)
    wires = {name: _WIRES[name] for name in names}
    tasks: Known | None = None
    if mixed is not None:
        wires[NAMES[mixed]] = mixed
        tasks = Known(part, (NAMES[mixed],), replicas, remote=False, teams=teams)
    known = Known(part, tuple(wires), replicas, remote=False, teams=teams)
    return ChatKnown(known, tasks, wires, frozenset(odd), _ASKED[base], "cache" in override)


def _draw_models(draw: DrawFn, base: str) -> tuple[Plain, set[str]]:
    found: Plain = {}
    odd: set[str] = set()
    for name, pools in _MODELS[base].items():
        changed, asked_oddly = pools(draw)
        odd |= asked_oddly
        if changed:
            found[name] = changed
    return found, odd


def _draw_chat(draw: DrawFn, base: str, models: Mapping[str, Any]) -> Plain:
    """The policies; calls wait for a primary pool only where there is one."""
    found: Plain = _CHAT(draw)
    changed = [pool for model in models.values() for pool in model.get("pools", ())]
    primary = any(pool.get("primary") for pool in changed)
    primary |= base == _POOLED and "pools" not in models.get("small", {})
    waits = _PRIMARY_WAIT(draw) if primary else None
    found = {**found, "primary_wait": waits}
    return {name: part for name, part in found.items() if part}


def _draw_billing(draw: DrawFn, *, teams: bool) -> Plain:
    alice = _ACCOUNT(draw)
    accounts = {**({"alice": alice} if alice else {}), **(TEAM_ACCOUNTS if teams else {})}
    return {"accounts": accounts} if accounts else {}


def _draw_tasks(draw: DrawFn, base: str, wire: str) -> Plain:
    """What is declared of the tasks beside the chats."""
    providers, doubt_ends = draw_providers(draw, [wire], base)
    policies = {**POLICIES(draw), **draw_ending(draw, base, doubt_ends)}
    return {**TIMES(draw), "policies": policies, "providers": providers}
