"""Request → a generateContent body for a provider. The model and the kind of answer are in the path."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from refgate.dialects.canonical import (
    Media,
    Message,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Untranslatable,
)
from refgate.money import loads_exact

__all__ = ["MADE_ID", "path", "write_request"]

MADE_ID = "gen_"
"""How ids begin that the gateway made for calls that came without one: they are not sent back."""

_EFFORTS = ("minimal", "low", "medium", "high")


def path(model: str, *, stream: bool) -> str:
    """What follows the version in the URL."""
    how = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(model, safe='')}:{how}"


def write_request(request: Request) -> dict[str, Any]:
    """The body; the same for a stream."""
    body: dict[str, Any] = {"contents": _contents(request)}
    if request.system:
        body["systemInstruction"] = {"parts": [{"text": one.text} for one in request.system]}
    if request.tools:
        body["tools"] = [
            {
                "functionDeclarations": [
                    {"name": tool.name, "parametersJsonSchema": tool.schema}
                    | ({} if tool.description is None else {"description": tool.description})
                    for tool in request.tools
                ]
            }
        ]
    calling = _calling(request)
    if calling is not None:
        body["toolConfig"] = {"functionCallingConfig": calling}
    config = _config(request)
    if config:
        body["generationConfig"] = config
    return body


def _calling(request: Request) -> dict[str, Any] | None:
    """A strict tool is one whose arguments must fit: VALIDATED holds the model to the schemas."""
    if request.parallel_tools is False:
        raise Untranslatable("parallel_tools", "Gemini's protocol cannot forbid parallel calls")
    strict = any(tool.strict for tool in request.tools)
    mode = request.tool_choice.mode if request.tool_choice is not None else "auto"
    match mode:
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case "named":
            name = request.tool_choice.name if request.tool_choice is not None else None
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case _:
            if strict:
                return {"mode": "VALIDATED"}
            return {"mode": "AUTO"} if request.tool_choice is not None else None


def _config(request: Request) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "maxOutputTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "frequencyPenalty": request.frequency_penalty,
        "presencePenalty": request.presence_penalty,
        "thinkingConfig": _thinking(request),
    }
    if request.format is not None:
        plain["responseMimeType"] = "application/json"
        if request.format.kind == "json_schema":
            if request.format.description is not None:
                raise Untranslatable("format", "Gemini's protocol has no description of a format")
            plain["responseJsonSchema"] = request.format.schema
    return {name: value for name, value in plain.items() if value is not None}


def _thinking(request: Request) -> dict[str, Any] | None:
    if request.thinking_tokens is not None or request.thinking_adaptive:
        if request.effort is not None:
            raise Untranslatable("effort", "Gemini's protocol takes an effort or a budget")
        budget = -1 if request.thinking_tokens is None else request.thinking_tokens
        return {"thinkingBudget": budget, "includeThoughts": True}
    if request.effort is None:
        return None
    if request.effort == "none":
        return {"thinkingBudget": 0}
    if request.effort not in _EFFORTS:
        raise Untranslatable("effort", f"Gemini's protocol knows none, {', '.join(_EFFORTS)}")
    return {"thinkingLevel": request.effort}


def _contents(request: Request) -> list[dict[str, Any]]:
    """Neighbours of one role become one content: answers to parallel calls belong together. Empty texts,
    which say nothing, stay behind.
    """
    names = {
        part.id: part.name
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolCall)
    }
    contents: list[dict[str, Any]] = []
    for message in request.messages:
        if message.role == "system":
            raise Untranslatable(message.where, "Gemini's protocol takes instructions only at the start")
        role = "model" if message.role == "assistant" else "user"
        parts = [_part(part, message, names) for part in message.parts if part != Text("")]
        if not parts:
            raise Untranslatable(message.where, "Gemini's protocol takes no empty message")
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _part(part: Part, message: Message, names: dict[str, str]) -> dict[str, Any]:
    match part:
        case Text(text) | Refusal(text):
            return {"text": text}
        case Media():
            return _media(part, message.where)
        case Thinking(text, signature, redacted):
            if signature is not None or redacted is not None:
                raise Untranslatable(
                    message.where, "another provider's signed thinking means nothing to Gemini"
                )
            return {"text": text, "thought": True}
        case ToolCall(call_id, name, arguments, mark):
            call: dict[str, Any] = {"name": name, "args": _arguments(arguments, message.where)}
            if not call_id.startswith(MADE_ID):
                call["id"] = call_id
            return (
                {"functionCall": call} if mark is None else {"functionCall": call, "thoughtSignature": mark}
            )
        case ToolResult():
            return _result(part, message.where, names)


def _arguments(text: str, where: str) -> dict[str, Any]:
    try:
        value = loads_exact(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Untranslatable(where, "Gemini's protocol wants a tool's arguments as a JSON object")
    return value


def _result(result: ToolResult, where: str, names: dict[str, str]) -> dict[str, Any]:
    name = names.get(result.call_id)
    if name is None:
        raise Untranslatable(where, "the result answers no call in the conversation, so its tool has no name")
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    if len(texts) < len(result.parts):
        raise Untranslatable(where, "only text can be carried to Gemini as a tool's result")
    response: dict[str, Any] = {
        "name": name,
        "response": {"error" if result.is_error else "output": "\n".join(texts)},
    }
    if not result.call_id.startswith(MADE_ID):
        response["id"] = result.call_id
    return {"functionResponse": response}


def _media(media: Media, where: str) -> dict[str, Any]:
    if media.data is None:
        raise Untranslatable(where, "Gemini fetches no addresses: send the data itself")
    if media.detail is not None:
        raise Untranslatable(where, "Gemini's protocol knows no detail of images")
    data = {"mimeType": media.media_type, "data": media.data}
    if media.name is not None:
        data["displayName"] = media.name
    return {"inlineData": data}
