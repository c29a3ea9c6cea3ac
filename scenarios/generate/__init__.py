"""Whole scenarios, drawn at random: `scenarios()` of tasks and `chats()` of models are Hypothesis
strategies whose examples are `Scenario`.

What is drawn is a plan, as a person would have written it (kinds of faults, whole milliseconds, counts),
small things first, so that a failure shrinks to a short file. Each example enables a few kinds of
misbehaviour out of all there are. Every example is a valid scenario that the gateway accepts; what must
come of it is not drawn: the invariants judge. Needs the extra `generate`.
"""

from scenarios.generate.chat_whole import chats
from scenarios.generate.whole import EVERY_KIND, Kinds, scenarios, seeds

__all__ = ["EVERY_KIND", "Kinds", "chats", "scenarios", "seeds"]
