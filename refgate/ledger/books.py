"""The embedded ledger: accounts, holds and double entries, as a `Billing` on the store's own file.

Theory of operation
===================
Money of an account lies in three books: `available`, `held`, `settled`. Every movement is a group of
entries (one `txn_id`) whose sum is 0, written in the transaction that changes the balances, so that
granted = available + held + settled at every commit; the table's own CHECK refuses anything else.

Rule 1: a key is applied once; the same call under it gives the same result, another one a conflict.
Rule 2: a hold opens only where it fits: hold <= available, settled + held + hold <= budget.
Rule 3: a capture is never refused for want of money: the work is done. `available` may go below zero.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refgate.ledger.records import Hold, HoldPage, Refused
from refgate.ports import BillingUnreachable, StoreUnavailable
from refgate.store.database import Database
from refgate.store.postings import enter, finalize_hold, open_hold, set_aside
from refgate.store.rows import HOLD, hold_of

__all__ = ["Books", "Grant"]


_BY_KEY = f"SELECT {HOLD}, provider FROM holds WHERE key = ?"
_TO_FINALIZE = (
    f"SELECT {HOLD}, finalize_key, EXISTS (SELECT 1 FROM holds WHERE finalize_key = ?)"
    " FROM holds WHERE hold_id = ?"
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an account starts with, once; and what it may spend and hold together, as of now."""

    granted_nanos: int
    budget_nanos: int | None = None


class Books:
    """Shares the store's `Database`, but never a transaction: a remote service could not either.

    A ledger that cannot be reached is billing that gave no verdict: BillingUnreachable, as if remote.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int], ids: Callable[[str], str]) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    def open_accounts(self, accounts: Mapping[str, Grant]) -> None:
        """At each start of each replica: a grant is applied once, a changed budget counts from now on."""
        with self._database.write() as cx:
            for account, grant in accounts.items():
                self._open_account(cx, account, grant)

    def _open_account(self, cx: sqlite3.Connection, account: str, grant: Grant) -> None:
        fresh = cx.execute(
            "INSERT OR IGNORE INTO accounts"
            " (account, granted_nanos, available_nanos, held_nanos, settled_nanos, budget_nanos)"
            " VALUES (?, ?, ?, 0, 0, ?)",
            (account, grant.granted_nanos, grant.granted_nanos, grant.budget_nanos),
        )
        if fresh.rowcount == 0:
            cx.execute(
                "UPDATE accounts SET budget_nanos = ? WHERE account = ?", (grant.budget_nanos, account)
            )
            return
        enter(
            cx,
            f"grant:{account}",
            account,
            "grant",
            {"granted": -grant.granted_nanos, "available": grant.granted_nanos},
            call_id=None,
            now_us=self._clock(),
        )

    async def reserve(
        self, *, key: str, account: str, amount_nanos: int, call_id: str, provider: str
    ) -> Hold | Refused:
        with _as_billing(), self._database.write() as cx:
            row = cx.execute(_BY_KEY, (key,)).fetchone()
            if row is not None:
                known = hold_of(row[:-1])
                same = (known.account, known.amount_nanos, known.call_id, row[-1])
                return known if same == (account, amount_nanos, call_id, provider) else Refused("conflict")
            refused = set_aside(cx, account, amount_nanos)
            if refused is not None:
                return refused
            hold = Hold(
                self._ids("hold"), key, account, call_id, amount_nanos, "open", 0, opened_us=self._clock()
            )
            open_hold(cx, hold, provider=provider)
            return hold

    async def finalize(self, *, key: str, hold_id: str, amount_nanos: int, reason: str) -> Refused | None:
        with _as_billing(), self._database.write() as cx:
            row = cx.execute(_TO_FINALIZE, (key, hold_id)).fetchone()
            if row is None:
                return Refused("hold_unknown")
            *columns, finalized_by, key_is_used = row
            hold = hold_of(columns)
            if hold.state != "open":
                again = (finalized_by, hold.captured_nanos) == (key, amount_nanos)
                return None if again else Refused("conflict")
            if key_is_used:
                return Refused("conflict")
            finalize_hold(
                cx,
                hold_id=hold_id,
                account=hold.account,
                call_id=hold.call_id,
                held_nanos=hold.amount_nanos,
                amount_nanos=amount_nanos,
                key=key,
                reason=reason,
                now_us=self._clock(),
            )
            return None

    async def open_holds(self, *, opened_before_us: int, after: str | None, limit: int) -> HoldPage:
        with _as_billing(), self._database.read() as cx:
            rows = cx.execute(
                f"SELECT {HOLD} FROM holds WHERE state = 'open' AND opened_us < ?"
                " AND seq > coalesce((SELECT seq FROM holds WHERE hold_id = ?), 0) ORDER BY seq LIMIT ?",
                (opened_before_us, after, limit),
            ).fetchall()
        holds = tuple(hold_of(row) for row in rows)
        return HoldPage(holds, holds[-1].hold_id if len(holds) == limit else None)


class _as_billing:
    """A store that is away is billing without a verdict."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StoreUnavailable):
            raise BillingUnreachable(str(error)) from error
