"""Request → an Anthropic messages body for a provider."""

from __future__ import annotations

from typing import Any

from refgate.dialects.canonical import (
    Media,
    Message,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Untranslatable,
)
from refgate.dialects.json_text import dumps
from refgate.money import loads_exact

__all__ = ["write_request"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_BUDGET_LEAST = 1024


def write_request(request: Request, model: str, *, max_tokens_default: int | None = None) -> dict[str, Any]:
    """The protocol wants `max_tokens`: the default is the route's, for callers whose protocol does not."""
    limit = request.max_tokens if request.max_tokens is not None else max_tokens_default
    if limit is None:
        raise Untranslatable("max_tokens", "Anthropic's protocol wants one, and the route has no default")
    if request.temperature is not None and not 0 <= request.temperature <= 1:
        raise Untranslatable("temperature", "Anthropic's protocol takes 0 to 1")
    body: dict[str, Any] = {"model": model, "max_tokens": limit, "messages": _messages(request)}
    plain = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop_sequences": list(request.stop) or None,
        "metadata": None if request.user is None else {"user_id": request.user},
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice, request.parallel_tools),
        "thinking": _thinking(request, limit),
        "output_config": _output_config(request),
        "stream": True if request.stream else None,
    }
    if request.system:
        body["system"] = (
            request.system[0].text
            if len(request.system) == 1
            else [{"type": "text", "text": one.text} for one in request.system]
        )
    return body | {name: value for name, value in plain.items() if value is not None}


def _tool(tool: Tool) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": tool.name, "input_schema": tool.schema}
    if tool.description is not None:
        shown["description"] = tool.description
    if tool.strict is not None:
        shown["strict"] = tool.strict
    return shown


def _tool_choice(choice: ToolChoice | None, parallel: bool | None) -> dict[str, Any] | None:
    if choice is None and parallel is not False:
        return None
    mode = choice.mode if choice is not None else "auto"
    shown: dict[str, Any] = {"type": {"required": "any", "named": "tool"}.get(mode, mode)}
    if choice is not None and choice.name is not None:
        shown["name"] = choice.name
    if parallel is False and mode != "none":
        shown["disable_parallel_tool_use"] = True
    return shown


def _thinking(request: Request, limit: int) -> dict[str, Any] | None:
    if request.effort == "none":
        return {"type": "disabled"}
    if request.thinking_tokens is not None:
        if not _BUDGET_LEAST <= request.thinking_tokens < limit:
            raise Untranslatable(
                "thinking_tokens", f"the budget must be from {_BUDGET_LEAST} to below max_tokens"
            )
        return {"type": "enabled", "budget_tokens": request.thinking_tokens}
    return {"type": "adaptive"} if request.thinking_adaptive else None


def _output_config(request: Request) -> dict[str, Any] | None:
    config: dict[str, Any] = {}
    if request.effort is not None and request.effort != "none":
        if request.effort not in _EFFORTS:
            raise Untranslatable("effort", f"Anthropic's protocol knows {', '.join(_EFFORTS)}")
        config["effort"] = request.effort
    if request.format is not None:
        if request.format.kind == "json_object" or not isinstance(request.format.schema, dict):
            raise Untranslatable("format", "Anthropic's protocol wants a schema for JSON answers")
        config["format"] = {"type": "json_schema", "schema": request.format.schema}
    return config or None


def _messages(request: Request) -> list[dict[str, Any]]:
    """Neighbours of one role become one message: the protocol wants the roles to take turns.

    It refuses empty texts, which say nothing: they stay behind.
    """
    shown: list[dict[str, Any]] = []
    for message in request.messages:
        if message.role == "system":
            raise Untranslatable(message.where, "Anthropic's protocol takes instructions only at the start")
        blocks = [_block(part, message) for part in message.parts if part != Text("")]
        if not blocks:
            raise Untranslatable(message.where, "Anthropic's protocol takes no empty message")
        if shown and shown[-1]["role"] == message.role:
            shown[-1]["content"] += blocks
        else:
            shown.append({"role": message.role, "content": blocks})
    return shown


def _block(part: Part, message: Message) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Refusal(text):
            return {"type": "text", "text": text}  # its own words, which is all a refusal is here
        case Media():
            return _media(part, message.where)
        case Thinking(text, signature, redacted):
            if redacted is not None:
                return {"type": "redacted_thinking", "data": redacted}
            return {"type": "thinking", "thinking": text, "signature": signature or ""}
        case ToolCall(call_id, name, arguments):
            return {
                "type": "tool_use",
                "id": call_id,
                "name": name,
                "input": _arguments(arguments, message.where),
            }
        case ToolResult(call_id, parts, is_error):
            shown: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
            shown["content"] = [_block(one, message) for one in parts if one != Text("")]
            if is_error:
                shown["is_error"] = True
            return shown


def _arguments(text: str, where: str) -> dict[str, Any]:
    try:
        value = loads_exact(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Untranslatable(where, "Anthropic's protocol wants a tool's arguments as a JSON object")
    dumps(value)
    return value


def _media(media: Media, where: str) -> dict[str, Any]:
    if media.kind == "audio":
        raise Untranslatable(where, "Anthropic's protocol takes no sound")
    if media.detail is not None:
        raise Untranslatable(where, "Anthropic's protocol knows no detail of images")
    source: dict[str, Any]
    if media.url is not None:
        source = {"type": "url", "url": media.url}
    else:
        source = {"type": "base64", "media_type": media.media_type, "data": media.data}
    shown: dict[str, Any] = {"type": media.kind, "source": source}
    if media.kind == "document" and media.name is not None:
        shown["title"] = media.name
    return shown
