"""A Responses object: a provider's body → Answer or Broke; Answer → a caller's body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from refgate.dialects import call_ids
from refgate.dialects.assembly import merged
from refgate.dialects.canonical import Media, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from refgate.dialects.faults import broken, failed, fault_in_body
from refgate.dialects.json_text import as_list, as_map, as_text
from refgate.dialects.spoken import Answer, Broke, Finish
from refgate.dialects.usage import read_responses
from refgate.dialects.usage_text import write_responses

__all__ = ["finish_of", "read_answer", "response_object", "status_of", "write_answer"]

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "max_output_tokens": None,
    "reasoning": None,
    "text": {"format": {"type": "text"}},
    "truncation": "disabled",
}
"""Fields of the request that the answer repeats, and what stands there when the caller sent none."""


def read_answer(body: Any) -> Answer | Broke:
    """A 2xx body, read. `failed` is a failure, whatever the HTTP status said; `incomplete` is an answer."""
    usage = read_responses(as_map(body).get("usage"))
    fault = fault_in_body(body)
    if fault is not None:
        return failed(fault, usage)
    finish = finish_of(body)
    if finish is None or not isinstance(body.get("output"), list):
        return failed(broken(f"the response has no end: {as_text(body.get('status'))[:40]}"), usage)
    notes: list[str] = []
    parts: list[Part] = []
    for one in body["output"]:
        made = _parts(as_map(one))
        if made is None:
            notes.append("parts_left_out")
        else:
            parts += made
    if finish is Finish.STOP and any(isinstance(part, ToolCall) for part in parts):
        finish = Finish.TOOL_CALLS
    elif finish is Finish.STOP and any(isinstance(part, Refusal) for part in parts):
        finish = Finish.REFUSAL
    return Answer(
        id=as_text(body.get("id")),
        model=as_text(body.get("model")),
        parts=merged(parts),
        finish=finish,
        usage=usage,
        service_tier=as_text(body.get("service_tier")) or None,
        notes=tuple(dict.fromkeys(notes)),
    )


def finish_of(response: dict[str, Any]) -> Finish | None:
    """Why a response that has ended did so; None for one that has not, or failed."""
    match response.get("status"):
        case "completed":
            return Finish.STOP
        case "incomplete":
            reason = as_map(response.get("incomplete_details")).get("reason")
            return Finish.CONTENT_FILTER if reason == "content_filter" else Finish.LENGTH
        case _:
            return None


def _parts(item: dict[str, Any]) -> list[Part] | None:
    match item.get("type"):
        case "message":
            parts: list[Part] = []
            for one in as_list(item.get("content")):
                said = as_map(one)
                if said.get("type") == "refusal":
                    parts.append(Refusal(as_text(said.get("refusal"))))
                else:
                    parts.append(Text(as_text(said.get("text"))))
            return parts
        case "function_call":
            return [
                ToolCall(
                    as_text(item.get("call_id")), as_text(item.get("name")), as_text(item.get("arguments"))
                )
            ]
        case "reasoning":
            summary = "".join(as_text(as_map(one).get("text")) for one in as_list(item.get("summary")))
            sealed = item.get("encrypted_content")
            return [Thinking(summary, sealed if isinstance(sealed, str) else None)]
        case _:
            return None


def status_of(finish: Finish) -> tuple[str, dict[str, str] | None]:
    """The status of an answer that ended so, and its incomplete_details."""
    match finish:
        case Finish.LENGTH:
            return "incomplete", {"reason": "max_output_tokens"}
        case Finish.CONTENT_FILTER:
            return "incomplete", {"reason": "content_filter"}
        case _:
            return "completed", None


def _items_of(answer_id: str, parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    """The output items; their ids are made from the answer's. Text and refusals in a row are one message."""
    items: list[dict[str, Any]] = []
    for part in parts:
        number = len(items)
        match part:
            case Text() | Refusal():
                if not items or items[-1]["type"] != "message":
                    items.append(
                        {
                            "type": "message",
                            "id": f"msg_{answer_id}_{number}",
                            "status": "completed",
                            "role": "assistant",
                            "content": [],
                        }
                    )
                items[-1]["content"].append(_content(part))
            case Thinking(text, signature, redacted):
                items.append(
                    {
                        "type": "reasoning",
                        "id": f"rs_{answer_id}_{number}",
                        "summary": [{"type": "summary_text", "text": text}] if text else [],
                        "encrypted_content": redacted if redacted is not None else signature,
                    }
                )
            case ToolCall(call_id, name, arguments, mark):
                items.append(
                    {
                        "type": "function_call",
                        "id": f"fc_{answer_id}_{number}",
                        "call_id": call_ids.join(call_id, mark),
                        "name": name,
                        "arguments": arguments,
                        "status": "completed",
                    }
                )
            case Media() | ToolResult():
                raise ValueError("no answer holds such a part")
            case _:
                assert_never(part)
    return items


def _content(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}


def response_object(
    asked: Mapping[str, Any], *, id: str, model: str, created_s: int, status: str
) -> dict[str, Any]:
    """The object without output and usage. `asked` is the caller's body, parts of which it repeats."""
    head: dict[str, Any] = {
        "id": id,
        "object": "response",
        "created_at": created_s,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "store": False,
        "usage": None,
    }
    for name, default in _ECHOED.items():
        head[name] = asked[name] if asked.get(name) is not None else default
    return head


def write_answer(
    answer: Answer, *, id: str, model: str, created_s: int, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """`model` is the name the caller asked for."""
    status, details = status_of(answer.finish)
    body = response_object(asked, id=id, model=model, created_s=created_s, status=status)
    body["incomplete_details"] = details
    body["output"] = _items_of(id, answer.parts)
    body["usage"] = write_responses(answer.usage)
    return body
