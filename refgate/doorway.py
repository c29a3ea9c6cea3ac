"""A caller's connection: uvicorn's, with a ceiling on what it may keep waiting before and after a request.

uvicorn waits without end for a request's head to come in, and for the last of an answer to be taken. Whoever
opens connections and says nothing, says it a byte at a time, or never reads, would keep them for good, and
needs no key for it. What happens within a request is bounded by whoever answers it. h11 it is, whatever else
may be installed: it bounds the size of a head.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["LOOK_S", "Doorway"]

LOOK_S = 15.0
"""How long a connection may do nothing that counts, to twice that."""


class Doorway(H11Protocol):
    """Looks at itself every `LOOK_S`: two looks that find no progress are the last."""

    _look: asyncio.TimerHandle | None = None
    _found: object = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._found = self._state()
        self._look = self.loop.call_later(LOOK_S, self._looked)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _state(self) -> object:
        """The same at two looks where nothing was done between them; None where a request is in hand."""
        if self.transport.is_closing():
            return "closing", self.transport.get_write_buffer_size()
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        return "waiting", self.cycle  # the last request's, if there was one

    def _looked(self) -> None:
        before, self._found = self._found, self._state()
        if self._found is not None and self._found == before:
            self.transport.abort()
        else:
            self._look = self.loop.call_later(LOOK_S, self._looked)
