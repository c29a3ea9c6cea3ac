"""What an answer from a model says, in each protocol that callers speak: in one piece, and event by event.

The callers' side only, written from the vendors' documents: it shares nothing with the gateway or with the
fakes, and judges nothing. How the events come off the wire is the business of `scenarios.clients.ear`.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["READERS", "Reader", "Said", "code_of", "error_in", "parsed", "shown"]

_Fields = dict[str, Any]


@dataclass(slots=True)
class Said:
    """What one answer has said so far. `told` is the error that it told, `odd` what makes no sense in it.

    `tokens` counts events with content, `open` and `closed` the voices (choices) that began and finished;
    `ended` says that the protocol's own end has come.
    """

    words: list[str] = field(default_factory=list)
    calls: dict[object, list[str]] = field(default_factory=dict)
    finish: str | None = None
    usage: _Fields | None = None
    named: str | None = None
    told: str | None = None
    odd: str | None = None
    tokens: int = 0
    first_us: int | None = None
    open: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    ended: bool = False

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def tool_calls(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, arguments) for name, arguments in self.calls.values())

    def say(self, words: object) -> None:
        if isinstance(words, str):
            self.words.append(words)

    def call(self, key: object, *, name: object = None, arguments: object = None) -> None:
        """A tool call begins or goes on."""
        here = self.calls.setdefault(key, ["", ""])
        for place, more in enumerate((name, arguments)):
            if isinstance(more, str):
                here[place] += more

    def names(self, model: object) -> None:
        if isinstance(model, str):
            self.named = model

    def finishes(self, reason: object, voice: int = 0) -> None:
        if isinstance(reason, str):
            self.finish = reason
            self.closed.add(voice)

    def uses(self, usage: object, *, more: bool = False) -> None:
        """The usage that is shown; `more`: in place of the figures it names, beside those before."""
        if isinstance(usage, dict):
            news = {name: count for name, count in usage.items() if not more or count is not None}
            self.usage = {**(self.usage or {}), **news} if more else news


def shown(usage: Mapping[str, Any] | None) -> str | None:
    """Usage as a fact keeps it."""
    return json.dumps(usage, sort_keys=True, separators=(",", ":")) if usage else None


# --- the protocols ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reader:
    """How a protocol is read. An event's reader answers whether it had content."""

    whole: Callable[[Said, _Fields], None]
    event: Callable[[Said, _Fields], bool]
    has_end: bool = True  # a stream has an event that ends it
    has_finish: bool = True  # an answer gives a reason why it ended


def _chat_whole(said: Said, document: _Fields) -> None:
    said.names(document.get("model"))
    said.uses(document.get("usage"))
    for voice, choice in enumerate(_objects(document.get("choices"))):
        _chat_words(said, voice, _object(choice.get("message")))
        said.open.add(voice)
        said.finishes(choice.get("finish_reason"), voice)


def _chat_event(said: Said, document: _Fields) -> bool:
    said.names(document.get("model"))
    said.uses(document.get("usage"))
    content = False
    for choice in _objects(document.get("choices")):
        voice = choice.get("index")
        voice = voice if isinstance(voice, int) else 0
        content = _chat_words(said, voice, _object(choice.get("delta"))) or content
        said.open.add(voice)
        said.finishes(choice.get("finish_reason"), voice)
    return content


def _chat_words(said: Said, voice: int, message: _Fields) -> bool:
    content = False
    for name in ("content", "refusal"):
        said.say(message.get(name))
        content = bool(message.get(name)) or content
    for number, call in enumerate(_objects(message.get("tool_calls"))):
        function = _object(call.get("function"))
        key = (voice, call.get("index", number))
        said.call(key, name=function.get("name"), arguments=function.get("arguments"))
        content = True
    return content


def _responses_whole(said: Said, document: _Fields) -> None:
    said.names(document.get("model"))
    said.uses(document.get("usage"))
    for number, item in enumerate(_objects(document.get("output"))):
        if item.get("type") == "function_call":
            said.call(number, name=item.get("name"), arguments=item.get("arguments"))
        for part in _objects(item.get("content")):
            said.say(part.get("text", part.get("refusal")))
    _responses_end(said, document)


def _responses_end(said: Said, response: _Fields) -> None:
    status = response.get("status")
    if status == "incomplete":
        said.finishes(_object(response.get("incomplete_details")).get("reason") or status)
    elif status == "completed":
        said.finishes(status)


def _responses_event(said: Said, document: _Fields) -> bool:
    match document.get("type"):
        case "response.output_text.delta" | "response.refusal.delta":
            said.say(document.get("delta"))
            return bool(document.get("delta"))
        case "response.output_item.added":
            item = _object(document.get("item"))
            if item.get("type") == "function_call":
                said.call(document.get("output_index"), name=item.get("name"))
                return True
        case "response.function_call_arguments.delta":
            said.call(document.get("output_index"), arguments=document.get("delta"))
            return True
        case "response.failed":
            said.told = code_of(_object(document.get("response")).get("error")) or "failed"
        case "response.created" | "response.completed" | "response.incomplete" as kind:
            response = _object(document.get("response"))
            said.names(response.get("model"))
            said.uses(response.get("usage"))
            if kind != "response.created":
                said.ended = True
                _responses_end(said, response)
        case _:
            pass
    return False


def _anthropic_whole(said: Said, document: _Fields) -> None:
    said.names(document.get("model"))
    said.uses(document.get("usage"))
    for number, block in enumerate(_objects(document.get("content"))):
        if block.get("type") == "text":
            said.say(block.get("text"))
        elif block.get("type") == "tool_use":
            said.call(number, name=block.get("name"), arguments=_compact(block.get("input")))
    said.finishes(document.get("stop_reason"))


def _anthropic_event(said: Said, document: _Fields) -> bool:
    match document.get("type"):
        case "message_start":
            message = _object(document.get("message"))
            said.names(message.get("model"))
            said.uses(message.get("usage"), more=True)
        case "content_block_start":
            block = _object(document.get("content_block"))
            if block.get("type") == "tool_use":
                said.call(document.get("index"), name=block.get("name"))
                return True
            said.say(block.get("text"))
            return bool(block.get("text"))
        case "content_block_delta":
            delta = _object(document.get("delta"))
            if delta.get("type") == "input_json_delta":
                said.call(document.get("index"), arguments=delta.get("partial_json"))
                return True
            if delta.get("type") == "text_delta":
                said.say(delta.get("text"))
                return bool(delta.get("text"))
        case "message_delta":
            said.uses(document.get("usage"), more=True)
            said.finishes(_object(document.get("delta")).get("stop_reason"))
        case "message_stop":
            said.ended = True
        case _:
            pass
    return False


def _gemini(said: Said, document: _Fields) -> bool:
    said.names(document.get("modelVersion"))
    said.uses(document.get("usageMetadata"))
    said.finishes(_object(document.get("promptFeedback")).get("blockReason"))
    content = False
    for candidate in _objects(document.get("candidates")):
        voice = candidate.get("index", 0)
        voice = voice if isinstance(voice, int) else 0
        for part in _objects(_object(candidate.get("content")).get("parts")):
            if part.get("thought") is True:
                continue
            said.say(part.get("text"))
            called = part.get("functionCall")
            if isinstance(called, dict):
                said.call(len(said.calls), name=called.get("name"), arguments=_compact(called.get("args")))
            content = bool(part.get("text")) or isinstance(called, dict) or content
        said.open.add(voice)
        said.finishes(candidate.get("finishReason"), voice)
    return content


def _gemini_whole(said: Said, document: _Fields) -> None:
    _gemini(said, document)


def _embeddings_whole(said: Said, document: _Fields) -> None:
    said.names(document.get("model"))
    said.uses(document.get("usage"))
    said.tokens = sum(bool(one.get("embedding")) for one in _objects(document.get("data")))
    said.odd = None if said.tokens else "empty"


def _never(said: Said, document: _Fields) -> bool:
    said.odd = "no_such_stream"
    return False


READERS: Mapping[str, Reader] = {
    "openai_chat": Reader(_chat_whole, _chat_event),
    "openai_responses": Reader(_responses_whole, _responses_event),
    "anthropic": Reader(_anthropic_whole, _anthropic_event),
    "gemini": Reader(_gemini_whole, _gemini, has_end=False),
    "openai_embeddings": Reader(_embeddings_whole, _never, has_finish=False),
}


# --- small parts --------------------------------------------------------------------------------------


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data.removeprefix(BOM_UTF8).decode())
    except ValueError:
        return None


def _object(value: object) -> _Fields:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[_Fields]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def error_in(document: object) -> str | None:
    """The code of the error that a document tells; None where it tells none."""
    fields = _object(document)
    if fields.get("error"):
        return code_of(fields["error"])
    return code_of(fields) if fields.get("type") == "error" else None


def code_of(error: object) -> str:
    """The narrowest name of an error: its code, its status word, or its type."""
    fields = _object(error)
    for name in ("code", "status", "type"):
        if isinstance(fields.get(name), str) and fields[name]:
            return str(fields[name])
    return "unnamed"
