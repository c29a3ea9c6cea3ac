"""Streams and those who hear them: B1 clients closed too soon · B3 a second voice, half an answer as whole ·
B5 clients of requests that nobody closes · C9 work for callers who left.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import httpx

from refgate import upstream
from refgate.chat import attempts, front
from refgate.chat.exchange import Exchange
from refgate.chat.result import Result
from refgate.chat.voice import Voice
from refgate.dialects.registry import stream_writer
from refgate.dialects.spoken import Done, Fault, Finish, Usage
from refgate.policy.answers import Failure
from refgate.upstream import Failure as Fell
from refgate.upstream import Outgoing, Phases, Stream, Upstream
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_closing = Exchange.closing
_chunks = Stream.chunks
_open = Upstream.open


async def _opened_and_closed(self: Upstream, out: Outgoing, *, phases: Phases) -> Stream | Fell:
    """The client that asked lives as long as the block that opens it."""
    reply = await _open(self, out, phases=phases)
    if isinstance(reply, Stream):
        await reply.aclose()
    return reply


async def _as_much_as_came(self: Stream) -> AsyncGenerator[bytes, None]:
    """The client is closed with the first piece of the body in hand."""
    async with aclosing(_chunks(self)) as chunks:
        async for chunk in chunks:
            await self.aclose()
            yield chunk
            return


class _Restarting(Exchange):
    """What the caller has heard does not matter to who answers next."""

    def _failed(self, fault: Fault, *, ambiguous: bool) -> Failure:
        return replace(super()._failed(fault, ambiguous=ambiguous), heard=False)

    async def _say(self, data: bytes) -> None:
        if self._first_token_us is None and self._voice.begun:
            self._first_token_us = self._clock()
        await super()._say(data)


class _HeadFirst(Exchange):
    """A caller hears that its stream begins as soon as the backend's does."""

    async def _passed_on(self, reply: Stream) -> Result:
        self._first_token_us = self._clock()
        await self._voice.begin(self._aim.head)
        return await super()._passed_on(reply)


def _ended_as_whole(self: Exchange, fault: Fault | None) -> bytes:
    """A stream that was begun gets its farewell, whatever became of it."""
    if fault is None:
        return _closing(self, None)
    farewell = stream_writer(self._aim.source, self._aim.spoken)
    return farewell.write(Done(Finish.STOP, Usage(), self._aim.spoken.model))


async def _left_open(response: httpx.Response) -> None:
    """A client was made for this request, and whoever asked has what he wanted."""


class _Deaf(Voice):
    """Whether anybody still listens is not asked."""

    def leave(self) -> None:
        """It has gone away; the work goes on."""


SABOTAGES = (
    Sabotage(
        "B1",
        "opened-and-closed",
        "the client is closed as soon as the head of the answer is there",
        Swap(Upstream, _open, _opened_and_closed),
        ("alive-afterwards",),
    ),
    Sabotage(
        "B1",
        "as-much-as-came",
        "the client is closed when the first piece of the answer is there",
        Swap(Stream, _chunks, _as_much_as_came),
        ("bytes-intact",),
    ),
    Sabotage(
        "B3",
        "restarting",
        "a stream that breaks off is begun anew elsewhere, in the same answer",
        Swap(attempts, Exchange, _Restarting),
        ("never-restarts",),
    ),
    Sabotage(
        "B3",
        "head-first",
        "a stream's head goes out before its first token: what fails then is told, and not tried elsewhere",
        Swap(attempts, Exchange, _HeadFirst),
        ("fallback-in-order",),
    ),
    Sabotage(
        "B3",
        "ended-as-whole",
        "a stream that broke off is given the end of a whole one",
        Swap(Exchange, _closing, _ended_as_whole),
        ("no-truncated-success",),
    ),
    Sabotage(
        "B5",
        "left-open",
        "the connection of each request is its own, and nobody gives it back",
        Swap(upstream, upstream._close, _left_open),
        ("resources-return",),
    ),
    Sabotage(
        "C9",
        "deaf",
        "nobody asks whether the caller is still there: further backends are tried, streams read to the end",
        Swap(front, Voice, _Deaf),
        ("cancel-reaches-upstream",),
    ),
)
