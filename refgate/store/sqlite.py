"""The `Store` on SQLite: each method one transaction, begun and committed without an await between.

The statements live in `calls`, `intents`, `sweeps` and `pages`; here is only where a transaction
begins and ends, which a single statement does by itself. Sweeps look before they lock, so that an idle
replica writes nothing.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from refgate.answer import Answer
from refgate.ledger.records import Attempt, Call, Fresh, Intent, NewCall, Opened, Verdict
from refgate.ledger.states import State
from refgate.store import calls, intents, pages, sweeps
from refgate.store.database import Database
from refgate.store.rows import CALL, call_of, text

__all__ = ["SqliteStore"]

_BY_TASK = f"SELECT {CALL} FROM calls WHERE provider = ? AND task_id = ?"


class SqliteStore:
    """See `ports.Store` for what each method promises. `database` may be shared with the books."""

    def __init__(self, database: Database | Callable[[], sqlite3.Connection]) -> None:
        self.database = database if isinstance(database, Database) else Database(database)

    async def open_call(self, new: NewCall) -> Opened:
        with self.database.single() as cx:
            if calls.insert_call(cx, new):
                return Fresh(calls.fresh(new))
        with self.database.write() as cx:
            return calls.open_call(cx, new)

    async def reject(self, call_id: str, *, reason: str, now_us: int) -> bool:
        with self.database.single() as cx:
            return calls.move(cx, call_id, State.REJECTED, text(reason), now_us=now_us)

    async def reserved(
        self, call_id: str, *, hold_id: str | None, flags: Sequence[str], now_us: int, due_us: int
    ) -> bool:
        if not flags:
            with self.database.single() as cx:
                return calls.move(cx, call_id, State.RESERVED, hold_id, now_us=now_us, due_us=due_us)
        with self.database.write() as cx:
            moved = calls.move(cx, call_id, State.RESERVED, hold_id, now_us=now_us, due_us=due_us)
            if moved:
                calls.flag(cx, call_id, flags)
            return moved

    async def begin_submit(self, call_id: str, attempt: Attempt, *, due_us: int) -> bool:
        with self.database.write() as cx:
            moved = calls.move(cx, call_id, State.SUBMITTING, now_us=attempt.started_us, due_us=due_us)
            if moved:
                calls.insert_attempt(cx, attempt)
            return moved

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
        with self.database.write() as cx:
            _close(cx, attempt)
            return calls.started(cx, call_id, task_id=task_id, answer=answer, now_us=now_us, due_us=due_us)

    async def unknown(
        self, call_id: str, *, reason: str, attempt: Attempt | None, now_us: int, due_us: int
    ) -> bool:
        with self.database.write() as cx:
            _close(cx, attempt)
            return calls.move(cx, call_id, State.UNKNOWN, text(reason), now_us=now_us, due_us=due_us)

    async def claim(
        self,
        call_id: str,
        verdict: Verdict,
        *,
        intent_id: str,
        attempt: Attempt | None = None,
        now_us: int,
    ) -> bool:
        with self.database.write() as cx:
            _close(cx, attempt)
            return calls.claim(cx, call_id, verdict, intent_id=intent_id, now_us=now_us)

    async def claim_late(
        self, call_id: str, verdict: Verdict, *, late_id: str, intent_id: str, now_us: int
    ) -> bool:
        with self.database.write() as cx:
            return calls.claim_late(cx, call_id, verdict, late_id=late_id, intent_id=intent_id, now_us=now_us)

    async def call(self, call_id: str) -> Call | None:
        with self.database.read() as cx:
            return calls.load(cx, call_id)

    async def by_task(self, provider: str, task_id: str) -> Call | None:
        with self.database.read() as cx:
            row = cx.execute(_BY_TASK, (provider, task_id)).fetchone()
            return None if row is None else call_of(row)

    async def answer(self, call_id: str, which: str) -> Answer | None:
        with self.database.read() as cx:
            return calls.stored_answer(cx, call_id, which)

    async def due_intents(self, *, now_us: int, lease_until_us: int, limit: int) -> Sequence[Intent]:
        with self.database.read() as cx:
            due = intents.due(cx, now_us=now_us, limit=limit)
        if not due:
            return ()
        with self.database.write() if len(due) > 1 else self.database.single() as cx:
            return [
                intent
                for intent in due
                if intents.lease(cx, intent, now_us=now_us, lease_until_us=lease_until_us)
            ]

    async def next_intent_us(self) -> int | None:
        with self.database.read() as cx:
            return intents.next_us(cx)

    async def delivered(self, intent: Intent, *, flags: Sequence[str] = (), now_us: int) -> bool:
        with self.database.write() as cx:
            return intents.delivered(cx, intent, flags=flags, now_us=now_us)

    async def postpone(self, intent: Intent, *, next_us: int, error: str, stuck: bool = False) -> None:
        with self.database.write() as cx:
            intents.postpone(cx, intent, next_us=next_us, error=error, stuck=stuck)

    async def due_calls(self, *, now_us: int, lease_until_us: int, limit: int) -> Sequence[Call]:
        with self.database.read() as cx:
            if not sweeps.any_due(cx, now_us=now_us):
                return ()
        with self.database.write() as cx:
            return sweeps.lease(cx, now_us=now_us, lease_until_us=lease_until_us, limit=limit)

    async def look_again(self, call_id: str, *, due_us: int, now_us: int) -> None:
        with self.database.single() as cx:
            cx.execute(
                "UPDATE calls SET due_us = ?, updated_us = ? WHERE call_id = ? AND due_us IS NOT NULL",
                (due_us, now_us, call_id),
            )

    async def attempt_opened(self, attempt: Attempt) -> None:
        with self.database.single() as cx:
            calls.insert_attempt(cx, attempt)

    async def attempt_closed(
        self, attempt_id: str, *, status: int | None, failure: str | None, now_us: int
    ) -> None:
        with self.database.single() as cx:
            calls.close_attempt(cx, attempt_id, status=status, failure=failure, ended_us=now_us)

    async def page(self, table: str, *, after: str | None, limit: int) -> Sequence[Mapping[str, Any]]:
        with self.database.read() as cx:
            return pages.page(cx, table, after=after, limit=limit)

    async def probe(self) -> None:
        """Raises StoreUnavailable where no call could be written down now."""
        self.database.probe()

    async def forget(self, *, before_us: int, limit: int) -> int:
        with self.database.read() as cx:
            if not sweeps.any_old(cx, before_us=before_us):
                return 0
        with self.database.write() as cx:
            return sweeps.forget(cx, before_us=before_us, limit=limit)

    def close(self) -> None:
        self.database.close()


def _close(cx: sqlite3.Connection, attempt: Attempt | None) -> None:
    if attempt is not None:
        calls.close_attempt(
            cx,
            attempt.attempt_id,
            status=attempt.status,
            failure=attempt.failure,
            ended_us=attempt.ended_us,
        )
