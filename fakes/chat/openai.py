"""What the protocols of OpenAI share: the key, the errors, the rate-limit headers, the list of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fakes.asgi import Reply, Request, json_reply
from fakes.chat.asked import Prompt
from fakes.chat.buckets import Level
from fakes.chat.dialect import ChatDialect, Refusal, View, Words, data_line, seconds
from fakes.journal import Headers

__all__ = ["OpenAI", "go_duration", "read_content"]

_INVALID = "invalid_request_error"


class OpenAI(ChatDialect):
    """Bearer key; `{"error": {message, type, param, code}}`; resets as Go durations (`6m0s`, `120ms`)."""

    words: ClassVar[Mapping[str, Words]] = {
        "bad_key": Words(401, _INVALID, "invalid_api_key", "Incorrect API key provided."),
        "no_key": Words(401, _INVALID, None, "You didn't provide an API key."),
        "permission": Words(403, _INVALID, None, "You are not allowed to use this model."),
        "region": Words(
            403,
            "request_forbidden",
            "unsupported_country_region_territory",
            "Country, region, or territory not supported",
        ),
        "not_found": Words(404, _INVALID, None, "Invalid URL"),
        "model_not_found": Words(404, _INVALID, "model_not_found", "The model does not exist."),
        "parameters": Words(400, _INVALID, "invalid_value", "Invalid value."),
        "not_json": Words(400, _INVALID, None, "We could not parse the JSON body of your request."),
        "too_long": Words(
            400, _INVALID, "context_length_exceeded", "Input exceeds this model's maximum context length."
        ),
        "too_large": Words(413, _INVALID, None, "Request too large."),
        "content_filter": Words(
            400, _INVALID, "content_filter", "The prompt was rejected by the content management policy."
        ),
        "rate": Words(429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
        "tokens": Words(429, "tokens", "rate_limit_exceeded", "Rate limit reached for tokens."),
        "parallel": Words(429, "requests", "rate_limit_exceeded", "Too many concurrent requests."),
        "insufficient_balance": Words(
            429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."
        ),
        "spend_limit": Words(
            429,
            "insufficient_quota",
            "organization_spend_limit_exceeded",
            "Your organization has reached its spend limit.",
        ),
        "conflict": Words(409, "conflict_error", None, "The resource is locked."),
        "overloaded": Words(
            503,
            "service_unavailable_error",
            "server_is_overloaded",
            "The server is overloaded or not ready yet.",
        ),
        "unavailable": Words(
            503, "service_unavailable_error", None, "The server is temporarily unavailable."
        ),
        "timeout": Words(504, "server_error", None, "The request timed out."),
        "server": Words(500, "server_error", None, "The server had an error while processing your request."),
    }
    by_status: ClassVar[Mapping[int, str]] = {504: "timeout", 529: "overloaded"}

    def unauthorised(self, request: Request, key: str) -> str | None:
        given = request.header("authorization")
        if not given:
            return "no_key"
        return None if given == f"Bearer {key}" else "bad_key"

    def problem(self, words: Words, refusal: Refusal) -> Reply:
        error = self._error(words)
        if refusal.wait_us is not None:
            error["message"] += f" Please try again in {go_duration(refusal.wait_us)}."
        return json_reply(words.status, {"error": error}, refusal.headers)

    def error_event(self, words: Words, shape: str, number: int, view: View) -> bytes:
        match shape:
            case "text":
                return data_line({"error": words.message})
            case "event":
                return b"event: error\n" + data_line({"message": words.message, "type": words.type})
            case "real":  # the shape of resellers: an error beside choices
                choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
                return data_line({"choices": [choice], "error": self._error(words)})
            case _:
                return data_line({"error": self._error(words)})

    def answer_headers(
        self, request_id: str, levels: Mapping[str, Level], wall_us: int, took_us: int
    ) -> Headers:
        headers = [
            ("x-request-id", request_id),
            ("openai-version", "2020-10-01"),
            ("openai-organization", "org-fake"),
            ("openai-processing-ms", str(took_us // 1_000)),
        ]
        for name in ("requests", "tokens"):
            if (level := levels.get(name)) is not None:
                headers += [
                    (f"x-ratelimit-limit-{name}", str(level.limit)),
                    (f"x-ratelimit-remaining-{name}", str(level.remaining)),
                    (f"x-ratelimit-reset-{name}", go_duration(level.reset_us)),
                ]
        return tuple(headers)

    def wait_headers(self, wait_us: int) -> Headers:
        return (("retry-after", str(seconds(wait_us))), ("retry-after-ms", str(-(-wait_us // 1_000))))

    def blocks_by_refusal(self) -> bool:
        return True

    def model_entry(self, name: str, created_s: int) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created_s, "owned_by": "system"}

    def models(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"object": "list", "data": list(entries)}

    def _error(self, words: Words) -> dict[str, Any]:
        return {"message": words.message, "type": words.type, "param": None, "code": words.code}


def go_duration(us: int) -> str:
    """A duration as Go prints it: `120ms`, `1s`, `1.5s`, `6m0s`, `1h0m0s`; to the millisecond, rounded up."""
    ms = -(-us // 1_000)
    if ms < 1_000:
        return f"{ms}ms" if ms else "0s"
    whole, rest = divmod(ms, 1_000)
    hours, minutes, left = whole // 3_600, whole // 60 % 60, whole % 60
    text = f"{left}.{rest:03d}".rstrip("0") + "s" if rest else f"{left}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def read_content(content: object, prompt: Prompt) -> list[str] | None:
    """The texts of a message's content, its images and sounds counted; None where it makes no sense."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in content:
        match part:
            case {
                "type": "text" | "input_text" | "output_text" | "refusal" as kind,
                **rest,
            } if isinstance(text := rest.get("refusal" if kind == "refusal" else "text"), str):
                texts.append(text)
            case {"type": "image_url" | "input_image" | "input_audio" | "file" | "input_file"}:
                prompt.image()
            case _:
                return None
    return texts
