"""Callers that keep a connection and do not use it: only for real are there connections to run out of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fakes.server import serve
from refgate import doorway
from tests.sockets.test_serve import answer, gateway

_HEAD = b"POST /api/proxy/rh/v2/video HTTP/1.1\r\nhost: x\r\nx-pad: "
_WHOLE = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
pytestmark = pytest.mark.asyncio


async def swift(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, 200, b"{}")


async def test_a_connection_without_a_request_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says nothing, one that never ends its head, and one that does so after a whole request."""
    monkeypatch.setattr(doorway, "LOOK_S", 0.2)
    async with serve(swift) as served, gateway(tmp_path, served.url) as there:

        async def kept(first: bytes, drip: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.server.port)
            writer.write(first)
            if first.endswith(b"\r\n\r\n"):
                await reader.readuntil(b"ok\n")
            ended = asyncio.ensure_future(reader.read())
            while not ended.done():
                writer.write(drip)
                await asyncio.sleep(0.05)
            writer.close()

        async with asyncio.timeout(3), asyncio.TaskGroup() as group:
            for first, drip in ((b"", b""), (_HEAD, b"x"), (_WHOLE, _HEAD)):
                group.create_task(_until_reset(kept(first, drip)))


async def _until_reset(coroutine: Any) -> None:
    try:
        await coroutine
    except ConnectionError:
        return


async def test_a_request_in_hand_is_not_hurried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is looked at: an answer takes as long as the gateway's own times allow."""
    monkeypatch.setattr(doorway, "LOOK_S", 0.05)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.5)
        await answer(send, 200, b'{"taskId":"t1"}')

    async with serve(slow) as served, gateway(tmp_path, served.url) as there:
        assert (await there.client.post("/api/proxy/rh/v2/video", json={})).json() == {"taskId": "t1"}


async def test_an_answer_that_nobody_takes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes too, not only the exchange with the provider."""
    monkeypatch.setattr(doorway, "LOOK_S", 0.2)

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 200, b"", more=True)
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await asyncio.sleep(0)

    times = {"timeouts": {"total": "500ms"}}
    async with serve(flood) as served, gateway(tmp_path, served.url, **times) as there:
        reader, writer = await asyncio.open_connection("127.0.0.1", there.server.port, limit=1024)
        key = b"authorization: Bearer canary-caller-alice\r\n"
        writer.write(b"GET /api/proxy/rh/v2/open/x HTTP/1.1\r\nhost: x\r\n" + key + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(5):
            while True:
                if not there.server.server_state.connections:
                    break
                await asyncio.sleep(0.05)
        writer.transport.abort()
