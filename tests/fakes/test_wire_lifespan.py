"""The lifespan of an app: started before its first request, stopped after its last."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fakes.time import current_loop, run_virtual
from fakes.wire import DirectClient, Lifespan, LifespanFailed, Receive, Scope, Send, Wire


def test_a_starlette_lifespan_is_run_and_its_state_handed_on() -> None:
    """Start, a request that sees the state, stop; in that order and in virtual time."""
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        await asyncio.sleep(2)
        order.append("started")
        yield {"word": "hello"}
        await asyncio.sleep(3)
        order.append("stopped")

    async def hello(request: Request) -> PlainTextResponse:
        order.append("asked")
        return PlainTextResponse(request.state.word)

    async def main() -> None:
        loop = current_loop()
        owner = loop.owner("a")
        app = Starlette(routes=[Route("/", hello)], lifespan=lifespan)
        life = Lifespan(app, loop, owner)
        await life.startup()
        wire = Wire(loop)
        wire.attach("a.test", app, owner=owner, state=life.state)
        assert (await DirectClient(wire, "client").request("GET", "http://a.test/")).body == b"hello"
        await life.shutdown()
        assert loop.now_us == 5_000_000

    run_virtual(main)
    assert order == ["started", "asked", "stopped"]


def test_an_app_that_fails_to_start_says_why() -> None:
    """Starlette reports the traceback; it reaches whoever started the app."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        raise ValueError("no such store")
        yield

    async def main() -> None:
        loop = current_loop()
        with pytest.raises(LifespanFailed, match="no such store"):
            await Lifespan(Starlette(lifespan=lifespan), loop, loop.owner("a")).startup()

    run_virtual(main)


async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await asyncio.sleep(1_000)


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError(scope["type"])


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    return None


@pytest.mark.parametrize(
    ("app", "why"),
    [(stuck, "no end of its startup in 5 s"), (deaf, "NotImplementedError"), (silent, "without a word")],
)
def test_an_app_that_never_starts_is_not_waited_for_in_vain(app: Any, why: str) -> None:
    """Too late, not able to, or not a word: each raises."""

    async def main() -> None:
        loop = current_loop()
        with pytest.raises(LifespanFailed, match=why):
            await Lifespan(app, loop, loop.owner("a")).startup(timeout_s=5)

    run_virtual(main)
