"""A chat completion: a provider's body → Answer or Broke; Answer → a caller's body."""

from __future__ import annotations

from typing import Any

from refgate.dialects import call_ids
from refgate.dialects.canonical import Part, Refusal, Text, Thinking, ToolCall
from refgate.dialects.faults import broken, failed, fault_in_body
from refgate.dialects.json_text import as_list, as_map, as_text
from refgate.dialects.spoken import Answer, Broke, Finish
from refgate.dialects.usage import read_openai_chat
from refgate.dialects.usage_text import write_openai_chat

__all__ = ["FINISH", "finish_word", "made_call_id", "read_answer", "text_of", "write_answer"]

FINISH = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}
"""The protocol's words for why the model stopped."""


def read_answer(body: Any) -> Answer | Broke:
    """A 2xx body, read. An error in it, or no choice at all, is no answer."""
    fault = fault_in_body(body)
    if fault is not None:
        return failed(fault, read_openai_chat(as_map(body).get("usage")))
    choices = [as_map(one) for one in as_list(as_map(body).get("choices"))]
    if not choices:
        return failed(broken("the answer has no choices"), read_openai_chat(body.get("usage")))
    notes: list[str] = []
    choice = choices[0]
    word = choice.get("finish_reason")
    finish = FINISH.get(word) if isinstance(word, str) else None
    if finish is None:
        notes.append("finish_missing" if word is None else "finish_unknown")
    message = as_map(choice.get("message"))
    if message.get("audio") is not None:
        notes.append("parts_left_out")
    parts = _parts(message, as_text(body.get("id")))
    if any(isinstance(part, ToolCall) and not part.name for part in parts):
        return failed(broken("a tool call has no name"), read_openai_chat(body.get("usage")))
    if finish is Finish.STOP and any(isinstance(part, ToolCall) for part in parts):
        finish = Finish.TOOL_CALLS  # a call that was demanded by name ends with `stop`
    elif finish is Finish.STOP and any(isinstance(part, Refusal) for part in parts):
        finish = Finish.REFUSAL
    tier = body.get("service_tier")
    return Answer(
        id=as_text(body.get("id")),
        model=as_text(body.get("model")),
        parts=parts,
        finish=finish or Finish.STOP,
        usage=read_openai_chat(body.get("usage")),
        service_tier=tier if isinstance(tier, str) else None,
        notes=tuple(notes),
        others=tuple(text_of(as_map(one.get("message"))) for one in choices[1:]),
    )


def made_call_id(answer_id: str, number: int) -> str:
    """An id for a call that came without one, as the legacy form and some backends have it."""
    return f"call_{answer_id}_{number}"


def _parts(message: dict[str, Any], answer_id: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    thought = as_text(message.get("reasoning_content")) or as_text(message.get("reasoning"))
    if thought:
        parts.append(Thinking(thought))
    if as_text(message.get("content")):
        parts.append(Text(message["content"]))
    if as_text(message.get("refusal")):
        parts.append(Refusal(message["refusal"]))
    calls = [as_map(one) for one in as_list(message.get("tool_calls"))]
    if isinstance(message.get("function_call"), dict):
        calls.append({"function": message["function_call"]})
    for number, call in enumerate(calls):
        function = as_map(call.get("function"))
        call_id = as_text(call.get("id")) or made_call_id(answer_id, number)
        parts.append(ToolCall(call_id, as_text(function.get("name")), as_text(function.get("arguments"))))
    return tuple(parts)


def text_of(message: dict[str, Any]) -> str:
    """All that a message (or a delta) of a further choice says, for counting."""
    said = [as_text(message.get(name)) for name in ("reasoning_content", "content", "refusal")]
    said += [
        as_text(as_map(as_map(one).get("function")).get("arguments"))
        for one in as_list(message.get("tool_calls"))
    ]
    return "".join(said)


def finish_word(finish: Finish) -> str:
    """Why the model stopped, in this protocol's words. A refusal says so in its own field."""
    match finish:
        case Finish.LENGTH | Finish.TOOL_CALLS | Finish.CONTENT_FILTER:
            return finish.value
        case _:
            return "stop"


def write_answer(answer: Answer, *, id: str, model: str, created_s: int) -> dict[str, Any]:
    """`model` is the name the caller asked for. Thought goes where other OpenAI-like services put it."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _joined(answer, Text),
        "refusal": _joined(answer, Refusal),
    }
    thought = _joined(answer, Thinking)
    if thought:
        message["reasoning_content"] = thought
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    if calls:
        message["tool_calls"] = [
            {
                "id": call_ids.join(call.id, call.signature),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    body: dict[str, Any] = {
        "id": id,
        "object": "chat.completion",
        "created": created_s,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_word(answer.finish)}
        ],
    }
    usage = write_openai_chat(answer.usage)
    if usage is not None:
        body["usage"] = usage
    return body


def _joined(answer: Answer, kind: type[Text] | type[Refusal] | type[Thinking]) -> str | None:
    texts = [part.text for part in answer.parts if isinstance(part, kind)]
    return "".join(texts) if texts else None
