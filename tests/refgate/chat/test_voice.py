"""The caller's side of a call: one voice, whatever ends the request that it speaks in."""

import asyncio

import pytest
from starlette.types import Message

from fakes.time import run_virtual
from refgate.chat.voice import Voice, attend


def test_a_server_that_fails_leaves_one_voice() -> None:
    """Where nobody can say any more whether the caller listens, the work for it goes on, and is not heard."""
    sent: list[str] = []

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def receive() -> Message:
        await asyncio.sleep(1)
        raise RuntimeError("the server's own")

    async def main() -> None:
        voice = Voice(send, pairs=())

        async def work() -> None:
            await voice.begin(())
            await asyncio.sleep(2)
            await voice.end(b"the answer")

        working = asyncio.create_task(work())
        with pytest.raises(RuntimeError):
            await attend(working, voice, receive)
        await voice.end(b"an error")
        await working
        assert voice.left and sent == ["http.response.start"]

    run_virtual(main)
