"""How many calls, and how many tokens, a backend is sent within any minute: an exact sliding window.

A call is counted before it goes out, and its tokens as estimated; what it really used corrects them. In no
window of `window_us` is more admitted than the limit. Small explicit state: whoever asks and takes without
giving up control in between is safe from others. Does not know what it limits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

__all__ = ["MINUTE_US", "Rate", "Reserved", "Taken", "Window", "lane_limit"]

MINUTE_US = 60_000_000

_ENTRIES_MAX = 1_024
"""Beyond so many, what comes within one part in so many of a window is kept as one entry, dated by its
latest: memory stays bounded, and the error is on the side of waiting."""


def lane_limit(limit: int, fraction: Fraction) -> int:
    """Calls a minute in an emergency lane: the whole part of its share of the limit, and at least one."""
    return max(1, int(limit * fraction))


@dataclass(slots=True, eq=False)
class Reserved:
    """Room taken in a window; others may share the entry."""

    at_us: int
    amount: int
    gone: bool = False


@dataclass(slots=True)
class Window:
    """At most `limit` within any `window_us`."""

    limit: int
    window_us: int = MINUTE_US
    used: int = field(default=0, init=False)
    _entries: deque[Reserved] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_us < 1:
            raise ValueError("a rate's limit and window are one or more")

    def free_us(self, now_us: int, amount: int = 1) -> int:
        """The soonest instant at which `amount` fits if nobody else comes: now, where it fits now.

        More than the whole limit counts as the limit: it has the window to itself, and is not refused
        for ever.
        """
        self._forget(now_us)
        over = self.used + min(amount, self.limit) - self.limit
        at_us = now_us
        for entry in self._entries:
            if over <= 0:
                break
            over -= entry.amount
            at_us = entry.at_us + self.window_us
        return at_us

    def take(self, now_us: int, amount: int = 1) -> Reserved:
        """Count `amount` as sent now. It is for the caller to have seen that it fits."""
        if self.free_us(now_us, amount) > now_us:
            raise ValueError("the window is full: ask free_us first")
        return self._add(now_us, min(amount, self.limit))

    def correct(self, reserved: Reserved, now_us: int, *, taken: int, used: int) -> None:
        """What was taken as `taken` turned out as `used`. What is above counts from now, when it is known."""
        self._forget(now_us)
        taken = min(taken, self.limit)
        if used > taken:
            self._add(now_us, used - taken)
        elif not reserved.gone:
            reserved.amount -= taken - used
            self.used -= taken - used

    def _add(self, now_us: int, amount: int) -> Reserved:
        self.used += amount
        last = self._entries[-1] if self._entries else None
        if last is not None:
            now_us = max(now_us, last.at_us)  # a clock that was set back must not disorder the window
            grain_us = max(1, self.window_us // _ENTRIES_MAX)
            if len(self._entries) >= _ENTRIES_MAX and last.at_us // grain_us == now_us // grain_us:
                last.at_us = now_us
                last.amount += amount
                return last
        entry = Reserved(now_us, amount)
        self._entries.append(entry)
        return entry

    def _forget(self, now_us: int) -> None:
        while self._entries and self._entries[0].at_us + self.window_us <= now_us:
            entry = self._entries.popleft()
            entry.gone = True
            self.used -= entry.amount


@dataclass(frozen=True, slots=True)
class Taken:
    """What one call has in a rate's windows."""

    calls: Reserved | None
    tokens: Reserved | None


@dataclass(slots=True)
class Rate:
    """A backend's calls and tokens a minute; None is no limit."""

    calls: Window | None = None
    tokens: Window | None = None

    def free_us(self, now_us: int, tokens: int) -> int:
        """The soonest instant at which a call of so many tokens fits both limits."""
        calls_us = self.calls.free_us(now_us) if self.calls else now_us
        return max(calls_us, self.tokens.free_us(now_us, tokens) if self.tokens else now_us)

    def take(self, now_us: int, tokens: int) -> Taken:
        """Count a call; what comes back is needed to correct it."""
        return Taken(
            self.calls.take(now_us) if self.calls else None,
            self.tokens.take(now_us, tokens) if self.tokens else None,
        )

    def correct(self, room: Taken, now_us: int, *, taken: int, used: int) -> None:
        """A call estimated at `taken` tokens used `used`. The call itself stays counted."""
        if self.tokens and room.tokens is not None:
            self.tokens.correct(room.tokens, now_us, taken=taken, used=used)

    def take_back(self, room: Taken, now_us: int, *, taken: int) -> None:
        """The call never went out."""
        self.correct(room, now_us, taken=taken, used=0)
        if self.calls and room.calls is not None:
            self.calls.correct(room.calls, now_us, taken=1, used=0)
