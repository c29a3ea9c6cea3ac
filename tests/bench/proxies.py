"""What a gateway is measured against: the least that one can write, without keys, routing, money or log.

`python -m tests.bench.proxies httpx|aiohttp URL` prints its port and hands everything on to that address,
under the same server, with the same settings, as `refgate serve`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
import uvicorn
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

__all__ = ["on_aiohttp", "on_httpx"]

_STREAM = "text/event-stream"


def on_httpx(url: str) -> Starlette:
    """`httpx.AsyncClient` over the aiohttp-backed transport."""
    session = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=60) as client:
            session.append(client)
            yield

    async def forward(request: Request) -> Response:
        client = session[0]
        headers = {"content-type": "application/json", "authorization": request.headers["authorization"]}
        asked = client.build_request(
            "POST", url + request.url.path, content=await request.body(), headers=headers
        )
        answer = await client.send(asked, stream=True)
        kind = answer.headers["content-type"]
        if kind.startswith(_STREAM):

            async def told() -> AsyncIterator[bytes]:
                try:
                    async for piece in answer.aiter_raw():
                        yield piece
                finally:
                    await answer.aclose()

            return StreamingResponse(told(), answer.status_code, media_type=kind)
        try:
            return Response(await answer.aread(), answer.status_code, media_type=kind)
        finally:
            await answer.aclose()

    return Starlette(routes=[Route("/{path:path}", forward, methods=["POST"])], lifespan=lifespan)


def on_aiohttp(url: str) -> Starlette:
    """`aiohttp.ClientSession`, with nothing between."""
    session: list[aiohttp.ClientSession] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1000)) as client:
            session.append(client)
            yield

    async def forward(request: Request) -> Response:
        headers = {"content-type": "application/json", "authorization": request.headers["authorization"]}
        answer = await session[0].post(url + request.url.path, data=await request.body(), headers=headers)
        kind = answer.headers["content-type"]
        if kind.startswith(_STREAM):

            async def told() -> AsyncIterator[bytes]:
                async with answer:
                    async for piece in answer.content.iter_any():
                        yield piece

            return StreamingResponse(told(), answer.status, media_type=kind)
        async with answer:
            return Response(await answer.read(), answer.status, media_type=kind)

    return Starlette(routes=[Route("/{path:path}", forward, methods=["POST"])], lifespan=lifespan)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup()
        print(self.servers[0].sockets[0].getsockname()[1])
        sys.stdout.flush()


def _main(kind: str, url: str) -> None:
    app = {"httpx": on_httpx, "aiohttp": on_aiohttp}[kind](url)
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
    )
    asyncio.run(_Server(config).serve())


if __name__ == "__main__":
    _main(*sys.argv[1:3])
