"""Events → a caller's chat completion stream, byte for byte what an OpenAI SDK expects."""

from __future__ import annotations

from typing import Any, assert_never

from refgate.dialects import call_ids
from refgate.dialects.canonical import Protocol
from refgate.dialects.error_bodies import stream_error
from refgate.dialects.json_text import dumps
from refgate.dialects.openai_chat.answer import finish_word
from refgate.dialects.spoken import (
    Began,
    Broke,
    CallBegan,
    CallSaid,
    Done,
    Event,
    OtherSaid,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
)
from refgate.dialects.sse import encode
from refgate.dialects.usage_text import write_openai_chat

__all__ = ["StreamWriter"]


class StreamWriter:
    """Writes one stream; `model` is the name the caller asked for."""

    def __init__(self, *, id: str, model: str, created_s: int, include_usage: bool) -> None:
        self._head: dict[str, Any] = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": model,
        }
        self._include_usage = include_usage

    def write(self, event: Event) -> bytes:
        match event:
            case Began():
                return self._delta({"role": "assistant", "content": "", "refusal": None})
            case TextSaid(text):
                return self._delta({"content": text})
            case ThoughtSaid(text):
                return self._delta({"reasoning_content": text})
            case ThoughtSigned() | OtherSaid():
                return b""
            case RefusalSaid(text):
                return self._delta({"refusal": text})
            case CallBegan(index, call_id, name, signature):
                function = {"name": name, "arguments": ""}
                shown = call_ids.join(call_id, signature)
                return self._call({"index": index, "id": shown, "type": "function", "function": function})
            case CallSaid(index, arguments):
                return self._call({"index": index, "function": {"arguments": arguments}})
            case Done():
                return self._done(event)
            case Broke(fault):
                return stream_error(Protocol.OPENAI_CHAT, fault)
        assert_never(event)

    def _done(self, done: Done) -> bytes:
        last = self._delta({}, finish_word(done.finish))
        if self._include_usage:
            usage = write_openai_chat(done.usage)
            if usage is not None:
                last += encode(dumps({**self._head, "choices": [], "usage": usage}))
        return last + encode("[DONE]")

    def _call(self, call: dict[str, Any]) -> bytes:
        return self._delta({"tool_calls": [call]})

    def _delta(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk: dict[str, Any] = {**self._head, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return encode(dumps(chunk))
