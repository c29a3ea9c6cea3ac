"""A toy gateway for tests of the engine: it forwards, keeps one row a submit, and bills nothing.

It has the read API that the engine looks at, and a store that loses what was not committed. Honest about
little: the engine's tests judge the engine, not the toy.
"""

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from scenarios.world.doors import Doors

CONFIG: dict[str, Any] = {
    "admin": {"key": {"env": "ADMIN_KEY"}},
    "callers": {
        "alice": {"key": {"env": "ALICE_KEY"}, "accounts": ["alice", "team"]},
        "bob": {"key": {"env": "BOB_KEY"}, "accounts": ["bob"]},
    },
    "billing": {"kind": "embedded", "accounts": {"alice": {"grant": "10.00"}}},
    "providers": {"rh": {"base_url": "http://rh.test", "auth": {"key": {"env": "RH_KEY"}}}},
}


@dataclass(frozen=True)
class Toy:
    """Builds the app. `fail` says where it does: `build`, `startup`, `request`, or by `hang` or `spin`."""

    fail: str = ""
    strays: bool = False

    def build(self, config: Mapping[str, Any], environ: Mapping[str, str], doors: Doors) -> Any:
        if self.fail == "build":
            raise RuntimeError("no such setting")
        return _App(self, config, environ, doors)

    def drain(self, app: Any) -> None:
        app.draining = True


class _App:
    def __init__(self, toy: Toy, config: Mapping[str, Any], environ: Mapping[str, str], doors: Doors) -> None:
        self._toy, self._config, self._environ, self._doors = toy, config, environ, doors
        self._cx: sqlite3.Connection | None = None
        self.draining = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if self._toy.fail == "request":
            raise RuntimeError("a bug")
        if self._toy.fail == "hang":
            await asyncio.Event().wait()
        while self._toy.fail == "spin":  # noqa: ASYNC110  # a livelock is what is wanted
            await asyncio.sleep(0)
        path = scope["path"]
        if path.startswith("/admin/"):
            status, answer = 200, json.dumps({"rows": self._rows(path), "next": None}).encode()
        else:
            status, answer = await self._forward(scope["method"], path, body)
        head = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        if self._toy.fail == "startup":
            await send({"type": "lifespan.startup.failed", "message": "no store"})
            return
        self._cx = self._doors.database()
        self._write("CREATE TABLE IF NOT EXISTS calls (call_id TEXT, path TEXT, state TEXT)")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _write(self, sql: str, *values: object) -> None:
        assert self._cx is not None
        self._cx.execute("BEGIN IMMEDIATE")
        try:
            self._cx.execute(sql, values)
            self._cx.execute("COMMIT")
        except sqlite3.Error:
            if self._cx.in_transaction:
                self._cx.execute("ROLLBACK")
            raise

    def _rows(self, path: str) -> list[dict[str, Any]]:
        assert self._cx is not None
        if path == "/admin/accounts":
            zero = {"settled_nanos": 0, "held_nanos": 0, "granted_nanos": 0, "available_nanos": 0}
            return [{"account": "alice", **zero}]
        if path == "/admin/calls":
            names = ("call_id", "path", "state")
            return [dict(zip(names, row, strict=True)) for row in self._cx.execute("SELECT * FROM calls")]
        return []

    async def _forward(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        _, _, rest = path.removeprefix("/api/proxy/").partition("/")
        call_id = self._doors.ids("call")
        try:
            if not rest.endswith("query"):
                self._write("INSERT INTO calls VALUES (?, ?, 'finalized')", call_id, rest)
        except sqlite3.Error:
            return 503, b"store"
        self._doors.sink("forwarded", call_id)
        host = "elsewhere.example" if self._toy.strays else "rh.test"
        key = self._environ["RH_KEY"]
        request = httpx.Request(
            method, f"http://{host}/{rest}", content=body, headers={"authorization": f"Bearer {key}"}
        )
        try:
            response = await self._doors.transport.handle_async_request(request)
            return response.status_code, await response.aread()
        except httpx.TransportError:
            return 502, b"upstream"
