"""Ground truth: what the outside of the gateway saw, as frozen facts in the order they happened.

Every fake writes here and nothing else does its book-keeping. A fact carries the time it is given
(integer microseconds of virtual or real time) and plain values only, so that two runs can be
compared line by line. The journal knows nothing of gateways, scenarios or verdicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

__all__ = [
    "ActPlayed",
    "Answered",
    "BillingFinalized",
    "BillingRefused",
    "BillingReserved",
    "ChatAccepted",
    "ChatEnded",
    "ChatRefused",
    "Fact",
    "Headers",
    "Journal",
    "JournalFull",
    "Received",
    "TaskAccepted",
    "TaskEnded",
    "TaskRejected",
    "digest",
    "line",
]

Headers = tuple[tuple[str, str], ...]
"""Header pairs as they crossed the wire: lower-case names, order kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that happened. `t_us`: when; `at`: the name of the fake (or client) that saw it."""

    t_us: int
    at: str
    kind: ClassVar[str] = "fact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Fact):
    """A fake received a whole request. `seq` counts this fake's requests from 1."""

    kind: ClassVar[str] = "received"
    seq: int
    op: str  # submit poll result find cancel other (providers); reserve finalize look_up other (billing)
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    nonce: str | None = None
    task_id: str | None = None
    key: str | None = None  # the idempotency key the request carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Fact):
    """How the answer to request `seq` ended, as far as this fake could see."""

    kind: ClassVar[str] = "answered"
    seq: int
    status: int | None  # None: nothing was written
    headers: Headers
    body_bytes: int  # bytes of body really handed to the connection
    complete: bool
    ended_by: str  # server | client | reset
    body_digest: str | None = None  # `digest` of the whole body, where it was written to its end
    shown: str | None = None  # of a task: success | failure | error (beside the word for success) | other
    usage_shown: str | None = None  # with shown success: the text in the usage place; None: missing or null


@dataclass(frozen=True, slots=True, kw_only=True)
class ActPlayed(Fact):
    """An act of the script met request `seq`. `applied` is False where it could not take effect."""

    kind: ClassVar[str] = "act-played"
    seq: int
    act: str
    applied: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAccepted(Fact):
    """A provider took work on: it will run and, if it succeeds, be billed."""

    kind: ClassVar[str] = "task-accepted"
    seq: int
    task_id: str
    nonce: str | None
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRejected(Fact):
    """A provider refused the work: nothing ran, nothing is billed."""

    kind: ClassVar[str] = "task-rejected"
    seq: int
    nonce: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnded(Fact):
    """Work really ended. `units` and `cost_nanos` are the truth, whatever the answers claim.

    `usage_shown` is what answers show in the usage place: None where it is missing or null.
    """

    kind: ClassVar[str] = "task-ended"
    task_id: str
    success: bool
    units: str  # exact decimal text
    cost_nanos: int  # what the provider bills for it: 0 for a failure it does not bill
    usage_shown: str | None
    seq: int = 0  # the request that began it; with `task_id` it names the work


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAccepted(Fact):
    """A provider of models took a request on: whatever becomes of the answer, the work begins."""

    kind: ClassVar[str] = "chat-accepted"
    seq: int
    nonce: str | None
    model: str  # as asked for
    dialect: str
    stream: bool
    running: int  # how many were at work before it


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRefused(Fact):
    """A provider of models refused the request: nothing ran, nothing is billed."""

    kind: ClassVar[str] = "chat-refused"
    seq: int
    nonce: str | None
    model: str | None
    dialect: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEnded(Fact):
    """The work for an accepted request ended. Tokens and cost are the truth, whatever the answer claims.

    The classes of tokens are disjoint and are those the bill is made of: what was generated, delivered or
    not. `delivered` and `text` count only what whole events (or the whole body) carried to the connection.
    """

    kind: ClassVar[str] = "chat-ended"
    seq: int
    nonce: str | None
    model: str  # the one that served, and whose price holds
    input_uncached: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    input_audio: int
    output_text: int
    output_reasoning: int
    output_audio: int
    cost_nanos: int  # 0 where it is not billed
    billed: bool
    complete: bool  # the honest end of the answer was handed over
    delivered: int  # output tokens
    events: int  # whole events written; 0 for an answer in one piece
    text: str  # words of the answer that were handed over, all choices in order of writing
    usage_shown: str | None  # the last usage that was handed over, as JSON; None: none, or null
    ran_on: bool = False  # the work was done to its end after the client had left


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingReserved(Fact):
    """The remote billing service opened a hold (once for each key)."""

    kind: ClassVar[str] = "billing-reserved"
    hold_id: str
    key: str
    account: str
    call_id: str
    amount_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingFinalized(Fact):
    """The remote billing service applied a finalize: captured the amount, released the rest."""

    kind: ClassVar[str] = "billing-finalized"
    hold_id: str
    key: str
    account: str
    amount_nanos: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingRefused(Fact):
    """The remote billing service said no. `why`: insufficient_funds, conflict, act, ..."""

    kind: ClassVar[str] = "billing-refused"
    op: str
    key: str
    why: str


class JournalFull(RuntimeError):
    """The journal reached its ceiling; raise `facts_max` or shorten the run."""


F = TypeVar("F", bound=Fact)


class Journal:
    """An append-only list of facts, shared by everything in one world."""

    def __init__(self, *, facts_max: int = 5_000_000) -> None:
        self._facts: list[Fact] = []
        self._facts_max = facts_max
        self.listeners: list[Callable[[Fact], None]] = []

    def record(self, fact: Fact) -> None:
        facts = self._facts
        if len(facts) >= self._facts_max:
            raise JournalFull(f"more than {self._facts_max} facts")
        facts.append(fact)
        if self.listeners:
            for listener in self.listeners:
                listener(fact)

    def of(self, kind: type[F]) -> Iterator[F]:
        return (fact for fact in self._facts if isinstance(fact, kind))

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


def line(fact: Fact) -> str:
    """One canonical line for a fact: equal facts give equal text in every process."""
    shown: dict[str, Any] = {"kind": fact.kind}
    for field in fields(fact):
        value = getattr(fact, field.name)
        shown[field.name] = value.decode("latin-1") if isinstance(value, bytes) else value
    return json.dumps(shown, ensure_ascii=True, separators=(",", ":"))


def digest(body: bytes) -> str:
    """A short name for these bytes: equal bodies, equal digests, in any process."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()
