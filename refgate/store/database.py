"""One replica's connection to the store file, and whole transactions on it.

A transaction is one `with` block without an await. It commits as the block is left, and anything
raised inside, a power cut included, leaves nothing of it behind. Knows no table but the guard's.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A write transaction. Raises StoreUnavailable where it could not be carried out."""
        try:
            with self._transaction(self._ready()) as cx:
                yield cx
        except _FAILURES as failure:
            raise _unavailable(failure) from failure

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """For single statements: each sees one committed state."""
        try:
            yield self._ready()
        except _FAILURES as failure:
            raise _unavailable(failure) from failure

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _ready(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable("closed")
        if self._cx is None:
            self._cx = self._connect()
            try:
                if not is_current(self._cx):
                    with self._transaction(self._cx) as cx:
                        migrate(cx)
            except BaseException:
                self._drop()
                raise
        return self._cx

    @contextmanager
    def _transaction(self, cx: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        cx.execute("BEGIN IMMEDIATE")
        try:
            yield cx
            cx.execute("COMMIT")
        except BaseException:
            self._undo(cx)
            raise

    def _undo(self, cx: sqlite3.Connection) -> None:
        try:
            if cx.in_transaction:
                cx.execute("ROLLBACK")
        except sqlite3.Error:
            # Closing rolls back as well, and a fresh connection owes nothing to this one.
            self._drop()

    def _drop(self) -> None:
        cx, self._cx = self._cx, None
        if cx is not None:
            try:
                cx.close()
            except sqlite3.Error:
                return  # nothing more can be done with a connection that cannot even be closed


def _unavailable(failure: BaseException) -> StoreUnavailable:
    # The name only: a message of SQLite's may quote what was to be stored.
    return StoreUnavailable(getattr(failure, "sqlite_errorname", None) or type(failure).__name__)
