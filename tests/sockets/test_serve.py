"""The gateway on real sockets: uvicorn in front, aiohttp behind, fakes on loopback ports.

A smoke set: that what the simulation shows of the gateway is so for real.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes.journal import Journal, TaskAccepted, TaskEnded
from fakes.server import serve
from fakes.tasks import TaskPlan, TaskProvider
from refgate import Settings
from refgate.serve import Server, server
from refgate.sockets import real_transport
from refgate.upstream import Failure, FailureKind, Outgoing, Phases, Upstream
from tests.refgate.edge_kit import ENVIRON, config

S = 1_000_000
PLAN = TaskPlan.model_validate({"takes": "300ms", "queued": "100ms", "units": "0.25"})
PHASES = Phases(2 * S, 2 * S, 2 * S, 2 * S, 5 * S)
pytestmark = pytest.mark.asyncio


@dataclass
class Served:
    """A gateway that runs, a caller's client for it, and what it logged."""

    server: Server
    client: httpx.AsyncClient
    log: io.StringIO

    def events(self) -> list[str]:
        return [json.loads(one)["event"] for one in self.log.getvalue().splitlines()]


@asynccontextmanager
async def gateway(tmp_path: Path, provider_url: str, **changes: Any) -> AsyncIterator[Served]:
    """The production server, on a port of its own."""
    made = config(
        listen={"port": 0, "drain": "5s"},
        store={"path": str(tmp_path / "store.sqlite")},
        providers__rh__base_url=provider_url,
        **changes,
    )
    log = io.StringIO()
    running = server(Settings.parse(made, environ=ENVIRON), log)
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
        assert not task.done(), log.getvalue()
    url = f"http://127.0.0.1:{running.port}"
    given = {"authorization": "Bearer canary-caller-alice"}
    async with httpx.AsyncClient(base_url=url, headers=given, trust_env=False, timeout=10) as client:
        yield Served(running, client, log)
    if not task.done():
        running.drain()
    await task


async def test_a_task_from_submit_to_charge(tmp_path: Path) -> None:
    """The whole life of a call over real connections, against the fake provider's own books."""
    journal = Journal()
    clock = asyncio.get_running_loop().time
    provider = TaskProvider(
        "rh", "runninghub", journal=journal, clock=lambda: int(clock() * S), seed=1, plan=PLAN
    )
    runninghub = {
        "providers__rh__submit": [{"match": "POST /openapi/v2/**", "task_id": "$.taskId"}],
        "providers__rh__query": [
            {
                "match": "POST /openapi/v2/query",
                "task_id": {"body": "$.taskId"},
                "status": "$.status",
                "success": ["SUCCESS"],
                "failure": ["FAILED", "CANCEL"],
                "usage": {"path": "$.usage.thirdPartyConsumeMoney", "unit_price": "1", "max": "5.00"},
            }
        ],
        "providers__rh__result": [],
        "providers__rh__poll": {
            "method": "POST",
            "path": "/openapi/v2/query",
            "json": {"taskId": "{task_id}"},
        },
    }
    async with serve(provider.app) as served, gateway(tmp_path, served.url, **runninghub) as there:
        path = "/api/proxy/rh/openapi/v2/video"
        key = {"x-idempotency-key": "k"}
        first, second = [
            await there.client.post(path, json={"prompt": "p", "nonce": "n1"}, headers=key) for _ in range(2)
        ]
        assert (first.status_code, first.content) == (200, second.content)
        assert second.headers["x-idempotent-replay"] == "true"
        task_id = first.json()["taskId"]
        async with asyncio.timeout(10):
            while True:
                poll = await there.client.post("/api/proxy/rh/openapi/v2/query", json={"taskId": task_id})
                if poll.json()["status"] == "SUCCESS":
                    break
                await asyncio.sleep(0.1)
        assert len([*journal.of(TaskAccepted)]) == 1
        (ended,) = journal.of(TaskEnded)
        admin = {"authorization": "Bearer canary-admin"}
        async with asyncio.timeout(5):
            while True:
                (row,) = (await there.client.get("/admin/calls", headers=admin)).json()["rows"]
                if row["state"] == "finalized":
                    break
                await asyncio.sleep(0.05)
        assert row["amount_nanos"] == 250_000_000 and ended.success
        assert "canary" not in there.log.getvalue()


async def test_a_stop_drains(tmp_path: Path) -> None:
    """SIGTERM: what is in hand ends well, newcomers are sent elsewhere, and the server ends by itself."""
    began = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        await asyncio.sleep(0.5)
        await answer(send, 200, b'{"taskId":"t1"}')

    async with serve(slow) as served, gateway(tmp_path, served.url) as there:
        submitting = asyncio.create_task(there.client.post("/api/proxy/rh/v2/video", json={}))
        await began.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        assert (await there.client.get("/readyz")).status_code == 503
        refused = await there.client.post("/api/proxy/rh/v2/video", json={})
        assert (refused.status_code, refused.headers["x-refgate-error"]) == (503, "draining")
        assert refused.headers["retry-after"] == "1"
        assert (await submitting).json() == {"taskId": "t1"}
    assert there.events()[-1] == "stopped"


async def answer(send: Any, status: int, body: bytes, *, headers: Any = (), more: bool = False) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def ask(url: str, method: str = "POST", **more: Any) -> Any:
    upstream = Upstream(real_transport(connections_max=2))
    try:
        out = Outgoing(method, url, (("authorization", "Bearer x"),), b"{}" if method == "POST" else b"")
        return await upstream.ask(out, phases=more.get("phases", PHASES), body_max=1000)
    finally:
        await upstream.aclose()


async def test_an_answer_that_never_came_is_doubt_and_not_a_missing_connection() -> None:
    """A connection that breaks after the request was written, in any of the ways it can."""
    seen = 0

    async def reset(scope: Any, receive: Any, send: Any) -> None:
        nonlocal seen
        seen += 1
        await receive()
        await send({"type": "fakes.wire.reset"})

    async def close(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "fakes.wire.close"})

    async def garbage(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "fakes.wire.raw", "data": b"NOT HTTP AT ALL\r\n\r\n"})

    async def half(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, 200, b"half", headers=[(b"content-length", b"100")], more=True)
        await send({"type": "fakes.wire.reset"})

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(30)

    for app in (reset, close, garbage, half):
        async with serve(app) as served:
            for method in ("POST", "GET"):
                failure = await ask(served.url, method)
                assert isinstance(failure, Failure) and failure.ambiguous, (app.__name__, method, failure)
    assert seen == 2  # One each: nothing is sent again behind our back.
    async with serve(silent) as served:
        short = Phases(2 * S, S // 5, 2 * S, 2 * S, 5 * S)
        assert await ask(served.url, phases=short) == Failure(FailureKind.READ_TIMEOUT)
        short = Phases(2 * S, 2 * S, 2 * S, 2 * S, S // 5)
        assert await ask(served.url, phases=short) == Failure(FailureKind.DEADLINE)


async def test_a_missing_connection_is_not_doubt() -> None:
    """Refused, unresolvable, no TLS on the other side, no free connection: the provider heard nothing."""

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(30)

    async with serve(hang) as served:
        port = served.port
        assert await ask(f"https://127.0.0.1:{port}/") == Failure(FailureKind.CONNECT)
        upstream = Upstream(real_transport(connections_max=1))
        out = Outgoing("GET", served.url)
        waiting = asyncio.create_task(upstream.ask(out, phases=PHASES, body_max=10))
        await asyncio.sleep(0.1)
        crowded = Phases(2 * S, 2 * S, 2 * S, S // 5, 5 * S)
        crowd = await upstream.ask(out, phases=crowded, body_max=10)
        assert isinstance(crowd, Failure) and not crowd.ambiguous
        waiting.cancel()
        await upstream.aclose()
    assert await ask(f"http://127.0.0.1:{port}/") == Failure(FailureKind.CONNECT)
    assert await ask("http://no-such-host.invalid/") == Failure(FailureKind.CONNECT)


async def test_a_kept_connection_that_broke_is_not_silently_tried_again() -> None:
    """An idempotent request on a connection that the server has closed meanwhile: one attempt, and doubt."""
    requests = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        writer.transport.abort()

    listening = await asyncio.start_server(once, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    upstream = Upstream(real_transport(connections_max=2))
    out = Outgoing("GET", f"http://127.0.0.1:{port}/")
    first = await upstream.ask(out, phases=PHASES, body_max=10)
    second = await upstream.ask(out, phases=PHASES, body_max=10)
    await upstream.aclose()
    listening.close()
    await listening.wait_closed()
    assert getattr(first, "status", None) == 200
    assert isinstance(second, Failure) and second.ambiguous and requests == 2


async def test_what_goes_out_for_real_is_what_was_given() -> None:
    """The client library adds no header of its own, keeps no cookie and re-encodes no path."""
    seen: list[tuple[bytes, list[tuple[bytes, bytes]]]] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["raw_path"], [*scope["headers"]]))
        await answer(send, 200, b"ok", headers=[(b"set-cookie", b"a=b; Path=/"), (b"content-length", b"2")])

    async with serve(echo) as served:
        upstream = Upstream(real_transport(connections_max=2))
        out = Outgoing("POST", f"{served.url}/a%20b/x;y=1?q=%2F+%20&r", (("accept", "*/*"),), b"{}")
        for _ in range(2):
            got = await upstream.ask(out, phases=PHASES, body_max=10)
            assert getattr(got, "body", None) == b"ok"
        await upstream.aclose()
    for path, headers in seen:
        assert path == b"/a%20b/x;y=1"
        assert {name.lower() for name, _ in headers} == {b"host", b"accept", b"content-length"}


async def test_a_stream_flows_and_half_of_one_is_cut(tmp_path: Path) -> None:
    """Pieces arrive as they are sent; what breaks off upstream breaks off for the caller."""
    go_on = asyncio.Event()

    async def pieces(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 200, b"one", more=True)
        await go_on.wait()
        if scope["path"].endswith("half"):
            await send({"type": "fakes.wire.reset"})
        else:
            await send({"type": "http.response.body", "body": b"two", "more_body": False})

    async with serve(pieces) as served, gateway(tmp_path, served.url) as there:
        async with there.client.stream("GET", "/api/proxy/rh/v2/open/whole") as whole:
            chunks = whole.aiter_raw()
            assert await anext(chunks) == b"one"
            go_on.set()
            assert await anext(chunks) == b"two"
            assert [chunk async for chunk in chunks] == []
        with pytest.raises(httpx.RemoteProtocolError):
            await there.client.get("/api/proxy/rh/v2/open/half")


async def test_a_caller_who_leaves_a_stream_closes_it_upstream(tmp_path: Path) -> None:
    """Also for real: the provider sees the end of its connection."""
    left = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, 200, b"one", more=True)
        message = await receive()
        assert message["type"] == "http.disconnect"
        left.set()

    async with serve(endless) as served, gateway(tmp_path, served.url) as there:
        async with there.client.stream("GET", "/api/proxy/rh/v2/open/x") as streamed:
            await anext(streamed.aiter_raw())
        async with asyncio.timeout(2):
            await left.wait()
