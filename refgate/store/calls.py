"""Calls inside a write transaction: opening, moving, ending.

Every move is one statement that writes only where the table allows the move from the state that is there,
so of any number of movers exactly one passes. Nothing here begins or commits.
"""

import json
import sqlite3
from collections.abc import Sequence

from refgate.answer import Answer
from refgate.ledger.keys import finalize_key
from refgate.ledger.records import Attempt, Call, Fresh, InFlight, KeyReused, NewCall, Opened, Replay, Verdict
from refgate.ledger.states import TERMINAL, Outcome, State, before
from refgate.store.rows import ANSWER, CALL, answer_of, call_of, flags_of, headers_text, text

__all__ = [
    "claim",
    "claim_late",
    "close_attempt",
    "finish",
    "flag",
    "fresh",
    "insert_attempt",
    "insert_call",
    "keep_answer",
    "load",
    "move",
    "open_call",
    "started",
    "stored_answer",
]

_ALSO = {
    State.NEW: "",
    State.RESERVED: ", hold_id = coalesce(hold_id, ?)",
    State.SUBMITTING: "",
    State.UNKNOWN: ", reason = ?",
    State.RUNNING: ", task_id = ?, body = x''",
    State.FINALIZING: ", outcome = ?, reason = ?, amount_nanos = ?, body = x''",
    State.FINALIZED: ", hold_id = coalesce(hold_id, ?)",
    State.REJECTED: ", reason = ?, key_bound = NULL, body = x''",
}
"""What else a move to this state writes."""


def _move_to(to: State) -> str:
    allowed = ", ".join(f"'{here.value}'" for here in before(to))
    times = "due_us = ?"
    if to in TERMINAL or to is State.FINALIZING:
        times = "due_us = NULL, ended_us = ?" if to in TERMINAL else "due_us = NULL"
    return (
        f"UPDATE calls SET state = '{to.value}', tries = 0, updated_us = ?, {times}{_ALSO[to]}"
        f" WHERE call_id = ? AND state IN ({allowed})"
    )


_MOVE = {to: _move_to(to) for to in State}
_LOAD = f"SELECT {CALL} FROM calls WHERE call_id = ?"
_STORED = f"SELECT {ANSWER} FROM answers WHERE call_id = ? AND which = ?"


def load(cx: sqlite3.Connection, call_id: str) -> Call | None:
    row = cx.execute(_LOAD, (call_id,)).fetchone()
    return None if row is None else call_of(row)


def open_call(cx: sqlite3.Connection, new: NewCall) -> Opened:
    if insert_call(cx, new):
        return Fresh(fresh(new))
    bound = cx.execute(
        "SELECT call_id, state, fingerprint FROM calls WHERE account = ? AND provider = ? AND key_bound = ?",
        (new.account, new.provider, new.idempotency_key),
    ).fetchone()
    return _met(cx, *bound, asked=new.fingerprint)


def insert_call(cx: sqlite3.Connection, new: NewCall) -> bool:
    """The row and its key, where the key stands for nothing yet: a single statement."""
    made = cx.execute(
        "INSERT INTO calls (call_id, account, provider, state, fingerprint, hold_nanos, route, submit_path,"
        " captures, idempotency_key, key_bound, created_us, updated_us, due_us, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (account, provider, key_bound) WHERE key_bound IS NOT NULL DO NOTHING",
        (
            new.call_id,
            new.account,
            new.provider,
            State.NEW.value,
            new.fingerprint,
            new.hold_nanos,
            new.route,
            new.submit_path,
            json.dumps(dict(new.captures)),
            new.idempotency_key,
            new.idempotency_key,
            new.now_us,
            new.now_us,
            new.lease_until_us,
            new.body,
        ),
    )
    return made.rowcount == 1


def fresh(new: NewCall) -> Call:
    """The row that was just written, as `load` would read it."""
    return Call(
        call_id=new.call_id,
        account=new.account,
        provider=new.provider,
        state=State.NEW,
        fingerprint=new.fingerprint,
        hold_nanos=new.hold_nanos,
        route=new.route,
        submit_path=new.submit_path,
        captures=dict(new.captures),
        idempotency_key=new.idempotency_key,
        created_us=new.now_us,
        updated_us=new.now_us,
        due_us=new.lease_until_us,
        body=new.body,
    )


def _met(cx: sqlite3.Connection, call_id: str, state: str, fingerprint: str, *, asked: str) -> Opened:
    if fingerprint != asked:
        return KeyReused(call_id)
    answer = stored_answer(cx, call_id, "submit")
    return InFlight(call_id, State(state)) if answer is None else Replay(call_id, answer)


def move(
    cx: sqlite3.Connection, call_id: str, to: State, *values: object, now_us: int, due_us: int | None = None
) -> bool:
    """One move, if the table allows it from where the call is. `values`: those of `_ALSO`, in order."""
    times: tuple[int, ...] = (now_us,) if due_us is None else (now_us, due_us)
    if to in TERMINAL:
        times = (now_us, now_us)
    return cx.execute(_MOVE[to], (*times, *values, call_id)).rowcount == 1


def flag(cx: sqlite3.Connection, call_id: str, flags: Sequence[str]) -> None:
    """Flags are added, never taken away."""
    if flags:
        (known,) = cx.execute("SELECT flags FROM calls WHERE call_id = ?", (call_id,)).fetchone()
        merged = json.dumps(list(dict.fromkeys((*flags_of(known), *flags))))
        cx.execute("UPDATE calls SET flags = ? WHERE call_id = ?", (merged, call_id))


def started(
    cx: sqlite3.Connection, call_id: str, *, task_id: str, answer: Answer | None, now_us: int, due_us: int
) -> State | None:
    found = cx.execute(
        "SELECT state, outcome, task_id,"
        " (SELECT call_id FROM calls WHERE provider = mine.provider AND task_id = ?)"
        " FROM calls mine WHERE call_id = ?",
        (task_id, call_id),
    ).fetchone()
    if found is None:
        return None
    state, outcome, known, owner = found
    if owner is not None and owner != call_id:
        return None
    if move(cx, call_id, State.RUNNING, task_id, now_us=now_us, due_us=due_us):
        keep_answer(cx, call_id, "submit", answer)
        return State.RUNNING
    if outcome == Outcome.EXPIRED.value and known is None:
        cx.execute("UPDATE calls SET task_id = ? WHERE call_id = ?", (task_id, call_id))
    return State(state)


def claim(cx: sqlite3.Connection, call_id: str, verdict: Verdict, *, intent_id: str, now_us: int) -> bool:
    ending = (verdict.outcome.value, text(verdict.reason), verdict.amount_nanos)
    if not move(cx, call_id, State.FINALIZING, *ending, now_us=now_us):
        return False
    flag(cx, call_id, verdict.flags)
    _write_intent(cx, call_id, verdict, intent_id=intent_id, now_us=now_us)
    keep_answer(cx, call_id, "submit", verdict.submit)
    keep_answer(cx, call_id, "final", verdict.final)
    return True


def claim_late(
    cx: sqlite3.Connection, call_id: str, verdict: Verdict, *, late_id: str, intent_id: str, now_us: int
) -> bool:
    call = load(cx, call_id)
    if call is None or call.outcome is not Outcome.EXPIRED:
        return False
    if cx.execute("SELECT 1 FROM calls WHERE late_of = ?", (call_id,)).fetchone() is not None:
        return False
    cx.execute(
        "INSERT INTO calls (call_id, account, provider, state, fingerprint, hold_nanos, route, submit_path,"
        " captures, created_us, updated_us, outcome, reason, amount_nanos, flags, late_of)"
        " SELECT ?, account, provider, ?, fingerprint, ?, route, submit_path, captures, ?, ?, ?, ?, ?, ?, ?"
        " FROM calls WHERE call_id = ?",
        (
            late_id,
            State.FINALIZING.value,
            verdict.amount_nanos,
            now_us,
            now_us,
            verdict.outcome.value,
            text(verdict.reason),
            verdict.amount_nanos,
            json.dumps(list(dict.fromkeys(("late", *verdict.flags)))),
            call_id,
            call_id,
        ),
    )
    _write_intent(cx, late_id, verdict, intent_id=intent_id, now_us=now_us)
    keep_answer(cx, call_id, "final", verdict.final)
    return True


def _write_intent(
    cx: sqlite3.Connection, call_id: str, verdict: Verdict, *, intent_id: str, now_us: int
) -> None:
    cx.execute(
        "INSERT INTO intents (intent_id, call_id, hold_id, hold_nanos, amount_nanos, reason, key,"
        " created_us, next_us) SELECT ?, call_id, hold_id, hold_nanos, ?, ?, ?, ?, ?"
        " FROM calls WHERE call_id = ?",
        (
            intent_id,
            verdict.amount_nanos,
            text(verdict.reason),
            finalize_key(call_id),
            now_us,
            now_us,
            call_id,
        ),
    )


def finish(
    cx: sqlite3.Connection, call_id: str, *, hold_id: str | None, flags: Sequence[str], now_us: int
) -> bool:
    """Billing has acknowledged: finalizing → finalized."""
    if not move(cx, call_id, State.FINALIZED, hold_id, now_us=now_us):
        return False
    flag(cx, call_id, flags)
    return True


def keep_answer(cx: sqlite3.Connection, call_id: str, which: str, answer: Answer | None) -> None:
    if answer is not None:
        cx.execute(
            "INSERT OR IGNORE INTO answers (call_id, which, status, headers, body) VALUES (?, ?, ?, ?, ?)",
            (call_id, which, answer.status, headers_text(answer.headers), answer.body),
        )


def stored_answer(cx: sqlite3.Connection, call_id: str, which: str) -> Answer | None:
    row = cx.execute(_STORED, (call_id, which)).fetchone()
    return None if row is None else answer_of(row)


def insert_attempt(cx: sqlite3.Connection, attempt: Attempt) -> None:
    """An attempt that begins: its end is written when it has one."""
    cx.execute(
        "INSERT INTO attempts (attempt_id, call_id, provider, op, method, path, started_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            attempt.attempt_id,
            attempt.call_id,
            attempt.provider,
            attempt.op,
            attempt.method,
            text(attempt.path),
            attempt.started_us,
        ),
    )


def close_attempt(
    cx: sqlite3.Connection, attempt_id: str, *, status: int | None, failure: str | None, ended_us: int | None
) -> None:
    cx.execute(
        "UPDATE attempts SET status = ?, failure = ?, ended_us = ? WHERE attempt_id = ?",
        (status, text(failure), ended_us, attempt_id),
    )
