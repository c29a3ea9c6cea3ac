"""Runs the lifespan of an ASGI app, as a server does before the first request and after the last.

An app that fails to start raises here; no failure is swallowed. Its task belongs to the app's owner,
so a power cut takes it along.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fakes.time import Owner, SimLoop
from fakes.wire.asgi import SPEC_VERSION, ASGIApp, Message

__all__ = ["Lifespan", "LifespanFailed"]


class LifespanFailed(RuntimeError):
    """The app said, or showed, that it could not start or stop."""


class Lifespan:
    """One app's lifespan. `state` is what it set up for its requests."""

    def __init__(self, app: ASGIApp, loop: SimLoop, owner: Owner) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._loop = loop
        self._owner = owner
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(maxsize=2)
        self._started: asyncio.Future[None] = loop.create_future()
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._task: asyncio.Task[None] | None = None

    async def startup(self, *, timeout_s: float = 60) -> None:
        """Return once the app has started; raise LifespanFailed if it does not."""
        self._task = self._loop.spawn(self._owner, self._run(), name=f"lifespan {self._owner.name}")
        await self._ask("startup", self._started, timeout_s)

    async def shutdown(self, *, timeout_s: float = 60) -> None:
        """Return once the app has cleaned up; raise LifespanFailed if it does not."""
        await self._ask("shutdown", self._stopped, timeout_s)

    async def _ask(self, what: str, answered: asyncio.Future[None], timeout_s: float) -> None:
        self._inbox.put_nowait({"type": f"lifespan.{what}"})
        try:
            async with asyncio.timeout(timeout_s):
                await answered
        except TimeoutError:
            raise LifespanFailed(f"{self._owner.name}: no end of its {what} in {timeout_s} s") from None

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "state": self.state,
        }
        failure = LifespanFailed(f"{self._owner.name}: its lifespan returned without a word")
        try:
            await self._app(scope, self._inbox.get, self._send)
        except Exception as error:
            failure = LifespanFailed(f"{self._owner.name}: {error!r}")
            failure.__cause__ = error
        for answered in (self._started, self._stopped):
            if not answered.done():
                answered.set_exception(failure)
                answered.exception()  # Whoever asks will see it; if nobody asks, it is no news.

    async def _send(self, message: Message) -> None:
        what, _, how = message["type"].removeprefix("lifespan.").partition(".")
        answered = self._started if what == "startup" else self._stopped
        if how == "failed":
            answered.set_exception(LifespanFailed(f"{self._owner.name}: {message.get('message', '')}"))
        else:
            answered.set_result(None)
