"""What a raw socket sees of each misdeed is what it declares; and both wires show a client the same.

The same apps run on the in-memory wire, on the fakes' server, and, where they only break ASGI's own
rules, on an unmodified uvicorn: so the simulation is checked against what it stands for.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from fakes.server import serve
from fakes.time import current_loop, run_virtual
from fakes.wire import HttpxTransport, Receive, Scope, Send, Wire

App = Callable[[Scope, Receive, Send], Awaitable[None]]

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
FIVE: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
RESET: dict[str, Any] = {"type": "fakes.wire.reset"}
CLOSE: dict[str, Any] = {"type": "fakes.wire.close"}
RAW: dict[str, Any] = {"type": "fakes.wire.raw", "data": b"\x00garbage"}


def body(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sending(*messages: dict[str, Any], then: Exception | None = None) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if then is not None:
            raise then

    return app


HEAD_CHUNKED = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("messages", "seen", "ending"),
    [
        ((RESET,), b"", "reset"),
        ((START, RESET), HEAD_CHUNKED, "reset"),
        ((START, body(b"abc"), RESET), HEAD_CHUNKED + b"3\r\nabc\r\n", "reset"),
        (
            (START, body(b"x" * 300_000), RESET),
            HEAD_CHUNKED + b"493e0\r\n" + b"x" * 300_000 + b"\r\n",
            "reset",
        ),
        ((CLOSE,), b"", "end"),
        ((START, body(b"abc"), CLOSE), HEAD_CHUNKED + b"3\r\nabc\r\n", "end"),
        ((FIVE, body(b"abc"), CLOSE), b"HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\nabc", "end"),
        ((RAW,), b"\x00garbage", "end"),
        ((START, body(b"abc"), RAW), HEAD_CHUNKED + b"3\r\nabc\r\n\x00garbage", "end"),
        ((START, body(b"abc", more=False)), HEAD_CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", "open"),
    ],
)
async def test_a_raw_socket_sees_exactly_what_was_declared(messages: Any, seen: bytes, ending: str) -> None:
    """Every byte sent before the cut arrives, not one more, and the connection ends as it was told to."""
    async with serve(sending(*messages)) as served:
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        got, ended = b"", "open"
        try:
            async with asyncio.timeout(0.3):
                while piece := await reader.read(65_536):
                    got += piece
                ended = "end"
        except ConnectionResetError:
            ended = "reset"
        except TimeoutError:
            pass
        finally:
            writer.close()
        assert (got, ended) == (seen, ending)
        assert served.app_errors == []


@asynccontextmanager
async def on_uvicorn(app: App) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app,
        port=0,
        http="h11",
        lifespan="off",
        log_level=logging.CRITICAL,
        access_log=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn offers no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def on_the_fakes_server(app: App) -> AsyncIterator[str]:
    async with serve(app) as served:
        yield served.url


async def outcome(
    client: httpx.AsyncClient, url: str, method: str
) -> tuple[int | None, str | None, bytes, str]:
    """Status, framing, the body read, and the class of the error, as the client saw them."""
    status, framing, read = None, None, b""
    try:
        async with client.stream(method, url) as answer:
            status = answer.status_code
            framing = answer.headers.get("content-length") or answer.headers.get("transfer-encoding")
            async for chunk in answer.aiter_raw():
                read += chunk
    except httpx.TransportError as error:
        return status, framing, read, type(error).__name__
    return status, framing, read, ""


def in_memory(app: App, method: str) -> tuple[int | None, str | None, bytes, str]:
    async def main() -> tuple[int | None, str | None, bytes, str]:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        client = httpx.AsyncClient(transport=HttpxTransport(wire, "client"))
        return await outcome(client, "http://a.test/", method)

    return run_virtual(main)


ASGI_CASES: dict[str, tuple[App, str]] = {
    "whole": (sending(START, body(b"abc"), body(b"def", more=False)), "GET"),
    "whole by length": (sending(FIVE, body(b"abcde", more=False)), "GET"),
    "head": (sending(FIVE, body(b"abcde", more=False)), "HEAD"),
    "head without a length": (sending(START, body(b"abcde", more=False)), "HEAD"),
    "no content": (sending({**START, "status": 204}, body(b"", more=False)), "GET"),
    "not modified": (sending({**START, "status": 304}, body(b"", more=False)), "GET"),
    "raises at once": (sending(then=ValueError("boom")), "GET"),
    "raises after the head": (sending(START, then=ValueError("boom")), "GET"),
    "raises within the body": (sending(START, body(b"abc"), then=ValueError("boom")), "GET"),
    "raises after the end": (sending(START, body(b"abc", more=False), then=ValueError("boom")), "GET"),
    "returns at once": (sending(), "GET"),
    "returns within the body": (sending(FIVE, body(b"abc")), "GET"),
    "shorter than it said": (sending(FIVE, body(b"abc", more=False)), "GET"),
    "longer than it said": (sending(FIVE, body(b"abc"), body(b"def", more=False)), "GET"),
    "body without a head": (sending(body(b"abc")), "GET"),
    "illegal header": (sending({**START, "headers": [(b"x", b"a\r\nb: c")]}), "GET"),
}
MISDEEDS: dict[str, tuple[App, str]] = {
    "reset at once": (sending(RESET), "GET"),
    "reset after the head": (sending(START, RESET), "GET"),
    "reset within the body": (sending(FIVE, body(b"abc"), RESET), "GET"),
    "close at once": (sending(CLOSE), "GET"),
    "close within chunks": (sending(START, body(b"abc"), CLOSE), "GET"),
    "close within a length": (sending(FIVE, body(b"abc"), CLOSE), "GET"),
    "garbage at once": (sending(RAW), "GET"),
    "garbage within chunks": (sending(START, body(b"abc"), RAW), "GET"),
}


@pytest.mark.parametrize("name", [*ASGI_CASES, *MISDEEDS])
def test_the_two_wires_show_a_client_the_same(name: str) -> None:
    """Status, framing, bytes and error class through httpx: in memory, and over a real socket."""
    app, method = (ASGI_CASES | MISDEEDS)[name]

    async def real() -> tuple[int | None, str | None, bytes, str]:
        async with on_the_fakes_server(app) as url, httpx.AsyncClient(verify=False) as client:
            return await outcome(client, url, method)

    assert in_memory(app, method) == asyncio.run(real())


@pytest.mark.parametrize("name", ASGI_CASES)
def test_the_wire_treats_apps_as_uvicorn_does(name: str) -> None:
    """The same, against the unmodified server that the simulation stands for."""
    app, method = ASGI_CASES[name]

    async def real() -> tuple[int | None, str | None, bytes, str]:
        async with on_uvicorn(app) as url, httpx.AsyncClient(verify=False) as client:
            return await outcome(client, url, method)

    assert in_memory(app, method) == asyncio.run(real())


def test_a_half_closed_client_is_a_client_that_left() -> None:
    """Asked of uvicorn itself: the app hears a disconnect while the client still listens."""
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        told.append((await receive())["type"])
        await send(START)
        await send(body(b"unheard", more=False))

    async def real() -> bytes:
        async with on_uvicorn(app) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await asyncio.sleep(0.05)
            writer.write_eof()
            try:
                async with asyncio.timeout(5):
                    return await reader.read()
            finally:
                writer.close()

    assert (asyncio.run(real()), told) == (b"", ["http.disconnect"])
