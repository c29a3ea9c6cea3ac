"""Events → a caller's message stream: named events, blocks one after the other.

Each block is closed before the next begins; what comes while a call is open waits (`held`).
"""

from __future__ import annotations

from typing import Any, assert_never

from refgate.dialects import call_ids
from refgate.dialects.anthropic.answer import stop_reason
from refgate.dialects.canonical import Protocol
from refgate.dialects.error_bodies import stream_error
from refgate.dialects.held import Held
from refgate.dialects.json_text import dumps
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
    Unmetered,
)
from refgate.dialects.sse import encode
from refgate.dialects.usage_text import write_anthropic

__all__ = ["StreamWriter"]


class StreamWriter:
    """Writes one stream; `model` is the name the caller asked for."""

    def __init__(self, *, id: str, model: str) -> None:
        self._id = id
        self._model = model
        self._index = -1  # of the last block that was begun
        self._open: str | None = None  # its kind, while it is open
        self._held = Held()

    def write(self, event: Event) -> bytes:
        return b"" if self._held.keeps(event) else self._tell(event)

    def _tell(self, event: Event) -> bytes:
        match event:
            case Began():
                return self._start()
            case TextSaid(text) | RefusalSaid(text):
                return self._say("text", {"type": "text", "text": ""}, {"type": "text_delta", "text": text})
            case ThoughtSaid(text):
                block = {"type": "thinking", "thinking": "", "signature": ""}
                return self._say("thinking", block, {"type": "thinking_delta", "thinking": text})
            case ThoughtSigned(signature, redacted):
                return self._sign(signature, redacted)
            case CallBegan():
                return self._begin_call(event)
            case CallSaid(_, arguments):
                return self._delta({"type": "input_json_delta", "partial_json": arguments})
            case OtherSaid():
                return b""
            case Done():
                return self._done(event)
            case Broke(fault):
                return stream_error(Protocol.ANTHROPIC, fault)
            case _:
                assert_never(event)

    def _start(self) -> bytes:
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_anthropic(Unmetered()),
        }
        return self._event("message_start", message=message)

    def _say(self, kind: str, block: dict[str, Any], delta: dict[str, Any]) -> bytes:
        head = b"" if self._open == kind else self._begin(kind, block)
        return head + self._delta(delta)

    def _sign(self, signature: str | None, redacted: str | None) -> bytes:
        if redacted is not None:
            return self._begin("redacted", {"type": "redacted_thinking", "data": redacted}) + self._close()
        block = {"type": "thinking", "thinking": "", "signature": ""}
        delta = {"type": "signature_delta", "signature": signature or ""}
        return self._say("thinking", block, delta) + self._close()

    def _begin_call(self, call: CallBegan) -> bytes:
        block = {
            "type": "tool_use",
            "id": call_ids.join(call.id, call.signature),
            "name": call.name,
            "input": {},
        }
        return self._begin("tool_use", block)

    def _begin(self, kind: str, block: dict[str, Any]) -> bytes:
        head = self._close()
        self._index += 1
        self._open = kind
        return head + self._event("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return self._event("content_block_stop", index=self._index)

    def _done(self, done: Done) -> bytes:
        delta = {"stop_reason": stop_reason(done.finish), "stop_sequence": done.stop_sequence}
        usage = write_anthropic(done.usage)
        shown = {
            name: usage[name]
            for name in (
                "input_tokens",
                "cache_creation_input_tokens",
                "cache_read_input_tokens",
                "cache_creation",
                "output_tokens",
                "output_tokens_details",
                "server_tool_use",
            )
            if name in usage
        }
        return (
            b"".join(map(self._tell, self._held.release()))
            + self._close()
            + self._event("message_delta", delta=delta, usage=shown)
            + self._event("message_stop")
        )

    def _event(self, kind: str, **members: Any) -> bytes:
        return encode(dumps({"type": kind, **members}), event=kind)
