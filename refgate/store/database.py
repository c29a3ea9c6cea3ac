"""One replica's connection to the store file, and whole transactions on it.

A transaction is one `with` block without an await. It commits as the block is left, and anything
raised inside, a power cut included, leaves nothing of it behind. What is one statement needs no block of
its own: SQLite makes it a transaction. Knows no table but the guard's.
"""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from refgate.ports import StoreUnavailable
from refgate.store.schema import is_current, migrate

__all__ = ["Database", "open_database"]

_BUSY_MS = 2_000
# Replicas hold the write lock for a fraction of a millisecond. The wait blocks the loop, so its
# ceiling is what a stalled neighbour may cost us, not what a transaction may take.


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
        self._alone = _Statements(self)

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """A write transaction. Raises StoreUnavailable where it could not be carried out."""
        return _Transaction(self)

    def single(self) -> AbstractContextManager[sqlite3.Connection]:
        """For one write statement, which is a transaction of its own."""
        return self._alone

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """For single statements: each sees one committed state."""
        return self._alone

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
        return cx

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


class _Statements:
    """A `with` block on the connection. What SQLite refuses in it comes out as StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        try:
            return self._database.ready()
        except _FAILURES as failure:
            raise _unavailable(failure) from failure

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, _FAILURES):
            raise _unavailable(error) from error


class _Transaction(_Statements):
    """The same, all of it or nothing."""

    _cx: sqlite3.Connection

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._cx = self._database.ready()
            self._cx.execute("BEGIN IMMEDIATE")
        except _FAILURES as failure:
            raise _unavailable(failure) from failure
        return self._cx

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._cx.execute("COMMIT")
            except BaseException as failure:
                self._database.undo(self._cx)
                if isinstance(failure, _FAILURES):
                    raise _unavailable(failure) from failure
                raise
            return
        self._database.undo(self._cx)
        super().__exit__(kind, error, trace)


def _close(cx: sqlite3.Connection) -> None:
    try:
        cx.close()
    except sqlite3.Error:
        return  # nothing more can be done with a connection that cannot even be closed


def _unavailable(failure: BaseException) -> StoreUnavailable:
    # The name only: a message of SQLite's may quote what was to be stored.
    return StoreUnavailable(getattr(failure, "sqlite_errorname", None) or type(failure).__name__)
