"""One try of a call: its row, its exchange, and what the backend's health learns from it.

The row is written before a byte is sent, the first one with the call's own; the slip that the plan took is
ended once, whatever happens, a cancellation included, and taken back where nothing was sent. The end of the
try is written with what comes next: another try, or the call's end.
"""

from __future__ import annotations

from dataclasses import dataclass

from refgate.chat.admission import open_row
from refgate.chat.exchange import Exchange
from refgate.chat.records import AttemptEnd, ChatAttempt, Metering
from refgate.chat.result import Aim, Result
from refgate.chat.telling import STREAM
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.registry import Spoken
from refgate.dialects.spoken import Fault, FaultKind, Unmetered, Usage
from refgate.events import ChatAttemptEnded, Failed
from refgate.policy.answers import Failure, Try
from refgate.policy.health import Health
from refgate.policy.plan import Plan
from refgate.requestlog.log import Tape

__all__ = ["Tried", "attempt_end", "tried"]


@dataclass(frozen=True, slots=True)
class Tried:
    """A try that went out, and how it came back."""

    attempt: ChatAttempt
    result: Result
    exchange: Exchange
    ended_us: int


async def tried(works: ChatWorks, call: Call, plan: Plan, step: Try) -> Tried | None:
    """None where the call's row is no longer open: then nothing was sent. Before anything is, raises
    StoreUnavailable, or Denied where the call's first row may not be written."""
    health = plan.health[step.backend]
    attempt: ChatAttempt | None = None
    try:
        attempt = await _begun(works, call, step)
        if attempt is None:
            return None
        tape = call.notes.tape()
        exchange = _exchange(works, call, attempt, tape)
        result = await _ran(works, call, exchange)
        call.notes.upstream_answer(attempt.backend, exchange.reply, tape)
        done = Tried(attempt, result, exchange, works.now_us())
        _learn(works, health, step, done)
    finally:
        if attempt is None:
            plan.take_back(step, works.now_us())
        else:
            health.let_go(step.slip, works.now_us())  # where it is not ended yet
    _tell(works, done)
    return done


async def _begun(works: ChatWorks, call: Call, step: Try) -> ChatAttempt | None:
    attempt = ChatAttempt(
        attempt_id=works.base.ids("try"),
        call_id=call.call_id,
        number=call.attempts + 1,
        backend=step.backend,
        pool=step.pool,
        lane=step.lane,
        model=call.places[step.pool, step.backend],
        started_us=works.now_us(),
    )
    if not call.opened:
        await open_row(works, call, attempt)
    elif not await works.store.begin(attempt, ended=call.ended, lease_until_us=call.lease_us):
        return None
    call.attempts += 1
    call.ended = None
    return attempt


def _exchange(works: ChatWorks, call: Call, attempt: ChatAttempt, tape: Tape | None) -> Exchange:
    asked = call.asked
    out = asked.outbox.write(attempt.backend, attempt.model)
    call.notes.upstream_request(attempt.backend, out)
    spoken = Spoken(
        id=f"{call.call_id}-{attempt.number}",
        model=asked.plain.model,
        created_s=call.created_us // 1_000_000,
        asked=asked.document,
        include_usage=asked.plain.include_usage,
    )
    aim = Aim(
        backend=works.settings.backends[attempt.backend],
        out=out,
        source=asked.protocol,
        stream=asked.stream,
        spoken=spoken,
        head=(*STREAM, *call.marks),
    )
    return Exchange(
        works.settings,
        works.base.upstream,
        works.drains,
        works.base.clock,
        call.voice,
        aim,
        left_us=call.deadline_us - attempt.started_us,
        heard=works.cache.heard() if works.cache is not None and call.cache_key is not None else None,
        tape=tape,
    )


async def _ran(works: ChatWorks, call: Call, exchange: Exchange) -> Result:
    """The exchange; a defect in it is the call's failure, and nobody else's."""
    try:
        return await exchange.run()
    except Exception as bug:
        now_us, what = works.now_us(), type(bug).__name__
        works.base.emit(Failed(t_us=now_us, where="exchange", what=what, call_id=call.call_id))
        fault = Fault(FaultKind.INTERNAL, "something went wrong here")
        failure = Failure(fault, ambiguous=True, heard=call.voice.begun, left=call.voice.left)
        return Result(None if exchange.reply is None else exchange.reply.status, failure)


def _learn(works: ChatWorks, health: Health, step: Try, done: Tried) -> None:
    """What the try says of the backend: nothing, where it was called off."""
    usage, failure = done.result.usage, done.result.failure
    tokens = usage.prompt + usage.completion if isinstance(usage, Usage) else None
    if failure is None:
        health.succeeded(step.slip, done.ended_us, tokens=tokens)
    elif done.result.called_off:
        health.let_go(step.slip, done.ended_us, tokens=tokens)
    else:
        health.failed(step.slip, done.ended_us, failure.fault, works.base.chance, tokens=tokens)


def attempt_end(done: Tried, metering: Metering | None = None) -> AttemptEnd:
    """The end of a try as its row has it: what it is charged by, or what is known of it where it is not."""
    result = done.result
    failure = result.failure
    word = None if failure is None else "left" if result.called_off else failure.fault.kind.value
    return AttemptEnd(
        attempt_id=done.attempt.attempt_id,
        status=result.status,
        failure=word,
        ambiguous=failure is not None and failure.ambiguous,
        retry_after_us=None if failure is None else failure.fault.retry_after_us,
        metering=metering if metering is not None else _known(result),
        ended_us=done.ended_us,
        first_token_us=result.first_token_us,
    )


def _known(result: Result) -> Metering:
    if isinstance(result.usage, Unmetered):
        return Metering(served_model=result.model or None)
    return Metering(result.usage, "reported", 0, None, result.model or None)


def _tell(works: ChatWorks, done: Tried) -> None:
    attempt, failure = done.attempt, done.result.failure
    works.base.emit(
        ChatAttemptEnded(
            t_us=done.ended_us,
            attempt_id=attempt.attempt_id,
            call_id=attempt.call_id,
            backend=attempt.backend,
            lane=attempt.lane,
            status=done.result.status,
            failure=None if failure is None else failure.fault.kind.value,
            took_us=done.ended_us - attempt.started_us,
        )
    )
