"""What waits while a tool call is being told.

Some callers' protocols tell one thing after the other, each closed before the next. Nothing but the
answer's end says that a call is complete, and pieces of several calls may come mixed: so what else is said
while a call is open is held, and told in order at the end, each call with all its pieces together.
"""

from __future__ import annotations

from collections.abc import Iterator

from refgate.dialects.spoken import Broke, CallBegan, CallSaid, Done, Event

__all__ = ["Held"]


class Held:
    """Asked with each event; what it keeps, it gives back in a sound order."""

    def __init__(self) -> None:
        self._call: int | None = None  # the call that is being told
        self._events: list[Event] = []

    def keeps(self, event: Event) -> bool:
        """Whether this event must wait."""
        if self._call is None or isinstance(event, Done | Broke):
            if isinstance(event, CallBegan):
                self._call = event.index
            return False
        if isinstance(event, CallSaid) and event.index == self._call:
            return False
        self._events.append(event)
        return True

    def release(self) -> Iterator[Event]:
        """All that waited."""
        pieces: dict[int, list[Event]] = {}
        for event in self._events:
            if isinstance(event, CallSaid):
                pieces.setdefault(event.index, []).append(event)
        for event in self._events:
            if not isinstance(event, CallSaid):
                yield event
            if isinstance(event, CallBegan):
                yield from pieces.get(event.index, ())
        self._events = []
        self._call = None
