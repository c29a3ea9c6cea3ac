"""What the tests of the request log share: rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from refgate.requestlog.rows import DebugRow, RequestRow

__all__ = ["debug_row", "request_row"]

_REQUEST = RequestRow(
    request_id="c-1",
    at_us=1_000_000,
    caller="alice",
    account="alice",
    protocol="openai_chat",
    model="small",
    stream=False,
    outcome="served",
    code=None,
    status=200,
    backend="east",
    attempts=1,
    amount_nanos=5_000,
    cache=None,
    duration_us=20_000,
)
_DEBUG = DebugRow("d-1", "c-1", 1_000_000, "request", None, None, '[["accept", "*/*"]]', "{}", False)


def request_row(request_id: str = "c-1", **changes: Any) -> RequestRow:
    return replace(_REQUEST, request_id=request_id, **changes)


def debug_row(debug_id: str = "d-1", **changes: Any) -> DebugRow:
    return replace(_DEBUG, debug_id=debug_id, **changes)
