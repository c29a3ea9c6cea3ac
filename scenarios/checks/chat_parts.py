"""The parts that a view of chats is made of: work at providers, calls, attempts.

Each is one thing seen from one side; which belong together is the matter of `chat_view`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fakes.journal import Answered, ChatAccepted, ChatEnded, ChatRefused, Fact, Received
from scenarios.checks.parts import Exchange, Row
from scenarios.history import Heard, Observed

__all__ = ["Attempt", "ChatCall", "Said", "Work"]


@dataclass(slots=True)
class Work:
    """One chat request as a provider saw it, and the truth of what came of it."""

    received: Received
    accepted: ChatAccepted | None = None
    refused: ChatRefused | None = None
    ended: ChatEnded | None = None
    answered: Answered | None = None
    acts: list[str] = field(default_factory=list)  # that took effect on it
    attempt: Attempt | None = None

    @property
    def backend(self) -> str:
        return self.received.at

    @property
    def nonce(self) -> str | None:
        return self.received.nonce

    @property
    def whole(self) -> bool:
        """Whether the honest end of the answer was handed over."""
        return self.ended is not None and self.ended.complete

    @property
    def billed_nanos(self) -> int:
        return 0 if self.ended is None else self.ended.cost_nanos

    @property
    def facts(self) -> Sequence[Fact | None]:
        return (self.received, self.refused, self.ended)


@dataclass(slots=True)
class _OfRecord:
    """A row of the gateway's last reading."""

    row: Row
    observed: Observed

    @property
    def fact(self) -> Observed:
        return replace(self.observed, rows=(self.row,))

    @property
    def flags(self) -> frozenset[str]:
        return frozenset(self.row.get("flags") or ())


@dataclass(slots=True)
class Attempt(_OfRecord):
    """One attempt of the record, on the history's clock. `work`: what the backend saw of it, where that is
    certain."""

    started_us: int
    ended_us: int | None
    work: Work | None = None

    @property
    def call_id(self) -> str:
        return str(self.row["call_id"])

    @property
    def backend(self) -> str:
        return str(self.row["backend"])

    @property
    def served(self) -> bool:
        """Whether the record says that it brought the answer."""
        return self.ended_us is not None and self.row["failure"] is None

    @property
    def emergency(self) -> bool:
        return bool(self.row.get("lane") == "emergency")


@dataclass(slots=True)
class ChatCall(_OfRecord):
    """One call of the record, with what is known to belong to it."""

    attempts: list[Attempt] = field(default_factory=list)
    exchange: Exchange | None = None
    heard: Heard | None = None  # where this call is the last that the client made of its own
    nonce: str | None = None

    @property
    def call_id(self) -> str:
        return str(self.row["call_id"])

    @property
    def account(self) -> str:
        return str(self.row["account"])

    @property
    def model(self) -> str:
        return str(self.row["model"])

    @property
    def open(self) -> bool:
        return bool(self.row["state"] != "ended")

    @property
    def hit(self) -> bool:
        return bool(self.row.get("cache") == "hit")

    @property
    def outcome(self) -> str | None:
        return self.row.get("outcome")

    @property
    def serving(self) -> Attempt | None:
        """The attempt that brought the answer, by the record."""
        return next((one for one in reversed(self.attempts) if one.served), None)

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def works(self) -> list[Work]:
        return [one.work for one in self.attempts if one.work is not None]

    @property
    def seen_whole(self) -> bool:
        """Whether each attempt of the record is known at its provider."""
        return all(one.work is not None for one in self.attempts)


@dataclass(frozen=True, slots=True)
class Said:
    """How one logical call ended for its client, and the answers that it had on the way."""

    heard: Heard
    exchanges: Sequence[Exchange]
    headers: Mapping[str, str]  # of the last answer

    @property
    def last(self) -> Exchange | None:
        return self.exchanges[-1] if self.exchanges else None

    @property
    def cached(self) -> bool:
        return self.headers.get("x-cache", "").lower().startswith("hit")
