"""The SQLite store under power cuts, errors, strangers' files and size."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from refgate.ledger.records import Fresh, Replay
from refgate.ledger.states import State
from refgate.ports import Store, StoreUnavailable
from refgate.store import database
from refgate.store.database import Database, open_database
from refgate.store.schema import APPLICATION_ID, MIGRATIONS, StoreUnusable
from refgate.store.sqlite import SqliteStore
from tests.refgate.ledger_kit import (
    DONE,
    OK,
    CommitFault,
    Cut,
    FaultyConnection,
    File,
    attempt,
    bring,
    connect,
    drive,
    new_call,
    released,
    success,
)

LATER = 10**15


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    made = File(tmp_path / "store.sqlite")
    yield made
    made.close()


# --- power cuts ----------------------------------------------------------------------------------

# A whole life, as handler, poller and deliverer play it: each step goes on from what the file says, so
# that playing it again after a cut is what a restarted gateway does.


async def _open(store: Store) -> None:
    await store.open_call(new_call(idempotency_key="k"))


async def _reserve(store: Store) -> None:
    await store.reserved("c1", hold_id="h", flags=(), now_us=2_000, due_us=3_000)


async def _submit(store: Store) -> None:
    await store.begin_submit("c1", attempt("c1"), due_us=9_000)


async def _lose(store: Store) -> None:
    closed = attempt("c1", failure="read", ended_us=4_000)
    await store.unknown("c1", reason="read", attempt=closed, now_us=4_000, due_us=5_000)


async def _find(store: Store) -> None:
    await store.started("c1", task_id="t", answer=OK, attempt=None, now_us=5_000, due_us=6_000)


async def _release(store: Store) -> None:
    await store.claim("c1", released(), intent_id="i", now_us=7_000)


async def _charge_late(store: Store) -> None:
    await store.claim_late("c1", success(final=DONE), late_id="late", intent_id="j", now_us=8_000)


async def _deliver(store: Store) -> None:
    for intent in await store.due_intents(now_us=LATER, lease_until_us=LATER, limit=9):
        await store.delivered(intent, now_us=9_000)


LIFE: tuple[Callable[[Store], Coroutine[Any, Any, None]], ...] = (
    _open, _reserve, _submit, _lose, _find, _release, _charge_late, _deliver,
)  # fmt: skip


def everything(file: File) -> list[tuple[Any, ...]]:
    """All rows of all tables. Tries are left out: being handed out again after a cut counts."""
    calls = file.rows(
        "SELECT call_id, state, outcome, reason, amount_nanos, hold_id, task_id, flags, late_of, key_bound,"
        " due_us, ended_us, updated_us, body FROM calls ORDER BY call_id"
    )
    others = [
        row
        for table, columns in {
            "answers": "call_id, which, status, headers, body",
            "attempts": "attempt_id, call_id, status, failure, started_us, ended_us",
            "intents": "intent_id, call_id, hold_id, amount_nanos, key, next_us, done_us, stuck",
        }.items()
        for row in file.rows(f"SELECT {columns} FROM {table} ORDER BY 1, 2")
    ]
    return calls + others


def test_a_life_cut_at_any_commit_ends_the_same(tmp_path: Path) -> None:
    """Before the commit nothing of it is there, after it all of it is; a restart completes it."""
    calm = File(tmp_path / "calm.sqlite")
    counting = CommitFault(0, "never")
    for step in LIFE:
        drive(step(calm.store(counting)))
    whole = everything(calm)
    calm.close()
    assert counting.commits > len(LIFE)
    for at in range(1, counting.commits + 1):
        for side in ("before", "after"):
            file = File(tmp_path / f"{side}-{at}.sqlite")
            fault = CommitFault(at, side)
            store = file.store(fault)
            with pytest.raises(Cut):
                for step in LIFE:
                    drive(step(store))
            file.close()
            for step in LIFE:
                drive(step(file.store()))
            assert everything(file) == whole, (at, side)
            file.close()


def test_a_cut_inside_a_transaction_keeps_nothing_and_holds_no_lock(file: File) -> None:
    """Not even for the replica next door, while the dead one's connection is still open."""
    bring(file.store(), State.RUNNING)
    before = everything(file)

    def cut_at_intent(sql: str, side: str) -> None:
        if sql.startswith("INSERT INTO intents") and side == "after":
            raise Cut

    dying = file.store(cut_at_intent)
    with pytest.raises(Cut):
        drive(dying.claim("c1", success(), intent_id="i", now_us=9))
    assert everything(file) == before
    assert drive(file.store().claim("c1", success(), intent_id="i", now_us=9))


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "UPDATE calls", "INSERT INTO intents", "COMMIT"])
def test_an_error_anywhere_changes_nothing_and_is_typed(file: File, statement: str) -> None:
    """StoreUnavailable, named by SQLite's code and never by its message; the next try goes through."""
    bring(file.store(), State.RUNNING)
    before = everything(file)
    failing = True

    def fault(sql: str, side: str) -> None:
        if failing and sql.startswith(statement) and side == "before":
            raise sqlite3.OperationalError("disk I/O error at /secret/path")

    store = file.store(fault)
    with pytest.raises(StoreUnavailable) as caught:
        drive(store.claim("c1", success(), intent_id="i", now_us=9))
    assert "secret" not in str(caught.value)
    assert everything(file) == before
    failing = False
    assert drive(store.claim("c1", success(), intent_id="i", now_us=9))


def test_a_connection_that_cannot_roll_back_is_replaced(file: File) -> None:
    """Its half transaction dies with it, and the store goes on with a fresh one."""
    bring(file.store(), State.RUNNING)
    failing = True

    def fault(sql: str, side: str) -> None:
        if failing and side == "before" and sql in ("COMMIT", "ROLLBACK"):
            raise sqlite3.OperationalError("disk I/O error")

    store = file.store(fault)
    with pytest.raises(StoreUnavailable):
        drive(store.claim("c1", success(), intent_id="i", now_us=9))
    failing = False
    call = drive(store.call("c1"))
    assert call is not None
    assert call.state is State.RUNNING
    assert drive(store.claim("c1", success(), intent_id="i", now_us=9))


def test_a_neighbours_lock_is_an_error_and_no_wait_without_end(file: File) -> None:
    """Reads go on; writes say that the store is away, and work once it is back."""
    store = file.store()
    bring(store, State.RUNNING)
    other = connect(file.path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="BUSY"):
        drive(store.claim("c1", success(), intent_id="i", now_us=9))
    assert drive(store.call("c1")) is not None
    other.execute("ROLLBACK")
    other.close()
    assert drive(store.claim("c1", success(), intent_id="i", now_us=9))


def test_a_lock_that_is_held_for_long_is_waited_for_once(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting stops everybody's streams: the next ones are told at once, until the lock is had again."""
    monkeypatch.setattr(database, "_BUSY_MS", 300)
    store = SqliteStore(lambda: open_database(file.path))
    bring(store, State.RUNNING)
    other = connect(file.path)

    def refused_in_s(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            with pytest.raises(StoreUnavailable, match="BUSY"):
                drive(store.claim("c1", success(), intent_id="i", now_us=9))
        return time.perf_counter() - began

    for _ in range(2):
        other.execute("BEGIN IMMEDIATE")
        assert refused_in_s(1) >= 0.3
        assert refused_in_s(20) < 3  # and not six seconds
        other.execute("ROLLBACK")
        drive(store.claim("c1", success(), intent_id="i", now_us=9))
    other.close()
    store.close()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
def test_who_could_not_write_is_asked_again_by_writing(file: File, statement: str) -> None:
    """A store that is full or locked is away, though it can be read; it is back once a write is carried out.
    Looked at alone, it is not written to."""
    seen: list[str] = []

    def fault(sql: str, side: str) -> None:
        seen.append(sql)
        if sql == statement and side == "before" and away:
            raise sqlite3.OperationalError("database or disk is full")

    away, store = False, file.store(fault)
    bring(store, State.RUNNING)
    seen.clear()
    drive(store.probe())
    assert not any(sql.startswith(("BEGIN", "COMMIT")) for sql in seen)
    away = True
    with pytest.raises(StoreUnavailable):
        drive(store.claim("c1", success(), intent_id="i", now_us=9))
    assert drive(store.call("c1")) is not None
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            drive(store.probe())
    away = False
    drive(store.probe())
    seen.clear()
    drive(store.probe())
    assert not any(sql.startswith(("BEGIN", "COMMIT")) for sql in seen)


@pytest.mark.parametrize("changes", [{"hold_nanos": 2**63}, {"account": "\ud800"}])
def test_what_cannot_be_stored_leaves_nothing_behind(file: File, changes: dict[str, Any]) -> None:
    """Beyond 64 bits, or no Unicode: refused at the border, with the lock let go."""
    store = file.store()
    with pytest.raises(StoreUnavailable):
        drive(store.open_call(new_call(**changes)))
    assert isinstance(drive(store.open_call(new_call())), Fresh)


def test_a_closed_store_says_so(file: File) -> None:
    """It does not open itself again behind the back of whoever closed it."""
    store = file.store()
    bring(store, State.NEW)
    store.close()
    with pytest.raises(StoreUnavailable):
        drive(store.call("c1"))


# --- the file ------------------------------------------------------------------------------------


def test_what_was_committed_is_there_after_a_restart(file: File) -> None:
    """Calls, keys and answers live in the file, not in the process."""
    bring(file.store(), State.RUNNING, idempotency_key="k")
    file.close()
    assert drive(file.store().open_call(new_call("c2", idempotency_key="k"))) == Replay("c1", OK)


def test_two_replicas_may_start_on_one_new_file(file: File) -> None:
    """Both look before either has made the tables; the second finds them made."""
    late = connect(file.path)
    late.fault = None
    waiting = Database(lambda: late)
    first = file.store()

    def first_is_quicker(sql: str, side: str) -> None:
        if sql == "BEGIN IMMEDIATE" and side == "before":
            late.fault = None
            bring(first, State.NEW)

    late.fault = first_is_quicker
    call = drive(SqliteStore(waiting).call("c1"))
    late.close()
    assert call is not None


def test_a_file_of_a_newer_version_is_refused(file: File) -> None:
    """An older refgate must not write into tables it does not know."""
    bring(file.store(), State.NEW)
    file.close()
    cx = connect(file.path)
    cx.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    cx.close()
    with pytest.raises(StoreUnusable, match="version"):
        drive(file.store().call("c1"))


@pytest.mark.parametrize("statement", ["CREATE TABLE notes (words TEXT)", "PRAGMA user_version = 7"])
def test_a_file_of_another_program_is_refused_and_left_alone(file: File, statement: str) -> None:
    """A path typed wrongly must not cost anybody their data."""
    cx = connect(file.path)
    cx.execute(statement)
    cx.close()
    with pytest.raises(StoreUnusable, match="another program"):
        drive(file.store().call("c1"))
    assert file.rows("SELECT count(*) FROM sqlite_master WHERE name = 'calls'") == [(0,)]


def test_the_production_connection_waits_for_the_disk(tmp_path: Path) -> None:
    """WAL, a full sync at each commit, foreign keys, a bounded wait for locks; a file marked as ours."""
    path = tmp_path / "real.sqlite"
    store = SqliteStore(lambda: open_database(path))
    bring(store, State.FINALIZED)
    store.close()
    cx = open_database(path)
    read = {
        name: cx.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "application_id", "busy_timeout")
    }
    cx.close()
    assert read == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "application_id": APPLICATION_ID,
        "busy_timeout": 2_000,
    }


def test_a_file_that_is_no_database_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    """Typed, and without a connection left behind."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable):
        drive(SqliteStore(lambda: open_database(path)).call("c1"))
    assert path.read_bytes() == before


# --- cost ----------------------------------------------------------------------------------------


def test_an_idle_sweep_writes_nothing(file: File) -> None:
    """A replica with nothing to do takes no lock and makes no commit."""
    bring(file.store(), State.RUNNING)
    fault = CommitFault(0, "never")
    store = file.store(fault)
    drive(store.due_calls(now_us=5_000, lease_until_us=LATER, limit=9))
    drive(store.due_intents(now_us=5_000, lease_until_us=LATER, limit=9))
    drive(store.forget(before_us=5_000, limit=9))
    assert fault.commits == 0


def test_no_statement_of_a_calls_life_reads_more_than_its_own_rows(file: File) -> None:
    """Cost per call stays flat: every search goes through an index, whatever the tables' size."""
    seen: list[str] = []

    def trace(sql: str, side: str) -> None:
        if side == "before" and sql.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            seen.append(sql)

    store = file.store(trace)
    for step in LIFE:
        drive(step(store))
    drive(store.by_task("rh", "t"))
    drive(store.open_call(new_call(idempotency_key="k")))
    drive(store.due_calls(now_us=LATER, lease_until_us=LATER, limit=9))
    drive(store.look_again("c1", due_us=1, now_us=1))
    drive(store.attempt_closed("a", status=1, failure=None, now_us=1))
    drive(store.forget(before_us=LATER, limit=9))
    for table in ("accounts", "calls", "attempts", "holds", "entries", "intents"):
        drive(store.page(table, after="x", limit=9))
    cx = connect(file.path)
    scans = {
        sql: detail
        for sql in seen
        if "sqlite_master" not in sql
        for *_, detail in cx.execute(f"EXPLAIN QUERY PLAN {sql}", [0] * sql.count("?"))
        if not re.search("USING .*(INDEX|PRIMARY KEY)|CONSTANT ROW|SCALAR SUBQUERY", detail)
    }
    cx.close()
    assert len(seen) > 30
    assert scans == {}


def test_a_power_cut_is_not_mistaken_for_an_error() -> None:
    """The kit's own cut is no Exception, as the simulation's is not."""
    assert not issubclass(Cut, Exception)
    assert issubclass(FaultyConnection, sqlite3.Connection)
