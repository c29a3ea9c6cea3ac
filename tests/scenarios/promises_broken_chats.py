"""The same for chats: of promises that tasks share, the safeguard that chats have of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from refgate.chat import admission, outgoing, settling
from refgate.chat.cache import Cache
from refgate.chat.exchange import Exchange
from refgate.chat.pricing import Charge, hold_nanos
from refgate.chat.records import OpenChat
from refgate.chat.settling import Ending
from refgate.chat.sweep import ChatSweep
from refgate.chat.works import Call
from refgate.config.models import Backend
from refgate.dialects.canonical import Protocol
from refgate.headers import Pairs
from refgate.ledger.records import Hold
from refgate.price_list import PriceList
from refgate.store import chats, postings
from scenarios.sabotage.swap import Swap
from tests.scenarios.promises_broken import BROKEN

__all__ = ["BROKEN_FOR_CHATS"]

_say = Exchange._say
_headers = outgoing._headers


async def _head_without_its_token(self: Exchange, data: bytes) -> None:
    """The token that lets the head go out does not go with it."""
    await _say(self, data if self._first_token_us is not None else b"")


def _one_for_all(
    self: Cache, *, account: str, protocol: Protocol, model: str, body: Mapping[str, Any]
) -> str | None:
    return "the answer"


def _with_whom_it_is_for(backend: Backend) -> Pairs:
    return (*_headers(backend), ("x-forwarded-for", "192.0.2.1"))


def _hope(
    prices: PriceList,
    models: Iterable[str],
    *,
    input_tokens: int,
    output_tokens: int,
    web_searches: int,
    at_us: int,
    until_us: int,
) -> int:
    """Nothing is set aside."""
    return 0


def _not_written(cx: sqlite3.Connection, hold: Hold, *, provider: str) -> None:
    """The balance has moved; the hold has no row."""


async def _left_lying(self: ChatSweep, call: OpenChat) -> None:
    """Whose replica went down is nobody's call."""


def _unflagged(call: Call, ending: Ending, charged: Charge | None) -> tuple[str, ...]:
    return ()


BROKEN_FOR_CHATS = {
    "money-is-conserved": BROKEN["money-is-conserved"],
    "budget-never-exceeded": Swap(postings, postings._HOLD, BROKEN["budget-never-exceeded"].becomes),
    "no-phantom-refusal": BROKEN["no-phantom-refusal"],
    "charge-in-bounds": Swap(admission, hold_nanos, _hope),
    "no-work-without-hold": Swap(chats, postings.open_hold, _not_written),
    "every-hold-ends": Swap(ChatSweep, ChatSweep._settle, _left_lying),
    "success-is-charged": Swap(settling, settling._flags, _unflagged),
    "bytes-intact": Swap(Exchange, _say, _head_without_its_token),
    "tenants-apart": Swap(Cache, Cache.key_of, _one_for_all),
    "headers-clean": Swap(outgoing, _headers, _with_whom_it_is_for),
}
"""Promise → what keeps it for chats, taken out."""
