"""A whole gateway for chat in virtual time, with fake vendors behind it and plain callers before it.

The gateway is the real one down to SQLite; the network and the vendors are the simulated ones. Bodies are
written here in each protocol's own words, all asking for the same.
"""

from __future__ import annotations

import copy
import json
import random
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.acts.script import Script
from fakes.chat.plan import ChatPlan
from fakes.chat.provider import ChatProvider
from fakes.journal import ChatEnded, Fact, Journal
from fakes.time import SimLoop, current_loop, run_virtual
from fakes.wire import Answer, DirectClient, HttpxTransport, Lifespan, Streamed, Wire
from refgate import Ports, Settings, create_app
from refgate.events import Event, line
from scenarios.reference import ListSpool
from tests.refgate.ledger_kit import FaultyConnection, connect

__all__ = ["PROTOCOLS", "ChatWorld", "S", "ask", "config", "played", "said", "whole_text"]

S = 1_000_000
ENVIRON = {
    "ADMIN_KEY": "canary-admin",
    "ALICE_KEY": "canary-caller-alice",
    "BOB_KEY": "canary-caller-bob",
    **{f"{name.upper()}_KEY": f"canary-provider-{name}" for name in ("east", "west", "rome", "tokyo")},
}
_DIALECTS = {"east": "openai", "west": "openai", "rome": "anthropic", "tokyo": "gemini"}
_PRICES = {
    "gpt-4o-mini": {"input": "0.15", "output": "0.60", "cache_read": "0.075"},
    "claude-haiku-4-5": {"input": "1", "output": "5", "cache_read": "0.10"},
    "gemini-2.5-flash": {"input": "0.30", "output": "2.50", "cache_read": "0.03"},
    "text-embedding-3-small": {"input": "0.02", "output": "0"},
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
        "accounts": {"alice": {"grant": "10.00"}, "alice-2": {"grant": "1.00"}, "bob": {"grant": "0.000001"}},
    },
    "reconcile": {"every": "5s", "lease": "30s"},
    "backends": {
        "east": {"dialect": "openai", "base_url": "http://east.test/v1", "key": {"env": "EAST_KEY"}},
        "west": {"dialect": "openai", "base_url": "http://west.test/v1", "key": {"env": "WEST_KEY"}},
        "rome": {"dialect": "anthropic", "base_url": "http://rome.test/v1", "key": {"env": "ROME_KEY"}},
        "tokyo": {"dialect": "gemini", "base_url": "http://tokyo.test/v1beta", "key": {"env": "TOKYO_KEY"}},
    },
    "models": {
        "small": {
            "aliases": ["gpt-4o-mini"],
            "pools": [
                {
                    "name": "main",
                    "primary": True,
                    "backends": [
                        {"backend": "east", "model": "gpt-4o-mini"},
                        {"backend": "west", "model": "gpt-4o-mini"},
                    ],
                },
                {"name": "spare", "backends": [{"backend": "rome", "model": "claude-haiku-4-5"}]},
            ],
        },
        "of-east": {"pools": [{"name": "p", "backends": [{"backend": "east", "model": "gpt-4o-mini"}]}]},
        "of-rome": {"pools": [{"name": "p", "backends": [{"backend": "rome", "model": "claude-haiku-4-5"}]}]},
        "of-tokyo": {
            "pools": [{"name": "p", "backends": [{"backend": "tokyo", "model": "gemini-2.5-flash"}]}]
        },
        "embed": {
            "kind": "embeddings",
            "pools": [{"name": "p", "backends": [{"backend": "east", "model": "text-embedding-3-small"}]}],
        },
    },
    "prices": _PRICES,
    "chat": {
        "cooldown": {"first": "5s", "max": "1m"},
        "timeouts": {
            "connect": "2s",
            "headers": "10s",
            "first_token": "10s",
            "between_tokens": "5s",
            "whole": "60s",
        },
        "drain": {"streams": 2, "within": "10s"},
    },
}
PROTOCOLS = ("openai_chat", "openai_responses", "anthropic", "gemini")


def config(**changes: Any) -> dict[str, Any]:
    """The kit's configuration; a keyword such as `chat__attempts` replaces what is there."""
    made = copy.deepcopy(_CONFIG)
    for place, value in changes.items():
        *way, last = place.split("__")
        inner = made
        for step in way:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return made


def ask(
    protocol: str = "openai_chat",
    *,
    model: str = "small",
    stream: bool = False,
    text: str = "nonce:n1 tell me",
    most: int | None = 200,
    **more: Any,
) -> tuple[str, dict[str, Any]]:
    """A path and a body that ask for the same thing in that protocol."""
    match protocol:
        case "openai_chat":
            body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
            path, bound = "/v1/chat/completions", "max_completion_tokens"
        case "openai_responses":
            body, path, bound = {"model": model, "input": text}, "/v1/responses", "max_output_tokens"
        case "anthropic":
            body = {"model": model, "messages": [{"role": "user", "content": text}]}
            path, bound = "/v1/messages", "max_tokens"
        case "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
            if most is not None:
                body["generationConfig"] = {"maxOutputTokens": most}
            return f"/v1beta/models/{model}:{verb}", {**body, **more}
        case _:
            raise ValueError(protocol)
    if most is not None:
        body[bound] = most
    if stream:
        body["stream"] = True
    return path, {**body, **more}


@dataclass
class ChatWorld:
    """Replicas on one store file, four vendors, and callers. Acts are by vendor, before it starts."""

    path: Path
    loop: SimLoop = field(default_factory=current_loop)
    events: list[Event] = field(default_factory=list)
    fault: Callable[[str, str], None] | None = None  # at the store of every replica

    def __post_init__(self) -> None:
        self.wire = Wire(self.loop)
        self.journal = Journal()
        self.vendors: dict[str, ChatProvider] = {}
        self.spools: dict[str, list[bytes]] = {}  # by replica: they outlive its incarnations
        self._ids = 0
        self._lifespans: dict[str, Lifespan] = {}
        self._connections: list[FaultyConnection] = []
        self.apps: dict[str, Any] = {}
        for name in _DIALECTS:
            self.vendor(name)

    def vendor(self, name: str, *acts: Mapping[str, Any], **plan: Any) -> ChatProvider:
        """A vendor anew, with these acts and this plan; it bills what the gateway thinks it does."""
        plan.setdefault("models", {model: {"prices": prices} for model, prices in _PRICES.items()})
        made = ChatProvider(
            name,
            dialects=_DIALECTS[name],
            journal=self.journal,
            clock=lambda: self.loop.now_us,
            script=Script.for_chat(acts),
            plan=ChatPlan.model_validate(plan),
        )
        self.vendors[name] = made
        self.wire.attach(f"{name}.test", made.app)
        return made

    async def gateway(self, name: str = "g0", **changes: Any) -> Any:
        settings = Settings.parse(config(**changes), environ=ENVIRON)
        spooled = self.spools.setdefault(name, [])
        ports = Ports(
            clock=self.loop.wall_us,
            ids=self._id,
            chance=random.Random(f"{self.loop.seed}/{name}"),
            transport=HttpxTransport(self.wire, name),
            database=self._connect,
            sink=self.events.append,
            spool=lambda: ListSpool(spooled),
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

    def _request(
        self, path: str, body: Any, as_: str | None, headers: tuple[tuple[str, str], ...], to: str
    ) -> tuple[str, dict[str, Any]]:
        given = [*headers]
        if as_ is not None:
            given.append(("authorization", f"Bearer canary-caller-{as_}"))
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return f"http://{to}.test{path}", {"headers": given, "body": body}

    async def call(
        self,
        protocol: str = "openai_chat",
        *,
        as_: str | None = "alice",
        headers: tuple[tuple[str, str], ...] = (),
        to: str = "g0",
        **asked: Any,
    ) -> Answer:
        """One chat call, as `ask` writes it; its answer whole, also where it is a stream."""
        return await self.post(*ask(protocol, **asked), as_=as_, headers=headers, to=to)

    async def post(
        self,
        path: str,
        body: Any,
        *,
        as_: str | None = "alice",
        headers: tuple[tuple[str, str], ...] = (),
        to: str = "g0",
    ) -> Answer:
        url, request = self._request(path, body, as_, headers, to)
        return await DirectClient(self.wire, "client").request("POST", url, **request)

    def streaming(self, protocol: str = "openai_chat", *, to: str = "g0", **asked: Any) -> Streamed:
        """A stream that can be left: `async with` it."""
        url, request = self._request(*ask(protocol, stream=True, **asked), "alice", (), to)
        return DirectClient(self.wire, "client").stream("POST", url, **request)

    async def get(
        self, path: str, *, as_: str | None = "alice", headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        url, request = self._request(path, b"", as_, headers, "g0")
        return await DirectClient(self.wire, "client").request("GET", url, headers=request["headers"])

    async def rows(self, table: str, *, to: str = "g0") -> list[dict[str, Any]]:
        key = (("authorization", "Bearer canary-admin"),)
        url = f"http://{to}.test/admin/{table}?limit=500"
        answer = await DirectClient(self.wire, "admin").request("GET", url, headers=key)
        assert answer.status == 200, answer
        rows: list[dict[str, Any]] = json.loads(answer.body)["rows"]
        return rows

    async def only_chat(self) -> dict[str, Any]:
        (row,) = await self.rows("chats")
        return row

    def facts(self, kind: type[Fact]) -> list[Any]:
        return [fact for fact in self.journal if isinstance(fact, kind)]

    def works(self) -> list[tuple[str, ChatEnded]]:
        """What the vendors did: by whom, and what it came to."""
        return [(fact.at, fact) for fact in self.facts(ChatEnded)]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def logged(self) -> str:
        return "\n".join(map(line, self.events))

    async def stop(self, name: str) -> None:
        await self._lifespans.pop(name).shutdown()

    async def close(self) -> None:
        for name in [*self._lifespans]:
            await self.stop(name)
        for cx in self._connections:
            cx.close()
        # A caller who takes nothing is cut off, which is told to its server by leaving the answer as it is.
        assert [one for one in self.wire.app_errors if "without completing" not in str(one.error)] == []
        assert not [
            one for one in self.events if one.kind == "failed" and getattr(one, "where", "") == "chat"
        ]


def played(path: Path, story: Callable[[ChatWorld], Awaitable[None]], **changes: Any) -> ChatWorld:
    """Plays a story in a fresh world with one running replica, and stops it at its end."""

    async def main() -> ChatWorld:
        world = ChatWorld(path / "store.sqlite")
        await world.gateway(**changes)
        await story(world)
        await world.close()
        return world

    return run_virtual(main)


def said(protocol: str, answer: Answer | bytes) -> str:
    """The words of an answer, streamed or whole."""
    body = answer if isinstance(answer, bytes) else answer.body
    if body.lstrip()[:1] == b"{":
        return whole_text(protocol, json.loads(body))
    pieces = []
    for frame in body.decode().replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(one[5:].removeprefix(" ") for one in frame.split("\n") if one.startswith("data:"))
        if data and data != "[DONE]":
            pieces.append(_piece(protocol, json.loads(data)))
    return "".join(pieces)


def whole_text(protocol: str, body: Any) -> str:
    match protocol:
        case "openai_chat":
            return str(body["choices"][0]["message"]["content"])
        case "openai_responses":
            return "".join(part["text"] for item in body["output"] for part in item.get("content", ()))
        case "anthropic":
            return "".join(block.get("text", "") for block in body["content"])
        case _:
            return "".join(part.get("text", "") for part in body["candidates"][0]["content"]["parts"])


def _piece(protocol: str, event: Any) -> str:
    match protocol:
        case "openai_chat":
            return "".join(one["delta"].get("content") or "" for one in event["choices"])
        case "openai_responses":
            return str(event["delta"]) if event["type"] == "response.output_text.delta" else ""
        case "anthropic":
            return str(event["delta"].get("text", "")) if event["type"] == "content_block_delta" else ""
        case _:
            parts = event.get("candidates", [{}])[0].get("content", {}).get("parts", ())
            return "".join(part.get("text", "") for part in parts)
