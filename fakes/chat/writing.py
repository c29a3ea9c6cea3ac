"""The bytes of a stream on their way to the connection: cut and encoded as the outcome says.

Writes first and breaks afterwards, and knows what it really handed over. A length that was declared, true or
not, is kept: what goes beyond it cannot be written, and where it is not reached the server hangs up. Knows
nothing of time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Literal, Protocol

from fakes.asgi import Send, Sent
from fakes.chat.bending import Stream
from fakes.chat.dialect import Event
from fakes.front import Outcome

__all__ = ["Tally", "Writer"]

_GZIP_BITS = 31
_GZIP_MAGIC = b"\x1f"


class Tally(Protocol):
    """Who counts what becomes of the events."""

    def generated(self, event: Event) -> None: ...

    def handed_over(self, event: Event) -> None: ...


class Writer:
    """One streamed answer as its connection takes it. `cut`: the connection was broken off.

    `left` says whether the client has gone: a server in uvicorn's manner lets a write wait for a client
    that does not read, and drops it without a word when that client leaves.
    """

    def __init__(self, send: Send, outcome: Outcome, stream: Stream, left: Callable[[], bool]) -> None:
        plain, body = b"".join(event.data for event in stream.events), outcome.reply.body
        is_encoded = not body.startswith(plain)
        self._send = send
        self._left = left
        self._reply = outcome.reply
        self._limit = outcome.ending.at if outcome.ending.how == "cut" else None
        self._then = outcome.ending.then
        declared = dict(reversed(outcome.reply.headers)).get("content-length")
        self._declared = None if declared is None else int(declared)
        self._encoder = _encoder(body) if is_encoded else None
        self._padding = 0 if is_encoded else len(body) - len(plain)
        self._digest = blake2b(digest_size=8)
        self._written = 0
        self._started = False
        self._ended = False
        self._ended_by: Literal["server", "client", "reset"] = "client"
        self.cut = False

    async def start(self) -> bool:
        """The status line and the headers; False where the client has gone."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._reply.headers]
        message = {"type": "http.response.start", "status": self._reply.status, "headers": headers}
        self._started = await self._sent(message)
        if self._started and self._limit == 0:
            return await self._broken(self._then)
        return self._started

    async def write(self, batch: Sequence[Event], tally: Tally, *, closing: bool) -> bool:
        """The events due now; False where that was the end of it, by a cut or because the client has gone."""
        data = b""
        passed: list[Event] = []
        limit = None if self._limit is None else self._limit - self._written
        for event in batch:
            tally.generated(event)
            data += self._encoded(event.data)
            if event.whole and (limit is None or len(data) <= limit):
                passed.append(event)
            if limit is not None and len(data) >= limit:
                break
        cut = limit is not None and len(data) >= limit
        data = data[:limit] if cut else data + (self._rest() if closing else b"")
        room = None if self._declared is None else self._declared - self._written
        if room is not None and (len(data) > room or (len(data) == room and (cut or not closing))):
            return await self._stopped(data, room, passed, tally)
        short = room is not None and len(data) < room
        if not await self._body(data, more=cut or short or not closing):
            return False
        for event in passed:
            tally.handed_over(event)
        if cut:
            return await self._broken(self._then)
        self._ended = closing and not short
        return True

    async def _stopped(self, data: bytes, room: int, passed: Sequence[Event], tally: Tally) -> Literal[False]:
        """The declared length is reached before the end."""
        if await self._body(data[:room], more=False):
            size = 0
            for event in passed:
                size += len(event.data)
                if size <= room:
                    tally.handed_over(event)
            self._ended_by = "server"
        self.cut = True
        return False

    async def end(self, how: str) -> None:
        """The end of the answer, clean or not, where the last write was not it."""
        if how in ("close", "reset"):
            await self._broken(how)
        elif not self._ended and self._written < (self._declared or 0):
            await self._broken("close")
        elif not self._ended:
            await self._body(b"", more=False)
            self._ended = True
        if not self.cut:
            self._ended_by = "server"

    def sent(self, *, complete: bool) -> Sent:
        if not self._started:
            return Sent(None, (), 0, False, "client")
        status, headers = self._reply.status, self._reply.headers
        digest = self._digest.hexdigest()
        return Sent(status, headers, self._written, complete and not self.cut, self._ended_by, digest)

    def _rest(self) -> bytes:
        """What goes after the last event: the end of the encoding, or padding."""
        return b" " * self._padding if self._encoder is None else self._encoder.flush(zlib.Z_FINISH)

    def _encoded(self, data: bytes) -> bytes:
        if self._encoder is None:
            return data
        return self._encoder.compress(data) + self._encoder.flush(zlib.Z_SYNC_FLUSH)

    async def _body(self, data: bytes, *, more: bool) -> bool:
        if not await self._sent({"type": "http.response.body", "body": data, "more_body": more}):
            return False
        self._written += len(data)
        self._digest.update(data)
        return True

    async def _broken(self, how: str) -> Literal[False]:
        await self._send({"type": f"fakes.wire.{how}"})
        self.cut = True
        self._ended_by = "reset" if how == "reset" else "server"
        return False

    async def _sent(self, message: dict[str, object]) -> bool:
        try:
            await self._send(message)
        except OSError:  # the server's word for a client that has gone
            return False
        return not self._left()


def _encoder(encoded: bytes) -> zlib._Compress:
    """The encoding of a body, one event at a time: each is flushed, so that it can be read when it comes."""
    return zlib.compressobj(wbits=_GZIP_BITS) if encoded[:1] == _GZIP_MAGIC else zlib.compressobj()
