"""What every reader of a provider's stream keeps: usage, the model that served, whether it is over.

A reader is fed frames and then ended; it gives events, and exactly one of `Done` and `Broke`, last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from refgate.dialects.json_text import as_list, loads
from refgate.dialects.spoken import Broke, Event, Fault, Metered, Unmetered
from refgate.dialects.sse import Frame
from refgate.dialects.usage import later

__all__ = ["Watch", "parsed"]


def parsed(frame: Frame) -> dict[str, Any] | None:
    """A frame's data as a JSON object. An error in a list (Gemini's) counts as the object it holds."""
    try:
        value = loads(frame.data or "")
    except ValueError:
        return None
    if isinstance(value, list):
        value = next(iter(as_list(value)), None)
    return value if isinstance(value, dict) else None


class Watch(ABC):
    """Feed frames, then `end` once. Subclasses say what a frame and the end mean in their protocol."""

    def __init__(self) -> None:
        self.began = False
        self.over = False  # the provider's own end was seen: nothing more is owed, though bytes may come
        self.model = ""
        self.usage: Metered | None = None
        self._tier: str | None = None
        self._notes: list[str] = []
        self._ended = False

    def feed(self, frame: Frame) -> list[Event]:
        """What the frame says. After `Broke`, nothing: also what the same frame goes on to say."""
        if self._ended or frame.data is None or not (said := frame.data.strip()):
            return []
        if said == "[DONE]":
            self.sentinel()
            return []
        events = self.read(frame)
        if self._ended:
            last = next(i for i, event in enumerate(events) if isinstance(event, Broke))
            del events[last + 1 :]
        return events

    def end(self, cut: Fault | None = None) -> list[Event]:
        """The bytes are over; `cut` says what failed, if they did not end by themselves."""
        if self._ended:
            return []
        if cut is not None and not self.over:
            return self.broke(cut)
        events = self.closing()
        self._ended = True
        return events

    def sentinel(self) -> None:
        """`[DONE]` was seen: the end in one protocol; in the others nothing, though some backends say it."""
        return

    @abstractmethod
    def read(self, frame: Frame) -> list[Event]:
        """What a frame with data says."""

    @abstractmethod
    def closing(self) -> list[Event]:
        """What the end of the bytes says: one event."""

    def broke(self, fault: Fault) -> list[Event]:
        self._ended = True
        return [Broke(fault, self.metered, self.model, self._tier)]

    @property
    def metered(self) -> Metered:
        """What has been counted so far."""
        return self.usage if self.usage is not None else Unmetered("missing")

    def counted(self, metered: Metered) -> None:
        self.usage = later(self.usage, metered)

    def served(self, model: Any, tier: Any = None) -> None:
        if isinstance(model, str) and model and not self.model:
            self.model = model
        if isinstance(tier, str) and tier:
            self._tier = tier

    def note(self, what: str) -> None:
        if what not in self._notes:
            self._notes.append(what)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    @property
    def service_tier(self) -> str | None:
        return self._tier
