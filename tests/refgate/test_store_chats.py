"""Chat calls in the store: row and hold begin together, end and charge together, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refgate.chat.records import ChatOutcome, ChatStore, OpenChat
from refgate.ledger.books import Books, Grant
from refgate.ledger.cadence import Cadence
from refgate.ledger.housekeeping import Housekeeping
from refgate.ledger.records import Refused
from refgate.money import NANOS_MAX
from refgate.ports import StoreUnavailable
from refgate.store.chats import SqliteChats
from refgate.store.schema import APPLICATION_ID, MIGRATIONS
from tests.refgate.chats_kit import METERING, USAGE, ChatFile, attempt_end, chat_attempt, new_chat, served
from tests.refgate.ledger_kit import CommitFault, Cut, connect, new_call
from tests.refgate.ledger_kit import drive_together as drive

LATER_US = 10**12


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ChatFile]:
    made = ChatFile(tmp_path / "chats.sqlite", {"alice": Grant(1_000), "bob": Grant(1_000, budget_nanos=600)})
    yield made
    made.assert_conserved()
    made.close()


@pytest.fixture
def chats(file: ChatFile) -> SqliteChats:
    return file.replica()


def admit(chats: ChatStore, call_id: str = "c1", **changes: Any) -> None:
    assert drive(chats.admit(new_chat(call_id, **changes))) is None


def begin(chats: ChatStore, call_id: str = "c1", number: int = 1, **changes: Any) -> bool:
    return drive(chats.begin(chat_attempt(call_id, number), lease_until_us=60_000, **changes))


def settle(chats: ChatStore, call_id: str = "c1", amount_nanos: int = 300, **changes: Any) -> bool:
    told = {"attempt": None, **changes}
    return drive(chats.settle(call_id, served(amount_nanos), now_us=5_000, **told))


def abandoned(chats: ChatStore, now_us: int = LATER_US, limit: int = 9) -> list[OpenChat]:
    return list(drive(chats.abandoned(now_us=now_us, lease_until_us=now_us + 1_000, limit=limit)))


def test_a_call_is_admitted_with_its_hold(file: ChatFile, chats: SqliteChats) -> None:
    """One row, one hold under the call's own key, the money set aside."""
    admit(chats)
    assert file.account() == (600, 400, 0)
    (hold,) = file.page("holds")
    assert (hold["key"], hold["call_id"], hold["state"]) == ("chat:c1", "c1", "open")
    (row,) = file.page("chats")
    assert row["hold_id"] == hold["hold_id"]
    assert (row["state"], row["stream"], row["attempts"], row["ended_us"]) == ("open", True, 0, None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hold_nanos": 1_001}, "insufficient_funds"),
        ({"account": "bob", "hold_nanos": 601}, "over_budget"),
        ({"account": "carol"}, "account_unknown"),
    ],
)
def test_what_does_not_fit_leaves_nothing(
    file: ChatFile, chats: SqliteChats, changes: dict[str, Any], code: str
) -> None:
    """A refused call has no row, no hold and no entry."""
    before = file.page("entries")
    assert drive(chats.admit(new_chat(**changes))) == Refused(code)
    assert (file.page("chats"), file.page("holds"), file.page("entries")) == ([], [], before)


def test_a_hold_fits_to_the_last_nano_dollar(file: ChatFile, chats: SqliteChats) -> None:
    """No phantom refusal, in the account or in the budget; a hold of nothing always fits."""
    admit(chats, "c1", hold_nanos=1_000)
    admit(chats, "c2", hold_nanos=0)
    admit(chats, "c3", account="bob", hold_nanos=600)
    assert drive(chats.admit(new_chat("c4", account="bob", hold_nanos=1))) == Refused("over_budget")


def test_a_call_ends_with_its_charge(file: ChatFile, chats: SqliteChats) -> None:
    """The row says what was charged and of what it is made; the rest of the hold is given back."""
    admit(chats)
    assert begin(chats)
    assert settle(chats, attempt=attempt_end())
    assert file.account() == (700, 0, 300)
    (row,) = file.page("chats")
    assert row == {
        "call_id": "c1", "account": "alice", "caller": "alice-key", "protocol": "openai_chat",
        "model": "small", "stream": True, "state": "ended", "outcome": "served", "reason": "served",
        "status": 200, "backend": "east", "upstream_model": "gpt-4o-mini",
        "served_model": "gpt-4o-mini-2024-07-18", "hold_id": "c1.hold", "hold_nanos": 400,
        "amount_nanos": 300, "price_from_us": 17, "usage_source": "reported", "input": 7, "cache_read": 6,
        "cache_write_5m": 5, "cache_write_1h": 4, "input_audio": 3, "output": 20, "output_audio": 2,
        "reasoning": 11, "web_searches": 1, "flags": [], "cache": None, "attempts": 1, "created_us": 1_000,
        "first_token_us": 3_000, "ended_us": 5_000,
    }  # fmt: skip


def test_an_attempt_is_on_record_before_it_is_sent_and_after(file: ChatFile, chats: SqliteChats) -> None:
    """Its row, then its end with the next one's row, then the last end with the call's."""
    admit(chats)
    assert begin(chats)
    (first,) = file.page("chat_attempts")
    assert (first["number"], first["ended_us"], first["usage_source"], first["cost_nanos"]) == (
        1,
        None,
        None,
        None,
    )
    failed = attempt_end(status=429, failure="rate_limited", retry_after_us=9, ambiguous=True)
    assert begin(chats, number=2, ended=failed)
    assert settle(chats, attempt=attempt_end(number=2))
    first, second = file.page("chat_attempts")
    assert (first["status"], first["failure"], first["ambiguous"], first["retry_after_us"]) == (
        429,
        "rate_limited",
        True,
        9,
    )
    assert second == {
        "attempt_id": "c1-a2", "call_id": "c1", "number": 2, "backend": "east", "pool": "main",
        "lane": "pool", "model": "gpt-4o-mini", "served_model": "gpt-4o-mini-2024-07-18", "status": 200,
        "failure": None, "ambiguous": False, "retry_after_us": None, "usage_source": "reported", "input": 7,
        "cache_read": 6, "cache_write_5m": 5, "cache_write_1h": 4, "input_audio": 3, "output": 20,
        "output_audio": 2, "reasoning": 11, "web_searches": 1, "cost_nanos": 300, "price_from_us": 17,
        "started_us": 2_000, "first_token_us": 3_000, "ended_us": 4_000,
    }  # fmt: skip
    assert file.page("chats")[0]["attempts"] == 2


def test_a_call_ends_once(file: ChatFile, chats: SqliteChats) -> None:
    """Whoever comes second is told so and moves no money; what it knows of its attempt is kept."""
    admit(chats)
    begin(chats)
    assert settle(chats, amount_nanos=300)
    assert not settle(file.replica(), amount_nanos=100, attempt=attempt_end(failure="left"))
    assert file.account() == (700, 0, 300)
    assert file.page("chats")[0]["amount_nanos"] == 300
    assert file.page("chat_attempts")[0]["failure"] == "left"
    assert not settle(chats, "nobody")


def test_nothing_begins_after_the_end(file: ChatFile, chats: SqliteChats) -> None:
    """A flow that was given up finds out before it sends; the end of its last attempt is kept."""
    admit(chats)
    begin(chats)
    settle(chats)
    assert not begin(chats, number=2, ended=attempt_end(failure="timeout"))
    assert [(row["number"], row["failure"]) for row in file.page("chat_attempts")] == [(1, "timeout")]
    assert not begin(chats, "nobody")


def test_a_charge_may_be_more_than_the_hold(file: ChatFile, chats: SqliteChats) -> None:
    """The work is done: what is not there becomes a debt, and the books still balance."""
    admit(chats)
    assert settle(chats, amount_nanos=1_250)
    assert file.account() == (-250, 0, 1_250)
    assert drive(chats.admit(new_chat("c2", hold_nanos=0))) == Refused("insufficient_funds")


@pytest.mark.parametrize("amount_nanos", [-1, NANOS_MAX + 1])
def test_no_charge_is_beyond_all_bounds(file: ChatFile, chats: SqliteChats, amount_nanos: int) -> None:
    """Whatever made it so: nothing is written."""
    admit(chats)
    with pytest.raises(ValueError, match="charge"):
        settle(chats, amount_nanos=amount_nanos)
    assert file.account() == (600, 400, 0)


def test_a_call_in_hand_is_left_alone(chats: SqliteChats) -> None:
    """Until its lease is over; each attempt leases it anew."""
    admit(chats)
    assert abandoned(chats, now_us=30_999) == []
    assert begin(chats)  # which is leased until 60_000
    assert abandoned(chats, now_us=59_999) == []
    assert [chat.call_id for chat in abandoned(chats, now_us=60_000)] == ["c1"]


def test_one_sweep_gets_an_abandoned_call(file: ChatFile, chats: SqliteChats) -> None:
    """Being handed out is a lease; a sweep that goes down as well is followed by the next."""
    admit(chats)
    assert len(abandoned(chats)) == 1
    assert abandoned(file.replica()) == []
    assert len(abandoned(file.replica(), now_us=LATER_US + 1_000)) == 1


def test_an_abandoned_call_comes_with_its_last_attempt(chats: SqliteChats) -> None:
    """What the sweep needs to know, oldest lease first, at most so many."""
    admit(chats, "c1", lease_until_us=3, hold_nanos=1)
    admit(chats, "c2", lease_until_us=2, hold_nanos=1, prompt_tokens=5, model="smart")
    admit(chats, "c3", lease_until_us=1, hold_nanos=1)
    for number in (1, 2):
        drive(chats.begin(chat_attempt("c2", number), lease_until_us=2, ended=None))
    drive(chats.begin(chat_attempt("c3"), lease_until_us=1))
    drive(chats.begin(chat_attempt("c3", 2), ended=attempt_end("c3"), lease_until_us=1))
    assert abandoned(chats, limit=2) == [
        OpenChat(
            "c3", "alice", "alice-key", "openai_chat", "small", True, 1, 12, 1_000, 2,
            chat_attempt("c3", 2), False, False,
        ),
        OpenChat(
            "c2", "alice", "alice-key", "openai_chat", "smart", True, 1, 5, 1_000, 2,
            chat_attempt("c2", 2), False, False,
        ),
    ]  # fmt: skip
    (last,) = abandoned(chats)
    assert (last.call_id, last.attempts, last.last) == ("c1", 0, None)


def test_an_idle_sweep_writes_nothing(file: ChatFile, chats: SqliteChats) -> None:
    """It looks before it locks."""
    admit(chats)
    counting = CommitFault(0, "before")
    watched = file.replica(counting)
    before = counting.commits
    assert abandoned(watched, now_us=5) == []
    assert counting.commits == before


def commits_of(file: ChatFile, act: Callable[[SqliteChats], object]) -> int:
    counting = CommitFault(0, "before")
    chats = file.replica(counting)
    before = counting.commits
    act(chats)
    return counting.commits - before


def test_a_call_is_three_commits(file: ChatFile) -> None:
    """Admission, the attempt, the end: each one transaction."""
    assert commits_of(file, admit) == 1
    assert commits_of(file, begin) == 1
    assert commits_of(file, settle) == 1


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", ["admit", "begin", "settle"])
def test_the_power_goes_at_any_commit(file: ChatFile, step: str, side: str) -> None:
    """All of a step is there, or nothing of it; whoever comes next goes on from either."""
    calm = file.replica()
    steps: dict[str, Callable[[SqliteChats], object]] = {
        "admit": admit,
        "begin": begin,
        "settle": lambda chats: settle(chats, attempt=attempt_end()),
    }
    for name, act in steps.items():
        if name != step:
            act(calm)
            continue
        fault = CommitFault(2, side, Cut)  # the first is that of the accounts
        with pytest.raises(Cut):
            act(file.replica(fault))
        file.assert_conserved()
        done = side == "after"
        reached = [*steps].index(name) + done  # how many of the steps are there
        states = ["ended" if reached == 3 else "open"] if reached else []
        assert [row["state"] for row in file.page("chats")] == states
        ends = [row["ended_us"] is not None for row in file.page("chat_attempts")]
        assert ends == ([reached == 3] if reached > 1 else [])
        if not done:
            act(calm)
    assert file.account() == (700, 0, 300)


@pytest.mark.parametrize("step", ["admit", "begin", "rest", "settle", "abandoned"])
def test_a_store_that_is_away_changes_nothing(file: ChatFile, step: str) -> None:
    """Each step says so, and can be taken again."""
    admit(file.replica(), "c0", lease_until_us=1)
    steps: dict[str, Callable[[SqliteChats], object]] = {
        "admit": admit,
        "begin": lambda chats: begin(chats, "c0"),
        "rest": lambda chats: drive(
            chats.rest("c0", attempt_end(call_id="c0", failure="timeout", ambiguous=True))
        ),
        "settle": lambda chats: settle(chats, "c0"),
        "abandoned": abandoned,
    }
    before = [file.page(table) for table in ("chats", "chat_attempts", "holds", "entries")]
    away = False

    def fault(sql: str, side: str) -> None:
        if away and side == "before" and sql in ("BEGIN IMMEDIATE", "COMMIT"):
            raise sqlite3.OperationalError("disk I/O error")

    chats = file.replica(fault)
    away = True
    with pytest.raises(StoreUnavailable):
        steps[step](chats)
    assert [file.page(table) for table in ("chats", "chat_attempts", "holds", "entries")] == before
    away = False
    assert steps[step](chats) in (None, True) or step == "abandoned"


def test_what_a_provider_said_need_not_be_text(file: ChatFile, chats: SqliteChats) -> None:
    """Half a surrogate pair in a model's name loses no verdict."""
    admit(chats)
    end = served(reason="\ud800", metering=METERING.__class__(USAGE, "reported", 1, 2, "\ud800"))
    assert drive(chats.settle("c1", end, attempt=None, now_us=5_000))
    assert (file.page("chats")[0]["served_model"], file.page("chats")[0]["reason"]) == ("?", "?")


def test_flags_are_told_once_each(file: ChatFile, chats: SqliteChats) -> None:
    """In the order they were raised."""
    admit(chats)
    end = served(0, flags=("left", "usage_missing", "left"), outcome=ChatOutcome.LEFT, cache="miss")
    assert drive(chats.settle("c1", end, attempt=None, now_us=5_000))
    (row,) = file.page("chats")
    assert (row["flags"], row["outcome"], row["cache"]) == (["left", "usage_missing"], "left", "miss")


def test_the_sweep_of_orphans_leaves_chats_alone(file: ChatFile, chats: SqliteChats) -> None:
    """Their holds have no task call, and are none of its business, however old they are."""
    admit(chats)
    store = file.store()
    billing = Books(store.database, clock=lambda: LATER_US, ids=str)
    sweep = Housekeeping(store, billing, cadence=Cadence(), clock=lambda: LATER_US, emit=lambda _: None)
    drive(sweep.release_orphans())
    assert file.account() == (600, 400, 0)
    assert drive(store.page("holds", after=None, limit=9))[0]["state"] == "open"


def test_open_calls_are_found_without_reading_the_ended_ones(file: ChatFile, chats: SqliteChats) -> None:
    """The sweep costs the same after a hundred thousand calls as after ten."""
    cx = connect(file.file.path)
    plan = cx.execute("EXPLAIN QUERY PLAN SELECT 1 FROM chats WHERE lease_us <= 9 LIMIT 1").fetchall()
    cx.close()
    assert [row[-1] for row in plan] == ["SEARCH chats USING COVERING INDEX chats_open (lease_us<?)"]


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Tasks of before are there, and chats can begin."""
    path = tmp_path / "old.sqlite"
    cx = connect(path)
    for statement in MIGRATIONS[0]:
        cx.execute(statement)
    cx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    cx.execute("PRAGMA user_version = 1")
    cx.execute(
        "INSERT INTO calls (call_id, account, provider, state, fingerprint, hold_nanos, route, submit_path,"
        " captures, created_us, updated_us) VALUES ('old', 'alice', 'rh', 'new', 'f', 1, 0, '/', '{}', 1, 1)"
    )
    cx.close()
    made = ChatFile(path, {"alice": Grant(1_000)})
    admit(made.replica())
    store = made.store()
    assert drive(store.call("old")) is not None
    assert drive(store.open_call(new_call("new"))) is not None
    made.assert_conserved()
    made.close()


def test_a_call_that_waits_has_its_last_attempt_written_down(file: ChatFile) -> None:
    """The sweep sees that it had ended; and, if it had no verdict, that something may have been done."""
    chats = file.replica()
    for call_id, ambiguous in (("c1", False), ("c2", True)):
        drive(chats.admit(new_chat(call_id, lease_until_us=1)))
        drive(chats.begin(chat_attempt(call_id), lease_until_us=1))
        ended = attempt_end(call_id, failure="timeout", ambiguous=ambiguous)
        drive(chats.rest(call_id, ended))
        drive(chats.rest(call_id, ended))  # once more, as where it is not known whether it was kept
    found = abandoned(chats, limit=2)
    assert [(one.call_id, one.last_ended, one.doubtful) for one in found] == [
        ("c1", True, False),
        ("c2", True, True),
    ]
