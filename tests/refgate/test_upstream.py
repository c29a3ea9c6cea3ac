"""One request over the transport seam: an answer or a failure that says whether anybody may have heard it."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest
import respx

from fakes.time import run_virtual
from refgate.answer import Answer
from refgate.upstream import Failure, FailureKind, Outgoing, Phases, Stream, Upstream

S = 1_000_000
PHASES = Phases(connect_us=5 * S, read_us=30 * S, write_us=20 * S, pool_us=4 * S, total_us=60 * S)
URL = "http://rh.test/v1/x?a=1"
OUT = Outgoing("POST", URL, (("content-type", "application/json"), ("authorization", "Bearer canary")), b"{}")


def ask(
    handler: Callable[[httpx.Request], Any], *, body_max: int = 1000, out: Outgoing = OUT
) -> Answer | Failure:
    """One `ask` against a handler in place of the network, in virtual time."""
    upstream = Upstream(httpx.MockTransport(handler))
    return run_virtual(lambda: upstream.ask(out, phases=PHASES, body_max=body_max))


def test_what_goes_out_is_what_was_given() -> None:
    """Nothing is added but the host and the length, and nothing is encoded anew."""
    router = respx.Router(assert_all_mocked=True)
    route = router.post(URL).respond(201, json={"ok": True}, headers={"X-Two": "a"})
    answer = ask(router.async_handler)
    assert answer == Answer(
        201, (("x-two", "a"), ("content-length", "11"), ("content-type", "application/json")), b'{"ok":true}'
    )
    sent = route.calls.last.request
    assert [(name.lower(), value) for name, value in sent.headers.raw] == [
        (b"host", b"rh.test"),
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer canary"),
        (b"content-length", b"2"),
    ]
    assert sent.url.raw_path == b"/v1/x?a=1" and sent.content == b"{}"
    assert sent.extensions["timeout"] == {"connect": 5.0, "read": 30.0, "write": 20.0, "pool": 4.0}


def test_a_path_goes_out_as_it_is_written() -> None:
    """The canonical form of a path is not re-encoded on its way."""
    router = respx.Router()
    route = router.get(host="rh.test").respond(200)
    ask(
        router.async_handler,
        out=Outgoing("GET", "http://rh.test/a%20b/%E2%82%AC/x;y=1:z@w/%3F?q=%2F%20+&r=~"),
    )
    assert route.calls.last.request.url.raw_path == b"/a%20b/%E2%82%AC/x;y=1:z@w/%3F?q=%2F%20+&r=~"


@pytest.mark.parametrize(
    ("error", "kind", "ambiguous"),
    [
        (httpx.ConnectError("canary"), FailureKind.CONNECT, False),
        (httpx.ConnectTimeout("canary"), FailureKind.CONNECT_TIMEOUT, False),
        (httpx.PoolTimeout("canary"), FailureKind.POOL_TIMEOUT, False),
        (httpx.UnsupportedProtocol("canary"), FailureKind.CONNECT, False),
        (httpx.WriteTimeout("canary"), FailureKind.WRITE_TIMEOUT, True),
        (httpx.WriteError("canary"), FailureKind.WRITE, True),
        (httpx.ReadTimeout("canary"), FailureKind.READ_TIMEOUT, True),
        (httpx.ReadError("canary"), FailureKind.READ, True),
        (httpx.CloseError("canary"), FailureKind.READ, True),
        (httpx.RemoteProtocolError("canary"), FailureKind.PROTOCOL, True),
        (httpx.LocalProtocolError("canary"), FailureKind.PROTOCOL, True),
        (httpx.ProxyError("canary"), FailureKind.PROTOCOL, True),
        (httpx.DecodingError("canary"), FailureKind.PROTOCOL, True),
        (OSError("canary"), FailureKind.READ, True),
    ],
)
def test_only_what_ended_before_a_connection_stood_was_surely_not_heard(
    error: Exception, kind: FailureKind, ambiguous: bool
) -> None:
    """The difference between "free" and "nobody knows"; and no word of the library's gets out."""
    router = respx.Router()
    router.post(URL).mock(side_effect=error)
    failure = ask(router.async_handler)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.ambiguous, failure.status) == (kind, ambiguous, None)
    assert "canary" not in f"{failure!r} {failure}"


def test_every_kind_of_transport_error_is_a_failure() -> None:
    """A class that httpx may add is doubt, until somebody has thought about it."""

    def leaves(of: type[Exception]) -> list[type[Exception]]:
        below = of.__subclasses__()
        return [of] if not below else [leaf for one in below for leaf in leaves(one)]

    for kind in leaves(httpx.TransportError):
        router = respx.Router()
        router.post(URL).mock(side_effect=kind("x"))
        failure = ask(router.async_handler)
        assert isinstance(failure, Failure)
        heard_nothing = kind in (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.UnsupportedProtocol,
        )
        assert failure.ambiguous is not heard_nothing, kind


def test_a_bug_is_not_taken_for_a_failure() -> None:
    """What no network does is not hidden: the attempt stays on record as unfinished."""

    def broken(_: httpx.Request) -> httpx.Response:
        raise KeyError("x")

    with pytest.raises(KeyError):
        ask(broken)


class Body(httpx.AsyncByteStream):
    """A body in pieces; a number is a pause in seconds, an exception is raised."""

    def __init__(self, *pieces: bytes | float | Exception) -> None:
        self.pieces = pieces
        self.read = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                await asyncio.sleep(piece)

    async def aclose(self) -> None:
        self.closed = True


def answering(body: Body, status: int = 200, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(
        status, headers={name.replace("_", "-"): value for name, value in headers.items()}, stream=body
    )


def test_a_body_that_breaks_is_a_failure_with_its_status() -> None:
    """The head of an answer is proof that the request went out: even a connect error is doubt then."""
    for error, kind in (
        (httpx.ReadError("x"), FailureKind.READ),
        (httpx.RemoteProtocolError("x"), FailureKind.PROTOCOL),
        (httpx.ConnectTimeout("x"), FailureKind.READ),
    ):
        body = Body(b"half", error)
        failure = ask(answering(body))
        assert failure == Failure(kind, 200) and failure.ambiguous
        assert body.closed


def test_a_body_beyond_the_limit_is_not_read_on() -> None:
    """One byte more than allowed is too large, and the rest is left where it is."""
    body = Body(b"x" * 600, b"x" * 401, b"never")
    assert ask(answering(body)) == Failure(FailureKind.TOO_LARGE, 200)
    assert body.read == 2 and body.closed
    exact = ask(answering(Body(b"x" * 600, b"x" * 400)))
    assert isinstance(exact, Answer) and len(exact.body) == 1000


def test_the_limit_counts_what_is_unpacked() -> None:
    """A small body that unpacks to a huge one is a huge one."""
    packed = gzip.compress(b"\0" * 1_000_000, mtime=0)
    assert ask(answering(Body(packed), content_encoding="gzip")) == Failure(FailureKind.TOO_LARGE, 200)


def test_no_more_is_unpacked_than_is_looked_at() -> None:
    """A body that would fill the memory costs what its first pieces cost."""
    packed = gzip.compress(b"\0" * 100_000_000, mtime=0)
    tracemalloc.start()
    try:
        assert ask(answering(Body(packed), content_encoding="gzip")) == Failure(FailureKind.TOO_LARGE, 200)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(b"plain", mtime=0)),
        ("deflate", zlib.compress(b"plain")),
        ("deflate", zlib.compress(b"plain", wbits=-zlib.MAX_WBITS)),
        ("identity", b"plain"),
    ],
)
def test_an_encoded_answer_is_decoded(encoding: str, data: bytes) -> None:
    """A provider that packs although it was asked not to is understood."""
    answer = ask(answering(Body(data), content_encoding=encoding))
    assert isinstance(answer, Answer) and answer.body == b"plain"


def test_a_long_packed_answer_comes_whole() -> None:
    """However the pieces fall, and however much more it is unpacked."""
    plain = bytes(range(256)) * 3 + b"\0" * 300
    packed = gzip.compress(plain[:900], mtime=0)
    body = Body(*[packed[at : at + 1] for at in range(len(packed))])
    answer = ask(answering(body, content_encoding="GZIP"))
    assert isinstance(answer, Answer) and answer.body == plain[:900]


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"cut", mtime=0)[:-9]),
        ("gzip, gzip", gzip.compress(gzip.compress(b"twice", mtime=0), mtime=0)),
        ("br", b"\x01"),
        ("gzip, zstd", b"x"),
    ],
)
def test_an_encoding_that_cannot_be_taken_off_is_no_answer(encoding: str, data: bytes) -> None:
    """Bytes that nobody here can read are not handed on as if they were plain."""
    assert ask(answering(Body(data), content_encoding=encoding)) == Failure(FailureKind.PROTOCOL, 200)


@pytest.mark.parametrize("status", [101, 199, 600, 999])
def test_a_status_that_is_none_is_no_answer(status: int) -> None:
    """Nobody could be told of it, nor what it means: the other side may have acted."""
    body = Body(b"{}")

    async def odd(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=body)

    assert ask(odd) == Failure(FailureKind.PROTOCOL) and body.closed


def test_the_deadline_covers_head_and_body() -> None:
    """However it trickles, an exchange ends when its time is over."""

    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(61)
        raise AssertionError("not reached")

    assert ask(slow) == Failure(FailureKind.DEADLINE)
    body = Body(*[piece for _ in range(10) for piece in (b"x", 7.0)])
    assert ask(answering(body)) == Failure(FailureKind.DEADLINE, 200)
    assert body.closed and FailureKind.DEADLINE in {kind for kind in FailureKind if Failure(kind).timed_out}


def test_redirects_and_cookies_are_the_callers_business() -> None:
    """One request, one answer; what an answer sets is not sent with the next."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers=[("location", "http://evil.test/"), ("set-cookie", "a=b; Path=/")])

    upstream = Upstream(httpx.MockTransport(handler))

    async def twice() -> None:
        for _ in range(2):
            answer = await upstream.ask(OUT, phases=PHASES, body_max=10)
            assert isinstance(answer, Answer) and answer.status == 302

    run_virtual(twice)
    assert [str(request.url) for request in seen] == [URL, URL]
    assert not any("cookie" in request.headers for request in seen)


def stream(
    handler: Callable[[httpx.Request], Any], use: Callable[[Stream | Failure], Coroutine[Any, Any, Any]]
) -> Any:
    upstream = Upstream(httpx.MockTransport(handler))

    async def main() -> Any:
        async with upstream.stream(OUT, phases=PHASES) as streamed:
            return await use(streamed)

    return run_virtual(main)


async def drained(streamed: Stream | Failure) -> tuple[list[bytes], Failure | None]:
    assert isinstance(streamed, Stream)
    return [chunk async for chunk in streamed.chunks()], streamed.failure


def test_a_stream_hands_pieces_on_as_they_come() -> None:
    """A body is not collected first, and is closed at its end."""
    body = Body(b"one", 5.0, b"two")
    assert stream(answering(body), drained) == ([b"one", b"two"], None)
    assert body.closed


def test_a_stream_that_breaks_says_so() -> None:
    """What came is given, and then that it is not all."""
    body = Body(b"one", httpx.ReadError("canary"))
    assert stream(answering(body), drained) == ([b"one"], Failure(FailureKind.READ, 200))


def test_a_stream_that_is_left_is_closed() -> None:
    """Whoever stops reading does not leave a connection behind."""
    body = Body(b"one", b"two")

    async def first_only(streamed: Stream | Failure) -> bytes:
        assert isinstance(streamed, Stream)
        chunks = streamed.chunks()
        first = await anext(chunks)
        await chunks.aclose()
        return first

    assert stream(answering(body), first_only) == b"one"
    assert body.closed and body.read == 1


def test_a_stream_that_never_began_is_a_failure() -> None:
    """The same failures as for a whole answer, given instead of a stream."""

    async def given(streamed: Stream | Failure) -> Stream | Failure:
        return streamed

    def refused(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("canary")

    async def silent(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    assert stream(refused, given) == Failure(FailureKind.CONNECT)
    assert stream(silent, given) == Failure(FailureKind.DEADLINE)
