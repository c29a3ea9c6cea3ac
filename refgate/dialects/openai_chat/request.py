"""A caller's chat completion request → Request."""

from __future__ import annotations

from typing import Any

from refgate.dialects import call_ids
from refgate.dialects.canonical import (
    Format,
    Malformed,
    Media,
    Message,
    Part,
    Protocol,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Untranslatable,
)
from refgate.dialects.carriage import FIELDS, refused
from refgate.dialects.data_urls import data_url
from refgate.dialects.json_text import Fields

__all__ = ["read_request"]

_ROLES = ("developer", "system", "user", "assistant", "tool")


def read_request(body: dict[str, Any]) -> Request:
    """Raises Malformed, or Untranslatable for what only OpenAI could take."""
    top = Fields(body, "")
    system, messages = _conversation(top)
    options = top.fields("stream_options")
    wants_usage = False
    if options is not None:
        wants_usage = options.flag("include_usage") or False
        options.neutral("include_obfuscation", False, why="padding is made by the provider")
        options.finish()
    limit = top.count("max_completion_tokens", least=1)
    old_limit = top.count("max_tokens", least=1)
    if None not in (limit, old_limit) and limit != old_limit:
        raise Malformed("max_tokens", "says something else than max_completion_tokens")
    user, safe_user = top.text("user"), top.text("safety_identifier")
    if None not in (user, safe_user) and user != safe_user:
        raise Untranslatable("user", "says something else than safety_identifier: one can be carried")
    request = Request(
        model=top.needed_text("model"),
        messages=messages,
        system=system,
        tools=tuple(_tool(Fields(one, f"tools[{i}]")) for i, one in enumerate(top.items("tools"))),
        tool_choice=_tool_choice(top),
        parallel_tools=top.flag("parallel_tool_calls"),
        max_tokens=limit if limit is not None else old_limit,
        temperature=top.number("temperature"),
        top_p=top.number("top_p"),
        stop=_read_stop(top),
        seed=top.whole("seed"),
        frequency_penalty=top.number("frequency_penalty"),
        presence_penalty=top.number("presence_penalty"),
        format=_format(top),
        effort=top.text("reasoning_effort"),
        verbosity=top.text("verbosity"),
        user=user if user is not None else safe_user,
        stream=top.flag("stream") or False,
        include_usage=wants_usage,
    )
    fields = FIELDS[Protocol.OPENAI_CHAT]
    for name, *harmless in _HARMLESS:
        top.neutral(name, *harmless, why=str(fields[name]))
    top.finish(refused(Protocol.OPENAI_CHAT))
    return request


_HARMLESS: tuple[tuple[Any, ...], ...] = (
    ("n", 1),
    ("logprobs", False),
    ("logit_bias", {}),
    ("modalities", ["text"]),
    ("store", False),
    ("metadata", {}),
    ("service_tier", "auto", "default"),
)
"""Refused fields, and the values that ask for nothing."""


def _read_stop(top: Fields) -> tuple[str, ...]:
    stop = top.any("stop")
    if stop is None:
        return ()
    words = [stop] if isinstance(stop, str) else stop
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Malformed("stop", "must be a string or a list of strings")
    return tuple(words)


def _conversation(top: Fields) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    """The system texts at the head, and the messages; results of tools join the user's side."""
    items = top.items("messages")
    if not items:
        raise Malformed("messages", "is required")
    system: list[Text] = []
    messages: list[Message] = []
    for i, item in enumerate(items):
        where = f"messages[{i}]"
        fields = Fields(item, where)
        role = fields.one_of("role", _ROLES)
        if role is None:
            raise Malformed(f"{where}.role", "is required")
        fields.neutral("name", why="names of speakers cannot be carried over")
        if role in ("developer", "system"):
            texts = _texts(fields)
            if messages:
                messages.append(Message("system", texts, where))
            else:
                system += texts
        elif role == "user":
            messages.append(Message("user", _user_parts(fields), where))
        elif role == "assistant":
            messages.append(Message("assistant", _assistant_parts(fields), where))
        else:
            call_id, _ = call_ids.split(fields.needed_text("tool_call_id"))
            messages.append(Message("user", (ToolResult(call_id, _texts(fields)),), where))
        fields.finish()
    return tuple(system), tuple(messages)


def _texts(fields: Fields) -> tuple[Text, ...]:
    parts = _user_parts(fields)
    texts = tuple(part for part in parts if isinstance(part, Text))
    if len(texts) < len(parts):
        raise Malformed(fields.path("content"), "may only hold text")
    return texts


def _content(fields: Fields) -> list[Fields]:
    content = fields.any("content")
    path = fields.path("content")
    if isinstance(content, str):
        return [Fields({"type": "text", "text": content}, path)]
    if not isinstance(content, list):
        raise Malformed(path, "must be a string or a list of parts")
    return [Fields(one, f"{path}[{i}]") for i, one in enumerate(content)]


def _user_parts(fields: Fields) -> tuple[Text | Media, ...]:
    return tuple(_user_part(part) for part in _content(fields))


def _user_part(part: Fields) -> Text | Media:
    kind = part.needed_text("type")
    made: Text | Media
    if kind == "text":
        made = Text(part.text("text") or "")
    elif kind == "image_url":
        image = part.fields("image_url")
        if image is None:
            raise Malformed(part.path("image_url"), "is required")
        media_type, data, url = data_url(image.needed_text("url"), image.path("url"))
        detail = image.text("detail")
        made = Media("image", media_type, data, url, None if detail == "auto" else detail)
        image.finish()
    elif kind == "input_audio":
        audio = part.fields("input_audio")
        if audio is None:
            raise Malformed(part.path("input_audio"), "is required")
        made = Media("audio", f"audio/{audio.needed_text('format')}", audio.needed_text("data"))
        audio.finish()
    elif kind == "file":
        made = _file(part)
    else:
        raise Untranslatable(part.path("type"), f"parts of type {kind} cannot be carried over")
    part.finish()
    return made


def _file(part: Fields) -> Media:
    file = part.fields("file")
    if file is None:
        raise Malformed(part.path("file"), "is required")
    file.neutral("file_id", why="the file is kept at one provider")
    path = file.path("file_data")
    media_type, data, url = data_url(file.needed_text("file_data"), path)
    if data is None or url is not None:
        raise Malformed(path, "must be a data: URL")
    name = file.text("filename")
    file.finish()
    return Media("document", media_type, data, None, None, name)


def _assistant_parts(fields: Fields) -> tuple[Part, ...]:
    parts: list[Part] = []
    fields.neutral("audio", why="the sound is kept at one provider")
    fields.neutral("function_call", why="is deprecated: use tool_calls")
    fields.neutral("annotations", [], why="annotations cannot be carried over")
    if fields.any("content") is not None:
        for part in _content(fields):
            kind = part.needed_text("type")
            if kind == "text":
                parts.append(Text(part.text("text") or ""))
            elif kind == "refusal":
                parts.append(Refusal(part.text("refusal") or ""))
            else:
                raise Malformed(part.path("type"), "must be text or refusal")
            part.finish()
    refusal = fields.text("refusal")
    if refusal is not None:
        parts.append(Refusal(refusal))
    for i, one in enumerate(fields.items("tool_calls")):
        parts.append(_tool_call(Fields(one, f"{fields.path('tool_calls')}[{i}]")))
    return tuple(parts)


def _tool_call(call: Fields) -> ToolCall:
    if call.text("type") not in (None, "function"):
        raise Untranslatable(call.path("type"), "only function calls can be carried over")
    function = call.fields("function")
    if function is None:
        raise Malformed(call.path("function"), "is required")
    call_id, signature = call_ids.split(call.needed_text("id"))
    made = ToolCall(call_id, function.needed_text("name"), function.text("arguments") or "", signature)
    function.finish()
    call.finish()
    return made


def _tool(tool: Fields) -> Tool:
    if tool.needed_text("type") != "function":
        raise Untranslatable(tool.path("type"), "only functions can be carried over")
    function = tool.fields("function")
    if function is None:
        raise Malformed(tool.path("function"), "is required")
    made = Tool(
        function.needed_text("name"),
        function.text("description"),
        function.object("parameters") or {"type": "object", "properties": {}},
        function.flag("strict"),
    )
    function.finish()
    tool.finish()
    return made


def _tool_choice(top: Fields) -> ToolChoice | None:
    choice = top.any("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str):
        match top.one_of("tool_choice", ("auto", "none", "required")):
            case "none":
                return ToolChoice("none")
            case "required":
                return ToolChoice("required")
            case _:
                return ToolChoice("auto")
    fields = Fields(choice, "tool_choice")
    if fields.needed_text("type") != "function":
        raise Untranslatable("tool_choice.type", "only a function can be asked for")
    function = fields.fields("function")
    if function is None:
        raise Malformed("tool_choice.function", "is required")
    made = ToolChoice("named", function.needed_text("name"))
    function.finish()
    fields.finish()
    return made


def _format(top: Fields) -> Format | None:
    fields = top.fields("response_format")
    if fields is None:
        return None
    kind = fields.one_of("type", ("text", "json_object", "json_schema"))
    made: Format | None = None
    if kind == "json_object":
        made = Format("json_object")
    elif kind == "json_schema":
        inner = fields.fields("json_schema")
        if inner is None:
            raise Malformed("response_format.json_schema", "is required")
        made = Format(
            "json_schema",
            inner.object("schema"),
            inner.needed_text("name"),
            inner.text("description"),
            inner.flag("strict"),
        )
        inner.finish()
    fields.finish()
    return made
