"""The caller's side of one call: what it is told, and whether it still listens.

Anything may be said once the caller has left; it goes nowhere. Whoever works for the call asks `left`, or is
called the moment it happens. Knows the ASGI messages and nothing of what the bytes mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive, Send

from refgate.answer import Answer
from refgate.headers import Pairs
from refgate.requestlog.log import Tape

__all__ = ["Voice", "attend"]

_Raw = list[tuple[bytes, bytes]]


class Voice:
    """One answer. Either `whole`, or `begin`, `say` and `end`."""

    def __init__(self, send: Send, *, pairs: Pairs, tape: Tape | None = None) -> None:
        self._send = send
        self._pairs = pairs  # on every answer of this call
        self._tape = tape
        self.headers: Pairs = ()  # as they were sent
        self._gone = asyncio.Event()
        self._told: Callable[[], None] | None = None
        self.status: int | None = None  # once the head was sent
        self.over = False
        self.speaking = False  # a piece is on its way, which the caller has not taken

    @property
    def begun(self) -> bool:
        return self.status is not None

    @property
    def left(self) -> bool:
        return self._gone.is_set()

    def leave(self) -> None:
        """The caller has gone away. Said by whoever watches it; once the answer is over it is no news."""
        if self.over or self.left:
            return
        self._gone.set()
        if self._told is not None:
            self._told()

    def on_leave(self, told: Callable[[], None] | None) -> None:
        """Who is to hear of it at once; nobody, with None. Called right away where it has happened."""
        self._told = told
        if told is not None and self.left:
            told()

    async def waited(self, us: int) -> bool:
        """Waits so long, or until the caller leaves: False then."""
        try:
            async with asyncio.timeout(us / 1e6):
                await self._gone.wait()
        except TimeoutError:
            return not self.left
        return False

    async def whole(self, answer: Answer, more: Pairs = ()) -> None:
        """All of an answer at once."""
        length = ("content-length", str(len(answer.body)))
        await self._head(answer.status, (*answer.headers, *more, length))
        await self._finish(answer.body)

    async def begin(self, pairs: Pairs) -> None:
        """The head of a stream."""
        await self._head(200, pairs)

    async def say(self, data: bytes) -> None:
        """A piece of it. There are many of these."""
        if not data:
            return
        if self._tape is not None:
            self._tape.feed(data)
        await self._pass({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last of a stream."""
        await self._finish(data)

    async def _head(self, status: int, pairs: Pairs) -> None:
        if self.left:
            return  # nobody was told anything
        self.status = status
        self.headers = (*pairs, *self._pairs)
        raw: _Raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        await self._pass({"type": "http.response.start", "status": status, "headers": raw})

    async def _finish(self, data: bytes) -> None:
        # The caller's server may learn of the end before `send` returns: from here on leaving is no news.
        self.over = True
        if self._tape is not None:
            self._tape.feed(data)
        await self._pass({"type": "http.response.body", "body": data, "more_body": False})

    async def _pass(self, message: Message) -> None:
        if self._gone.is_set():
            return
        self.speaking = True  # and so it stays where the wait for it is given up
        try:
            await self._send(message)
        except OSError:  # as some servers tell that the connection is gone
            self.leave()
        self.speaking = False


async def attend(work: asyncio.Task[None], voice: Voice, receive: Receive) -> None:
    """Watches the caller until the work for it is done, or it leaves: the work goes on by itself then."""
    loop = asyncio.get_running_loop()
    listening = True
    try:
        async with asyncio.timeout(None) as watching:

            def done(_: asyncio.Task[None]) -> None:
                if listening:
                    watching.reschedule(loop.time())

            work.add_done_callback(done)
            try:
                while (await receive())["type"] != "http.disconnect":
                    pass
            finally:
                listening = False
        voice.leave()
    except TimeoutError:
        return
    except BaseException:
        # It is this request that ends; what is known of the call is still written down. Whoever speaks on in
        # this request speaks to nobody: there must not be two voices.
        voice.leave()
        raise
