"""The fakes on real ports: a small HTTP/1.1 server that can misbehave as the in-memory wire does.

h11 on asyncio's transports, with uvicorn's manners and the same `fakes.wire` extension: a real reset
(SO_LINGER 0), a real early close, real garbage. What was sent before a cut has reached the peer's
kernel when the cut comes. Runs no lifespan, speaks no TLS, and knows nothing of virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

import h11

from fakes.socket_end import SocketEnd
from fakes.wire.asgi import EXTENSION, SPEC_VERSION, ASGIApp, Scope
from fakes.wire.network import KEPT_MAX

__all__ = ["BODY_MAX", "Served", "serve"]

BODY_MAX = 64 * 1024 * 1024
"""The largest request body taken; a larger one is answered 413 and cut. A fake itself refuses far smaller
ones, in its vendor's words."""

_UNREAD_HIGH = 65_536
_STOP_S_MAX = 5.0


@dataclass
class Served:
    """A server that runs. `app_errors`: what its app raised, in order, the first `KEPT_MAX` of it."""

    host: str
    port: int
    app_errors: list[Exception] = field(default_factory=list)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def note(self, error: Exception) -> None:
        if len(self.app_errors) < KEPT_MAX:
            self.app_errors.append(error)


@asynccontextmanager
async def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Served]:
    """Serve `app` for the length of the block; port 0 picks a free one. At its end all is cut."""
    loop = asyncio.get_running_loop()
    served = Served(host, port)
    live = _Live()
    server = await loop.create_server(lambda: _Connection(app, served, live), host, port)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for connection in list(live.connections):
            connection.abort()
        running = list(live.running.values())
        for task in running:
            task.cancel()
        async with asyncio.timeout(_STOP_S_MAX):
            await asyncio.gather(*running, return_exceptions=True)
            await server.wait_closed()


@dataclass
class _Live:
    """What the end of the server has to cut. An app may still run when its connection has gone."""

    connections: dict[_Connection, None] = field(default_factory=dict)
    running: dict[SocketEnd, asyncio.Task[None]] = field(default_factory=dict)


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, each with its app's end."""

    def __init__(self, app: ASGIApp, served: Served, live: _Live) -> None:
        self._app = app
        self._served = served
        self._live = live
        self._http = h11.Connection(h11.SERVER)
        self._end: SocketEnd | None = None  # whose turn it is; None between two requests
        self._paused = False  # the client does not read: holds for the requests after this one, too
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._live.connections[self] = None

    def connection_lost(self, error: Exception | None) -> None:
        self._live.connections.pop(self, None)
        if self._end is not None:
            self._end.hang_up()

    # eof_received is left as it is: like uvicorn, a client that half-closes is taken to have left.

    def pause_writing(self) -> None:
        self._paused = True
        if self._end is not None:
            self._end.paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._end is not None:
            self._end.go_on()

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._take_events()

    def abort(self) -> None:
        self._transport.abort()

    def _take_events(self) -> None:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, str(error))
                return
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data) and self._end is not None:
                if not self._take_body(self._end, event.data):
                    return
            elif isinstance(event, h11.EndOfMessage) and self._end is not None:
                self._end.ended = True
                self._end.bell.ring()
                self._next_request()
            else:
                if event is h11.PAUSED:  # What is sent ahead of its turn waits in the kernel.
                    self._transport.pause_reading()
                return

    def _take_body(self, end: SocketEnd, data: bytes) -> bool:
        """Keep a piece of a body for its app; False where the body is more than anyone may send."""
        end.body_bytes += len(data)
        if end.body_bytes > BODY_MAX:
            self._refuse(413, "the body is too large")
            return False
        if not end.answering.complete:
            end.body += data
            if len(end.body) > _UNREAD_HIGH:
                self._transport.pause_reading()
            end.bell.ring()
        return True

    def _begin(self, request: h11.Request) -> None:
        end = self._end = SocketEnd(self._http, self._transport, request.method.decode(), self._next_request)
        end.paused = self._paused
        running = self._live.running
        running[end] = asyncio.get_running_loop().create_task(
            end.run(
                self._app,
                self._scope(request),
                self._served.note,
                lambda: running.pop(end, None),
            )
        )

    def _next_request(self) -> None:
        """Once both sides of a request are done: the next one, if there is to be one."""
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        elif self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._end = None
            self._transport.resume_reading()
            self._take_events()
        elif self._http.our_state is h11.DONE:
            self._transport.resume_reading()  # What the app did not read is read for it, and dropped.

    def _refuse(self, status: int, why: str) -> None:
        if self._end is None or not self._end.answering.started:
            head = h11.Response(status_code=status, headers=[("connection", "close")])
            for event in (head, h11.Data(data=why.encode()), h11.EndOfMessage()):
                self._transport.write(self._http.send(event) or b"")
        if self._end is not None:
            self._end.hang_up()
        self._transport.close()

    def _scope(self, request: h11.Request) -> Scope:
        path, _, query = request.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "http_version": request.http_version.decode(),
            "server": self._transport.get_extra_info("sockname"),
            "client": self._transport.get_extra_info("peername"),
            "scheme": "http",
            "method": request.method.decode(),
            "root_path": "",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "headers": list(request.headers),
            "state": {},
            "extensions": {EXTENSION: {}},
        }
