"""The transport on real sockets: one aiohttp-backed pool, one TLS context, and failures told apart truly.

Speaks to aiohttp directly: a request and its answer are carried over, and nothing in between has a view of
its own on either. Imported by whoever serves for real and by nobody else: in simulation the wire takes its
place, and a process that only simulates does not pay for aiohttp.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from functools import lru_cache

import aiohttp
import httpx
import yarl
from multidict import CIMultiDict

__all__ = ["real_transport"]

_KEPT = 1024  # addresses, and sets of times, that were met lately


class _Sockets(httpx.AsyncBaseTransport):
    """Its session belongs to the loop of the first request."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self._tls = ssl.create_default_context()
        self._session: aiohttp.ClientSession | None = None
        self._address = lru_cache(maxsize=_KEPT)(_address)
        self._times = lru_cache(maxsize=_KEPT)(_times)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self._session or self._opened()
        within = request.extensions.get("timeout", {})
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in request.headers.raw:
            headers.add(_text(name), _text(value))
        try:
            reply = await session.request(
                request.method,
                self._address(str(request.url)),
                headers=headers,
                data=request.content or None,
                allow_redirects=False,
                auto_decompress=False,
                timeout=self._times(within.get("connect"), within.get("read"), within.get("pool")),
            )
        except aiohttp.ClientError as error:
            raise _true(error) from None
        return httpx.Response(reply.status, headers=[*reply.raw_headers], stream=_Body(reply))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        self._session = made = aiohttp.ClientSession(
            # Shorter than any server keeps an idle connection: a submit must not meet a closing one.
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=self._connections_max, keepalive_timeout=4.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            trust_env=False,
        )
        # aiohttp repeats an idempotent request on its own when a kept connection breaks, and offers
        # no public way out; an attempt that nobody recorded must not go out.
        made._retry_connection = False
        return made


class _Body(httpx.AsyncByteStream):
    """An answer's body, in the pieces in which it comes: its own iterator, to be gone through once."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self._reply = reply

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._reply.content.readany()
        except aiohttp.ClientError as error:
            raise _true(error) from None
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        try:
            await self._reply.__aexit__(None, None, None)
        except aiohttp.ClientError as error:
            raise _true(error) from None


def _address(url: str) -> yarl.URL:
    """As it is: a path is not quoted anew."""
    try:
        return yarl.URL(url, encoded=True)
    except ValueError:
        raise httpx.UnsupportedProtocol("address") from None


def _times(connect_s: float | None, read_s: float | None, pool_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=connect_s, sock_read=read_s, connect=pool_s)


def _text(raw: bytes) -> str:
    """What aiohttp, which writes UTF-8, makes the same bytes of, where it can."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _true(cause: BaseException) -> httpx.TransportError:
    """The failure, by whether the request was written: only where it was not is the other side untouched."""
    match cause:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout("connect")
        case aiohttp.ClientConnectorError() | aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return httpx.ConnectError("connect")
        case aiohttp.ServerTimeoutError():
            return httpx.ReadTimeout("read")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return httpx.ReadError("read")
        case _:
            return httpx.RemoteProtocolError("protocol")


def real_transport(*, connections_max: int) -> httpx.AsyncBaseTransport:
    """Real sockets: one pool and one TLS context, no cookies, no environment, nothing sent twice."""
    return _Sockets(connections_max)
