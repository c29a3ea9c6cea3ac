"""A whole gateway in virtual time, with a provider that does what a test says, and callers.

The gateway is the real one from its ASGI app down to SQLite; the network is the simulated one. The
provider is the simplest there can be: a function from what it received to what it answers.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.time import SimLoop, current_loop, run_virtual
from fakes.wire import Answer, DirectClient, HttpxTransport, Lifespan, Wire
from fakes.wire.asgi import Receive, Scope, Send
from refgate import Ports, Settings, create_app
from refgate.events import Event, line
from scenarios.reference import ListSpool
from tests.refgate.ledger_kit import FaultyConnection, connect

__all__ = ["ENVIRON", "Provider", "Reply", "Seen", "World", "config", "played"]

S = 1_000_000
ENVIRON = {
    "ADMIN_KEY": "canary-admin",
    "ALICE_KEY": "canary-caller-alice",
    "BOB_KEY": "canary-caller-bob",
    "RH_KEY": "canary-provider-rh",
    "BILLING_KEY": "canary-billing",
}
_CONFIG: dict[str, Any] = {
    "listen": {"drain": "20s"},
    "admin": {"key": {"env": "ADMIN_KEY"}},
    "callers": {
        "alice": {"key": {"env": "ALICE_KEY"}, "accounts": ["alice", "alice-*"]},
        "bob": {"key": {"env": "BOB_KEY"}, "accounts": ["bob"]},
    },
    "billing": {
        "kind": "embedded",
        "accounts": {"alice": {"grant": "10.00"}, "alice-2": {"grant": "1.00"}, "bob": {"grant": "0.40"}},
    },
    "reconcile": {"every": "5s", "poll_after": "60s", "lease": "30s", "verdict_within": "1h"},
    "providers": {
        "rh": {
            "base_url": "http://rh.test",
            "auth": {"key": {"env": "RH_KEY"}},
            "hold": "0.50",
            "headers": {"request": ["x-extra"], "answer": ["x-note"]},
            "submit": [{"match": "POST /v2/{app}", "task_id": "$.taskId", "rejection": ["$.errorCode"]}],
            "query": [
                {
                    "match": "POST /v2/query",
                    "task_id": {"body": "$.taskId"},
                    "status": "$.status",
                    "success": ["SUCCESS"],
                    "failure": ["FAILED"],
                    "usage": {"path": "$.usage.cost", "unit_price": "1", "max": "5.00"},
                },
                {
                    "match": "GET /v2/tasks/{id}",
                    "task_id": {"path": "id"},
                    "status": "$.status",
                    "success": ["SUCCESS"],
                    "failure": ["FAILED"],
                    "usage": {"path": "$.usage.cost", "unit_price": "1", "max": "5.00"},
                },
                {
                    "match": "GET /v2/status",
                    "task_id": {"query": "task_id"},
                    "status": "$.status",
                    "success": ["SUCCESS"],
                    "usage": {"header": "x-units", "unit_price": "0.01", "max": "5.00"},
                    "usage_from": {"path": "/v2/tasks/{task_id}/output"},
                },
            ],
            "result": [{"match": "GET /v2/tasks/{id}/output", "task_id": {"path": "id"}}],
            "poll": {"method": "POST", "path": "/v2/query", "json": {"taskId": "{task_id}"}},
            "ambiguous": {"resolve": "resend", "label": {"header": "Idempotency-Key"}},
        }
    },
}


def config(**changes: Any) -> dict[str, Any]:
    """The kit's configuration; a keyword such as `providers__rh__hold` replaces what is there."""
    made = copy.deepcopy(_CONFIG)
    for place, value in changes.items():
        *way, last = place.split("__")
        inner = made
        for step in way:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return made


@dataclass(frozen=True)
class Seen:
    """What the provider received."""

    t_us: int
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What it answers: after a time; whole, in pieces, or not at all."""

    status: int = 200
    json: Any = None
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    after_s: float = 0.01
    pieces: tuple[bytes | float, ...] = ()
    end: str = "whole"  # whole | reset (after the pieces) | hang

    @property
    def bytes(self) -> bytes:
        return self.body if self.body is not None else json.dumps(self.json).encode()


class Provider:
    """`answer` may be replaced at any time by a function (Seen) -> Reply. By default tasks run 20 s."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.seen: list[Seen] = []
        self.left = 0  # exchanges that ended because the other side went away
        self.began: dict[str, int] = {}
        self.answer: Callable[[Seen], Reply] = self.well_behaved

    def well_behaved(self, seen: Seen) -> Reply:
        if seen.method == "POST" and seen.path != "/v2/query":
            task_id = f"t{len(self.began) + 1}"
            self.began[task_id] = seen.t_us
            return Reply(json={"taskId": task_id, "status": "QUEUED"})
        task_id = seen.json["taskId"] if seen.method == "POST" else seen.path.split("/")[3:4][0]
        if seen.path.endswith("/output"):
            return Reply(
                json={"video": task_id}, headers=(("x-units", "25"), ("content-type", "application/json"))
            )
        over = seen.t_us - self.began.get(task_id, 0) >= 20 * S
        usage = {"cost": "0.250"} if over else None
        return Reply(json={"taskId": task_id, "status": "SUCCESS" if over else "RUNNING", "usage": usage})

    def ops(self) -> list[str]:
        """What was asked, in order: `POST /v2/video`."""
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        path = scope["raw_path"].decode()
        seen = Seen(self.loop.now_us, scope["method"], path, query, headers, body)
        self.seen.append(seen)
        reply = self.answer(seen)
        talking = asyncio.create_task(self._talk(reply, send))
        gone = asyncio.create_task(receive())
        gone.add_done_callback(lambda _: talking.cancel())
        try:
            await talking
        except asyncio.CancelledError:
            self.left += 1
        finally:
            gone.cancel()

    async def _talk(self, reply: Reply, send: Send) -> None:
        await asyncio.sleep(reply.after_s)
        if reply.end == "hang" and not reply.pieces:
            await asyncio.Event().wait()
        if reply.end != "reset" or reply.pieces:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers]
            await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        for piece in reply.pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        if reply.end == "hang":
            await asyncio.Event().wait()
        if reply.end == "reset":
            await send({"type": "fakes.wire.reset"})
            return
        body = b"" if reply.pieces else reply.bytes
        await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass
class World:
    """Replicas on one store file, one provider, and callers."""

    path: Path
    loop: SimLoop = field(default_factory=current_loop)
    events: list[Event] = field(default_factory=list)
    fault: Callable[[str, str], None] | None = None  # at the store of every replica

    def __post_init__(self) -> None:
        self.wire = Wire(self.loop)
        self.provider = Provider(self.loop)
        self.wire.attach("rh.test", self.provider.app)
        self._ids = 0
        self.spools: dict[str, list[bytes]] = {}
        self._lifespans: dict[str, Lifespan] = {}
        self._connections: list[FaultyConnection] = []
        self.apps: dict[str, Any] = {}

    async def gateway(self, name: str = "g0", **changes: Any) -> Any:
        """Starts a replica; the app, whose `state.gateway` is the gateway."""
        settings = Settings.parse(config(**changes), environ=ENVIRON)
        ports = Ports(
            clock=self.loop.wall_us,
            ids=self._id,
            chance=random.Random(f"{self.loop.seed}/{name}"),
            transport=HttpxTransport(self.wire, name),
            database=self._connect,
            sink=self.events.append,
            spool=lambda: ListSpool(self.spools.setdefault(name, [])),
        )
        app = create_app(settings, ports)
        lifespan = Lifespan(app, self.loop, self.loop.owner(name))
        await lifespan.startup()
        self._lifespans[name] = lifespan
        self.wire.attach(f"{name}.test", app, owner=self.loop.owner(name))
        self.apps[name] = app
        return app

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids}"

    def _connect(self) -> sqlite3.Connection:
        cx = connect(self.path)
        cx.fault = lambda sql, side: self.fault(sql, side) if self.fault is not None else None
        self._connections.append(cx)
        return cx

    async def call(
        self,
        method: str,
        path: str,
        *,
        as_: str | None = "alice",
        body: bytes | None = None,
        json: Any = None,
        headers: tuple[tuple[str, str], ...] = (),
        to: str = "g0",
        key: str | None = None,
    ) -> Answer:
        """One request of a caller to `/api/proxy/rh` + path."""
        given = [*headers]
        if as_ is not None:
            given.append(("authorization", f"Bearer canary-caller-{as_}"))
        if key is not None:
            given.append(("x-idempotency-key", key))
        if json is not None:
            body = _dumps(json)
            given.append(("content-type", "application/json"))
        client = DirectClient(self.wire, "client")
        url = f"http://{to}.test/api/proxy/rh{path}"
        return await client.request(method, url, headers=given, body=body or b"")

    async def submit(self, **more: Any) -> Answer:
        return await self.call("POST", "/v2/video", **{"json": {"prompt": "p"}, **more})

    async def poll(self, task_id: str = "t1", **more: Any) -> Answer:
        return await self.call("POST", "/v2/query", json={"taskId": task_id}, **more)

    async def rows(self, table: str, *, to: str = "g0", **query: str) -> list[dict[str, Any]]:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        answer = await self.admin(f"/admin/{table}?{asked}", to=to)
        assert answer.status == 200, answer
        rows: list[dict[str, Any]] = _loads(answer.body)["rows"]
        return rows

    async def admin(self, path: str, *, key: str | None = "canary-admin", to: str = "g0") -> Answer:
        given = () if key is None else (("authorization", f"Bearer {key}"),)
        return await DirectClient(self.wire, "admin").request("GET", f"http://{to}.test{path}", headers=given)

    async def only_call(self) -> dict[str, Any]:
        (row,) = await self.rows("calls")
        return row

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def logged(self) -> str:
        return "\n".join(map(line, self.events))

    async def stop(self, name: str) -> None:
        """Stops a replica gracefully."""
        await self._lifespans.pop(name).shutdown()

    async def close(self) -> None:
        for name in [*self._lifespans]:
            await self.stop(name)
        for cx in self._connections:
            cx.close()
        assert self.wire.app_errors == []


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _loads(data: bytes) -> Any:
    return json.loads(data)


def played(
    path: Path, story: Callable[[World], Awaitable[None]], *, replicas: int = 1, **changes: Any
) -> World:
    """Plays a story in a fresh world with running replicas, and stops them at its end."""

    async def main() -> World:
        world = World(path / "store.sqlite")
        for number in range(replicas):
            await world.gateway(f"g{number}", **changes)
        await story(world)
        await world.close()
        return world

    return run_virtual(main)


def code(answer: Answer) -> str:
    """The code of one of the gateway's own answers, which says the same in its header."""
    told = _loads(answer.body)["error"]
    assert answer.header("x-refgate-error") == told["code"]
    assert set(told) <= {"code", "message", "call_id", "retry_after_s"}
    return str(told["code"])


__all__ += ["S", "code"]
