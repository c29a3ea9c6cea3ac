"""The client's end of an exchange: take a connection, send, read, leave.

Every time-out lives here, because a client alone decides how long it waits. The end gives its
connection back exactly once: when the answer was read to its end, when anything failed, or when the
client leaves. Knows nothing of apps; it pushes messages at a server's end and reads what arrives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextvars import Context
from dataclasses import dataclass

from fakes.time import Owner, SimLoop
from fakes.wire.asgi import Head
from fakes.wire.errors import (
    ConnectTimeout,
    PoolTimeout,
    ReadFailed,
    ReadTimeout,
    WireError,
    WriteFailed,
    WriteTimeout,
)
from fakes.wire.link import Link
from fakes.wire.pipe import Bell, Pipe
from fakes.wire.request import Body
from fakes.wire.server_end import BUFFER_HIGH, END, GONE, Down, Opening, ServerEnd, Up

__all__ = ["NO_TIMEOUTS", "ClientEnd", "Timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client bears to wait at each stage; None is for ever."""

    connect_us: int | None = None
    read_us: int | None = None
    write_us: int | None = None
    pool_us: int | None = None


NO_TIMEOUTS = Timeouts()


class ClientEnd:
    """One exchange as its client sees it."""

    __slots__ = (
        "_bell",
        "_blocked",
        "_clock",
        "_clock_us",
        "_complete",
        "_context",
        "_has_connection",
        "_inbox",
        "_late",
        "_loop",
        "_timeouts",
        "_until_us",
        "done",
        "exchange",
        "link",
        "number",
        "on_done",
        "owner",
        "server",
        "up",
    )

    def __init__(
        self,
        loop: SimLoop,
        context: Context,
        link: Link,
        number: int,
        exchange: int,
        owner: Owner | None,
        timeouts: Timeouts,
        on_done: Callable[[ClientEnd], None],
    ) -> None:
        self._bell = Bell(loop)
        self._blocked = False  # Waits until the app has read more of the request.
        self._clock: asyncio.TimerHandle | None = None
        self._clock_us = 0
        self._complete = False  # The answer was read to its end.
        self._context = context
        self._has_connection = False
        self._inbox: deque[Down] = deque()
        self._late: tuple[type[WireError], str, int] = ReadTimeout, "", 0
        self._loop = loop
        self._timeouts = timeouts
        self._until_us: int | None = None
        self.done = False  # The connection is given back.
        self.exchange = exchange  # Counts the exchanges of this link: what its draws depend on.
        self.link = link
        self.number = number
        self.owner = owner
        self.server: ServerEnd | None = None
        self.up: Pipe[Up] | None = None
        self.on_done = on_done

    # What arrives.

    def arrive(self, item: Down) -> None:
        self._inbox.append(item)
        self._bell.ring()

    def unblocked(self) -> None:
        """The app read some of the request. No news for a client that reads: its time-out runs on."""
        if self._blocked:
            self._bell.ring()

    def given(self) -> None:
        """A connection came free, and it is ours."""
        self._has_connection = True
        self._bell.ring()

    # What the client does, in this order.

    def try_connection(self) -> bool:
        """Take a connection if one is free; else stand in the queue for it."""
        self._has_connection = self.link.take(self)
        return self._has_connection

    async def wait_connection(self) -> None:
        while not self._has_connection:
            await self._wait(self._timeouts.pool_us, PoolTimeout, "no connection came free")

    async def connect(self, takes_us: int | None) -> None:
        """Wait until the connection is taken up; `takes_us` is None where nobody ever will."""
        limit_us = self._timeouts.connect_us
        if takes_us is not None and (limit_us is None or takes_us <= limit_us):
            await asyncio.sleep(takes_us / 1_000_000)
            return
        while True:
            await self._wait(limit_us, ConnectTimeout, "the connection was not taken up")

    def write_at_once(self, body: Body) -> bool:
        """Send a request that fits into the window; False where it has to be written piece by piece."""
        if type(body) is not bytes or len(body) > BUFFER_HIGH:
            return False
        up, server = self._joined()
        server.unread = len(body)
        up.push(Opening(body, whole=True))
        return True

    async def write(self, body: Body) -> None:
        """Send the request, no faster than the app reads it."""
        up, _ = self._joined()
        up.push(Opening(b"", whole=False))
        if isinstance(body, bytes):
            whole = await self._write_piece(body)
        else:
            whole = await self._write_pieces(body)
        if whole:
            up.push(END)

    async def head(self) -> Head:
        item = self._inbox.popleft() if self._inbox else await self._next()
        if type(item) is not Head:
            raise self._broken(item)
        return item

    async def chunk(self) -> bytes | None:
        """The next bytes of the body, all that has arrived of them; None at its end."""
        if self.done:
            if self._complete:
                return None
            raise ReadFailed("the client has left this exchange")
        inbox = self._inbox
        item = inbox.popleft() if inbox else await self._next()
        if item is END:
            self._complete = True
            self.link.completed += 1
            self._finish()
            return None
        if type(item) is not bytes:
            raise self._broken(item)
        if inbox and type(inbox[0]) is bytes:
            parts = [item]
            while inbox and type(part := inbox[0]) is bytes:
                parts.append(part)
                inbox.popleft()
            item = b"".join(parts)
        if self.server is not None:
            self.server.consumed(len(item))
        return item

    async def rest(self, most: int) -> bytes:
        """What is left of the body, to its end; a WireError where that is more than `most` bytes."""
        parts: list[bytes] = []
        size = 0
        while (chunk := await self.chunk()) is not None:
            parts.append(chunk)
            size += len(chunk)
            if size > most:
                raise WireError(f"the answer has more than {most} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __aiter__(self) -> ClientEnd:
        return self

    async def __anext__(self) -> bytes:
        # An iterator and no generator: one that is dropped half-way needs no closing.
        chunk = await self.chunk()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def leave(self) -> None:
        """Close the connection, whole answer or not. Leaving twice is leaving once."""
        if self.done:
            return
        self._finish()
        # A run that is over closes what still waits; then there is no network left to tell.
        if self.up is not None and not self._loop.is_closed():
            self.up.push(GONE)

    # How it waits.

    async def _next(self) -> Down:
        while not self._inbox:
            await self._wait(self._timeouts.read_us, ReadTimeout, "nothing arrived")
        return self._inbox.popleft()

    def _broken(self, item: Down) -> WireError:
        """What came instead of the answer: the end of this connection."""
        assert isinstance(item, WireError)
        self._finish()
        return item

    async def _write_pieces(self, body: AsyncIterable[bytes]) -> bool:
        pieces = aiter(body)
        try:
            async for piece in pieces:
                if not await self._write_piece(piece):
                    return False
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        return True

    async def _write_piece(self, piece: bytes) -> bool:
        """Send one piece as the window allows; False where an early answer makes the rest pointless."""
        up, server = self._joined()
        for start in range(0, len(piece), BUFFER_HIGH):
            part = piece[start : start + BUFFER_HIGH]
            while server.unread and server.unread + len(part) > BUFFER_HIGH and not self._answered():
                self._blocked = True
                await self._wait(self._timeouts.write_us, WriteTimeout, "the request was not taken")
                self._blocked = False
            if self._answered():
                return False
            server.unread += len(part)
            up.push(part)
        return True

    def _answered(self) -> bool:
        """Whether nothing more will come, so that nobody would read more of the request either."""
        if not self._inbox:
            return False
        if isinstance(self._inbox[0], WireError):
            raise WriteFailed(str(self._inbox[0]))
        return self._inbox[-1] is END or isinstance(self._inbox[-1], WireError)

    async def _wait(self, limit_us: int | None, late: type[WireError], why: str) -> None:
        if limit_us is None:
            await self._bell.wait()
            return
        self._until_us = self._loop.now_us + limit_us
        self._late = late, why, limit_us
        if self._clock is not None and self._clock_us > self._until_us:
            self._clock.cancel()
            self._clock = None
        if self._clock is None:
            self._wind()
        try:
            await self._bell.wait()
        finally:
            self._until_us = None

    def _wind(self) -> None:
        """One timer serves every wait: a wait only moves the hour it is for, which costs nothing."""
        assert self._until_us is not None
        self._clock_us = self._until_us
        self._clock = self._loop.call_at_us(self._until_us, self._strike, self._context)

    def _strike(self) -> None:
        self._clock = None
        if self._until_us is None:
            return
        if self._loop.now_us < self._until_us:
            self._wind()
            return
        late, why, limit_us = self._late
        self._bell.fail(late(f"{why} within {limit_us // 1000} ms"))

    def _joined(self) -> tuple[Pipe[Up], ServerEnd]:
        assert self.up is not None and self.server is not None
        return self.up, self.server

    def _finish(self) -> None:
        self.done = True
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        if self._has_connection:
            self._has_connection = False
            self.link.give_back()
        else:
            self.link.leave_queue(self)
        self.on_done(self)
