"""When each token comes: the first after a while, the others at a pace, all slower under load.

A time is drawn for the request and for nothing else, and lies on a grid of a millisecond; reasoning
takes its time before the first word, whether it is shown or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fakes.acts.chats import ChatTakes
from fakes.chat.dialect import Event
from fakes.chat.plan import ChatPlan

__all__ = ["Pace", "paced", "timed"]

_GRID_US = 1_000


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of one completion: its first token, and the time between two."""

    headers_us: int
    first_us: int
    between_us: int

    def token_us(self, number: int) -> int:
        """When the token of this number, from 1, is there; without any, when the first would be."""
        return self.first_us + max(0, number - 1) * self.between_us


def paced(plan: ChatPlan, takes: ChatTakes | None, *, running: int, draw: float) -> Pace:
    """How fast this completion is, with so many others in progress."""
    jitter_us = plan.first_jitter_us if takes is None else takes.jitter
    first_us = plan.first_us if takes is None or takes.first is None else takes.first
    between_us = plan.between_us if takes is None or takes.between is None else takes.between
    slower = Fraction(plan.load_factor) - 1
    factor = 1 + slower * min(running, plan.load_full) / plan.load_full
    first_us = _on_grid((first_us + int(draw * jitter_us)) * factor)
    return Pace(min(plan.headers_us, first_us), first_us, _on_grid(between_us * factor))


def timed(events: Sequence[Event], pace: Pace) -> list[Event]:
    """The events, each due when its last token is there; those without tokens go with the one before."""
    tokens = 0
    for event in events:
        tokens += event.output_text + event.output_reasoning
        early = event.lead and not tokens
        event.at_us = pace.headers_us if early else pace.token_us(tokens)
    return list(events)


def _on_grid(us: Fraction | int) -> int:
    return int(us) // _GRID_US * _GRID_US
