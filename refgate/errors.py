"""What the gateway itself answers when it will not, or cannot, carry a call on.

One table of codes and statuses, one exception that carries a code up to the edge, one envelope.
A message is written here or by the caller of `Refusal`, never taken from another exception: what a
library says may hold a URL, a key or somebody's body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from refgate.answer import Answer

__all__ = ["STATUS", "Code", "Refusal", "envelope"]


class Code(StrEnum):
    """Every reason the gateway gives in its own name."""

    BAD_REQUEST = "bad_request"
    BAD_PATH = "bad_path"
    UNAUTHORIZED = "unauthorized"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    ACCOUNT_FORBIDDEN = "account_forbidden"
    NOT_FOUND = "not_found"
    PROVIDER_UNKNOWN = "provider_unknown"
    TASK_NOT_FOUND = "task_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IN_FLIGHT = "in_flight"
    BODY_TOO_LARGE = "body_too_large"
    KEY_REUSED = "key_reused"
    INTERNAL = "internal"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_BROKEN = "upstream_broken"
    BILLING_UNAVAILABLE = "billing_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    OUTCOME_UNKNOWN = "outcome_unknown"
    UPSTREAM_TIMEOUT = "upstream_timeout"


STATUS: dict[Code, int] = {
    Code.BAD_REQUEST: 400,
    Code.BAD_PATH: 400,
    Code.UNAUTHORIZED: 401,
    Code.INSUFFICIENT_FUNDS: 402,
    Code.ACCOUNT_FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.PROVIDER_UNKNOWN: 404,
    Code.TASK_NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.IN_FLIGHT: 409,
    Code.BODY_TOO_LARGE: 413,
    Code.KEY_REUSED: 422,
    Code.INTERNAL: 500,
    Code.UPSTREAM_UNREACHABLE: 502,
    Code.UPSTREAM_BROKEN: 502,
    Code.BILLING_UNAVAILABLE: 503,
    Code.STORE_UNAVAILABLE: 503,
    Code.OVERLOADED: 503,
    Code.DRAINING: 503,
    Code.OUTCOME_UNKNOWN: 504,
    Code.UPSTREAM_TIMEOUT: 504,
}


@dataclass(eq=False)
class Refusal(Exception):
    """Ends a call with one of the gateway's own answers."""

    code: Code
    message: str
    call_id: str | None = None
    retry_after_s: int | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def envelope(refusal: Refusal) -> Answer:
    """The one shape of every error that is the gateway's own."""
    error: dict[str, str | int] = {"code": refusal.code.value, "message": refusal.message}
    headers = [("content-type", "application/json"), ("x-refgate-error", refusal.code.value)]
    if refusal.call_id is not None:
        error["call_id"] = refusal.call_id
    if refusal.retry_after_s is not None:
        error["retry_after_s"] = refusal.retry_after_s
        headers.append(("retry-after", str(refusal.retry_after_s)))
    body = json.dumps({"error": error}, ensure_ascii=True, separators=(",", ":"))
    return Answer(STATUS[refusal.code], tuple(headers), body.encode())
