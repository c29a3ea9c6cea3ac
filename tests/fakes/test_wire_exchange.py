"""One call over the simulated network, when nothing goes wrong: what each end sees, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from fakes.time import Options, current_loop, run_virtual
from fakes.wire import (
    Answer,
    DirectClient,
    Fixed,
    Jitter,
    ReadFailed,
    Receive,
    RequestInvalid,
    Scope,
    Send,
    Wire,
)

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def answering(
    status: int = 200,
    body: bytes = b"ok",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    seen: list[Any] | None = None,
) -> App:
    """An app that reads the whole request, keeps its scope and body in `seen`, and answers at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        parts: list[bytes] = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        if seen is not None:
            seen.append((scope, b"".join(parts)))
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


def call(app: App, method: str = "GET", url: str = "http://a.test/", **given: Any) -> Answer:
    async def main() -> Answer:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        answer = await DirectClient(wire, "client").request(method, url, **given)
        assert wire.open_exchanges() == 0
        assert wire.app_errors == []
        return answer

    return run_virtual(main)


def test_a_starlette_app_answers() -> None:
    """An ordinary Starlette app, reached through the direct client."""

    async def echo(request: Request) -> JSONResponse:
        return JSONResponse(
            {"path": request.url.path, "q": request.query_params["q"], "body": await request.json()}
        )

    app = Starlette(routes=[Route("/x/{y}", echo, methods=["POST"])])
    answer = call(app, "POST", "http://a.test/x/y%20z?q=1", body=b'{"n": 1}')
    assert (answer.status, answer.body) == (200, b'{"path":"/x/y z","q":"1","body":{"n":1}}')
    assert answer.header("content-type") == "application/json"


def test_the_app_sees_what_an_http_client_sends() -> None:
    """Names in lower case, `host` first, the length set; the scope is uvicorn's."""
    seen: list[Any] = []
    call(answering(seen=seen), "POST", "http://a.test:81/p%2Fq?x=%20", headers=[("X-Y", "z")], body=b"abc")
    (scope, body) = seen[0]
    assert body == b"abc"
    assert scope["headers"] == [(b"host", b"a.test:81"), (b"x-y", b"z"), (b"content-length", b"3")]
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/p/q", b"/p%2Fq", b"x=%20")
    assert (scope["method"], scope["scheme"], scope["server"]) == ("POST", "http", ("a.test", 81))
    assert scope["extensions"] == {"fakes.wire": {}}


def test_a_path_in_utf_8_is_decoded_for_the_app() -> None:
    """The path of the scope is text, the raw path is as sent."""
    seen: list[Any] = []
    call(answering(seen=seen), url="http://a.test/%C3%A9")
    assert seen[0][0]["path"] == "/é"


@pytest.mark.parametrize(
    ("method", "length"), [("GET", None), ("DELETE", None), ("POST", b"0"), ("PUT", b"0")]
)
def test_an_empty_body_has_a_length_where_clients_send_one(method: str, length: bytes | None) -> None:
    """POST and PUT without a body say so; GET and DELETE say nothing."""
    seen: list[Any] = []
    call(answering(seen=seen), method)
    assert dict(seen[0][0]["headers"]).get(b"content-length") == length


def test_an_answer_without_a_length_is_chunked() -> None:
    """The server frames what the app left unframed, and lowers the names."""
    assert call(answering(headers=((b"X-A", b"1"),))).headers == (
        ("x-a", "1"),
        ("transfer-encoding", "chunked"),
    )
    assert call(answering(headers=((b"Content-Length", b"2"),))).headers == (("content-length", "2"),)


def test_head_has_headers_and_no_body() -> None:
    """The length is that of the body a GET would have had."""
    answer = call(answering(headers=((b"content-length", b"2"),)), "HEAD")
    assert (answer.status, answer.header("content-length"), answer.body) == (200, "2", b"")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_is_not_framed(status: int) -> None:
    """Neither a length nor chunks."""
    answer = call(answering(status, b""))
    assert (answer.status, answer.headers, answer.body) == (status, (), b"")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("x", "a\r\nb: c")], b""),
        ([("x", " padded")], b""),
        ([("a b", "c")], b""),
        ([("content-length", "7")], b"abc"),
    ],
)
def test_an_illegal_request_is_never_sent(headers: list[tuple[str, str]], body: bytes) -> None:
    """What h11 would refuse to send raises at the client, and the app is not touched."""
    seen: list[Any] = []
    with pytest.raises(RequestInvalid):
        call(answering(seen=seen), "POST", headers=headers, body=body)
    assert seen == []


def test_a_body_larger_than_the_buffer_arrives_whole() -> None:
    """It crosses in pieces, as the app reads."""
    seen: list[Any] = []
    body = bytes(range(256)) * 2_000
    call(answering(seen=seen), "POST", body=body)
    assert seen[0][1] == body


def test_each_message_takes_the_latency_of_its_link() -> None:
    """One way there, one way back; the app's own time between."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(current_loop().now_us)
        await answering()(scope, receive, send)

    reached: list[int] = []

    async def main() -> int:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", app)
        wire.link("client", "a.test").latency = Fixed(20_000)
        await DirectClient(wire, "client").request("GET", "http://a.test/")
        return loop.now_us

    assert run_virtual(main) == 40_000
    assert reached == [20_000]


def test_a_stream_arrives_as_it_is_sent() -> None:
    """Each chunk at its own time: nothing waits for the end of the answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def ticks() -> Any:
            for n in range(3):
                await asyncio.sleep(0.05)
                yield b"%d" % n

        await StreamingResponse(ticks())(scope, receive, send)

    async def main() -> list[tuple[int, bytes]]:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", app)
        wire.link("client", "a.test").latency = Fixed(10_000)
        async with DirectClient(wire, "client").stream("GET", "http://a.test/") as answer:
            arrived = [(loop.now_us, chunk) async for chunk in answer.chunks()]
        assert wire.open_exchanges() == 0
        return arrived

    assert run_virtual(main) == [(70_000, b"0"), (120_000, b"1"), (170_000, b"2")]


@pytest.mark.parametrize("schedule", ["fifo", "pick"])
def test_one_channel_never_reorders(schedule: Any) -> None:
    """However the latencies fall and whatever the scheduler picks, bytes arrive in the order sent."""
    sent = [b"%04d" % n for n in range(200)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in sent:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0.001)
        await send({"type": "http.response.body", "body": b"end"})

    async def main() -> bytes:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        wire.link("client", "a.test").latency = Jitter(0, 30_000)
        return (await DirectClient(wire, "client").request("GET", "http://a.test/")).body

    for seed in range(5):
        assert run_virtual(main, seed=seed, options=Options(schedule=schedule)) == b"".join(sent) + b"end"


def test_what_is_due_at_one_instant_arrives_together() -> None:
    """Three chunks sent at once are one read, as on a socket."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"a", b"b", b"c"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def main() -> list[bytes]:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        wire.link("client", "a.test").latency = Fixed(5_000)
        async with DirectClient(wire, "client").stream("GET", "http://a.test/") as answer:
            return [chunk async for chunk in answer.chunks()]

    assert run_virtual(main) == [b"abc"]


def test_the_latency_of_a_message_depends_on_nothing_else() -> None:
    """Another client's traffic on another link moves no draw of this one."""

    def times(others: int) -> list[int]:
        async def main() -> list[int]:
            loop = current_loop()
            wire = Wire(loop)
            wire.attach("a.test", answering())
            for name in ("client", "other"):
                wire.link(name, "a.test").latency = Jitter(1_000, 90_000)
            taken: list[int] = []
            for _ in range(5):
                for _ in range(others):
                    await DirectClient(wire, "other").request("GET", "http://a.test/")
                began = loop.now_us
                await DirectClient(wire, "client").request("GET", "http://a.test/")
                taken.append(loop.now_us - began)
            return taken

        return run_virtual(main, seed=3)

    assert times(0) == times(4)
    assert len(set(times(0))) > 1


def test_the_lifespan_state_reaches_the_requests() -> None:
    """What the app's lifespan set up is in each scope, as a copy of its own."""
    seen: list[Any] = []

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", answering(seen=seen), state={"pool": "here"})
        await DirectClient(wire, "client").request("GET", "http://a.test/")

    run_virtual(main)
    assert seen[0][0]["state"] == {"pool": "here"}


def test_a_given_host_header_is_the_one_that_is_sent() -> None:
    """As with any HTTP client, it takes the place of the URL's."""
    seen: list[Any] = []
    call(answering(seen=seen), headers=[("Host", "other.test")])
    assert seen[0][0]["headers"] == [(b"host", b"other.test")]


@pytest.mark.parametrize("url", ["/only/a/path", "a.test/"])
def test_a_url_has_a_scheme_and_a_host(url: str) -> None:
    """Anything else is the caller's mistake."""
    with pytest.raises(RequestInvalid, match="absolute"):
        call(answering(), url=url)


def test_a_url_may_end_at_its_host() -> None:
    """The path is then `/`; a fragment never leaves the client."""
    seen: list[Any] = []
    call(answering(seen=seen), url="http://a.test?q=1#there")
    assert (seen[0][0]["raw_path"], seen[0][0]["query_string"]) == (b"/", b"q=1")


def test_an_answer_says_what_headers_it_has_not() -> None:
    """None for a header that did not come."""
    assert call(answering()).header("x-none") is None


def test_a_body_of_another_type_of_bytes_is_sent_as_bytes() -> None:
    """Starlette hands memory views through."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"transfer-encoding", b"chunked")]}
        )
        await send({"type": "http.response.body", "body": memoryview(b"abc")})

    assert call(app).body == b"abc"


def test_a_stream_that_was_left_cannot_be_read_on() -> None:
    """It says so, where silence would look like the end of the body. After the end there is nothing more."""

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", answering())
        async with DirectClient(wire, "client").stream("GET", "http://a.test/") as left:
            pass
        with pytest.raises(ReadFailed, match="left"):
            await anext(left.chunks())
        async with DirectClient(wire, "client").stream("GET", "http://a.test/") as read:
            assert [chunk async for chunk in read.chunks()] == [b"ok"]
            assert [chunk async for chunk in read.chunks()] == []

    run_virtual(main)


def test_what_is_sent_at_one_instant_arrives_at_one_instant() -> None:
    """Head, body and end of an answer that is written at once are one message on the line."""

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", answering(body=b"whole"))
        wire.link("client", "a.test").latency = Jitter(1_000, 900_000)
        for _ in range(20):
            async with DirectClient(wire, "client").stream("GET", "http://a.test/") as answer:
                came_us = loop.now_us
                chunks = [chunk async for chunk in answer.chunks()]
            assert (chunks, loop.now_us) == ([b"whole"], came_us)

    run_virtual(main)
