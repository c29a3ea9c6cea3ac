"""Hands finalize intents to billing until billing has acknowledged each of them.

Theory of operation
===================
A claim writes its intent in its own transaction; from there on this loop, on whatever replica, owes it
to billing. Leases keep replicas apart for speed, not for safety: two that deliver one intent send one
key, and billing applies a key once.

Rule 1: an intent ends by `delivered` and in no other way; it is retried for ever, ever more slowly.
Rule 2: no verdict and "no" are different. No verdict: the same again, later. No: `stuck`, or, where
        there never was a hold to charge, `unbillable`.
Rule 3: whatever fails here, the lease brings the intent back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

from refgate.events import Event, Failed
from refgate.ledger.cadence import Cadence
from refgate.ledger.events import Delivered, Postponed, Stuck, careful
from refgate.ledger.hands import Hands
from refgate.ledger.keys import reserve_key, reserve_less_key
from refgate.ledger.loop import Loop
from refgate.ledger.records import Hold, Intent, Refused
from refgate.ports import Billing, BillingUnreachable, Store, StoreUnavailable

__all__ = ["Deliverer"]

_PAUSE_MIN_US = 1_000  # never 0: whatever the store says is due, the loop must not spin


class Deliverer:
    """At most `cadence.at_once` intents in hand, each for at most `cadence.hand_us`."""

    def __init__(
        self,
        store: Store,
        billing: Billing,
        *,
        cadence: Cadence,
        clock: Callable[[], int],
        chance: random.Random,
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._billing = billing
        self._cadence = cadence
        self._clock = clock
        self._chance = chance
        self._emit = careful(emit)
        self._loop = Loop("deliverer", self._dispatch, clock=clock, emit=emit)
        self._hands = Hands(cadence.at_once, freed=self._loop.wake)

    def start(self) -> None:
        self._loop.start()

    def wake(self) -> None:
        """There is a new intent. Without it the loop looks by itself, a little later."""
        self._loop.wake()

    async def stop(self, *, within_us: int) -> None:
        """Takes nothing new, finishes what is in hand in time; the rest comes back by its lease."""
        deadline_us = self._clock() + within_us
        await self._loop.stop(within_us=within_us)
        if not await self._hands.rest(within_us=max(deadline_us - self._clock(), 0)):
            self._emit(Failed(t_us=self._clock(), where="deliverer", what="stopped_in_hand"))

    async def _dispatch(self) -> int:
        if self._hands.free == 0:
            return self._cadence.every_us  # a delivery that ends wakes the loop
        now_us = self._clock()
        leased = await self._store.due_intents(
            now_us=now_us, lease_until_us=now_us + self._cadence.lease_us, limit=self._hands.free
        )
        for intent in leased:
            if intent.intent_id not in self._hands:
                self._hands.take(intent.intent_id, self._attend(intent))
        next_us = await self._store.next_intent_us()
        wait_us = self._cadence.every_us if next_us is None else next_us - now_us
        return max(min(wait_us, self._cadence.every_us), _PAUSE_MIN_US)

    async def _attend(self, intent: Intent) -> None:
        try:
            async with asyncio.timeout(self._cadence.hand_us / 1e6):
                await self._deliver(intent)
        except StoreUnavailable:
            self._failed(intent, "StoreUnavailable")
        except (BillingUnreachable, TimeoutError):
            await self._postpone(intent, "unreachable")
        except Exception as failure:
            await self._postpone(intent, type(failure).__name__)

    async def _deliver(self, intent: Intent) -> None:
        if intent.hold_id is None and intent.amount_nanos == 0:
            # Nothing to charge and nothing known to release: if a reserve landed after all, its hold is
            # an orphan from here on, and is swept as one.
            await self._done(intent)
            return
        if intent.hold_id is None:
            hold = await self._late_hold(intent)
            if isinstance(hold, Refused):
                if hold.code == "conflict":
                    await self._stuck(intent, hold)
                else:
                    await self._done(intent, "unbillable")
                return
            intent = replace(intent, hold_id=hold.hold_id)
        assert intent.hold_id is not None
        refused = await self._billing.finalize(
            key=intent.key, hold_id=intent.hold_id, amount_nanos=intent.amount_nanos, reason=intent.reason
        )
        if refused is None:
            await self._done(intent)
        else:
            await self._stuck(intent, refused)

    async def _late_hold(self, intent: Intent) -> Hold | Refused:
        """The hold of a call that went on without one.

        First under the key of the call's own reserve, which may have been applied though no answer came:
        then it is that very hold. If the configured hold does not fit, what is owed may.
        """
        hold = await self._reserve(intent, reserve_key(intent.call_id), intent.hold_nanos)
        if isinstance(hold, Refused) and hold.code != "conflict" and intent.amount_nanos < intent.hold_nanos:
            return await self._reserve(intent, reserve_less_key(intent.call_id), intent.amount_nanos)
        return hold

    async def _reserve(self, intent: Intent, key: str, amount_nanos: int) -> Hold | Refused:
        return await self._billing.reserve(
            key=key,
            account=intent.account,
            amount_nanos=amount_nanos,
            call_id=intent.call_id,
            provider=intent.provider,
        )

    async def _done(self, intent: Intent, *flags: str) -> None:
        now_us = self._clock()
        if await self._store.delivered(intent, flags=flags, now_us=now_us):
            self._emit(
                Delivered(
                    t_us=now_us,
                    call_id=intent.call_id,
                    intent_id=intent.intent_id,
                    amount_nanos=intent.amount_nanos,
                    tries=intent.tries,
                    flags=flags,
                )
            )

    async def _stuck(self, intent: Intent, refused: Refused) -> None:
        now_us = self._clock()
        self._emit(Stuck(t_us=now_us, call_id=intent.call_id, intent_id=intent.intent_id, code=refused.code))
        await self._store.postpone(
            intent, next_us=now_us + self._cadence.stuck_retry_us, error=refused.code, stuck=True
        )

    async def _postpone(self, intent: Intent, error: str) -> None:
        now_us = self._clock()
        next_us = now_us + self._cadence.delivery.delay_us(intent.tries, self._chance)
        self._emit(
            Postponed(
                t_us=now_us,
                call_id=intent.call_id,
                intent_id=intent.intent_id,
                tries=intent.tries,
                error=error,
                next_us=next_us,
            )
        )
        try:
            await self._store.postpone(intent, next_us=next_us, error=error)
        except Exception as failure:
            self._failed(intent, type(failure).__name__)
        self._loop.wake()  # its next time is nearer than the lease the loop is waiting for

    def _failed(self, intent: Intent, what: str) -> None:
        self._emit(Failed(t_us=self._clock(), where="deliverer", what=what, call_id=intent.call_id))
