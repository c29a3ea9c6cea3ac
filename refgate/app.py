"""The edge: Starlette routes and lifespan. Bytes in, bytes out; nothing is decided here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from refgate import admin
from refgate.answer import Answer
from refgate.chat.routes import PREFIXES
from refgate.config.settings import Settings
from refgate.errors import Code, Refusal
from refgate.flows.answers import refused, respond
from refgate.gateway import Gateway
from refgate.knock import Knock
from refgate.ports import Ports, StoreUnavailable

__all__ = ["create_app"]

_PROXY = "/api/proxy/"
_CALLS = (_PROXY, *PREFIXES)
_TEXT = (("content-type", "text/plain; charset=utf-8"),)


def create_app(settings: Settings, ports: Ports) -> Starlette:
    """One replica as an ASGI app. Its lifespan starts and stops the deliverer and the sweeps.

    `app.state.gateway` is for whoever operates it: `drain()` ahead of a stop, `gate.in_hand`, `ready()`.
    """
    gateway = Gateway(settings, ports)
    edge = _Edge(gateway)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop()

    app = _Replica(
        edge,
        routes=[
            Route("/healthz", _healthz),
            Route("/readyz", edge.told(edge.readyz)),
            Route("/admin/{table}", edge.told(edge.page)),
        ],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    # Everything else comes here as it is: no redirect, and no reading of a path that is not ours to read.
    app.router.redirect_slashes = False
    app.router.default = edge
    app.state.gateway = gateway
    return app


class _Replica(Starlette):
    """Starlette, save that callers' requests go straight to the edge: its middleware has nothing to add to
    them, and every call would pay for it."""

    def __init__(self, edge: _Edge, **told: Any) -> None:
        super().__init__(**told)
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_CALLS):
            await self._edge(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def _healthz(_: Request) -> Response:
    return respond(Answer(200, _TEXT, b"ok\n"), call_id=None)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return refused(Refusal(Code.METHOD_NOT_ALLOWED, "this method is not for this path"))
    return refused(Refusal(Code.NOT_FOUND, "there is nothing here"))


class _Edge:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        front = self._gateway.chat_front
        if front is not None and scope["path"].startswith(PREFIXES):
            await front(_chat_knock(scope, receive), receive, send)
            return
        if not scope["path"].startswith(_PROXY):
            await refused(Refusal(Code.NOT_FOUND, "there is nothing here"))(scope, receive, send)
            return
        gate = self._gateway.gate
        try:
            gate.enter()
        except Refusal as refusal:
            await self._gateway.task_front.refuse(refusal)(scope, receive, send)
            return
        try:
            response = await self._gateway.task_front.answer(_knock(scope, receive))
            await response(scope, receive, send)
        except Exception as bug:
            self._gateway.task_front.failed("edge", bug)
            raise
        finally:
            gate.leave()

    async def readyz(self, _: Request) -> Response:
        if await self._gateway.ready():
            return respond(Answer(200, _TEXT, b"ready\n"), call_id=None)
        return respond(Answer(503, _TEXT, b"not ready\n"), call_id=None)

    async def page(self, request: Request) -> Response:
        return await admin.page(self._gateway, request)

    def told(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint, with what goes wrong in it answered in the one envelope."""

        async def guarded(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Refusal as refusal:
                return refused(refusal)
            except StoreUnavailable:
                return refused(
                    Refusal(Code.STORE_UNAVAILABLE, "the store cannot be reached", retry_after_s=1)
                )
            except Exception as bug:
                self._gateway.task_front.failed("edge", bug)
                return refused(Refusal(Code.INTERNAL, "something went wrong here"))

        return guarded


def _knock(scope: Scope, receive: Receive) -> Knock:
    raw = _raw_path(scope)
    # An escaped spelling of our own prefix is no path of ours; without its slash it is refused as such.
    inner = raw[len(_PROXY) - 1 :] if raw.startswith(_PROXY.encode()) else b""
    return _knock_at(inner, scope, receive)


def _chat_knock(scope: Scope, receive: Receive) -> Knock:
    return _knock_at(_raw_path(scope), scope, receive)


def _raw_path(scope: Scope) -> bytes:
    return scope.get("raw_path") or quote(scope["path"]).encode()


def _knock_at(path: bytes, scope: Scope, receive: Receive) -> Knock:
    headers = tuple(
        [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    )

    async def body(limit: int) -> bytes | None:
        return await _body(headers, receive, limit)

    return Knock(scope["method"], path, scope.get("query_string", b""), headers, body)


async def _body(headers: tuple[tuple[str, str], ...], receive: Receive, limit: int) -> bytes | None:
    """The request's body, or None as soon as it is known to be over the limit."""
    declared = next((value for name, value in headers if name == "content-length"), "0")
    if declared.isdecimal() and int(declared[:20]) > limit:
        return None
    if declared == "0" and not any(name == "transfer-encoding" for name, _ in headers):
        return b""  # a request says that it has a body
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(Code.BAD_REQUEST, "the body broke off")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
