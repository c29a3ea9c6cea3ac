"""A toy gateway of models for tests of the engine: it hands each request on to one backend, as it is.

The caller's protocol is the backend's. It writes down nothing but a row a call, knows no retry and no money;
a dead backend is a 502. The engine's tests judge the engine, not the toy.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from scenarios.load import load_text
from scenarios.model.scenario import Scenario
from scenarios.run import Run, play
from scenarios.world.doors import Doors

CONFIG: dict[str, Any] = {
    "admin": {"key": {"env": "ADMIN_KEY"}},
    "callers": {"alice": {"key": {"env": "ALICE_KEY"}, "accounts": ["alice", "team"]}},
    "billing": {"kind": "embedded", "accounts": {"alice": {"grant": "10.00"}}},
    "providers": {},
    "backends": {
        "east": {"dialect": "openai", "key": {"env": "EAST_KEY"}},
        "rome": {"dialect": "anthropic", "key": {"env": "ROME_KEY"}},
        "tokyo": {"dialect": "gemini", "key": {"env": "TOKYO_KEY"}},
    },
    "models": {"small": {}, "embed": {"kind": "embeddings"}},
}

_BACKENDS = {
    "/v1/messages": ("rome", "ROME_KEY", "x-api-key"),
    "/v1beta": ("tokyo", "TOKYO_KEY", "x-goog-api-key"),
}
_KEPT = ("content-type", "accept", "anthropic-version")
_COLUMNS = ("call_id", "account", "state", "outcome")


@dataclass(frozen=True)
class ChatToy:
    """Builds the app. With `mute` nobody is served."""

    mute: bool = False

    def build(self, config: Mapping[str, Any], environ: Mapping[str, str], doors: Doors) -> Any:
        return _App(self, environ, doors)

    def drain(self, app: Any) -> None:
        pass


class _App:
    def __init__(self, toy: ChatToy, environ: Mapping[str, str], doors: Doors) -> None:
        self._toy, self._environ, self._doors = toy, environ, doors
        self._rows: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        path = scope["path"]
        if path.startswith("/admin/"):
            table = path.removeprefix("/admin/")
            rows = self._rows if table == "chats" else []
            await _answer(send, 200, json.dumps({"rows": rows, "next": None}).encode())
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await self._forward(scope, body, send)

    async def _forward(self, scope: Any, body: bytes, send: Any) -> None:
        call_id = self._doors.ids("call")
        row = {"call_id": call_id, "account": "alice", "state": "ended", "outcome": "served"}
        if self._toy.mute:
            await _answer(send, 503, b'{"error": {"code": "exhausted", "message": "no"}}')
            return
        prefix = next((one for one in _BACKENDS if scope["path"].startswith(one)), "")
        host, key, place = _BACKENDS.get(prefix, ("east", "EAST_KEY", "authorization"))
        secret = self._environ[key]
        headers = {
            name.decode(): value.decode() for name, value in scope["headers"] if name.decode() in _KEPT
        }
        headers[place] = f"Bearer {secret}" if place == "authorization" else secret
        query = scope["query_string"].decode()
        url = f"http://{host}.test{scope['path']}" + (f"?{query}" if query else "")
        request = httpx.Request("POST", url, content=body, headers=headers)
        try:
            response = await self._doors.transport.handle_async_request(request)
        except httpx.TransportError:
            await _answer(send, 502, b'{"error": {"code": "unreachable", "message": "no"}}')
            return
        self._rows.append(row)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        kept = [
            (name.lower(), value) for name, value in response.headers.raw if name.lower() != b"content-length"
        ]
        head = [*kept, (b"x-proxy-call-id", call_id.encode())]
        await send({"type": "http.response.start", "status": response.status_code, "headers": head})
        async for chunk in response.stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _answer(send: Any, status: int, body: bytes) -> None:
    head = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


_PLAN = '{models: {"*": {context: 99999}}, words: 5, first: 100ms, between: 20ms}'
_HEAD = """
about: callers of models meet a toy
gateway: {config: %s}
providers:
  east: {wire: openai, plan: %s, acts: %s}
  rome: {wire: anthropic, plan: %s, acts: %s}
  tokyo: {wire: gemini, plan: %s, acts: %s}
links: [{from: gateway, to: east, latency: {fixed: 0s}}, {from: client, to: gateway-0, latency: {fixed: 0s}}]
traffic:
"""


def chats(*traffic: str, acts: Iterable[str] = ()) -> Scenario:
    """A scenario of this traffic, with the acts at every provider."""
    at_all = f"[{', '.join(acts)}]"
    head = _HEAD % (json.dumps(CONFIG), *(3 * (_PLAN, at_all)))
    return load_text(head + "".join(f"  - {block}\n" for block in traffic))


def played(*traffic: str, acts: Iterable[str] = (), seed: int = 1, toy: ChatToy = ChatToy()) -> Run:
    return play(chats(*traffic, acts=acts), seed, gateway=toy, judged=False)
