"""The cheapest client: a call on the wire without an HTTP library.

For simulated traffic. It sends what an HTTP client would send (`host`, the framing header, lower-case
names), follows no redirect, keeps no cookie and reads no environment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap

from fakes.wire.asgi import RawHeaders, shown
from fakes.wire.client_end import NO_TIMEOUTS, ClientEnd, Timeouts
from fakes.wire.errors import RequestInvalid
from fakes.wire.network import Wire
from fakes.wire.request import Body, Request, check

__all__ = ["Answer", "DirectClient", "Streamed"]

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are in lower case, in the order they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)


class Streamed:
    """An answer whose body is still coming. Leaving its block before the end is leaving the server."""

    def __init__(self, wire: Wire, src: str, request: Request, timeouts: Timeouts) -> None:
        self.status = 0  # Known once the block is entered.
        self.headers: tuple[tuple[str, str], ...] = ()
        self._call = wire, src, request, timeouts
        self._end: ClientEnd

    async def __aenter__(self) -> Streamed:
        wire, src, request, timeouts = self._call
        head, self._end = await wire.call(src, request, timeouts)
        self.status = head.status
        self.headers = shown(head.headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end.leave()

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, as it arrives."""
        return self._end


class DirectClient:
    """Calls apps on the wire by URL, as `src`. Answers of more than `body_max` bytes are refused."""

    def __init__(self, wire: Wire, src: str, *, body_max: int = 64 * 1024 * 1024) -> None:
        self._wire = wire
        self._src = src
        self._body_max = body_max

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: _Headers = (),
        body: Body = b"",
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """The whole answer, or a WireError. Cancelled, it leaves."""
        head, end = await self._wire.call(
            self._src, _request(method, url, headers, body), timeouts or NO_TIMEOUTS
        )
        try:
            body = await end.rest(self._body_max)
        except BaseException:
            end.leave()
            raise
        return Answer(head.status, shown(head.headers), body)

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: _Headers = (),
        body: Body = b"",
        timeouts: Timeouts | None = None,
    ) -> Streamed:
        """The answer as it comes, for the length of an `async with` block."""
        return Streamed(self._wire, self._src, _request(method, url, headers, body), timeouts or NO_TIMEOUTS)


@lru_cache(maxsize=1024)
def _target(url: str) -> tuple[str, str, str, int, bytes, bytes]:
    """Scheme, network location, host, port, path and query of an absolute URL."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise RequestInvalid(f"not an absolute URL: {url}")
    rest, _, query = rest.partition("#")[0].partition("?")
    netloc, _, path = rest.partition("/")
    name, _, port = netloc.partition(":")
    number = int(port) if port else (443 if scheme == "https" else 80)
    return scheme, netloc, name, number, b"/" + path.encode("latin-1"), query.encode("latin-1")


@lru_cache(maxsize=4096)
def _raw(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")


def _request(method: str, url: str, headers: _Headers, body: Body) -> Request:
    scheme, netloc, name, port, path, query = _target(url)
    raw: RawHeaders = [_raw("host", netloc)]
    framed = False
    for pair in starmap(_raw, headers):
        if pair[0] == b"host":
            raw[0] = pair
            continue
        framed = framed or pair[0] in (b"content-length", b"transfer-encoding")
        raw.append(pair)
    if not framed:
        if not isinstance(body, bytes):
            raw.append((b"transfer-encoding", b"chunked"))
        elif body or method in _WITH_BODY:
            raw.append((b"content-length", b"%d" % len(body)))
    check(raw, body)
    return Request(
        method=method,
        scheme=scheme,
        host=name,
        port=port,
        path=path,
        query=query,
        headers=raw,
        body=body,
    )
