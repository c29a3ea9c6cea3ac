"""Settles the calls that nobody has in hand any more: their replica went down, and their lease is over.

What is known of such a call is its row and its attempts' rows. Without an attempt nothing was sent: it costs
nothing. Where the last had ended, the call was waiting for its next try: nobody had served it, and it costs
nothing either. With one under way, nobody will ever say what the backend did: it is charged as an answer
without figures is, by `chat.missing_usage`, on an estimate of what went in, and flagged. The request log is
told of it, since the replica may not have been. Asks no backend and tells no caller.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from refgate.chat import pricing
from refgate.chat.records import AttemptEnd, ChatEnd, ChatOutcome, ChatStore, OpenChat
from refgate.config.chat import Chat
from refgate.dialects.spoken import Unmetered
from refgate.events import Event, Failed
from refgate.ledger.cadence import Cadence
from refgate.ledger.events import careful
from refgate.ledger.loop import Loop
from refgate.price_list import PriceList
from refgate.requestlog.rows import RequestRow

__all__ = ["ChatLost", "ChatSweep", "verdict"]

_FIRST_WORD_US = 10_000_000  # they look for the store every two seconds
_NOT_ANSWERED = 0  # what the caller heard, if anything, is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLost(Event):
    """A call whose replica went down was settled in its stead."""

    kind: ClassVar[str] = "chat-lost"
    level: ClassVar[str] = "warning"
    call_id: str
    reason: str
    amount_nanos: int


class ChatSweep:
    """One per replica. A round takes at most `cadence.at_once` calls; a full one is followed at once."""

    def __init__(
        self,
        store: ChatStore,
        *,
        chat: Chat,
        prices: PriceList,
        cadence: Cadence,
        clock: Callable[[], int],
        chance: random.Random,
        emit: Callable[[Event], None],
        note: Callable[[RequestRow], None],
    ) -> None:
        self._store = store
        self._chat = chat
        self._prices = prices
        self._cadence = cadence
        self._clock = clock
        self._chance = chance
        self._emit = careful(emit)
        self._note = note
        self._away = False  # the store, at the last round
        self._loop = Loop("chat-sweep", self._round, clock=clock, emit=emit)

    def start(self) -> None:
        self._loop.start()

    async def stop(self, *, within_us: int) -> None:
        """What is not settled by then is another replica's, or the next start's, when its lease is over."""
        await self._loop.stop(within_us=within_us)

    async def _round(self) -> int:
        now_us = self._clock()
        # Leases ran out while the store was away, of calls that are done and wait to be written down: those
        # who know what they cost have the first word.
        away, self._away = self._away, True
        lease_us = _FIRST_WORD_US if away else self._cadence.lease_us
        found = await self._store.abandoned(
            now_us=now_us, lease_until_us=now_us + lease_us, limit=self._cadence.at_once
        )
        self._away = False
        if away:
            return lease_us
        for call in found:
            await asyncio.sleep(0)  # each is a commit, and calls in hand must not wait for all of them
            try:
                await self._settle(call)
            except Exception as failure:
                self._failed(call, failure)  # its lease brings it back, and the others are not kept waiting
        if len(found) == self._cadence.at_once:
            return 0
        # Replicas that started together must not go on looking together.
        return self._cadence.every_us - self._chance.randrange(self._cadence.every_us // 5 + 1)

    async def _settle(self, call: OpenChat) -> None:
        now_us = self._clock()
        end, attempt = verdict(self._prices, self._chat, call, now_us=now_us)
        if await self._store.settle(call.call_id, end, attempt=attempt, now_us=now_us):
            self._note(_row(call, end, now_us=now_us))
            self._emit(
                ChatLost(t_us=now_us, call_id=call.call_id, reason=end.reason, amount_nanos=end.amount_nanos)
            )

    def _failed(self, call: OpenChat, failure: Exception) -> None:
        self._emit(
            Failed(t_us=self._clock(), where="chat-sweep", what=type(failure).__name__, call_id=call.call_id)
        )


def _row(call: OpenChat, end: ChatEnd, *, now_us: int) -> RequestRow:
    """The request as the log is to have it."""
    return RequestRow(
        request_id=call.call_id,
        at_us=call.created_us,
        caller=call.caller,
        account=call.account,
        protocol=call.protocol,
        model=call.model,
        stream=call.stream,
        outcome=end.outcome.value,
        code=end.reason,
        status=end.status,
        backend=end.backend,
        attempts=call.attempts,
        amount_nanos=end.amount_nanos,
        cache=None,
        duration_us=now_us - call.created_us,
    )


def verdict(
    prices: PriceList, chat: Chat, call: OpenChat, *, now_us: int
) -> tuple[ChatEnd, AttemptEnd | None]:
    """How an abandoned call ends, and its last attempt, where that is still open. Pure."""
    if call.last is None:
        return ChatEnd(ChatOutcome.LOST, "not_sent", _NOT_ANSWERED, 0, ("no_verdict",)), None
    unbilled = ("unbilled_work",) if call.doubtful else ()
    if call.last_ended:  # it was waiting for its next try: nobody had served it
        return ChatEnd(ChatOutcome.LOST, "not_served", _NOT_ANSWERED, 0, unbilled), None
    worked = pricing.Worked(
        usage=Unmetered(),
        served_model="",
        upstream_model=call.last.model,
        started_us=call.last.started_us,
        prompt=call.prompt_tokens,
        seen=0,
    )
    made = pricing.charge(prices, chat, worked, hold_nanos=call.hold_nanos)
    end = ChatEnd(
        ChatOutcome.LOST,
        "no_verdict",
        _NOT_ANSWERED,
        made.amount_nanos,
        ("no_verdict", *made.flags, *unbilled),
        backend=call.last.backend,
        upstream_model=call.last.model,
        metering=made.metering,
    )
    attempt = AttemptEnd(
        call.last.attempt_id,
        status=None,
        failure="lost",
        ambiguous=True,
        retry_after_us=None,
        metering=made.metering,
        ended_us=now_us,
    )
    return end, attempt
