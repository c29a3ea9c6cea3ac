"""The way of an SDK's requests over the simulated wire: to the replica whose turn it is, and written down.

Each exchange leaves a `Sent`, and then a `Got` or a `Left`, as every other client's does. What the SDK makes
of the answers is the business of `scenarios.clients.sdks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2

from fakes.journal import Headers
from fakes.time import SimLoop
from fakes.wire import Httpx2Transport, Wire
from scenarios.clients.chats import Listening, Question
from scenarios.clients.client import Client, Order

__all__ = ["Line"]

_ANSWER_MAX = 64 * 1024 * 1024


class _Recorded(httpx2.AsyncByteStream):
    """The body of one answer on its way to the SDK, written down once it has ended, however it does."""

    def __init__(self, exchange: _Exchange, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self._exchange = exchange
        self._stream = response.stream
        self._chunks = aiter(response.stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._exchange.end()
            raise
        except httpx2.TransportError as broken:
            self._exchange.break_off(broken)
            raise
        self._exchange.hear(chunk)
        return chunk

    async def aclose(self) -> None:
        self._exchange.close()
        await self._stream.aclose()


class _Exchange:
    """One request of an SDK and its answer, as the history keeps them."""

    def __init__(self, question: Question, order: Order, *, client: Client, loop: SimLoop) -> None:
        self.listening = Listening(question, loop)
        self._client = client
        self._call = question.call
        self._order = order
        self._attempt, self.to = client.sets_out(question.call, order)
        self._status: int | None = None
        self._headers: Headers = ()
        self._body = bytearray()
        self._open = True

    def head(self, response: httpx2.Response) -> None:
        self._status = response.status_code
        self._headers = _shown(response.headers)
        self.listening.head(self._status, self._headers)

    def hear(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > _ANSWER_MAX:
            raise httpx2.RemoteProtocolError(f"the answer has more than {_ANSWER_MAX} bytes")
        self.listening.hear(chunk)

    def end(self) -> None:
        self.listening.end()
        self._got(None)

    def break_off(self, broken: BaseException) -> None:
        self.listening.silence()
        self._got(type(broken.__cause__ or broken).__name__)

    def close(self) -> None:
        """The SDK reads no further: it has heard the end, or it leaves."""
        if not self._open:
            return
        if self.listening.ear.heard_end:
            self.end()
        else:
            self.leave()

    def leave(self) -> None:
        self._open = False
        self.listening.silence()
        self._client.left(self._call, self._attempt, self._order)

    def _got(self, error: str | None) -> None:
        if self._open:
            self._open = False
            self._client.got(
                self._call,
                self._attempt,
                self._order,
                status=self._status,
                headers=self._headers,
                body=bytes(self._body),
                error=error,
            )


class Line(httpx2.AsyncBaseTransport):
    """The way of one call's requests: each to the replica whose turn it is, and written down."""

    def __init__(self, question: Question, *, client: Client, wire: Wire, loop: SimLoop) -> None:
        self.last: _Exchange | None = None
        self._client = client
        self._loop = loop
        self._transport = Httpx2Transport(wire, "client")
        self._question = question

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        order = replace(
            self._question.order,
            path=request.url.raw_path.decode("ascii"),
            headers=tuple(pair for pair in _shown(request.headers) if pair[0] != "host"),
            body=request.content,
        )
        exchange = self.last = _Exchange(self._question, order, client=self._client, loop=self._loop)
        request.url = request.url.copy_with(host=f"{exchange.to}.test")
        request.headers["host"] = f"{exchange.to}.test"
        try:
            response = await self._transport.handle_async_request(request)
        except httpx2.TransportError as broken:
            exchange.break_off(broken)
            raise
        except asyncio.CancelledError:
            exchange.leave()
            raise
        exchange.head(response)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=_Recorded(exchange, response)
        )


def _shown(headers: httpx2.Headers) -> Headers:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers.raw)
