"""The network of one simulated world: who listens where, and every exchange under way.

Everything on it is an ASGI app. A call to a name that was never attached is an escape: the client
sees a refused connection and the run is told, because on a real network it would have gone out.
The network decides nothing about retries, routes or answers; it carries, delays, breaks and counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

from fakes.time import Owner, SimLoop, current_owner
from fakes.wire.asgi import EXTENSION, SPEC_VERSION, ASGIApp, Head, Scope
from fakes.wire.client_end import ClientEnd, Timeouts
from fakes.wire.errors import ConnectFailed, ReadFailed
from fakes.wire.faults import Plan
from fakes.wire.link import Link
from fakes.wire.pipe import Pipe, TrickledPipe
from fakes.wire.request import Request
from fakes.wire.server_end import GONE, Down, ServerEnd, Up

__all__ = ["KEPT_MAX", "AppError", "Escape", "FaultPlayed", "Note", "Wire"]

KEPT_MAX = 10_000
"""Escapes, app errors and played faults kept, each; a run that has more has long said enough."""


@dataclass(frozen=True, slots=True)
class Escape:
    """A client asked for a host that is not in the world."""

    t_us: int
    src: str
    host: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class AppError:
    """An app raised, or returned without an answer. `client_gone`: nobody was there to see it."""

    t_us: int
    host: str
    method: str
    path: str
    error: Exception
    client_gone: bool


@dataclass(frozen=True, slots=True)
class FaultPlayed:
    """A fault of a link took effect on this exchange of it."""

    t_us: int
    src: str
    dst: str
    exchange: int
    fault: str


Note = Escape | AppError | FaultPlayed
_N = TypeVar("_N", Escape, AppError, FaultPlayed)


@dataclass(frozen=True, slots=True)
class _Host:
    """An app that listens."""

    name: str
    app: ASGIApp
    owner: Owner
    state: Mapping[str, Any]


class Wire:
    """One simulated network. `listeners` hear of each escape, app error and played fault at once."""

    def __init__(self, loop: SimLoop) -> None:
        self.escapes: list[Escape] = []
        self.app_errors: list[AppError] = []
        self.faults_played: list[FaultPlayed] = []
        self.listeners: list[Callable[[Note], None]] = []
        self._loop = loop
        self._context = Context()
        self._hosts: dict[str, _Host | None] = {}  # None: known, but nobody listens.
        self._links: dict[tuple[str, str], Link] = {}
        self._open: dict[int, ClientEnd] = {}
        self._numbers = 0
        self._watched: set[Owner] = set()

    # Who lives here.

    def attach(
        self, host: str, app: ASGIApp, *, owner: Owner | None = None, state: Mapping[str, Any] | None = None
    ) -> None:
        """Let `app` listen as `host`, in place of whoever did. `state`: what its lifespan set up."""
        owner = owner or self._loop.owner(host)
        self._watch(owner)
        self._hosts[host] = _Host(host, app, owner, state or {})

    def detach(self, host: str) -> None:
        """Stop listening: new connections are refused, exchanges under way go on."""
        self._hosts[host] = None

    def link(self, src: str, dst: str) -> Link:
        """The way from a client's end to a host, made on first use."""
        link = self._links.get((src, dst))
        if link is None:
            link = self._links[src, dst] = Link(src, dst, self._loop.seed)
        return link

    def links(self) -> list[Link]:
        """Every link there is, in the order of first use."""
        return list(self._links.values())

    def open_exchanges(self, *, src: str | None = None, dst: str | None = None) -> int:
        """Exchanges of which one end is still busy: a connection not given back, an app not returned."""
        return sum(
            (src is None or client.link.src == src) and (dst is None or client.link.dst == dst)
            for client in self._open.values()
        )

    def held_by(self, *, src: str, dst: str) -> int:
        """Exchanges that one machine itself is not done with: as a client, or as the host of an app."""
        return sum(
            (client.link.src == src and not client.done)
            or (client.link.dst == dst and client.server is not None and not client.server.done)
            for client in self._open.values()
        )

    def serving(self, host: str) -> int:
        """Exchanges whose app at `host` has not returned: what a graceful stop waits for."""
        return sum(
            client.server is not None and not client.server.done and client.link.dst == host
            for client in self._open.values()
        )

    def cut(self, owner: Owner) -> None:
        """The power of this owner is gone: its peers see resets, and nobody listens in its place."""
        for name, host in self._hosts.items():
            if host is not None and host.owner is owner:
                self._hosts[name] = None
        for client in list(self._open.values()):
            server = client.server
            if client.owner is owner:
                client.leave()
            if server is not None and server.owner is owner and not server.done:
                server.reset()
                server.done = True
                self._settle(client)

    # Calls.

    async def call(self, src: str, request: Request, timeouts: Timeouts) -> tuple[Head, ClientEnd]:
        """Send a request and wait for the head of its answer. The caller owns the end it is given."""
        name = request.host
        if name not in self._hosts:
            await self._refuse_stranger(src, request)
        link = self._links.get((src, name)) or self.link(src, name)
        owner = current_owner()
        if owner is not None:
            self._watch(owner)
        loop = self._loop
        self._numbers += 1
        link.opened += 1
        client = ClientEnd(
            loop, self._context, link, self._numbers, link.opened, owner, timeouts, self._settle
        )
        self._open[self._numbers] = client
        try:
            if not client.try_connection():
                await client.wait_connection()
            plan = link.plan(client.exchange, loop.now_us) if link.faults else None
            connect_us = self._connect_us(client, plan)
            if connect_us != 0:
                await client.connect(connect_us)
            host = self._hosts[name]
            if host is None or not host.owner.alive or (plan is not None and plan.refuse):
                await asyncio.sleep(0)  # However little time it takes, a refusal takes a step.
                raise ConnectFailed(f"connection refused: {name}")
            self._join(client, host, request, plan)
            if not client.write_at_once(request.body):
                await client.write(request.body)
            if plan is not None and plan.half_close and client.up is not None:
                self._played(link, client.exchange, "half_close")
                client.up.push(GONE)
            return await client.head(), client
        except BaseException:
            client.leave()
            raise

    async def _refuse_stranger(self, src: str, request: Request) -> None:
        path = request.path.decode("latin-1")
        self._note(self.escapes, Escape(self._loop.now_us, src, request.host, request.method, path))
        await asyncio.sleep(0)
        raise ConnectFailed(f"{request.host} is not in the world")

    def _connect_us(self, client: ClientEnd, plan: Plan | None) -> int | None:
        """How long the connection takes to be taken up; None: for ever."""
        takes_us: int | None = client.link.connect_us(client.exchange)
        if plan is not None:
            if plan.blackhole == "connect":
                takes_us = None
                self._played(client.link, client.exchange, "blackhole")
            if plan.refuse:
                self._played(client.link, client.exchange, "refuse")
        return takes_us

    def _join(self, client: ClientEnd, host: _Host, request: Request, plan: Plan | None) -> None:
        """Lay the two pipes between the client and a new server's end."""
        loop, context, link, exchange = self._loop, self._context, client.link, client.exchange
        played = partial(self._played, link, exchange)
        down_us = partial(link.down_us, exchange)
        down: Pipe[Down]
        if plan is not None and plan.trickle is not None:
            played("trickle")
            down = TrickledPipe(loop, context, down_us, client.arrive, plan.trickle)
        else:
            down = Pipe(loop, context, down_us, client.arrive)
        server = ServerEnd(
            loop, request.method, host.owner, down, plan, played, partial(self._start, host, request)
        )
        lost = plan is not None and (plan.reset_before or plan.blackhole == "request")
        client.server = server
        client.up = Pipe(loop, context, partial(link.up_us, exchange), _lose if lost else server.arrive)
        server.client = client
        if lost and plan is not None:
            server.done = True
            played("reset_before" if plan.reset_before else "blackhole")
            if plan.reset_before:
                down.push(ReadFailed("connection reset by peer"))

    def _start(self, host: _Host, request: Request, server: ServerEnd) -> None:
        """The request reached the host: run its app, as one task of the host's owner."""
        client = server.client
        self._loop.spawn(
            host.owner,
            server.run(
                host.app,
                _scope(host, request, client),
                partial(self._failed, host, request, server),
                partial(self._ended, server),
            ),
            name=f"{host.name} {client.link.src}#{client.exchange}",
        )

    def _failed(self, host: _Host, request: Request, server: ServerEnd, error: Exception) -> None:
        if host.owner is not None and not host.owner.alive:
            return  # A dead process fails at nothing; its coroutines are only being closed.
        path = request.path.decode("latin-1")
        self._note(
            self.app_errors, AppError(self._loop.now_us, host.name, request.method, path, error, server.gone)
        )

    def _ended(self, server: ServerEnd) -> None:
        server.done = True
        self._settle(server.client)

    def _played(self, link: Link, exchange: int, fault: str) -> None:
        self._note(self.faults_played, FaultPlayed(self._loop.now_us, link.src, link.dst, exchange, fault))

    def _note(self, kept: list[_N], note: _N) -> None:
        if len(kept) < KEPT_MAX:
            kept.append(note)
        for listener in self.listeners:
            listener(note)

    def _settle(self, client: ClientEnd) -> None:
        """Forget an exchange once both of its ends are done."""
        if client.done and (client.server is None or client.server.done):
            self._open.pop(client.number, None)
            client.server = client.up = None  # Else the two ends would wait for the garbage collector.

    def _watch(self, owner: Owner) -> None:
        if owner not in self._watched:
            self._watched.add(owner)
            owner.on_cut.append(partial(self.cut, owner))


def _lose(item: Up) -> None:
    """Where the messages of a blackholed request go."""


def _scope(host: _Host, request: Request, client: ClientEnd) -> Scope:
    path = request.path.decode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": "1.1",
        "server": (host.name, request.port),
        "client": (client.link.src, 1024 + client.exchange % 60_000),
        "scheme": request.scheme,
        "method": request.method,
        "root_path": "",
        "path": unquote(path) if "%" in path else path,
        "raw_path": request.path,
        "query_string": request.query,
        "headers": request.headers,
        "state": dict(host.state),
        "extensions": {EXTENSION: {}},
    }
