"""A poll: ask the provider how a task stands, and end its call at the first terminal answer.

Theory of operation
===================
Whose task is it → is it over already (then the stored answer, and the provider is left alone) → ask →
read → if terminal, claim the end: of any number of pollers, replicas and sweeps one wins, and all give
the answer that the winner stored.

Rule 1: nobody sees a terminal answer that is not the one the call ended with.
Rule 2: after the end nobody sees an earlier one: a status that goes backwards stops at the store.
Rule 3: an answer that says nothing terminal is handed on as it is, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from refgate.answer import Answer
from refgate.config.providers import Provider
from refgate.config.routes import QueryRoute
from refgate.errors import Code, Refusal
from refgate.events import LateCharged, UsageFlagged
from refgate.flows import attempts
from refgate.flows.answers import respond
from refgate.flows.arrival import Asked
from refgate.flows.charge import charge
from refgate.flows.reading import Ended, document, read_poll
from refgate.flows.routes import MetQuery
from refgate.flows.tasks import owned, task_id_of
from refgate.flows.templates import request_of
from refgate.flows.works import Works
from refgate.ledger.records import Attempt, Call, Verdict
from refgate.ledger.states import Outcome
from refgate.upstream import Failure, Outgoing

__all__ = ["Polled", "poll", "query", "unanswered"]

_FINAL = frozenset({400, 406, 410, 413, 415, 422})
"""Statuses of a usage look-up that say the work failed, not that the look-up did."""


@dataclass(frozen=True, slots=True)
class Polled:
    """One question about a running call, and what is needed to make sense of its answer."""

    call: Call
    provider: Provider
    route: QueryRoute


async def query(works: Works, asked: Asked, met: MetQuery) -> Response:
    """A caller's poll."""
    call = await owned(works, asked, task_id_of(met.route.task_id, asked, met.captures))
    # A call without an outcome has no final answer yet.
    final = None if call.outcome is None else await works.store.answer(call.call_id, "final")
    if final is None:
        polled = Polled(call, asked.provider, met.route)
        final = await poll(works, polled, asked.outgoing(), asked.path.text)
    return respond(final, call_id=call.call_id)


async def poll(works: Works, polled: Polled, out: Outgoing, path: str) -> Answer:
    """Asks, and ends the call if that is what the answer says. The answer for whoever asked."""
    call = polled.call
    attempt = attempts.opened(
        works, op="poll", provider=call.provider, method=out.method, path=path, call_id=call.call_id
    )
    attempt, reply = await attempts.ask(works, attempt, out)
    if isinstance(reply, Failure):
        await attempts.close(works, attempt)
        raise unanswered(reply, call.call_id)
    ended = read_poll(polled.route, reply)
    if ended is None:
        return await _not_yet(works, polled, attempt, reply)
    return await _end(works, polled, attempt, reply, ended)


def unanswered(failure: Failure, call_id: str | None) -> Refusal:
    """What a caller is told of a request, without cost, that got no whole answer."""
    if not failure.ambiguous:
        return Refusal(Code.UPSTREAM_UNREACHABLE, "the provider could not be reached", call_id)
    if failure.timed_out:
        return Refusal(Code.UPSTREAM_TIMEOUT, "the provider did not answer in time", call_id)
    return Refusal(Code.UPSTREAM_BROKEN, "the provider's answer broke off or could not be read", call_id)


async def _not_yet(works: Works, polled: Polled, attempt: Attempt, reply: Answer) -> Answer:
    call = polled.call
    await attempts.close(works, attempt)
    # While the provider was asked, somebody else may have met the end.
    final = await works.store.answer(call.call_id, "final")
    if final is not None:
        return final
    due_us = works.next_look_us(call)
    if due_us - call.due_us > works.cadence.poll_after_us // 2:
        # Somebody is asking, so the sweep need not; told rarely enough not to write at every poll.
        await works.store.look_again(call.call_id, due_us=due_us, now_us=works.clock())
    return works.handed_on(polled.provider, reply)


async def _end(works: Works, polled: Polled, attempt: Attempt, reply: Answer, ended: Ended) -> Answer:
    call = polled.call
    answer = works.handed_on(polled.provider, reply)
    verdict = Verdict(0, Outcome.FAILED, ended.reason, final=answer)
    closing: Attempt | None = attempt
    if ended.success:
        if polled.route.usage_from is not None:
            await attempts.close(works, attempt)  # Looking usage up may take longer than this row should.
            closing = None
        verdict = await _success(works, polled, attempt, reply, ended)
    won = await works.store.claim(
        call.call_id, verdict, intent_id=works.ids("int"), attempt=closing, now_us=works.clock()
    )
    if won:
        _tell(works, call, verdict)
        return answer
    if verdict.outcome is Outcome.SUCCESS:
        await _late(works, call, verdict)
    stored = await works.store.answer(call.call_id, "final")
    return answer if stored is None else stored


def _tell(works: Works, call: Call, verdict: Verdict) -> None:
    works.tell_end(call, verdict)
    if verdict.flags:
        works.emit(
            UsageFlagged(
                t_us=works.clock(), call_id=call.call_id, provider=call.provider, flags=verdict.flags
            )
        )


async def _late(works: Works, call: Call, verdict: Verdict) -> None:
    """The call was ended by somebody else. If that was the deadline, this success is charged, once."""
    late_id = works.ids("call")
    charged = await works.store.claim_late(
        call.call_id, verdict, late_id=late_id, intent_id=works.ids("int"), now_us=works.clock()
    )
    if charged:
        works.wake_deliverer()
        works.emit(
            LateCharged(
                t_us=works.clock(),
                call_id=call.call_id,
                late_id=late_id,
                amount_nanos=verdict.amount_nanos,
            )
        )


async def _success(works: Works, polled: Polled, attempt: Attempt, reply: Answer, ended: Ended) -> Verdict:
    """What a success costs; or a failure after all, where the look-up of its usage says so."""
    final = works.handed_on(polled.provider, reply)
    source: Answer | None = reply
    shown = ended.document
    if polled.route.usage_from is not None:
        until_us = attempt.started_us + works.settings.timeouts.total_us
        source = await _usage_answer(works, polled, within_us=max(until_us - works.clock(), 1))
        if source is not None and source.status in _FINAL:
            return Verdict(0, Outcome.FAILED, f"result_http_{source.status}", final=final)
        shown = _shown(source)
    cost = charge(
        polled.route.usage,
        works.settings.policies,
        hold_nanos=polled.call.hold_nanos,
        document=shown,
        answer=source,
    )
    return Verdict(cost.amount_nanos, Outcome.SUCCESS, ended.reason, cost.flags, final=final)


async def _usage_answer(works: Works, polled: Polled, *, within_us: int) -> Answer | None:
    """Usage from its own place, within what is left of the poll's time.

    Until it can be read the task counts as not ended; None once the declared deadline is over, so that the
    policy for missing usage decides.
    """
    call = polled.call
    assert polled.route.usage_from is not None  # the caller has looked
    place = polled.route.usage_from
    out, path = request_of(polled.provider, call, place.method, place.path)
    attempt = attempts.opened(
        works, op="result", provider=call.provider, method=out.method, path=path, call_id=call.call_id
    )
    attempt, reply = await attempts.ask(works, attempt, out, within_us=within_us)
    await attempts.close(works, attempt)
    if isinstance(reply, Answer) and (200 <= reply.status < 300 or reply.status in _FINAL):
        return reply
    if works.clock() >= works.cadence.deadline_us(call.created_us):
        return None
    if isinstance(reply, Failure):
        raise unanswered(reply, call.call_id)
    raise Refusal(
        Code.UPSTREAM_BROKEN, "the task is over and its usage cannot be read yet: ask again", call.call_id
    )


def _shown(answer: Answer | None) -> object:
    if answer is None:
        return None
    try:
        return document(answer.body)
    except ValueError:
        return None
