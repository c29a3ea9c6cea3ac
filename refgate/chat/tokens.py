"""How many tokens, where nobody has counted: a prompt before it is sent, an answer without figures.

Estimates, and never more than that: rows that use one say so. A prompt is a quarter of its text's bytes and
four tokens a message; of an answer, each piece of a stream is a token at least, and each word. Bounds, for
holds, are another matter: a token of text is a byte or more, so that a body's size bounds those of its text,
and what it only points at has an allowance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from refgate.dialects.assembly import events_of
from refgate.dialects.spoken import (
    Answer,
    CallBegan,
    CallSaid,
    Event,
    OtherSaid,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
)

__all__ = ["Tally", "pointed_at", "prompt_tokens", "searches"]

_MESSAGE = 4
_MEDIA = 85
_TEXTS = (
    "messages",
    "input",
    "instructions",
    "system",
    "tools",
    "contents",
    "systemInstruction",
    "functions",
)
_SILENT = frozenset({"role", "type", "id", "tool_call_id", "call_id", "tool_use_id", "detail", "mimeType"})
_DATA = frozenset({"data", "url", "image_url", "file_data", "fileUri"})
_POINTER_TOKENS = 16_384
_POINTERS = (b'url"', b'file_id"', b'fileUri"', b'file_uri"')
_KEPT = ("previous_response_id", "conversation", "prompt", "cachedContent", "cached_content")
_SEARCHES = 10  # where a request sets no bound of its own
_ESCAPED = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")


def prompt_tokens(document: Mapping[str, Any]) -> int:
    """About how many tokens a request's prompt has."""
    total = 0
    for name in _TEXTS:
        value = document.get(name)
        if isinstance(value, list):
            total += _MESSAGE * len(value)
        if value is not None:
            total += _within(value)
    return total


def _within(value: Any) -> int:
    total = 0
    waiting = [value]
    while waiting:  # a body may be nested deeper than calls may be
        one = waiting.pop()
        if isinstance(one, str):
            total += -(-len(one.encode("utf-8", "replace")) // 4)
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            for name, inner in one.items():
                if name in _DATA and isinstance(inner, str):
                    total += _MEDIA
                elif name not in _SILENT:
                    waiting.append(inner)
    return total


def pointed_at(body: bytes, document: Mapping[str, Any]) -> int:
    """An allowance of tokens for what a request only points at, at an address or in a provider's memory: its
    size is not that of its name. However the name is spelled: who hides it must not be held less.
    """
    if b"\\u00" in body:
        body = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), body)
    pointers = sum(body.count(pointer) for pointer in _POINTERS)
    return _POINTER_TOKENS * (pointers + sum(document.get(name) is not None for name in _KEPT))


def searches(document: Mapping[str, Any]) -> int:
    """How often a request lets its provider search the web, which some bill by the search."""
    tools = document.get("tools")
    allowed = 0
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and str(tool.get("type")).startswith("web_search"):
            most = tool.get("max_uses")
            allowed += most if isinstance(most, int) and most > 0 else _SEARCHES
    return allowed


class Tally:
    """Counts an answer as it passes."""

    def __init__(self) -> None:
        self.tokens = 0

    def take(self, event: Event) -> None:
        text = event.text if type(event) is TextSaid else _text_of(event)
        if text is not None:
            # A piece is a token or more; so is each of its words; and long words are several.
            self.tokens += max(1, len(text.split()), len(text) // 8)

    def take_whole(self, answer: Answer) -> None:
        for event in events_of(answer):
            self.take(event)


def _text_of(event: Event) -> str | None:
    """What an event says that somebody is charged for."""
    match event:
        case TextSaid(text) | ThoughtSaid(text) | RefusalSaid(text) | CallSaid(_, text) | OtherSaid(_, text):
            return text
        case CallBegan(_, _, name):
            return name
        case ThoughtSigned(_, redacted):
            return redacted
    return None
