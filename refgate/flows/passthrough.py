"""Forwards a request and streams its answer back: no billing, no state but the attempt's row.

One owner for the upstream answer, which is closed when it ends, when the deadline is over, and when the
caller leaves. An answer that breaks off upstream breaks off for the caller too: it is never ended as if
it were whole.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import NoReturn

from starlette.types import Receive, Scope, Send

from refgate import headers
from refgate.flows import attempts
from refgate.flows.answers import refused
from refgate.flows.arrival import Asked
from refgate.flows.query import unanswered
from refgate.flows.routes import MetResult
from refgate.flows.tasks import owned, task_id_of
from refgate.flows.works import Works, scrub_pairs
from refgate.ledger.records import Attempt
from refgate.scrub import Scrubber
from refgate.upstream import Failure, FailureKind, Stream

__all__ = ["Forwarded", "passthrough", "result"]


class _CallerLeft(Exception):
    """Ends the exchange from the side of whoever watches the caller."""


async def passthrough(works: Works, asked: Asked) -> Forwarded:
    """Any request that no billed route matches."""
    return await _forwarded(works, asked, "passthrough", None)


async def result(works: Works, asked: Asked, met: MetResult) -> Forwarded:
    """What a task produced: for its own account only."""
    call = await owned(works, asked, task_id_of(met.route.task_id, asked, met.captures))
    return await _forwarded(works, asked, "result", call.call_id)


async def _forwarded(works: Works, asked: Asked, op: str, call_id: str | None) -> Forwarded:
    attempt = attempts.opened(
        works, op=op, provider=asked.name, method=asked.method, path=asked.path.text, call_id=call_id
    )
    await works.store.attempt_opened(attempt)
    return Forwarded(works, asked, attempt)


class Forwarded:
    """One exchange, as the response that it becomes."""

    def __init__(self, works: Works, asked: Asked, attempt: Attempt) -> None:
        self._works = works
        self._asked = asked
        self._attempt = attempt
        self._status: int | None = None
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure = await self._bounded(receive, send)
        over = attempts.over(self._works, self._attempt, status=self._status, failure=failure)
        await attempts.close(self._works, over)
        if failure is not None and failure != "caller_left" and not self._begun:
            told = unanswered(Failure(FailureKind(failure)), self._attempt.call_id)
            await refused(told)(scope, receive, send)

    async def _bounded(self, receive: Receive, send: Send) -> str | None:
        """The exchange within its deadline and for as long as the caller stays. How it failed, if so."""
        try:
            async with asyncio.timeout(self._works.settings.timeouts.total_us / 1e6):
                return await self._watched(receive, send)
        except TimeoutError:
            return FailureKind.DEADLINE.value

    async def _watched(self, receive: Receive, send: Send) -> str | None:
        failure: str | None = None
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(_until_left(receive))
                failure = await self._exchange(send)
                watch.cancel()
        except* _CallerLeft:
            failure = "caller_left"
        return failure

    async def _exchange(self, send: Send) -> str | None:
        out = self._asked.outgoing()
        async with self._works.upstream.stream(out, phases=self._works.phases) as stream:
            if isinstance(stream, Failure):
                return stream.kind.value
            self._status = stream.status
            await self._relay(stream, send)
            return None if stream.failure is None else stream.failure.kind.value

    async def _relay(self, stream: Stream, send: Send) -> None:
        provider = self._asked.provider
        secret = provider.auth.key.reveal()
        pairs = scrub_pairs(headers.to_caller(stream.headers, extra=provider.headers.answer), secret)
        if self._attempt.call_id is not None:
            pairs = (*pairs, ("x-proxy-call-id", self._attempt.call_id))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
        self._begun = True
        await send({"type": "http.response.start", "status": stream.status, "headers": raw})
        scrubber = Scrubber(secret)
        async with aclosing(stream.chunks()) as chunks:
            async for chunk in chunks:
                if data := scrubber.feed(chunk):
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        if stream.failure is None:
            # Left unsaid after a failure: the server then cuts the connection, and the caller knows.
            await send({"type": "http.response.body", "body": scrubber.rest(), "more_body": False})


async def _until_left(receive: Receive) -> NoReturn:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerLeft
