"""Finalize intents inside a transaction: leasing them out, closing them, putting them off."""

import sqlite3
from collections.abc import Sequence

from refgate.ledger.records import Intent
from refgate.store.calls import finish
from refgate.store.rows import INTENT, intent_of, text

__all__ = ["delivered", "due", "lease", "next_us", "postpone"]

_DUE = (
    f"SELECT {INTENT} FROM intents i JOIN calls c ON c.call_id = i.call_id"
    " WHERE i.next_us <= ? ORDER BY i.next_us, i.seq LIMIT ?"
)


def next_us(cx: sqlite3.Connection) -> int | None:
    # Said so that the index of what is owed serves it; min() would read the whole table.
    row = cx.execute(
        "SELECT next_us FROM intents WHERE next_us IS NOT NULL ORDER BY next_us LIMIT 1"
    ).fetchone()
    return None if row is None else int(row[0])


def due(cx: sqlite3.Connection, *, now_us: int, limit: int) -> Sequence[Intent]:
    """What is due, as it will be if it can be leased."""
    return [intent_of(row) for row in cx.execute(_DUE, (now_us, limit)).fetchall()]


def lease(cx: sqlite3.Connection, intent: Intent, *, now_us: int, lease_until_us: int) -> bool:
    """One statement: of any number of replicas that saw it due, one gets it."""
    leased = cx.execute(
        "UPDATE intents SET next_us = ?, tries = ? WHERE intent_id = ? AND next_us <= ?",
        (lease_until_us, intent.tries, intent.intent_id, now_us),
    )
    return leased.rowcount == 1


def delivered(cx: sqlite3.Connection, intent: Intent, *, flags: Sequence[str], now_us: int) -> bool:
    done = cx.execute(
        "UPDATE intents SET done_us = ?, next_us = NULL, stuck = 0, error = NULL,"
        " hold_id = coalesce(hold_id, ?) WHERE intent_id = ? AND done_us IS NULL",
        (now_us, intent.hold_id, intent.intent_id),
    )
    if done.rowcount == 0:
        return False
    return finish(cx, intent.call_id, hold_id=intent.hold_id, flags=flags, now_us=now_us)


def postpone(cx: sqlite3.Connection, intent: Intent, *, next_us: int, error: str, stuck: bool) -> None:
    cx.execute(
        "UPDATE intents SET next_us = ?, error = ?, stuck = max(stuck, ?)"
        " WHERE intent_id = ? AND done_us IS NULL",
        (next_us, text(error), int(stuck), intent.intent_id),
    )
