"""A whole scenario from its parts: who is there, what clients do, what breaks.

Swarm: each example enables a few kinds of misbehaviour and draws all of its own from those, so that one
run is all storms and another all lost answers, and kinds meet that a uniform mix would keep apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from scenarios.generate.acts import BILLING_KINDS, PROVIDER_KINDS, billing_acts, provider_acts
from scenarios.generate.faults import FAULT_KINDS, LINK_KINDS, faults, latencies, link_faults, schedules
from scenarios.generate.gateway import NAMES, Known, draw_gateway
from scenarios.generate.plain import Plain, either, fields, lists_of, moments, seldom, sometimes, spans
from scenarios.generate.traffic import draw_traffic
from scenarios.model import Scenario

__all__ = ["scenarios", "seeds"]

_ABOUT = "Drawn at random: whatever happens in here, every promise holds."
_SEEDS_MAX = 9_999
_ENABLED_MAX = 8
_ACTS_MAX = 8
_FAULTS_MAX = 3
_GRANTS = ("100.00", "100.00", "100.00", "1.00", "0.30", "0.00")


def seeds() -> SearchStrategy[int]:
    """The seed of a run: what is left to chance below the plan."""
    return st.integers(0, _SEEDS_MAX)


@st.composite
def scenarios(draw: DrawFn) -> Scenario:
    """Any scenario that a file may hold, of a size that plays in a moment."""
    wires = _draw_wires(draw)
    gateway = draw_gateway(draw, wires)
    kinds = draw(_PROVIDER_KINDS)
    plain: Plain = {
        "about": _ABOUT,
        "gateway": gateway.part,
        "providers": {
            name: {"wire": wire, **_draw_provider(draw, kinds)}
            for wire, name in zip(wires, gateway.names, strict=True)
        },
    }
    if gateway.remote:
        plain["billing"] = _draw_billing(draw, gateway)
    plain["traffic"] = draw_traffic(draw, gateway)
    breaks = draw(_LINK_KINDS)
    plain["links"] = [
        *draw(lists_of(link_faults(gateway, breaks), most=_FAULTS_MAX)),
        *draw(lists_of(latencies(gateway), most=1)),
    ]
    breaks = draw(_FAULT_KINDS)
    plain["faults"] = draw(lists_of(faults(gateway, breaks), most=_FAULTS_MAX))
    plain["schedule"] = schedules(draw)
    return Scenario.model_validate({**plain, **_SETTLE(draw)})


def _draw_wires(draw: DrawFn) -> list[str]:
    """One vendor; seldom two."""
    return list(dict.fromkeys(wire for wire in (_WIRE(draw), _ANOTHER(draw)) if wire is not None))


def _some(kinds: Sequence[str]) -> SearchStrategy[list[str]]:
    """The kinds that one example enables: a few of all."""
    return st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=_ENABLED_MAX, unique=True)


_WIRE = either(*NAMES)
_ANOTHER = seldom(_WIRE)
_PROVIDER_KINDS = _some(tuple(PROVIDER_KINDS))
_BILLING_KINDS = _some(tuple(BILLING_KINDS))
_LINK_KINDS = _some(LINK_KINDS)
_FAULT_KINDS = _some(FAULT_KINDS)
_SETTLE = fields(settle=sometimes(either("5m", "1h")))
_PLAN = fields(
    takes=sometimes(moments()),
    queued=sometimes(spans(0, 10_000, by_ms=500)),
    units=sometimes(either("1", "0", "0.3", "3.5", "12.345", "700")),
    unit_cost=sometimes(either("0.14", "0.05", "2.00")),
    outcome=sometimes(either("failed")),
    idempotency=sometimes(either("honoured", "conflict")),
)
_GRANT = either(*_GRANTS)


def _draw_provider(draw: DrawFn, kinds: Sequence[str]) -> Plain:
    """What a provider's tasks do, and its misbehaviour."""
    acts = draw(lists_of(provider_acts(kinds), most=_ACTS_MAX))
    return {"plan": _PLAN(draw), "acts": acts}


def _draw_billing(draw: DrawFn, gateway: Known) -> Plain:
    names = ("alice", "bob", *(("team-red",) if gateway.teams else ()))
    kinds = draw(_BILLING_KINDS)
    acts = draw(lists_of(billing_acts(kinds), most=_ACTS_MAX))
    return {"accounts": {name: _GRANT(draw) for name in names}, "acts": acts}
