"""A submit: reserve, forward, and know what became of it. Or know that nobody knows.

Theory of operation
===================
open the call (the key is claimed with its row) → take the hold → write the attempt down → send → read the
answer as a verdict → write the verdict down, with the end of the attempt, in one transaction.

Rule 1: the provider hears nothing before the hold is taken, save by the declared policy, flagged.
Rule 2: once bytes may be on their way, only a verdict or the sweep ends the call; doubt is written down
        as doubt, and the caller is told so.
Rule 3: what the provider has done is written down whatever becomes of the caller, of this request, or, as
        long as this process lives, of the store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.responses import Response

from refgate.answer import Answer
from refgate.config.providers import Provider
from refgate.errors import Code, Refusal, envelope
from refgate.events import CallOpened, CallUnknown
from refgate.flows import attempts
from refgate.flows.answers import respond
from refgate.flows.arrival import Asked
from refgate.flows.label import labelled
from refgate.flows.memo import remember
from refgate.flows.opening import fingerprint, open_call
from refgate.flows.reading import (
    REASON_MAX,
    Accepted,
    Declined,
    Doubtful,
    SubmitVerdict,
    Unreached,
    read_submit,
)
from refgate.flows.routes import MetSubmit
from refgate.flows.works import Works, insist
from refgate.ledger.keys import reserve_key
from refgate.ledger.records import Attempt, Call, NewCall, Refused, Replay, Verdict
from refgate.ledger.states import Outcome
from refgate.ports import BillingUnreachable, StoreUnavailable
from refgate.scrub import scrub
from refgate.upstream import Failure, Outgoing

__all__ = ["Submitted", "conclude", "submit", "task_of_another_call"]

_TOLD_AFTER_US = 5_000_000  # how long a caller waits for a verdict to be written before hearing of doubt


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submit that went out, and how it came back."""

    call: Call
    provider: Provider
    attempt: Attempt
    reply: Answer | Failure


async def submit(works: Works, asked: Asked, met: MetSubmit) -> Response:
    """The whole story. It is told to its end though the caller may be gone."""
    call_id = works.ids("call")
    out = _outgoing(asked, call_id)
    opened = await open_call(works, _new_call(works, asked, met, call_id))
    if isinstance(opened, Replay):
        return respond(opened.answer, call_id=opened.call_id, replayed=True)
    await _take_hold(works, opened.call)
    attempt = await _begin(works, opened.call, out.method, asked.path.text)
    reply = await works.upstream.ask(out, phases=works.phases, body_max=works.settings.limits.answer_body)
    sent = Submitted(opened.call, asked.provider, attempts.ended(works, attempt, reply), reply)
    verdict = read_submit(met.route, asked.provider.ambiguous.statuses, reply)
    return respond(await _written(works, sent, verdict), call_id=call_id)


def _outgoing(asked: Asked, call_id: str) -> Outgoing:
    plain = asked.outgoing()
    headers, body = labelled(asked.provider.ambiguous.label, call_id, plain.headers, plain.body)
    return Outgoing(plain.method, plain.url, headers, body)


def _new_call(works: Works, asked: Asked, met: MetSubmit, call_id: str) -> NewCall:
    now_us = works.clock()
    return NewCall(
        call_id=call_id,
        account=asked.account,
        provider=asked.name,
        fingerprint=fingerprint(asked),
        hold_nanos=asked.provider.hold_of(met.route),
        route=met.index,
        submit_path=asked.path.text,
        captures=remember(met.captures, method=asked.method, query=asked.query, headers=asked.headers),
        body=asked.body,
        idempotency_key=asked.key,
        now_us=now_us,
        lease_until_us=now_us + works.lease_us,
    )


async def _take_hold(works: Works, call: Call) -> None:
    """new → reserved, or a refusal that gives the key back."""
    flags: tuple[str, ...] = ()
    try:
        hold = await works.billing.reserve(
            key=reserve_key(call.call_id),
            account=call.account,
            amount_nanos=call.hold_nanos,
            call_id=call.call_id,
            provider=call.provider,
        )
    except BillingUnreachable:
        if works.settings.policies.billing_unreachable == "fail_closed":
            # If the reserve was applied after all, its hold belongs to a rejected call: an orphan, swept.
            raise await _rejected(works, call, "billing_unreachable", Code.BILLING_UNAVAILABLE) from None
        hold, flags = None, ("unbilled_hold",)
    if isinstance(hold, Refused):
        code = Code.ACCOUNT_FORBIDDEN if hold.code == "account_unknown" else Code.INSUFFICIENT_FUNDS
        if hold.code == "conflict":
            code = Code.BILLING_UNAVAILABLE
        raise await _rejected(works, call, hold.code, code)
    now_us = works.clock()
    kept = await works.store.reserved(
        call.call_id,
        hold_id=None if hold is None else hold.hold_id,
        flags=flags,
        now_us=now_us,
        due_us=now_us + works.lease_us,
    )
    if not kept:
        raise Refusal(Code.BILLING_UNAVAILABLE, "billing took too long", call.call_id, works.retry_after_s)
    works.emit(
        CallOpened(
            t_us=now_us,
            call_id=call.call_id,
            account=call.account,
            provider=call.provider,
            hold_nanos=call.hold_nanos,
            flags=flags,
        )
    )


_WHY = {
    "insufficient_funds": "the account has too little left for this call's hold",
    "over_budget": "the account's budget leaves no room for this call's hold",
    "account_unknown": "billing knows no such account",
}


async def _rejected(works: Works, call: Call, reason: str, code: Code) -> Refusal:
    await works.store.reject(call.call_id, reason=reason, now_us=works.clock())
    again_s = works.retry_after_s if code is Code.BILLING_UNAVAILABLE else None
    return Refusal(code, _WHY.get(reason, "billing gave no verdict on the hold"), call.call_id, again_s)


async def _begin(works: Works, call: Call, method: str, path: str) -> Attempt:
    """reserved → submitting, with the attempt on record before a byte of it is sent."""
    attempt = attempts.opened(
        works, op="submit", provider=call.provider, method=method, path=path, call_id=call.call_id
    )
    due_us = attempt.started_us + works.settings.timeouts.total_us + works.lease_us
    if not await works.store.begin_submit(call.call_id, attempt, due_us=due_us):
        raise Refusal(
            Code.STORE_UNAVAILABLE,
            "the call was given up before it was sent",
            call.call_id,
            works.retry_after_s,
        )
    return attempt


async def _written(works: Works, sent: Submitted, verdict: SubmitVerdict) -> Answer:
    """Writes the verdict down, for as long as it takes; the caller does not wait that long."""
    writing = works.afterwards.begin(_insisted(works, sent, verdict), name=f"conclude {sent.call.call_id}")
    try:
        async with asyncio.timeout(_TOLD_AFTER_US / 1e6):
            answer = await asyncio.shield(writing)
    except TimeoutError:
        answer = None
    if answer is None:
        raise Refusal(
            Code.OUTCOME_UNKNOWN,
            "the provider may have taken this call on: ask again under the same key",
            sent.call.call_id,
            works.retry_after_s,
        )
    return answer


async def _insisted(works: Works, sent: Submitted, verdict: SubmitVerdict) -> Answer | None:
    reason = verdict.reason if isinstance(verdict, Doubtful) else None
    try:
        answer = await insist(
            works,
            lambda: conclude(works, sent, verdict),
            for_us=works.settings.reconcile.verdict_within_us,
        )
    except StoreUnavailable:
        # The row says `submitting`: from here on the sweep treats it as what it is, unknown.
        answer, reason = None, "not_written"
    if reason is not None:
        works.emit(
            CallUnknown(
                t_us=works.clock(),
                call_id=sent.call.call_id,
                provider=sent.call.provider,
                reason=reason,
                recorded=reason != "not_written",
            )
        )
    return answer


async def conclude(works: Works, sent: Submitted, verdict: SubmitVerdict) -> Answer | None:
    """Writes a submit's verdict down, once. The answer the caller gets; None where nobody knows."""
    match verdict:
        case Accepted(task_id):
            return await _accepted(works, sent, task_id)
        case Declined(reason):
            assert isinstance(sent.reply, Answer)  # only an answer declines
            answer = works.handed_on(sent.provider, sent.reply)
            # The reason is the provider's text: it passes the same wall as its answer, and is cut behind it,
            # so that no half of a credential is left.
            secret = sent.provider.auth.key.reveal()
            said = scrub(reason.encode("utf-8", "replace"), secret).decode()[:REASON_MAX]
            return await _ended(works, sent, Verdict(0, Outcome.REFUSED, said, submit=answer), answer)
        case Unreached(reason):
            answer = envelope(
                Refusal(Code.UPSTREAM_UNREACHABLE, "the provider could not be reached", sent.call.call_id)
            )
            return await _ended(works, sent, Verdict(0, Outcome.UNREACHED, reason, submit=answer), answer)
        case Doubtful(reason):
            now_us = works.clock()
            await works.store.unknown(
                sent.call.call_id, reason=reason, attempt=sent.attempt, now_us=now_us, due_us=now_us
            )
            return None


async def _accepted(works: Works, sent: Submitted, task_id: str) -> Answer:
    assert isinstance(sent.reply, Answer)  # only an answer has a task id
    answer = works.handed_on(sent.provider, sent.reply)
    now_us = works.clock()
    state = await works.store.started(
        sent.call.call_id,
        task_id=task_id,
        answer=answer,
        attempt=sent.attempt,
        now_us=now_us,
        due_us=works.next_look_us(sent.call),
    )
    if state is None:
        refused = task_of_another_call(sent.call.call_id)
        verdict = Verdict(0, Outcome.DUPLICATE, "task_of_another_call", submit=refused)
        return await _ended(works, sent, verdict, refused)
    works.tell_running(sent.call, task_id)
    return answer


def task_of_another_call(call_id: str) -> Answer:
    """What a caller is told whose submit was answered with a task that is not his."""
    why = "the provider answered with a task that belongs to another call"
    return envelope(Refusal(Code.UPSTREAM_BROKEN, why, call_id))


async def _ended(works: Works, sent: Submitted, verdict: Verdict, answer: Answer) -> Answer:
    """The submit itself was the end: everything is given back."""
    now_us = works.clock()
    won = await works.store.claim(
        sent.call.call_id, verdict, intent_id=works.ids("int"), attempt=sent.attempt, now_us=now_us
    )
    if won:
        works.tell_end(sent.call, verdict)
    return answer
