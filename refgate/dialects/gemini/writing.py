"""An answer for a Gemini caller: one body, or a stream of them, each a whole response object.

Calls come whole here: what is said from the first call on waits for the answer's end. Arguments that are no
JSON object end the answer as the vendor itself ends it, with MALFORMED_FUNCTION_CALL. Thoughts are told to
those who asked for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

from refgate.dialects.assembly import Assembly
from refgate.dialects.canonical import Media, Part, Protocol, Refusal, Text, Thinking, ToolCall, ToolResult
from refgate.dialects.error_bodies import stream_error
from refgate.dialects.gemini.signatures import cover
from refgate.dialects.json_text import dumps
from refgate.dialects.spoken import (
    Answer,
    Began,
    Broke,
    CallBegan,
    CallSaid,
    Done,
    Event,
    Finish,
    Metered,
    OtherSaid,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
)
from refgate.dialects.sse import encode
from refgate.dialects.usage_text import write_gemini
from refgate.money import loads_exact

__all__ = ["StreamWriter", "finish_reason", "write_answer"]

_MALFORMED = "MALFORMED_FUNCTION_CALL"


def finish_reason(finish: Finish) -> str:
    """Why the model stopped, in this protocol's words. Nobody must take a refusal for an answer."""
    match finish:
        case Finish.LENGTH:
            return "MAX_TOKENS"
        case Finish.CONTENT_FILTER | Finish.REFUSAL:
            return "SAFETY"
        case _:
            return "STOP"


def write_answer(answer: Answer, *, id: str, model: str, thoughts: bool) -> dict[str, Any]:
    """`model` is the name the caller asked for."""
    parts, sound = _shown(answer.parts, thoughts)
    word = finish_reason(answer.finish) if sound else _MALFORMED
    return _response(parts, word, answer.usage, id=id, model=model)


class StreamWriter:
    """Writes one stream; `model` is the name the caller asked for."""

    def __init__(self, *, id: str, model: str, thoughts: bool) -> None:
        self._id = id
        self._model = model
        self._thoughts = thoughts
        self._waiting: Assembly | None = None  # what was said since the first call

    def write(self, event: Event) -> bytes:
        match event:
            case Began() | OtherSaid():
                return b""
            case Done():
                return self._done(event)
            case Broke(fault):
                return stream_error(Protocol.GEMINI, fault)
            case CallBegan():
                self._waiting = self._waiting or Assembly()
        if self._waiting is not None:
            self._waiting.take(event)
            return b""
        match event:
            case TextSaid(text) | RefusalSaid(text):
                return self._said([{"text": text}])
            case ThoughtSaid(text):
                return self._said([_thought(Thinking(text))]) if self._thoughts else b""
            case ThoughtSigned(signature, redacted):
                return self._signed(signature, redacted)
            case CallBegan() | CallSaid():
                raise ValueError("a call says nothing before it began")
        assert_never(event)

    def _done(self, done: Done) -> bytes:
        parts, sound = _shown(self._waiting.parts if self._waiting is not None else (), self._thoughts)
        head = b"".join(self._said([part]) for part in parts)
        word = finish_reason(done.finish) if sound else _MALFORMED
        return head + self._chunk([], word, done.usage)

    def _signed(self, signature: str | None, redacted: str | None) -> bytes:
        return self._said([_thought(Thinking("", signature, redacted))]) if self._thoughts else b""

    def _said(self, parts: list[dict[str, Any]]) -> bytes:
        return self._chunk(parts, None, None)

    def _chunk(self, parts: list[dict[str, Any]], word: str | None, usage: Metered | None) -> bytes:
        return encode(dumps(_response(parts, word, usage, id=self._id, model=self._model)))


def _response(
    parts: list[dict[str, Any]], word: str | None, usage: Metered | None, *, id: str, model: str
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}}
    if word is not None:
        candidate["finishReason"] = word
    body: dict[str, Any] = {"candidates": [{**candidate, "index": 0}]}
    figures = write_gemini(usage) if usage is not None else None
    if figures is not None:
        body["usageMetadata"] = figures
    return {**body, "modelVersion": model, "responseId": id}


def _shown(parts: Iterable[Part], thoughts: bool) -> tuple[list[dict[str, Any]], bool]:
    """The parts, and whether every call among them could be shown."""
    shown: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(text) | Refusal(text):
                shown.append({"text": text})
            case Thinking():
                shown += [_thought(part)] if thoughts else []
            case ToolCall():
                call = _call(part)
                if call is None:
                    return shown, False
                shown.append(call)
            case Media() | ToolResult():
                raise ValueError("no answer holds such a part")
            case _:
                assert_never(part)
    return shown, True


def _thought(thought: Thinking) -> dict[str, Any]:
    part: dict[str, Any] = {"text": thought.text, "thought": True}
    if thought.signature is not None or thought.redacted is not None:
        part["thoughtSignature"] = cover(thought.signature, thought.redacted)
    return part


def _call(call: ToolCall) -> dict[str, Any] | None:
    """None where the arguments are no JSON object."""
    try:
        given = loads_exact(call.arguments or "{}")
    except ValueError:
        return None
    if not isinstance(given, dict):
        return None
    part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": given}}
    if call.signature is not None:
        part["thoughtSignature"] = call.signature
    return part
