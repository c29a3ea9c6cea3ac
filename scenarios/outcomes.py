"""How a request ended for the client that sent it: ok, fail or info. A pure function and its table.

- **ok**: a whole 2xx answer.
- **fail**: refused, and known to have had no effect beyond what the answer says: the connection was
  never made, or the answer is a 4xx, or the gateway's own refusal of the kinds listed below.
- **info**: everything else. The request may have been served, and billed: a lost or cut answer, a
  time-out, a 5xx, an answer that says itself that the outcome is not known.

A client that left is `info` as well; it has no answer to judge.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CACHE_HEADER", "ERROR_HEADER", "REPLAY_HEADER", "header", "outcome_of"]

ERROR_HEADER = "x-refgate-error"
REPLAY_HEADER = "x-idempotent-replay"
CACHE_HEADER = "x-cache"

_NEVER_SENT = frozenset({"ConnectFailed", "ConnectTimeout", "PoolTimeout", "RequestInvalid"})
# A 409 says that the first attempt is still at work; 408 and 425 say nothing of what was done.
_INFO_STATUSES = frozenset({408, 409, 425})
_INFO_CODES = frozenset({"in_flight", "outcome_unknown", "store_unavailable"})
_FAIL_CODES = frozenset({"billing_unavailable", "draining", "key_reused", "upstream_unreachable"})


def header(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The first header of this lower-case name."""
    return next((value for key, value in headers if key == name), None)


def outcome_of(
    status: int | None,
    *,
    error: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    complete: bool = True,
) -> str:
    """`error` is the class name of the wire error where no whole answer came."""
    if error is not None:
        return "fail" if error in _NEVER_SENT else "info"
    if status is None or not complete:
        return "info"
    if 200 <= status < 300:
        return "ok"
    code = header(headers, ERROR_HEADER)
    if code in _FAIL_CODES:
        return "fail"
    if code in _INFO_CODES or status in _INFO_STATUSES:
        return "info"
    return "fail" if 400 <= status < 500 else "info"
