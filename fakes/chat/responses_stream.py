"""The Responses object, its items, and the numbered events by which they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fakes.chat.completion import Part, grouped
from fakes.chat.dialect import Event, View, named_event
from fakes.json_text import json_bytes

__all__ = ["ResponsesStream", "item_of", "response_of"]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_CONTENT = {"text": ("output_text", "text"), "refusal": ("refusal", "refusal")}


def response_of(view: View, output: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
    """The whole object at its end: completed, or incomplete with the reason."""
    reason = _INCOMPLETE.get(view.completion.finish)
    status: dict[str, Any] = {"status": "incomplete" if reason else "completed"}
    match view.no_finish:
        case "missing":
            status = {}
        case "null":
            status = {"status": None}
        case "unknown":
            status = {"status": "because"}
        case _:
            pass
    return {
        "id": f"resp_{view.id}",
        "object": "response",
        "created_at": view.created_s,
        **status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": view.model,
        "parallel_tool_calls": True,
        "temperature": 1,
        "top_p": 1,
        "tool_choice": "auto",
        "tools": [],
        "output": [] if view.odd == "empty_choices" else output,
        **usage,
    }


def item_of(view: View, number: int, part: Part, *, begun: bool = False) -> dict[str, Any]:
    """One item of the output; `begun`: as it is when it is added, without its words."""
    status = "in_progress" if begun else "completed"
    match part.kind:
        case "reasoning":
            return {"type": "reasoning", "id": f"rs_{view.id}_{number}", "summary": []}
        case "call":
            return {
                "type": "function_call",
                "id": f"fc_{view.id}_{number}",
                "call_id": f"call_{part.id}",
                "name": part.name,
                "arguments": "" if begun else part.text,
                "status": status,
            }
        case _:
            return {
                "type": "message",
                "id": f"msg_{view.id}_{number}",
                "status": status,
                "role": "assistant",
                "content": [] if begun else [_content(view, part)],
            }


def _content(view: View, part: Part, *, begun: bool = False) -> dict[str, Any]:
    kind, key = _CONTENT[part.kind]
    text: str | None = "" if begun else part.text
    if view.odd == "null_content":
        text = None
    return {"type": kind, key: text} | ({"annotations": []} if kind == "output_text" else {})


class ResponsesStream:
    """Makes the events of one view, numbered from 0."""

    def __init__(self, view: View, usage: dict[str, Any]) -> None:
        self._view = view
        self._usage = usage
        self._number = 0

    def events(self) -> Sequence[Event]:
        return list(self._all())

    def _all(self) -> Iterator[Event]:
        view = self._view
        begun = response_of(view, [], {"usage": None}) | {"status": "in_progress", "incomplete_details": None}
        yield self._event("response.created", lead=True, response=begun)
        yield self._event("response.in_progress", lead=True, response=begun)
        output: list[dict[str, Any]] = []
        parts = () if view.odd == "empty_choices" else view.completion.parts
        for number, part in enumerate(parts):
            item = item_of(view, number, part)
            output.append(item)
            opening = item_of(view, number, part, begun=True)
            yield self._event("response.output_item.added", output_index=number, item=opening)
            if part.kind == "call":
                yield from self._arguments(number, item["id"], part)
            elif part.kind != "reasoning":
                yield from self._words(number, item["id"], part)
            event = self._event("response.output_item.done", output_index=number, item=item)
            if part.kind == "reasoning":  # thought out, and not shown
                event.output_reasoning = len(part.pieces)
            yield event
        if view.no_finish != "missing":
            whole = response_of(view, output, self._usage)
            kind = "incomplete" if whole["status"] == "incomplete" else "completed"
            event = self._event(f"response.{kind}", response=whole)
            event.usage = json_bytes(self._usage["usage"]).decode() if self._usage.get("usage") else None
            yield event

    def _words(self, number: int, item: str, part: Part) -> Iterator[Event]:
        kind, key = _CONTENT[part.kind]
        at: dict[str, Any] = {"item_id": item, "output_index": number, "content_index": 0}
        logprobs: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        opening = _content(self._view, part, begun=True)
        yield self._event("response.content_part.added", **at, part=opening)
        for pieces in grouped(part.pieces, self._view.pieces):
            text = "".join(pieces)
            shown = None if self._view.odd == "null_content" else text
            event = self._event(f"response.{kind}.delta", **at, delta=shown, **logprobs)
            event.text, event.output_text = text, len(pieces)
            yield event
        done: dict[str, Any] = at | {key: part.text} | logprobs
        yield self._event(f"response.{kind}.done", **done)
        yield self._event("response.content_part.done", **at, part=_content(self._view, part))

    def _arguments(self, number: int, item: str, part: Part) -> Iterator[Event]:
        at: dict[str, Any] = {"item_id": item, "output_index": number}
        for pieces in grouped(part.pieces, self._view.pieces):
            event = self._event("response.function_call_arguments.delta", **at, delta="".join(pieces))
            event.output_text = len(pieces)
            yield event
        done: dict[str, Any] = {"name": part.name, "arguments": part.text}
        yield self._event("response.function_call_arguments.done", **at, **done)

    def _event(self, kind: str, *, lead: bool = False, **rest: Any) -> Event:
        document = {"type": kind, "sequence_number": self._number, **rest}
        self._number += 1
        return Event(named_event(kind, document), lead=lead)
