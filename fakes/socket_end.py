"""The app's end of a request on a real socket: `receive` and `send`, and a connection that really breaks.

The counterpart of `fakes.wire.server_end`. Reads no bytes: the connection it stands on hands it what came,
and says when the client does not read or has gone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable

import h11

from fakes.wire.asgi import MISDEEDS, RAW, RESET, AppEnd, Message
from fakes.wire.pipe import Bell

__all__ = ["SocketEnd"]

_FLUSH_PAUSE_S = 0.001
_FLUSH_TRIES = 2_000


class SocketEnd(AppEnd):
    """What an app holds for one request on a socket."""

    __slots__ = (
        "_answered",
        "_http",
        "_told_end",
        "_transport",
        "bell",
        "body",
        "body_bytes",
        "ended",
        "paused",
    )

    def __init__(
        self, http: h11.Connection, transport: asyncio.Transport, method: str, answered: Callable[[], None]
    ) -> None:
        super().__init__(method)
        self._answered = answered
        self._http = http
        self._told_end = False
        self._transport = transport
        self.bell = Bell(asyncio.get_running_loop())
        self.body = bytearray()  # What the app has not read yet.
        self.body_bytes = 0
        self.ended = False
        self.paused = False

    def hang_up(self) -> None:
        self.gone = True
        self.go_on()

    def go_on(self) -> None:
        self.paused = False
        self.bell.ring()

    def close(self) -> None:
        if not self.gone:
            self.hang_up()
            self._transport.close()  # Flushes first; half an answer is then followed by an end of file.

    async def receive(self) -> Message:
        while True:
            if self.gone or self.answering.complete:
                return {"type": "http.disconnect"}
            if self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            if self.body or (self.ended and not self._told_end):
                body = bytes(self.body)
                self.body.clear()
                self._told_end = self.ended
                self._transport.resume_reading()
                return {"type": "http.request", "body": body, "more_body": not self.ended}
            await self.bell.wait()

    async def send(self, message: Message) -> None:
        while self.paused:
            await self.bell.wait()
        if self.gone:
            return
        answering = self.answering
        if message["type"] in MISDEEDS:
            await self._misbehave(message)
        elif not answering.started:
            head = answering.start(message)
            self._write(h11.Response(status_code=head.status, headers=head.headers))
        elif not answering.complete:
            data, last = answering.body(message)
            if data:
                self._write(h11.Data(data=data))
            if last:
                answering.finish()
                self._write(h11.EndOfMessage())
                self.bell.ring()
                self._answered()
        else:
            raise RuntimeError(
                f"Unexpected ASGI message '{message['type']}' sent, after response already completed."
            )

    def _write(self, event: h11.Event) -> None:
        self._transport.write(self._http.send(event) or b"")

    async def _misbehave(self, message: Message) -> None:
        if message["type"] == RAW:
            self._transport.write(message["data"])
        if message["type"] == RESET:
            sock: socket.socket = self._transport.get_extra_info("socket")
            await self._flushed(sock)
            if not self.gone:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.hang_up()
                self._transport.abort()
        else:
            self.close()

    async def _flushed(self, sock: socket.socket) -> None:
        """Wait until the peer's kernel has what was written: a reset destroys what has not left yet."""
        for _ in range(_FLUSH_TRIES):
            if self.gone or (self._transport.get_write_buffer_size() == 0 and _unacknowledged(sock) == 0):
                return
            await asyncio.sleep(_FLUSH_PAUSE_S)


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes in the kernel that the peer has not acknowledged; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    import fcntl
    import termios

    buffer = bytearray(4)
    fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, buffer)
    return int.from_bytes(buffer, sys.byteorder)
