"""A provider's error, in any protocol's shape → Fault. Pure, total: every status and body has a kind.

The error's own words decide where they say more than the status (a 429 that is about money, a 400 that is
about a key or a context too long); inside a 200 or a stream they are all there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from refgate.dialects.json_text import as_list, as_map
from refgate.dialects.retry_hint import hint_us
from refgate.dialects.spoken import Broke, Fault, FaultKind, Metered
from refgate.money import loads_exact

__all__ = ["broken", "classify", "error_in", "failed", "fault_in_body", "truncated"]

_TELLING = {
    **dict.fromkeys(
        (
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "billing_hard_limit_reached",
            "billing_not_active",
            "billing_error",
            "payment_required",
            "enforced_spend_limit_reached",
            "contract_spend_limit_reached",
        ),
        FaultKind.NO_MONEY,
    ),
    "context_length_exceeded": FaultKind.CONTEXT_OVERFLOW,
    "string_above_max_length": FaultKind.CONTEXT_OVERFLOW,
    "content_filter": FaultKind.CONTENT_FILTER,
    "content_policy_violation": FaultKind.CONTENT_FILTER,
    "bio_policy": FaultKind.CONTENT_FILTER,
    "invalid_api_key": FaultKind.UNAUTHORIZED,
    "API_KEY_INVALID": FaultKind.UNAUTHORIZED,
    "model_not_found": FaultKind.NOT_FOUND,
    "overloaded_error": FaultKind.OVERLOADED,
    "server_is_overloaded": FaultKind.OVERLOADED,
    "slow_down": FaultKind.RATE_LIMITED,
}
"""Words that say more than any status."""

_BY_STATUS = {
    400: FaultKind.BAD_REQUEST,
    401: FaultKind.UNAUTHORIZED,
    402: FaultKind.NO_MONEY,
    403: FaultKind.FORBIDDEN,
    404: FaultKind.NOT_FOUND,
    408: FaultKind.TIMEOUT,
    409: FaultKind.CONFLICT,
    413: FaultKind.TOO_LARGE,
    422: FaultKind.BAD_REQUEST,
    429: FaultKind.RATE_LIMITED,
    503: FaultKind.OVERLOADED,
    504: FaultKind.TIMEOUT,
    524: FaultKind.TIMEOUT,
    529: FaultKind.OVERLOADED,
}

_BY_WORD = {
    **dict.fromkeys(
        ("rate_limit_exceeded", "rate_limit_error", "requests", "tokens", "RESOURCE_EXHAUSTED"),
        (FaultKind.RATE_LIMITED, 429),
    ),
    "service_unavailable_error": (FaultKind.OVERLOADED, 503),
    "UNAVAILABLE": (FaultKind.OVERLOADED, 503),
    "overloaded_error": (FaultKind.OVERLOADED, 529),
    "server_is_overloaded": (FaultKind.OVERLOADED, 503),
    "timeout_error": (FaultKind.TIMEOUT, 504),
    "DEADLINE_EXCEEDED": (FaultKind.TIMEOUT, 504),
    "server_error": (FaultKind.SERVER, 500),
    "api_error": (FaultKind.SERVER, 500),
    "INTERNAL": (FaultKind.SERVER, 500),
    "authentication_error": (FaultKind.UNAUTHORIZED, 401),
    "UNAUTHENTICATED": (FaultKind.UNAUTHORIZED, 401),
    "permission_error": (FaultKind.FORBIDDEN, 403),
    "PERMISSION_DENIED": (FaultKind.FORBIDDEN, 403),
    "not_found_error": (FaultKind.NOT_FOUND, 404),
    "NOT_FOUND": (FaultKind.NOT_FOUND, 404),
    "request_too_large": (FaultKind.TOO_LARGE, 413),
    "conflict_error": (FaultKind.CONFLICT, 409),
    "ABORTED": (FaultKind.CONFLICT, 409),
    "invalid_prompt": (FaultKind.BAD_REQUEST, 400),
    "invalid_request_error": (FaultKind.BAD_REQUEST, 400),
    "INVALID_ARGUMENT": (FaultKind.BAD_REQUEST, 400),
    "FAILED_PRECONDITION": (FaultKind.BAD_REQUEST, 400),
}
"""What an error means, and the status it would have had, where it comes without one."""

_SAID = (
    ("credit balance", FaultKind.NO_MONEY),
    ("spend limit", FaultKind.NO_MONEY),
    ("maximum context length", FaultKind.CONTEXT_OVERFLOW),
    ("prompt is too long", FaultKind.CONTEXT_OVERFLOW),
    ("exceeds the maximum number of tokens", FaultKind.CONTEXT_OVERFLOW),
)
"""Of some bad requests only the message tells more. Used for no other status."""


def classify(status: int, headers: Iterable[tuple[str, str]], body: bytes, *, now_us: int) -> Fault:
    """An answer whose status is not 2xx."""
    try:
        document = loads_exact(body.decode("utf-8-sig"))
    except ValueError:
        document = None
    error = error_in(document)
    return _fault(error, status, hint_us(headers, document, now_us=now_us))


def error_in(document: Any) -> dict[str, Any]:
    """The error object of a body, flattened from whatever shape; empty where there is none."""
    if isinstance(document, list) and document:
        document = document[0]
    top = as_map(document)
    error = top.get("error")
    if isinstance(error, str) and error:
        return {"message": error}
    if isinstance(error, dict) and error:
        return error
    if error and not isinstance(error, dict):
        return {"message": ""}  # an error that is neither told nor named
    if top.get("type") == "error":  # the flat form of OpenAI's Responses
        return {name: top.get(name) for name in ("message", "code")}
    return {}


def fault_in_body(document: Any) -> Fault | None:
    """The error inside a 2xx body or a stream's event; None where there is none."""
    if not isinstance(document, dict | list):
        return broken("the answer is not a JSON object")
    error = error_in(document)
    if error:
        return _fault(error, None, hint_us((), document, now_us=0))
    return None if isinstance(document, dict) else broken("the answer is not a JSON object")


def broken(message: str) -> Fault:
    """What came is no answer in the provider's own protocol."""
    return Fault(FaultKind.BROKEN, message)


def failed(fault: Fault, usage: Metered) -> Broke:
    """A whole 2xx answer that is none; it may have been billed all the same."""
    return Broke(fault, usage)


def truncated(message: str = "the stream ended before its end") -> Fault:
    return Fault(FaultKind.TRUNCATED, message)


def _fault(error: dict[str, Any], status: int | None, retry_after_us: int | None) -> Fault:
    message = error.get("message")
    message = message if isinstance(message, str) else ""
    words = _words(error)
    kind: FaultKind | None = next((_TELLING[word] for word in words if word in _TELLING), None)
    given = status
    if status is None:
        number = error.get("code")
        if isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600:
            status = number
        else:
            status = next((_BY_WORD[word][1] for word in words if word in _BY_WORD), None)
    if kind is None and status in (400, 403, 429):
        lowered = message.lower()
        kind = next((told for said, told in _SAID if said in lowered), None)
    if kind is None and given is None:
        kind = next((_BY_WORD[word][0] for word in words if word in _BY_WORD), None)
    if kind is None:
        kind = _of_status(status)
    return Fault(kind, message, status, _word(error.get("type")), _word(error.get("code")), retry_after_us)


def _of_status(status: int | None) -> FaultKind:
    if status is None:
        return FaultKind.SERVER  # an error that says nothing of itself
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return FaultKind.SERVER
    return FaultKind.BAD_REQUEST if status >= 400 else FaultKind.BROKEN


def _words(error: dict[str, Any]) -> list[str]:
    """What the error calls itself, most telling first."""
    details = error.get("details")
    found = [as_map(details).get("error_code"), error.get("code"), error.get("type"), error.get("status")]
    found += [as_map(one).get("reason") for one in as_list(details)]
    return [one for one in found if isinstance(one, str)]


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None
