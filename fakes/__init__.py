"""What stands in for the outside of a gateway: providers, billing, the network, time, and their journal.

The names here are the ones most callers need; `fakes.time` and `fakes.wire` are rooms of their own. The
fakes know neither the gateway nor the scenarios.
"""

from __future__ import annotations

from fakes.acts.script import BillingAct, ChatAct, ProviderAct, Script
from fakes.billing import BillingService
from fakes.books import Balance
from fakes.chat import CHAT_DIALECTS, ChatPlan, ChatProvider
from fakes.durations import EPOCH_US, DurationUs, duration_text, parse_us
from fakes.journal import Fact, Journal
from fakes.tasks import DIALECTS, TaskPlan, TaskProvider

__all__ = [
    "CHAT_DIALECTS",
    "DIALECTS",
    "EPOCH_US",
    "Balance",
    "BillingAct",
    "BillingService",
    "ChatAct",
    "ChatPlan",
    "ChatProvider",
    "DurationUs",
    "Fact",
    "Journal",
    "ProviderAct",
    "Script",
    "TaskPlan",
    "TaskProvider",
    "duration_text",
    "parse_us",
]
