"""The faces for httpx and httpx2: an unmodified client, or the transport seam spoken to directly."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fakes import wire as wire_package
from fakes.time import current_loop, run_virtual
from fakes.wire import (
    Blackhole,
    FaultKind,
    Fixed,
    Httpx2Transport,
    HttpxTransport,
    LinkFault,
    Receive,
    Refuse,
    ResetBefore,
    ResetDuring,
    Scope,
    Send,
    Wire,
)

FACES = [pytest.param(httpx, HttpxTransport, id="httpx"), pytest.param(httpx2, Httpx2Transport, id="httpx2")]
both = pytest.mark.parametrize(("library", "transport"), FACES)


async def ticking(scope: Scope, receive: Receive, send: Send) -> None:
    """Three ticks, one a second."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Kind", b"ticks")]})
    for n in range(3):
        await asyncio.sleep(1)
        await send({"type": "http.response.body", "body": b"%d" % n, "more_body": True})
    await send({"type": "http.response.body"})


@both
def test_an_unmodified_client_calls_an_app(library: Any, transport: Any) -> None:
    """Query, headers and JSON, there and back."""

    async def echo(request: Request) -> JSONResponse:
        return JSONResponse({"q": request.query_params["q"], "body": await request.json()}, 201, {"x-a": "1"})

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", Starlette(routes=[Route("/x", echo, methods=["POST"])]))
        async with library.AsyncClient(
            transport=transport(wire, "client"), base_url="http://a.test"
        ) as client:
            answer = await client.post("/x", params={"q": "é"}, json={"n": 1})
            assert answer.status_code == 201
            assert answer.json() == {"q": "é", "body": {"n": 1}}
            assert (answer.headers["x-a"], answer.http_version) == ("1", "HTTP/1.1")
        assert (wire.open_exchanges(), wire.app_errors) == (0, [])

    run_virtual(main)


@both
def test_a_stream_is_not_buffered(library: Any, transport: Any) -> None:
    """Each chunk at its own time; leaving early leaves the server."""

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", ticking)
        client = library.AsyncClient(transport=transport(wire, "client"))
        async with client.stream("GET", "http://a.test/") as answer:
            assert (loop.now_us, answer.headers["x-kind"]) == (0, "ticks")
            arrived = [(loop.now_us, chunk) async for chunk in answer.aiter_raw()]
        assert arrived == [(1_000_000, b"0"), (2_000_000, b"1"), (3_000_000, b"2")]
        async with client.stream("GET", "http://a.test/"):
            pass
        await asyncio.sleep(5)
        assert wire.open_exchanges() == 0

    run_virtual(main)


@both
def test_an_upload_streams(library: Any, transport: Any) -> None:
    """A generator's pieces cross as they are made, chunked."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope["headers"])[b"transfer-encoding"])
        while True:
            message = await receive()
            seen.append((current_loop().now_us, message["body"]))
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def pieces() -> AsyncIterator[bytes]:
        for n in range(2):
            yield b"%d" % n
            await asyncio.sleep(1)

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        client = library.AsyncClient(transport=transport(wire, "client"))
        await client.post("http://a.test/", content=pieces())

    seen: list[Any] = []
    run_virtual(main)
    assert seen == [b"chunked", (0, b"0"), (1_000_000, b"1"), (2_000_000, b"")]


@both
@pytest.mark.parametrize(
    ("fault", "error", "at_us"),
    [
        (Refuse(), "ConnectError", 0),
        (Blackhole("connect"), "ConnectTimeout", 1_000_000),
        (Blackhole("request"), "ReadTimeout", 2_000_000),
        (ResetBefore(), "ReadError", 0),
        (ResetDuring(1), "ReadError", 1_000_000),
    ],
)
def test_a_fault_is_the_library_s_own_error(
    library: Any, transport: Any, fault: FaultKind, error: str, at_us: int
) -> None:
    """The class a real socket would have raised, with the request on it, at the time asked for."""

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", ticking)
        wire.link("client", "a.test").add_fault(LinkFault(fault))
        timeout = library.Timeout(connect=1, read=2, write=3, pool=4)
        client = library.AsyncClient(transport=transport(wire, "client"), timeout=timeout)
        with pytest.raises(getattr(library, error)) as caught:
            await client.get("http://a.test/")
        assert type(caught.value).__name__ == error
        assert str(caught.value.request.url) == "http://a.test/"
        assert loop.now_us == at_us
        await asyncio.sleep(5)
        assert wire.open_exchanges() == 0

    run_virtual(main)


@both
def test_pool_and_write_time_outs_are_honoured(library: Any, transport: Any) -> None:
    """Both live in the transport, where an ASGI transport would ignore them."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(100)

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", silent)
        wire.link("client", "a.test").connections_max = 1
        timeout = library.Timeout(None, write=3, pool=1)
        client = library.AsyncClient(transport=transport(wire, "client"), timeout=timeout)
        writing = asyncio.create_task(client.post("http://a.test/", content=bytes(100_000)))
        await asyncio.sleep(0)
        with pytest.raises(library.PoolTimeout):
            await client.get("http://a.test/")
        assert loop.now_us == 1_000_000
        with pytest.raises(library.WriteTimeout):
            await writing
        assert loop.now_us == 3_000_000

    run_virtual(main)


@both
@pytest.mark.parametrize("cut", ["reset", "close", "raw"])
def test_a_broken_answer_is_the_library_s_own_error(library: Any, transport: Any, cut: str) -> None:
    """A reset is a ReadError; an early end and garbage are a RemoteProtocolError."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": f"fakes.wire.{cut}", "data": b"\x00"})

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        client = library.AsyncClient(transport=transport(wire, "client"))
        read = b""
        with pytest.raises(library.ReadError if cut == "reset" else library.RemoteProtocolError):
            async with client.stream("GET", "http://a.test/") as answer:
                async for chunk in answer.aiter_bytes():
                    read += chunk
        assert (read, wire.app_errors, wire.open_exchanges()) == (b"abc", [], 0)

    run_virtual(main)


@both
def test_an_illegal_header_is_never_sent(library: Any, transport: Any) -> None:
    """What h11 refuses, the face refuses, in the library's words."""

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", ticking)
        client = library.AsyncClient(transport=transport(wire, "client"))
        with pytest.raises(library.LocalProtocolError):
            await client.get("http://a.test/", headers={"x": "a\r\nb: c"})

    run_virtual(main)


@both
def test_a_host_outside_the_world_escapes_nowhere(library: Any, transport: Any) -> None:
    """A connection error for the client, an escape for the run."""

    async def main() -> None:
        wire = Wire(current_loop())
        client = library.AsyncClient(transport=transport(wire, "gateway-0"))
        with pytest.raises(library.ConnectError):
            await client.get("https://api.example.com/v1")
        assert [escape.host for escape in wire.escapes] == ["api.example.com"]

    run_virtual(main)


@both
def test_the_seam_serves_without_a_client(library: Any, transport: Any) -> None:
    """`handle_async_request` spoken to directly: no cookies, no redirects, no environment."""

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", ticking)
        wire.link("gateway-0", "a.test").latency = Fixed(10_000)
        request = library.Request("GET", "http://a.test/", extensions={"timeout": {"read": 1.5}})
        answer = await transport(wire, "gateway-0").handle_async_request(request)
        assert await answer.aread() == b"012"
        assert current_loop().now_us == 3_020_000
        assert wire.open_exchanges() == 0

    run_virtual(main)


def test_the_libraries_are_imported_on_first_use() -> None:
    """Whoever speaks directly does not pay for them."""
    program = "import sys, fakes.wire; assert not {'httpx', 'httpx2'} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_there_is_no_face_for_another_library() -> None:
    """A name that is not offered is an AttributeError, as in any module."""
    with pytest.raises(AttributeError):
        wire_package.AiohttpTransport  # noqa: B018  # the look-up is the point
