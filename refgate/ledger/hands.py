"""A bounded number of tasks at work at once, each on one thing.

One slow thing keeps one hand busy and delays nobody else. Knows nothing of what the hands do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Hands"]


class Hands:
    """`freed` is called when a hand becomes free where none was."""

    def __init__(self, most: int, *, freed: Callable[[], None]) -> None:
        self._most = most
        self._freed = freed
        self._busy: dict[str, asyncio.Task[None]] = {}

    @property
    def free(self) -> int:
        return self._most - len(self._busy)

    def __contains__(self, what: str) -> bool:
        return what in self._busy

    def take(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Starts the work. The caller has looked that a hand is free and that `what` is in none."""
        task = asyncio.create_task(work, name=what)
        self._busy[what] = task
        # A callback, and not a `finally` in the work: it must not run when a dead task is put away.
        task.add_done_callback(lambda _: self._let_go(what))

    def _let_go(self, what: str) -> None:
        none_free = self.free <= 0
        del self._busy[what]
        if none_free:
            self._freed()

    async def rest(self, *, within_us: int) -> bool:
        """Waits for all work to end; cuts off what has not ended in time, and says so by False."""
        try:
            async with asyncio.timeout(within_us / 1e6):
                await asyncio.gather(*self._busy.values(), return_exceptions=True)
        except TimeoutError:
            return False
        return True
