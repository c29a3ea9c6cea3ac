"""The transport on real sockets: one aiohttp-backed pool, one TLS context, and failures told apart truly.

Imported by whoever serves for real and by nobody else: in simulation the wire takes its place, and a
process that only simulates does not pay for aiohttp.
"""

from __future__ import annotations

import ssl

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

__all__ = ["real_transport"]


class _Sockets(httpx.AsyncBaseTransport):
    """The aiohttp-backed transport, with its failures told apart truly.

    It reports a connection that broke after the request was written as a connect time-out, which
    here would mean "the provider heard nothing".
    """

    def __init__(self, inner: AiohttpTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(request)
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
        raise _true(cause)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _true(cause: BaseException | None) -> httpx.TransportError:
    match cause:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout("connect")
        case aiohttp.ClientConnectorError() | aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return httpx.ConnectError("connect")
        case aiohttp.ServerTimeoutError():
            return httpx.ReadTimeout("read")
        case aiohttp.ClientConnectionError():
            return httpx.ReadError("read")
        case _:
            return httpx.RemoteProtocolError("protocol")


def real_transport(*, connections_max: int) -> httpx.AsyncBaseTransport:
    """Real sockets: one pool and one TLS context, no cookies, no environment, nothing sent twice."""
    tls = ssl.create_default_context()

    def session() -> aiohttp.ClientSession:
        made = aiohttp.ClientSession(
            # Shorter than any server keeps an idle connection: a submit must not meet a closing one.
            connector=aiohttp.TCPConnector(ssl=tls, limit=connections_max, keepalive_timeout=4.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            trust_env=False,
        )
        # aiohttp repeats an idempotent request on its own when a kept connection breaks, and offers
        # no public way out; an attempt that nobody recorded must not go out.
        made._retry_connection = False
        return made

    return _Sockets(AiohttpTransport(verify=tls, trust_env=False, client=session))
