"""Told twice to stop: nobody waits for the calls in hand, and nobody is told less than that."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fakes.server import serve
from tests.sockets.test_serve import gateway

pytestmark = pytest.mark.asyncio


async def test_a_second_signal_cuts_off_what_is_in_hand(tmp_path: Path) -> None:
    """The caller of a submit hears that nobody knows, and the stop does not take the drain's time."""
    began = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        await asyncio.sleep(30)

    async with serve(slow) as served, gateway(tmp_path, served.url) as there:
        submitting = asyncio.create_task(there.client.post("/api/proxy/rh/v2/video", json={}))
        await began.wait()
        async with asyncio.timeout(4):  # and not the five seconds of the drain
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.1)
            told = await submitting
            assert (told.status_code, told.headers["x-refgate-error"]) == (504, "outcome_unknown")
            while True:
                if there.events()[-1] == "stopped":
                    break
                await asyncio.sleep(0.05)
