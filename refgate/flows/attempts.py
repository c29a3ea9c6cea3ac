"""One request to a provider on behalf of a call, with its row before and its end after.

A row is written before the request goes out, so that an attempt which nobody saw the end of is on record
too. How the end is written depends on what it means, so whoever asked does that.
"""

from __future__ import annotations

from refgate.answer import Answer
from refgate.events import AttemptEnded, Failed
from refgate.flows.works import Works
from refgate.ledger.records import Attempt
from refgate.ports import StoreUnavailable
from refgate.upstream import Failure, Outgoing

__all__ = ["ask", "close", "ended", "opened", "over"]


def opened(works: Works, *, op: str, provider: str, method: str, path: str, call_id: str | None) -> Attempt:
    """A row about to be written."""
    return Attempt(works.ids("att"), call_id, provider, op, method, path, started_us=works.clock())


def ended(works: Works, attempt: Attempt, reply: Answer | Failure) -> Attempt:
    """The row with the end that this reply means."""
    failure = reply.kind.value if isinstance(reply, Failure) else None
    return over(works, attempt, status=reply.status, failure=failure)


def over(works: Works, attempt: Attempt, *, status: int | None, failure: str | None) -> Attempt:
    """The row of an attempt that ended now, so; told to the sink."""
    now_us = works.clock()
    works.emit(
        AttemptEnded(
            t_us=now_us,
            attempt_id=attempt.attempt_id,
            call_id=attempt.call_id,
            provider=attempt.provider,
            op=attempt.op,
            status=status,
            failure=failure,
            took_us=now_us - attempt.started_us,
        )
    )
    return attempt.over(status=status, failure=failure, ended_us=now_us)


async def ask(
    works: Works, attempt: Attempt, out: Outgoing, *, within_us: int | None = None
) -> tuple[Attempt, Answer | Failure]:
    """Writes the row, sends the request, reads the whole answer. The end is not written yet."""
    await works.store.attempt_opened(attempt)
    phases = works.phases if within_us is None else works.phases.within(within_us)
    reply = await works.upstream.ask(out, phases=phases, body_max=works.settings.limits.answer_body)
    return ended(works, attempt, reply), reply


async def close(works: Works, attempt: Attempt) -> None:
    """Writes the end of an attempt that moved nothing. A store that is away costs the row's end only."""
    try:
        await works.store.attempt_closed(
            attempt.attempt_id, status=attempt.status, failure=attempt.failure, now_us=works.clock()
        )
    except StoreUnavailable:
        works.emit(
            Failed(
                t_us=works.clock(),
                where="attempts",
                what="StoreUnavailable",
                call_id=attempt.call_id,
            )
        )
