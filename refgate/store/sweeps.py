"""What the sweeps ask of the store, inside a transaction: calls that are due, keys that are old."""

import sqlite3
from collections.abc import Sequence

from refgate.ledger.records import Call
from refgate.store.rows import CALL, call_of

__all__ = ["any_due", "any_old", "forget", "lease"]


def any_due(cx: sqlite3.Connection, *, now_us: int) -> bool:
    return cx.execute("SELECT 1 FROM calls WHERE due_us <= ? LIMIT 1", (now_us,)).fetchone() is not None


def lease(cx: sqlite3.Connection, *, now_us: int, lease_until_us: int, limit: int) -> Sequence[Call]:
    seqs = cx.execute(
        "SELECT seq FROM calls WHERE due_us <= ? ORDER BY due_us, seq LIMIT ?", (now_us, limit)
    ).fetchall()
    leased = []
    for (seq,) in seqs:
        cx.execute("UPDATE calls SET due_us = ?, tries = tries + 1 WHERE seq = ?", (lease_until_us, seq))
        row = cx.execute(f"SELECT {CALL} FROM calls WHERE seq = ?", (seq,)).fetchone()
        leased.append(call_of(row))
    return leased


def any_old(cx: sqlite3.Connection, *, before_us: int) -> bool:
    return cx.execute("SELECT 1 FROM calls WHERE ended_us < ? LIMIT 1", (before_us,)).fetchone() is not None


def forget(cx: sqlite3.Connection, *, before_us: int, limit: int) -> int:
    """Rows stay for ever; what goes is what a key protects and the bodies kept for replay."""
    old = cx.execute(
        "SELECT seq, call_id FROM calls WHERE ended_us < ? ORDER BY ended_us, seq LIMIT ?", (before_us, limit)
    ).fetchall()
    for seq, call_id in old:
        cx.execute("UPDATE calls SET key_bound = NULL, ended_us = NULL WHERE seq = ?", (seq,))
        cx.execute("DELETE FROM answers WHERE call_id = ?", (call_id,))
    return len(old)
