"""The rows of chat calls, and the transactions on them: what the flow and the store agree on.

A call's row is made with its hold, before any backend hears of it; an attempt's row before its first byte is
sent; the end of a call, its last attempt, its charge and its hold's release are one transaction, which
exactly one of any number of hands makes. Knows no protocol and no SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from refgate.dialects.spoken import Usage
from refgate.ledger.records import Refused

__all__ = [
    "AttemptEnd",
    "ChatAttempt",
    "ChatEnd",
    "ChatOutcome",
    "ChatStore",
    "Metering",
    "NewChat",
    "OpenChat",
]


class ChatOutcome(StrEnum):
    """How a call ended, as its row says."""

    SERVED = "served"  # the caller was given the whole answer
    CACHED = "cached"  # the same, from the cache
    LEFT = "left"  # the caller went away before the end
    BROKEN = "broken"  # the caller had heard a part, and then the error
    FAILED = "failed"  # no backend answered; the caller was told
    REFUSED = "refused"  # the last backend refused the request itself, as the caller was told
    LOST = "lost"  # the replica went down with the call in hand: settled by the sweep


@dataclass(frozen=True, slots=True)
class NewChat:
    """A call about to begin. `prompt_tokens` is an estimate, and what a crash would be charged by."""

    call_id: str
    account: str
    caller: str
    protocol: str  # the caller's: a dialects.canonical.Protocol
    model: str  # as the caller asked
    stream: bool
    hold_nanos: int
    prompt_tokens: int
    now_us: int
    lease_until_us: int


@dataclass(frozen=True, slots=True)
class ChatAttempt:
    """One request to a backend, written before it is sent. `number` counts from 1 within its call."""

    attempt_id: str
    call_id: str
    number: int
    backend: str
    pool: str
    lane: str  # pool | emergency
    model: str  # as the backend is asked
    started_us: int


@dataclass(frozen=True, slots=True)
class Metering:
    """What an attempt used and what that costs. `source`: reported | estimated | hold | zero | none."""

    usage: Usage = field(default_factory=Usage)
    source: str = "none"
    cost_nanos: int = 0
    price_from_us: int | None = None  # since when the price that made it has been in force
    served_model: str | None = None  # as the backend named it in its answer


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended. `failure`: a FaultKind, `left`, or None where it served."""

    attempt_id: str
    status: int | None
    failure: str | None
    ambiguous: bool
    retry_after_us: int | None
    metering: Metering
    ended_us: int
    first_token_us: int | None = None


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """How a call ends: what is charged and why. Written once.

    `backend`, `upstream_model` and `metering` are those of the attempt the charge is made of, if any.
    """

    outcome: ChatOutcome
    reason: str
    status: int  # what the caller was answered with; 200 for a stream that broke later
    amount_nanos: int
    flags: tuple[str, ...] = ()
    backend: str | None = None
    upstream_model: str | None = None
    metering: Metering = field(default_factory=Metering)
    cache: str | None = None  # hit | miss | None where the call is not for the cache
    first_token_us: int | None = None


@dataclass(frozen=True, slots=True)
class OpenChat:
    """A call that is not ended, as the sweep reads it, with its last attempt if it has one.

    `last_ended` is so while the call waited to try again: it had not been served. `doubtful`: of an attempt
    that had ended nobody knows whether it did work.
    """

    call_id: str
    account: str
    caller: str
    protocol: str
    model: str
    stream: bool
    hold_nanos: int
    prompt_tokens: int
    created_us: int
    attempts: int
    last: ChatAttempt | None
    last_ended: bool
    doubtful: bool


class ChatStore(Protocol):
    """Each method is one transaction. Any may raise StoreUnavailable, and then has changed nothing."""

    async def admit(self, new: NewChat, first: ChatAttempt | None = None) -> Refused | None:
        """The row, its hold on the embedded ledger, and the row of its first attempt, if that is known; or
        why there is none (then no row either)."""

    async def begin(
        self, attempt: ChatAttempt, *, ended: AttemptEnd | None = None, lease_until_us: int
    ) -> bool:
        """The attempt's row, the end of the one before it, and a new lease. False where the call has ended
        (a sweep took it): then nothing may be sent."""

    async def rest(self, call_id: str, ended: AttemptEnd) -> None:
        """The end of an attempt after which the call waits."""

    async def settle(self, call_id: str, end: ChatEnd, *, attempt: AttemptEnd | None, now_us: int) -> bool:
        """The call's end, its last attempt's end, its hold captured and released: all or nothing, once.
        False where the call had ended before; the attempt's end is written all the same."""

    async def abandoned(self, *, now_us: int, lease_until_us: int, limit: int) -> Sequence[OpenChat]:
        """Open calls whose lease is over: leased anew to whoever asks, so that one sweep settles each."""
