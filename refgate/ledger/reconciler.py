"""Ends the calls that nobody else ends: left lying, unknown, or running with nobody polling.

Theory of operation
===================
Every open call has a time at which somebody should look at it (`due_us`): the end of its handler's
lease, its next poll, its next attempt at the truth. The sweep takes those whose time has come, leases
them, and does what its state asks for. All moves are the store's compare-and-sets, so a sweep that meets
a live handler, a caller's poll or another replica's sweep loses or wins, and never does a thing twice.

Rule 1: a call that never reached the provider is ended at 0; one that may have is `unknown` until the
        provider's truth is known. A time-out is not a verdict.
Rule 2: only the declared policy ends a call without a verdict, and only after its deadline, and only
        after one more look.
Rule 3: whatever fails here, the lease brings the call back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol, assert_never

from refgate.answer import Answer
from refgate.events import CallEnded, Event, Failed
from refgate.ledger.cadence import Cadence
from refgate.ledger.events import Overdue, Swept, careful
from refgate.ledger.hands import Hands
from refgate.ledger.keys import reserve_key
from refgate.ledger.loop import Loop
from refgate.ledger.records import Call, Refused, Verdict
from refgate.ledger.states import Outcome, State
from refgate.policy.backoff import Backoff
from refgate.ports import Billing, Store

__all__ = ["Inquiry", "Reconciler"]


class Inquiry(Protocol):
    """How the sweep asks a provider. Each makes the moves that a caller's own request would have made.

    What is still open afterwards had no verdict; raising means the same.
    """

    async def resolve(self, call: Call) -> None:
        """An unknown submit: send it again under its label, find it, or nothing, as declared."""

    async def poll(self, call: Call) -> None:
        """A running task: exactly what a caller's poll does."""

    def parting(self, call: Call, outcome: Outcome) -> Answer | None:
        """What a retry under the call's key is told, where the submit itself got no answer."""


class Reconciler:
    """At most `cadence.at_once` calls in hand, each for at most `cadence.hand_us`."""

    def __init__(
        self,
        store: Store,
        billing: Billing,
        inquiry: Inquiry,
        *,
        release: bool,
        cadence: Cadence,
        clock: Callable[[], int],
        ids: Callable[[str], str],
        chance: random.Random,
        emit: Callable[[Event], None],
        owed: Callable[[], None],
    ) -> None:
        """`release`: the declared policy for tasks without a verdict. `owed`: wakes the deliverer."""
        self._store = store
        self._billing = billing
        self._inquiry = inquiry
        self._release = release
        self._cadence = cadence
        self._clock = clock
        self._ids = ids
        self._chance = chance
        self._emit = careful(emit)
        self._owed = owed
        self._asking = Backoff(cadence.every_us, 5 * cadence.poll_after_us)
        self._polling = Backoff(cadence.poll_after_us, 5 * cadence.poll_after_us)
        self._loop = Loop("reconciler", self._dispatch, clock=clock, emit=emit)
        self._hands = Hands(cadence.at_once, freed=self._loop.wake)

    def start(self) -> None:
        self._loop.start()

    async def stop(self, *, within_us: int) -> None:
        """Takes nothing new; whatever is cut off is due again when its lease ends."""
        deadline_us = self._clock() + within_us
        await self._loop.stop(within_us=within_us)
        if not await self._hands.rest(within_us=max(deadline_us - self._clock(), 0)):
            self._emit(Failed(t_us=self._clock(), where="reconciler", what="stopped_in_hand"))

    async def _dispatch(self) -> int:
        # Replicas that started together must not go on looking together.
        pause_us = self._cadence.every_us - self._chance.randrange(self._cadence.every_us // 5 + 1)
        if self._hands.free == 0:
            return pause_us  # a look that ends wakes the loop
        now_us = self._clock()
        due = await self._store.due_calls(
            now_us=now_us, lease_until_us=now_us + self._cadence.lease_us, limit=self._hands.free
        )
        for call in due:
            if call.call_id not in self._hands:
                self._hands.take(call.call_id, self._look(call))
        return pause_us

    async def _look(self, call: Call) -> None:
        try:
            async with asyncio.timeout(self._cadence.hand_us / 1e6):
                await self._attend(call)
        except Exception as failure:
            self._failed(call, failure)
        try:
            await self._conclude(call)
        except Exception as failure:
            self._failed(call, failure)  # its lease brings it back; nothing was decided

    async def _attend(self, call: Call) -> None:
        """What the state asks for. Nothing here decides that there will be no verdict."""
        now_us = self._clock()
        match call.state:
            case State.NEW:
                await self._learn_hold(call)
            case State.RESERVED:
                await self._end(call, Outcome.UNREACHED, "abandoned")
            case State.SUBMITTING:
                await self._store.unknown(
                    call.call_id, reason="abandoned", attempt=None, now_us=now_us, due_us=now_us
                )
            case State.UNKNOWN:
                await self._inquiry.resolve(call)
            case State.RUNNING:
                await self._inquiry.poll(call)
            case State.FINALIZING | State.FINALIZED | State.REJECTED:
                return  # the deliverer has the first; nobody has the others
            case _:
                assert_never(call.state)

    async def _learn_hold(self, call: Call) -> None:
        """Asks billing again under the same key: that shows the hold, or takes it, or is refused."""
        held = await self._billing.reserve(
            key=reserve_key(call.call_id),
            account=call.account,
            amount_nanos=call.hold_nanos,
            call_id=call.call_id,
            provider=call.provider,
        )
        now_us = self._clock()
        if isinstance(held, Refused):
            await self._store.reject(call.call_id, reason=held.code, now_us=now_us)
        elif await self._store.reserved(
            call.call_id, hold_id=held.hold_id, flags=(), now_us=now_us, due_us=now_us
        ):
            # Its handler, should it still live, finds the call taken from it and goes no further.
            await self._end(call, Outcome.UNREACHED, "abandoned")

    async def _conclude(self, call: Call) -> None:
        """After the look: moved on, or out of time, or to be looked at again."""
        left = await self._store.call(call.call_id)
        now_us = self._clock()
        if left is None or left.state is not call.state:
            now = "gone" if left is None else left.state.value
            self._emit(Swept(t_us=now_us, call_id=call.call_id, state=call.state.value, now=now))
            return
        delay_us = self._backoff(call).delay_us(call.tries, self._chance)
        due_us = self._cadence.next_look_us(created_us=call.created_us, now_us=now_us, after_us=delay_us)
        if now_us >= self._cadence.deadline_us(call.created_us):
            due_us = now_us + delay_us
            if call.state in (State.UNKNOWN, State.RUNNING):
                if self._release:
                    await self._end(left, Outcome.EXPIRED, "no_verdict", "unverified")
                    return
                self._emit(
                    Overdue(t_us=now_us, call_id=call.call_id, state=call.state.value, tries=call.tries)
                )
        await self._store.look_again(call.call_id, due_us=due_us, now_us=now_us)

    def _backoff(self, call: Call) -> Backoff:
        """A task that runs is asked about rarely; a call left lying is somebody's money."""
        return self._polling if call.state is State.RUNNING else self._asking

    async def _end(self, call: Call, outcome: Outcome, reason: str, *flags: str) -> None:
        now_us = self._clock()
        verdict = Verdict(0, outcome, reason, flags, submit=self._inquiry.parting(call, outcome))
        if await self._store.claim(call.call_id, verdict, intent_id=self._ids("intent"), now_us=now_us):
            self._emit(
                CallEnded(
                    t_us=now_us,
                    call_id=call.call_id,
                    provider=call.provider,
                    outcome=outcome.value,
                    reason=reason,
                    amount_nanos=0,
                    flags=flags,
                )
            )
            self._owed()

    def _failed(self, call: Call, failure: Exception) -> None:
        self._emit(
            Failed(
                t_us=self._clock(),
                where=f"reconciler.{call.state.value}",
                what=type(failure).__name__,
                call_id=call.call_id,
            )
        )
