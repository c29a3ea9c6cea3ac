"""A background loop that ends when it is stopped, and for no other reason.

A step says how long to wait before the next one; `wake` cuts the wait short. A step that fails is told
of and tried again after a pause, so that nothing spins and nothing dies. Knows nothing of its work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from refgate.events import Event, Failed
from refgate.ledger.events import careful

__all__ = ["Loop"]

_FAILED_PAUSE_US = 1_000_000


class Loop:
    """One per replica and kind of work. `step` answers with the microseconds to wait at most."""

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[int]],
        *,
        clock: Callable[[], int],
        emit: Callable[[Event], None],
    ) -> None:
        self._name = name
        self._step = step
        self._clock = clock
        self._emit = careful(emit)
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.stopping = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        self._woken.set()

    async def stop(self, *, within_us: int) -> None:
        """Ends after the step in hand, or cuts it off when that takes longer than it may."""
        self.stopping = True
        self._woken.set()
        if self._task is None:
            return
        try:
            async with asyncio.timeout(within_us / 1e6):
                await self._task
        except TimeoutError:
            self._emit(Failed(t_us=self._clock(), where=self._name, what="stopped_in_hand"))

    async def _run(self) -> None:
        while not self.stopping:
            self._woken.clear()
            pause_us = await self._guarded()
            await self._pause(pause_us)

    async def _guarded(self) -> int:
        try:
            return await self._step()
        except Exception as failure:
            self._emit(Failed(t_us=self._clock(), where=self._name, what=type(failure).__name__))
            return _FAILED_PAUSE_US

    async def _pause(self, pause_us: int) -> None:
        try:
            async with asyncio.timeout(pause_us / 1e6):
                await self._woken.wait()
        except TimeoutError:
            return
