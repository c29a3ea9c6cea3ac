"""The bare chain: what a call costs with no gateway in it at all.

`httpx.AsyncClient` → a Starlette app that passes the body on with a second `httpx.AsyncClient` → a
Starlette app that answers; in memory, over httpx's own `ASGITransport`, on the virtual loop.
"""

from __future__ import annotations

import asyncio
import json

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fakes.time import run_virtual

__all__ = ["bare_chain"]

_BODY = json.dumps({"prompt": "x" * 200, "nonce": "n"}).encode()
_ANSWER = json.dumps({"taskId": "t1", "status": "RUNNING", "errorCode": "", "usage": None}).encode()
_SIDE_BY_SIDE = 16


async def _provide(request: Request) -> Response:
    await request.body()
    return Response(_ANSWER, media_type="application/json")


async def _main(calls: int) -> int:
    provider = Starlette(routes=[Route("/{path:path}", _provide, methods=["GET", "POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(provider)) as upstream:

        async def forward(request: Request) -> Response:
            answer = await upstream.post("http://provider.test/task", content=await request.body())
            return Response(answer.content, answer.status_code, media_type="application/json")

        gateway = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway)) as client:

            async def some(number: int) -> int:
                done = 0
                for _ in range(number):
                    answer = await client.post("http://gateway.test/task", content=_BODY)
                    done += answer.status_code == 200
                return done

            async with asyncio.TaskGroup() as group:
                lanes = [group.create_task(some(calls // _SIDE_BY_SIDE)) for _ in range(_SIDE_BY_SIDE)]
            return sum(lane.result() for lane in lanes)


def bare_chain(calls: int) -> int:
    """Make about so many calls; answers how many were made, each with status 200."""
    return run_virtual(lambda: _main(calls))
