"""What goes out, and what is written down of it: B11 callers' keys · B13 what may have been done is sent
again · B14 attempts without a row or an end · C11 tries on top of tries.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from refgate.answer import Answer
from refgate.chat import attempts, telling
from refgate.chat.exchange import Exchange
from refgate.chat.records import AttemptEnd, ChatAttempt
from refgate.chat.result import Result
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.canonical import Protocol
from refgate.dialects.spoken import Fault
from refgate.policy.plan import Plan
from refgate.requestlog.log import Tape
from refgate.store import chats
from refgate.upstream import Failure, Outgoing, Phases, Stream, Upstream
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_end_attempt = chats._end_attempt
_exchange = attempts._exchange
_open = Upstream.open
_ran_out = Exchange._ran_out
_refusal = telling.refusal


def _with_what_came(works: ChatWorks, call: Call, attempt: ChatAttempt, tape: Tape | None) -> Exchange:
    """Where a backend has no Authorization of its own, the caller's stays in its place."""
    made = _exchange(works, call, attempt, tape)
    out, came = made._aim.out, call.notes.presented
    if came is not None and not any(name == "authorization" for name, _ in out.headers):
        headers = (*out.headers, ("authorization", f"Bearer {came}"))
        made._aim = replace(made._aim, out=replace(out, headers=headers))
    return made


def _always(self: Plan) -> bool:
    """A failure is a failure, and the next backend may do better."""
    return True


def _surely_not_done(self: Exchange) -> Result:
    """Who did not answer in time has done nothing."""
    result = _ran_out(self)
    if result.failure is None:
        return result
    return replace(result, failure=replace(result.failure, ambiguous=False))


def _answered_ones(cx: sqlite3.Connection, end: AttemptEnd) -> None:
    """Of attempts that nobody answered there is nothing to keep."""
    if end.status is None:
        cx.execute("DELETE FROM chat_attempts WHERE attempt_id = ?", (end.attempt_id,))
    else:
        _end_attempt(cx, end)


def _left_as_begun(cx: sqlite3.Connection, end: AttemptEnd) -> None:
    """The end is written where the answer is read, and a time-out does not come by there."""
    if end.failure != "timeout":
        _end_attempt(cx, end)


async def _twice(self: Upstream, out: Outgoing, *, phases: Phases) -> Stream | Failure:
    """The client retries by itself, as vendors' SDKs do, what was not answered or with a 5xx."""
    reply = await _open(self, out, phases=phases)
    if isinstance(reply, Stream):
        if reply.status < 500:
            return reply
        await reply.aclose()
    return await _open(self, out, phases=phases)


def _may_be_retried(
    protocol: Protocol, fault: Fault, *, call_id: str, param: str | None = None, retry: bool = True
) -> Answer:
    """Whether a retry could double the work is not told."""
    return _refusal(protocol, fault, call_id=call_id, param=param)


SABOTAGES = (
    Sabotage(
        "B11",
        "with-what-came",
        "a backend with no Authorization of its own is sent the caller's",
        Swap(attempts, _exchange, _with_what_came),
        ("canaries-contained",),
    ),
    Sabotage(
        "B13",
        "always",
        "what may have been done is sent again, whatever is declared",
        Swap(Plan, Plan._may_repeat, _always),
        ("no-double-generation",),
    ),
    Sabotage(
        "B13",
        "surely-not-done",
        "a time-out after sending is taken for a backend that did nothing",
        Swap(Exchange, _ran_out, _surely_not_done),
        ("no-double-generation",),
    ),
    Sabotage(
        "B14",
        "answered-ones",
        "attempts that were not answered leave no row",
        Swap(chats, _end_attempt, _answered_ones),
        ("attempts-recorded",),
    ),
    Sabotage(
        "B14",
        "left-as-begun",
        "attempts that time out are never ended in the record",
        Swap(chats, _end_attempt, _left_as_begun),
        ("attempts-recorded",),
    ),
    Sabotage(
        "C11",
        "twice",
        "the client to backends retries by itself, below the gateway's own tries",
        Swap(Upstream, _open, _twice),
        ("attempts-recorded", "attempts-bounded"),
    ),
    Sabotage(
        "C11",
        "may-be-retried",
        "SDKs are not told that a retry could double the work, and retry",
        Swap(telling, _refusal, _may_be_retried),
        ("error-mapped",),
    ),
)
