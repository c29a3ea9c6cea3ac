"""Reads a Gemini request: contents and their parts, in the names of its JSON or of its protobuf."""

from __future__ import annotations

from typing import Any

from fakes.asgi import Request
from fakes.chat.asked import Asked, Prompt, at_least_one, fields_of, items_of, nonce_in
from fakes.json_text import json_bytes

__all__ = ["read_prompt"]


def read_prompt(request: Request, *, model: str, op: str, stream: bool, as_array: bool) -> Asked:
    """What the request asks of this model."""
    fields = request.fields
    if op == "count":  # the prompt may stand inside a request for its answer
        fields = fields_of(fields.get("generateContentRequest")) or fields
    prompt = Prompt()
    about = _wrong(request, fields, prompt)
    limit = _limit(fields)
    offered = _tools(fields, prompt)
    labels = fields_of(fields.get("labels"))
    return Asked(
        op=op,
        model=model,
        stream=stream,
        prompt=prompt,
        nonce=nonce_in(prompt, labels.get("nonce"), fields.get("nonce")),
        tokens_max=limit if type(limit) is int else None,
        tools=offered,
        tool_forced=_forced(fields),
        as_array=stream and as_array,
        refused="parameters" if about is not None else None,
        about=about,
    )


def _limit(fields: dict[str, Any]) -> object:
    """The bound on the output; None for 0, as a protobuf has it."""
    config = fields_of(_either(fields, "generationConfig", "generation_config"))
    return _either(config, "maxOutputTokens", "max_output_tokens") or None


def _either(fields: dict[str, Any], camel: str, snake: str) -> object:
    return fields.get(camel, fields.get(snake))


def _wrong(request: Request, fields: dict[str, Any], prompt: Prompt) -> str | None:
    if not isinstance(request.json, dict):
        return "Invalid JSON payload received."
    contents = fields.get("contents")
    if not isinstance(contents, list) or not contents:
        return "* GenerateContentRequest.contents: contents is not specified"
    if (limit := _limit(fields)) is not None and not at_least_one(limit):
        return "* GenerateContentRequest.generation_config.max_output_tokens: must be positive."
    if not isinstance(fields.get("tools") or [], list):
        return "Invalid value at 'tools': a list is wanted"
    system = fields_of(_either(fields, "systemInstruction", "system_instruction"))
    if system:
        prompt.message("system", *_texts(system, prompt))
    for number, content in enumerate(contents):
        given = fields_of(content)
        role = given.get("role", "user")
        if role not in ("user", "model", "function") or not isinstance(given.get("parts"), list):
            return f"* GenerateContentRequest.contents[{number}]: a valid role and parts are wanted"
        prompt.message(role, *_texts(given, prompt))
    return None


def _texts(content: dict[str, Any], prompt: Prompt) -> list[str]:
    texts: list[str] = []
    for part in items_of(content.get("parts")):
        match part:
            case {"text": str(text)}:
                texts.append(text)
            case {"inlineData": _} | {"inline_data": _} | {"fileData": _} | {"file_data": _}:
                prompt.image()
            case {"functionCall": given} | {"functionResponse": given}:
                texts.append(json_bytes(given).decode())
            case _:
                pass
    return texts


def _tools(fields: dict[str, Any], prompt: Prompt) -> tuple[str, ...]:
    names: list[str] = []
    for tool in items_of(fields.get("tools")):
        declared = _either(fields_of(tool), "functionDeclarations", "function_declarations")
        for one in items_of(declared):
            prompt.text(json_bytes(one).decode())
            names.append(str(fields_of(one).get("name", "")))
    return tuple(names)


def _forced(fields: dict[str, Any]) -> str | None:
    config = fields_of(_either(fields, "toolConfig", "tool_config"))
    calling = fields_of(_either(config, "functionCallingConfig", "function_calling_config"))
    if calling.get("mode") != "ANY":
        return None
    allowed = _either(calling, "allowedFunctionNames", "allowed_function_names")
    return str(allowed[0]) if isinstance(allowed, list) and allowed else "*"
