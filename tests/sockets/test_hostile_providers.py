"""Providers whose answers are no answers: for real, where a server has to hand on what the gateway says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.sockets.test_serve import gateway

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    "line", [b"999 Odd", b"101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade"]
)
async def test_a_status_that_cannot_be_told_is_answered(tmp_path: Path, line: bytes) -> None:
    """A provider's answer that no HTTP server can hand on ends in one of the gateway's own."""

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + line + b"\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    listening = await asyncio.start_server(odd, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with gateway(tmp_path, f"http://127.0.0.1:{port}") as there:
        got = await there.client.get("/api/proxy/rh/v2/open/x")
        assert (got.status_code, got.headers["x-refgate-error"]) == (502, "upstream_broken")
        got = await there.client.post("/api/proxy/rh/v2/video", json={})
        assert (got.status_code, got.headers["x-refgate-error"]) == (504, "outcome_unknown")
        assert "failed" not in there.events()
    listening.close()
    await listening.wait_closed()
