"""The wire as a transport for HTTP libraries: one code for httpx and httpx2.

Their own ASGI transports wait for the whole answer, know no disconnect and ignore time-outs. This one
streams, leaves when its answer is closed, and honours `request.extensions["timeout"]`. The library's
types are handed in; this module imports neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from fakes.wire import errors
from fakes.wire.asgi import RawHeaders
from fakes.wire.client_end import NO_TIMEOUTS, ClientEnd, Timeouts
from fakes.wire.errors import WireError
from fakes.wire.network import Wire
from fakes.wire.request import Body, Request, check

__all__ = ["AnswerStream", "WireTransport"]


class AnswerStream:
    """The body of an answer: iterated as it arrives, closed to leave."""

    def __init__(self, end: ClientEnd, transport: WireTransport, request: Any) -> None:
        self._end = end
        self._transport = transport
        self._request = request

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._end.chunk()
        except WireError as error:
            raise self._transport.translated(error, self._request) from error
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._end.leave()


class WireTransport:
    """Sends a library's requests over the wire as `src`. Subclasses say which library's."""

    library: Any
    stream_type: type[AnswerStream]

    def __init__(self, wire: Wire, src: str) -> None:
        self._wire = wire
        self._src = src
        self._asked: tuple[float | None, ...] = (None,) * 4
        self._limits = NO_TIMEOUTS
        self._kinds = {kind: getattr(self.library, name) for kind, name in _NAMES.items()}

    async def handle_async_request(self, request: Any) -> Any:
        try:
            head, end = await self._wire.call(
                self._src, self._outgoing(request), self._timeouts(request.extensions.get("timeout"))
            )
        except WireError as error:
            raise self.translated(error, request) from error
        return self.library.Response(
            head.status,
            headers=head.headers,
            stream=self.stream_type(end, self, request),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Nothing to give back: each exchange gives back its own connection."""

    def translated(self, error: WireError, request: Any) -> Exception:
        """The same trouble in the library's words."""
        translated: Exception = self._kinds[type(error)](str(error), request=request)
        return translated

    def _timeouts(self, given: Mapping[str, float | None] | None) -> Timeouts:
        """The library's seconds as ours; a client nearly always asks for the same again."""
        if not given:
            return NO_TIMEOUTS
        asked = (given.get("connect"), given.get("read"), given.get("write"), given.get("pool"))
        if asked != self._asked:
            self._asked = asked
            self._limits = Timeouts(*(None if limit is None else round(limit * 1_000_000) for limit in asked))
        return self._limits

    def _outgoing(self, request: Any) -> Request:
        url = request.url
        target: bytes = url.raw_path
        path, _, query = target.partition(b"?")
        headers: RawHeaders = [(name.lower(), value) for name, value in request.headers.raw]
        body = self._body(request)
        check(headers, body)
        return Request(
            method=request.method,
            scheme=url.scheme,
            host=url.host,
            port=url.port or (443 if url.scheme == "https" else 80),
            path=path,
            query=query,
            headers=headers,
            body=body,
        )

    def _body(self, request: Any) -> Body:
        try:
            body: Body = request.content
        except self.library.RequestNotRead:
            body = request.stream
        return body


_NAMES: Mapping[type[WireError], str] = {
    errors.ConnectFailed: "ConnectError",
    errors.ConnectTimeout: "ConnectTimeout",
    errors.PoolTimeout: "PoolTimeout",
    errors.ProtocolBroken: "RemoteProtocolError",
    errors.ReadFailed: "ReadError",
    errors.ReadTimeout: "ReadTimeout",
    errors.RequestInvalid: "LocalProtocolError",
    errors.WriteFailed: "WriteError",
    errors.WriteTimeout: "WriteTimeout",
}
