"""A message: a provider's body → Answer or Broke; Answer → a caller's body."""

from __future__ import annotations

from typing import Any, assert_never

from refgate.dialects import call_ids
from refgate.dialects.assembly import merged
from refgate.dialects.canonical import Media, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from refgate.dialects.faults import broken, failed, fault_in_body
from refgate.dialects.json_text import as_map, as_text, dumps
from refgate.dialects.spoken import Answer, Broke, Fault, Finish
from refgate.dialects.usage import read_anthropic
from refgate.dialects.usage_text import write_anthropic
from refgate.money import loads_exact

__all__ = ["STOP_REASONS", "read_answer", "stop_reason", "tier_of", "write_answer"]

STOP_REASONS = {
    "end_turn": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "tool_use": Finish.TOOL_CALLS,
    "pause_turn": Finish.PAUSE,
    "refusal": Finish.REFUSAL,
}
"""The protocol's words for why the model stopped."""


def read_answer(body: Any) -> Answer | Broke:
    """A 2xx body, read. An error in it, or anything but a message, is no answer."""
    fault = fault_in_body(body)
    if fault is not None:
        return failed(fault, read_anthropic(as_map(body).get("usage")))
    if not isinstance(body.get("content"), list):
        return failed(broken("the answer has no content"), read_anthropic(body.get("usage")))
    word = body.get("stop_reason")
    finish = STOP_REASONS.get(word) if isinstance(word, str) else None
    notes: tuple[str, ...] = ()
    if finish is None:
        notes = ("finish_missing" if word is None else "finish_unknown",)
    parts = [_part(as_map(one)) for one in body["content"]]
    if None in parts:
        notes = (*notes, "parts_left_out")
    sequence = body.get("stop_sequence")
    return Answer(
        id=as_text(body.get("id")),
        model=as_text(body.get("model")),
        parts=merged(part for part in parts if part is not None),
        finish=finish or Finish.STOP,
        usage=read_anthropic(body.get("usage")),
        stop_sequence=sequence if isinstance(sequence, str) else None,
        service_tier=tier_of(body.get("usage")),
        notes=notes,
    )


def tier_of(usage: Any) -> str | None:
    """What multiplies the price: the service tier, and the speed where it is not the standard one."""
    said = as_map(usage)
    tier, speed = as_text(said.get("service_tier")), as_text(said.get("speed"))
    if speed and speed != "standard":
        return f"{tier}/{speed}" if tier else speed
    return tier or None


def _part(block: dict[str, Any]) -> Part | None:
    """None for a block that only means something to callers of this protocol (a server's tool)."""
    match block.get("type"):
        case "text":
            return Text(as_text(block.get("text")))
        case "thinking":
            return Thinking(as_text(block.get("thinking")), as_text(block.get("signature")) or None)
        case "redacted_thinking":
            return Thinking("", None, as_text(block.get("data")))
        case "tool_use":
            given = block.get("input")
            return ToolCall(
                as_text(block.get("id")), as_text(block.get("name")), dumps(given) if as_map(given) else "{}"
            )
        case _:
            return None


def stop_reason(finish: Finish) -> str:
    """Why the model stopped, in this protocol's words."""
    match finish:
        case Finish.STOP:
            return "end_turn"
        case Finish.STOP_SEQUENCE:
            return "stop_sequence"
        case Finish.LENGTH:
            return "max_tokens"
        case Finish.TOOL_CALLS:
            return "tool_use"
        case Finish.CONTENT_FILTER | Finish.REFUSAL:
            return "refusal"
        case Finish.PAUSE:
            return "pause_turn"
        case _:
            assert_never(finish)


def write_answer(answer: Answer, *, id: str, model: str) -> dict[str, Any] | Fault:
    """`model` is the name the caller asked for. A Fault where arguments are no JSON object.

    The protocol has no way to hand on what the model garbled, and a caller must not take it for `{}`.
    """
    content: list[dict[str, Any]] = []
    for part in answer.parts:
        block = _block(part)
        if block is None:
            return broken("the arguments of a tool call are not a JSON object")
        content.append(block)
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason(answer.finish),
        "stop_sequence": answer.stop_sequence,
        "usage": write_anthropic(answer.usage),
    }


def _block(part: Part) -> dict[str, Any] | None:
    match part:
        case Text(text) | Refusal(text):
            return {"type": "text", "text": text}
        case Thinking(text, signature, redacted):
            if redacted is not None:
                return {"type": "redacted_thinking", "data": redacted}
            return {"type": "thinking", "thinking": text, "signature": signature or ""}
        case ToolCall(call_id, name, arguments, mark):
            try:
                given = loads_exact(arguments or "{}")
            except ValueError:
                return None
            if not isinstance(given, dict):
                return None
            return {"type": "tool_use", "id": call_ids.join(call_id, mark), "name": name, "input": given}
        case Media() | ToolResult():
            raise ValueError("no answer holds such a part")
        case _:
            assert_never(part)
