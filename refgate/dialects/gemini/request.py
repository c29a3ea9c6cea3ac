"""A caller's generateContent request → Request. The model and the wish for a stream come from the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refgate.dialects.canonical import (
    Format,
    Malformed,
    Protocol,
    Request,
    Text,
    Tool,
    ToolChoice,
    Untranslatable,
)
from refgate.dialects.carriage import FIELDS, refused
from refgate.dialects.gemini.calling import GeminiFields, spelled
from refgate.dialects.gemini.contents import read_contents, read_texts
from refgate.dialects.gemini.schemas import json_schema
from refgate.dialects.json_text import as_map, dumps

__all__ = ["CONFIG", "read_request", "shows_thoughts"]

CONFIG = "generationConfig"
_EFFORTS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")


def read_request(body: dict[str, Any], *, model: str, stream: bool) -> Request:
    """Raises Malformed, or Untranslatable for what only Gemini could take."""
    top = GeminiFields(body, "")
    config = top.fields(CONFIG) or GeminiFields({}, CONFIG)
    effort, budget, adaptive = _thinking(config)
    tools, choice = _tools(top)
    request = Request(
        model=model,
        messages=read_contents(top.items("contents")),
        system=_system(top),
        tools=tools,
        tool_choice=choice,
        max_tokens=config.count("maxOutputTokens", least=1),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.count("topK"),
        stop=_stop(config),
        seed=config.whole("seed"),
        frequency_penalty=config.number("frequencyPenalty"),
        presence_penalty=config.number("presencePenalty"),
        format=_format(config),
        effort=effort,
        thinking_tokens=budget,
        thinking_adaptive=adaptive,
        stream=stream,
        include_usage=True,
        sent=_sent(body),
    )
    fields = FIELDS[Protocol.GEMINI]
    config.neutral("candidateCount", 1, why=str(fields[f"{CONFIG}.candidateCount"]))
    config.neutral("responseLogprobs", False, why=str(fields[f"{CONFIG}.responseLogprobs"]))
    config.neutral("responseModalities", ["TEXT"], why=str(fields[f"{CONFIG}.responseModalities"]))
    top.neutral("safetySettings", [], why=str(fields["safetySettings"]))
    top.neutral("serviceTier", "standard", "STANDARD", why=str(fields["serviceTier"]))
    top.neutral("labels", {}, why=str(fields["labels"]))
    top.neutral("store", False, why=str(fields["store"]))
    whys = refused(Protocol.GEMINI)
    config.finish({name.removeprefix(f"{CONFIG}."): why for name, why in whys.items()})
    top.finish(whys)
    return request


def shows_thoughts(body: Mapping[str, Any]) -> bool:
    """Whether the caller asked for thinking aloud: without that, no thought is part of its answer."""
    thinking = as_map(spelled(as_map(spelled(body, CONFIG)), "thinkingConfig"))
    budget = spelled(thinking, "thinkingBudget")
    return spelled(thinking, "includeThoughts") is True or (budget is not None and budget != 0)


def _sent(body: dict[str, Any]) -> tuple[str, ...]:
    """The caller's fields by the names that the table of carriage has for them."""
    config = as_map(spelled(body, CONFIG))
    return tuple(
        name
        for name in FIELDS[Protocol.GEMINI]
        if spelled(config if name.startswith(f"{CONFIG}.") else body, name.removeprefix(f"{CONFIG}."))
        is not None
    )


def _system(top: GeminiFields) -> tuple[Text, ...]:
    content = top.fields("systemInstruction")
    if content is None:
        return ()
    content.one_of("role", ("user", "system"))
    texts = read_texts(content)
    content.finish()
    return texts


def _stop(config: GeminiFields) -> tuple[str, ...]:
    words = config.items("stopSequences")
    if not all(isinstance(word, str) for word in words):
        raise Malformed(config.path("stopSequences"), "must be a list of strings")
    return tuple(words)


def _thinking(config: GeminiFields) -> tuple[str | None, int | None, bool | None]:
    """Effort, budget, and whether to think aloud as much as is good."""
    fields = config.fields("thinkingConfig")
    if fields is None:
        return None, None, None
    aloud = fields.flag("includeThoughts")
    budget = fields.whole("thinkingBudget")
    level = fields.text("thinkingLevel")
    fields.finish()
    if level is not None and level.upper() not in (*_EFFORTS, "THINKING_LEVEL_UNSPECIFIED"):
        raise Malformed(fields.path("thinkingLevel"), f"must be one of: {', '.join(_EFFORTS)}")
    effort = level.lower() if level is not None and level.upper() in _EFFORTS else None
    if budget is None:
        return effort, None, aloud or None
    if budget < -1:
        raise Malformed(fields.path("thinkingBudget"), "must be a whole number, at least -1")
    if effort is not None:
        raise Malformed(fields.path("thinkingBudget"), "and a thinkingLevel exclude each other")
    if budget == 0:
        return "none", None, None
    if aloud is False:
        raise Untranslatable(
            fields.path("includeThoughts"), "another provider shows what a budget is spent on"
        )
    return None, budget if budget > 0 else None, True if budget < 0 else None


def _format(config: GeminiFields) -> Format | None:
    kind = config.text("responseMimeType")
    own, schema = config.any("responseSchema"), config.any("responseJsonSchema")
    if own is not None and schema is not None:
        raise Malformed(config.path("responseSchema"), "and responseJsonSchema exclude each other")
    where = config.path("responseSchema" if own is not None else "responseJsonSchema")
    if own is not None:
        schema = json_schema(own, where)
    if kind not in (None, "text/plain", "application/json"):
        raise Untranslatable(config.path("responseMimeType"), "only text and JSON can be asked for")
    if kind != "application/json":
        if schema is not None:
            raise Malformed(where, "needs the responseMimeType application/json")
        return None
    return Format("json_object") if schema is None else Format("json_schema", schema)


def _tools(top: GeminiFields) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    tools: list[Tool] = []
    for i, one in enumerate(top.items("tools")):
        fields = GeminiFields(one, f"tools[{i}]")
        declared = fields.items("functionDeclarations")
        path = fields.path("functionDeclarations")
        tools += (_declaration(GeminiFields(each, f"{path}[{j}]")) for j, each in enumerate(declared))
        fields.finish(_SERVED)
    choice, strict = _calling(top, tuple(tool.name for tool in tools))
    if strict:
        tools = [Tool(tool.name, tool.description, tool.schema, True) for tool in tools]
    return tuple(tools), choice


_SERVED = dict.fromkeys(
    (
        "googleSearch",
        "googleSearchRetrieval",
        "codeExecution",
        "urlContext",
        "fileSearch",
        "computerUse",
        "googleMaps",
        "mcpServers",
        "enterpriseWebSearch",
        "retrieval",
    ),
    "only functions can be carried over",
)


def _declaration(fields: GeminiFields) -> Tool:
    """What a function gives back has no place in other protocols but its description."""
    own, schema = fields.any("parameters"), fields.any("parametersJsonSchema")
    if own is not None and schema is not None:
        raise Malformed(fields.path("parameters"), "and parametersJsonSchema exclude each other")
    if own is not None:
        schema = json_schema(own, fields.path("parameters"))
    if schema is not None and not isinstance(schema, dict):
        raise Malformed(fields.path("parametersJsonSchema"), "must be an object")
    gives, gives_json = fields.any("response"), fields.any("responseJsonSchema")
    about = fields.text("description")
    if gives is not None and gives_json is None:
        gives_json = json_schema(gives, fields.path("response"))
    if gives_json is not None:
        about = "\n".join(filter(None, (about, f"Gives back JSON of this schema: {dumps(gives_json)}")))
    fields.neutral("behavior", "UNSPECIFIED", "BLOCKING", why="calls are all waited for")
    made = Tool(fields.needed_text("name"), about, schema or {"type": "object", "properties": {}})
    fields.finish()
    return made


def _calling(top: GeminiFields, names: tuple[str, ...]) -> tuple[ToolChoice | None, bool]:
    """The choice, and whether the arguments must fit their schemas."""
    config = top.fields("toolConfig")
    calling = config.fields("functionCallingConfig") if config is not None else None
    if config is None or calling is None:
        if config is not None:
            config.finish()
        return None, False
    mode = calling.one_of("mode", _MODES) or "AUTO"
    allowed = calling.items("allowedFunctionNames")
    path = calling.path("allowedFunctionNames")
    calling.neutral("streamFunctionCallArguments", False, why="calls come whole")
    calling.finish()
    config.finish()
    if not all(isinstance(name, str) for name in allowed):
        raise Malformed(path, "must be a list of strings")
    every = not allowed or set(allowed) == set(names)
    if mode == "ANY" and every:
        return ToolChoice("required"), False
    if mode == "ANY" and len(allowed) == 1:
        return ToolChoice("named", allowed[0]), False
    if not every:
        raise Untranslatable(path, "one function can be demanded, or any of them")
    return ToolChoice("none" if mode == "NONE" else "auto"), mode == "VALIDATED"
