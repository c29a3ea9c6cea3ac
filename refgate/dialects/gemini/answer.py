"""A provider's GenerateContentResponse → Answer or Broke; also what one chunk of a stream says.

Calls end with STOP like everything else, and may come without an id: then one is made from `call_prefix`,
which the caller of this module keeps unique.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refgate.dialects.assembly import merged
from refgate.dialects.canonical import Part, Text, Thinking, ToolCall
from refgate.dialects.faults import broken, failed, fault_in_body
from refgate.dialects.gemini.outgoing import MADE_ID
from refgate.dialects.json_text import as_list, as_map, as_text, dumps
from refgate.dialects.spoken import Answer, Broke, Fault, FaultKind, Finish
from refgate.dialects.usage import read_gemini

__all__ = ["Chunk", "end_of", "read_answer", "read_chunk", "text_of"]

_FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
_FAILED = frozenset(
    {
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    }
)
"""The model stopped without an answer: nobody must take what it said for one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one response object says. `word` is its finish reason, or that the prompt was blocked."""

    id: str
    model: str
    parts: tuple[Part, ...]
    word: str | None
    left_out: bool
    tier: str | None


def read_answer(body: Any, *, call_prefix: str) -> Answer | Broke:
    """A 2xx body, read. An error in it, or a model that failed, is no answer."""
    fault = fault_in_body(body)
    usage = read_gemini(as_map(body).get("usageMetadata"))
    if fault is not None:
        return failed(fault, usage)
    if "candidates" not in body and "promptFeedback" not in body:
        return failed(broken("the answer has no candidates"), usage)
    candidates = [as_map(one) for one in as_list(body.get("candidates"))]
    chunk = read_chunk(body, candidates[0] if candidates else {}, call_prefix=call_prefix, calls_before=0)
    notes: list[str] = ["finish_missing"] if chunk.word is None else []
    if chunk.left_out:
        notes.append("parts_left_out")
    called = any(isinstance(part, ToolCall) for part in chunk.parts)
    finish = end_of(chunk.word, called=called)
    if isinstance(finish, Fault):
        return Broke(finish, usage, chunk.model, chunk.tier)
    if finish is None:
        finish = Finish.STOP
        notes.append("finish_unknown")
    return Answer(
        id=chunk.id,
        model=chunk.model,
        parts=merged(chunk.parts),
        finish=finish,
        usage=usage,
        service_tier=chunk.tier,
        notes=tuple(notes),
        others=tuple(text_of(one) for one in candidates[1:]),
    )


def end_of(word: str | None, *, called: bool) -> Finish | Fault | None:
    """What a finish reason means; None for a word nobody knows."""
    if word in (None, "STOP"):
        return Finish.TOOL_CALLS if called else Finish.STOP
    if word == "MAX_TOKENS":
        return Finish.LENGTH
    if word in _FILTERED or word == "BLOCKED":
        return Finish.CONTENT_FILTER
    if word in _FAILED:
        return Fault(FaultKind.BROKEN, f"the model ended with {word}", code=word)
    return None


def read_chunk(
    body: dict[str, Any], candidate: dict[str, Any], *, call_prefix: str, calls_before: int
) -> Chunk:
    """One object, and of its candidates the one that is the answer (empty where it is not in there);
    `calls_before` numbers the calls across the chunks of a stream.
    """
    parts: list[Part] = []
    left_out = False
    calls = calls_before
    for one in as_list(as_map(candidate.get("content")).get("parts")):
        said = as_map(one)
        if isinstance(said.get("text"), str):
            parts.append(Thinking(said["text"]) if said.get("thought") is True else Text(said["text"]))
        elif isinstance(said.get("functionCall"), dict):
            parts.append(_call(said, f"{MADE_ID}{call_prefix}_{calls}"))
            calls += 1
        elif said.keys() - {"thoughtSignature"}:
            left_out = True
    word = candidate.get("finishReason")
    if (
        not as_list(body.get("candidates"))
        and as_map(body.get("promptFeedback")).get("blockReason") is not None
    ):
        word = "BLOCKED"
    usage = as_map(body.get("usageMetadata"))
    tier = as_text(usage.get("serviceTier")) or as_text(usage.get("trafficType"))
    return Chunk(
        id=as_text(body.get("responseId")),
        model=as_text(body.get("modelVersion")),
        parts=tuple(parts),
        word=word if isinstance(word, str) and word != "FINISH_REASON_UNSPECIFIED" else None,
        left_out=left_out,
        tier=tier or None,
    )


def _call(said: dict[str, Any], made_id: str) -> ToolCall:
    call = said["functionCall"]
    given = call.get("args")
    return ToolCall(
        as_text(call.get("id")) or made_id,
        as_text(call.get("name")),
        dumps(given) if isinstance(given, dict) else "{}",
        as_text(said.get("thoughtSignature")) or None,
    )


def text_of(candidate: dict[str, Any]) -> str:
    """What a further candidate says, for counting."""
    parts = as_list(as_map(candidate.get("content")).get("parts"))
    return "".join(as_text(as_map(one).get("text")) for one in parts)
