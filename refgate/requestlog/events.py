"""What became of rows that did not go their way, as facts for the sink. See `refgate.events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from refgate.events import Event

__all__ = ["DebugGivenUp", "LogLeft", "LogPostponed", "LogUnreadable", "RequestUnlogged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPostponed(Event):
    """The store took no rows; so many wait in the spool."""

    kind: ClassVar[str] = "log-postponed"
    level: ClassVar[str] = "warning"
    waiting: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugGivenUp(Event):
    """The spool was full: so many rows of the debug log are not going to be written."""

    kind: ClassVar[str] = "debug-given-up"
    level: ClassVar[str] = "warning"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestUnlogged(Event):
    """The spool was full of requests: this one has no row but this line."""

    kind: ClassVar[str] = "request-unlogged"
    level: ClassVar[str] = "error"
    request_id: str
    outcome: str
    status: int
    amount_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogUnreadable(Event):
    """Records of the spool that are no rows, left by another version; they are passed over."""

    kind: ClassVar[str] = "log-unreadable"
    level: ClassVar[str] = "error"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLeft(Event):
    """At the end of this replica, so many rows are in its spool, for the next one."""

    kind: ClassVar[str] = "log-left"
    level: ClassVar[str] = "warning"
    count: int
