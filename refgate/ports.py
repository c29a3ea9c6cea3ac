"""Every door to the outside: clock, ids, chance, transport, database, sink, spool, store, billing.

Production and simulation differ in the `Ports` they hand in and in nothing else. What goes through the
doors of store and billing is in `ledger.records`; each method of `Store` is one whole transaction and never
spans an await.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from refgate.answer import Answer
from refgate.ledger.records import Attempt, Call, Hold, HoldPage, Intent, NewCall, Opened, Refused, Verdict
from refgate.ledger.states import State

if TYPE_CHECKING:
    import httpx

    from refgate.events import Event

__all__ = [
    "Billing",
    "BillingUnreachable",
    "Ports",
    "Spool",
    "SpoolFull",
    "SpoolUnusable",
    "Store",
    "StoreUnavailable",
]


@dataclass(frozen=True, slots=True)
class Ports:
    """What the gateway is given at start. Wall time is integer microseconds since the Unix epoch."""

    clock: Callable[[], int]
    ids: Callable[[str], str]  # prefix -> a new id that no other replica will make
    chance: random.Random  # jitter only; nothing that must be secret or unique
    transport: httpx.AsyncBaseTransport
    database: Callable[[], sqlite3.Connection]
    sink: Callable[[Event], None]
    spool: Callable[[], Spool]  # opened once, at start, where something is to be spooled


class SpoolFull(Exception):
    """There is no room for it: nothing has changed."""


class SpoolUnusable(Exception):
    """It cannot be opened: it is something else, cannot be written, or is somebody else's."""


class Spool(Protocol):
    """One replica's own small memory beside the store, for what the store is to have later.

    Records are bytes, oldest first. What was appended is there after a crash of the replica; what was
    dropped may be there again.
    """

    def append(self, record: bytes) -> None:
        """Raises SpoolFull."""

    def read(self) -> list[bytes]: ...

    def drop(self, count: int) -> None:
        """The oldest so many are gone."""

    def replace(self, records: Sequence[bytes]) -> None:
        """Some of those that are there, in the same order, and no others. Raises SpoolFull."""

    def close(self) -> None: ...


class StoreUnavailable(Exception):
    """The store could not carry the transaction out; nothing of it was kept."""


class BillingUnreachable(Exception):
    """Billing gave no verdict: it may or may not have applied what was asked."""


class Billing(Protocol):
    """Where holds and charges live: the embedded ledger or a remote service.

    Every method raises BillingUnreachable when there is no verdict. A key is applied once: the same
    call again gives the same result.
    """

    async def reserve(
        self, *, key: str, account: str, amount_nanos: int, call_id: str, provider: str
    ) -> Hold | Refused: ...

    async def finalize(self, *, key: str, hold_id: str, amount_nanos: int, reason: str) -> Refused | None:
        """Capture `amount_nanos` (0 releases everything) and close the hold."""

    async def open_holds(self, *, opened_before_us: int, after: str | None, limit: int) -> HoldPage:
        """Open holds, oldest first, for the sweep of orphans. `after` is the `next` of the page before."""


class Store(Protocol):
    """The gateway's memory. Each method is one transaction; moves are compare-and-set on `states`.

    Any method may raise StoreUnavailable, and then has changed nothing. A method that moves a call
    answers False (or None) when the call was not in a state that allows the move.
    """

    # Calls: the submit
    async def open_call(self, new: NewCall) -> Opened:
        """Makes the row and binds its key, or says what the key already stands for.

        InFlight with a state that is not open: the call ended without an answer of its own.
        """

    async def reject(self, call_id: str, *, reason: str, now_us: int) -> bool:
        """new → rejected, and the key is free again."""

    async def reserved(
        self, call_id: str, *, hold_id: str | None, flags: Sequence[str], now_us: int, due_us: int
    ) -> bool: ...
    async def begin_submit(self, call_id: str, attempt: Attempt, *, due_us: int) -> bool:
        """reserved → submitting, with the attempt's row."""

    async def started(
        self,
        call_id: str,
        *,
        task_id: str,
        answer: Answer | None,
        attempt: Attempt | None,
        now_us: int,
        due_us: int,
    ) -> State | None:
        """submitting | unknown → running. If another call owns this task id: None, and no move.

        Otherwise the state the call is in afterwards: RUNNING, or what it was where no move is allowed.
        A call that its deadline already released keeps the task id, so that a late success finds it.
        The first answer stands; a second one is not kept.
        """

    async def unknown(
        self, call_id: str, *, reason: str, attempt: Attempt | None, now_us: int, due_us: int
    ) -> bool:
        """submitting → unknown."""

    # Calls: the end
    async def claim(
        self,
        call_id: str,
        verdict: Verdict,
        *,
        intent_id: str,
        attempt: Attempt | None = None,
        now_us: int,
    ) -> bool:
        """reserved | submitting | unknown | running → finalizing, with the intent. One caller wins.

        The attempt is closed whoever wins; a submit answer is kept only where none was kept before.
        """

    async def claim_late(
        self, call_id: str, verdict: Verdict, *, late_id: str, intent_id: str, now_us: int
    ) -> bool:
        """A success seen after the deadline released the call: one late row, finalizing, hold-less.

        The released call keeps its verdict; it gets the final answer, for later polls.
        """

    # Reading
    async def call(self, call_id: str) -> Call | None: ...
    async def by_task(self, provider: str, task_id: str) -> Call | None: ...
    async def answer(self, call_id: str, which: str) -> Answer | None:
        """`which`: submit | final."""

    # Intents
    async def due_intents(self, *, now_us: int, lease_until_us: int, limit: int) -> Sequence[Intent]:
        """Undelivered intents that are due and not leased; leases them, which counts as a try."""

    async def next_intent_us(self) -> int | None:
        """When the next intent is due, or its lease ends; None while nothing is owed."""

    async def delivered(self, intent: Intent, *, flags: Sequence[str] = (), now_us: int) -> bool:
        """The intent is done and its call finalizing → finalized, together.

        A hold that was taken on the way (`intent.hold_id`) is written down where the call had none.
        """

    async def postpone(self, intent: Intent, *, next_us: int, error: str, stuck: bool = False) -> None: ...

    # Sweeping
    async def due_calls(self, *, now_us: int, lease_until_us: int, limit: int) -> Sequence[Call]:
        """Open, not finalizing calls whose `due_us` has come; moves their due time to the lease.

        Being handed out counts as a try; a move of state begins the count again.
        """

    async def look_again(self, call_id: str, *, due_us: int, now_us: int) -> None:
        """When the sweeper should next look. Whoever defers it clips `due_us` at the call's deadline
        (`Cadence.next_look_us`): else a caller who keeps polling would keep the deadline away.
        """

    # Attempts that belong to no move (polls, results, passthrough)
    async def attempt_opened(self, attempt: Attempt) -> None: ...
    async def attempt_closed(
        self, attempt_id: str, *, status: int | None, failure: str | None, now_us: int
    ) -> None: ...

    async def page(self, table: str, *, after: str | None, limit: int) -> Sequence[Mapping[str, Any]]:
        """Rows for the read API, in the order they were made; `table`: accounts calls attempts holds
        entries intents. The first column of a row is its cursor, which goes into `after`.
        """

    async def forget(self, *, before_us: int, limit: int) -> int:
        """Drops idempotency keys and stored bodies of calls that ended before then."""

    def close(self) -> None: ...
