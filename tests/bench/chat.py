"""What a simulated chat costs: a bare chain of Starlette and httpx, and the same calls through refgate.

The bare chain is a client, a Starlette app that hands on, and a Starlette app that answers, on the virtual
loop. Whole answers go over httpx's own `ASGITransport`. That one gathers a stream before it gives it on, so
that streams go over the simulated wire, where each piece travels alone, as it does in the full run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fakes.time import current_loop, run_virtual
from fakes.wire import HttpxTransport, Wire
from scenarios.model.scenario import Scenario
from scenarios.reference import Reference
from scenarios.run import Run, play
from tests.bench.upstream import answer

__all__ = ["PIECES", "bare_chats", "chats_through_the_gateway", "talkative"]

PIECES = 50
_SIDE_BY_SIDE = 16
_FIRST_S, _BETWEEN_S = 0.2, 0.02
_WORDS = PIECES - 3  # beside them: the first chunk with the role, the finish, the usage


def _body(stream: bool) -> bytes:
    messages = [{"role": "user", "content": "x " * 100}]
    return json.dumps({"model": "small", "messages": messages, "stream": stream}).encode()


def _piece(number: int) -> bytes:
    choice = {"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}
    chunk: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode()


async def _provide(request: Request) -> Response:
    await request.body()
    await asyncio.sleep(_FIRST_S)
    return Response(answer(), media_type="application/json")


async def _tell(request: Request) -> Response:
    await request.body()
    pieces = [_piece(number) for number in range(PIECES)]

    async def told() -> AsyncIterator[bytes]:
        await asyncio.sleep(_FIRST_S)
        for piece in pieces:
            yield piece
            await asyncio.sleep(_BETWEEN_S)

    return StreamingResponse(told(), media_type="text/event-stream")


async def _main(calls: int, stream: bool) -> int:
    wire = Wire(current_loop())
    provider = Starlette(routes=[Route("/{path:path}", _tell if stream else _provide, methods=["POST"])])
    wire.attach("provider.test", provider)
    between: httpx.AsyncBaseTransport = (
        HttpxTransport(wire, "gateway") if stream else httpx.ASGITransport(provider)
    )
    async with httpx.AsyncClient(transport=between, timeout=60) as upstream:

        async def hand_on(request: Request) -> Response:
            body, url = await request.body(), "http://provider.test/v1/chat/completions"
            if not stream:
                whole = await upstream.post(url, content=body)
                return Response(whole.content, whole.status_code, media_type="application/json")
            told = await upstream.send(upstream.build_request("POST", url, content=body), stream=True)

            async def pieces() -> AsyncIterator[bytes]:
                try:
                    async for piece in told.aiter_raw():
                        yield piece
                finally:
                    await told.aclose()

            return StreamingResponse(pieces(), told.status_code, media_type="text/event-stream")

        gateway = Starlette(routes=[Route("/{path:path}", hand_on, methods=["POST"])])
        wire.attach("gateway.test", gateway)
        before: httpx.AsyncBaseTransport = (
            HttpxTransport(wire, "client") if stream else httpx.ASGITransport(gateway)
        )
        async with httpx.AsyncClient(transport=before, timeout=60) as client:
            return await _asked(client, calls, stream)


async def _asked(client: httpx.AsyncClient, calls: int, stream: bool) -> int:
    body, url = _body(stream), "http://gateway.test/v1/chat/completions"

    async def some(number: int) -> int:
        done = 0
        for _ in range(number):
            async with client.stream("POST", url, content=body) as heard:
                pieces = [piece async for piece in heard.aiter_raw()]
            done += heard.status_code == 200 and len(pieces) >= (PIECES if stream else 1)
        return done

    async with asyncio.TaskGroup() as group:
        lanes = [group.create_task(some(calls // _SIDE_BY_SIDE)) for _ in range(_SIDE_BY_SIDE)]
    return sum(lane.result() for lane in lanes)


def bare_chats(calls: int, *, stream: bool) -> int:
    """Make about so many calls; answers how many came to a good end."""
    return run_virtual(lambda: _main(calls, stream))


def talkative(calls: int, *, stream: bool) -> Scenario:
    """A calm stretch of about `calls` chats, one after another in each of sixteen lanes."""
    grants = {"accounts": {name: {"grant": "1000000.00"} for name in ("alice", "bob")}}
    plan = {"words": _WORDS, "first": "200ms", "between": "20ms"}
    return Scenario.model_validate(
        {
            "about": "Chats, one after another, side by side.",
            "gateway": {"config": "chat.yaml", "override": {"billing": grants}},
            "providers": {
                "east": {"wire": "openai", "plan": plan},
                "west": {"wire": "openai", "plan": plan},
                "rome": {"wire": "anthropic", "plan": plan},
                "tokyo": {"wire": "gemini", "plan": plan},
            },
            "traffic": [
                {
                    "send": "chat",
                    "account": "alice",
                    "model": "small",
                    "stream": "always" if stream else "never",
                    "clients": _SIDE_BY_SIDE,
                    "times": max(1, calls // _SIDE_BY_SIDE),
                }
            ],
            "settle": "5m",
        }
    )


def chats_through_the_gateway(calls: int, *, stream: bool) -> Run:
    """Play them and judge them; a run that does not hold is no measurement."""
    run = play(talkative(calls, stream=stream), 0, gateway=Reference())
    if not run.holds:
        raise SystemExit(f"the run that is measured does not hold: {run.broken or run.unmet}")
    return run
