"""One request to somebody else's HTTP server: an answer or a `Failure`, never an exception.

Speaks to the transport directly, so that there is no cookie jar, no redirect and no environment in
between. A failure says whether the other side may have acted: only what ended before the connection
stood is certain not to have. Nothing of an exception's text goes further, since it may hold a URL or a
key. Knows nothing of providers, calls or money, and never tries twice.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from refgate.headers import Pairs
from refgate.ports import Answer

__all__ = ["Failure", "FailureKind", "Outgoing", "Phases", "Stream", "Upstream", "real_transport"]


_ADDRESSES_KEPT = 1024


class FailureKind(StrEnum):
    """How an exchange ended without a whole answer."""

    CONNECT = "connect"  # refused, unresolvable, no TLS
    CONNECT_TIMEOUT = "connect_timeout"
    POOL_TIMEOUT = "pool_timeout"  # no connection was free in time
    WRITE = "write"
    WRITE_TIMEOUT = "write_timeout"
    READ = "read"
    READ_TIMEOUT = "read_timeout"
    PROTOCOL = "protocol"  # what came was not HTTP, or ended early, or was not encoded as it said
    TOO_LARGE = "too_large"
    DEADLINE = "deadline"  # the exchange as a whole took too long


_NOT_SENT = frozenset({FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.POOL_TIMEOUT})
_TIMED_OUT = frozenset(
    {
        FailureKind.CONNECT_TIMEOUT,
        FailureKind.POOL_TIMEOUT,
        FailureKind.READ_TIMEOUT,
        FailureKind.WRITE_TIMEOUT,
        FailureKind.DEADLINE,
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """No whole answer came. `status` is set where its head came and the body did not."""

    kind: FailureKind
    status: int | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether the other side may have received the request and acted on it."""
        return self.kind not in _NOT_SENT

    @property
    def timed_out(self) -> bool:
        return self.kind in _TIMED_OUT


@dataclass(frozen=True, slots=True)
class Phases:
    """How long each phase of one exchange may take, and the whole of it, body included."""

    connect_us: int
    read_us: int
    write_us: int
    pool_us: int
    total_us: int

    def within(self, us: int) -> Phases:
        """The same, with no more than so much time for the whole."""
        return replace(self, total_us=min(self.total_us, us))

    @property
    def extension(self) -> dict[str, float]:
        return {
            "connect": self.connect_us / 1e6,
            "read": self.read_us / 1e6,
            "write": self.write_us / 1e6,
            "pool": self.pool_us / 1e6,
        }


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request, whole. `url` is absolute; `headers` is all that is sent, save `host` and the length."""

    method: str
    url: str
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)


class Stream:
    """An answer whose body is still coming. Iterate once; `failure` says how a broken one broke."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers = _pairs(response)
        self.failure: Failure | None = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, decoded. Ends early, with `failure` set, where it broke."""
        try:
            _refuse_encoding(self._response)
            async with aclosing(_bytes(self._response)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except _CAUGHT as error:
            self.failure = _failure(error, self.status)


class Upstream:
    """All that the gateway sends goes out here."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        # Most requests of a gateway go to a few addresses, and reading an address is dear.
        self._url = lru_cache(maxsize=_ADDRESSES_KEPT)(httpx.URL)

    async def ask(self, out: Outgoing, *, phases: Phases, body_max: int) -> Answer | Failure:
        """Sends a request and reads its whole answer, decoded, of at most `body_max` bytes."""
        status: int | None = None
        try:
            async with asyncio.timeout(phases.total_us / 1e6):
                response = await self._transport.handle_async_request(self._request(out, phases))
                try:
                    status = response.status_code
                    body = await _read(response, body_max)
                finally:
                    await _close(response)
        except TimeoutError:
            return Failure(FailureKind.DEADLINE, status)
        except _CAUGHT as error:
            return _failure(error, status)
        if body is None:
            return Failure(FailureKind.TOO_LARGE, status)
        return Answer(status, _pairs(response), body)

    @asynccontextmanager
    async def stream(self, out: Outgoing, *, phases: Phases) -> AsyncIterator[Stream | Failure]:
        """Sends a request and hands its answer over as it comes. Leaving the block closes it.

        The deadline covers the answer's head; whoever reads the body bounds the reading.
        """
        try:
            async with asyncio.timeout(phases.total_us / 1e6):
                response = await self._transport.handle_async_request(self._request(out, phases))
        except TimeoutError:
            failure = Failure(FailureKind.DEADLINE)
        except _CAUGHT as error:
            failure = _failure(error, None)
        else:
            try:
                yield Stream(response)
            finally:
                await _close(response)
            return
        yield failure

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _request(self, out: Outgoing, phases: Phases) -> httpx.Request:
        return httpx.Request(
            out.method,
            self._url(out.url),
            headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in out.headers],
            content=out.body,
            extensions={"timeout": phases.extension},
        )


async def _read(response: httpx.Response, body_max: int) -> bytes | None:
    """The decoded body, or None where it is larger than the limit; no more than that is kept."""
    _refuse_encoding(response)
    parts: list[bytes] = []
    size = 0
    async with aclosing(_bytes(response)) as chunks:
        async for chunk in chunks:
            size += len(chunk)
            if size > body_max:
                return None
            parts.append(chunk)
    return b"".join(parts)


_DECODED = frozenset({"", "identity", "gzip", "deflate"})


def _refuse_encoding(response: httpx.Response) -> None:
    """An encoding that cannot be taken off, and was not asked for, would reach the caller as garbage."""
    named = response.headers.get("content-encoding", "")
    if not {one.strip().lower() for one in named.split(",")} <= _DECODED:
        raise httpx.DecodingError("encoding")


def _bytes(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    # Declared as an iterator; it is a generator, and must be closed where it is left early.
    return cast("AsyncGenerator[bytes, None]", response.aiter_bytes())


async def _close(response: httpx.Response) -> None:
    # What was read stands, or the failure to read it does: a connection that cannot even be closed
    # properly changes neither.
    with suppress(*_CAUGHT):
        await response.aclose()


def _pairs(response: httpx.Response) -> Pairs:
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw
    )


_CAUGHT = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError)

_KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (httpx.ConnectTimeout, FailureKind.CONNECT_TIMEOUT),
    (httpx.PoolTimeout, FailureKind.POOL_TIMEOUT),
    (httpx.WriteTimeout, FailureKind.WRITE_TIMEOUT),
    (httpx.TimeoutException, FailureKind.READ_TIMEOUT),
    (httpx.ConnectError, FailureKind.CONNECT),
    (httpx.UnsupportedProtocol, FailureKind.CONNECT),
    (httpx.InvalidURL, FailureKind.CONNECT),
    (httpx.WriteError, FailureKind.WRITE),
    (httpx.NetworkError, FailureKind.READ),
    (OSError, FailureKind.READ),
)


def _failure(error: Exception, status: int | None) -> Failure:
    kind = next((kind for known, kind in _KINDS if isinstance(error, known)), FailureKind.PROTOCOL)
    if status is not None and kind in _NOT_SENT:
        # The head of an answer is proof that the request went out, whatever a library calls the rest.
        kind = FailureKind.READ
    return Failure(kind, status)


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
