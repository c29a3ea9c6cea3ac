"""Fake providers of language models: several vendors' protocols over one scripted completion, one bill.

`provider` decides and `studio` makes, times and bills; a dialect says how one protocol words it. The plan
has prices, limits and speed, the acts of `fakes.acts.chats` depart from it.
"""

from __future__ import annotations

from fakes.chat.dialect import ChatDialect
from fakes.chat.dialects import CHAT_DIALECTS, VENDORS, dialects_named
from fakes.chat.plan import ChatPlan, Limits, ModelPlan
from fakes.chat.provider import ChatProvider
from fakes.chat.tokens import Prices, Tier, Tokens, cost_nanos

__all__ = [
    "CHAT_DIALECTS",
    "VENDORS",
    "ChatDialect",
    "ChatPlan",
    "ChatProvider",
    "Limits",
    "ModelPlan",
    "Prices",
    "Tier",
    "Tokens",
    "cost_nanos",
    "dialects_named",
]
