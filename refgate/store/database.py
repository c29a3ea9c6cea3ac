"""One replica's connection to the store file, and whole transactions on it.

A transaction is one `with` block without an await. It commits as the block is left, and anything
raised inside, a power cut included, leaves nothing of it behind. What is one statement needs no block of
its own: SQLite makes it a transaction. What is written on every call's way is written `together` with what
others write at that moment: they share a commit, which is what a write costs, and nothing else. Knows no
table but the guard's.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from refgate.ports import StoreUnavailable
from refgate.store.schema import is_current, migrate, touch

__all__ = ["Database", "open_database"]

T = TypeVar("T")

_TOGETHER_MAX = 256

_BUSY_MS = 2_000
_BUSY_AGAIN_MS = 5
# Replicas hold the write lock for a fraction of a millisecond. The wait blocks the loop, so its
# ceiling is what a stalled neighbour may cost us, not what a transaction may take; and it costs us
# that once: as long as the lock is not had, the next ones hardly wait.


def open_database(path: str | Path) -> sqlite3.Connection:
    """The connection used in production: every commit is on the disk before it counts."""
    cx = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, cached_statements=256)
    try:
        cx.execute("PRAGMA journal_mode = WAL")
        cx.execute("PRAGMA synchronous = FULL")
        cx.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        cx.close()  # a file that is locked or no database: the caller tries again, with a fresh one
        raise
    return cx


# Values that SQLite cannot take (2**63, a lone surrogate) fail at binding, before anything is kept.
_FAILURES = (sqlite3.Error, OverflowError, UnicodeEncodeError)


class Database:
    """Opened on first use, and opened again when the connection could not be brought back to rest."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._cx: sqlite3.Connection | None = None
        self._closed = False
        self._hurried = False  # whoever has the write lock has had it for long
        self._failed = False  # something was refused, and no transaction has been carried out since
        self._alone = _Statements(self)
        self._waiting: list[_Work] = []

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """A write transaction. Raises StoreUnavailable where it could not be carried out."""
        return _Transaction(self)

    def single(self) -> AbstractContextManager[sqlite3.Connection]:
        """For one write statement, which is a transaction of its own."""
        return self._alone

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """For single statements: each sees one committed state."""
        return self._alone

    async def together(self, write: Callable[[sqlite3.Connection], T]) -> T:
        """A write transaction that shares its commit with those that are asked for at the same moment.

        It stands alone all the same: what one of them raises undoes that one only. `write` may be called
        again, after its first effects were undone.
        """
        work = _Work(write, asyncio.get_running_loop().create_future())
        self._waiting.append(work)
        if len(self._waiting) == 1:
            try:
                await self._joined()
            except asyncio.CancelledError:
                self._write_waiting()  # the others wait for it
                work.forget()
                raise
            self._write_waiting()
        done: T = await work.done
        return done

    async def _joined(self) -> None:
        """Whoever else is ready to write joins: until a turn of the loop brings nobody new."""
        known = 0
        while known < len(self._waiting) < _TOGETHER_MAX:
            known = len(self._waiting)
            await asyncio.sleep(0)

    def _write_waiting(self) -> None:
        """Everything that waits, each once, in the order it came."""
        waiting, self._waiting = self._waiting, []
        for begin in range(0, len(waiting), _TOGETHER_MAX):
            group = waiting[begin : begin + _TOGETHER_MAX]
            if len(group) == 1 or not self._written_as_one(group):
                for work in group:
                    work.attempt(self)

    def _written_as_one(self, group: list[_Work]) -> bool:
        """One transaction for all of them; False, and nothing kept, where anything in it failed."""
        try:
            with self.write() as cx:
                results = [work.write(cx) for work in group]
        except Exception:  # whose it is shows when each is tried alone
            return False
        for work, result in zip(group, results, strict=True):
            work.resolve(result)
        return True

    def probe(self) -> None:
        """Raises StoreUnavailable where nothing could be written now: which is tried only where it failed
        before, so that a replica which is merely looked at writes nothing."""
        with self.read() as cx:
            if not is_current(cx):
                raise StoreUnavailable("the file has another version's tables")
        if self._failed:
            with self.write() as cx:
                touch(cx)

    def close(self) -> None:
        self._closed = True
        self._drop()

    def ready(self) -> sqlite3.Connection:
        """The connection, at rest and with this version's tables."""
        if self._cx is None:
            self._cx = self._open()
        return self._cx

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable("closed")
        cx = self._connect()
        try:
            if not is_current(cx):
                cx.execute("BEGIN IMMEDIATE")
                migrate(cx)
                cx.execute("COMMIT")
        except BaseException:
            _close(cx)  # which rolls back
            raise
        self._hurried = False
        return cx

    def written(self) -> None:
        """A transaction was carried out."""
        self._failed = False
        if self._hurried:
            self._wait_at_most(_BUSY_MS)

    def unavailable(self, failure: BaseException) -> StoreUnavailable:
        """What SQLite's failure is to everybody else."""
        self._failed = True
        # The name only: a message of SQLite's may quote what was to be stored.
        name = getattr(failure, "sqlite_errorname", None) or type(failure).__name__
        if name == "SQLITE_BUSY" and not self._hurried:
            self._wait_at_most(_BUSY_AGAIN_MS)
        return StoreUnavailable(name)

    def _wait_at_most(self, busy_ms: int) -> None:
        self._hurried = busy_ms == _BUSY_AGAIN_MS
        if self._cx is not None:
            with suppress(sqlite3.Error):  # which only takes longer then, or shorter
                self._cx.execute(f"PRAGMA busy_timeout = {busy_ms}")

    def undo(self, cx: sqlite3.Connection) -> None:
        """Nothing of an open transaction stays."""
        try:
            if cx.in_transaction:
                cx.execute("ROLLBACK")
        except sqlite3.Error:
            # Closing rolls back as well, and a fresh connection owes nothing to this one.
            self._drop()

    def _drop(self) -> None:
        cx, self._cx = self._cx, None
        if cx is not None:
            _close(cx)


@dataclass(slots=True, eq=False)
class _Work:
    """One transaction that waits for its commit: made also where whoever asked for it has gone by then."""

    write: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]

    def attempt(self, database: Database) -> None:
        """By itself."""
        try:
            with database.write() as cx:
                result = self.write(cx)
        except Exception as failure:
            if not self.done.done():
                self.done.set_exception(failure)
            return
        self.resolve(result)

    def resolve(self, result: object) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def forget(self) -> None:
        """Nobody asks any more how it went."""
        if self.done.done() and not self.done.cancelled():
            self.done.exception()


class _Statements:
    """A `with` block on the connection. What SQLite refuses in it comes out as StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        try:
            return self._database.ready()
        except _FAILURES as failure:
            raise self._database.unavailable(failure) from failure

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, _FAILURES):
            raise self._database.unavailable(error) from error


class _Transaction(_Statements):
    """The same, all of it or nothing."""

    _cx: sqlite3.Connection

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._cx = self._database.ready()
            self._cx.execute("BEGIN IMMEDIATE")
        except _FAILURES as failure:
            raise self._database.unavailable(failure) from failure
        return self._cx

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._cx.execute("COMMIT")
                self._database.written()
            except BaseException as failure:
                self._database.undo(self._cx)
                if isinstance(failure, _FAILURES):
                    raise self._database.unavailable(failure) from failure
                raise
            return
        self._database.undo(self._cx)
        super().__exit__(kind, error, trace)


def _close(cx: sqlite3.Connection) -> None:
    try:
        cx.close()
    except sqlite3.Error:
        return  # nothing more can be done with a connection that cannot even be closed
