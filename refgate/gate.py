"""How many requests are in hand, whether more may come in, and when the last has left."""

from __future__ import annotations

import asyncio

from refgate.errors import Code, Refusal

__all__ = ["Gate"]

_AGAIN_S = 1


class Gate:
    """One a replica. `enter` and `leave` come in pairs."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_hand = 0
        self.draining = False

    def enter(self) -> None:
        """Raises Refusal where no more may come in."""
        if self.draining:
            raise Refusal(Code.DRAINING, "this replica is stopping", retry_after_s=_AGAIN_S)
        if self.in_hand >= self._most:
            raise Refusal(Code.OVERLOADED, "too many requests are in hand", retry_after_s=_AGAIN_S)
        self.in_hand += 1
        self._idle.clear()

    def leave(self) -> None:
        self.in_hand -= 1
        if self.in_hand == 0:
            self._idle.set()

    def close(self) -> None:
        """From here on nobody new comes in."""
        self.draining = True

    async def idle(self, *, within_us: int) -> bool:
        """Waits until nobody is in hand; False where the time is over first."""
        try:
            async with asyncio.timeout(within_us / 1e6):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
