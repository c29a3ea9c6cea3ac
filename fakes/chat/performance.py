"""One answer on its way: waited for, written event by event, and its end told once, whatever happens.

What is due at one instant goes out in one write. The client may leave at any time; whether the work
then stops is the plan's to say. An event counts as generated when it is due and its writing begins, as
delivered when its last byte was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from fakes.asgi import SILENCE_MAX_US, Receive, Sent, deliver
from fakes.chat.bending import Stream
from fakes.chat.dialect import Event
from fakes.chat.writing import Writer
from fakes.front import Audience, Outcome

__all__ = ["Told", "Whole", "tell_stream", "tell_whole"]


@dataclass(slots=True)
class Told:
    """What of a completion was generated, and what was handed over, when it ended."""

    output_text: int = 0
    output_reasoning: int = 0
    finished: bool = False  # everything was generated, whatever was handed over
    ran_on: bool = False  # and its client had left before that
    complete: bool = False
    delivered: int = 0
    events: int = 0
    text: str = ""
    usage: str | None = None

    def generated(self, event: Event) -> None:
        self.output_text += event.output_text
        self.output_reasoning += event.output_reasoning

    def handed_over(self, event: Event) -> None:
        self.events += 1
        self.delivered += event.output_text + event.output_reasoning
        self.text += event.text
        self.usage = event.usage or self.usage


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece: how long it takes, and what it brings if it arrives; not `honest`: nothing."""

    takes_us: int
    output: int
    text: str
    usage: str | None
    honest: bool = True


class _Patience:
    """Waits for instants for as long as the client stays, and knows at once when it has left."""

    def __init__(self, receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._begun_us = self._now_us()
        self._watch = self._loop.create_task(self._until_left(receive))
        self.left = False

    def _now_us(self) -> int:
        return round(self._loop.time() * 1_000_000)

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def until(self, us: int, *, gone: bool = False) -> bool:
        """Waits until so long after the beginning; False once the client has left (`gone`: waits on)."""
        due_us = self._begun_us + us
        while (gone or not self.left) and self._now_us() < due_us:
            self._waiting = self._loop.create_future()
            timer = self._loop.call_at(due_us / 1_000_000, self._wake)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        return not self.left

    def close(self) -> None:
        self._watch.cancel()
        del self._watch  # else the two would wait for the garbage collector


@contextmanager
def _told_if_it_fails(ended: Callable[[Told], None], told: Told) -> Iterator[None]:
    """A server may refuse to write an answer: the work has ended all the same."""
    try:
        yield
    except Exception:
        ended(told)
        raise


async def tell_whole(
    outcome: Outcome,
    audience: Audience,
    whole: Whole,
    *,
    runs_on: bool,
    ended: Callable[[Told], None],
) -> Sent:
    """Hands over an answer in one piece once it is there, or breaks off as the outcome says."""
    told = Told()
    patience = _Patience(audience.receive)
    due_us = whole.takes_us + audience.wait_us
    with closing(patience):
        here = audience.here and await patience.until(due_us)
        if not here and runs_on:
            told.ran_on = True
            await patience.until(due_us, gone=True)
    told.finished = here or runs_on
    sent = Sent(None, (), 0, False, "client")
    if here and outcome.ending.how == "silence":  # the work is over, and nobody will say so
        ended(told)
        return await deliver(outcome.reply, outcome.ending, audience.receive, audience.send)
    if here:
        with _told_if_it_fails(ended, told):
            sent = await deliver(outcome.reply, outcome.ending, audience.receive, audience.send)
    if whole.honest and sent.complete and sent.ended_by == "server":
        told.complete, told.delivered = True, whole.output
        told.text, told.usage = whole.text, whole.usage
    ended(told)
    return sent


async def tell_stream(
    outcome: Outcome,
    audience: Audience,
    stream: Stream,
    *,
    headers_us: int,
    runs_on: bool,
    ended: Callable[[Told], None],
) -> Sent:
    """Writes a stream, each event when it is due, to its end, its cut, or the client's leaving."""
    told = Told()
    patience = _Patience(audience.receive)
    writer = Writer(audience.send, outcome, stream, lambda: patience.left)
    late_us = audience.wait_us
    with _told_if_it_fails(ended, told), closing(patience):
        here = audience.here and await patience.until(headers_us + late_us)
        here = here and await writer.start()
        for at_us, due in groupby(stream.events, key=attrgetter("at_us")):
            here = here and await patience.until(at_us + late_us)
            if not here:
                break
            batch = list(due)
            last = stream.end in ("whole", "truncated") and batch[-1] is stream.events[-1]
            here = await writer.write(batch, told, closing=last)
        if here and stream.end == "silence":
            here = await patience.until(SILENCE_MAX_US)
        if here:
            await writer.end(stream.end)
        if not here and runs_on and stream.end == "whole" and not writer.cut:
            await patience.until(stream.events[-1].at_us + late_us, gone=True)
            told.finished = told.ran_on = True
    if here and stream.end == "whole":
        told.finished = told.complete = True
    ended(told)
    return writer.sent(complete=here and stream.end in ("whole", "truncated"))
