"""Frozen values to and from table rows. Knows columns, not transactions."""

import json
from collections.abc import Sequence
from typing import Any

from refgate.answer import Answer
from refgate.ledger.records import Call, Hold, Intent
from refgate.ledger.states import Outcome, State

__all__ = [
    "ANSWER",
    "CALL",
    "HOLD",
    "INTENT",
    "answer_of",
    "call_of",
    "flags_of",
    "headers_text",
    "hold_of",
    "intent_of",
    "text",
]

CALL = (
    "call_id, account, provider, state, fingerprint, hold_nanos, route, submit_path, captures,"
    " idempotency_key, created_us, updated_us, due_us, outcome, reason, task_id, hold_id, amount_nanos,"
    " flags, late_of, tries, body"
)
ANSWER = "status, headers, body"
INTENT = (
    "i.intent_id, i.call_id, c.account, c.provider, i.hold_id, i.hold_nanos, i.amount_nanos, i.reason,"
    " i.key, i.tries + 1, i.created_us"
)
HOLD = "hold_id, key, account, call_id, amount_nanos, state, captured_nanos, opened_us"


_STATES = {state.value: state for state in State}
_OUTCOMES: dict[str | None, Outcome | None] = {None: None, **{outcome.value: outcome for outcome in Outcome}}


def call_of(row: Sequence[Any]) -> Call:
    """From the columns `CALL`. A call that nothing is due for shows due_us 0."""
    (call_id, account, provider, state, fingerprint, hold_nanos, route, submit_path, captures, key,
     created_us, updated_us, due_us, outcome, reason, task_id, hold_id, amount_nanos, flags, late_of,
     tries, body) = row  # fmt: skip
    return Call(
        call_id=call_id,
        account=account,
        provider=provider,
        state=_STATES[state],
        fingerprint=fingerprint,
        hold_nanos=hold_nanos,
        route=route,
        submit_path=submit_path,
        captures=json.loads(captures),
        idempotency_key=key,
        created_us=created_us,
        updated_us=updated_us,
        due_us=due_us or 0,
        outcome=_OUTCOMES[outcome],
        reason=reason,
        task_id=task_id,
        hold_id=hold_id,
        amount_nanos=amount_nanos,
        flags=flags_of(flags),
        late_of=late_of,
        tries=tries,
        body=body,
    )


def answer_of(row: Sequence[Any]) -> Answer:
    """From the columns `ANSWER`."""
    status, headers, body = row
    return Answer(status, tuple((name, value) for name, value in json.loads(headers)), body)


def intent_of(row: Sequence[Any]) -> Intent:
    """From the columns `INTENT`, as it is handed out: that counts as a try."""
    return Intent(*row)


def hold_of(row: Sequence[Any]) -> Hold:
    """From the columns `HOLD`."""
    return Hold(*row)


def flags_of(stored: str) -> tuple[str, ...]:
    return () if stored == "[]" else tuple(json.loads(stored))


def headers_text(headers: Sequence[tuple[str, str]]) -> str:
    return json.dumps(headers)


def text(words: str | None) -> str | None:
    """Free words as they may be kept: what a provider put into a reason need not be valid Unicode."""
    return None if words is None else words.encode("utf-8", "replace").decode("utf-8")
