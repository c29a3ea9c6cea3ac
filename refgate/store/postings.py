"""Movements of money between an account's books, inside a write transaction.

Every movement is the balances' change and a group of entries whose sum is 0. Nothing here begins or
commits, and nothing here knows why money moves: `ledger.books` states the rules, and whoever ends a call and
charges it in one transaction keeps to the same ones.
"""

import sqlite3
from collections.abc import Mapping

from refgate.ledger.records import Hold, Refused
from refgate.money import NANOS_MAX
from refgate.store.rows import text

__all__ = ["enter", "finalize_hold", "open_hold", "set_aside"]

_ENTRIES = {
    count: "INSERT INTO entries (entry_id, txn_id, book, account, amount_nanos, call_id, kind, at_us) VALUES "
    + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * count)
    for count in (1, 2, 3)
}
_HOLD = (
    "UPDATE accounts SET available_nanos = available_nanos - ?, held_nanos = held_nanos + ? WHERE account = ?"
    " AND available_nanos >= ? AND (budget_nanos IS NULL OR settled_nanos + held_nanos + ? <= budget_nanos)"
)
_CAPTURE = (
    "UPDATE accounts SET available_nanos = available_nanos + ?, held_nanos = held_nanos - ?,"
    " settled_nanos = settled_nanos + ? WHERE account = ?"
)


def set_aside(cx: sqlite3.Connection, account: str, nanos: int) -> Refused | None:
    """Moves the amount from what is available to what is held, where it fits the account and its budget;
    else says why not, and nothing is written. `open_hold` follows in the same transaction.
    """
    if not 0 <= nanos <= NANOS_MAX:
        raise ValueError("a hold is between 0 and NANOS_MAX")
    if cx.execute(_HOLD, (nanos, nanos, account, nanos, nanos)).rowcount == 1:
        return None
    row = cx.execute("SELECT available_nanos FROM accounts WHERE account = ?", (account,)).fetchone()
    if row is None:
        return Refused("account_unknown")
    return Refused("insufficient_funds" if nanos > row[0] else "over_budget")


def open_hold(cx: sqlite3.Connection, hold: Hold, *, provider: str) -> None:
    """The row and the entries of a hold whose amount was set aside."""
    nanos = hold.amount_nanos
    cx.execute(
        "INSERT INTO holds (hold_id, key, account, call_id, provider, amount_nanos, state, opened_us)"
        " VALUES (?, ?, ?, ?, ?, ?, 'open', ?)",
        (hold.hold_id, hold.key, hold.account, hold.call_id, provider, nanos, hold.opened_us),
    )
    enter(
        cx,
        f"hold:{hold.hold_id}",
        hold.account,
        "hold",
        {"available": -nanos, "held": nanos},
        call_id=hold.call_id,
        now_us=hold.opened_us,
    )


def finalize_hold(
    cx: sqlite3.Connection,
    *,
    hold_id: str,
    account: str,
    call_id: str,
    held_nanos: int,
    amount_nanos: int,
    key: str,
    reason: str,
    now_us: int,
) -> bool:
    """Captures the amount, which may be more than was held, and releases the rest. False where the hold is
    not open."""
    closed = cx.execute(
        "UPDATE holds SET state = 'finalized', captured_nanos = ?, finalize_key = ?, reason = ?"
        " WHERE hold_id = ? AND state = 'open'",
        (amount_nanos, key, text(reason), hold_id),
    )
    if closed.rowcount == 0:
        return False
    back_nanos = held_nanos - amount_nanos
    cx.execute(_CAPTURE, (back_nanos, held_nanos, amount_nanos, account))
    enter(
        cx,
        f"finalize:{hold_id}",
        account,
        "capture" if amount_nanos else "release",
        {"held": -held_nanos, "settled": amount_nanos, "available": back_nanos},
        call_id=call_id,
        now_us=now_us,
    )
    return True


def enter(
    cx: sqlite3.Connection,
    txn_id: str,
    account: str,
    kind: str,
    by: Mapping[str, int],
    *,
    call_id: str | None,
    now_us: int,
) -> None:
    """The entries of one movement; their amounts sum to 0. A book that nothing moves in has none."""
    moved = {book: amount_nanos for book, amount_nanos in by.items() if amount_nanos != 0}
    if moved:
        values: list[str | int | None] = []
        for book, amount_nanos in moved.items():
            values += (f"{txn_id}/{book}", txn_id, book, account, amount_nanos, call_id, kind, now_us)
        cx.execute(_ENTRIES[len(moved)], values)
