"""The conversation of a caller's generateContent request → messages.

Calls and their results may come without ids: then a result answers the first call of its name that has
none yet, and both get an id made from the call's place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from refgate.dialects.canonical import (
    Malformed,
    Media,
    Message,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Untranslatable,
)
from refgate.dialects.gemini.calling import GeminiFields
from refgate.dialects.gemini.outgoing import MADE_ID
from refgate.dialects.gemini.signatures import standard, uncover
from refgate.dialects.json_text import Fields, dumps

__all__ = ["read_contents", "read_texts"]

_KINDS = ("text", "inlineData", "fileData", "functionCall", "functionResponse")
_SOUNDS = {"audio/mpeg": "audio/mp3", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav"}
_DOCUMENTS = ("application", "text")
_ELSEWHERE = re.compile(r"https?://(?!generativelanguage\.googleapis\.com(?:[:/]|$))", re.IGNORECASE)
"""An address that any provider can fetch from: not the vendor's own store of files."""


def read_contents(items: Sequence[Any]) -> tuple[Message, ...]:
    """Raises Malformed, or Untranslatable for parts that only Gemini knows."""
    if not items:
        raise Malformed("contents", "is required")
    calls = _Calls()
    messages: list[Message] = []
    for i, item in enumerate(items):
        where = f"contents[{i}]"
        fields = GeminiFields(item, where)
        role = fields.one_of("role", ("user", "model", "function"))
        parts: list[Part] = []
        for part in _parts(fields):
            _add(parts, _part(part, calls))
        fields.finish()
        messages.append(Message("assistant" if role == "model" else "user", tuple(parts), where))
    return tuple(messages)


def read_texts(content: Fields) -> tuple[Text, ...]:
    """A content that may only hold text."""
    texts: list[Text] = []
    for part in _parts(content):
        made = _part(part, _Calls())
        if not isinstance(made, Text):
            raise Malformed(part.path("text"), "is required")
        texts.append(made)
    return tuple(texts)


class _Calls:
    """The calls that are still without a result, in order."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._made = 0

    def asked(self, name: str, given: str | None) -> str:
        call_id = given or f"{MADE_ID}{self._made}"
        self._made += 1
        self._open.append((call_id, name))
        return call_id

    def answered(self, name: str, given: str | None) -> str | None:
        """The call that a result answers; None where there is none."""
        found = next((one for one in self._open if given in (None, one[0]) and one[1] == name), None)
        if found is None:
            return None
        self._open.remove(found)
        return found[0]


def _parts(content: Fields) -> list[GeminiFields]:
    path = content.path("parts")
    return [GeminiFields(one, f"{path}[{i}]") for i, one in enumerate(content.items("parts"))]


def _add(parts: list[Part], part: Part) -> None:
    """Pieces of one thought, as a stream told them, become one again; its mark comes last."""
    last = parts[-1] if parts else None
    open_thought = isinstance(last, Thinking) and last.signature is None and last.redacted is None
    if isinstance(part, Thinking) and part.redacted is None and isinstance(last, Thinking) and open_thought:
        parts[-1] = Thinking(last.text + part.text, part.signature)
    else:
        parts.append(part)


def _part(part: GeminiFields, calls: _Calls) -> Part:
    kinds = [kind for kind in _KINDS if part.any(kind) is not None]
    if len(kinds) != 1:
        part.finish()  # names what it holds instead
        raise Malformed(part.path("text"), "or one other kind of content is required")
    thought, mark = part.flag("thought"), part.text("thoughtSignature")
    made: Part
    match kinds[0]:
        case "text" if thought:
            made = Thinking(part.text("text") or "", *uncover(mark or ""))
        case "text":
            made = Text(part.text("text") or "")
        case "functionCall":
            made = _call(part, mark, calls)
        case "functionResponse":
            made = _result(part, calls)
        case kind:
            made = _media(part, kind)
    part.finish()
    return made


def _call(part: GeminiFields, mark: str | None, calls: _Calls) -> ToolCall:
    fields = part.fields("functionCall")
    assert fields is not None
    name = fields.needed_text("name")
    call_id = calls.asked(name, fields.text("id"))
    made = ToolCall(call_id, name, dumps(fields.object("args") or {}), mark)
    fields.finish()
    return made


def _result(part: GeminiFields, calls: _Calls) -> ToolResult:
    """`output` and `error` are the protocol's own names; any other object is the output itself."""
    fields = part.fields("functionResponse")
    assert fields is not None
    call_id = calls.answered(fields.needed_text("name"), fields.text("id"))
    if call_id is None:
        raise Malformed(part.path("functionResponse"), "answers no call before it")
    response = fields.object("response") or {}
    fields.neutral("willContinue", False, why="results come whole")
    fields.neutral("parts", [], why="only text can be carried over as a function's result")
    fields.finish()
    only = next(iter(response)) if len(response) == 1 else None
    said = response[only] if only in ("output", "error") else response
    text = said if isinstance(said, str) else dumps(said)
    return ToolResult(call_id, (Text(text),) if text else (), only == "error")


def _media(part: GeminiFields, kind: str) -> Media:
    fields = part.fields(kind)
    assert fields is not None
    media_type = fields.text("mimeType")
    if kind == "inlineData":
        if media_type is None:
            raise Malformed(fields.path("mimeType"), "is required")
        data, url = standard(fields.needed_text("data")), None
    else:
        data, url = None, fields.needed_text("fileUri")
        if not _ELSEWHERE.match(url):
            raise Untranslatable(fields.path("fileUri"), "the file is kept at one provider")
    family = (media_type or "").partition("/")[0]
    name = fields.text("displayName") if family in _DOCUMENTS else None
    if family not in _DOCUMENTS:
        fields.neutral("displayName", why="only documents have names that can be carried over")
    fields.finish()
    if family == "image":
        return Media("image", media_type, data, url)
    if family == "audio":
        return Media("audio", _SOUNDS.get(media_type or "", media_type), data, url)
    if family in _DOCUMENTS:
        return Media("document", media_type, data, url, name=name)
    raise Untranslatable(fields.path("mimeType"), "only images, sounds and documents can be carried over")
