"""The fakes' server on a real port, as ordinary clients and raw sockets see it."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fakes import server as server_module
from fakes.server import Served, serve
from fakes.wire import Receive, Scope, Send

pytestmark = pytest.mark.asyncio

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


async def raw(served: Served, data: bytes) -> bytes:
    """Everything the server says to these bytes, until it closes; a reset ends it as `!`."""
    reader, writer = await asyncio.open_connection(served.host, served.port)
    got = b""
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            while piece := await reader.read(65_536):
                got += piece
    except ConnectionResetError:
        got += b"!"
    finally:
        writer.close()
    return got


async def echo(request: Request) -> Response:
    return JSONResponse({"path": request.url.path, "bytes": len(await request.body())})


async def test_one_connection_serves_many_requests() -> None:
    """Keep-alive, with bodies, without, HEAD and 204, on one and the same connection."""

    async def empty(request: Request) -> Response:
        return Response(status_code=204)

    app = Starlette(routes=[Route("/e", empty), Route("/{p}", echo, methods=["GET", "POST"])])
    async with serve(app) as served, httpx.AsyncClient(base_url=served.url, verify=False) as client:
        peers = set()
        for n in range(3):
            answer = await client.post("/%C3%A9", content=bytes(n * 100_000))
            assert answer.json() == {"path": "/é", "bytes": n * 100_000}
            peers.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
        head = await client.head("/x")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "23")
        assert (await client.get("/e")).status_code == 204
        assert len(peers) == 1
        assert served.app_errors == []


async def test_a_stream_arrives_as_it_is_sent() -> None:
    """A chunk is on the wire before the next is made."""
    gate = asyncio.Event()

    async def stream(request: Request) -> Response:
        async def chunks() -> Any:
            yield b"one"
            await gate.wait()
            yield b"two"

        return StreamingResponse(chunks())

    async with (
        serve(Starlette(routes=[Route("/", stream)])) as served,
        httpx.AsyncClient(verify=False) as client,
        client.stream("GET", served.url) as answer,
    ):
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"one"
        gate.set()
        assert await anext(pieces) == b"two"


async def test_an_app_that_raises_is_a_500_and_on_record() -> None:
    """The connection then ends, as the header says."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("boom")

    async with serve(app) as served:
        got = await raw(served, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 500 ")
        assert b"\r\nInternal Server Error\r\n" in got
        assert [str(error) for error in served.app_errors] == ["boom"]


async def test_a_body_beyond_the_ceiling_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """413, and no more of it is read."""
    monkeypatch.setattr(server_module, "BODY_MAX", 1_000)
    async with serve(Starlette(routes=[Route("/", echo, methods=["POST"])])) as served:
        got = await raw(served, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n" + bytes(1_500))
        assert got.startswith(b"HTTP/1.1 413 ")


async def test_what_is_no_http_is_refused() -> None:
    """400, and the app is not called."""
    async with serve(Starlette()) as served:
        assert (await raw(served, b"SSH-2.0-x\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_waits_to_be_asked_is_asked() -> None:
    """`Expect: 100-continue` gets its answer when the app reads."""
    async with serve(Starlette(routes=[Route("/", echo, methods=["POST"])])) as served:
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"abc")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("half", [True, False])
async def test_a_client_that_leaves_is_told_to_the_app(half: bool) -> None:
    """Wholly, or only its sending half: uvicorn makes no difference, and neither does this."""
    told: asyncio.Queue[str] = asyncio.Queue(maxsize=9)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            await told.put((await receive())["type"])
        await send(START)

    async with serve(app) as served:
        _, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await told.get() == "http.request"
        if half:
            writer.write_eof()
        else:
            writer.close()
        assert await told.get() == "http.disconnect"
        writer.close()
    assert served.app_errors == []


async def test_an_app_cannot_run_ahead_of_its_client_without_end() -> None:
    """`send` waits while the client does not read, and ends with the client."""
    sent = 0
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(START)
        for _ in range(2_000):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            sent += 1
        done.set()

    async with serve(app) as served:
        _, writer = await asyncio.open_connection(served.host, served.port, limit=1_000)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.sleep(0.2)
        held_at = sent
        await asyncio.sleep(0.1)
        assert held_at == sent < 2_000
        writer.close()
        async with asyncio.timeout(5):
            await done.wait()


async def test_the_end_of_the_block_cuts_what_still_runs() -> None:
    """A client that waits for ever sees the connection end, and no task is left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(1_000)

    before = asyncio.all_tasks()
    async with serve(app) as served:
        waiting = asyncio.create_task(raw(served, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
        await asyncio.sleep(0.05)
    assert await waiting == b""
    assert asyncio.all_tasks() == before


async def test_the_end_of_the_block_cuts_work_whose_client_has_left() -> None:
    """An app may work on for nobody; not beyond its server."""
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.sleep(1_000)

    before = asyncio.all_tasks()
    async with serve(app) as served:
        _, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await begun.wait()
        writer.transport.abort()
        await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_what_a_client_sends_ahead_is_not_hoarded() -> None:
    """While a request is being answered, the ones behind it wait in the kernel and not here."""
    answering = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answering.set()
        await asyncio.sleep(1_000)

    async with serve(app) as served:
        _, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await answering.wait()
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(bytes(64 * 1024 * 1024))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await writer.drain()
        writer.transport.abort()


async def test_a_client_that_reads_nothing_gets_no_answer_after_answer() -> None:
    """Requests sent ahead by a client that does not read are not answered into memory."""
    begun = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await send(START)
        await send({"type": "http.response.body", "body": bytes(8 * 1024 * 1024)})

    async with serve(app) as served:
        _, writer = await asyncio.open_connection(served.host, served.port, limit=1_000)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 50)
        await asyncio.sleep(0.3)
        assert begun <= 3
        writer.transport.abort()


async def test_a_later_request_that_is_no_http_is_refused_too() -> None:
    """400, after the good answer on the same connection."""
    async with serve(Starlette(routes=[Route("/", echo, methods=["POST"])])) as served:
        good = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx"
        got = await raw(served, good + b"SSH-2.0-x\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 400 " in got


async def test_an_address_of_the_new_kind_makes_a_url() -> None:
    """Its colons stand in brackets."""
    assert Served("::1", 80).url == "http://[::1]:80"


async def test_the_errors_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that always fails does not fill the memory."""
    monkeypatch.setattr(server_module, "KEPT_MAX", 2)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("boom")

    async with serve(app) as served:
        for _ in range(3):
            await raw(served, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert len(served.app_errors) == 2
