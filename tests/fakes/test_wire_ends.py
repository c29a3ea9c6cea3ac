"""How an exchange ends when one side does not play it to the end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fakes.time import current_loop, run_virtual
from fakes.wire import (
    Answer,
    ConnectFailed,
    DirectClient,
    Fixed,
    LinkFault,
    Note,
    ProtocolBroken,
    ReadFailed,
    Receive,
    Refuse,
    Scope,
    Send,
    Wire,
    WireError,
)

URL = "http://a.test/"
App = Callable[[Scope, Receive, Send], Awaitable[None]]
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
FIVE: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}


def body(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sending(*messages: dict[str, Any], then: Exception | None = None) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if then is not None:
            raise then

    return app


def ended(app: App, *, method: str = "GET") -> tuple[Answer | WireError, bytes, list[str]]:
    """What the client got, the body it read before any error, and the errors of the app."""

    async def main() -> tuple[Answer | WireError, bytes, list[str]]:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        read = b""
        got: Answer | WireError
        try:
            async with DirectClient(wire, "client").stream(method, URL) as answer:
                async for chunk in answer.chunks():
                    read += chunk
                got = Answer(answer.status, answer.headers, read)
        except WireError as error:
            got = error
        await asyncio.sleep(1)
        assert wire.open_exchanges() == 0
        return got, read, [str(failed.error) for failed in wire.app_errors]

    return run_virtual(main)


def test_an_app_that_raises_before_answering_is_a_500() -> None:
    """As uvicorn says it, and on record."""
    got, read, errors = ended(sending(then=ValueError("boom")))
    assert isinstance(got, Answer)
    assert (got.status, read, errors) == (500, b"Internal Server Error", ["boom"])
    assert got.header("connection") == "close"


def test_an_app_that_raises_while_answering_cuts_the_connection() -> None:
    """What it sent arrives; the end does not."""
    got, read, errors = ended(sending(START, body(b"abc"), then=ValueError("boom")))
    assert isinstance(got, ProtocolBroken)
    assert (read, errors) == (b"abc", ["boom"])


def test_an_app_that_raises_after_answering_harms_nobody() -> None:
    """The client has its whole answer; the error is on record."""
    got, read, errors = ended(sending(START, body(b"abc", more=False), then=ValueError("boom")))
    assert isinstance(got, Answer)
    assert (read, errors) == (b"abc", ["boom"])


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ((START, body(b"abc")), "ASGI callable returned without completing response."),
        ((FIVE, body(b"abc", more=False)), "Response content shorter than Content-Length"),
        ((FIVE, body(b"abcdef", more=False)), "Response content longer than Content-Length"),
        ((START, START), "Expected ASGI message 'http.response.body', but got 'http.response.start'."),
        (({**START, "headers": [(b"x", b"a\r\nb: c")]},), "illegal header b'x'"),
    ],
)
def test_an_answer_that_is_not_what_it_declared_is_broken(messages: Any, why: str) -> None:
    """The client sees a broken protocol, the app's error says why."""
    got, _, errors = ended(sending(*messages))
    assert isinstance(got, ProtocolBroken)
    assert errors == [why]


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ((), "ASGI callable returned without starting response."),
        ((body(b"abc"),), "Expected ASGI message 'http.response.start', but got 'http.response.body'."),
        (({**START, "status": 103},), "a final answer cannot have status 103"),
        (
            ({"type": "http.response.push"},),
            "Expected ASGI message 'http.response.start', but got 'http.response.push'.",
        ),
    ],
)
def test_an_answer_that_never_began_is_a_500(messages: Any, why: str) -> None:
    """A return without an answer, a body without a head."""
    got, _, errors = ended(sending(*messages))
    assert isinstance(got, Answer)
    assert (got.status, errors) == (500, [why])


def test_an_app_that_sends_on_after_its_answer_is_told() -> None:
    """The client keeps its answer."""
    got, _, errors = ended(sending(START, body(b"", more=False), body(b"more")))
    assert isinstance(got, Answer)
    assert errors == ["Unexpected ASGI message 'http.response.body' sent, after response already completed."]


def test_an_app_that_returns_something_is_told() -> None:
    """ASGI apps return None."""

    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await send(START)
        await send(body(b"", more=False))
        return 7

    assert ended(app)[2] == ["ASGI callable should return None, but returned '7'."]


@pytest.mark.parametrize(
    ("messages", "error", "passed"),
    [
        (({"type": "fakes.wire.reset"},), ReadFailed, b""),
        ((START, {"type": "fakes.wire.reset"}), ReadFailed, b""),
        ((START, body(b"abc"), {"type": "fakes.wire.reset"}), ReadFailed, b"abc"),
        (({"type": "fakes.wire.close"},), ProtocolBroken, b""),
        ((START, body(b"abc"), {"type": "fakes.wire.close"}), ProtocolBroken, b"abc"),
        (({"type": "fakes.wire.raw", "data": b"SSH-2.0"},), ProtocolBroken, b""),
        ((START, body(b"abc"), {"type": "fakes.wire.raw", "data": b"\x00\xff"}), ProtocolBroken, b"abc"),
    ],
)
def test_a_fake_may_misbehave_by_the_extension(messages: Any, error: type[WireError], passed: bytes) -> None:
    """Reset, clean close, garbage: what was sent before arrives first, and the app has done no wrong."""
    got, read, errors = ended(sending(*messages, body(b"into the void")))
    assert isinstance(got, error)
    assert (read, errors) == (passed, [])


def test_a_client_that_leaves_is_told_to_the_app() -> None:
    """After the latency of the link the app hears of it, and its further sends do nothing."""
    told: list[tuple[int, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        message = await receive()
        told.append((current_loop().now_us, message["type"]))
        await send(START)
        await send(body(b"unheard", more=False))

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        wire.link("client", "a.test").latency = Fixed(10_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await DirectClient(wire, "client").request("GET", URL)
        assert wire.open_exchanges() == 1
        await asyncio.sleep(0.1)
        assert (wire.open_exchanges(), wire.app_errors) == (0, [])

    run_virtual(main)
    assert told == [(310_000, "http.disconnect")]


def test_an_app_that_works_on_holds_only_its_own_end() -> None:
    """A client that left is done with the exchange, though its server is not."""

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", working)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await DirectClient(wire, "client").request("GET", URL)
        await asyncio.sleep(1)
        assert wire.open_exchanges() == 1
        assert wire.held_by(src="client", dst="client.test") == 0
        assert wire.held_by(src="a", dst="a.test") == 1
        await asyncio.sleep(60)
        assert wire.held_by(src="a", dst="a.test") == 0

    async def working(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(30)

    run_virtual(main)


def test_leaving_the_block_is_leaving_the_stream() -> None:
    """Starlette stops a stream whose client has gone; its generator is closed."""
    closed: list[int] = []

    async def endless(request: Request) -> Response:
        async def ticks() -> Any:
            try:
                while True:
                    yield b"tick"
                    await asyncio.sleep(1)
            finally:
                closed.append(current_loop().now_us)

        return StreamingResponse(ticks())

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", Starlette(routes=[Route("/", endless)]))
        async with DirectClient(wire, "client").stream("GET", URL) as answer:
            async for _ in answer.chunks():
                break
        await asyncio.sleep(10)
        assert (wire.open_exchanges(), wire.app_errors) == (0, [])

    run_virtual(main)
    assert closed == [0]


def test_a_client_that_leaves_in_the_middle_of_its_upload() -> None:
    """The app has what was sent, then a disconnect: never a body that looks whole."""
    told: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            message = await receive()
            told.append((message["type"], message.get("body"), message.get("more_body")))

    async def upload() -> Any:
        yield b"abc"
        await asyncio.sleep(1)
        raise OSError("the disk went away")

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        with pytest.raises(OSError, match="disk"):
            await DirectClient(wire, "client").request("POST", URL, body=upload())
        await asyncio.sleep(1)

    run_virtual(main)
    assert ("http.request", b"abc", True) in told
    assert told[-1] == ("http.disconnect", None, None)
    assert not any(more is False for _, _, more in told)


def test_a_cancelled_app_cuts_its_client_off() -> None:
    """Whoever cancels a server's task closes the connection with it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(1000)

    tasks: list[Any] = []

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        current_loop().call_later(1, lambda: tasks[0].cancel())
        with pytest.raises(ProtocolBroken):
            await DirectClient(wire, "client").request("GET", URL)

    run_virtual(main)


def test_a_power_cut_of_the_server_resets_its_clients() -> None:
    """What it sent arrives, then a reset; nobody listens in its place until something does again."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(START)
            await send(body(b"abc"))
            await asyncio.sleep(1000)
        finally:
            after.append("a dead process runs no finally")

    after: list[str] = []

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        owner = loop.owner("server")
        wire.attach("a.test", app, owner=owner)
        wire.link("client", "a.test").latency = Fixed(10_000)
        client = DirectClient(wire, "client")
        loop.call_later(1, loop.cut, owner)
        read = b""
        with pytest.raises(ReadFailed):
            async with client.stream("GET", URL) as answer:
                async for chunk in answer.chunks():
                    read += chunk
        assert (read, loop.now_us, wire.open_exchanges(), after) == (b"abc", 1_010_000, 0, [])
        with pytest.raises(ConnectFailed):
            await client.request("GET", URL)
        wire.attach("a.test", sending(START, body(b"back", more=False)), owner=loop.owner("server"))
        assert (await client.request("GET", URL)).body == b"back"
        assert (wire.escapes, wire.app_errors) == ([], [])

    run_virtual(main)


def test_a_dead_process_fails_at_nothing() -> None:
    """What its coroutines do when they are closed, after the run, is no failure of the app."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:  # Leaving it awaits, which a closed coroutine may not.
            group.create_task(asyncio.sleep(1000))
            await asyncio.sleep(1000)

    wires: list[Wire] = []

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wires.append(wire)
        owner = loop.owner("server")
        wire.attach("a.test", app, owner=owner)
        loop.call_later(1, loop.cut, owner)
        with pytest.raises(ReadFailed):
            await DirectClient(wire, "client").request("GET", URL)

    run_virtual(main)
    assert wires[0].app_errors == []


def test_a_power_cut_meets_a_request_on_its_way() -> None:
    """The request that was flying arrives nowhere; its client sees a reset."""

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        owner = loop.owner("server")
        wire.attach("a.test", sending(START), owner=owner)
        wire.link("client", "a.test").latency = Fixed(50_000)
        loop.call_later(0.02, loop.cut, owner)
        with pytest.raises(ReadFailed):
            await DirectClient(wire, "client").request("GET", URL)
        assert (loop.now_us, wire.open_exchanges(), wire.app_errors) == (70_000, 0, [])

    run_virtual(main)


def test_a_power_cut_of_the_client_is_told_to_the_server() -> None:
    """Its connections are given back, in the queue too, and the app hears a disconnect."""
    told: list[tuple[int, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        message = await receive()
        told.append((current_loop().now_us, message["type"]))

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", app)
        link = wire.link("gateway-0", "a.test")
        link.connections_max = 1
        owner = loop.owner("gateway-0")
        for n in range(3):
            loop.spawn(owner, DirectClient(wire, "gateway-0").request("GET", URL), name=f"call {n}")
        await asyncio.sleep(1)
        assert (link.counts().open, link.counts().waiting) == (1, 2)
        loop.cut(owner)
        await asyncio.sleep(1)
        assert (link.counts().open, link.counts().waiting, wire.open_exchanges()) == (0, 0, 0)

    run_virtual(main)
    assert told == [(1_000_000, "http.disconnect")]


def test_a_stopped_host_refuses_new_calls_and_finishes_old_ones() -> None:
    """Detaching is how a graceful stop begins; `serving` says when it may go on."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(1)
        await sending(START, body(b"late", more=False))(scope, receive, send)

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", slow)
        client = DirectClient(wire, "client")
        under_way = asyncio.create_task(client.request("GET", URL))
        await asyncio.sleep(0.5)
        wire.detach("a.test")
        assert wire.serving("a.test") == 1
        with pytest.raises(ConnectFailed):
            await client.request("GET", URL)
        assert (await under_way).body == b"late"
        assert (wire.serving("a.test"), wire.escapes) == (0, [])

    run_virtual(main)


def test_a_host_outside_the_world_is_an_escape() -> None:
    """The client sees what it would see without a network; the record says who asked for what."""

    async def main() -> None:
        wire = Wire(current_loop())
        with pytest.raises(ConnectFailed, match="not in the world"):
            await DirectClient(wire, "gateway-0").request("POST", "https://api.example.com/v1/x?key=1")
        (escape,) = wire.escapes
        assert (escape.src, escape.host, escape.method, escape.path) == (
            "gateway-0",
            "api.example.com",
            "POST",
            "/v1/x",
        )
        assert wire.open_exchanges() == 0

    run_virtual(main)


def test_what_the_wire_notes_is_heard_at_once() -> None:
    """A listener hears of escapes, app errors and played faults, each when it happens."""
    heard: list[Note] = []

    async def main() -> None:
        wire = Wire(current_loop())
        wire.listeners.append(heard.append)
        wire.attach("a.test", sending(then=ValueError("boom")))
        client = DirectClient(wire, "client")
        with pytest.raises(ConnectFailed):
            await client.request("GET", "http://b.test/")
        await client.request("GET", URL)
        wire.link("client", "a.test").add_fault(LinkFault(Refuse()))
        with pytest.raises(ConnectFailed):
            await client.request("GET", URL)
        assert heard == [*wire.escapes, *wire.app_errors, *wire.faults_played]

    run_virtual(main)
    assert [type(note).__name__ for note in heard] == ["Escape", "AppError", "FaultPlayed"]
