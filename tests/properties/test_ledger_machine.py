"""Ledger and call states against a plain model, under any order of moves, replicas, lost answers and cuts.

The model is dictionaries and `if`s. Two replicas share one file; before any step the power may be set to
go at that step's commit, on either side of it. After every step the file says exactly what the model says,
and the money is where it was, only in other books. At the end everything is worked off, and nothing is held.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from refgate.answer import Answer
from refgate.ledger.books import Books, Grant
from refgate.ledger.cadence import Cadence
from refgate.ledger.housekeeping import Housekeeping
from refgate.ledger.keys import finalize_key, reserve_key
from refgate.ledger.records import Fresh, Hold, InFlight, KeyReused, Refused, Replay, Verdict
from refgate.ledger.states import MOVES, TERMINAL, Outcome, State
from refgate.store.sqlite import SqliteStore
from tests.refgate.ledger_kit import CommitFault, Cut, File, attempt, drive, new_call

ACCOUNTS = {"alice": Grant(1_000), "bob": Grant(700, budget_nanos=500)}
ANSWER = Answer(200, (), b"first")
NANOS = st.integers(min_value=0, max_value=400)
PICK = st.integers(min_value=0, max_value=10**6)
REPLICA = st.integers(min_value=0, max_value=1)


@dataclass
class ModelCall:
    account: str
    key: str | None
    print: str
    hold: int
    state: State = State.NEW
    hold_id: bool = False  # the store knows of the hold
    task: str | None = None
    answered: bool = False
    outcome: Outcome | None = None
    amount: int | None = None
    late_of: str | None = None
    bound: bool = True


@dataclass
class ModelHold:
    account: str
    amount: int
    open: bool = True
    captured: int = 0


@dataclass
class Model:
    calls: dict[str, ModelCall] = field(default_factory=dict)
    holds: dict[str, ModelHold] = field(default_factory=dict)  # by the call they are for
    settled: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0))

    def held(self, account: str) -> int:
        return sum(hold.amount for hold in self.holds.values() if hold.account == account and hold.open)

    def fits(self, account: str, amount: int) -> str | None:
        """Why not, if not."""
        grant = ACCOUNTS[account]
        bound = self.settled[account] + self.held(account) + amount
        if bound > grant.granted_nanos:
            return "insufficient_funds"
        if grant.budget_nanos is not None and bound > grant.budget_nanos:
            return "over_budget"
        return None

    def capture(self, call_id: str, amount: int) -> None:
        hold = self.holds[call_id]
        hold.open, hold.captured = False, amount
        self.settled[hold.account] += amount


class LedgerMachine(RuleBasedStateMachine):
    """Each rule says what the model expects, plays it on a replica, and lets the model follow."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = File(Path(self.folder.name) / "ledger.sqlite")
        self.model = Model()
        self.now_us = 1_000
        self.ids = 0
        self.armed: str | None = None
        self.replicas = [self._replica(), self._replica()]

    # --- the two replicas and their power ---

    def _replica(self) -> tuple[SqliteStore, Books]:
        store = SqliteStore(self.file.database(self._fault))
        books = Books(store.database, clock=lambda: self.now_us, ids=self._id)
        books.open_accounts(ACCOUNTS)
        return store, books

    _fault_at: CommitFault | None = None

    def _fault(self, sql: str, side: str) -> None:
        if self._fault_at is not None:
            self._fault_at(sql, side)

    def _id(self, prefix: str) -> str:
        self.ids += 1
        return f"{prefix}{self.ids}"

    def _play(
        self, replica: int, work: Coroutine[Any, Any, Any], effect: Callable[[], None], expected: Any
    ) -> bool:
        """Whether anybody heard the answer; the model follows what the file must now say."""
        armed, self.armed = self.armed, None
        if armed is not None:
            self._fault_at = CommitFault(1, armed)
        try:
            result = drive(work)
        except Cut:
            self._fault_at = None
            self.replicas[replica][0].close()
            self.replicas[replica] = self._replica()
            if armed == "after":
                effect()
            return False
        self._fault_at = None
        effect()
        assert result == expected, (result, expected)
        return True

    @rule(side=st.sampled_from(["before", "after"]))
    def power_goes_at_the_next_commit(self, side: str) -> None:
        self.armed = side

    @rule(replica=REPLICA)
    def restart(self, replica: int) -> None:
        self.replicas[replica][0].close()
        self.replicas[replica] = self._replica()

    # --- rules: a call's life ---

    def _pick(self, pick: int, *states: State) -> tuple[str, ModelCall]:
        """Mostly a call in one of the states; any call where there is none."""
        wanted = [call_id for call_id, call in self.model.calls.items() if call.state in states]
        choices = wanted or list(self.model.calls)
        call_id = choices[pick % len(choices)]
        return call_id, self.model.calls[call_id]

    @rule(
        replica=REPLICA,
        account=st.sampled_from(sorted(ACCOUNTS)),
        key=st.sampled_from([None, "k", "l"]),
        print_=st.sampled_from(["x", "x", "y"]),
        hold=NANOS,
    )
    def open_a_call(self, replica: int, account: str, key: str | None, print_: str, hold: int) -> None:
        self.now_us += 1
        call_id = self._id("c")
        new = new_call(
            call_id,
            account=account,
            idempotency_key=key,
            fingerprint=print_,
            hold_nanos=hold,
            now_us=self.now_us,
        )
        bound = next(
            (
                (known_id, known)
                for known_id, known in self.model.calls.items()
                if key is not None and known.bound and (known.account, known.key) == (account, key)
            ),
            None,
        )
        opened = self.replicas[replica][0].open_call(new)
        if bound is None:
            self._play(
                replica,
                _kind_of(opened),
                lambda: self.model.calls.update({call_id: ModelCall(account, key, print_, hold)}),
                Fresh,
            )
            return
        known_id, known = bound
        met: object = InFlight(known_id, known.state)
        if known.print != print_:
            met = KeyReused(known_id)
        elif known.answered:
            met = Replay(known_id, ANSWER)
        self._play(replica, opened, _nothing, met)

    @precondition(lambda self: self.model.calls)
    @rule(replica=REPLICA, pick=PICK, written=st.booleans())
    def take_a_hold(self, replica: int, pick: int, written: bool) -> None:
        """As a handler or the sweep does; when `written` is False the answer never reaches the store."""
        call_id, call = self._pick(pick, State.NEW)
        if call.late_of is not None:
            return
        _, books = self.replicas[replica]
        known = self.model.holds.get(call_id)
        refusal = None if known is not None else self.model.fits(call.account, call.hold)

        def effect() -> None:
            if known is None and refusal is None:
                self.model.holds[call_id] = ModelHold(call.account, call.hold)

        asked = books.reserve(
            key=reserve_key(call_id),
            account=call.account,
            amount_nanos=call.hold,
            call_id=call_id,
            provider="rh",
        )
        expected = "hold" if refusal is None else refusal
        if not self._play(replica, _word_of(asked), effect, expected) or not written:
            return
        if refusal is not None:
            self._reject(replica, call_id, call)
        else:
            self._reserved(replica, call_id, call, hold_id=self._hold_id(call_id))

    def _hold_id(self, call_id: str) -> str:
        ((hold_id,),) = self.file.rows(f"SELECT hold_id FROM holds WHERE call_id = '{call_id}'")
        return str(hold_id)

    def _reserved(self, replica: int, call_id: str, call: ModelCall, *, hold_id: str | None) -> None:
        moves = State.RESERVED in MOVES[call.state]

        def effect() -> None:
            if moves:
                call.state, call.hold_id = State.RESERVED, hold_id is not None

        work = self.replicas[replica][0].reserved(
            call_id, hold_id=hold_id, flags=(), now_us=self.now_us, due_us=self.now_us
        )
        self._play(replica, work, effect, moves)

    @precondition(lambda self: self.model.calls)
    @rule(replica=REPLICA, pick=PICK)
    def let_in_without_a_hold(self, replica: int, pick: int) -> None:
        call_id, call = self._pick(pick, State.NEW)
        self._reserved(replica, call_id, call, hold_id=None)

    @precondition(lambda self: self.model.calls)
    @rule(replica=REPLICA, pick=PICK)
    def reject(self, replica: int, pick: int) -> None:
        self._reject(replica, *self._pick(pick, State.NEW))

    def _reject(self, replica: int, call_id: str, call: ModelCall) -> None:
        moves = State.REJECTED in MOVES[call.state]

        def effect() -> None:
            if moves:
                call.state, call.bound = State.REJECTED, False

        work = self.replicas[replica][0].reject(call_id, reason="no", now_us=self.now_us)
        self._play(replica, work, effect, moves)

    @precondition(lambda self: self.model.calls)
    @rule(replica=REPLICA, pick=PICK)
    def begin_submit(self, replica: int, pick: int) -> None:
        call_id, call = self._pick(pick, State.RESERVED)
        sent = attempt(call_id, self._id("a"))
        work = self.replicas[replica][0].begin_submit(call_id, sent, due_us=self.now_us)
        self._move(replica, work, call, State.SUBMITTING)

    @precondition(lambda self: self.model.calls)
    @rule(replica=REPLICA, pick=PICK)
    def lose_sight(self, replica: int, pick: int) -> None:
        call_id, call = self._pick(pick, State.SUBMITTING)
        work = self.replicas[replica][0].unknown(
            call_id, reason="read", attempt=None, now_us=self.now_us, due_us=self.now_us
        )
        self._move(replica, work, call, State.UNKNOWN)

    def _move(self, replica: int, work: Coroutine[Any, Any, bool], call: ModelCall, to: State) -> None:
        moves = to in MOVES[call.state]

        def effect() -> None:
            if moves:
                call.state = to

        self._play(replica, work, effect, moves)

    @precondition(lambda self: self.model.calls)
    @rule(replica=REPLICA, pick=PICK, task=st.sampled_from(["t1", "t2", "t3", "t4"]))
    def start(self, replica: int, pick: int, task: str) -> None:
        call_id, call = self._pick(pick, State.SUBMITTING, State.UNKNOWN)
        taken = any(other.task == task for other in self.model.calls.values() if other is not call)
        moves = not taken and State.RUNNING in MOVES[call.state]
        found_late = not taken and call.outcome is Outcome.EXPIRED and call.task is None

        def effect() -> None:
            if moves:
                call.state, call.answered = State.RUNNING, True
            if moves or found_late:
                call.task = task

        work = self.replicas[replica][0].started(
            call_id, task_id=task, answer=ANSWER, attempt=None, now_us=self.now_us, due_us=self.now_us
        )
        expected = None if taken else State.RUNNING if moves else call.state
        self._play(replica, work, effect, expected)

    @precondition(lambda self: self.model.calls)
    @rule(
        replica=REPLICA,
        pick=PICK,
        amount=st.integers(min_value=0, max_value=900),
        outcome=st.sampled_from([Outcome.SUCCESS, Outcome.FAILED, Outcome.EXPIRED]),
        answered=st.booleans(),
    )
    def claim(self, replica: int, pick: int, amount: int, outcome: Outcome, answered: bool) -> None:
        call_id, call = self._pick(pick, State.RUNNING, State.UNKNOWN, State.SUBMITTING, State.RESERVED)
        amount = amount if outcome is Outcome.SUCCESS else 0
        moves = State.FINALIZING in MOVES[call.state]

        def effect() -> None:
            if moves:
                call.state, call.outcome, call.amount = State.FINALIZING, outcome, amount
                call.answered = call.answered or answered

        verdict = Verdict(amount, outcome, outcome.value, submit=ANSWER if answered else None)
        work = self.replicas[replica][0].claim(call_id, verdict, intent_id=self._id("i"), now_us=self.now_us)
        self._play(replica, work, effect, moves)

    @precondition(lambda self: any(call.outcome is Outcome.EXPIRED for call in self.model.calls.values()))
    @rule(replica=REPLICA, pick=PICK, amount=NANOS)
    def claim_late(self, replica: int, pick: int, amount: int) -> None:
        expired = [call_id for call_id, call in self.model.calls.items() if call.outcome is Outcome.EXPIRED]
        call_id = expired[pick % len(expired)]
        call, late_id = self.model.calls[call_id], self._id("late")
        first = all(other.late_of != call_id for other in self.model.calls.values())

        def effect() -> None:
            if first:
                self.model.calls[late_id] = ModelCall(
                    call.account, None, call.print, amount, State.FINALIZING,
                    outcome=Outcome.SUCCESS, amount=amount, late_of=call_id,
                )  # fmt: skip

        work = self.replicas[replica][0].claim_late(
            call_id,
            Verdict(amount, Outcome.SUCCESS, "success"),
            late_id=late_id,
            intent_id=self._id("i"),
            now_us=self.now_us,
        )
        self._play(replica, work, effect, first)

    # --- rules: working off ---

    @precondition(lambda self: self._owed())
    @rule(replica=REPLICA, pick=PICK, heard=st.booleans())
    def deliver(self, replica: int, pick: int, heard: bool) -> None:
        """As the deliverer does; when `heard` is False billing's answer is lost."""
        owed = self._owed()
        self._deliver(replica, owed[pick % len(owed)], heard=heard)

    def _owed(self) -> list[str]:
        return [call_id for call_id, call in self.model.calls.items() if call.state is State.FINALIZING]

    def _deliver(self, replica: int, call_id: str, *, heard: bool) -> None:
        call = self.model.calls[call_id]
        armed, self.armed = self.armed, None  # leasing is not what is judged here
        intents = drive(
            self.replicas[replica][0].due_intents(
                now_us=self.now_us + 1, lease_until_us=self.now_us, limit=10_000
            )
        )
        self.armed = armed
        assert sorted(intent.call_id for intent in intents) == sorted(self._owed())
        intent = next(intent for intent in intents if intent.call_id == call_id)
        assert (intent.amount_nanos, intent.key) == (call.amount, finalize_key(call_id))
        assert (intent.hold_id is not None) == call.hold_id
        if intent.hold_id is None and not self._late_hold(replica, call_id, call, heard=heard):
            return
        hold_id = self._hold_id(call_id)
        hold, amount = self.model.holds[call_id], call.amount
        assert amount is not None

        def effect() -> None:
            if hold.open:
                self.model.capture(call_id, amount)

        work = self.replicas[replica][1].finalize(
            key=intent.key, hold_id=hold_id, amount_nanos=amount, reason="r"
        )
        if self._play(replica, work, effect, None) and heard:
            work_done = self.replicas[replica][0].delivered(
                replace(intent, hold_id=hold_id), now_us=self.now_us
            )
            self._finalized(replica, work_done, call, with_hold=True)

    def _late_hold(self, replica: int, call_id: str, call: ModelCall, *, heard: bool) -> bool:
        """The hold of a call that went on without one; unbillable where it does not fit."""
        known = self.model.holds.get(call_id)
        refusal = None if known is not None else self.model.fits(call.account, call.hold)

        def effect() -> None:
            if known is None and refusal is None:
                self.model.holds[call_id] = ModelHold(call.account, call.hold)

        work = self.replicas[replica][1].reserve(
            key=reserve_key(call_id),
            account=call.account,
            amount_nanos=call.hold,
            call_id=call_id,
            provider="rh",
        )
        if not self._play(replica, _word_of(work), effect, refusal or "hold") or not heard:
            return False
        if refusal is None:
            return True
        (intent,) = [
            intent
            for intent in drive(
                self.replicas[replica][0].due_intents(
                    now_us=self.now_us + 1, lease_until_us=self.now_us, limit=10_000
                )
            )
            if intent.call_id == call_id
        ]
        work_done = self.replicas[replica][0].delivered(intent, flags=("unbillable",), now_us=self.now_us)
        self._finalized(replica, work_done, call, with_hold=False)
        return False

    def _finalized(
        self, replica: int, work: Coroutine[Any, Any, bool], call: ModelCall, *, with_hold: bool
    ) -> None:
        def effect() -> None:
            call.state, call.hold_id = State.FINALIZED, with_hold

        self._play(replica, work, effect, True)

    @rule(replica=REPLICA)
    def release_orphans(self, replica: int) -> None:
        self.armed = None  # many commits, of which each is judged alone elsewhere
        self._release_orphans(replica)

    def _release_orphans(self, replica: int) -> None:
        store, books = self.replicas[replica]
        self.now_us += 1
        keeping = Housekeeping(
            store, books, cadence=Cadence(orphan_after_us=0), clock=lambda: self.now_us, emit=_deaf
        )
        drive(keeping.release_orphans())
        for call_id, hold in self.model.holds.items():
            call = self.model.calls[call_id]
            if hold.open and call.state in TERMINAL:
                assert not call.hold_id
                self.model.capture(call_id, 0)

    @rule(replica=REPLICA)
    def forget_old_keys(self, replica: int) -> None:
        self.armed = None
        self.now_us += 1
        drive(self.replicas[replica][0].forget(before_us=self.now_us, limit=10_000))
        for call in self.model.calls.values():
            if call.state in TERMINAL and (call.bound or call.answered):
                call.bound = call.answered = False

    # --- what holds after every step ---

    @invariant()
    def the_file_says_what_the_model_says(self) -> None:
        rows = self.file.rows(
            "SELECT call_id, state, task_id, outcome, amount_nanos, late_of, hold_id IS NOT NULL FROM calls"
        )
        assert {row[0]: row[1:] for row in rows} == {
            call_id: (call.state, call.task, call.outcome, call.amount, call.late_of, call.hold_id)
            for call_id, call in self.model.calls.items()
        }
        holds = self.file.rows(
            "SELECT call_id, account, amount_nanos, state = 'open', captured_nanos FROM holds"
        )
        assert {row[0]: row[1:] for row in holds} == {
            call_id: (hold.account, hold.amount, hold.open, hold.captured)
            for call_id, hold in self.model.holds.items()
        }
        claimed = sum(call.outcome is not None for call in self.model.calls.values())
        assert self.file.rows("SELECT count(*), count(DISTINCT call_id) FROM intents") == [(claimed, claimed)]

    @invariant()
    def money_is_conserved(self) -> None:
        accounts = self.file.rows(
            "SELECT account, granted_nanos, available_nanos, held_nanos, settled_nanos FROM accounts"
        )
        for account, granted, available, held, settled in accounts:
            assert granted == ACCOUNTS[account].granted_nanos == available + held + settled
            assert (held, settled) == (self.model.held(account), self.model.settled[account])
        books = self.file.rows("SELECT book, sum(amount_nanos) FROM entries GROUP BY book")
        assert sum(total for _, total in books) == 0
        assert self.file.rows("SELECT 1 FROM entries GROUP BY txn_id HAVING sum(amount_nanos) != 0") == []

    def teardown(self) -> None:
        """Worked off to the end: no call open, nothing owed, nothing held."""
        self.armed = None
        self._work_off()
        assert all(call.state in TERMINAL for call in self.model.calls.values())
        assert not any(hold.open for hold in self.model.holds.values())
        self.the_file_says_what_the_model_says()
        self.money_is_conserved()
        for store, _ in self.replicas:
            store.close()
        self.file.close()
        self.folder.cleanup()

    def _work_off(self) -> None:
        for call_id, call in list(self.model.calls.items()):
            if call.state is State.NEW:
                self._reject(0, call_id, call)
            elif call.state not in TERMINAL | {State.FINALIZING}:
                verdict = Verdict(0, Outcome.EXPIRED, "end")
                work = self.replicas[0][0].claim(
                    call_id, verdict, intent_id=self._id("i"), now_us=self.now_us
                )
                assert drive(work)
                call.state, call.outcome, call.amount = State.FINALIZING, Outcome.EXPIRED, 0
        for call_id in self._owed():
            self._deliver(1, call_id, heard=True)
        self._release_orphans(0)


def _nothing() -> None:
    """The model stays as it is."""


def _deaf(event: object) -> None:
    """Nobody listens."""


async def _kind_of(work: Coroutine[Any, Any, object]) -> type:
    return type(await work)


async def _word_of(work: Coroutine[Any, Any, Hold | Refused]) -> str:
    said = await work
    return said.code if isinstance(said, Refused) else "hold"


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
