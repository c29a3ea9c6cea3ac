"""What the tests of store and ledger share: calls in any state, files, faults at the connection."""

from __future__ import annotations

import asyncio
import atexit
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from refgate.answer import Answer
from refgate.ledger.records import Attempt, Call, Fresh, NewCall, Verdict
from refgate.ledger.states import Outcome, State
from refgate.ports import Store
from refgate.store.database import Database
from refgate.store.sqlite import SqliteStore

T = TypeVar("T")
OK = Answer(200, (("content-type", "application/json"), ("x-many", "1"), ("x-many", "2")), b'{"taskId": "t"}')
DONE = Answer(200, (("content-type", "application/json"),), b'{"status": "SUCCESS"}')


class Cut(BaseException):
    """The power goes: no code handles this."""


def drive(coro: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends; store methods promise not to."""
    try:
        coro.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coro.close()
    raise AssertionError("the coroutine suspended")


def drive_together(coro: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for whoever writes at the same moment: nobody, here."""
    return _loop().run_until_complete(coro)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


class FaultyConnection(sqlite3.Connection):
    """Shows each statement to `fault` before and after it is carried out; what that raises, happens.

    A write that is its own transaction begins and commits too, and is shown so.
    """

    fault: Callable[[str, str], None] | None = None

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        shown = [sql]
        if not self.in_transaction and sql.startswith(("INSERT", "UPDATE", "DELETE")):
            shown = ["BEGIN IMMEDIATE", sql, "COMMIT"]
        for one in shown if self.fault is not None else ():
            self.fault(one, "before")
        cursor = super().execute(sql, *args)
        for one in shown if self.fault is not None else ():
            self.fault(one, "after")
        return cursor


def connect(path: Path) -> FaultyConnection:
    """As in production, without waiting for the disk or for other replicas."""
    cx = sqlite3.connect(path, isolation_level=None, timeout=0, factory=FaultyConnection)
    cx.execute("PRAGMA journal_mode = WAL")
    cx.execute("PRAGMA synchronous = OFF")
    cx.execute("PRAGMA foreign_keys = ON")
    return cx


class CommitFault:
    """Raises at the n-th commit, before or after it is carried out. Counts all of them."""

    def __init__(self, at: int, side: str, raising: Callable[[], BaseException] = Cut) -> None:
        self.at = at
        self.side = side
        self.raising = raising
        self.commits = 0

    def __call__(self, sql: str, side: str) -> None:
        if sql != "COMMIT":
            return
        if side == "before":
            self.commits += 1
        if self.commits == self.at and side == self.side:
            raise self.raising()


class File:
    """A store file, and the replicas that were opened on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections: list[FaultyConnection] = []

    def database(self, fault: Callable[[str, str], None] | None = None) -> Database:
        def open_one() -> FaultyConnection:
            cx = connect(self.path)
            cx.fault = fault
            self.connections.append(cx)
            return cx

        return Database(open_one)

    def store(self, fault: Callable[[str, str], None] | None = None) -> SqliteStore:
        return SqliteStore(self.database(fault))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What is really in the file, past all code under test."""
        cx = connect(self.path)
        try:
            return cx.execute(sql).fetchall()
        finally:
            cx.close()

    def close(self) -> None:
        for cx in self.connections:
            cx.close()
        self.connections.clear()


def new_call(call_id: str = "c1", **changes: Any) -> NewCall:
    fields: Mapping[str, Any] = {
        "call_id": call_id,
        "account": "alice",
        "provider": "rh",
        "fingerprint": "print",
        "hold_nanos": 500,
        "route": 0,
        "submit_path": "/openapi/v2/run",
        "captures": {"app": "x"},
        "body": b'{"prompt": "p"}',
        "idempotency_key": None,
        "now_us": 1_000,
        "lease_until_us": 31_000,
    }
    return NewCall(**{**fields, **changes})


def attempt(call_id: str | None, attempt_id: str | None = None, **changes: Any) -> Attempt:
    fields: Mapping[str, Any] = {
        "attempt_id": attempt_id or f"submit-{call_id}",
        "call_id": call_id,
        "provider": "rh",
        "op": "submit",
        "method": "POST",
        "path": "/openapi/v2/run",
        "started_us": 3_000,
    }
    return Attempt(**{**fields, **changes})


def success(amount_nanos: int = 300, **changes: Any) -> Verdict:
    return Verdict(amount_nanos, Outcome.SUCCESS, "success", **changes)


def released() -> Verdict:
    return Verdict(0, Outcome.EXPIRED, "no_verdict", ("unverified",))


def bring(store: Store, state: State, call_id: str = "c1", **changes: Any) -> Call:
    """A new call, moved to the state by the shortest way."""

    async def steps() -> None:
        assert isinstance(await store.open_call(new_call(call_id, **changes)), Fresh)
        if state is State.NEW:
            return
        if state is State.REJECTED:
            assert await store.reject(call_id, reason="insufficient_funds", now_us=2_000)
            return
        assert await store.reserved(call_id, hold_id=f"hold-{call_id}", flags=(), now_us=2_000, due_us=32_000)
        if state is State.RESERVED:
            return
        assert await store.begin_submit(call_id, attempt(call_id), due_us=93_000)
        if state is State.SUBMITTING:
            return
        if state is State.UNKNOWN:
            assert await store.unknown(call_id, reason="read", attempt=None, now_us=4_000, due_us=5_000)
            return
        if state is State.RUNNING:
            moved = await store.started(
                call_id, task_id=f"t-{call_id}", answer=OK, attempt=None, now_us=4_000, due_us=64_000
            )
            assert moved is State.RUNNING
            return
        assert await store.claim(call_id, success(), intent_id=f"i-{call_id}", now_us=5_000)
        if state is State.FINALIZING:
            return
        for intent in await store.due_intents(now_us=10**15, lease_until_us=10**15 + 1, limit=1000):
            if intent.call_id == call_id:
                assert await store.delivered(intent, now_us=6_000)

    drive(steps())
    call = drive(store.call(call_id))
    assert call is not None
    assert call.state is state
    return call
