"""The gateway of a drawn scenario: which configuration, what is overridden in it, how many replicas.

A configuration is one of the suite's, of the first provider's vendor, with the other provider's part and
the drawn policies, limits and times laid over it. What the gateway would refuse at its start is not
drawn: where forms depend on each other, the second is drawn from what the first allows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis.strategies import DrawFn

from scenarios import gateways
from scenarios.generate.plain import Plain, Word, either, fields, seldom, sometimes, spans, whole
from scenarios.yamlish import read

__all__ = [
    "NAMES",
    "POLICIES",
    "TEAM_ACCOUNTS",
    "TIMES",
    "Known",
    "draw_ending",
    "draw_gateway",
    "draw_providers",
    "group",
]

NAMES: Mapping[str, str] = {
    "runninghub": "rh",
    "kling": "kling",
    "replicate": "replicate",
    "fal": "fal",
    "dashscope": "dashscope",
    "minimax": "minimax",
}
"""Wire → the name of its provider in the suite's configurations."""

_FINDABLE = frozenset({"kling"})  # the vendors whose tasks can be looked up by a caller's own label
_REMOTE = "runninghub-remote.yaml"
TEAM_ACCOUNTS = {"team-red": {"grant": "10.00"}}


def group(**parts: Word) -> Word:
    """A part of the configuration with some of its fields, or nothing of it."""
    some = fields(**{name: sometimes(part) for name, part in parts.items()})
    return sometimes(lambda draw: some(draw) or None)


_REMOTELY = either(False, True)
_TEAMS = either(False, False, True)
_REPLICAS = whole(1, 3)
_BALANCE = fields(balance=sometimes(either("random", "sticky")))
_DRAIN = fields(drain=sometimes(spans(0, 30_000, by_ms=500)))
_HOLD = fields(hold=sometimes(either("0.50", "0.01", "0", "5.00")))
_STATUSES = fields(statuses=sometimes(either([504], [500, 502, 503, 504, 524])))
_WAYS = sometimes(either("resend", "none"))
_WAYS_TO_FIND = sometimes(either("find", "resend", "none"))
_ENDING = sometimes(either("keep_reconciling", "release"))
POLICIES = fields(
    billing_unreachable=sometimes(either("fail_open", "fail_closed")),
    missing_usage=sometimes(either("zero", "estimate", "hold")),
    usage_above_hold=sometimes(either("cap_at_hold", "charge_actual")),
)
_BILLING_TIMEOUT = fields(timeout=sometimes(spans(2_000, 10_000, by_ms=1_000)))
_ACCOUNT = fields(grant=seldom(either("1.00", "0.30", "0")), budget=seldom(either("0.60", "0.10", "3.00")))
# Short ones, so that what depends on a limit or a time happens within a run.
TIMES = fields(
    limits=group(
        request_body=either("4KiB", "64KiB"), answer_body=either("64KiB", "8MiB"), requests=either(8, 20)
    ),
    timeouts=group(
        connect=spans(2_000, 10_000, by_ms=1_000),
        read=spans(3_000, 30_000, by_ms=1_000),
        total=spans(5_000, 60_000, by_ms=1_000),
    ),
    idempotency=group(
        in_flight=either("attach", "conflict"),
        wait=spans(1_000, 15_000, by_ms=1_000),
        keep=either("30s", "10m"),
    ),
    reconcile=group(
        every=spans(1_000, 20_000, by_ms=1_000),
        poll_after=spans(2_000, 60_000, by_ms=1_000),
        lease=spans(2_000, 40_000, by_ms=1_000),
        verdict_within=spans(60_000, 1_200_000, by_ms=60_000),
    ),
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the rest of a scenario must know of its gateway. `remote`: billed by a service."""

    part: Plain
    names: tuple[str, ...]  # of the providers
    replicas: int
    remote: bool
    teams: bool  # whether alice may bill the account team-red


def draw_gateway(draw: DrawFn, wires: Sequence[str]) -> Known:
    """The `gateway` part of a scenario whose providers speak these wires."""
    remote, replicas = _REMOTELY(draw), _REPLICAS(draw)
    base = _REMOTE if remote else f"{wires[0]}.yaml"
    names = tuple(NAMES[wire] for wire in wires)
    providers, doubt_ends = draw_providers(draw, wires, base)
    teams = _TEAMS(draw)
    override: Plain = {
        **TIMES(draw),
        "policies": {**POLICIES(draw), **draw_ending(draw, base, doubt_ends)},
        "providers": providers,
        "callers": {"alice": {"accounts": ["alice", "team-*"]}} if teams else {},
        "billing": _draw_billing(draw, remote=remote, teams=teams),
    }
    override = {name: part for name, part in override.items() if part}
    part: Plain = {"config": base, **({"override": override} if override else {})}
    if replicas > 1:
        part |= {"replicas": replicas, **_BALANCE(draw)}
    part |= _DRAIN(draw)
    return Known(part, names, replicas, remote, teams)


@cache
def _config(name: str) -> Plain:
    found, _ = read((gateways.FOLDER / name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> Plain:
    """The mapping with the other laid over it; both stay as they are."""
    found = copy.deepcopy(dict(base))
    for key, value in more.items():
        here = found.get(key)
        found[key] = _merged(here, value) if isinstance(here, dict) and isinstance(value, dict) else value
    return found


# Providers.


def draw_providers(draw: DrawFn, wires: Sequence[str], base: str) -> tuple[Plain, bool]:
    """What is declared of each, laid over `base`; and whether every doubt about a submit can end."""
    found: Plain = {}
    doubt_ends = True
    for wire in wires:
        name, changed = NAMES[wire], _draw_changes(draw, wire)
        doubt_ends &= _resolve(wire, changed) != "none"
        if name not in _config(base).get("providers", {}):
            changed = _merged(_config(f"{wire}.yaml")["providers"][name], changed)
        if changed:
            found[name] = changed
    if base == _REMOTE and "runninghub" not in wires:
        found["rh"] = {"enabled": False}
        doubt_ends = False  # a provider that is not enabled is checked like any other
    return found, doubt_ends


def _draw_changes(draw: DrawFn, wire: str) -> Plain:
    """What is declared otherwise of one provider."""
    found: Plain = _HOLD(draw)
    ambiguous = _STATUSES(draw)
    resolve = (_WAYS_TO_FIND if wire in _FINDABLE else _WAYS)(draw)
    if resolve is not None:
        ambiguous |= {"resolve": resolve}
    if resolve == "resend":
        ambiguous |= {"label": {"header": "Idempotency-Key", "body": None}}
    if resolve in ("resend", "none") and wire in _FINDABLE:
        ambiguous |= {"find": None}
    return {**found, "ambiguous": ambiguous} if ambiguous else found


def _resolve(wire: str, changed: Mapping[str, Any]) -> str:
    """How doubt about a submit ends there."""
    usual = _config(f"{wire}.yaml")["providers"][NAMES[wire]]["ambiguous"].get("resolve", "none")
    return str(changed.get("ambiguous", {}).get("resolve", usual))


# The whole.


def draw_ending(draw: DrawFn, base: str, doubt_ends: bool) -> Plain:
    """What becomes of a task without a verdict: it is kept for ever only where every doubt can end."""
    declared = _config(base).get("policies", {}).get("task_without_verdict", "keep_reconciling")
    wanted = _ENDING(draw) if doubt_ends else "release"
    return {} if wanted in (None, declared) else {"task_without_verdict": wanted}


def _draw_billing(draw: DrawFn, *, remote: bool, teams: bool) -> Plain:
    if remote:
        found: Plain = _BILLING_TIMEOUT(draw)
        return found
    alice = _ACCOUNT(draw)
    accounts = {**({"alice": alice} if alice else {}), **(TEAM_ACCOUNTS if teams else {})}
    return {"accounts": accounts} if accounts else {}
