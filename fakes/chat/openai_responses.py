"""OpenAI Responses, in the foreground: named and numbered events, usage on the terminal one alone.

Reasoning is an item without words. An answer that is cut or filtered is `incomplete`, and billed. There is
no `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fakes.asgi import Request
from fakes.chat.asked import Asked, Prompt, at_least_one, fields_of, items_of, nonce_in
from fakes.chat.dialect import Event, View, Words, named_event
from fakes.chat.openai import OpenAI, read_content
from fakes.chat.openai_chat import openai_models
from fakes.chat.responses_stream import ResponsesStream, item_of, response_of
from fakes.chat.tokens import Tokens
from fakes.chat.usage import UsageForm
from fakes.json_text import json_bytes

__all__ = ["OpenAIResponses"]


class OpenAIResponses(OpenAI):
    """`POST /v1/responses`."""

    name: ClassVar[str] = "openai_responses"
    usage_form: ClassVar = UsageForm(
        "total_tokens", "input_tokens", ("input_tokens_details", "cached_tokens")
    )

    def read(self, request: Request) -> Asked | None:
        if request.path != "/v1/responses" or request.method != "POST":
            return openai_models(request)
        fields = request.fields
        prompt = Prompt()
        refused, about = _wrong(request, fields, prompt)
        tools = [fields_of(tool) for tool in items_of(fields.get("tools"))]
        for tool in tools:
            prompt.text(json_bytes(tool).decode())
        model, limit = fields.get("model"), fields.get("max_output_tokens")
        metadata = fields_of(fields.get("metadata"))
        return Asked(
            op="chat",
            model=model if isinstance(model, str) else None,
            stream=fields.get("stream") is True,
            prompt=prompt,
            nonce=nonce_in(prompt, metadata.get("nonce"), fields.get("nonce")),
            tokens_max=limit if isinstance(limit, int) else None,
            tools=tuple(str(tool.get("name", "")) for tool in tools if tool.get("type") == "function"),
            tool_forced=_forced(fields.get("tool_choice")),
            refused=refused,
            about=about,
        )

    def usage(self, tokens: Tokens) -> dict[str, Any]:
        return {
            "input_tokens": tokens.input_total,
            "input_tokens_details": {
                "cached_tokens": tokens.cache_read,
                "cache_write_tokens": tokens.cache_write,
            },
            "output_tokens": tokens.output_total,
            "output_tokens_details": {"reasoning_tokens": tokens.output_reasoning},
            "total_tokens": tokens.input_total + tokens.output_total,
        }

    def whole(self, view: View) -> tuple[dict[str, Any], str | None]:
        usage = self.usage_field(view, view.tokens)
        output = [item_of(view, number, part) for number, part in enumerate(view.completion.parts)]
        shown = json_bytes(usage["usage"]).decode() if usage.get("usage") else None
        return response_of(view, output, usage), shown

    def events(self, view: View) -> Sequence[Event]:
        return ResponsesStream(view, self.usage_field(view, view.tokens)).events()

    def error_event(self, words: Words, shape: str, number: int, view: View) -> bytes:
        code = words.code or words.type
        match shape:
            case "real":  # an error within, which the documented event has not
                document = {"type": "error", "sequence_number": number, "error": self._error(words)}
                return named_event("error", document)
            case "failed":
                failed = response_of(view, [], {"usage": None}) | {
                    "status": "failed",
                    "incomplete_details": None,
                    "error": {"code": code, "message": words.message},
                }
                document = {"type": "response.failed", "sequence_number": number, "response": failed}
                return named_event("response.failed", document)
            case _:
                flat = {"code": code, "message": words.message, "param": None}
                return named_event("error", {"type": "error", "sequence_number": number} | flat)


def _wrong(request: Request, fields: dict[str, Any], prompt: Prompt) -> tuple[str | None, str | None]:
    """Reads the input; the refusal a senseless request meets, and what it is about."""
    given = fields.get("input")
    if not isinstance(request.json, dict):
        return "not_json", None
    if not isinstance(fields.get("model"), str):
        return "parameters", "Missing required parameter: 'model'."
    if fields.get("background"):
        return "parameters", "'background' is not served here."
    if (limit := fields.get("max_output_tokens")) is not None and not at_least_one(limit):
        return "parameters", "Invalid 'max_output_tokens': integer below minimum value."
    if not isinstance(fields.get("tools") or [], list):
        return "parameters", "Invalid type for 'tools': expected an array of objects."
    if isinstance(instructions := fields.get("instructions"), str):
        prompt.message("system", instructions)
    if isinstance(given, str) and given:
        prompt.message("user", given)
        return None, None
    if not isinstance(given, list) or not given:
        return "parameters", "Missing required parameter: 'input'."
    for number, item in enumerate(given):
        if not _read_item(item, prompt):
            return "parameters", f"Invalid value: 'input[{number}]'."
    return None, None


def _read_item(item: object, prompt: Prompt) -> bool:
    match item:
        case {"role": str(role), **rest}:
            texts = read_content(rest.get("content"), prompt)
            if texts is None:
                return False
            prompt.message(role, *texts)
        case {"type": "function_call", "arguments": str(arguments)}:
            prompt.message("assistant", arguments)
        case {"type": "function_call_output", "output": output}:
            texts = read_content(output, prompt)
            if texts is None:
                return False
            prompt.message("tool", *texts)
        case {"type": "reasoning"}:
            pass
        case _:
            return False
    return True


def _forced(choice: object) -> str | None:
    match choice:
        case "required":
            return "*"
        case {"type": "function", "name": str(name)}:
            return name
        case _:
            return None
