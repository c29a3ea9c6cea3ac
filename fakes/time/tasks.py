"""Tasks and futures whose hash is their number, so that sets of them have one order everywhere.

`asyncio.TaskGroup`, `asyncio.wait` and anyio keep tasks in sets and walk them: by default in order
of memory addresses, which no seed decides. Identity still decides equality.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from fakes.time.owners import OWNER, Owner

if TYPE_CHECKING:
    from fakes.time.loop import SimLoop

__all__ = ["SimFuture", "SimTask"]


class SimFuture(asyncio.Future[Any]):
    """A future that is numbered when it is first hashed: most never are, and cost nothing."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            loop: SimLoop = self.get_loop()  # type: ignore[assignment]  # only that loop makes these
            self.number = loop.number_future()
            return self.number


class SimTask(asyncio.Task[Any]):
    """A task with its number, its owner and its mark in the trace."""

    __slots__ = ("mark", "number", "owner")

    def __init__(
        self, coro: Coroutine[Any, Any, Any], loop: SimLoop, name: str | None, context: Context | None
    ) -> None:
        # All before asyncio's constructor, which hashes the task and schedules its first step.
        self.number: int = loop.number_task()
        self.owner: Owner | None = OWNER.get() if context is None else context.get(OWNER)
        if name is None:
            name = f"task-{self.number}"  # asyncio would count through the whole process
        self.mark: int = loop.trace.task(self.number, coro, name, self.owner)
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number

    def __repr__(self) -> str:
        # asyncio's own shows addresses of callbacks, and anyio puts it into cancel messages.
        state = "cancelled" if self.cancelled() else "done" if self.done() else "pending"
        return f"<SimTask {self.number} {self.get_name()!r} {state}>"
