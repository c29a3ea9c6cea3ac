"""Errors: every answer is either the provider's own or one of the gateway's table, in its one envelope."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scenarios.checks.chat_reach import chat_errors
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.handed import Handed
from scenarios.checks.parts import Exchange
from scenarios.checks.reading import read_json
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import AppFailed, Got, History

__all__ = ["CHECKS", "CODES", "error_mapped"]

_STATUS = MappingProxyType(
    {
        "account_forbidden": 403,
        "bad_path": 400,
        "bad_request": 400,
        "billing_unavailable": 503,
        "body_too_large": 413,
        "draining": 503,
        "in_flight": 409,
        "insufficient_funds": 402,
        "key_reused": 422,
        "method_not_allowed": 405,
        "not_found": 404,
        "outcome_unknown": 504,
        "overloaded": 503,
        "provider_unknown": 404,
        "store_unavailable": 503,
        "task_not_found": 404,
        "unauthorized": 401,
        "upstream_broken": 502,
        "upstream_timeout": 504,
        "upstream_unreachable": 502,
    }
)

CODES = frozenset(_STATUS)
"""Every code that a gateway may give in its own name, of tasks."""

_BROKEN_OFF = "returned without completing response"
"""How a gateway tells its server to cut a connection, so that half an answer is not taken for a whole one."""


@check("error-mapped", "secrets")
def error_mapped(history: History, declared: Declared, tally: Tally) -> None:
    """An error is the provider's own, handed on, or one of the gateway's table: its status, its code, its
    one envelope, and a Retry-After where the caller is to come back. Nothing ends in a bare server error.
    A chat is answered in the protocol of its caller, its errors as much as its successes; what a backend
    holds against the gateway's own key is not told as the caller's fault; and where a retry could double
    work, an SDK is told not to retry."""
    chat_errors(history, declared, tally)
    handed = Handed.of(history, declared)
    for failed in history.of(AppFailed):
        if failed.at.startswith("gateway") and _BROKEN_OFF not in failed.error:
            tally.saw()
            tally.breach(f"{failed.at} let an exception out: {failed.error}", failed)
    for exchange in View.of(history, declared).exchanges:
        got = exchange.answered
        if got is None or not exchange.sent.path.startswith("/api/proxy"):
            continue
        code = exchange.own_code
        if code is not None:
            wrong = _wrong(code, got, exchange.says, with_body=exchange.sent.method != "HEAD")
            if not tally.keeps(wrong is None):
                tally.breach(f"the gateway's own {got.status} ({code}): {wrong}", exchange.sent, got)
        elif not tally.keeps(_is_providers(exchange, got, handed, declared)):
            tally.breach(
                f"{got.status} is neither an answer of {exchange.sent.provider or 'any provider'} "
                "nor an error of the gateway's own",
                exchange.sent,
                got,
            )


def _wrong(code: str, got: Got, says: Mapping[str, str], *, with_body: bool) -> str | None:
    status = _STATUS.get(code)
    if status is None:
        return "no such code in the table"
    if got.status != status:
        return f"its status is {status}"
    retry_after = says.get("retry-after")
    if code == "in_flight" and retry_after is None:
        return "it does not say when to come back"
    if not with_body:
        return None
    body = read_json(got.body)
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or error.get("code") != code or not error.get("message"):
        return "its body is not the envelope of that code"
    if "retry_after_s" in error and str(error["retry_after_s"]) != retry_after:
        return f"it says {error['retry_after_s']} s in its body and {retry_after} in its header"
    return None


def _is_providers(exchange: Exchange, got: Got, handed: Handed, declared: Declared) -> bool:
    """Whether the provider gave an answer of this status to this request, as far as can be told."""
    provider = declared.providers.get(exchange.sent.provider or "")
    if provider is None:
        return False
    if provider.resolve == "find" and exchange.op == "submit" and got.outcome == "ok":
        return True  # the answer that found it
    return got.status in handed.by(exchange).statuses


CHECKS: tuple[Check, ...] = (error_mapped,)
