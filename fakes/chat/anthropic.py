"""Anthropic messages: every event under its name, input figures that exclude one another.

`input_tokens` is the uncached remainder; cache reads and the two kinds of cache writes stand beside it.
The usage of `message_delta` is cumulative. Rate limits reset at an RFC 3339 time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from fakes.asgi import Reply, Request, json_reply
from fakes.chat.anthropic_stream import AnthropicStream, stop_of
from fakes.chat.asked import Asked, Prompt, at_least_one, fields_of, items_of, model_named, nonce_in
from fakes.chat.buckets import Level
from fakes.chat.completion import Part
from fakes.chat.dialect import ChatDialect, Event, Refusal, View, Words, named_event, seconds
from fakes.chat.tokens import Tokens
from fakes.chat.usage import UsageForm
from fakes.journal import Headers
from fakes.json_text import json_bytes, parsed

__all__ = ["Anthropic"]

_NO_SAMPLING = "2026-10-21"
"""From this version of the API on, sampling parameters and assistant documents are refused."""

_INVALID = "invalid_request_error"


class Anthropic(ChatDialect):
    """`POST /v1/messages` and `/v1/messages/count_tokens`; `GET /v1/models`."""

    name: ClassVar[str] = "anthropic"
    usage_form: ClassVar = UsageForm(None, "input_tokens", None)
    places: ClassVar = frozenset({"late", "early", "every_event", "twice"})
    words: ClassVar[Mapping[str, Words]] = {
        "bad_key": Words(401, "authentication_error", None, "invalid x-api-key"),
        "no_key": Words(401, "authentication_error", None, "x-api-key header is required"),
        "insufficient_balance": Words(402, "billing_error", None, "Your credit balance is too low."),
        "spend_limit": Words(
            429, "rate_limit_error", "enforced_spend_limit_reached", "You have reached your spend limit."
        ),
        "permission": Words(403, "permission_error", None, "Your key may not use this resource."),
        "region": Words(403, "forbidden", None, "Request not allowed"),
        "not_found": Words(404, "not_found_error", None, "Not found"),
        "parameters": Words(400, _INVALID, None, "Invalid request."),
        "too_long": Words(400, _INVALID, None, "prompt is too long"),
        "content_filter": Words(400, _INVALID, None, "Output blocked by content filtering policy"),
        "conflict": Words(409, "conflict_error", None, "The resource is in use."),
        "too_large": Words(413, "request_too_large", None, "Request exceeds the maximum size"),
        "rate": Words(
            429, "rate_limit_error", None, "This request would exceed your rate limit of requests per minute."
        ),
        "tokens": Words(
            429, "rate_limit_error", None, "This request would exceed your rate limit of tokens per minute."
        ),
        "parallel": Words(429, "rate_limit_error", None, "Too many concurrent connections."),
        "server": Words(500, "api_error", None, "Internal server error"),
        "unavailable": Words(503, "api_error", None, "Service unavailable"),
        "timeout": Words(504, "timeout_error", None, "Request timed out"),
        "overloaded": Words(529, "overloaded_error", None, "Overloaded"),
    }
    by_status: ClassVar[Mapping[int, str]] = {504: "timeout", 529: "overloaded"}
    near: ClassVar[Mapping[str, str]] = {**ChatDialect.near, "money": "spend_limit"}

    # --- the request ---

    def read(self, request: Request) -> Asked | None:
        if request.path in ("/v1/messages", "/v1/messages/count_tokens") and request.method == "POST":
            return self._read_message(request, count=request.path.endswith("count_tokens"))
        if request.method != "GET" or request.header("anthropic-version") is None:
            return None
        if request.path == "/v1/models" or request.path.startswith("/v1/models/"):
            return Asked(op="models", model=model_named(request.path))
        return None

    def _read_message(self, request: Request, *, count: bool) -> Asked:
        fields = request.fields
        prompt = Prompt()
        about = _wrong(request, fields, prompt, count=count)
        tools = [fields_of(tool) for tool in items_of(fields.get("tools"))]
        for tool in tools:
            prompt.text(json_bytes(tool).decode())
        model, limit = fields.get("model"), fields.get("max_tokens")
        user = fields_of(fields.get("metadata")).get("user_id")
        named = user.removeprefix("nonce:") if isinstance(user, str) and user.startswith("nonce:") else None
        return Asked(
            op="count" if count else "chat",
            model=model if isinstance(model, str) else None,
            stream=fields.get("stream") is True and not count,
            prompt=prompt,
            nonce=nonce_in(prompt, named, fields.get("nonce")),
            tokens_max=limit if isinstance(limit, int) else None,
            tools=tuple(str(tool.get("name", "")) for tool in tools),
            tool_forced=_forced(fields.get("tool_choice")),
            refused="parameters" if about is not None else None,
            about=about,
        )

    def unauthorised(self, request: Request, key: str) -> str | None:
        """Either header will do: the SDK's newer majors send a bearer token."""
        bearer = request.header("authorization") or ""
        given = request.header("x-api-key") or bearer.removeprefix("Bearer ")
        if not given:
            return "no_key"
        return None if given == key else "bad_key"

    # --- refusals and headers ---

    def problem(self, words: Words, refusal: Refusal) -> Reply:
        document = _error(words) | {"request_id": refusal.request_id}
        return json_reply(words.status, document, refusal.headers)

    def error_event(self, words: Words, shape: str, number: int, view: View) -> bytes:
        match shape:
            case "text":
                return named_event("error", {"type": "error", "error": words.message})
            case "event":
                return named_event("error", {"type": words.type, "message": words.message})
            case _:
                return named_event("error", _error(words))

    def answer_headers(
        self, request_id: str, levels: Mapping[str, Level], wall_us: int, took_us: int
    ) -> Headers:
        headers = [
            ("request-id", request_id),
            ("anthropic-organization-id", "org-fake"),
            ("anthropic-workspace-id", "wrkspc-fake"),
        ]
        for name, level in levels.items():
            headers += [
                (f"anthropic-ratelimit-{name}-limit", str(level.limit)),
                (f"anthropic-ratelimit-{name}-remaining", str(level.remaining)),
                (f"anthropic-ratelimit-{name}-reset", _rfc3339(wall_us + level.reset_us)),
            ]
        return tuple(headers)

    def ping(self) -> bytes:
        return named_event("ping", {"type": "ping"})

    # --- answers ---

    def usage(self, tokens: Tokens) -> dict[str, Any]:
        usage: dict[str, Any] = {
            "input_tokens": tokens.input_uncached + tokens.input_audio,
            "cache_creation_input_tokens": tokens.cache_write,
            "cache_read_input_tokens": tokens.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": tokens.cache_write_5m,
                "ephemeral_1h_input_tokens": tokens.cache_write_1h,
            },
            "output_tokens": tokens.output_total,
            "server_tool_use": None,
            "service_tier": "standard",
        }
        if tokens.output_reasoning:
            usage["output_tokens_details"] = {"thinking_tokens": tokens.output_reasoning}
        return usage

    def whole(self, view: View) -> tuple[dict[str, Any], str | None]:
        blocks = [] if view.odd == "empty_choices" else [_block(view, part) for part in view.completion.parts]
        usage = self.usage_field(view, view.tokens)
        document = {
            "id": f"msg_{view.id}",
            "type": "message",
            "role": "assistant",
            "model": view.model,
            "content": blocks,
            **stop_of(view),
            **usage,
        }
        return document, json_bytes(usage["usage"]).decode() if usage.get("usage") else None

    def events(self, view: View) -> Sequence[Event]:
        return AnthropicStream(self, view).events()

    def counted(self, tokens: int) -> dict[str, Any]:
        return {"input_tokens": tokens}

    def model_entry(self, name: str, created_s: int) -> dict[str, Any]:
        created_at = _rfc3339(created_s * 1_000_000)
        return {"type": "model", "id": name, "display_name": name, "created_at": created_at}

    def models(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        ends = [entries[0]["id"], entries[-1]["id"]] if entries else [None, None]
        return {"data": list(entries), "has_more": False, "first_id": ends[0], "last_id": ends[1]}


def _error(words: Words) -> dict[str, Any]:
    error: dict[str, Any] = {"type": words.type, "message": words.message}
    if words.code is not None:
        error["details"] = {"error_code": words.code}
    return {"type": "error", "error": error}


def _rfc3339(wall_us: int) -> str:
    return datetime.fromtimestamp(seconds(wall_us), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _wrong(request: Request, fields: dict[str, Any], prompt: Prompt, *, count: bool) -> str | None:
    """Reads the prompt; what is wrong with the request, in the vendor's words."""
    version = request.header("anthropic-version")
    if not isinstance(request.json, dict):
        return "The request body is not valid JSON"
    if version is None:
        return "anthropic-version: header is required"
    for name in ("model", "max_tokens", "messages"):
        if name not in fields and not (count and name == "max_tokens"):
            return f"{name}: Field required"
    if version >= _NO_SAMPLING:
        for name in ("temperature", "top_p", "top_k"):
            if name in fields:
                return f"{name}: not supported in this version of the API"
    if not count and not at_least_one(fields["max_tokens"]):
        return "max_tokens: Input should be greater than or equal to 1"
    if not isinstance(fields.get("tools") or [], list):
        return "tools: Input should be a valid list"
    if (system := fields.get("system")) is not None:
        texts = _texts(system, prompt, documents=False)
        if texts is None:
            return "system: Input should be a valid string or list of text blocks"
        prompt.message("system", *texts)
    messages = fields["messages"]
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    for number, message in enumerate(messages):
        role = fields_of(message).get("role")
        if role not in ("user", "assistant"):
            return f"messages.{number}.role: Input should be 'user' or 'assistant'"
        documents = role == "user" or version < _NO_SAMPLING
        texts = _texts(fields_of(message).get("content"), prompt, documents=documents)
        if texts is None:
            return f"messages.{number}.content: Input should be a valid string or list of blocks"
        prompt.message(role, *texts)
    return None


def _texts(content: object, prompt: Prompt, *, documents: bool) -> list[str] | None:
    """The texts of some content, its images and documents counted; None where it makes no sense."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for block in content:
        match block:
            case {"type": "text", "text": str(text)} | {"type": "thinking", "thinking": str(text)}:
                texts.append(text)
            case {"type": "image"}:
                prompt.image()
            case {"type": "document"} if documents:
                prompt.image()
            case {"type": "tool_use", "input": given}:
                texts.append(json_bytes(given).decode())
            case {"type": "tool_result"}:
                inner = _texts(block.get("content") or "", prompt, documents=True)
                if inner is None:
                    return None
                texts += inner
            case {"type": "redacted_thinking"}:
                pass
            case _:
                return None
    return texts


def _forced(choice: object) -> str | None:
    match choice:
        case {"type": "any"}:
            return "*"
        case {"type": "tool", "name": str(name)}:
            return name
        case _:
            return None


def _block(view: View, part: Part) -> dict[str, Any]:
    match part.kind:
        case "reasoning":
            return {"type": "thinking", "thinking": part.text, "signature": f"sig-{view.id}"}
        case "call":
            given = parsed(part.text.encode())
            # Arguments that are no JSON cannot stand here: the text of them is what is left.
            broken: Any = part.text if given is None and part.text else {}
            given = broken if given is None else given
            return {"type": "tool_use", "id": f"toolu_{part.id}", "name": part.name, "input": given}
        case _:
            return {"type": "text", "text": None if view.odd == "null_content" else part.text}
