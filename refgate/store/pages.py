"""The tables as the read API shows them, page by page, in the order the rows were made.

Cost of a page does not grow with where it begins: the cursor is a row's id, found through its index.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from refgate.requestlog.rows import DebugRow, RequestRow
from refgate.store.rows import flags_of

__all__ = ["PAGES", "page"]

_USAGE = (
    "usage_source",
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "output",
    "output_audio",
    "reasoning",
    "web_searches",
)

PAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "accounts": (
            "account",
            "granted_nanos",
            "available_nanos",
            "held_nanos",
            "settled_nanos",
            "budget_nanos",
        ),
        "calls": (
            "call_id",
            "account",
            "provider",
            "state",
            "outcome",
            "reason",
            "task_id",
            "hold_id",
            "hold_nanos",
            "amount_nanos",
            "flags",
            "idempotency_key",
            "late_of",
            "created_us",
            "updated_us",
        ),
        "attempts": (
            "attempt_id",
            "call_id",
            "provider",
            "op",
            "method",
            "path",
            "status",
            "failure",
            "started_us",
            "ended_us",
        ),
        "holds": (
            "hold_id",
            "key",
            "account",
            "call_id",
            "amount_nanos",
            "state",
            "captured_nanos",
            "opened_us",
        ),
        "entries": (
            "entry_id",
            "txn_id",
            "book",
            "account",
            "amount_nanos",
            "call_id",
            "kind",
            "at_us",
        ),
        "intents": (
            "intent_id",
            "call_id",
            "amount_nanos",
            "reason",
            "key",
            "tries AS attempts",
            "next_us",
            "done_us",
            "stuck",
        ),
        "chats": (
            "call_id",
            "account",
            "caller",
            "protocol",
            "model",
            "stream",
            "state",
            "outcome",
            "reason",
            "status",
            "backend",
            "upstream_model",
            "served_model",
            "hold_id",
            "hold_nanos",
            "amount_nanos",
            "price_from_us",
            *_USAGE,
            "flags",
            "cache",
            "attempts",
            "created_us",
            "first_token_us",
            "ended_us",
        ),
        "chat_attempts": (
            "attempt_id",
            "call_id",
            "number",
            "backend",
            "pool",
            "lane",
            "model",
            "served_model",
            "status",
            "failure",
            "ambiguous",
            "retry_after_us",
            *_USAGE,
            "cost_nanos",
            "price_from_us",
            "started_us",
            "first_token_us",
            "ended_us",
        ),
        "requests": tuple(field.name for field in fields(RequestRow)),
        "debug": tuple(field.name for field in fields(DebugRow)),
    }
)
"""Table → its columns in the read API; the first is the cursor."""

_LOGS = ("requests", "debug")

_DECODED: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "flags": lambda stored: list(flags_of(stored)),
        "stuck": bool,
        "stream": bool,
        "ambiguous": bool,
        "headers": json.loads,
        "cut": bool,
    }
)


def page(cx: sqlite3.Connection, table: str, *, after: str | None, limit: int) -> Sequence[Mapping[str, Any]]:
    columns = PAGES[table]
    cursor = columns[0]
    select = f"SELECT {', '.join(columns)} FROM {table}"
    if after is None:
        rows = cx.execute(f"{select} ORDER BY seq LIMIT ?", (limit,)).fetchall()
    else:
        # Logs lose their oldest rows: a cursor that is gone was older than all that is left.
        gone = 0 if table in _LOGS else None
        rows = cx.execute(
            f"{select} WHERE seq > coalesce((SELECT seq FROM {table} WHERE {cursor} = ?), ?)"
            " ORDER BY seq LIMIT ?",
            (after, gone, limit),
        ).fetchall()
    names = [column.rpartition(" ")[2] for column in columns]
    shown = [dict(zip(names, row, strict=True)) for row in rows]
    for name, decoded in _DECODED.items():
        for one in shown if name in names else ():
            one[name] = decoded(one[name])
    return shown
