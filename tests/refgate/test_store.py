"""The store's contract: what any backend promises. A new backend joins `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from refgate.answer import Answer
from refgate.ledger.records import Attempt, Call, Fresh, InFlight, KeyReused, Replay, Verdict
from refgate.ledger.states import MOVES, TERMINAL, Outcome, State
from refgate.ports import Store
from refgate.store.pages import PAGES
from tests.refgate.ledger_kit import (
    DONE,
    OK,
    File,
    attempt,
    bring,
    drive,
    new_call,
    released,
    success,
)

LATER = 10**15


def sqlite_replicas(path: Path) -> Iterator[Callable[[], Store]]:
    file = File(path / "store.sqlite")
    yield file.store
    file.close()


BACKENDS = {"sqlite": sqlite_replicas}


@pytest.fixture(params=sorted(BACKENDS))
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Makes stores that share one memory."""
    yield from BACKENDS[request.param](tmp_path)


@pytest.fixture
def store(replica: Callable[[], Store]) -> Store:
    return replica()


# --- moves ---------------------------------------------------------------------------------------


async def _reject(store: Store) -> bool:
    return await store.reject("c1", reason="no", now_us=9_000)


async def _reserved(store: Store) -> bool:
    return await store.reserved("c1", hold_id="h", flags=("f",), now_us=9_000, due_us=10_000)


async def _begin_submit(store: Store) -> bool:
    return await store.begin_submit("c1", attempt("c1", "again"), due_us=10_000)


async def _started(store: Store) -> bool:
    before = await store.call("c1")
    after = await store.started("c1", task_id="t-c1", answer=OK, attempt=None, now_us=9_000, due_us=10_000)
    assert before is not None
    return after is not before.state


async def _unknown(store: Store) -> bool:
    return await store.unknown("c1", reason="read", attempt=None, now_us=9_000, due_us=10_000)


async def _claim(store: Store) -> bool:
    return await store.claim("c1", success(7), intent_id="again", now_us=9_000)


MOVERS: dict[State, Callable[[Store], Coroutine[Any, Any, bool]]] = {
    State.REJECTED: _reject,
    State.RESERVED: _reserved,
    State.SUBMITTING: _begin_submit,
    State.RUNNING: _started,
    State.UNKNOWN: _unknown,
    State.FINALIZING: _claim,
}


@pytest.mark.parametrize("to", sorted(MOVERS))
@pytest.mark.parametrize("here", sorted(State))
def test_a_move_is_made_exactly_where_the_table_allows_it(store: Store, here: State, to: State) -> None:
    """Each of the moves, tried from each of the states; a forbidden one changes nothing at all."""
    before = bring(store, here)
    moved = drive(MOVERS[to](store))
    after = drive(store.call("c1"))
    assert after is not None
    assert moved == (to in MOVES[here])
    assert after.state is (to if moved else here)
    if not moved:
        assert after == before


def test_finalized_is_reached_by_delivery_alone_and_once(store: Store) -> None:
    """The second delivery of an intent is told that it is late."""
    bring(store, State.FINALIZING)
    (intent,) = drive(store.due_intents(now_us=LATER, lease_until_us=LATER, limit=9))
    assert drive(store.delivered(intent, flags=("seen",), now_us=7_000))
    assert not drive(store.delivered(intent, now_us=8_000))
    call = drive(store.call("c1"))
    assert call is not None
    assert (call.state, call.updated_us, call.flags) == (State.FINALIZED, 7_000, ("seen",))
    assert drive(store.page("intents", after=None, limit=9))[0]["done_us"] == 7_000


def test_moves_of_a_call_that_never_was_are_refused(store: Store) -> None:
    """No row, no move, and no row made by the way."""
    for mover in (_reject, _reserved, _begin_submit, _unknown, _claim):
        assert not drive(mover(store))
    assert drive(store.started("c1", task_id="t", answer=None, attempt=None, now_us=1, due_us=2)) is None
    assert drive(store.call("c1")) is None
    assert drive(store.page("calls", after=None, limit=9)) == []


def test_flags_add_up_and_a_hold_is_written_down_once(store: Store) -> None:
    """What was flagged stays flagged; a later hold id does not displace the first."""
    drive(store.open_call(new_call()))
    drive(store.reserved("c1", hold_id=None, flags=("fail_open",), now_us=2, due_us=3))
    drive(store.claim("c1", success(flags=("estimated", "fail_open")), intent_id="i", now_us=4))
    call = drive(store.call("c1"))
    assert call is not None
    assert call.flags == ("fail_open", "estimated")
    assert call.hold_id is None


# --- keys ----------------------------------------------------------------------------------------


def test_a_key_meets_its_call_in_flight_then_its_answer(store: Store) -> None:
    """A1, A3, A10: in flight until there is an answer; then that answer, status, headers and body."""
    bring(store, State.SUBMITTING, idempotency_key="k")
    again = new_call("c2", idempotency_key="k")
    assert drive(store.open_call(again)) == InFlight("c1", State.SUBMITTING)
    drive(store.started("c1", task_id="t", answer=OK, attempt=None, now_us=4, due_us=5))
    assert drive(store.open_call(again)) == Replay("c1", OK)
    assert drive(store.call("c2")) is None


def test_the_same_key_with_another_body_is_told_so(store: Store) -> None:
    """A2: never the first body's answer, in flight or after."""
    bring(store, State.NEW, idempotency_key="k")
    other = new_call("c2", idempotency_key="k", fingerprint="other")
    assert drive(store.open_call(other)) == KeyReused("c1")
    drive(store.reserved("c1", hold_id="h", flags=(), now_us=2, due_us=3))
    drive(store.claim("c1", Verdict(0, Outcome.REFUSED, "r", submit=OK), intent_id="i", now_us=4))
    assert drive(store.open_call(other)) == KeyReused("c1")


def test_a_submit_that_was_itself_the_end_is_replayed(store: Store) -> None:
    """An error of the provider is the key's answer, with its own status."""
    error = Answer(418, (), b"teapot")
    bring(store, State.SUBMITTING, idempotency_key="k")
    drive(
        store.claim(
            "c1", Verdict(0, Outcome.REFUSED, "error_http_418", submit=error), intent_id="i", now_us=4
        )
    )
    assert drive(store.open_call(new_call("c2", idempotency_key="k"))) == Replay("c1", error)


def test_the_first_answer_stands(store: Store) -> None:
    """Later answers, of a repeated start or a verdict, do not replace what a caller was already told."""
    bring(store, State.RUNNING, idempotency_key="k")
    drive(store.started("c1", task_id="t-c1", answer=DONE, attempt=None, now_us=5, due_us=6))
    drive(store.claim("c1", success(submit=DONE, final=DONE), intent_id="i", now_us=6))
    assert drive(store.answer("c1", "submit")) == OK
    assert drive(store.answer("c1", "final")) == DONE
    assert drive(store.answer("c1", "nonsense")) is None


def test_a_rejected_call_frees_its_key(store: Store) -> None:
    """A key binds once a hold is taken: after a refusal the same key begins anew."""
    bring(store, State.REJECTED, idempotency_key="k")
    second = drive(store.open_call(new_call("c2", idempotency_key="k", fingerprint="other")))
    assert isinstance(second, Fresh)
    first = drive(store.call("c1"))
    assert first is not None
    assert (first.idempotency_key, first.body) == ("k", b"")


@pytest.mark.parametrize("apart", [{"account": "bob"}, {"provider": "kling"}, {"idempotency_key": "K"}])
def test_keys_are_apart_by_account_and_provider(store: Store, apart: dict[str, str]) -> None:
    """One account's key never meets another's call."""
    bring(store, State.NEW, idempotency_key="k")
    assert isinstance(drive(store.open_call(new_call("c2", **{"idempotency_key": "k", **apart}))), Fresh)


def test_calls_without_a_key_never_meet(store: Store) -> None:
    """No key, no replay, however alike they are."""
    assert isinstance(drive(store.open_call(new_call("c1"))), Fresh)
    assert isinstance(drive(store.open_call(new_call("c2"))), Fresh)


def test_a_fresh_call_is_as_it_was_asked_for(store: Store) -> None:
    """The row keeps what a repeated submit will need."""
    new = new_call(idempotency_key="k")
    assert drive(store.open_call(new)) == Fresh(
        Call(
            call_id="c1",
            account="alice",
            provider="rh",
            state=State.NEW,
            fingerprint="print",
            hold_nanos=500,
            route=0,
            submit_path="/openapi/v2/run",
            captures={"app": "x"},
            idempotency_key="k",
            created_us=1_000,
            updated_us=1_000,
            due_us=31_000,
            body=b'{"prompt": "p"}',
        )
    )


# --- tasks ---------------------------------------------------------------------------------------


def test_a_task_has_one_call(store: Store) -> None:
    """A provider that answers two submits with one task id: the second call does not get it."""
    bring(store, State.RUNNING, "c1")
    bring(store, State.SUBMITTING, "c2")
    second = drive(store.started("c2", task_id="t-c1", answer=OK, attempt=None, now_us=5, due_us=6))
    assert second is None
    owner = drive(store.by_task("rh", "t-c1"))
    assert owner is not None
    assert owner.call_id == "c1"
    assert drive(store.by_task("kling", "t-c1")) is None
    assert bring(store, State.SUBMITTING, "c3", provider="kling").state is State.SUBMITTING
    started = store.started("c3", task_id="t-c1", answer=OK, attempt=None, now_us=5, due_us=6)
    assert drive(started) is State.RUNNING


def test_starting_twice_is_starting_once(store: Store) -> None:
    """A submit sent again under its label brings the same task: nothing moves, nothing is lost."""
    before = bring(store, State.RUNNING)
    again = store.started("c1", task_id="t-c1", answer=DONE, attempt=None, now_us=9, due_us=9)
    assert drive(again) is State.RUNNING
    assert drive(store.call("c1")) == before


def test_a_task_found_after_the_release_is_remembered(store: Store) -> None:
    """Its success can then be charged as a late one; the verdict itself does not move."""
    bring(store, State.UNKNOWN)
    drive(store.claim("c1", released(), intent_id="i", now_us=5))
    late = store.started("c1", task_id="t-9", answer=OK, attempt=None, now_us=9, due_us=9)
    assert drive(late) is State.FINALIZING
    call = drive(store.by_task("rh", "t-9"))
    assert call is not None
    assert (call.call_id, call.state, call.outcome) == ("c1", State.FINALIZING, Outcome.EXPIRED)
    assert drive(store.answer("c1", "submit")) is None


@pytest.mark.parametrize("state", sorted(TERMINAL | {State.FINALIZING, State.RUNNING}))
def test_the_body_is_kept_only_while_it_may_be_needed(store: Store, state: State) -> None:
    """Once the submit has a verdict, what the caller sent is not kept."""
    assert bring(store, state).body == b""


# --- ends ----------------------------------------------------------------------------------------


def test_a_claim_writes_verdict_and_intent_together(store: Store) -> None:
    """A5: the claim is the durable intent, with the key billing will see for ever."""
    bring(store, State.RUNNING)
    verdict = success(300, flags=("estimated",), final=DONE)
    assert drive(store.claim("c1", verdict, intent_id="i1", now_us=9_000))
    call = drive(store.call("c1"))
    assert call is not None
    assert (call.state, call.outcome, call.reason) == (State.FINALIZING, Outcome.SUCCESS, "success")
    assert (call.amount_nanos, call.flags, call.due_us) == (300, ("estimated",), 0)
    (intent,) = drive(store.due_intents(now_us=9_000, lease_until_us=LATER, limit=9))
    assert (intent.call_id, intent.account, intent.provider) == ("c1", "alice", "rh")
    assert (intent.hold_id, intent.hold_nanos, intent.amount_nanos) == ("hold-c1", 500, 300)
    assert (intent.key, intent.reason, intent.tries) == ("finalize:c1", "success", 1)


def test_of_many_claims_one_wins(replica: Callable[[], Store]) -> None:
    """A12: whatever their number and replica."""
    one, two = replica(), replica()
    bring(one, State.RUNNING)
    won = [
        drive(store.claim("c1", success(amount), intent_id=f"i{amount}", now_us=9))
        for store, amount in [(one, 1), (two, 2), (one, 3), (two, 4)]
    ]
    assert won == [True, False, False, False]
    assert len(drive(two.page("intents", after=None, limit=9))) == 1


def test_a_lost_claim_still_closes_its_attempt(store: Store) -> None:
    """The request was made, whoever had the verdict."""
    bring(store, State.FINALIZING)
    drive(store.attempt_opened(attempt("c1", "poll", op="poll")))
    closed = attempt("c1", "poll", op="poll", status=200, ended_us=9)
    assert not drive(store.claim("c1", success(), intent_id="i2", attempt=closed, now_us=9))
    row = drive(store.page("attempts", after=None, limit=9))[-1]
    assert (row["attempt_id"], row["status"], row["ended_us"]) == ("poll", 200, 9)


def test_a_late_success_is_charged_once_on_its_own_row(store: Store) -> None:
    """The released call keeps its verdict; the late row has no hold, and its own key at billing."""
    bring(store, State.RUNNING)
    drive(store.claim("c1", released(), intent_id="i1", now_us=5_000))
    late = success(250, final=DONE)
    assert drive(store.claim_late("c1", late, late_id="late", intent_id="i2", now_us=9_000))
    assert not drive(store.claim_late("c1", late, late_id="late2", intent_id="i3", now_us=9_000))
    first, second = drive(store.call("c1")), drive(store.call("late"))
    assert first is not None
    assert second is not None
    assert (first.outcome, first.amount_nanos, first.task_id) == (Outcome.EXPIRED, 0, "t-c1")
    assert (second.state, second.late_of, second.amount_nanos) == (State.FINALIZING, "c1", 250)
    assert (second.hold_id, second.task_id, second.flags) == (None, None, ("late",))
    assert drive(store.answer("c1", "final")) == DONE
    intents = drive(store.due_intents(now_us=LATER, lease_until_us=LATER, limit=9))
    assert [(i.call_id, i.hold_id, i.key) for i in intents] == [
        ("c1", "hold-c1", "finalize:c1"),
        ("late", None, "finalize:late"),
    ]


@pytest.mark.parametrize("state", sorted(set(State) - {State.NEW}))
def test_only_a_released_call_can_be_charged_late(store: Store, state: State) -> None:
    """A call with a verdict of its own, or still open, is charged by that."""
    bring(store, state)
    assert not drive(store.claim_late("c1", success(), late_id="l", intent_id="j", now_us=9))
    assert drive(store.call("l")) is None


# --- intents -------------------------------------------------------------------------------------


def test_a_leased_intent_is_nobody_elses_until_the_lease_ends(replica: Callable[[], Store]) -> None:
    """Two replicas do not deliver one intent at once; a dead one's comes back."""
    one, two = replica(), replica()
    bring(one, State.FINALIZING)
    assert len(drive(one.due_intents(now_us=6_000, lease_until_us=36_000, limit=9))) == 1
    assert len(drive(two.due_intents(now_us=35_999, lease_until_us=LATER, limit=9))) == 0
    assert drive(two.next_intent_us()) == 36_000
    (intent,) = drive(two.due_intents(now_us=36_000, lease_until_us=LATER, limit=9))
    assert intent.tries == 2


def test_a_postponed_intent_stays_owed(store: Store) -> None:
    """Whatever went wrong, however often; and what is stuck shows until it is delivered."""
    bring(store, State.FINALIZING)
    (intent,) = drive(store.due_intents(now_us=6_000, lease_until_us=LATER, limit=9))
    drive(store.postpone(intent, next_us=7_000, error="conflict", stuck=True))
    drive(store.postpone(intent, next_us=8_000, error="unreachable"))
    (row,) = drive(store.page("intents", after=None, limit=9))
    assert (row["stuck"], row["next_us"], row["done_us"]) == (True, 8_000, None)
    (again,) = drive(store.due_intents(now_us=8_000, lease_until_us=LATER, limit=9))
    drive(store.delivered(again, now_us=9_000))
    drive(store.postpone(again, next_us=10_000, error="late"))
    (row,) = drive(store.page("intents", after=None, limit=9))
    assert (row["stuck"], row["next_us"], row["done_us"], row["attempts"]) == (False, None, 9_000, 2)
    assert drive(store.next_intent_us()) is None


def test_intents_come_out_oldest_first_and_no_more_than_asked(store: Store) -> None:
    """A ceiling, and no starving behind it."""
    for n in range(5):
        bring(store, State.FINALIZING, f"c{n}")
    first = drive(store.due_intents(now_us=6_000, lease_until_us=LATER, limit=3))
    second = drive(store.due_intents(now_us=6_000, lease_until_us=LATER, limit=3))
    assert [i.call_id for i in (*first, *second)] == ["c0", "c1", "c2", "c3", "c4"]


# --- sweeping ------------------------------------------------------------------------------------


def test_due_calls_are_leased_and_counted(replica: Callable[[], Store]) -> None:
    """Another replica keeps off until the lease ends; a move begins the count anew."""
    one, two = replica(), replica()
    bring(one, State.UNKNOWN)
    (call,) = drive(one.due_calls(now_us=5_000, lease_until_us=35_000, limit=9))
    assert (call.call_id, call.tries) == ("c1", 1)
    assert drive(two.due_calls(now_us=34_999, lease_until_us=LATER, limit=9)) == ()
    (again,) = drive(two.due_calls(now_us=35_000, lease_until_us=65_000, limit=9))
    assert again.tries == 2
    drive(one.started("c1", task_id="t", answer=None, attempt=None, now_us=6_000, due_us=66_000))
    moved = drive(one.call("c1"))
    assert moved is not None
    assert (moved.tries, moved.due_us) == (0, 66_000)


@pytest.mark.parametrize("state", sorted(State))
def test_exactly_the_calls_before_their_claim_become_due(store: Store, state: State) -> None:
    """What the deliverer has, or has ended, is not swept; deferring it does not bring it back."""
    bring(store, state)
    drive(store.look_again("c1", due_us=7, now_us=6))
    due = drive(store.due_calls(now_us=LATER, lease_until_us=LATER, limit=9))
    swept = state not in TERMINAL | {State.FINALIZING}
    assert [call.call_id for call in due] == (["c1"] if swept else [])


def test_old_keys_are_forgotten_and_rows_are_not(store: Store) -> None:
    """After its time a key is free and its answers are gone; the record of the call stays."""
    bring(store, State.FINALIZED, "c1", idempotency_key="k")  # ends at 6 000
    bring(store, State.RUNNING, "c2", idempotency_key="k2")
    assert drive(store.forget(before_us=6_000, limit=9)) == 0
    assert drive(store.forget(before_us=6_001, limit=9)) == 1
    assert drive(store.forget(before_us=LATER, limit=9)) == 0
    assert drive(store.answer("c1", "submit")) is None
    assert isinstance(drive(store.open_call(new_call("c3", idempotency_key="k"))), Fresh)
    assert isinstance(drive(store.open_call(new_call("c4", idempotency_key="k2"))), Replay)
    call = drive(store.call("c1"))
    assert call is not None
    assert (call.state, call.idempotency_key, call.amount_nanos) == (State.FINALIZED, "k", 300)


def test_forgetting_has_a_ceiling(store: Store) -> None:
    """Oldest first, a page at a time."""
    for n in range(3):
        bring(store, State.FINALIZED, f"c{n}")
    assert [drive(store.forget(before_us=LATER, limit=2)) for _ in range(3)] == [2, 1, 0]


# --- attempts and pages --------------------------------------------------------------------------


def test_an_attempt_is_on_record_before_it_has_an_end(store: Store) -> None:
    """What a crash cuts off has been written down already."""
    opened = attempt("c1", "a1", op="poll")
    drive(store.attempt_opened(opened))
    drive(store.attempt_opened(attempt(None, "a2", op="passthrough")))
    drive(store.attempt_closed("a2", status=None, failure="read", now_us=7))
    one, two = drive(store.page("attempts", after=None, limit=9))
    assert (one["attempt_id"], one["status"], one["failure"], one["ended_us"]) == ("a1", None, None, None)
    assert (two["call_id"], two["status"], two["failure"], two["ended_us"]) == (None, None, "read", 7)


def test_a_submit_that_was_not_begun_leaves_no_attempt(store: Store) -> None:
    """The row and the move are one."""
    bring(store, State.FINALIZED)
    before = drive(store.page("attempts", after=None, limit=9))
    assert not drive(store.begin_submit("c1", Attempt("x", "c1", "rh", "submit", "POST", "/", 9), due_us=9))
    assert drive(store.page("attempts", after=None, limit=9)) == before


def test_pages_follow_one_another(store: Store) -> None:
    """The first column is the cursor; nothing is shown twice, nothing left out, an end is an end."""
    for n in range(5):
        bring(store, State.FINALIZED, f"c{4 - n}")
    seen: list[object] = []
    after: str | None = None
    while rows := drive(store.page("calls", after=after, limit=2)):
        seen += [next(iter(row.values())) for row in rows]
        after = str(seen[-1])
    assert seen == ["c4", "c3", "c2", "c1", "c0"]
    assert drive(store.page("calls", after="nobody", limit=2)) == []


@pytest.mark.parametrize("table", sorted(PAGES))
def test_every_page_has_its_columns(store: Store, table: str) -> None:
    """As the read API declares them."""
    bring(store, State.FINALIZED)
    names = [column.rpartition(" ")[2] for column in PAGES[table]]
    for row in drive(store.page(table, after=None, limit=9)):
        assert list(row) == names


def test_what_a_provider_said_need_not_be_text(store: Store) -> None:
    """Half a surrogate pair in a reason or a header is kept as well as it can be, and loses no verdict."""
    bring(store, State.SUBMITTING, idempotency_key="k")
    odd = Answer(400, (("x-odd", "\ud800"),), b"\xff\x00")
    verdict = Verdict(0, Outcome.REFUSED, "code \ud800", submit=odd)
    assert drive(store.claim("c1", verdict, intent_id="i", now_us=9))
    assert drive(store.open_call(new_call("c2", idempotency_key="k"))) == Replay("c1", odd)
    call = drive(store.call("c1"))
    assert call is not None
    assert call.reason == "code ?"
