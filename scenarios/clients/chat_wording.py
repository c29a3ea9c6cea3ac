"""How a caller words a chat in each protocol: where it goes, and what stands in it.

The callers' side only, written from the vendors' documents. The nonce rides in the text of the question,
where it lives through every translation. Plain clients and the vendors' SDKs ask with the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any
from urllib.parse import quote

from scenarios.model.chat import ChatTraffic

__all__ = ["HEADERS", "KEY_HEADERS", "STREAM_ONLY", "asks", "path_of", "question"]

_WORDS = ("what does the keeper of a", "lighthouse do by night", "when fog comes in from the sea")
_TOKENS = 1024
_TOOL = "look_up"
_ABOUT_TOOL = "Looks a thing up."
_PARAMETERS = {"type": "object", "properties": {"nonce": {"type": "string"}}}
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
STREAM_ONLY = frozenset({"stream_options"})
"""Fields of a body that a request may have only where it asks for a stream."""

HEADERS: Mapping[str, tuple[tuple[str, str], ...]] = {"anthropic": (("anthropic-version", "2023-06-01"),)}
KEY_HEADERS: Mapping[str, str] = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}
"""Where a caller's key stands, if not in `authorization`."""

_PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "openai_embeddings": "/v1/embeddings",
    "anthropic": "/v1/messages",
}
_LIMIT = {
    "openai_chat": "max_completion_tokens",
    "openai_responses": "max_output_tokens",
    "anthropic": "max_tokens",
}


def path_of(protocol: str, model: str, *, stream: bool) -> str:
    """Where a request goes."""
    if protocol != "gemini":
        return _PATHS[protocol]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{quote(model, safe='')}:{verb}"


def question(nonce: str, words: int) -> str:
    """The text of a question that names itself."""
    return " ".join((f"nonce:{nonce}", *islice(cycle(" ".join(_WORDS).split()), words)))


def asks(block: ChatTraffic, nonce: str, *, stream: bool) -> dict[str, Any]:
    """The fields of a request; what the block says of its body stands above the usual."""
    text, protocol = question(nonce, block.words), block.protocol
    fields: dict[str, Any]
    match protocol:
        case "openai_chat":
            fields = {
                "model": block.model,
                "messages": [{"role": "user", "content": _chat_content(block, text)}],
            }
        case "openai_responses":
            content = [{"type": "input_text", "text": text}, *_responses_image(block)]
            fields = {"model": block.model, "input": [{"role": "user", "content": content}]}
        case "anthropic":
            content = [{"type": "text", "text": text}, *_anthropic_image(block)]
            fields = {"model": block.model, "max_tokens": _TOKENS}
            fields["messages"] = [{"role": "user", "content": content}]
        case "gemini":
            fields = {"contents": [{"role": "user", "parts": [{"text": text}, *_gemini_image(block)]}]}
        case "openai_embeddings":
            fields = {"model": block.model, "input": text}
    if block.max_tokens is not None and protocol == "gemini":
        fields["generationConfig"] = {"maxOutputTokens": block.max_tokens}
    elif block.max_tokens is not None and protocol in _LIMIT:
        fields[_LIMIT[protocol]] = block.max_tokens
    if block.tools:
        fields["tools"] = [_tool(protocol)]
    if stream and protocol != "gemini":
        fields["stream"] = True
    return fields | {name: value for name, value in block.body.items() if stream or name not in STREAM_ONLY}


def _chat_content(block: ChatTraffic, text: str) -> Any:
    if not block.image:
        return text
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}}
    return [{"type": "text", "text": text}, image]


def _responses_image(block: ChatTraffic) -> list[dict[str, Any]]:
    image = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{_PNG}"}
    return [image] if block.image else []


def _anthropic_image(block: ChatTraffic) -> list[dict[str, Any]]:
    source = {"type": "base64", "media_type": "image/png", "data": _PNG}
    return [{"type": "image", "source": source}] if block.image else []


def _gemini_image(block: ChatTraffic) -> list[dict[str, Any]]:
    return [{"inlineData": {"mimeType": "image/png", "data": _PNG}}] if block.image else []


def _tool(protocol: str) -> dict[str, Any]:
    match protocol:
        case "openai_chat":
            function = {"name": _TOOL, "description": _ABOUT_TOOL, "parameters": _PARAMETERS}
            return {"type": "function", "function": function}
        case "openai_responses":
            return {
                "type": "function",
                "name": _TOOL,
                "description": _ABOUT_TOOL,
                "parameters": _PARAMETERS,
                "strict": False,
            }
        case "anthropic":
            return {"name": _TOOL, "description": _ABOUT_TOOL, "input_schema": _PARAMETERS}
        case _:
            declared = {"name": _TOOL, "description": _ABOUT_TOOL, "parameters": _PARAMETERS}
            return {"functionDeclarations": [declared]}
