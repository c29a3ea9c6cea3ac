"""A Fault, told to a caller in the shape and with the status of the caller's own protocol.

So that the vendor's SDK raises the class it would raise for the vendor. A message is shown as it stands in
the Fault: whoever hands one on that a provider wrote has scrubbed it first.
"""

from __future__ import annotations

from typing import Any

from refgate.answer import Answer
from refgate.dialects.canonical import Malformed, Protocol, Untranslatable
from refgate.dialects.json_text import dumps
from refgate.dialects.spoken import Fault, FaultKind
from refgate.dialects.sse import encode

__all__ = ["ALL_POOLS_EXHAUSTED", "error_answer", "fault_of", "status_of", "stream_error"]

ALL_POOLS_EXHAUSTED = "AllPoolsExhausted"
"""The code by which a caller's own fallback chain knows that every backend was tried."""

_OPENAI: dict[FaultKind, tuple[int, str, str | None]] = {
    FaultKind.BAD_REQUEST: (400, "invalid_request_error", None),
    FaultKind.UNAUTHORIZED: (401, "invalid_request_error", "invalid_api_key"),
    FaultKind.FORBIDDEN: (403, "invalid_request_error", "permission_denied"),
    FaultKind.NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    FaultKind.CONFLICT: (409, "invalid_request_error", "conflict"),
    FaultKind.CONTEXT_OVERFLOW: (400, "invalid_request_error", "context_length_exceeded"),
    FaultKind.CONTENT_FILTER: (400, "invalid_request_error", "content_filter"),
    FaultKind.TOO_LARGE: (413, "invalid_request_error", "request_too_large"),
    FaultKind.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    FaultKind.NO_MONEY: (429, "insufficient_quota", "insufficient_quota"),
    FaultKind.SERVER: (500, "server_error", None),
    FaultKind.INTERNAL: (500, "server_error", "internal"),
    FaultKind.BROKEN: (502, "server_error", "upstream_broken"),
    FaultKind.TRUNCATED: (502, "server_error", "upstream_truncated"),
    FaultKind.UNREACHABLE: (502, "server_error", "upstream_unreachable"),
    FaultKind.OVERLOADED: (503, "service_unavailable_error", "server_is_overloaded"),
    FaultKind.EXHAUSTED: (503, "service_unavailable_error", ALL_POOLS_EXHAUSTED),
    FaultKind.TIMEOUT: (504, "server_error", "timeout"),
}

_ANTHROPIC: dict[FaultKind, tuple[int, str]] = {
    FaultKind.BAD_REQUEST: (400, "invalid_request_error"),
    FaultKind.UNAUTHORIZED: (401, "authentication_error"),
    FaultKind.FORBIDDEN: (403, "permission_error"),
    FaultKind.NOT_FOUND: (404, "not_found_error"),
    FaultKind.CONFLICT: (409, "conflict_error"),
    FaultKind.CONTEXT_OVERFLOW: (400, "invalid_request_error"),
    FaultKind.CONTENT_FILTER: (400, "invalid_request_error"),
    FaultKind.TOO_LARGE: (413, "request_too_large"),
    FaultKind.RATE_LIMITED: (429, "rate_limit_error"),
    FaultKind.NO_MONEY: (402, "billing_error"),
    FaultKind.SERVER: (500, "api_error"),
    FaultKind.INTERNAL: (500, "api_error"),
    FaultKind.BROKEN: (502, "api_error"),
    FaultKind.TRUNCATED: (502, "api_error"),
    FaultKind.UNREACHABLE: (502, "api_error"),
    FaultKind.OVERLOADED: (529, "overloaded_error"),
    FaultKind.EXHAUSTED: (503, "overloaded_error"),
    FaultKind.TIMEOUT: (504, "timeout_error"),
}

_GEMINI: dict[FaultKind, tuple[int, str]] = {
    FaultKind.BAD_REQUEST: (400, "INVALID_ARGUMENT"),
    FaultKind.UNAUTHORIZED: (401, "UNAUTHENTICATED"),
    FaultKind.FORBIDDEN: (403, "PERMISSION_DENIED"),
    FaultKind.NOT_FOUND: (404, "NOT_FOUND"),
    FaultKind.CONFLICT: (409, "ABORTED"),
    FaultKind.CONTEXT_OVERFLOW: (400, "INVALID_ARGUMENT"),
    FaultKind.CONTENT_FILTER: (400, "INVALID_ARGUMENT"),
    FaultKind.TOO_LARGE: (413, "INVALID_ARGUMENT"),
    FaultKind.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED"),
    FaultKind.NO_MONEY: (402, "FAILED_PRECONDITION"),
    FaultKind.SERVER: (500, "INTERNAL"),
    FaultKind.INTERNAL: (500, "INTERNAL"),
    FaultKind.BROKEN: (502, "INTERNAL"),
    FaultKind.TRUNCATED: (502, "INTERNAL"),
    FaultKind.UNREACHABLE: (502, "INTERNAL"),
    FaultKind.OVERLOADED: (503, "UNAVAILABLE"),
    FaultKind.EXHAUSTED: (503, "UNAVAILABLE"),
    FaultKind.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
}
_RPC = "type.googleapis.com/google.rpc"

_MESSAGES = {
    FaultKind.UNAUTHORIZED: "the key is missing or not known",
    FaultKind.NO_MONEY: "there is no money left for this call",
    FaultKind.RATE_LIMITED: "too many requests",
    FaultKind.OVERLOADED: "the provider is overloaded",
    FaultKind.EXHAUSTED: "every backend for this model is busy or failing",
    FaultKind.TRUNCATED: "the provider's answer ended before its end",
    FaultKind.TIMEOUT: "the answer did not come in time",
}


def fault_of(refused: Malformed | Untranslatable) -> Fault:
    """A request that cannot go on, as the error its caller gets."""
    code = "unsupported_parameter" if isinstance(refused, Untranslatable) else "invalid_value"
    return Fault(FaultKind.BAD_REQUEST, str(refused), 400, code=code)


def status_of(protocol: Protocol, kind: FaultKind) -> int:
    """The status that the caller's protocol has for such a failure."""
    match protocol:
        case Protocol.ANTHROPIC:
            return _ANTHROPIC[kind][0]
        case Protocol.GEMINI:
            return _GEMINI[kind][0]
        case _:
            return _OPENAI[kind][0]


def error_answer(
    protocol: Protocol, fault: Fault, *, param: str | None = None, request_id: str | None = None
) -> Answer:
    """A whole error answer. `param` names the caller's field at fault; `retry_after_us` is rounded up.

    What waiting cannot mend says so to the SDK, which would try a 429 again.
    """
    headers = [
        ("content-type", "application/json"),
        ("x-refgate-error", ALL_POOLS_EXHAUSTED if fault.kind is FaultKind.EXHAUSTED else fault.kind.value),
    ]
    if fault.retry_after_us is not None:
        headers.append(("retry-after", str(max(1, -(-fault.retry_after_us // 1_000_000)))))
    if fault.kind is FaultKind.NO_MONEY:
        headers.append(("x-should-retry", "false"))
    match protocol:
        case Protocol.ANTHROPIC:
            body = _anthropic_body(fault, request_id)
        case Protocol.GEMINI:
            body = _gemini_body(fault, param)
        case _:
            body = {"error": _openai_error(fault, param)}
    return Answer(status_of(protocol, fault.kind), tuple(headers), dumps(body).encode())


def stream_error(protocol: Protocol, fault: Fault, *, sequence: int = 0) -> bytes:
    """The error as an event of a stream that has begun; it ends the stream.

    For Responses it has both shapes that are in use: the SDK raises for one and ignores the other.
    """
    match protocol:
        case Protocol.ANTHROPIC:
            return encode(dumps(_anthropic_body(fault, None)), event="error")
        case Protocol.OPENAI_RESPONSES:
            error = _openai_error(fault, None)
            flat = {"type": "error", "sequence_number": sequence, "error": error}
            flat |= {name: error[name] for name in ("code", "message", "param")}
            return encode(dumps(flat), event="error")
        case Protocol.GEMINI:
            return encode(dumps(_gemini_body(fault, None)))
        case _:
            return encode(dumps({"error": _openai_error(fault, None)}))


def _message(fault: Fault) -> str:
    return fault.message or _MESSAGES.get(fault.kind, fault.kind.value.replace("_", " "))


def _openai_error(fault: Fault, param: str | None) -> dict[str, Any]:
    _, kind, code = _OPENAI[fault.kind]
    if fault.kind is FaultKind.BAD_REQUEST and fault.code is not None:
        code = fault.code
    return {"message": _message(fault), "type": kind, "param": param, "code": code}


def _anthropic_body(fault: Fault, request_id: str | None) -> dict[str, Any]:
    error: dict[str, Any] = {"type": _ANTHROPIC[fault.kind][1], "message": _message(fault)}
    if fault.kind is FaultKind.EXHAUSTED:
        error["details"] = {"error_code": ALL_POOLS_EXHAUSTED}
    body: dict[str, Any] = {"type": "error", "error": error}
    if request_id is not None:
        body["request_id"] = request_id
    return body


def _gemini_body(fault: Fault, param: str | None) -> dict[str, Any]:
    """How long to wait stands in the body here, as well as in the header."""
    code, status = _GEMINI[fault.kind]
    details: list[dict[str, Any]] = []
    reason = ALL_POOLS_EXHAUSTED if fault.kind is FaultKind.EXHAUSTED else _reason(fault)
    if reason is not None:
        details.append({"@type": f"{_RPC}.ErrorInfo", "reason": reason, "domain": "refgate"})
    if param is not None:
        violation = {"field": param, "description": _message(fault)}
        details.append({"@type": f"{_RPC}.BadRequest", "fieldViolations": [violation]})
    if fault.retry_after_us is not None:
        seconds, us = divmod(max(0, fault.retry_after_us), 1_000_000)
        part = f".{us:06d}".rstrip("0") if us else ""
        details.append({"@type": f"{_RPC}.RetryInfo", "retryDelay": f"{seconds}{part}s"})
    error: dict[str, Any] = {"code": code, "message": _message(fault), "status": status}
    return {"error": error | ({"details": details} if details else {})}


def _reason(fault: Fault) -> str | None:
    """The words of other protocols that say more than the status of this one."""
    if fault.kind in (FaultKind.CONTEXT_OVERFLOW, FaultKind.CONTENT_FILTER):
        return _OPENAI[fault.kind][2]
    return fault.code if fault.kind is FaultKind.BAD_REQUEST else None
