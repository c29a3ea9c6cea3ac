"""The rules an ASGI server holds its app to, as uvicorn does.

`Answering` follows one answer: what may be sent next, whether the lengths are right, whether it is
whole. It knows nothing of networks; the in-memory wire and the server on real ports both ask it, so
an app meets the same rules on both. Three messages of the `fakes.wire` extension let a fake misbehave.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = [
    "ANSWER_500",
    "BODY",
    "CLOSE",
    "EXTENSION",
    "RAW",
    "RESET",
    "SPEC_VERSION",
    "START",
    "ASGIApp",
    "Answering",
    "Head",
    "Message",
    "RawHeaders",
    "Receive",
    "Scope",
    "Send",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

SPEC_VERSION = "2.3"
"""What uvicorn announces. Starlette streams differently from 2.4 on."""

EXTENSION = "fakes.wire"
RESET = "fakes.wire.reset"  # reset the connection; what was sent before arrives first
CLOSE = "fakes.wire.close"  # close it cleanly although the answer is not whole
RAW = "fakes.wire.raw"  # `data`: bytes that are no HTTP

START = "http.response.start"
BODY = "http.response.body"


class Head:
    """The status line and the headers of an answer, names in lower case."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: RawHeaders) -> None:
        self.status = status
        self.headers = headers


ANSWER_500: tuple[Message, Message] = (
    {
        "type": START,
        "status": 500,
        "headers": [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"21"),
            (b"connection", b"close"),
        ],
    },
    {"type": BODY, "body": b"Internal Server Error"},
)
"""What a server says for an app that failed before it began to answer."""


class Answering:
    """One answer on its way out."""

    __slots__ = ("_left", "_method", "complete", "started")

    def __init__(self, method: str) -> None:
        self._method = method
        self._left: int | None = None  # Bytes the declared length still promises.
        self.started = False
        self.complete = False

    def start(self, message: Message) -> Head:
        """The head of the answer; refuses anything else that comes first."""
        if message["type"] != START:
            raise RuntimeError(f"Expected ASGI message '{START}', but got '{message['type']}'.")
        status: int = message["status"]
        if not 200 <= status <= 999:
            raise RuntimeError(f"a final answer cannot have status {status}")
        headers: RawHeaders = []
        framed = False
        for name, value in message.get("headers", ()):
            lower = bytes(name).lower()
            if lower == b"content-length":
                framed = True
                self._left = int(value)
            elif lower == b"transfer-encoding":
                framed = True
            headers.append((lower, bytes(value)))
        if status in (204, 304):
            self._left = 0
        elif not framed:
            headers.append((b"transfer-encoding", b"chunked"))
        self.started = True
        return Head(status, headers)

    def body(self, message: Message) -> tuple[bytes, bool]:
        """The bytes to write, and whether they are the last."""
        if message["type"] != BODY:
            raise RuntimeError(f"Expected ASGI message '{BODY}', but got '{message['type']}'.")
        more: bool = message.get("more_body", False)
        if self._method == "HEAD":
            self.complete = not more
            return b"", not more
        data = message.get("body", b"")
        if type(data) is not bytes:
            data = bytes(data)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("Response content longer than Content-Length")
            if self._left and not more:
                raise RuntimeError("Response content shorter than Content-Length")
        self.complete = not more
        return data, not more
