"""A provider of models on a real socket: what the kernel hands over is what the acts declare."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import fakes.asgi
from fakes.acts.script import Script
from fakes.chat import ChatPlan, ChatProvider
from fakes.journal import Answered, ChatEnded, ChatRefused, Journal
from fakes.server import serve
from tests.fakes.chat_stage import KEY

BODY = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "nonce:abc"}]}
).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: p.test\r\nauthorization: Bearer %b\r\n"
    b"content-length: %d\r\n\r\n%b" % (KEY.encode(), len(BODY), BODY)
)
PLAN = ChatPlan.model_validate({"words": 4, "first": "5ms", "between": "5ms"})


def dechunked(data: bytes) -> bytes:
    """The body, as far as it came."""
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        data = rest[length + 2 :]
    return body


async def stream(do: dict[str, Any] | None, *, leave_after: int | None = None) -> tuple[bytes, str, Journal]:
    """One stream over a real socket: its bytes, how the connection ended, the journal."""
    loop, journal = asyncio.get_running_loop(), Journal()
    provider = ChatProvider(
        "p",
        dialects="openai",
        journal=journal,
        clock=lambda: int(loop.time() * 1_000_000),
        script=Script.for_chat([{"do": do}] if do else []),
        plan=PLAN,
    )
    got, ending = b"", "end"
    async with serve(provider.app) as served:
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(REQUEST)
        try:
            async with asyncio.timeout(0.5):
                while piece := await reader.read(65_536):
                    got += piece
                    if got.endswith(b"0\r\n\r\n") or (leave_after and len(got) > leave_after):
                        ending = "left"
                        break
        except ConnectionResetError:
            ending = "reset"
        writer.close()
        await asyncio.sleep(0.05)  # the server hears of it
        assert served.app_errors == []
    assert got.startswith(b"HTTP/1.1 200") and provider.running == 0
    return dechunked(got.partition(b"\r\n\r\n")[2]), ending, journal


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("do", "ending", "complete"),
    [
        (None, "left", True),
        ({"cut_stream": {"after_words": 2, "how": "reset"}}, "reset", False),
        ({"cut_stream": {"after_words": 2, "how": "close"}}, "end", False),
        ({"truncated": {"after_words": 2}}, "left", False),
        ({"cut_stream": {"after_events": 0, "in_character": True, "how": "close"}}, "end", False),
    ],
)
async def test_every_byte_that_was_written_comes_before_the_end(do: Any, ending: str, complete: bool) -> None:
    """The journal's count of bytes is the socket's."""
    body, how, journal = await stream(do)
    (answered,) = journal.of(Answered)
    (ended,) = journal.of(ChatEnded)
    assert (how, answered.body_bytes, ended.complete) == (ending, len(body), complete)
    if complete:
        assert body.endswith(b"data: [DONE]\n\n") and ended.output_text == 5
    else:
        assert ended.output_text in (2, 3)


@pytest.mark.asyncio
async def test_a_client_that_leaves_is_noticed() -> None:
    """The work stops there."""
    _, _, journal = await stream({"stall": {"after_words": 2}}, leave_after=300)
    (ended,) = journal.of(ChatEnded)
    assert (ended.complete, ended.output_text < 5) == (False, True)


@pytest.mark.asyncio
async def test_a_body_that_is_too_large_is_refused_in_the_words_of_the_vendor() -> None:
    """Not by the server, which would take more."""
    loop, journal = asyncio.get_running_loop(), Journal()
    provider = ChatProvider(
        "p", dialects="openai", journal=journal, clock=lambda: int(loop.time() * 1_000_000)
    )
    size = fakes.asgi.BODY_MAX + 1
    head = REQUEST.partition(b"content-length")[0] + b"content-length: %d\r\n\r\n" % size
    async with serve(provider.app) as served:
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(head + bytes(size))
        answer = await reader.readuntil(b"}}")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413") and b'"message":"Request too large."' in answer
    (refused,) = journal.of(ChatRefused)
    assert refused.reason == "too_large"
