"""The rules an ASGI server holds its app to, as uvicorn does.

`Answering` follows one answer: what may be sent next, whether the lengths are right, whether it is
whole. `AppEnd` runs an app from call to return, whichever way it returns. Neither knows networks: the
in-memory wire and the server on real ports both build on them, so an app meets the same rules on both.
Three messages of the `fakes.wire` extension let a fake misbehave.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

__all__ = [
    "ANSWER_500",
    "BODY",
    "CLOSE",
    "EXTENSION",
    "MISDEEDS",
    "RAW",
    "RESET",
    "SPEC_VERSION",
    "START",
    "ASGIApp",
    "Answering",
    "AppEnd",
    "Head",
    "Message",
    "RawHeaders",
    "Receive",
    "Scope",
    "Send",
    "legal",
    "shown",
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
RAW = "fakes.wire.raw"  # `data`: bytes that are no HTTP; then the connection is closed
MISDEEDS = frozenset({RESET, CLOSE, RAW})

START = "http.response.start"
BODY = "http.response.body"


_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_ILLEGAL = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")


@lru_cache(maxsize=4096)
def legal(name: bytes, value: bytes) -> bool:
    """Whether h11 would let this header out. The name is in lower case. Most headers come again and again."""
    return _NAME.fullmatch(name) is not None and _ILLEGAL.search(value) is None


@lru_cache(maxsize=4096)
def _sent(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header as it goes out."""
    name = name.lower()
    if not legal(name, value):
        raise RuntimeError(f"illegal header {name!r}")
    return name, value


@lru_cache(maxsize=4096)
def _text(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1"), value.decode("latin-1")


def shown(headers: RawHeaders) -> tuple[tuple[str, str], ...]:
    """Headers as text, letter for byte."""
    return tuple([_text(name, value) for name, value in headers])


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
        self.started = True  # As in uvicorn, what is wrong from here on is a cut and no 500.
        headers = [_sent(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        framed = False
        for name, value in headers:
            if name == b"content-length":
                framed = True
                self._left = int(value)
            elif name == b"transfer-encoding":
                framed = True
        if status in (204, 304):
            self._left = 0
        elif not framed:
            headers.append((b"transfer-encoding", b"chunked"))
        return Head(status, headers)

    def body(self, message: Message) -> tuple[bytes, bool]:
        """The bytes to write, and whether they are the last: then `finish` comes next."""
        if message["type"] != BODY:
            raise RuntimeError(f"Expected ASGI message '{BODY}', but got '{message['type']}'.")
        more: bool = message.get("more_body", False)
        if self._method == "HEAD":
            self._left = None
            return b"", not more
        data = message.get("body", b"")
        if type(data) is not bytes:
            data = bytes(data)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("Response content longer than Content-Length")
        return data, not more

    def finish(self) -> None:
        """The answer is whole, or it is an error; what there was of it is out either way."""
        if self._left:
            raise RuntimeError("Response content shorter than Content-Length")
        self.complete = True


class AppEnd(ABC):
    """What an app is given for one request, and what becomes of the client when the app ends."""

    __slots__ = ("answering", "gone")

    def __init__(self, method: str) -> None:
        self.answering = Answering(method)
        self.gone = False  # No byte can reach the client any more.

    @abstractmethod
    async def receive(self) -> Message: ...

    @abstractmethod
    async def send(self, message: Message) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """End the connection cleanly, whole answer or not."""

    async def run(
        self, app: ASGIApp, scope: Scope, failed: Callable[[Exception], None], ended: Callable[[], object]
    ) -> None:
        """The app from call to return. An app that raises becomes a 500, or a cut once it has begun."""
        answering = self.answering
        try:
            result: object = await app(scope, self.receive, self.send)  # type: ignore[func-returns-value]
            if result is not None:
                raise RuntimeError(f"ASGI callable should return None, but returned '{result}'.")
            if not answering.started and not self.gone:
                raise RuntimeError("ASGI callable returned without starting response.")
            if not answering.complete and not self.gone:
                raise RuntimeError("ASGI callable returned without completing response.")
        except Exception as error:
            failed(error)
            if not answering.started:
                for message in ANSWER_500:
                    await self.send(message)
            elif not answering.complete:
                self.close()
        except asyncio.CancelledError:
            if not answering.complete:
                self.close()
            raise
        finally:
            ended()
