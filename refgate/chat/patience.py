"""How long one exchange may wait for what comes next, and for all of it.

One timer for the phase that is on, for the call's own deadline, and for the end that its caller's leaving
sets: whichever comes first ends what is awaited. Moving a phase's end costs no timer, since every token
does it. Knows nothing of what is waited for.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from types import TracebackType

__all__ = ["Patience", "Phase"]

_CLOSE = 1e-6  # the loop's own idea of "now" may be this much early


class Phase(StrEnum):
    """What was being waited for when patience ended."""

    HEADERS = "headers"
    FIRST_TOKEN = "first_token"
    BETWEEN_TOKENS = "between_tokens"
    TAIL = "tail"  # what may come after the answer's own end
    WHOLE = "whole"  # the call's deadline
    LEFT = "left"  # the caller went away, and its time for that is over too


class Patience:
    """`async with` it; TimeoutError comes out when it is over, and `over` says of what. Used once."""

    def __init__(self, *, whole_us: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        self._handle: asyncio.TimerHandle | None = None
        self._last = (self._loop.time() + max(whole_us, 0) / 1e6, Phase.WHOLE)
        self._next = self._last
        self._rings = 0.0  # when the timer rings, at the latest when anything ends
        self._inside = False
        self.over: Phase | None = None

    def phase(self, phase: Phase, us: int) -> None:
        """From now on this phase is on, and may take so long."""
        at = self._loop.time() + us / 1e6
        self._next = (at, phase)
        if at < self._rings:
            self._arm()

    def leave(self, *, within_us: int) -> None:
        """The caller has left: whatever it is, it ends within so long."""
        at = self._loop.time() + within_us / 1e6
        if at < self._last[0]:
            self._last = (at, Phase.LEFT)
            self._arm()

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._inside = True
        self._arm()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        if self._handle is not None:
            self._handle.cancel()
        await self._scope.__aexit__(kind, error, trace)

    def _arm(self) -> None:
        """Sees that the timer is not too late. One that is too early looks again."""
        if not self._inside or self.over is not None:
            return
        due = min(self._next[0], self._last[0])
        if self._handle is not None:
            if self._rings <= due:
                return
            self._handle.cancel()
        self._rings = due
        self._handle = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._handle = None
        now = self._loop.time()
        due, phase = min(self._next, self._last, key=lambda one: one[0])
        if now + _CLOSE < due:
            self._arm()
            return
        self.over = phase
        self._scope.reschedule(now)
