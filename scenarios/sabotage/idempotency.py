"""Keys that do not protect: A1 check, then act · A2 another body · A3 the first is in flight · A10 replays.

Each replacement is the gateway's own function with one thought left out.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from starlette.responses import Response

from refgate.answer import Answer
from refgate.flows import submit
from refgate.flows.answers import respond
from refgate.flows.arrival import Asked
from refgate.flows.opening import fingerprint
from refgate.ledger.records import InFlight, NewCall, Opened
from refgate.store import calls
from refgate.store.sqlite import SqliteStore
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_open_call = SqliteStore.open_call


async def _looks_then_writes(self: SqliteStore, new: NewCall) -> Opened:
    """Two transactions: whoever asks between them finds the key free as well."""
    with self.database.read() as cx:
        known = cx.execute(
            "SELECT call_id, state, fingerprint FROM calls WHERE account = ? AND provider = ?"
            " AND idempotency_key = ? AND state <> 'rejected' ORDER BY seq LIMIT 1",
            (new.account, new.provider, new.idempotency_key),
        ).fetchone()
        if known is not None:
            return calls._met(cx, *known, asked=new.fingerprint)
    await asyncio.sleep(0)
    with self.database.write() as cx:
        opened = calls.open_call(cx, replace(new, idempotency_key=None))
        cx.execute(
            "UPDATE calls SET idempotency_key = ? WHERE call_id = ?", (new.idempotency_key, new.call_id)
        )
        return opened


def _without_body(asked: Asked) -> str:
    """Whatever is asked under a key is what was asked before."""
    return fingerprint(replace(asked, body=b""))


async def _free_while_in_flight(self: SqliteStore, new: NewCall) -> Opened:
    """Only an answer makes a key known: until there is one, a repeat is a call of its own."""
    opened = await _open_call(self, new)
    if isinstance(opened, InFlight):
        return await _open_call(self, replace(new, idempotency_key=None))
    return opened


def _replayed_as_200(answer: Answer, *, call_id: str | None, replayed: bool = False) -> Response:
    return respond(replace(answer, status=200) if replayed else answer, call_id=call_id, replayed=replayed)


def _replayed_bare(answer: Answer, *, call_id: str | None, replayed: bool = False) -> Response:
    if replayed:
        answer = replace(answer, headers=(("content-type", "application/json"),))
    return respond(answer, call_id=call_id, replayed=replayed)


def _replayed_anew(answer: Answer, *, call_id: str | None, replayed: bool = False) -> Response:
    if replayed:
        try:
            answer = replace(answer, body=json.dumps(json.loads(answer.body)).encode())
        except ValueError:
            answer = replace(answer, body=b"{}")
    return respond(answer, call_id=call_id, replayed=replayed)


SABOTAGES = (
    Sabotage(
        "A1",
        "check-then-act",
        "a key is looked up in one transaction and written in another",
        Swap(SqliteStore, _open_call, _looks_then_writes),
        ("one-effect-per-key",),
    ),
    Sabotage(
        "A2",
        "any-body",
        "the body is no part of what a key stands for",
        Swap(submit, fingerprint, _without_body),
        ("same-answer-per-key",),
    ),
    Sabotage(
        "A3",
        "free-while-in-flight",
        "a key protects only once its first call has an answer",
        Swap(SqliteStore, _open_call, _free_while_in_flight),
        ("one-effect-per-key",),
    ),
    Sabotage(
        "A10",
        "replayed-as-200",
        "a stored answer is replayed with status 200, whatever it was",
        Swap(submit, respond, _replayed_as_200),
        ("same-answer-per-key",),
    ),
    Sabotage(
        "A10",
        "replayed-without-headers",
        "a stored answer is replayed as JSON, without its own headers",
        Swap(submit, respond, _replayed_bare),
        ("same-answer-per-key",),
    ),
    Sabotage(
        "A10",
        "replayed-anew",
        "a stored answer is replayed as its JSON written out again, not as its bytes",
        Swap(submit, respond, _replayed_anew),
        ("same-answer-per-key", "bytes-intact"),
    ),
)
