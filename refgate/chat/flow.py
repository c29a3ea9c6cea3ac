"""A chat call, from the look into the cache to the end that is written down and told.

Theory of operation
===================
look in the cache → see where the call may go, and for how much → ask the plan where it goes now → write the
attempt down, the first one with the call's row and the hold on its money → send → hand the answer on → charge
and settle, in one transaction → tell the end.

Rule 1: no backend hears of a call before its hold is taken, nor of an attempt before its row is written.
Rule 2: once the caller has heard a token no other backend speaks; what fails then is told as an error.
Rule 3: a call is settled once, whatever becomes of its caller, of its request or, as long as this process
        lives, of the store. If the process goes, the sweep finds the row.
Rule 4: a call that failed costs nothing; what a backend may bill for it is flagged.

The stages of `converse` are where further ones join (policy, quota, audit, safety): each may end the call.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from refgate.answer import Answer
from refgate.chat import telling
from refgate.chat.admission import admissible, open_row
from refgate.chat.attempts import Tried, attempt_end, tried
from refgate.chat.cache import Kept
from refgate.chat.hits import told_again
from refgate.chat.records import ChatOutcome
from refgate.chat.settling import Ending, settle
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.error_bodies import status_of
from refgate.dialects.spoken import FaultKind
from refgate.policy.answers import Failure, Stop, Try, Wait
from refgate.ports import StoreUnavailable

__all__ = ["converse"]

_THE_CALLERS = frozenset(
    {
        FaultKind.BAD_REQUEST,
        FaultKind.CONTEXT_OVERFLOW,
        FaultKind.CONTENT_FILTER,
        FaultKind.NOT_FOUND,
        FaultKind.TOO_LARGE,
    }
)
_TELLING_US = 60_000_000  # how long a caller may take to take the last of its answer


async def converse(works: ChatWorks, call: Call) -> None:
    """The whole story, told to its end though the caller may be gone. Raises Denied where none begins."""
    if await told_again(works, call):
        return
    admissible(works, call)
    ending = await _carried(works, call)
    await settle(works, call, ending)
    _keep(works, call, ending)
    await _tell(call, ending)


async def _carried(works: ChatWorks, call: Call) -> Ending:
    """Tries backends as the plan says, until one has served or there is nothing left to try."""
    asked = call.asked
    plan = works.backends.plan(
        asked.model,
        call.places,
        tokens=asked.prompt_tokens + asked.output_bound,
        deadline_us=call.deadline_us,
    )
    last: Tried | None = None
    failure: Failure | None = None
    while True:
        step = Stop("left") if call.voice.left else plan.next(works.now_us(), failure)
        if last is not None and failure is not None and not isinstance(step, Stop):
            _set_aside(call, last)
        failure = None
        if not call.opened and not isinstance(step, Try):  # a try writes the row together with its own
            await open_row(works, call)
        match step:
            case Wait(until_us):
                await _rested(works, call)
                await call.voice.waited(until_us - works.now_us())
            case Stop():
                return _stopped(call, step, last)
            case Try():
                try:
                    last = await tried(works, call, plan, step)
                except StoreUnavailable:
                    return _away(call, "store_unavailable")
                if last is None:
                    return _away(call, "taken_over")
                failure = last.result.failure
                if failure is None:
                    return _served(call, last)
                call.doubtful = call.doubtful or failure.ambiguous


def _set_aside(call: Call, last: Tried) -> None:
    """A try that did not serve: its end is written with what comes next, a wait or another try."""
    call.ended = attempt_end(last)
    call.unbilled = call.unbilled or last.result.worked


async def _rested(works: ChatWorks, call: Call) -> None:
    """A wait may be long, and this process may not outlive it: what the last try came to is written down
    before, or, where the store is away, with what comes next."""
    if call.ended is not None:
        with suppress(StoreUnavailable):
            await works.store.rest(call.call_id, call.ended)
            call.ended = None


def _served(call: Call, last: Tried) -> Ending:
    outcome = ChatOutcome.LEFT if call.voice.left else ChatOutcome.SERVED
    return Ending(outcome, outcome.value, 200, last)


def _left(last: Tried | None) -> Ending:
    return Ending(ChatOutcome.LEFT, "left", 200, last)


def _stopped(call: Call, stop: Stop, last: Tried | None) -> Ending:
    failure = None if last is None else last.result.failure
    if stop.why == "left":
        return _left(last)
    fault = telling.stopped(stop, failure)
    status = status_of(call.asked.protocol, fault.kind)
    if stop.why == "heard":
        return Ending(ChatOutcome.BROKEN, fault.kind.value, 200, last, fault)
    if stop.why == "final" and failure is not None:
        # What is the caller's own doing is told as it is; the rest is the gateway's misfortune.
        theirs = failure.fault.kind in _THE_CALLERS
        outcome = ChatOutcome.REFUSED if theirs else ChatOutcome.FAILED
        return Ending(outcome, failure.fault.kind.value, status, last, fault, retry=theirs)
    harmless = not call.doubtful and stop.why != "attempts"
    return Ending(ChatOutcome.FAILED, stop.why, status, last, fault, retry=harmless)


def _away(call: Call, reason: str) -> Ending:
    """Nothing more can be written down, so that nothing more may be sent."""
    fault = telling.STORE_AWAY
    status = status_of(call.asked.protocol, fault.kind)
    return Ending(ChatOutcome.FAILED, reason, status, None, fault, retry=not call.doubtful)


def _keep(works: ChatWorks, call: Call, ending: Ending) -> None:
    """In the cache, if the call is for it. What may be kept, the cache knows."""
    last = ending.last
    if works.cache is None or call.cache_key is None or last is None or call.end is None:
        return
    answer = last.result.answer
    if ending.outcome is ChatOutcome.SERVED and answer is not None and call.end.metering.source == "reported":
        works.cache.put(call.cache_key, Kept(answer, call.end.amount_nanos), works.now_us())


async def _tell(call: Call, ending: Ending) -> None:
    """The answer, or the end of a stream that the caller has heard; if it is still there."""
    asked, voice, last = call.asked, call.voice, ending.last
    if voice.left:
        return
    try:
        async with asyncio.timeout(_TELLING_US / 1e6):
            if voice.begun:
                assert last is not None
                await voice.end(last.exchange.closing(ending.fault))
            elif ending.fault is not None:
                made = telling.refusal(asked.protocol, ending.fault, call_id=call.call_id, retry=ending.retry)
                await voice.whole(made, call.marks)
            elif last is not None and asked.stream:
                await voice.begin((*telling.STREAM, *call.marks))
                await voice.end(last.exchange.closing(None))
            elif last is not None:
                await voice.whole(Answer(200, telling.JSON, last.result.body), call.marks)
    except TimeoutError:
        voice.leave()  # it does not take its answer
