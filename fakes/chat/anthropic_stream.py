"""The events of one Anthropic message: start, blocks with their deltas, the delta of the whole, stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from fakes.chat.completion import Part, grouped
from fakes.chat.dialect import Emitted, Event, View, named_event
from fakes.chat.tokens import Tokens
from fakes.json_text import json_bytes

__all__ = ["AnthropicStream", "UsageWriter", "stop_of"]

_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refusal": "refusal",
    "content_filter": "refusal",
}
_DELTAS = {
    "reasoning": ("thinking_delta", "thinking"),
    "call": ("input_json_delta", "partial_json"),
    "text": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
}

_CUMULATIVE = frozenset(
    {
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
    }
)
"""What is told again with a change of the whole message."""


class UsageWriter(Protocol):
    """Who words usage."""

    def usage_field(self, view: View, tokens: Tokens, key: str = "usage") -> dict[str, Any]: ...


def stop_of(view: View) -> dict[str, Any]:
    """Why the message ended, as the view shows it."""
    reason: str | None = _STOP[view.completion.finish]
    match view.no_finish:
        case "missing":
            return {}
        case "null":
            reason = None
        case "unknown":
            reason = "because"
        case _:
            pass
    stop: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reason == "refusal":
        stop["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return stop


class AnthropicStream:
    """Makes the events of one view."""

    def __init__(self, usages: UsageWriter, view: View) -> None:
        self._usages = usages
        self._view = view
        self._emitted = Emitted(view.tokens)

    def events(self) -> Sequence[Event]:
        return list(self._all())

    def _all(self) -> Iterator[Event]:
        view, kind = self._view, self._view.usage
        yield self._start()
        opened = False
        parts = () if view.odd == "empty_choices" else view.completion.parts
        for index, part in enumerate(parts):
            for event in self._block(index, part):
                yield event
                if not opened:  # One is sent early on by habit.
                    opened = True
                    yield self._event("ping", lead=True)
        if kind == "early":
            yield self._delta({"stop_reason": None, "stop_sequence": None}, view.tokens)
        if view.no_finish != "missing":
            yield self._delta(stop_of(view), None if kind in ("late", "early") else view.tokens)
            if kind == "twice":
                yield self._delta(stop_of(view), view.tokens)
        yield self._event("message_stop")
        if kind == "late":
            yield self._delta(stop_of(view), view.tokens)

    def _start(self) -> Event:
        view = self._view
        # The first figure of the output is provisional: one token, for the message that begins.
        provisional = self._emitted.so_far.by_class() | {"output_text": 1}
        usage = self._usages.usage_field(view, Tokens(**provisional))
        message = {
            "id": f"msg_{view.id}",
            "type": "message",
            "role": "assistant",
            "model": view.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            **usage,
        }
        event = self._event("message_start", lead=True, message=message)
        event.usage = _shown(usage)
        return event

    def _block(self, index: int, part: Part) -> Iterator[Event]:
        view = self._view
        delta, key = _DELTAS[part.kind]
        yield self._event("content_block_start", lead=True, index=index, content_block=_opening(part))
        for pieces in grouped(part.pieces, view.pieces):
            text = "".join(pieces)
            shown = None if view.odd == "null_content" and key == "text" else text
            event = self._event("content_block_delta", index=index, delta={"type": delta, key: shown})
            if part.kind == "reasoning":
                event.output_reasoning = len(pieces)
            else:
                event.output_text = len(pieces)
                event.text = text if part.kind != "call" else ""
            self._emitted.add(text=event.output_text, reasoning=event.output_reasoning)
            yield event
            if view.usage == "every_event":
                yield self._delta({"stop_reason": None, "stop_sequence": None}, self._emitted.so_far)
        if part.kind == "reasoning":
            signature = {"type": "signature_delta", "signature": f"sig-{view.id}"}
            yield self._event("content_block_delta", index=index, delta=signature)
        yield self._event("content_block_stop", index=index)

    def _delta(self, stop: dict[str, Any], tokens: Tokens | None) -> Event:
        """A change of the whole message; its usage is what there is so far, without the split of writes."""
        usage = {} if tokens is None else self._usages.usage_field(self._view, tokens)
        if usage.get("usage"):
            usage = {"usage": {name: count for name, count in usage["usage"].items() if name in _CUMULATIVE}}
        event = self._event("message_delta", delta=stop, **usage)
        event.usage = _shown(usage)
        return event

    def _event(self, kind: str, *, lead: bool = False, **rest: Any) -> Event:
        return Event(named_event(kind, {"type": kind, **rest}), lead=lead)


def _opening(part: Part) -> dict[str, Any]:
    match part.kind:
        case "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "call":
            return {"type": "tool_use", "id": f"toolu_{part.id}", "name": part.name, "input": {}}
        case _:
            return {"type": "text", "text": ""}


def _shown(usage: dict[str, Any]) -> str | None:
    return json_bytes(usage["usage"]).decode() if usage.get("usage") else None
