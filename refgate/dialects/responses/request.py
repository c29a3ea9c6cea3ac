"""A caller's Responses request → Request. Nothing is kept between calls: the conversation comes whole."""

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
    Thinking,
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

_HARMLESS: tuple[tuple[Any, ...], ...] = (
    ("background", False),
    ("store", False),
    ("metadata", {}),
    ("include", [], ["reasoning.encrypted_content"]),
    ("truncation", "disabled"),
    ("top_logprobs", 0),
    ("service_tier", "auto", "default"),
    ("stream_options", {}, {"include_obfuscation": False}),
)
"""Refused fields, and the values that ask for nothing."""


def read_request(body: dict[str, Any]) -> Request:
    """Raises Malformed, or Untranslatable for what only OpenAI could take."""
    top = Fields(body, "")
    system, messages = _input(top)
    instructions = top.text("instructions")
    if instructions is not None:
        system = (Text(instructions), *system)
    user, safe_user = top.text("user"), top.text("safety_identifier")
    if None not in (user, safe_user) and user != safe_user:
        raise Untranslatable("user", "says something else than safety_identifier: one can be carried")
    form, verbosity = _text(top)
    request = Request(
        model=top.needed_text("model"),
        messages=messages,
        system=system,
        tools=tuple(_tool(Fields(one, f"tools[{i}]")) for i, one in enumerate(top.items("tools"))),
        tool_choice=_tool_choice(top),
        parallel_tools=top.flag("parallel_tool_calls"),
        max_tokens=top.count("max_output_tokens", least=1),
        temperature=top.number("temperature"),
        top_p=top.number("top_p"),
        format=form,
        effort=_effort(top),
        verbosity=verbosity,
        user=user if user is not None else safe_user,
        stream=top.flag("stream") or False,
        include_usage=True,
    )
    fields = FIELDS[Protocol.OPENAI_RESPONSES]
    for name, *harmless in _HARMLESS:
        top.neutral(name, *harmless, why=str(fields[name]))
    top.finish(refused(Protocol.OPENAI_RESPONSES))
    return request


def _input(top: Fields) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    """Items in a row that are one turn (what the model said, what its tools answered) become one message."""
    given = top.any("input")
    if isinstance(given, str):
        return (), (Message("user", (Text(given),), "input"),)
    if not isinstance(given, list) or not given:
        raise Malformed("input", "must be a string or a list of items")
    system: list[Text] = []
    messages: list[Message] = []
    joinable = False
    for i, one in enumerate(given):
        fields = Fields(one, f"input[{i}]")
        message, joins = _item(fields, f"input[{i}]")
        fields.finish()
        if message.role == "system" and not messages:
            system += [part for part in message.parts if isinstance(part, Text)]
        elif joins and joinable and messages[-1].role == message.role:
            last = messages[-1]
            messages[-1] = Message(last.role, (*last.parts, *message.parts), last.where)
        else:
            messages.append(message)
        joinable = joins
    if not messages:
        raise Malformed("input", "holds only instructions")
    return tuple(system), tuple(messages)


def _item(item: Fields, where: str) -> tuple[Message, bool]:
    """The item, and whether it joins its neighbours of the same side."""
    kind = item.text("type") or "message"
    item.any("id")  # of no meaning where nothing is kept
    item.any("status")
    match kind:
        case "message":
            role = item.one_of("role", ("user", "assistant", "system", "developer"))
            if role is None:
                raise Malformed(f"{where}.role", "is required")
            parts = tuple(_part(part) for part in _content(item, "content"))
            if role in ("system", "developer"):
                if not all(isinstance(part, Text) for part in parts):
                    raise Malformed(f"{where}.content", "may only hold text")
                return Message("system", parts, where), False
            return Message("user" if role == "user" else "assistant", parts, where), role == "assistant"
        case "function_call":
            call_id, mark = call_ids.split(item.needed_text("call_id"))
            call = ToolCall(call_id, item.needed_text("name"), item.text("arguments") or "", mark)
            return Message("assistant", (call,), where), True
        case "function_call_output":
            call_id, _ = call_ids.split(item.needed_text("call_id"))
            given: list[Text | Media] = []
            for one in _content(item, "output"):
                part = _part(one)
                if not isinstance(part, Text | Media):
                    raise Malformed(one.path("type"), "must be text, an image or a file")
                given.append(part)
            return Message("user", (ToolResult(call_id, tuple(given)),), where), True
        case "reasoning":
            return Message("assistant", (_reasoning(item),), where), True
        case _:
            raise Untranslatable(f"{where}.type", f"items of type {kind} cannot be carried over")


def _reasoning(item: Fields) -> Thinking:
    texts = [Fields(one, item.path("summary")).text("text") or "" for one in item.items("summary")]
    item.neutral("content", [], why="raw reasoning cannot be carried over")
    return Thinking("".join(texts), item.text("encrypted_content"))


def _content(item: Fields, name: str) -> list[Fields]:
    content = item.any(name)
    path = item.path(name)
    if isinstance(content, str):
        return [Fields({"type": "input_text", "text": content}, path)]
    if not isinstance(content, list):
        raise Malformed(path, "must be a string or a list of parts")
    return [Fields(one, f"{path}[{i}]") for i, one in enumerate(content)]


def _part(part: Fields) -> Part:
    kind = part.needed_text("type")
    made: Part
    match kind:
        case "input_text" | "output_text":
            part.neutral("annotations", [], why="annotations cannot be carried over")
            part.neutral("logprobs", [], why="log probabilities cannot be carried over")
            made = Text(part.text("text") or "")
        case "refusal":
            made = Refusal(part.text("refusal") or "")
        case "input_image":
            part.neutral("file_id", why="the file is kept at one provider")
            media_type, data, url = data_url(part.needed_text("image_url"), part.path("image_url"))
            detail = part.text("detail")
            made = Media("image", media_type, data, url, None if detail == "auto" else detail)
        case "input_file":
            made = _file(part)
        case _:
            raise Untranslatable(part.path("type"), f"parts of type {kind} cannot be carried over")
    part.finish()
    return made


def _file(part: Fields) -> Media:
    part.neutral("file_id", why="the file is kept at one provider")
    name, address = part.text("filename"), part.text("file_url")
    if address is not None:
        return Media("document", url=address, name=name)
    path = part.path("file_data")
    media_type, data, url = data_url(part.needed_text("file_data"), path)
    if url is not None:
        raise Malformed(path, "must be a data: URL")
    return Media("document", media_type, data, None, None, name)


def _tool(tool: Fields) -> Tool:
    if tool.needed_text("type") != "function":
        raise Untranslatable(tool.path("type"), "only functions can be carried over")
    made = Tool(
        tool.needed_text("name"),
        tool.text("description"),
        tool.object("parameters") or {"type": "object", "properties": {}},
        tool.flag("strict"),
    )
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
    made = ToolChoice("named", fields.needed_text("name"))
    fields.finish()
    return made


def _effort(top: Fields) -> str | None:
    fields = top.fields("reasoning")
    if fields is None:
        return None
    effort = fields.text("effort")
    fields.neutral("summary", why="a summary of reasoning can only be asked of OpenAI")
    fields.neutral("generate_summary", why="a summary of reasoning can only be asked of OpenAI")
    fields.finish()
    return effort


def _text(top: Fields) -> tuple[Format | None, str | None]:
    fields = top.fields("text")
    if fields is None:
        return None, None
    verbosity = fields.text("verbosity")
    form: Format | None = None
    inner = fields.fields("format")
    if inner is not None:
        kind = inner.one_of("type", ("text", "json_object", "json_schema"))
        if kind == "json_object":
            form = Format("json_object")
        elif kind == "json_schema":
            form = Format(
                "json_schema",
                inner.object("schema"),
                inner.needed_text("name"),
                inner.text("description"),
                inner.flag("strict"),
            )
        inner.finish()
    fields.finish()
    return form, verbosity
