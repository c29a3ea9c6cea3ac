"""Calls inside a write transaction: opening, moving, ending.

Every move reads the state, asks the table, and writes only from that state; the write lock is held
from the first read on, so of any number of movers exactly one passes. Nothing here begins or commits.
"""

import json
import sqlite3
from collections.abc import Sequence

from refgate.ledger.keys import finalize_key
from refgate.ledger.states import TERMINAL, Outcome, State, may
from refgate.ports import (
    Answer,
    Attempt,
    Call,
    Fresh,
    InFlight,
    KeyReused,
    NewCall,
    Opened,
    Replay,
    Verdict,
)
from refgate.store.rows import ANSWER, CALL, answer_of, call_of, flags_of, headers_text, text

__all__ = [
    "claim",
    "claim_late",
    "close_attempt",
    "finish",
    "insert_attempt",
    "keep_answer",
    "load",
    "move",
    "open_call",
    "started",
    "stored_answer",
]


def load(cx: sqlite3.Connection, call_id: str) -> Call | None:
    row = cx.execute(f"SELECT {CALL} FROM calls WHERE call_id = ?", (call_id,)).fetchone()
    return None if row is None else call_of(row)


def open_call(cx: sqlite3.Connection, new: NewCall) -> Opened:
    if new.idempotency_key is not None:
        bound = cx.execute(
            "SELECT call_id, state, fingerprint FROM calls"
            " WHERE account = ? AND provider = ? AND key_bound = ?",
            (new.account, new.provider, new.idempotency_key),
        ).fetchone()
        if bound is not None:
            return _met(cx, *bound, asked=new.fingerprint)
    cx.execute(
        "INSERT INTO calls (call_id, account, provider, state, fingerprint, hold_nanos, route, submit_path,"
        " captures, idempotency_key, key_bound, created_us, updated_us, due_us, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    return Fresh(_fresh(new))


def _fresh(new: NewCall) -> Call:
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
    cx: sqlite3.Connection,
    call_id: str,
    to: State,
    *,
    now_us: int,
    due_us: int | None,
    flags: Sequence[str] = (),
    hold_id: str | None = None,
    **columns: str | bytes | int | None,
) -> bool:
    """One move of the table, if it allows it from where the call is, with the `columns` that change by it.

    Flags are added, never taken away; a hold is written down once.
    """
    row = cx.execute("SELECT state, flags FROM calls WHERE call_id = ?", (call_id,)).fetchone()
    if row is None or not may(State(row[0]), to):
        return False
    also = "".join(f", {name} = ?" for name in columns)
    cx.execute(
        "UPDATE calls SET state = ?, updated_us = ?, due_us = ?, tries = 0, flags = ?, ended_us = ?,"
        f" hold_id = coalesce(hold_id, ?){also} WHERE call_id = ? AND state = ?",
        (
            to.value,
            now_us,
            due_us,
            json.dumps(list(dict.fromkeys((*flags_of(row[1]), *flags)))) if flags else row[1],
            now_us if to in TERMINAL else None,
            hold_id,
            *columns.values(),
            call_id,
            row[0],
        ),
    )
    return True


def started(
    cx: sqlite3.Connection, call_id: str, *, task_id: str, answer: Answer | None, now_us: int, due_us: int
) -> State | None:
    call = cx.execute(
        "SELECT provider, state, outcome, task_id FROM calls WHERE call_id = ?", (call_id,)
    ).fetchone()
    if call is None:
        return None
    provider, state, outcome, known_task_id = call
    owner = cx.execute(
        "SELECT call_id FROM calls WHERE provider = ? AND task_id = ?", (provider, task_id)
    ).fetchone()
    if owner is not None and owner[0] != call_id:
        return None
    if move(cx, call_id, State.RUNNING, now_us=now_us, due_us=due_us, task_id=task_id, body=b""):
        keep_answer(cx, call_id, "submit", answer)
        return State.RUNNING
    if outcome == Outcome.EXPIRED and known_task_id is None:
        cx.execute("UPDATE calls SET task_id = ? WHERE call_id = ?", (task_id, call_id))
    return State(state)


def claim(cx: sqlite3.Connection, call_id: str, verdict: Verdict, *, intent_id: str, now_us: int) -> bool:
    moved = move(
        cx,
        call_id,
        State.FINALIZING,
        now_us=now_us,
        due_us=None,
        flags=verdict.flags,
        outcome=verdict.outcome.value,
        reason=text(verdict.reason),
        amount_nanos=verdict.amount_nanos,
        body=b"",
    )
    if not moved:
        return False
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
    return move(cx, call_id, State.FINALIZED, now_us=now_us, due_us=None, flags=flags, hold_id=hold_id)


def keep_answer(cx: sqlite3.Connection, call_id: str, which: str, answer: Answer | None) -> None:
    if answer is not None:
        cx.execute(
            "INSERT OR IGNORE INTO answers (call_id, which, status, headers, body) VALUES (?, ?, ?, ?, ?)",
            (call_id, which, answer.status, headers_text(answer.headers), answer.body),
        )


def stored_answer(cx: sqlite3.Connection, call_id: str, which: str) -> Answer | None:
    row = cx.execute(
        f"SELECT {ANSWER} FROM answers WHERE call_id = ? AND which = ?", (call_id, which)
    ).fetchone()
    return None if row is None else answer_of(row)


def insert_attempt(cx: sqlite3.Connection, attempt: Attempt) -> None:
    cx.execute(
        "INSERT INTO attempts (attempt_id, call_id, provider, op, method, path, started_us, status, failure,"
        " ended_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            attempt.attempt_id,
            attempt.call_id,
            attempt.provider,
            attempt.op,
            attempt.method,
            text(attempt.path),
            attempt.started_us,
            attempt.status,
            text(attempt.failure),
            attempt.ended_us,
        ),
    )


def close_attempt(
    cx: sqlite3.Connection, attempt_id: str, *, status: int | None, failure: str | None, ended_us: int | None
) -> None:
    cx.execute(
        "UPDATE attempts SET status = ?, failure = ?, ended_us = ? WHERE attempt_id = ?",
        (status, text(failure), ended_us, attempt_id),
    )
