"""One direction of one connection: first in, first out, however the scheduler turns.

What is pushed at one instant travels together, as one message. A message takes as long as its link says,
but never overtakes the one before it; everything due at one instant is delivered by one timer. There is no
task in here: a push is an append, a delivery a callback. Knows nothing of what the messages mean, save that
bytes have a length when they trickle.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Generic, TypeVar

from fakes.time import SimLoop

__all__ = ["TRICKLE_STEP_US", "Bell", "Pipe", "TrickledPipe"]

_T = TypeVar("_T")

TRICKLE_STEP_US = 100_000
"""A trickle shows itself at most ten times a second: finer steps cost events and teach nothing."""


class Bell:
    """Wakes everyone who waits, or fails them. Unlike an Event it does not stay rung."""

    __slots__ = ("_loop", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def ring(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)


class Pipe(Generic[_T]):
    """Delivers what is pushed, in order, each after `delay_us(n)`: n counts this pipe's messages from 1."""

    __slots__ = ("_context", "_delay_us", "_deliver", "_due_us", "_flying", "_loop", "_pushed", "_pushed_us")

    def __init__(
        self, loop: SimLoop, context: Context, delay_us: Callable[[int], int], deliver: Callable[[_T], None]
    ) -> None:
        self._loop = loop
        self._context = context  # The network's own: what flies belongs to no one who could be cut.
        self._delay_us = delay_us
        self._deliver = deliver
        self._flying: deque[tuple[int, _T]] = deque()
        self._due_us = 0
        self._pushed = 0
        self._pushed_us = -1

    def push(self, item: _T) -> None:
        now_us = self._loop.now_us
        if now_us != self._pushed_us:
            self._pushed_us = now_us
            self._pushed += 1
            due_us = now_us + self._delay_us(self._pushed)
            if due_us > self._due_us:
                self._due_us = due_us
                if due_us > now_us:
                    self._loop.call_at_us(due_us, self._arrive, self._context)
        if self._due_us <= now_us and not self._flying:
            self._deliver(item)
        else:
            self._flying.append((self._due_us, item))

    def _arrive(self) -> None:
        now_us = self._loop.now_us
        flying = self._flying
        while flying and flying[0][0] <= now_us:
            self._deliver(flying.popleft()[1])


class TrickledPipe(Pipe[Any]):
    """A pipe whose bytes arrive at a given rate, a little at a time; the rest waits its turn."""

    __slots__ = ("_bytes_per_s", "_free_us", "_out", "_passed", "_queue")

    def __init__(
        self,
        loop: SimLoop,
        context: Context,
        delay_us: Callable[[int], int],
        deliver: Callable[[Any], None],
        bytes_per_s: int,
    ) -> None:
        super().__init__(loop, context, delay_us, self._enqueue)
        self._bytes_per_s = bytes_per_s
        self._out = deliver
        self._queue: deque[Any] = deque()
        self._passed = 0  # Bytes of the first message that went through already.
        self._free_us = 0  # When the line is free again, to the microsecond, so that the rate is exact.

    def _enqueue(self, item: Any) -> None:
        self._queue.append(item)
        if len(self._queue) == 1:
            self._free_us = max(self._loop.now_us, self._free_us)
            self._next()

    def _next(self) -> None:
        """Let through what needs no time, and start on the next bytes."""
        while self._queue:
            item = self._queue[0]
            if type(item) is bytes:
                size = min(len(item) - self._passed, max(1, self._bytes_per_s * TRICKLE_STEP_US // 1_000_000))
                self._free_us += size * 1_000_000 // self._bytes_per_s
                self._loop.call_at(self._free_us / 1_000_000, self._step, size, context=self._context)
                return
            self._queue.popleft()
            self._out(item)

    def _step(self, size: int) -> None:
        data = self._queue[0]
        piece = data[self._passed : self._passed + size]
        self._passed += size
        if self._passed == len(data):
            self._queue.popleft()
            self._passed = 0
        self._out(piece)
        self._next()
