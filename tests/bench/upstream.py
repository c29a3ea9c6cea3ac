"""A provider that costs next to nothing: one answer, or one stream of it, to whatever is asked.

`python -m tests.bench.upstream` prints its port and serves until it is killed. A stream's pieces leave one
by one, a pause apart, as tokens do: written at once they would be one piece to whoever reads.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

__all__ = ["PAUSE_MS", "PIECES", "answer", "pieces"]

PIECES = 20
PAUSE_MS = 2
_USAGE = {"prompt_tokens": 200, "completion_tokens": 40, "total_tokens": 240}
_WORDS = "the quick brown fox jumps over the lazy dog and runs far away "


def answer() -> bytes:
    """A chat completion of a usual size."""
    message = {"role": "assistant", "content": _WORDS * 5, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**_head("chat.completion"), "choices": [choice], "usage": _USAGE})


def pieces() -> list[bytes]:
    """The events of a stream with `PIECES` words: head and first word together, as providers send them."""
    words = [_event({"content": word + " "}) for word in _WORDS.split() * 2][:PIECES]
    first = _event({"role": "assistant", "content": ""}) + words[0]
    usage = {**_head("chat.completion.chunk"), "choices": [], "usage": _USAGE}
    last = words[-1] + _event({}, "stop") + b"data: %b\n\ndata: [DONE]\n\n" % _json(usage)
    return [first, *words[1:-1], last]


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_795_000_000, "model": "gpt-4o-mini-2026-01-01"}


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {**_head("chat.completion.chunk"), "choices": [choice], "usage": None}
    return b"data: %b\n\n" % _json(chunk)


def _json(value: Any) -> bytes:
    """Compact, as the vendor writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(answer()),
    answer(),
)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNKS = [_chunk(piece) for piece in pieces()]
_CHUNKS[0] = _HEAD + _CHUNKS[0]
_CHUNKS[-1] += b"0\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One request after the other; nothing is read of one but its length and its wish for a stream."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = b""
        if b'"stream":true' in body or b'"stream": true' in body:
            self._tell(0)
        else:
            self._transport.write(_WHOLE)

    def _tell(self, number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_CHUNKS[number])
        if number + 1 < len(_CHUNKS):
            self._loop.call_later(PAUSE_MS / 1000, self._tell, number + 1)


async def _main() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1])
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
