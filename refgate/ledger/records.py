"""What is written down of task calls and their money, and what store and billing answer with.

All values are frozen. Knows no SQL; who reads and writes them is in `ports`. Chat calls have their own:
`chat.records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from refgate.answer import Answer
from refgate.ledger.states import Outcome, State

__all__ = [
    "Attempt",
    "Call",
    "Fresh",
    "Hold",
    "HoldPage",
    "InFlight",
    "Intent",
    "KeyReused",
    "NewCall",
    "Opened",
    "Refused",
    "Replay",
    "Verdict",
]


@dataclass(frozen=True, slots=True)
class NewCall:
    """A submit about to begin. `fingerprint` is a digest of method, path, query and body."""

    call_id: str
    account: str
    provider: str
    fingerprint: str
    hold_nanos: int
    route: int  # index of the submit route in the provider's configuration
    submit_path: str
    captures: Mapping[str, str]
    body: bytes  # kept until the submit has a verdict, so that an unknown one can be sent again
    idempotency_key: str | None
    now_us: int
    lease_until_us: int


@dataclass(frozen=True, slots=True)
class Call:
    """One row of the calls table."""

    call_id: str
    account: str
    provider: str
    state: State
    fingerprint: str
    hold_nanos: int
    route: int
    submit_path: str
    captures: Mapping[str, str]
    idempotency_key: str | None
    created_us: int
    updated_us: int
    due_us: int  # when the sweeper should next look: lease end, next poll, next resolve
    outcome: Outcome | None = None
    reason: str | None = None
    task_id: str | None = None
    hold_id: str | None = None
    amount_nanos: int | None = None
    flags: tuple[str, ...] = ()
    late_of: str | None = None  # the call whose deadline passed before this success was seen
    tries: int = 0  # sweeper attempts in the present state, for its backoff
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Fresh:
    call: Call


@dataclass(frozen=True, slots=True)
class Replay:
    call_id: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class InFlight:
    call_id: str
    state: State


@dataclass(frozen=True, slots=True)
class KeyReused:
    call_id: str


Opened = Fresh | Replay | InFlight | KeyReused
"""What opening a call met: a new row, or what the idempotency key already stands for."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to a provider, written before it is sent. `op`: submit poll result find passthrough."""

    attempt_id: str
    call_id: str | None
    provider: str
    op: str
    method: str
    path: str
    started_us: int
    status: int | None = None
    failure: str | None = None
    ended_us: int | None = None

    def over(self, *, status: int | None, failure: str | None, ended_us: int) -> Attempt:
        """The same attempt with its end."""
        return Attempt(
            self.attempt_id,
            self.call_id,
            self.provider,
            self.op,
            self.method,
            self.path,
            self.started_us,
            status,
            failure,
            ended_us,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a call ends: what is charged and why. Written once, with its intent, by the claim."""

    amount_nanos: int
    outcome: Outcome
    reason: str
    flags: tuple[str, ...] = ()
    final: Answer | None = None  # the terminal poll's answer, replayed to later polls
    submit: Answer | None = None  # the submit's answer where the submit itself was the end


@dataclass(frozen=True, slots=True)
class Intent:
    """A finalize that billing has not acknowledged yet. `key` is billing's idempotency key."""

    intent_id: str
    call_id: str
    account: str
    provider: str
    hold_id: str | None  # None: admitted without a hold (fail_open); reserve first
    hold_nanos: int
    amount_nanos: int
    reason: str
    key: str
    tries: int
    created_us: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside. `state`: open | finalized."""

    hold_id: str
    key: str
    account: str
    call_id: str
    amount_nanos: int
    state: str
    captured_nanos: int
    opened_us: int


@dataclass(frozen=True, slots=True)
class HoldPage:
    """Some holds, and where the next page begins (None: nowhere). A page may be empty and not the last."""

    holds: tuple[Hold, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Billing said no. `code`: insufficient_funds | over_budget | account_unknown | hold_unknown |
    conflict (the key, or the hold, already stands for something else).
    """

    code: str
