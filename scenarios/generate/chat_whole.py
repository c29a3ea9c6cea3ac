"""A whole scenario of chats from its parts: providers, their callers, what breaks; seldom tasks beside them.

Swarm, as for tasks: each example enables a few kinds of misbehaviour and draws all of its own from those.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from scenarios.generate.chat_acts import SELF, chat_acts, draw_plan
from scenarios.generate.chat_gateway import ChatKnown, draw_chat_gateway
from scenarios.generate.chat_traffic import draw_chat_traffic
from scenarios.generate.plain import Plain, either, seldom
from scenarios.generate.traffic import draw_traffic
from scenarios.generate.whole import (
    EVERY_KIND,
    Kinds,
    draw_rest,
    draw_several,
    draw_tasks_of,
    some,
)
from scenarios.model.scenario import Scenario

__all__ = ["chats"]

_ABOUT = "Drawn at random: whatever happens to these chats, every promise holds."
_CHAT_ACTS_MAX = 4
_WIRES = ("openai", "anthropic", "gemini")
_PRICED: Plain = {"prices": {"input": "0.50", "output": "2"}}
_ODDLY: Plain = {"*": _PRICED}
_ANYTHING = seldom(
    either(_ODDLY, {"*": {"served_as": "gpt-4o-mini", **_PRICED}}, {"*": {"served_as": "other-1", **_PRICED}})
)
"""A vendor that has a model of any name, and perhaps another name for what it serves."""


@st.composite
def chats(draw: DrawFn, kinds: Kinds = EVERY_KIND) -> Scenario:
    """Any scenario of chats that a file may hold, of a size that plays in a moment."""
    gateway = draw_chat_gateway(draw)
    acts = draw(some(kinds.chat))
    plain: Plain = {
        "about": _ABOUT,
        "gateway": gateway.known.part,
        "providers": {name: _draw_provider(draw, gateway, name, acts, kinds) for name in gateway.wires},
        "traffic": draw_chat_traffic(draw, gateway),
    }
    if gateway.tasks is not None:
        plain["traffic"] += draw_traffic(draw, gateway.tasks)[:2]
    return Scenario.model_validate({**plain, **draw_rest(draw, gateway.known, kinds)})


def _draw_provider(draw: DrawFn, gateway: ChatKnown, name: str, acts: Sequence[str], kinds: Kinds) -> Plain:
    wire = gateway.wires[name]
    if wire not in _WIRES:
        return draw_tasks_of(draw, wire, draw(some(kinds.provider)))
    models = _ANYTHING(draw) or (_ODDLY if name in gateway.odd else None)
    plan = draw_plan(draw, models)
    drawn = draw_several(draw, chat_acts, acts, most=_CHAT_ACTS_MAX)
    return {"wire": wire, "plan": plan, "acts": [_by(name, act) for act in drawn]}


def _by(name: str, act: Plain) -> Plain:
    """The act as this provider plays it: what it says of itself is said by name."""
    ((kind, does),) = act["do"].items()
    if "message" not in does:
        return act
    return {**act, "do": {kind: {**does, "message": does["message"].replace(SELF, name)}}}
