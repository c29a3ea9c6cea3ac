"""The end of a call: what it costs, written down once and for as long as that takes; then told.

The caller waits for the writing, but not for ever: where the store is away, the end is told after a while
and written when the store is back. If this process goes before, the sweep settles the call.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from refgate.chat.attempts import Tried, attempt_end
from refgate.chat.pricing import Charge, Worked, charge
from refgate.chat.records import AttemptEnd, ChatEnd, ChatOutcome, Metering
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.spoken import Fault
from refgate.events import ChatEnded, Failed
from refgate.flows.works import insist
from refgate.ports import StoreUnavailable

__all__ = ["Ending", "settle", "written"]

_TOLD_AFTER_US = 5_000_000
_NOTHING_SENT = 499  # a caller who left was told nothing; its row says so with the number others use for it


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends. `fault` is what the caller is told in place of an answer; `last` the last try."""

    outcome: ChatOutcome
    reason: str
    status: int
    last: Tried | None = None
    fault: Fault | None = None
    retry: bool = True  # whether trying again could do no harm


async def settle(works: ChatWorks, call: Call, ending: Ending) -> None:
    """Charges and closes the call, once."""
    charged = _charge(works, call, ending)
    last = ending.last
    end = ChatEnd(
        outcome=ending.outcome,
        reason=ending.reason,
        status=_NOTHING_SENT
        if ending.outcome is ChatOutcome.LEFT and not call.voice.begun
        else ending.status,
        amount_nanos=0 if charged is None else charged.amount_nanos,
        flags=_flags(call, ending, charged),
        backend=last.attempt.backend if charged is not None and last is not None else None,
        upstream_model=last.attempt.model if charged is not None and last is not None else None,
        metering=Metering() if charged is None else charged.metering,
        cache=None if call.cache_key is None else "miss",
        first_token_us=None if last is None else last.result.first_token_us,
    )
    over = call.ended
    if last is not None:
        over = attempt_end(last, None if charged is None else charged.metering)
    await written(works, call, end, over)


def _charge(works: ChatWorks, call: Call, ending: Ending) -> Charge | None:
    """For the try that served, whether or not its caller stayed; else for what was said of the one that its
    caller left. One that had failed before it left is nobody's to pay."""
    last = ending.last
    if last is None:
        return None
    result = last.result
    failure = result.failure
    if failure is not None and not (failure.left and result.seen > 0):
        return None
    worked = Worked(
        usage=result.usage,
        served_model=result.model,
        upstream_model=last.attempt.model,
        started_us=last.attempt.started_us,
        prompt=call.asked.prompt_tokens,
        seen=min(result.seen, call.asked.output_bound),
        whole=failure is None,
    )
    return charge(works.prices, works.settings.chat, worked, hold_nanos=call.hold_nanos)


def _flags(call: Call, ending: Ending, charged: Charge | None) -> tuple[str, ...]:
    flags = [] if charged is None else list(charged.flags)
    if ending.outcome is ChatOutcome.LEFT:
        flags.append("left")
    last = ending.last
    if call.unbilled or (last is not None and charged is None and last.result.worked):
        flags.append("unbilled_work")
    return tuple(flags)


async def written(works: ChatWorks, call: Call, end: ChatEnd, over: AttemptEnd | None) -> None:
    """Writes the end down. Where the store is away, waits a little, and lets the writing go on by itself."""
    now_us = works.now_us()
    call.end = end
    # Noted first: if this process goes before the call's row says so, too, the sweep corrects the note.
    call.notes.ended(end, call.attempts)

    async def write() -> bool:
        return await works.store.settle(call.call_id, end, attempt=over, now_us=now_us)

    try:
        mine = await write()
    except StoreUnavailable:
        writing = works.base.afterwards.begin(
            insist(works.base, write, for_us=works.settings.reconcile.verdict_within_us),
            name=f"settle {call.call_id}",
        )
        writing.add_done_callback(lambda done: _told_later(works, call, end, done))
        try:
            async with asyncio.timeout(_TOLD_AFTER_US / 1e6):
                await asyncio.shield(writing)
        except (TimeoutError, StoreUnavailable):
            return
        return
    _told(works, call, end, mine)


def _told_later(works: ChatWorks, call: Call, end: ChatEnd, done: asyncio.Task[bool]) -> None:
    if done.cancelled():
        return
    failure = done.exception()
    if failure is not None:
        what = type(failure).__name__
        works.base.emit(Failed(t_us=works.now_us(), where="settle", what=what, call_id=call.call_id))
    else:
        _told(works, call, end, done.result())


def _told(works: ChatWorks, call: Call, end: ChatEnd, mine: bool) -> None:
    """To the sink. `mine` is False where a sweep had ended the call before."""
    if mine:
        works.base.emit(
            ChatEnded(
                t_us=works.now_us(),
                call_id=call.call_id,
                outcome=end.outcome.value,
                reason=end.reason,
                status=end.status,
                amount_nanos=end.amount_nanos,
                attempts=call.attempts,
                flags=end.flags,
            )
        )
