"""The `LogStore` on SQLite: rows of the request log and the debug log, in batches, and dropped when old.

A row that comes again, after a crash, is known. One exception: that a call was lost is said by the sweep, and
replaces what a replica had noted of an end that it did not come to write down.

Rows come in nearly the order of their times, and are dropped from the oldest row on: no index on time is
needed, and a row that came late is dropped late. Knows nothing of what the rows say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import fields

from refgate.requestlog.rows import DebugRow, RequestRow, Row, values_of
from refgate.store.database import Database

__all__ = ["SqliteRequests"]


def _insert(table: str, kind: type[RequestRow] | type[DebugRow]) -> str:
    names = [field.name for field in fields(kind)]
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT ({names[0]}) DO "
    )


_REQUEST = _insert("requests", RequestRow) + (
    "UPDATE SET outcome = excluded.outcome, code = excluded.code, backend = excluded.backend,"
    " attempts = excluded.attempts, amount_nanos = excluded.amount_nanos, duration_us = excluded.duration_us"
    " WHERE excluded.outcome = 'lost'"
)
_DEBUG = _insert("debug", DebugRow) + "NOTHING"
_TABLES = ("requests", "debug")


class SqliteRequests:
    """See `rows.LogStore` for what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, rows: Sequence[Row]) -> None:
        requests = [values_of(row) for row in rows if isinstance(row, RequestRow)]
        debug = [values_of(row) for row in rows if isinstance(row, DebugRow)]
        with self._database.write() as cx:
            if requests:
                cx.executemany(_REQUEST, requests)
            if debug:
                cx.executemany(_DEBUG, debug)

    async def forget(self, *, before_us: int, limit: int) -> int:
        with self._database.read() as cx:
            old = [table for table in _TABLES if _begins_before(cx, table, before_us)]
        if not old:
            return 0
        with self._database.write() as cx:
            return max(_drop(cx, table, before_us, limit) for table in old)


def _begins_before(cx: sqlite3.Connection, table: str, before_us: int) -> bool:
    row = cx.execute(f"SELECT at_us FROM {table} ORDER BY seq LIMIT 1").fetchone()
    return row is not None and row[0] < before_us


def _drop(cx: sqlite3.Connection, table: str, before_us: int, limit: int) -> int:
    return cx.execute(
        f"DELETE FROM {table} WHERE seq IN"
        f" (SELECT seq FROM (SELECT seq, at_us FROM {table} ORDER BY seq LIMIT ?) WHERE at_us < ?)",
        (limit, before_us),
    ).rowcount
