"""Events → a caller's Responses stream: numbered events, each item opened, told and closed in order.

What comes while a call's item is open waits (`held`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from refgate.dialects import call_ids
from refgate.dialects.canonical import Protocol
from refgate.dialects.error_bodies import stream_error
from refgate.dialects.held import Held
from refgate.dialects.json_text import dumps
from refgate.dialects.responses.answer import response_object, status_of
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
from refgate.dialects.usage_text import write_responses

__all__ = ["StreamWriter"]


class StreamWriter:
    """Writes one stream; `asked` is the caller's body, parts of which the response repeats."""

    def __init__(self, *, id: str, model: str, created_s: int, asked: Mapping[str, Any]) -> None:
        self._id = id
        self._head = response_object(asked, id=id, model=model, created_s=created_s, status="in_progress")
        self._sequence = 0
        self._items: list[dict[str, Any]] = []  # closed, and the open one last
        self._open: str | None = None  # the type of the open item
        self._said: list[str] = []  # pieces of the open content
        self._content: str | None = None  # the type of the open content part
        self._held = Held()

    def write(self, event: Event) -> bytes:
        return b"" if self._held.keeps(event) else self._tell(event)

    def _tell(self, event: Event) -> bytes:
        match event:
            case Began():
                return self._event("response.created", response=self._head) + self._event(
                    "response.in_progress", response=self._head
                )
            case TextSaid(text):
                told = self._part("output_text")
                return told + self._in_part("response.output_text.delta", delta=text, logprobs=[])
            case RefusalSaid(text):
                return self._part("refusal") + self._in_part("response.refusal.delta", delta=text)
            case ThoughtSaid(text):
                told = self._thinking()
                self._said.append(text)
                return told + self._in_summary("response.reasoning_summary_text.delta", delta=text)
            case ThoughtSigned(signature, redacted):
                told = self._thinking(fresh=redacted is not None)
                self._items[-1]["encrypted_content"] = redacted if redacted is not None else signature
                return told + self._close()
            case CallBegan():
                return self._begin_call(event)
            case CallSaid(_, arguments):
                self._said.append(arguments)
                return self._in_item("response.function_call_arguments.delta", delta=arguments)
            case OtherSaid():
                return b""
            case Done():
                return self._done(event)
            case Broke(fault):
                return stream_error(Protocol.OPENAI_RESPONSES, fault, sequence=self._sequence)
            case _:
                assert_never(event)

    def _begin(self, item: dict[str, Any]) -> bytes:
        told = self._close()
        self._items.append(item)
        self._open = item["type"]
        self._said = []
        return told + self._event("response.output_item.added", output_index=self._index, item=item)

    def _part(self, kind: str) -> bytes:
        """Opens the message and its content part, where they are not open."""
        told = b""
        if self._open != "message":
            item_id = f"msg_{self._id}_{len(self._items)}"
            told = self._begin(
                {
                    "type": "message",
                    "id": item_id,
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [],
                }
            )
        if self._content == kind:
            return told
        told += self._close_part()
        self._content = kind
        self._said = []
        part = self._shown_part("")
        return told + self._event("response.content_part.added", **self._place(), part=part)

    def _in_part(self, kind: str, *, delta: str, **members: Any) -> bytes:
        self._said.append(delta)
        return self._event(kind, **self._place(), delta=delta, **members)

    def _thinking(self, *, fresh: bool = False) -> bytes:
        if self._open == "reasoning" and not fresh:
            return b""
        item_id = f"rs_{self._id}_{len(self._items)}"
        item: dict[str, Any] = {"type": "reasoning", "id": item_id, "summary": [], "encrypted_content": None}
        told = self._begin(item)
        if fresh:
            return told
        part = {"type": "summary_text", "text": ""}
        return told + self._in_summary("response.reasoning_summary_part.added", part=part)

    def _begin_call(self, call: CallBegan) -> bytes:
        return self._begin(
            {
                "type": "function_call",
                "id": f"fc_{self._id}_{len(self._items)}",
                "call_id": call_ids.join(call.id, call.signature),
                "name": call.name,
                "arguments": "",
                "status": "in_progress",
            }
        )

    def _close_part(self) -> bytes:
        if self._content is None:
            return b""
        text = "".join(self._said)
        kind, part = self._content, self._shown_part(text)
        place = self._place()
        self._items[-1] = {**self._items[-1], "content": [*self._items[-1]["content"], part]}
        self._content = None
        if kind == "refusal":
            told = self._event("response.refusal.done", **place, refusal=text)
        else:
            told = self._event("response.output_text.done", **place, text=text, logprobs=[])
        return told + self._event("response.content_part.done", **place, part=part)

    def _close(self) -> bytes:
        """Ends the open item."""
        if self._open is None:
            return b""
        told = self._close_part()
        text = "".join(self._said)
        if self._open == "reasoning":
            if self._said:
                part = {"type": "summary_text", "text": text}
                told += self._in_summary("response.reasoning_summary_text.done", text=text)
                told += self._in_summary("response.reasoning_summary_part.done", part=part)
                self._items[-1] = {**self._items[-1], "summary": [part]}
        else:
            self._items[-1] = {**self._items[-1], "status": "completed"}
        if self._open == "function_call":
            self._items[-1]["arguments"] = text
            told += self._in_item("response.function_call_arguments.done", arguments=text)
        self._open = None
        self._said = []
        item = self._items[-1]
        return told + self._event("response.output_item.done", output_index=self._index, item=item)

    def _done(self, done: Done) -> bytes:
        told = b"".join(map(self._tell, self._held.release())) + self._close()
        status, details = status_of(done.finish)
        response = {
            **self._head,
            "status": status,
            "incomplete_details": details,
            "output": self._items,
            "usage": write_responses(done.usage),
        }
        return told + self._event(f"response.{status}", response=response)

    @property
    def _index(self) -> int:
        return len(self._items) - 1

    def _shown_part(self, text: str) -> dict[str, Any]:
        if self._content == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _place(self) -> dict[str, Any]:
        item = self._items[-1]
        return {"item_id": item["id"], "output_index": self._index, "content_index": len(item["content"])}

    def _in_item(self, kind: str, **members: Any) -> bytes:
        return self._event(kind, item_id=self._items[-1]["id"], output_index=self._index, **members)

    def _in_summary(self, kind: str, **members: Any) -> bytes:
        return self._in_item(kind, summary_index=0, **members)

    def _event(self, kind: str, **members: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._sequence, **members}
        self._sequence += 1
        return encode(dumps(data), event=kind)
