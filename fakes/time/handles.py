"""What the loop keeps for a step that is to come.

asyncio's own handles, made leaner (no debug book-keeping) and carrying a *lane*: the number of the
task in whose name the step was scheduled. Timers of one lane that are due at one instant keep their
order; those of different lanes meet in seeded order.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Handle, TimerHandle
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

__all__ = ["SimHandle", "SimTimer"]


class SimHandle(Handle):
    """A step that is ready to run."""

    __slots__ = ("lane",)
    _repr = None  # asyncio sets these two in debug mode only
    _source_traceback = None
    _callback: Callable[..., Any]
    _context: Context

    def __init__(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: AbstractEventLoop,
        context: Context | None,
        lane: int,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self.lane = lane


class SimTimer(TimerHandle):
    """A step that is due at a time."""

    __slots__ = ("lane",)
    _repr = None
    _source_traceback = None
    _callback: Callable[..., Any]
    _context: Context
    _loop: Any

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: AbstractEventLoop,
        context: Context | None,
        lane: int,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._when = when
        self._scheduled = True
        self.lane = lane

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            # asyncio cancels the timer of each sleep that is over: only those in the heap count.
            if self._scheduled:
                self._loop._timer_handle_cancelled(self)
            self._callback = self._args = None  # type: ignore[assignment]  # as asyncio does
