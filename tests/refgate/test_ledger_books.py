"""The embedded ledger: every movement has its counter-entry, every key its one effect."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from refgate.ledger.books import Books, Grant
from refgate.ledger.records import Hold, Refused
from refgate.ports import BillingUnreachable
from tests.refgate.ledger_kit import CommitFault, Cut, File, drive

Fault = Callable[[str, str], None]


class Ledger:
    """Books on one file, with as many replicas as are asked for."""

    def __init__(self, path: Path) -> None:
        self.file = File(path)
        self._numbers = count(1)

    def replica(self, fault: Fault | None = None) -> Books:
        return Books(
            self.file.database(fault),
            clock=lambda: 1_000,
            ids=lambda prefix: f"{prefix}-{next(self._numbers)}",
        )

    def account(self, name: str = "alice") -> tuple[int, int, int]:
        """Available, held, settled."""
        ((available, held, settled),) = self.file.rows(
            f"SELECT available_nanos, held_nanos, settled_nanos FROM accounts WHERE account = '{name}'"
        )
        return available, held, settled

    def assert_balanced(self) -> None:
        """What anybody can check with SQL alone."""
        unbalanced = "SELECT txn_id FROM entries GROUP BY txn_id HAVING sum(amount_nanos) != 0"
        assert self.file.rows(unbalanced) == []
        leaking = (
            "SELECT account FROM accounts WHERE granted_nanos != available_nanos + held_nanos + settled_nanos"
        )
        assert self.file.rows(leaking) == []
        for book in ("available", "held", "settled"):
            differing = (
                f"SELECT account FROM accounts a WHERE {book}_nanos != coalesce((SELECT sum(amount_nanos)"
                f" FROM entries e WHERE e.account = a.account AND e.book = '{book}'), 0)"
            )
            assert self.file.rows(differing) == []
        held = (
            "SELECT account FROM accounts a WHERE held_nanos != coalesce((SELECT sum(amount_nanos)"
            " FROM holds h WHERE h.account = a.account AND h.state = 'open'), 0)"
        )
        assert self.file.rows(held) == []


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "books.sqlite")
    yield made
    made.assert_balanced()
    made.file.close()


@pytest.fixture
def books(ledger: Ledger) -> Books:
    made = ledger.replica()
    made.open_accounts({"alice": Grant(1_000), "bob": Grant(1_000, budget_nanos=600)})
    return made


def reserve(books: Books, key: str = "k1", amount: int = 400, account: str = "alice") -> Hold | Refused:
    return drive(
        books.reserve(key=key, account=account, amount_nanos=amount, call_id=f"call-{key}", provider="rh")
    )


def held(books: Books, key: str = "k1", amount: int = 400, account: str = "alice") -> Hold:
    hold = reserve(books, key, amount, account)
    assert isinstance(hold, Hold)
    return hold


def finalize(books: Books, hold: Hold, amount: int, key: str = "f1") -> Refused | None:
    return drive(books.finalize(key=key, hold_id=hold.hold_id, amount_nanos=amount, reason="success"))


def test_a_grant_is_applied_once(ledger: Ledger, books: Books) -> None:
    """Restarts and replicas open the accounts again and again."""
    for _ in range(3):
        ledger.replica().open_accounts({"alice": Grant(1_000), "bob": Grant(9_999, budget_nanos=600)})
    assert ledger.account("alice") == (1_000, 0, 0)
    assert ledger.account("bob") == (1_000, 0, 0)


def test_a_changed_budget_counts_from_the_next_start(ledger: Ledger, books: Books) -> None:
    """A limit is not money: the configuration of today holds."""
    assert reserve(books, amount=601, account="bob") == Refused("over_budget")
    books.open_accounts({"bob": Grant(1_000)})
    held(books, amount=601, account="bob")


def test_a_hold_is_captured_and_the_rest_released(ledger: Ledger, books: Books) -> None:
    """Exactly the amount, exactly once."""
    hold = held(books)
    assert ledger.account() == (600, 400, 0)
    assert finalize(books, hold, 300) is None
    assert ledger.account() == (700, 0, 300)


def test_the_same_key_is_the_same_hold(ledger: Ledger, books: Books) -> None:
    """From any replica, before and after its end; with anything changed it is a conflict."""
    hold = held(books)
    assert held(ledger.replica()) == hold
    assert reserve(books, amount=401) == Refused("conflict")
    assert reserve(books, account="bob") == Refused("conflict")
    finalize(books, hold, 400)
    again = held(books)
    assert (again.hold_id, again.state) == (hold.hold_id, "finalized")
    assert ledger.account() == (600, 0, 400)


def test_a_finalize_is_applied_once(ledger: Ledger, books: Books) -> None:
    """The answer may be lost as often as it likes; another amount or key is told that it is too late."""
    hold = held(books)
    for replica in (books, ledger.replica(), books):
        assert finalize(replica, hold, 250) is None
    assert finalize(books, hold, 251) == Refused("conflict")
    assert finalize(books, hold, 250, key="f2") == Refused("conflict")
    other = held(books, "k2", 100)
    assert finalize(books, other, 250) == Refused("conflict")
    assert ledger.account() == (650, 100, 250)


def test_a_hold_nobody_opened_cannot_be_finalized(ledger: Ledger, books: Books) -> None:
    """It is no hold of ours."""
    hold = Hold("nowhere", "k", "alice", "c", 1, "open", 0, 0)
    assert finalize(books, hold, 1) == Refused("hold_unknown")


def test_a_hold_must_fit(ledger: Ledger, books: Books) -> None:
    """Up to the last nano-dollar, and no phantom refusal below it."""
    assert reserve(books, amount=1_001) == Refused("insufficient_funds")
    held(books, "k1", 1_000)
    assert reserve(books, "k2", 1) == Refused("insufficient_funds")
    held(books, "k3", 0)
    assert reserve(books, "k4", account="carol") == Refused("account_unknown")


def test_a_budget_counts_what_is_settled_and_what_is_held(ledger: Ledger, books: Books) -> None:
    """Over all replicas; what is given back can be spent again."""
    one = held(books, "k1", 300, "bob")
    held(ledger.replica(), "k2", 200, "bob")
    assert reserve(books, "k3", 101, "bob") == Refused("over_budget")
    held(books, "k4", 100, "bob")
    finalize(books, one, 100)
    assert reserve(books, "k5", 201, "bob") == Refused("over_budget")
    held(books, "k6", 200, "bob")


def test_a_capture_above_the_hold_is_charged_and_may_be_a_debt(ledger: Ledger, books: Books) -> None:
    """The work is done: the account owes it, and nothing new is held until it is paid."""
    hold = held(books, "k1", 900)
    assert finalize(books, hold, 1_500) is None
    assert ledger.account() == (-500, 0, 1_500)
    assert reserve(books, "k2", 0) == Refused("insufficient_funds")


def test_a_refusal_does_not_bind_its_key(ledger: Ledger, books: Books) -> None:
    """The same call may be asked again when there is room."""
    first = held(books, "k1", 800)
    assert reserve(books, "k2", 300) == Refused("insufficient_funds")
    finalize(books, first, 0)
    held(books, "k2", 300)


def test_open_holds_are_paged_oldest_first(ledger: Ledger, books: Books) -> None:
    """Those opened before the bound and still open; a page says where the next one begins."""
    holds = [held(books, f"k{n}", 10) for n in range(5)]
    finalize(books, holds[1], 0)
    seen: list[str] = []
    after: str | None = None
    for _ in range(9):
        page = drive(books.open_holds(opened_before_us=1_001, after=after, limit=2))
        seen += [hold.hold_id for hold in page.holds]
        after = page.next
        if after is None:
            break
    assert seen == [holds[n].hold_id for n in (0, 2, 3, 4)]
    assert drive(books.open_holds(opened_before_us=1_000, after=None, limit=9)).holds == ()


def test_a_cut_at_any_commit_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Grant, hold and capture, each cut before and after; asked again, each has its one effect."""

    def play(books: Books) -> None:
        books.open_accounts({"alice": Grant(1_000)})
        finalize(books, held(books), 300)

    for at in range(1, 5):
        for side in ("before", "after"):
            ledger = Ledger(tmp_path / f"{side}{at}.sqlite")
            with pytest.raises(Cut):
                play(ledger.replica(CommitFault(at, side)))
            ledger.file.close()
            play(ledger.replica())
            ledger.assert_balanced()
            assert ledger.account() == (700, 0, 300)
            ledger.file.close()


def test_a_ledger_that_is_away_gave_no_verdict(ledger: Ledger, books: Books) -> None:
    """To whoever asks it is billing that cannot be reached, as a remote one would be."""

    def fault(sql: str, side: str) -> None:
        if sql == "BEGIN IMMEDIATE" and side == "before":
            raise sqlite3.OperationalError("database is locked")

    away = ledger.replica(fault)
    with pytest.raises(BillingUnreachable):
        reserve(away)
    with pytest.raises(BillingUnreachable):
        drive(away.finalize(key="f", hold_id="h", amount_nanos=1, reason="r"))


def test_the_table_itself_refuses_money_from_nowhere(ledger: Ledger, books: Books) -> None:
    """Conservation does not hang on the code alone."""
    cx = ledger.file.connections[0]
    with pytest.raises(sqlite3.IntegrityError):
        cx.execute("UPDATE accounts SET available_nanos = available_nanos + 1 WHERE account = 'alice'")


def test_an_overflow_is_refused_and_not_rounded(ledger: Ledger, books: Books) -> None:
    """Beyond 64 bits SQLite would go on in floats; the books do not."""
    most = 2**63 - 2_000
    one, two = held(books, "k1", 1), held(books, "k2", 1)
    assert finalize(books, one, most, "f1") is None
    before = ledger.account()
    with pytest.raises(BillingUnreachable):
        finalize(books, two, most, "f2")
    assert ledger.account() == before


def test_the_list_of_open_holds_does_not_read_the_closed_ones(ledger: Ledger, books: Books) -> None:
    """A ledger grows for ever; the sweep of orphans costs what is open."""
    seen: list[str] = []
    watched = ledger.replica(lambda sql, side: seen.append(sql))
    drive(watched.open_holds(opened_before_us=9, after="x", limit=2))
    (listing,) = {sql for sql in seen if "state = 'open'" in sql}
    plan = ledger.file.connections[0].execute(f"EXPLAIN QUERY PLAN {listing}", (9, "x", 2)).fetchall()
    assert "INDEX holds_open" in plan[0][-1]


def test_an_amount_below_zero_is_a_mistake_of_ours(ledger: Ledger, books: Books) -> None:
    """No caller can cause it; it is refused all the same, and moves nothing."""
    with pytest.raises(ValueError, match="hold"):
        reserve(books, amount=-1)
    hold = held(books)
    with pytest.raises(BillingUnreachable):
        finalize(books, hold, -1)
    assert ledger.account() == (600, 400, 0)
