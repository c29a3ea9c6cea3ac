"""The parts that a view of a history is made of: exchanges, served requests, tasks, rows.

Each is one thing seen from one side; which belong together is the view's matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fakes.journal import Answered, Headers, Received, TaskAccepted, TaskEnded
from scenarios.history import Got, History, Left, Observed, Sent

__all__ = [
    "CALL_ID",
    "OWN_ERROR",
    "CallRow",
    "Exchange",
    "Row",
    "Served",
    "Task",
    "by_name",
    "header",
    "rows",
]

OWN_ERROR = "x-refgate-error"
CALL_ID = "x-proxy-call-id"
Row = Mapping[str, Any]
_ID = {
    "accounts": "account",
    "calls": "call_id",
    "attempts": "attempt_id",
    "holds": "hold_id",
    "entries": "entry_id",
    "intents": "intent_id",
    "chats": "call_id",
    "chat_attempts": "attempt_id",
    "requests": "request_id",
    "debug": "debug_id",
}


def header(headers: Headers, name: str) -> str | None:
    """The first value under this lower-case name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def by_name(headers: Headers) -> Mapping[str, str]:
    """The first value under each name."""
    return dict(reversed(headers))


@dataclass(slots=True)
class Exchange:
    """One request of a client, and how it ended for it. `op`, `nonce` and `task_id` are what the request
    itself says, also where the client did not know that it was a submit or a poll."""

    sent: Sent
    asks: Mapping[str, str]  # its headers: the first value under each name
    op: str
    nonce: str | None = None
    task_id: str | None = None
    account: str = ""  # the one that the request asked to bill
    got: Got | None = None
    left: Left | None = None
    ended_us: int | None = None
    answered: Got | None = None  # the answer, where a whole one arrived
    says: Mapping[str, str] = field(default_factory=dict)  # the headers of what it got, as above
    own_code: str | None = None  # the gateway's own error code, where it answered in its own name
    call_id: str | None = None  # the call that the answer names

    def end(self, got: Got) -> None:
        """How it ended."""
        self.got, self.ended_us = got, got.t_us
        self.says = by_name(got.headers)
        self.own_code, self.call_id = self.says.get(OWN_ERROR), self.says.get(CALL_ID)
        if got.status is not None and got.complete:
            self.answered = got

    def leave(self, left: Left) -> None:
        """The client did not wait for the end."""
        self.left, self.ended_us = left, left.t_us


@dataclass(slots=True)
class Served:
    """One request as a fake saw it, and its answer."""

    received: Received
    answered: Answered | None = None


@dataclass(slots=True)
class Task:
    """Work that a provider took on: the truth about it, and the requests about it."""

    provider: str
    accepted: TaskAccepted
    nonce: str | None = None  # where a client sent it
    account: str | None = None
    ended: TaskEnded | None = None
    id_shared: bool = False  # the provider gave one id to two tasks
    asked: list[Served] = field(default_factory=list)

    @property
    def task_id(self) -> str:
        return self.accepted.task_id


@dataclass(slots=True)
class CallRow:
    """One call in the gateway's final record. `fact`: the reading that showed it, narrowed to its row."""

    row: Row
    observed: Observed

    @property
    def fact(self) -> Observed:
        return replace(self.observed, rows=(self.row,))

    @property
    def call_id(self) -> str:
        return str(self.row["call_id"])

    @property
    def account(self) -> str:
        return str(self.row["account"])

    @property
    def provider(self) -> str:
        return str(self.row["provider"])

    @property
    def state(self) -> str:
        return str(self.row["state"])

    @property
    def outcome(self) -> str | None:
        return self.row.get("outcome")

    @property
    def task_id(self) -> str | None:
        return self.row.get("task_id")

    @property
    def key(self) -> str | None:
        return self.row.get("idempotency_key")

    @property
    def late_of(self) -> str | None:
        return self.row.get("late_of")

    @property
    def amount_nanos(self) -> int | None:
        return self.row.get("amount_nanos")

    @property
    def flags(self) -> Sequence[str]:
        return tuple(self.row.get("flags") or ())

    @property
    def age_us(self) -> int:
        """From its making to its last move, by the gateway's own clock."""
        return int(self.row.get("updated_us", 0)) - int(self.row.get("created_us", 0))


def rows(history: History, what: str, *, at_billing: bool = False) -> Iterator[tuple[Row, Observed]]:
    """Each row of the final readings of a table once, as read last."""
    return iter(history.derived((rows, what, at_billing), lambda: _last(history, what, at_billing)))


def _last(history: History, what: str, at_billing: bool) -> Sequence[tuple[Row, Observed]]:
    key = _ID[what]
    found: dict[Any, tuple[Row, Observed]] = {}
    for observed in history.of(Observed):
        if observed.what == what and observed.final and (observed.at == "billing") is at_billing:
            found.update([(row.get(key), (row, observed)) for row in observed.rows])
    return tuple(found.values())
