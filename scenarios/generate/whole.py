"""A whole scenario from its parts: who is there, what clients do, what breaks.

Swarm: each example enables a few kinds of misbehaviour and draws all of its own from those, so that one
run is all storms and another all lost answers, and kinds meet that a uniform mix would keep apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from scenarios.generate.acts import BILLING_KINDS, PROVIDER_KINDS, billing_acts, provider_acts
from scenarios.generate.chat_acts import CHAT_KINDS
from scenarios.generate.faults import FAULT_KINDS, LINK_KINDS, faults, latencies, link_faults, schedules
from scenarios.generate.gateway import NAMES, Known, draw_gateway
from scenarios.generate.plain import Plain, Word, either, fields, lists_of, moments, seldom, sometimes, spans
from scenarios.generate.traffic import draw_traffic
from scenarios.model.scenario import Scenario

__all__ = [
    "EVERY_KIND",
    "Kinds",
    "draw_rest",
    "draw_several",
    "draw_tasks_of",
    "scenarios",
    "seeds",
    "some",
]

_ABOUT = "Drawn at random: whatever happens in here, every promise holds."
_SEEDS_MAX = 9_999
_ENABLED_MAX = 8
_ACTS_MAX = 8
_FAULTS_MAX = 3
_GRANTS = ("100.00", "100.00", "100.00", "1.00", "0.30", "0.00")


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of misbehaviour that may be drawn, by who misbehaves; of one without any, nothing is.

    `provider` is of tasks, `chat` of models.
    """

    provider: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    billing: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


EVERY_KIND = Kinds(tuple(PROVIDER_KINDS), tuple(CHAT_KINDS), tuple(BILLING_KINDS), LINK_KINDS, FAULT_KINDS)


def seeds() -> SearchStrategy[int]:
    """The seed of a run: what is left to chance below the plan."""
    return st.integers(0, _SEEDS_MAX)


@st.composite
def scenarios(draw: DrawFn, kinds: Kinds = EVERY_KIND) -> Scenario:
    """Any scenario of tasks that a file may hold, of a size that plays in a moment."""
    wires = _draw_wires(draw)
    gateway = draw_gateway(draw, wires)
    acts = draw(some(kinds.provider))
    plain: Plain = {
        "about": _ABOUT,
        "gateway": gateway.part,
        "providers": {
            name: draw_tasks_of(draw, wire, acts) for wire, name in zip(wires, gateway.names, strict=True)
        },
    }
    if gateway.remote:
        plain["billing"] = _draw_billing(draw, gateway, kinds.billing)
    plain["traffic"] = draw_traffic(draw, gateway)
    return Scenario.model_validate({**plain, **draw_rest(draw, gateway, kinds)})


def draw_rest(draw: DrawFn, gateway: Known, kinds: Kinds) -> Plain:
    """What every scenario has beside who is there and what they do."""
    links = [
        *draw_several(draw, partial(link_faults, gateway), draw(some(kinds.links)), most=_FAULTS_MAX),
        *draw(lists_of(latencies(gateway), most=1)),
    ]
    broken = draw_several(draw, partial(faults, gateway), draw(some(kinds.faults)), most=_FAULTS_MAX)
    return {"links": links, "faults": broken, "schedule": schedules(draw), **_SETTLE(draw)}


def draw_tasks_of(draw: DrawFn, wire: str, acts: Sequence[str]) -> Plain:
    """One provider of tasks, with acts of these kinds."""
    plan = _PLAN(draw)
    return {"wire": wire, "plan": plan, "acts": draw_several(draw, provider_acts, acts, most=_ACTS_MAX)}


def _draw_wires(draw: DrawFn) -> list[str]:
    """One vendor; seldom two."""
    return list(dict.fromkeys(wire for wire in (_WIRE(draw), _ANOTHER(draw)) if wire is not None))


@cache
def some(kinds: tuple[str, ...]) -> SearchStrategy[list[str]]:
    """The kinds that one example enables: a few of all."""
    if not kinds:
        return st.just([])
    return st.lists(st.sampled_from(kinds), min_size=1, max_size=_ENABLED_MAX, unique=True)


def draw_several(
    draw: DrawFn, one: Callable[[Sequence[str]], Word], kinds: Sequence[str], *, most: int
) -> list[Plain]:
    """A few of what `one` draws, of these kinds."""
    return draw(lists_of(one(kinds), most=most)) if kinds else []


_WIRE = either(*NAMES)
_ANOTHER = seldom(_WIRE)
_SETTLE = fields(settle=sometimes(either("5m", "1h")))
_PLAN = fields(
    takes=sometimes(moments()),
    queued=sometimes(spans(0, 10_000, by_ms=500)),
    units=sometimes(either("1", "0", "0.3", "3.5", "12.345", "700")),
    unit_cost=sometimes(either("0.14", "0.05", "2.00")),
    outcome=seldom(either("failed")),
    idempotency=sometimes(either("honoured", "conflict")),
)
_GRANT = either(*_GRANTS)


def _draw_billing(draw: DrawFn, gateway: Known, kinds: tuple[str, ...]) -> Plain:
    names = ("alice", "bob", *(("team-red",) if gateway.teams else ()))
    acts = draw_several(draw, billing_acts, draw(some(kinds)), most=_ACTS_MAX)
    return {"accounts": {name: _GRANT(draw) for name in names}, "acts": acts}
