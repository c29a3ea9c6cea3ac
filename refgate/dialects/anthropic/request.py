"""A caller's Anthropic messages request → Request."""

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
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Untranslatable,
)
from refgate.dialects.carriage import FIELDS, refused
from refgate.dialects.json_text import Fields, dumps

__all__ = ["read_request"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_CACHE = str(FIELDS[Protocol.ANTHROPIC]["cache_control"])


def read_request(body: dict[str, Any]) -> Request:
    """Raises Malformed, or Untranslatable for what only Anthropic could take."""
    top = Fields(body, "")
    limit = top.count("max_tokens", least=1)
    if limit is None:
        raise Malformed("max_tokens", "is required")
    choice, parallel = _tool_choice(top)
    form, effort = _output_config(top)
    budget, adaptive, off = _thinking(top)
    if off:
        if effort is not None:
            raise Untranslatable("thinking", "no thinking and an effort cannot be carried over together")
        effort = "none"
    metadata = top.fields("metadata")
    user = None
    if metadata is not None:
        user = metadata.text("user_id")
        metadata.finish()
    request = Request(
        model=top.needed_text("model"),
        messages=_messages(top),
        system=_system(top),
        tools=tuple(_tool(Fields(one, f"tools[{i}]")) for i, one in enumerate(top.items("tools"))),
        tool_choice=choice,
        parallel_tools=parallel,
        max_tokens=limit,
        temperature=top.number("temperature"),
        top_p=top.number("top_p"),
        top_k=top.count("top_k"),
        stop=_stop(top),
        format=form,
        effort=effort,
        thinking_tokens=budget,
        thinking_adaptive=adaptive,
        user=user,
        stream=top.flag("stream") or False,
        include_usage=True,
    )
    top.neutral("service_tier", "auto", "standard_only", why=str(FIELDS[Protocol.ANTHROPIC]["service_tier"]))
    top.neutral("speed", "standard", why=str(FIELDS[Protocol.ANTHROPIC]["speed"]))
    top.finish(refused(Protocol.ANTHROPIC))
    return request


def _stop(top: Fields) -> tuple[str, ...]:
    words = top.items("stop_sequences")
    if not all(isinstance(word, str) for word in words):
        raise Malformed("stop_sequences", "must be a list of strings")
    return tuple(words)


def _system(top: Fields) -> tuple[Text, ...]:
    if isinstance(top.any("system"), str):
        return (Text(top.any("system")),)
    texts: list[Text] = []
    for i, one in enumerate(top.items("system")):
        part = _part(Fields(one, f"system[{i}]"))
        if not isinstance(part, Text):
            raise Malformed(f"system[{i}]", "must be text")
        texts.append(part)
    return tuple(texts)


def _messages(top: Fields) -> tuple[Message, ...]:
    items = top.items("messages")
    if not items:
        raise Malformed("messages", "is required")
    messages: list[Message] = []
    for i, item in enumerate(items):
        where = f"messages[{i}]"
        fields = Fields(item, where)
        role = fields.one_of("role", ("user", "assistant"))
        if role is None:
            raise Malformed(f"{where}.role", "is required")
        parts = tuple(_part(part) for part in _content(fields))
        messages.append(Message("user" if role == "user" else "assistant", parts, where))
        fields.finish()
    return tuple(messages)


def _content(fields: Fields) -> list[Fields]:
    content = fields.any("content")
    path = fields.path("content")
    if isinstance(content, str):
        return [Fields({"type": "text", "text": content}, path)]
    if not isinstance(content, list):
        raise Malformed(path, "must be a string or a list of blocks")
    return [Fields(one, f"{path}[{i}]") for i, one in enumerate(content)]


def _part(block: Fields) -> Part:
    block.neutral("cache_control", why=_CACHE)
    kind = block.needed_text("type")
    made: Part
    match kind:
        case "text":
            block.neutral("citations", [], why="citations cannot be carried over")
            made = Text(block.text("text") or "")
        case "image" | "document":
            made = _media(block, kind)
        case "tool_use":
            call_id, signature = call_ids.split(block.needed_text("id"))
            given = block.object("input")
            made = ToolCall(call_id, block.needed_text("name"), dumps(given or {}), signature)
            block.neutral("caller", {"type": "direct"}, why="only direct calls can be carried over")
        case "tool_result":
            made = _tool_result(block)
        case "thinking":
            made = Thinking(block.text("thinking") or "", block.text("signature") or None)
        case "redacted_thinking":
            made = Thinking("", None, block.needed_text("data"))
        case _:
            raise Untranslatable(block.path("type"), f"blocks of type {kind} cannot be carried over")
    block.finish()
    return made


def _media(block: Fields, kind: str) -> Media:
    source = block.fields("source")
    if source is None:
        raise Malformed(block.path("source"), "is required")
    kept = source.needed_text("type")
    title = block.text("title") if kind == "document" else None
    if kind == "document":
        block.neutral("citations", {"enabled": False}, why="citations cannot be carried over")
    if kept == "base64":
        made = Media(
            "image" if kind == "image" else "document",
            source.needed_text("media_type"),
            source.needed_text("data"),
            name=title,
        )
    elif kept == "url":
        made = Media("image" if kind == "image" else "document", url=source.needed_text("url"), name=title)
    else:
        raise Untranslatable(source.path("type"), f"sources of type {kept} cannot be carried over")
    source.finish()
    return made


def _tool_result(block: Fields) -> ToolResult:
    call_id, _ = call_ids.split(block.needed_text("tool_use_id"))
    parts: list[Text | Media] = []
    if block.any("content") is not None:
        for one in _content(block):
            part = _part(one)
            if not isinstance(part, Text | Media):
                raise Malformed(one.path("type"), "must be text, an image or a document")
            parts.append(part)
    return ToolResult(call_id, tuple(parts), block.flag("is_error") or False)


def _tool(tool: Fields) -> Tool:
    tool.neutral("cache_control", why=_CACHE)
    if tool.text("type") not in (None, "custom"):
        raise Untranslatable(tool.path("type"), "only functions can be carried over")
    tool.neutral("defer_loading", False, why="tools are all loaded at once")
    tool.neutral("eager_input_streaming", False, why="belongs to this protocol alone")
    tool.neutral("allowed_callers", ["direct"], why="only direct calls can be carried over")
    schema = tool.object("input_schema")
    if schema is None:
        raise Malformed(tool.path("input_schema"), "is required")
    made = Tool(tool.needed_text("name"), tool.text("description"), schema, tool.flag("strict"))
    tool.finish()
    return made


def _tool_choice(top: Fields) -> tuple[ToolChoice | None, bool | None]:
    fields = top.fields("tool_choice")
    if fields is None:
        return None, None
    kind = fields.one_of("type", ("auto", "any", "none", "tool"))
    alone = fields.flag("disable_parallel_tool_use")
    match kind:
        case "any":
            made = ToolChoice("required")
        case "none":
            made = ToolChoice("none")
        case "tool":
            made = ToolChoice("named", fields.needed_text("name"))
        case _:
            made = ToolChoice("auto")
    fields.finish()
    return made, None if alone is None else not alone


def _output_config(top: Fields) -> tuple[Format | None, str | None]:
    fields = top.fields("output_config")
    if fields is None:
        return None, None
    effort = fields.one_of("effort", _EFFORTS)
    form: Format | None = None
    inner = fields.fields("format")
    if inner is not None:
        inner.one_of("type", ("json_schema",))
        form = Format("json_schema", inner.object("schema"), strict=True)
        inner.finish()
    fields.finish()
    return form, effort


def _thinking(top: Fields) -> tuple[int | None, bool | None, bool]:
    """Budget, adaptive, and whether thinking is switched off."""
    fields = top.fields("thinking")
    if fields is None:
        return None, None, False
    kind = fields.one_of("type", ("enabled", "adaptive", "disabled"))
    fields.neutral("display", "summarized", why="thinking is shown or it is not")
    budget = fields.count("budget_tokens", least=1)
    if kind == "enabled" and budget is None:
        raise Malformed("thinking.budget_tokens", "is required")
    fields.finish()
    return budget, True if kind == "adaptive" else None, kind == "disabled"
