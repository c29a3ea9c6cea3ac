"""The app's end of an exchange: `receive` and `send`, with uvicorn's manners.

A client that left is told to the app as `http.disconnect` and turns `send` into a no-op; an app that
raises becomes a 500, or a cut connection once it has begun to answer. Plays the part of the link's
faults that an answer meets on its way back. Knows the client only as someone it pushes messages to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fakes.time import Owner, SimLoop
from fakes.wire.asgi import CLOSE, MISDEEDS, RESET, AppEnd, Head, Message
from fakes.wire.errors import ProtocolBroken, ReadFailed, WireError
from fakes.wire.faults import Plan
from fakes.wire.pipe import Bell, Pipe

if TYPE_CHECKING:
    from fakes.wire.client_end import ClientEnd

__all__ = ["BUFFER_HIGH", "BUFFER_LOW", "END", "GONE", "Down", "Mark", "Opening", "ServerEnd", "Up"]

BUFFER_HIGH = 65_536
"""Bytes the client has not read yet above which the app's `send` waits; what uvicorn's transport allows."""

BUFFER_LOW = BUFFER_HIGH // 4
"""Bytes at which it goes on."""


class Mark:
    """A message that is nothing but its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


END: Final = Mark("end")  # the request, or the answer, is whole
GONE: Final = Mark("gone")  # the client closed the connection


class Opening:
    """The head of a request, with its body where that is small enough to go along."""

    __slots__ = ("body", "whole")

    def __init__(self, body: bytes, whole: bool) -> None:
        self.body = body
        self.whole = whole


Up = Opening | bytes | Mark
Down = Head | bytes | Mark | WireError


class ServerEnd(AppEnd):
    """One exchange as its app sees it."""

    __slots__ = (
        "_bell",
        "_body_passed",
        "_buffered",
        "_down",
        "_ended",
        "_inbox",
        "_paused",
        "_plan",
        "_played",
        "_start",
        "_told_end",
        "client",
        "done",
        "owner",
        "unread",
    )

    def __init__(
        self,
        loop: SimLoop,
        method: str,
        owner: Owner,
        down: Pipe[Down],
        plan: Plan | None,
        played: Callable[[str], None],
        start: Callable[[ServerEnd], None],
    ) -> None:
        super().__init__(method)
        self._bell = Bell(loop)
        self._body_passed = 0
        self._buffered = 0  # Bytes of the answer on their way or unread by the client.
        self._down = down
        self._ended = False
        self._inbox: deque[bytes] = deque()
        self._paused = False
        self._plan = plan
        self._played = played
        self._start = start
        self._told_end = False
        self.client: ClientEnd
        self.done = False  # The app returned, or will never run.
        self.owner = owner
        self.unread = 0  # Bytes of the request on their way or unread by the app.

    # What arrives from the client.

    def arrive(self, item: Up) -> None:
        if type(item) is bytes:
            self._inbox.append(item)
        elif type(item) is Opening:
            if item.body:
                self._inbox.append(item.body)
            self._ended = item.whole
            if not self.gone:
                self._start(self)
            return
        elif item is END:
            self._ended = True
        elif not self.gone:
            self.hang_up()
            if not self.client.done:  # A client that only half-closed sees the server close in turn.
                self._down.push(ProtocolBroken("the server closed the connection on a half-closed client"))
        self._bell.ring()

    def consumed(self, size: int) -> None:
        """The client read `size` bytes of the answer."""
        self._buffered -= size
        if self._paused and self._buffered <= BUFFER_LOW:
            self._paused = False
            self._bell.ring()

    def hang_up(self) -> None:
        """Nothing that is sent from now on reaches the client."""
        self.gone = True
        self._paused = False
        self._bell.ring()

    def reset(self) -> None:
        """The connection dies: what was sent arrives, then a reset."""
        if not self.gone:
            self.hang_up()
            self._emit(ReadFailed("connection reset by peer"))

    def close(self) -> None:
        """The connection ends cleanly, whole answer or not."""
        if not self.gone:
            self.hang_up()
            begun = "in the middle of the answer" if self.answering.started else "without an answer"
            self._emit(ProtocolBroken(f"the server closed the connection {begun}"))

    # What the app holds.

    async def receive(self) -> Message:
        while True:
            if self.gone or self.answering.complete:
                return {"type": "http.disconnect"}
            if self._inbox or (self._ended and not self._told_end):
                body = b"".join(self._inbox)
                self._inbox.clear()
                self._told_end = self._ended
                if body:
                    self.unread -= len(body)
                    self.client.unblocked()
                return {"type": "http.request", "body": body, "more_body": not self._ended}
            await self._bell.wait()

    async def send(self, message: Message) -> None:
        while self._paused:
            await self._bell.wait()
        if self.gone:
            return
        answering = self.answering
        if message["type"] in MISDEEDS:
            self._misbehave(message)
        elif not answering.started:
            self._emit(answering.start(message))
        elif not answering.complete:
            data, last = answering.body(message)
            if data:
                self._buffered += len(data)
                self._paused = self._buffered > BUFFER_HIGH
                self._emit(data)
            if last:
                answering.finish()
                self._emit(END)
                self._bell.ring()
        else:
            raise RuntimeError(
                f"Unexpected ASGI message '{message['type']}' sent, after response already completed."
            )

    def _misbehave(self, message: Message) -> None:
        if message["type"] == RESET:
            self.reset()
        elif message["type"] == CLOSE:
            self.close()
        else:
            self.hang_up()
            self._emit(ProtocolBroken(f"not HTTP: {bytes(message['data'])[:40]!r}"))

    def _emit(self, item: Down) -> None:
        """Send one message down, past the faults of the link."""
        plan = self._plan
        if plan is None:
            self._down.push(item)
        elif plan.blackhole == "answer":
            if type(item) is not bytes and item is not END:
                self._played("blackhole")  # With its first message: an answer may have no last one.
            self._lose(item)
        elif plan.reset_after:
            if item is END:
                self._played("reset_after")
                self._down.push(ReadFailed("connection reset by peer"))
            elif isinstance(item, WireError):
                self._down.push(item)
            else:
                self._lose(item)
        elif plan.reset_during is not None:
            self._emit_until(item, plan.reset_during)
        else:
            self._down.push(item)

    def _lose(self, item: Down) -> None:
        if type(item) is bytes:
            self.consumed(len(item))

    def _emit_until(self, item: Down, limit: int) -> None:
        """Let `limit` bytes of the body pass, then reset the connection in place of what comes next."""
        if type(item) is bytes:
            passing = item[: limit - self._body_passed]
            self._body_passed += len(passing)
            if passing:
                self._down.push(passing)
        else:
            self._down.push(item)
        if isinstance(item, (Head, bytes)) and self._body_passed >= limit:
            self._played("reset_during")
            self.hang_up()
            self._down.push(ReadFailed("connection reset by peer"))
