"""How Gemini words its errors: a status by name, and details that say why and how long."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fakes.chat.dialect import Words

__all__ = ["GEMINI_WORDS", "error_document", "retry_delay"]

_INVALID = "INVALID_ARGUMENT"
_EXHAUSTED = "RESOURCE_EXHAUSTED"
_RPC = "type.googleapis.com/google.rpc"

GEMINI_WORDS: Mapping[str, Words] = {
    "bad_key": Words(400, _INVALID, "API_KEY_INVALID", "API key not valid. Please pass a valid API key."),
    "no_key": Words(403, "PERMISSION_DENIED", None, "Method doesn't allow unregistered callers."),
    "permission": Words(403, "PERMISSION_DENIED", None, "The caller does not have permission"),
    "region": Words(400, "FAILED_PRECONDITION", None, "User location is not supported for the API use."),
    "not_found": Words(404, "NOT_FOUND", None, "The model is not found for this API version."),
    "parameters": Words(400, _INVALID, None, "Request contains an invalid argument."),
    "too_long": Words(400, _INVALID, None, "The input token count exceeds the maximum number of tokens."),
    "too_large": Words(413, _INVALID, None, "Request payload size exceeds the limit."),
    "conflict": Words(409, "ABORTED", None, "The operation was aborted."),
    "insufficient_balance": Words(402, "FAILED_PRECONDITION", None, "Your prepayment credits are depleted."),
    "spend_limit": Words(429, _EXHAUSTED, None, "Your project has exceeded its spending cap."),
    "rate": Words(429, _EXHAUSTED, None, "You exceeded your current quota."),
    "tokens": Words(429, _EXHAUSTED, None, "You exceeded your current quota."),
    "parallel": Words(429, _EXHAUSTED, None, "Resource has been exhausted (e.g. check quota)."),
    "server": Words(500, "INTERNAL", None, "An internal error has occurred."),
    "unavailable": Words(503, "UNAVAILABLE", None, "The service is currently unavailable."),
    "overloaded": Words(503, "UNAVAILABLE", None, "The model is overloaded. Please try again later."),
    "timeout": Words(504, "DEADLINE_EXCEEDED", None, "Deadline expired before operation could complete."),
}

_NAMES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 499: "CANCELLED"}

_QUOTAS = {
    "rate": ("generate_requests_per_model", "GenerateRequestsPerMinutePerProjectPerModel"),
    "tokens": ("generate_tokens_per_model", "GenerateContentTokensPerMinutePerProjectPerModel"),
}


def error_document(words: Words, kind: str, wait_us: int | None) -> dict[str, Any]:
    """The error with its details: the reason, the quota, and the delay to keep."""
    details: list[dict[str, Any]] = []
    if words.code is not None:
        details.append({"@type": f"{_RPC}.ErrorInfo", "reason": words.code, "domain": "googleapis.com"})
    if kind in _QUOTAS:
        metric, quota = _QUOTAS[kind]
        violation = {"quotaMetric": metric, "quotaId": quota}
        details.append({"@type": f"{_RPC}.QuotaFailure", "violations": [violation]})
    if wait_us is not None:
        details.append({"@type": f"{_RPC}.RetryInfo", "retryDelay": retry_delay(wait_us)})
    name = _NAMES.get(words.status, words.type)
    error: dict[str, Any] = {"code": words.status, "message": words.message, "status": name}
    return {"error": error | ({"details": details} if details else {})}


def retry_delay(us: int) -> str:
    """A protobuf duration: `39s`, `0.5s`; to the millisecond, rounded up."""
    return f"{(Decimal(-(-us // 1_000)) / 1_000).normalize():f}s"
