"""The rows of the request log and the debug log, how they are spooled, and what the store does with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Protocol, get_type_hints

__all__ = ["DebugRow", "LogStore", "RequestRow", "Row", "is_debug", "packed", "unpacked", "values_of"]


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request to a chat route, refused ones too. What was not known of it by its end is None."""

    request_id: str  # the call's id, which the answer's headers carry
    at_us: int
    caller: str | None
    account: str | None
    protocol: str | None
    model: str | None  # as the caller asked
    stream: bool
    outcome: str
    code: str | None
    status: int
    backend: str | None
    attempts: int
    amount_nanos: int
    cache: str | None
    duration_us: int


@dataclass(frozen=True, slots=True)
class DebugRow:
    """One message of a request, redacted. `what`: request | upstream_request | upstream_answer | answer."""

    debug_id: str
    request_id: str
    at_us: int
    what: str
    backend: str | None
    status: int | None
    headers: str  # a JSON list of pairs
    body: str
    cut: bool


Row = RequestRow | DebugRow

_KINDS: dict[str, type[RequestRow] | type[DebugRow]] = {"request": RequestRow, "debug": DebugRow}
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in (RequestRow, DebugRow)}
_TYPES = {kind: tuple(get_type_hints(kind).values()) for kind in (RequestRow, DebugRow)}
_VALUES = {kind: attrgetter(*names) for kind, names in _NAMES.items()}
_DEBUG = b'["debug",'
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class LogStore(Protocol):
    """Each method is one transaction. Any may raise StoreUnavailable, and then has changed nothing."""

    async def keep(self, rows: Sequence[Row]) -> None:
        """Each row once, however often it comes."""

    async def forget(self, *, before_us: int, limit: int) -> int:
        """Drops rows older than that, so many of each log at most; answers the most that any log lost."""


def values_of(row: Row) -> tuple[Any, ...]:
    """In the order of the fields."""
    values: tuple[Any, ...] = _VALUES[type(row)](row)
    return values


def packed(row: Row) -> bytes:
    """As one record of a spool."""
    word = "debug" if isinstance(row, DebugRow) else "request"
    return _ENCODER.encode([word, *values_of(row)]).encode()


def is_debug(record: bytes) -> bool:
    """Whether a record is one that may be given up."""
    return record.startswith(_DEBUG)


def unpacked(record: bytes) -> Row | None:
    """None for what is no row that a store could take, as another version may have left it."""
    try:
        word, *values = json.loads(record)
        row = _KINDS[word](*values)
        fits = all(isinstance(value, kind) for value, kind in zip(values, _TYPES[type(row)], strict=True))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return row if fits else None
