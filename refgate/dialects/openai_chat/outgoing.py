"""Request → an OpenAI chat completion body for a provider."""

from __future__ import annotations

from typing import Any

from refgate.dialects.canonical import (
    Format,
    Media,
    Message,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Untranslatable,
)
from refgate.dialects.data_urls import show_url
from refgate.dialects.json_text import dumps

__all__ = ["write_request"]

_SOUNDS = ("wav", "mp3")


def write_request(request: Request, model: str) -> dict[str, Any]:
    """`model` is the provider's name for it. A stream always asks for its usage."""
    body: dict[str, Any] = {"model": model, "messages": _messages(request)}
    plain = {
        "max_completion_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "reasoning_effort": request.effort,
        "verbosity": request.verbosity,
        "user": request.user,
        "parallel_tool_calls": request.parallel_tools,
    }
    body |= {name: value for name, value in plain.items() if value is not None}
    if request.tools:
        body["tools"] = [
            _function(tool.name, tool.description, "parameters", tool.schema, tool.strict)
            for tool in request.tools
        ]
    if request.tool_choice is not None:
        body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.format is not None:
        body["response_format"] = _format(request.format)
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def _function(name: str, about: str | None, of: str, schema: Any, strict: bool | None) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name, of: schema}
    if about is not None:
        function["description"] = about
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> Any:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _format(form: Format) -> dict[str, Any]:
    if form.kind == "json_object":
        return {"type": "json_object"}
    inner: dict[str, Any] = {"name": form.name or "answer", "schema": form.schema}
    if form.description is not None:
        inner["description"] = form.description
    if form.strict is not None:
        inner["strict"] = form.strict
    return {"type": "json_schema", "json_schema": inner}


def _messages(request: Request) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    if request.system:
        shown.append({"role": "system", "content": _text_content(request.system)})
    for message in request.messages:
        if message.role == "assistant":
            shown.append(_assistant(message))
        else:
            shown += _other(message)
    return shown


def _text_content(texts: tuple[Text, ...]) -> Any:
    if len(texts) == 1:
        return texts[0].text
    return [{"type": "text", "text": one.text} for one in texts]


def _other(message: Message) -> list[dict[str, Any]]:
    """A user's message: results of tools are messages of their own, and come first."""
    shown: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            if rest:
                raise Untranslatable(message.where, "tool results must come before the user's other parts")
            shown.append(
                {"role": "tool", "tool_call_id": part.call_id, "content": _result(part, message.where)}
            )
        elif isinstance(part, Text):
            rest.append({"type": "text", "text": part.text})
        elif isinstance(part, Media):
            rest.append(_media(part, message.where))
        else:
            raise Untranslatable(message.where, "such a part cannot stand in a user's message")
    if len(rest) == 1 and rest[0]["type"] == "text":
        shown.append({"role": message.role, "content": rest[0]["text"]})
    elif rest or not shown:
        shown.append({"role": message.role, "content": rest})
    return shown


def _result(result: ToolResult, where: str) -> Any:
    """There is no word for a failed tool here: its text goes in an object that says `error`."""
    texts = tuple(part for part in result.parts if isinstance(part, Text))
    if len(texts) < len(result.parts):
        raise Untranslatable(where, "OpenAI's protocol takes only text as a tool's result")
    if result.is_error:
        return dumps({"error": "\n".join(one.text for one in texts)})
    return _text_content(texts) if texts else ""


def _media(media: Media, where: str) -> dict[str, Any]:
    if media.kind == "image":
        image = {"url": show_url(media.media_type, media.data, media.url)}
        if media.detail is not None:
            image["detail"] = media.detail
        return {"type": "image_url", "image_url": image}
    if media.kind == "audio":
        sound = (media.media_type or "").partition("/")[2]
        if media.data is None or sound not in _SOUNDS:
            raise Untranslatable(where, "OpenAI's protocol takes sound only as wav or mp3, in the request")
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": sound}}
    if media.data is None:
        raise Untranslatable(where, "OpenAI's protocol takes documents only in the request")
    file = {"file_data": show_url(media.media_type, media.data, None), "filename": media.name or "document"}
    return {"type": "file", "file": file}


def _assistant(message: Message) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            calls.append({"id": part.id, "type": "function", "function": function})
            continue
        if calls and not (isinstance(part, Text) and not part.text):
            raise Untranslatable(message.where, "OpenAI's protocol puts tool calls after everything else")
        if isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Refusal):
            content.append({"type": "refusal", "refusal": part.text})
        elif isinstance(part, Thinking):
            raise Untranslatable(message.where, "OpenAI's protocol takes no thinking back")
        else:
            raise Untranslatable(message.where, "such a part cannot stand in an assistant's message")
    shown: dict[str, Any] = {"role": "assistant"}
    if len(content) == 1 and content[0]["type"] == "text":
        shown["content"] = content[0]["text"]
    else:
        shown["content"] = content or None
    if calls:
        shown["tool_calls"] = calls
    return shown
