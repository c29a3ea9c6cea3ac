"""Gives back holds that belong to no living call, and forgets what no key protects any more.

An orphan is a hold whose call is missing or has ended without it: the handler died, or gave up, between
billing's yes and writing it down. The call's row is written before billing first hears of it and a
terminal state never changes, so listing a hold and then reading its row cannot mistake a living call's
hold for an orphan, whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Callable

from refgate.events import Event, Failed
from refgate.ledger.cadence import Cadence
from refgate.ledger.events import OrphanReleased, careful
from refgate.ledger.keys import is_reserve_key, orphan_key
from refgate.ledger.loop import Loop
from refgate.ledger.records import Hold
from refgate.ledger.states import TERMINAL
from refgate.ports import Billing, Store

__all__ = ["Housekeeping"]


class Housekeeping:
    """A round reads at most `cadence.pages_max` pages; the next one goes on from there."""

    def __init__(
        self,
        store: Store,
        billing: Billing,
        *,
        cadence: Cadence,
        clock: Callable[[], int],
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._billing = billing
        self._cadence = cadence
        self._clock = clock
        self._emit = careful(emit)
        self._after: str | None = None
        self._loop = Loop("housekeeping", self._round, clock=clock, emit=emit)

    def start(self) -> None:
        self._loop.start()

    async def stop(self, *, within_us: int) -> None:
        await self._loop.stop(within_us=within_us)

    async def _round(self) -> int:
        try:
            await self.release_orphans()
        except Exception as failure:
            # Billing away must not keep old keys from being forgotten.
            self._emit(Failed(t_us=self._clock(), where="housekeeping", what=type(failure).__name__))
        await self.forget()
        return self._cadence.orphans_every_us

    async def release_orphans(self) -> None:
        for _ in range(self._cadence.pages_max):
            page = await self._billing.open_holds(
                opened_before_us=self._clock() - self._cadence.orphan_after_us,
                after=self._after,
                limit=self._cadence.batch,
            )
            for hold in page.holds:
                if await self._is_orphan(hold):
                    await self._release(hold)
            self._after = page.next
            if page.next is None:
                return

    async def _is_orphan(self, hold: Hold) -> bool:
        if not is_reserve_key(hold.key, hold.call_id):
            return False  # billing may serve others, and their holds are not ours to release
        call = await self._store.call(hold.call_id)
        if call is None:
            return True
        return call.state in TERMINAL and call.hold_id != hold.hold_id

    async def _release(self, hold: Hold) -> None:
        refused = await self._billing.finalize(
            key=orphan_key(hold.hold_id), hold_id=hold.hold_id, amount_nanos=0, reason="orphan"
        )
        self._emit(
            OrphanReleased(
                t_us=self._clock(),
                hold_id=hold.hold_id,
                call_id=hold.call_id,
                code=None if refused is None else refused.code,
            )
        )

    async def forget(self) -> None:
        before_us = self._clock() - self._cadence.keep_us
        for _ in range(self._cadence.pages_max):
            if await self._store.forget(before_us=before_us, limit=self._cadence.batch) < self._cadence.batch:
                return
