"""What of the promises about headers, accounts and errors is particular to chats."""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType
from typing import Any

from scenarios.checks.chat_parts import ChatCall
from scenarios.checks.chat_view import ChatView, protocol_of
from scenarios.checks.chat_voices import Voices
from scenarios.checks.finding import Tally
from scenarios.checks.parts import Exchange, header
from scenarios.checks.reading import read_json
from scenarios.declared.chat import Backend
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = [
    "CHAT_ANSWER_HEADERS",
    "CHAT_CODES",
    "chat_errors",
    "chat_request_headers",
    "chat_tenants",
]

CHAT_ANSWER_HEADERS = (
    "cache-control",
    "content-length",
    "content-type",
    "date",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-cache",
    "x-proxy-call-id",
    "x-refgate-error",
    "x-request-id",
    "x-should-retry",
)
"""What a caller of a chat may be told beside the answer."""

_STATUS = MappingProxyType(
    {
        "AllPoolsExhausted": 503,
        "bad_request": 400,
        "broken": 502,
        "conflict": 409,
        "content_filter": 400,
        "context_overflow": 400,
        "forbidden": 403,
        "internal": 500,
        "no_money": 429,
        "not_found": 404,
        "overloaded": 503,
        "rate_limited": 429,
        "server": 500,
        "timeout": 504,
        "too_large": 413,
        "truncated": 502,
        "unauthorized": 401,
        "unreachable": 502,
    }
)
CHAT_CODES = frozenset(_STATUS)
"""Every code that a gateway may give in its own name, of chats."""

_OWN_STATUS = MappingProxyType(
    {
        ("anthropic", "no_money"): 402,
        ("anthropic", "overloaded"): 529,
        ("gemini", "no_money"): 402,
    }
)
"""Where a vendor has another number for it."""

_WHOLE = MappingProxyType(
    {
        "openai_chat": ("choices", list),
        "openai_responses": ("output", list),
        "openai_embeddings": ("data", list),
        "anthropic": ("content", list),
        "gemini": ("candidates", list),
    }
)
"""What an answer in one piece must have."""

_OWN_CREDENTIAL = frozenset({401, 402, 403})


def chat_request_headers(backend: Backend) -> tuple[str, ...]:
    """What a backend may be sent beside what the connection needs."""
    more = ("anthropic-version", "anthropic-beta") if backend.dialect == "anthropic" else ()
    return (backend.key_header, *more)


def chat_tenants(history: History, declared: Declared, tally: Tally) -> None:
    """Part of tenants-apart: whose words an answer of a model is made of."""
    if declared.chat is None:
        return
    view, voices = ChatView.of(history, declared), Voices.of(history, declared)
    owners: dict[str, set[str]] = defaultdict(set)
    for nonce, exchanges in view.exchanges_of.items():
        owners[nonce] = {one.account for one in exchanges}
    for said in view.said:
        asked = said.last
        if asked is None:
            continue
        for voice in voices.heard_in(said.heard):
            work = voices.work_of(voice)
            if work is not None and any("leak" in act for act in work.acts):
                continue  # the backend itself told one caller what was another's
            right = voice.nonce == asked.sent.nonce if voice.nonce else True
            if not tally.keeps(right and (work is None or asked.account in owners[work.nonce or ""])):
                tally.breach(
                    f"the answer to {asked.sent.nonce} of {asked.account} is made of words for {voice.nonce}",
                    asked.sent,
                    said.heard,
                    None if work is None else work.received,
                )


def chat_errors(history: History, declared: Declared, tally: Tally) -> None:
    """Part of error-mapped: status, code and shape are those of the caller's protocol; a success has the
    shape of one; what a backend holds against the gateway's own key is not told as the caller's; and an SDK
    is told not to try again by itself what a retry could double."""
    if declared.chat is None:
        return
    view = ChatView.of(history, declared)
    for exchange in view.exchanges:
        got = exchange.answered
        if got is None or got.status is None:
            continue
        protocol = protocol_of(exchange)
        wrong = _success(exchange, protocol) if got.status < 400 else _error(exchange, protocol)
        if not tally.keeps(wrong is None):
            tally.breach(f"a {got.status} of {exchange.sent.path}: {wrong}", exchange.sent, got)
    for call in view.calls.values():
        _judge_retry(call, tally)
        asked, work = call.exchange, call.last.work if call.last is not None else None
        if asked is None or asked.answered is None or work is None or work.answered is None:
            continue
        if work.answered.status not in _OWN_CREDENTIAL or call.outcome not in ("failed", "refused"):
            continue
        if not tally.keeps(asked.answered.status not in _OWN_CREDENTIAL):
            tally.breach(
                f"{work.backend} does not take the gateway's own key, and its caller was told "
                f"{asked.answered.status}",
                work.answered,
                asked.sent,
                asked.answered,
            )


def _judge_retry(call: ChatCall, tally: Tally) -> None:
    """Where some attempt has no verdict, or the gateway itself has tried as often as it may."""
    got = None if call.exchange is None else call.exchange.answered
    if call.exchange is None or got is None or got.status is None or got.status < 500:
        return
    doubtful = any(attempt.row["ambiguous"] for attempt in call.attempts)
    if call.outcome != "failed" or not (doubtful or call.row["reason"] == "attempts"):
        return
    if not tally.keeps(call.exchange.says.get("x-should-retry") == "false"):
        why = "may have been done" if doubtful else "has been tried as often as is declared"
        tally.breach(f"call {call.call_id} {why}, and its caller is not told not to retry", got, call.fact)


def _success(exchange: Exchange, protocol: str) -> str | None:
    assert exchange.got is not None
    kind = exchange.says.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return None  # what its events say is read by who hears them
    body = read_json(exchange.got.body)
    name, shape = _WHOLE[protocol]
    if isinstance(body, list):
        return None if protocol == "gemini" else "it is a list"
    if not isinstance(body, dict):
        return "it is no JSON object"
    if "error" in body and body["error"] is not None:
        return "it holds an error"
    blocked = protocol == "gemini" and "promptFeedback" in body
    return None if isinstance(body.get(name), shape) or blocked else f"it has no {name}"


def _error(exchange: Exchange, protocol: str) -> str | None:
    assert exchange.got is not None
    code = exchange.own_code
    if code is None:
        return "it names no code"
    right = _OWN_STATUS.get((protocol, code), _STATUS.get(code))
    if right is None:
        return f"no such code in the table: {code}"
    if exchange.got.status != right:
        return f"the status of {code} is {right}"
    if code == "AllPoolsExhausted" and header(exchange.got.headers, "retry-after") is None:
        return "it does not say when to come back"
    if not _has_shape(read_json(exchange.got.body), protocol):
        return f"its body is not an error of {protocol}"
    return None


def _has_shape(body: Any, protocol: str) -> bool:
    if not isinstance(body, dict) or not isinstance(body.get("error"), dict):
        return False
    error = body["error"]
    if not isinstance(error.get("message"), str) or not error["message"]:
        return False
    if protocol == "anthropic":
        return body.get("type") == "error" and isinstance(error.get("type"), str)
    if protocol == "gemini":
        return isinstance(error.get("code"), int) and isinstance(error.get("status"), str)
    return {"type", "param", "code"} <= set(error)
