"""The mechanics of one HTTP exchange in plain ASGI: read a whole request, hand over an answer.

`deliver` writes first and breaks afterwards, and says what it really handed over. Breaking a connection
takes the server extension `fakes.wire` (`reset`, `close`, `raw`); `breakable` says whether it is there.
Nothing here knows of journals, acts or providers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qsl

from fakes.journal import Headers
from fakes.json_text import json_bytes, parsed

__all__ = [
    "BODY_MAX",
    "GARBAGE",
    "SILENCE_MAX_US",
    "WHOLE",
    "App",
    "Ending",
    "Receive",
    "Reply",
    "Request",
    "Scope",
    "Send",
    "Sent",
    "breakable",
    "deliver",
    "json_reply",
    "lifespan",
    "stays",
    "take",
    "without_body",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_MAX = 16 * 1024 * 1024
"""A request body beyond this is cut here and refused."""

SILENCE_MAX_US = 24 * 3_600_000_000
"""A fake that never answers gives up after a day, so that no wait is without an end."""

GARBAGE = b"\x16\x03\x01\x00\x00 this is no HTTP\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request as it crossed the wire; header names in lower case, the path still encoded."""

    seq: int
    t_us: int
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    json: object  # None where the body is no JSON
    body_too_large: bool = False

    def header(self, name: str) -> str | None:
        """The first of this name."""
        return dict(reversed(self.headers)).get(name)

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object of the body, empty where it holds none."""
        return self.json if isinstance(self.json, dict) else {}

    @property
    def query_fields(self) -> dict[str, str]:
        """The last of each name. However many there are: a server bounds the head of a request."""
        return dict(parse_qsl(self.query))

    @property
    def base_url(self) -> str:
        return f"http://{self.header('host') or 'localhost'}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, before anything befalls it."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    chunked: bool = False  # handed over piece by piece: no header tells its length

    @property
    def declared_length(self) -> int:
        """The length the headers promise, true or not."""
        given = dict(reversed(self.headers)).get("content-length")
        return len(self.body) if given is None else int(given)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the handing over ends. `cut` stops after `at` bytes of body, then closes or resets.

    `silence` waits for the client to leave; only after a day is the reply written.
    """

    how: Literal["whole", "cut", "close", "reset", "garbage", "silence"] = "whole"
    at: int = 0
    then: Literal["close", "reset"] = "close"


WHOLE = Ending()


@dataclass(frozen=True, slots=True)
class Sent:
    """What was really handed to the connection."""

    status: int | None
    headers: Headers
    body_bytes: int
    complete: bool
    ended_by: Literal["server", "client", "reset"]
    body_digest: str | None = None  # where it was handed over in pieces: of what was written to its end


def json_reply(status: int, document: object, headers: Headers = ()) -> Reply:
    return Reply(status, json_bytes(document), (("content-type", "application/json"), *headers))


def without_body(reply: Reply) -> Reply:
    """The answer to HEAD: its length header would promise what does not come, and is left out."""
    return Reply(reply.status, b"", tuple(pair for pair in reply.headers if pair[0] != "content-length"))


def breakable(scope: Scope) -> bool:
    return "fakes.wire" in (scope.get("extensions") or {})


async def lifespan(receive: Receive, send: Send) -> None:
    """Answers the two questions of a server that starts and stops its applications."""
    while True:
        asked = (await receive())["type"]
        await send({"type": f"{asked}.complete"})
        if asked == "lifespan.shutdown":
            return


@lru_cache(maxsize=4096)
def _text(name: bytes, value: bytes) -> tuple[str, str]:
    """A header as text. Most come again and again, and a journal keeps them all."""
    return name.decode("latin-1").lower(), value.decode("latin-1")


@lru_cache(maxsize=4096)
def _raw(name: str, value: str) -> tuple[bytes, bytes]:
    return name.encode("latin-1"), value.encode("latin-1")


async def take(
    scope: Scope, receive: Receive, *, seq: Callable[[], int], clock: Callable[[], int]
) -> Request | None:
    """The whole request, numbered and timed when its last byte came; None if the client left before."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        if size <= BODY_MAX:
            chunks.append(chunk)
        size += len(chunk)
        more = message.get("more_body", False)
    body = b"".join(chunks)[:BODY_MAX]
    raw_path = scope.get("raw_path") or scope["path"].encode()
    return Request(
        seq=seq(),
        t_us=clock(),
        method=scope["method"],
        path=raw_path.split(b"?")[0].decode("latin-1"),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=tuple([_text(name, value) for name, value in scope["headers"]]),
        body=body,
        json=parsed(body) if body else None,
        body_too_large=size > BODY_MAX,
    )


async def stays(receive: Receive, wait_us: int) -> bool:
    """Waits, and says whether the client is still there at the end; returns early when it leaves."""
    if wait_us <= 0:
        return True
    try:
        async with asyncio.timeout(wait_us / 1_000_000):
            while True:
                if (await receive())["type"] == "http.disconnect":
                    return False
    except TimeoutError:
        return True


async def deliver(reply: Reply, ending: Ending, receive: Receive, send: Send) -> Sent:
    """Hands the answer over as far as its ending lets it; endings that break need a `breakable` server."""
    if ending.how == "silence" and not await stays(receive, SILENCE_MAX_US):
        return Sent(None, (), 0, False, "client")
    if ending.how in ("close", "reset", "garbage"):
        await _break(ending.how, send)
        return Sent(None, (), 0, False, _breaker(ending.how))
    declared = reply.declared_length
    if ending.how == "cut":  # before the end that was announced, true or not
        return await _cut(reply, min(ending.at, len(reply.body), max(0, declared - 1)), ending.then, send)
    if declared > len(reply.body):  # A server that promises more than it has can only hang up.
        return await _cut(reply, len(reply.body), "close", send)
    sent = await _written(reply, declared, True, send)
    if declared < len(reply.body):  # The client stops reading where it was told to.
        return replace(sent, complete=False)
    return sent


def _breaker(how: str) -> Literal["server", "reset"]:
    return "reset" if how == "reset" else "server"


async def _cut(reply: Reply, length: int, then: Literal["close", "reset"], send: Send) -> Sent:
    sent = await _written(reply, length, False, send)
    if sent.ended_by == "client":
        return sent
    await _break(then, send)
    return replace(sent, complete=False, ended_by=_breaker(then))


async def _break(how: str, send: Send) -> None:
    if how == "garbage":
        await send({"type": "fakes.wire.raw", "data": GARBAGE})
        how = "close"
    await send({"type": f"fakes.wire.{how}"})


async def _written(reply: Reply, length: int, complete: bool, send: Send) -> Sent:
    headers = [_raw(name, value) for name, value in reply.headers]
    started = False
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        started = True
        if complete or length:
            await send({"type": "http.response.body", "body": reply.body[:length], "more_body": not complete})
    except OSError:  # the server's word for a client that has gone
        return Sent(reply.status if started else None, reply.headers if started else (), 0, False, "client")
    return Sent(reply.status, reply.headers, length, complete, "server")
