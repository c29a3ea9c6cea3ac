"""Virtual time and what is scheduled on it: a clock that is told to move, and a heap of timers.

The base of the loop. Time is an integer number of microseconds; timers come due on a coarse grid,
because code takes no time here and events that never coincide never race. Runs nothing itself.
"""

from __future__ import annotations

import asyncio
from asyncio import BaseEventLoop
from collections import deque
from collections.abc import Callable
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from math import ceil
from typing import Any

from fakes.time.handles import SimHandle, SimTimer
from fakes.time.options import Options
from fakes.time.streams import Streams
from fakes.time.trace import Trace

__all__ = ["Clock"]

_PURGE_MIN = 256
_64_BITS = (1 << 64) - 1
_NOISE_US = 0.01
_NOISE_SUMMED_US = 0.25
"""Seconds come as floats: so much above a whole microsecond is noise, more where a time was added."""


class Clock(BaseEventLoop):
    """The half of the loop that schedules."""

    _ready: deque[SimHandle | SimTimer]
    _closed: bool

    def __init__(self, seed: int, options: Options) -> None:
        super().__init__()
        self.set_debug(False)  # asyncio's debug mode reads the real clock
        self.seed = seed
        self.options = options
        self.now_us = 0
        self._now_s = 0.0
        self.streams = Streams(seed)
        self.trace = Trace()
        self._lane = 0
        """In whose name the running step schedules: see `handles`."""
        self._timers: list[tuple[int, int, SimTimer]] = []  # by due time and number
        self._timers_cancelled = 0
        self._salt = self.streams.get("order").getrandbits(64)
        self._number_timer = count(1).__next__
        self._grid_us = options.grid_us
        self._never_us = options.time_max_us + options.grid_us

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._now_s

    def wall_us(self) -> int:
        """The simulated wall clock: microseconds since 1970."""
        return self.options.epoch_us + self.now_us

    def call_soon(  # type: ignore[override]  # typeshed ties the arguments to type variables
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = SimHandle(callback, args, self, context, self._lane)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimTimer:
        return self._set_timer(self.now_us + delay * 1_000_000 - _NOISE_US, None, callback, args, context)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimTimer:
        return self._set_timer(when * 1_000_000 - _NOISE_SUMMED_US, when, callback, args, context)

    def call_at_us(self, us: int, callback: Callable[[], object], context: Context) -> SimTimer:
        """`call_at` in whole microseconds, for what has no wish to go through floats."""
        return self._set_timer(us, None, callback, (), context)

    def _set_timer(
        self,
        us: float,
        when: float | None,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> SimTimer:
        """A step for `us`: due on the grid, never earlier; the past is now. `when`: as it was asked for."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if us >= self._never_us:  # also what is for ever
            due_us = self._never_us
        elif us <= self.now_us:
            due_us = self.now_us
        else:
            due_us = -(-ceil(us) // self._grid_us) * self._grid_us
        if when is None:
            when = due_us / 1_000_000
        timer = SimTimer(when, callback, args, self, context, self._lane)
        heappush(self._timers, (due_us, self._number_timer(), timer))
        return timer

    def _order(self, entry: tuple[int, int, SimTimer]) -> tuple[int, int, int]:
        """At each instant the lanes meet in an order of its own; the number keeps one lane in order."""
        due_us, number, timer = entry
        # (Python's own hash of (seed, due, lane) is as stable, but makes some orders ten times rarer.)
        mixed = ((self._salt ^ due_us * 0x9E3779B97F4A7C15) + timer.lane * 0x94D049BB133111EB) & _64_BITS
        return due_us, (mixed ^ (mixed >> 31)) * 0xD6E8FEB86659FD93 & _64_BITS, number

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._timers_cancelled += 1

    def idle(self) -> bool:
        """Whether nothing is ready to run now."""
        return not self._ready

    def close(self) -> None:
        self._timers.clear()
        super().close()

    def _next_due_us(self) -> int | None:
        """When the next timer is due; None if none is set."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
            self._timers_cancelled -= 1
        return timers[0][0] if timers else None

    def _advance(self, us: int) -> None:
        if us:
            self.now_us += us
            self._now_s = self.now_us / 1_000_000
            self.trace.marks.append(-1 - self.now_us)

    def _release(self) -> None:
        """What is due becomes ready."""
        timers, now_us = self._timers, self.now_us
        due: list[tuple[int, int, SimTimer]] = []
        while timers and timers[0][0] <= now_us:
            entry = heappop(timers)
            timer = entry[2]
            timer._scheduled = False
            if timer._cancelled:
                self._timers_cancelled -= 1
                continue
            due.append(entry)
            # 0.1 + 0.2 > 0.3: a timer must find `time()` where it was to come due, or code that
            # compares the two sets it again, for ever.
            if timer._when > self._now_s:
                self._now_s = timer._when
        if len(due) > 1:
            due.sort(key=self._order)
        for entry in due:
            self._ready.append(entry[2])
        if self._timers_cancelled > _PURGE_MIN and self._timers_cancelled * 2 > len(timers):
            self._drop_timers(lambda timer: timer._cancelled)
            self._timers_cancelled = 0

    def _drop_timers(self, unwanted: Callable[[SimTimer], bool]) -> None:
        # In place: the loop holds on to this list while it runs.
        self._timers[:] = [entry for entry in self._timers if not unwanted(entry[2])]
        heapify(self._timers)
