"""A replica's door to its store: real SQLite that counts commits, fails in windows and loses its power.

The gateway gets a `sqlite3.Connection` and cannot tell it from any other. Here every statement passes
the replica's `Power`: a commit may be the place where the power is cut (before it, so that nothing of the
transaction stays, or after it, so that all of it does and nobody hears), and a window of the timeline may
make statements fail as a locked, full or broken disk would. It never judges and never retries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NoReturn, Self
from urllib.parse import quote

from fakes.time import Owner, PowerCut

__all__ = ["CommitCut", "Power", "StoreLaw", "connect", "kept"]

_SHARED_MEMORY = (3, 36)  # from this version on, connections of one name share one memory

_Point = Literal["begin", "commit", "write", "other"]

_POINTS: dict[str, _Point] = {
    "BEGIN": "begin",
    "COMMIT": "commit",
    "END": "commit",
    "INSERT": "write",
    "UPDATE": "write",
    "DELETE": "write",
    "REPLACE": "write",
}
_ERRORS = {
    "locked": ("database is locked", 5, "SQLITE_BUSY"),
    "full": ("database or disk is full", 13, "SQLITE_FULL"),
    "io": ("disk I/O error", 10, "SQLITE_IOERR"),
}


@lru_cache(maxsize=1024)
def _point(sql: str) -> _Point:
    """What a statement is, by its first word."""
    words = sql.replace(";", " ").split(maxsplit=1)
    return _POINTS.get(words[0].upper(), "other") if words else "other"


@dataclass(slots=True)
class StoreLaw:
    """One window of store errors, and how often it has met a statement."""

    error: Literal["locked", "full", "io"]
    on: Literal["begin", "commit", "any"]
    from_us: int
    until_us: int
    count: int | None
    skip: int
    chance: float
    draw: Callable[[], float]
    seen: int = 0
    met: int = 0

    def meets(self, now_us: int, point: _Point) -> bool:
        # A write outside a transaction begins and commits one of its own.
        if self.on != "any" and point not in (self.on, "write"):
            return False
        if not self.from_us <= now_us < self.until_us:
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.count is not None and self.met >= self.count):
            return False
        if self.chance < 1 and self.draw() >= self.chance:
            return False
        self.met += 1
        return True


@dataclass(slots=True)
class CommitCut:
    """The power goes at the commit with this number, counted over all incarnations."""

    at_commit: int
    side: Literal["before", "after"]


@dataclass(slots=True, eq=False)
class Power:
    """What stands behind the connections of one incarnation of one replica."""

    owner: Owner
    now_us: Callable[[], int]
    cut: Callable[[CommitCut], None]  # cuts the owner's power; the step ends with PowerCut
    committed: Callable[[], int]  # counts one commit and says how many there were with it
    failed: Callable[[str], None]  # hears of every statement that failed as the timeline asked
    cuts: list[CommitCut]
    laws: list[StoreLaw]
    open: list[_Connection] = field(default_factory=list)

    def drop(self) -> None:
        """The power is gone: open transactions are rolled back, the file stays."""
        for connection in self.open:
            sqlite3.Connection.close(connection)
        self.open.clear()

    def check(self) -> None:
        """The dead do nothing: their step ends here."""
        if not self.owner.alive:
            raise PowerCut

    def admit(self, connection: sqlite3.Connection, sql: str) -> CommitCut | None:
        """What befalls a statement before it runs; a cut that is to come right after it."""
        if not self.owner.alive:
            raise PowerCut
        point = _point(sql)
        if point == "write" and connection.in_transaction:
            point = "other"
        if self.laws:
            self._fail(connection, point)
        if point not in ("commit", "write"):
            return None
        number = self.committed()
        cut = next((one for one in self.cuts if one.at_commit == number), None) if self.cuts else None
        if cut is not None and cut.side == "before":
            self.lose(cut)
        return cut

    def lose(self, cut: CommitCut) -> NoReturn:
        """The power goes here: the step of the gateway that is running ends."""
        self.cut(cut)
        raise PowerCut

    def _fail(self, connection: sqlite3.Connection, point: _Point) -> None:
        law = next((law for law in self.laws if law.meets(self.now_us(), point)), None)
        if law is None:
            return
        self.failed(law.error)
        if law.error != "locked" and connection.in_transaction:
            # A full or failing disk ends the transaction, as SQLite itself does.
            sqlite3.Connection.rollback(connection)
        message, code, name = _ERRORS[law.error]
        error = sqlite3.OperationalError(message)
        error.sqlite_errorcode, error.sqlite_errorname = code, name
        raise error


class _Cursor(sqlite3.Cursor):
    connection: _Connection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        cut = self.connection.power.admit(self.connection, sql)
        super().execute(sql, parameters)
        if cut is not None:
            self.connection.power.lose(cut)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        cut = self.connection.power.admit(self.connection, sql)
        super().executemany(sql, parameters)
        if cut is not None:
            self.connection.power.lose(cut)
        return self

    def executescript(self, sql: str, /) -> Self:
        raise _no_scripts()


class _Connection(sqlite3.Connection):
    power: Power

    def cursor(self, factory: Any = None) -> Any:
        self.power.check()
        return super().cursor(_Cursor if factory is None else factory)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        power = self.power
        cut = power.admit(self, sql)
        cursor = sqlite3.Connection.execute(self, sql, parameters)
        if cut is not None:
            power.lose(cut)
        return cursor

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        cursor: _Cursor = self.cursor()
        return cursor.executemany(sql, parameters)

    def executescript(self, sql: str, /) -> sqlite3.Cursor:
        raise _no_scripts()

    def commit(self) -> None:
        self.power.check()
        if self.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        self.power.check()
        super().rollback()

    def __exit__(self, kind: object, value: object, trace: object) -> Literal[False]:
        # sqlite3's own would commit without asking anybody.
        if kind is None:
            self.commit()
        else:
            self.rollback()
        return False

    def close(self) -> None:
        if self in self.power.open:
            self.power.open.remove(self)
        super().close()


def _no_scripts() -> sqlite3.NotSupportedError:
    return sqlite3.NotSupportedError("executescript commits behind one's back: use BEGIN, execute, COMMIT")


@contextmanager
def kept(path: str) -> Iterator[str]:
    """A store that stays for the length of the block, whoever opens and closes it meanwhile; its name.

    It lies in SQLite's own memory file system, where each connection is what it is on a file, and nothing
    is spent on a disk that no power cut here can reach. Where SQLite has none, it is the file at `path`.
    """
    name = f"file:{quote(path)}?vfs=memdb"
    try:
        if sqlite3.sqlite_version_info < _SHARED_MEMORY:
            raise sqlite3.OperationalError("each connection would have a memory of its own")
        anchor = sqlite3.connect(name, uri=True)
    except sqlite3.OperationalError:
        yield path
        return
    with closing(anchor):
        yield name


def connect(store: str, power: Power) -> sqlite3.Connection:
    """A connection to the store for one incarnation. It never waits: nobody holds a lock for long."""
    power.check()
    in_memory = store.startswith("file:")
    connection = sqlite3.connect(
        store, timeout=0, isolation_level=None, factory=_Connection, cached_statements=256, uri=in_memory
    )
    connection.power = power
    power.open.append(connection)
    journal = "MEMORY" if in_memory else "WAL"
    for pragma in (f"journal_mode = {journal}", "synchronous = OFF", "foreign_keys = ON"):
        # Durability is what the cut simulates, so nothing needs to reach a disk.
        sqlite3.Connection.execute(connection, f"PRAGMA {pragma}")
    return connection
