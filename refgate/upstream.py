"""One request to somebody else's HTTP server: an answer or a `Failure`, never an exception.

Speaks to the transport directly, so that there is no cookie jar, no redirect and no environment in
between. A failure says whether the other side may have acted: only what ended before the connection
stood is certain not to have. Nothing of an exception's text goes further, since it may hold a URL or a
key. Knows nothing of providers, calls or money, and never tries twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

import httpx

from refgate.answer import Answer
from refgate.headers import Pairs
from refgate.unpacking import NotUnpacked, packing, unpacked

__all__ = ["Failure", "FailureKind", "Outgoing", "Phases", "Stream", "Upstream"]

_ADDRESSES_KEPT = 1024
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # these say how long their body is, even if there is none


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
    """How long each phase of one exchange may take, and the whole of it, body included. None: whoever asks
    keeps the time.
    """

    connect_us: int
    read_us: int | None
    write_us: int | None
    pool_us: int
    total_us: int

    def within(self, us: int) -> Phases:
        """The same, with no more than so much time for the whole."""
        return replace(self, total_us=min(self.total_us, us))

    @property
    def extension(self) -> dict[str, float | None]:
        return {
            "connect": self.connect_us / 1e6,
            "read": None if self.read_us is None else self.read_us / 1e6,
            "write": None if self.write_us is None else self.write_us / 1e6,
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
            pieces = _pieces(self._response, self.headers)
            try:
                async for piece in pieces:
                    yield piece
            finally:
                await _end(pieces)
        except _CAUGHT as error:
            self.failure = _failure(error, self.status)

    async def aclose(self) -> None:
        """Gives the connection up, read to its end or not. May be said again."""
        await _close(self._response)


class Upstream:
    """All that the gateway sends goes out here."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        # Most requests of a gateway go to a few addresses, and reading an address is dear.
        self._address = lru_cache(maxsize=_ADDRESSES_KEPT)(_address)

    async def ask(self, out: Outgoing, *, phases: Phases, body_max: int) -> Answer | Failure:
        """Sends a request and reads its whole answer, decoded, of at most `body_max` bytes."""
        status: int | None = None
        try:
            async with asyncio.timeout(phases.total_us / 1e6):
                response = await self._answered(out, phases)
                try:
                    status = response.status_code
                    headers = _pairs(response)
                    body = await _read(response, headers, body_max)
                finally:
                    await _close(response)
        except TimeoutError:
            return Failure(FailureKind.DEADLINE, status)
        except _CAUGHT as error:
            return _failure(error, status)
        if body is None:
            return Failure(FailureKind.TOO_LARGE, status)
        return Answer(status, headers, body)

    async def open(self, out: Outgoing, *, phases: Phases) -> Stream | Failure:
        """Sends a request and waits for its answer's head. Whoever opens a stream bounds the wait, and the
        reading, and closes it; the phases' whole time is not looked at.
        """
        try:
            return Stream(await self._answered(out, phases))
        except _CAUGHT as error:
            return _failure(error, None)

    @asynccontextmanager
    async def stream(self, out: Outgoing, *, phases: Phases) -> AsyncIterator[Stream | Failure]:
        """Sends a request and hands its answer over as it comes. Leaving the block closes it.

        The deadline covers the answer's head; whoever reads the body bounds the reading.
        """
        opened: Stream | Failure
        try:
            async with asyncio.timeout(phases.total_us / 1e6):
                opened = await self.open(out, phases=phases)
        except TimeoutError:
            opened = Failure(FailureKind.DEADLINE)
        if isinstance(opened, Failure):
            yield opened
            return
        try:
            yield opened
        finally:
            await opened.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _answered(self, out: Outgoing, phases: Phases) -> httpx.Response:
        response = await self._transport.handle_async_request(self._request(out, phases))
        if 200 <= response.status_code < 600:
            return response
        # No final answer of HTTP's: no server could hand it on, and nobody knows what it means.
        await _close(response)
        raise httpx.RemoteProtocolError("status")

    def _request(self, out: Outgoing, phases: Phases) -> httpx.Request:
        """What goes out, whole: httpx adds and encodes nothing where it is given a stream."""
        url, host = self._address(out.url)
        headers = [host, *((name.encode("latin-1"), value.encode("latin-1")) for name, value in out.headers)]
        if out.body or out.method in _WITH_BODY:
            headers.append((b"content-length", b"%d" % len(out.body)))
        extensions = {"timeout": phases.extension}
        stream = httpx.ByteStream(out.body)
        request = httpx.Request(out.method, url, headers=headers, stream=stream, extensions=extensions)
        request.read()
        return request


def _address(url: str) -> tuple[httpx.URL, tuple[bytes, bytes]]:
    """An address, and the header that names its host."""
    found = httpx.URL(url)
    return found, (b"host", found.netloc)


async def _read(response: httpx.Response, headers: Pairs, body_max: int) -> bytes | None:
    """The decoded body, or None where it is larger than the limit; no more than that is kept."""
    parts: list[bytes] = []
    size = 0
    pieces = _pieces(response, headers)
    try:
        async for piece in pieces:
            size += len(piece)
            if size > body_max:
                return None
            parts.append(piece)
    finally:
        await _end(pieces)
    return b"".join(parts)


def _pieces(response: httpx.Response, headers: Pairs) -> AsyncIterator[bytes]:
    """The body as it comes, unpacked where it is packed."""
    assert isinstance(response.stream, httpx.AsyncByteStream)  # as every asynchronous transport gives
    pieces = aiter(response.stream)
    how = packing([value for name, value in headers if name == "content-encoding"])
    return pieces if how is None else unpacked(pieces, how)


async def _end(pieces: AsyncIterator[bytes]) -> None:
    """A generator that is left early must be closed; other iterators need nothing."""
    if isinstance(pieces, AsyncGenerator):
        await pieces.aclose()


async def _close(response: httpx.Response) -> None:
    # What was read stands, or the failure to read it does: a connection that cannot even be closed
    # properly changes neither.
    if response.is_closed:
        return
    assert isinstance(response.stream, httpx.AsyncByteStream)
    with suppress(*_CAUGHT):
        await response.stream.aclose()


def _pairs(response: httpx.Response) -> Pairs:
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw
    )


_CAUGHT = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, NotUnpacked, OSError)

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
