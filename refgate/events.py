"""What happened inside the gateway, as frozen facts handed to the sink.

Logs, and later metrics and audit, all read these. A fact is given its time; it carries ids, codes and
numbers, and never a secret, a body, a header value or the text of somebody else's exception.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

__all__ = [
    "AttemptEnded",
    "CallEnded",
    "CallOpened",
    "CallRefused",
    "CallUnknown",
    "ChatAttemptEnded",
    "ChatEnded",
    "ChatOpened",
    "Draining",
    "Event",
    "Failed",
    "FewFiles",
    "LateCharged",
    "Listening",
    "Started",
    "Stopped",
    "TaskRunning",
    "UsageFlagged",
    "line",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at `t_us`, wall time in microseconds since the Unix epoch."""

    kind: ClassVar[str] = "event"
    level: ClassVar[str] = "info"
    t_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """This replica is ready for calls."""

    kind: ClassVar[str] = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Event):
    """The server's socket is open; a port of 0 in the settings became this one."""

    kind: ClassVar[str] = "listening"
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FewFiles(Event):
    """This process may not open as many files and connections as `limits.requests` calls need: past
    `allowed`, callers are not let in and backends cannot be reached. Raise `ulimit -n`, or lower the limit.
    """

    kind: ClassVar[str] = "few-files"
    level: ClassVar[str] = "warning"
    allowed: int
    wanted: int
    remedy: str = "raise ulimit -n, or lower limits.requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining(Event):
    """This replica takes no new calls and finishes those in hand."""

    kind: ClassVar[str] = "draining"
    in_hand: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """This replica has ended. `left` calls were still in hand at the deadline."""

    kind: ClassVar[str] = "stopped"
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOpened(Event):
    """A submit has its row and its hold."""

    kind: ClassVar[str] = "call-opened"
    call_id: str
    account: str
    provider: str
    hold_nanos: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused(Event):
    """A request ended in the gateway's own name. `provider` and `account` as far as they were known."""

    kind: ClassVar[str] = "call-refused"
    code: str
    status: int
    provider: str | None = None
    account: str | None = None
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRunning(Event):
    """The provider took a call on."""

    kind: ClassVar[str] = "task-running"
    call_id: str
    provider: str
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUnknown(Event):
    """A submit went out and no verdict came back. `recorded` is False where the store was away too."""

    kind: ClassVar[str] = "call-unknown"
    level: ClassVar[str] = "warning"
    call_id: str
    provider: str
    reason: str
    recorded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Event):
    """The one claim of a call's end was won here; its intent is on the way to billing."""

    kind: ClassVar[str] = "call-ended"
    call_id: str
    provider: str
    outcome: str
    reason: str
    amount_nanos: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LateCharged(Event):
    """A success came to light after its call had been released; it is charged once, on a row of its own."""

    kind: ClassVar[str] = "late-charged"
    level: ClassVar[str] = "warning"
    call_id: str
    late_id: str
    amount_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFlagged(Event):
    """A success whose usage could not be taken at its word; the declared policy set the amount."""

    kind: ClassVar[str] = "usage-flagged"
    level: ClassVar[str] = "warning"
    call_id: str
    provider: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded(Event):
    """One request to a provider is over. Exactly one of `status` and `failure` is set, or both when an
    answer began and broke."""

    kind: ClassVar[str] = "attempt-ended"
    attempt_id: str
    call_id: str | None
    provider: str
    op: str
    status: int | None
    failure: str | None
    took_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOpened(Event):
    """A chat call has its row and its hold."""

    kind: ClassVar[str] = "chat-opened"
    call_id: str
    account: str
    model: str
    hold_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAttemptEnded(Event):
    """One try of a chat call is over. `failure` is a FaultKind; None where it served."""

    kind: ClassVar[str] = "chat-attempt-ended"
    attempt_id: str
    call_id: str
    backend: str
    lane: str
    status: int | None
    failure: str | None
    took_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEnded(Event):
    """A chat call is settled: charged, its hold released, its row closed."""

    kind: ClassVar[str] = "chat-ended"
    call_id: str
    outcome: str
    reason: str
    status: int
    amount_nanos: int
    attempts: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """Something that should not happen did. `what` is a class name or a code, never a message."""

    kind: ClassVar[str] = "failed"
    level: ClassVar[str] = "error"
    where: str
    what: str
    call_id: str | None = None


def line(event: Event) -> str:
    """One canonical line for a fact, as JSON: equal facts give equal text in every process."""
    # Nearly all values are plain words and numbers; an encoder for each fact costs more than they do.
    text = f'{{"event":"{event.kind}","level":"{event.level}"'
    for name in _names(event):
        value = getattr(event, name)
        if value is None:
            continue
        kind = type(value)
        if kind is str:
            text += f',"{name}":{encode_basestring_ascii(value)}'
        elif kind is int:
            text += f',"{name}":{value}'
        else:
            text += f',"{name}":{json.dumps(value, separators=(",", ":"))}'
    return text + "}"


def _names(event: Event) -> tuple[str, ...]:
    kind: Any = type(event)  # mypy takes a dataclass for something without a hash
    return _fields(kind)


@lru_cache(maxsize=128)
def _fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
