"""Streams: whatever the chunks, the same events; assembled, the whole answer, at the same cost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from refgate.dialects.assembly import assemble, events_of, merged
from refgate.dialects.canonical import Protocol, Refusal, Text, Thinking, ToolCall
from refgate.dialects.registry import read_answer, write_answer
from refgate.dialects.spoken import (
    Answer,
    Broke,
    CallBegan,
    CallSaid,
    Done,
    Event,
    FaultKind,
    Finish,
    TextSaid,
    Unmetered,
    Usage,
)
from tests.refgate.dialect_kit import CALLERS, SPOKEN, answers, assembled, heard, sse, told


def pieces(data: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(answers(thinking=True))
def test_an_answer_told_as_events_is_the_answer(answer: Answer) -> None:
    """A kept answer can be replayed as a stream."""
    assert assemble(events_of(answer)) == answer


def shown(protocol: Protocol, answer: Answer) -> Answer:
    """The answer as far as a protocol has words for it."""
    parts = answer.parts
    finish = answer.finish
    usage = answer.usage
    if protocol is Protocol.ANTHROPIC:
        parts = merged(Text(part.text) if isinstance(part, Refusal) else part for part in parts)
        if finish is Finish.CONTENT_FILTER:
            finish = Finish.REFUSAL
        if isinstance(usage, Unmetered):
            usage = Usage()
    if protocol is Protocol.GEMINI:
        parts = merged(Text(part.text) if isinstance(part, Refusal) else part for part in parts)
        if finish is Finish.REFUSAL:
            finish = Finish.CONTENT_FILTER
    if protocol in (Protocol.OPENAI_CHAT, Protocol.GEMINI):
        parts = tuple(replace(part, signature=None) if isinstance(part, Thinking) else part for part in parts)
    return replace(answer, parts=parts, finish=finish, usage=usage, service_tier=None)


@given(st.sampled_from(CALLERS), answers(thinking=True), st.data())
def test_both_forms_of_an_answer_say_the_same(
    protocol: Protocol, answer: Answer, data: st.DataObject
) -> None:
    """What a caller's SDK reads, whole or streamed in any chunks, is one answer, with one usage."""
    body = write_answer(protocol, answer, SPOKEN)
    assert isinstance(body, bytes)
    whole = read_answer(protocol, body, call_prefix="c1")
    assert isinstance(whole, Answer)
    assert replace(whole, service_tier=None) == shown(protocol, answer)
    stream = told(protocol, list(events_of(answer)))
    streamed = assembled(protocol, *pieces(data, stream))
    assert isinstance(streamed, Answer)
    assert replace(streamed, service_tier=None) == shown(protocol, answer)


@given(st.sampled_from(CALLERS), answers(), st.data())
def test_any_chunking_gives_the_same_events(protocol: Protocol, answer: Answer, data: st.DataObject) -> None:
    """Also inside a UTF-8 character."""
    stream = told(protocol, list(events_of(answer)))
    assert heard(protocol, *pieces(data, stream)) == heard(protocol, stream)


@given(st.sampled_from(CALLERS), answers(), st.data())
def test_half_a_stream_is_never_a_whole_answer(
    protocol: Protocol, answer: Answer, data: st.DataObject
) -> None:
    """Wherever a stream stops, it ends as broken unless all of its finish was there; and it ends once."""
    stream = told(protocol, list(events_of(answer)))
    events = heard(protocol, stream[: data.draw(st.integers(0, len(stream)))])
    ends = [event for event in events if isinstance(event, Done | Broke)]
    assert ends == events[-1:]
    if isinstance(events[-1], Broke):
        assert events[-1].fault.kind is FaultKind.TRUNCATED
    else:
        whole = assemble(events)
        assert isinstance(whole, Answer)
        assert whole.parts == shown(protocol, answer).parts
        assert whole.finish is shown(protocol, answer).finish


@given(answers(), st.data())
def test_mixed_calls_reach_every_caller_whole(answer: Answer, data: st.DataObject) -> None:
    """Pieces of several calls may come in any order; each caller gets each call's arguments whole."""
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    said: list[Event] = [
        CallSaid(index, character) for index, call in enumerate(calls) for character in call.arguments
    ]
    order = data.draw(st.permutations(range(len(calls))) if len(calls) > 1 else st.just(range(len(calls))))
    by_call = {
        index: [one for one in said if isinstance(one, CallSaid) and one.index == index] for index in order
    }
    mixed: list[Event] = [CallBegan(i, call.id, call.name) for i, call in enumerate(calls)]
    while any(by_call.values()):
        index = data.draw(st.sampled_from([index for index, left in by_call.items() if left]))
        mixed.append(by_call[index].pop(0))
    events = list(events_of(replace(answer, parts=())))
    events[1:1] = mixed
    for protocol in CALLERS:
        made = assembled(protocol, told(protocol, events))
        assert isinstance(made, Answer)
        assert made.parts == tuple(calls)


def gemini_usage(usage: Usage | Unmetered) -> dict[str, Any] | None:
    if isinstance(usage, Unmetered):
        return None
    return {
        "promptTokenCount": usage.prompt,
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.prompt + usage.output,
    }


@given(answers(), st.data())
def test_gemini_says_the_same_whole_and_streamed(answer: Answer, data: st.DataObject) -> None:
    """Usage on every chunk is cumulative: the last one stands, and is never added up."""
    parts: list[dict[str, Any]] = []
    for part in answer.parts:
        match part:
            case Text(text) | Refusal(text):
                parts.append({"text": text})
            case ToolCall(call_id, name, arguments):
                parts.append({"functionCall": {"id": call_id, "name": name, "args": json.loads(arguments)}})
    usage = gemini_usage(answer.usage)

    def chunk(some: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": some}, "index": 0}
        if reason is not None:
            candidate["finishReason"] = reason
        body = {"candidates": [candidate], "modelVersion": "g", "responseId": "r"}
        return body if usage is None else {**body, "usageMetadata": usage}

    whole = read_answer(Protocol.GEMINI, json.dumps(chunk(parts, "STOP")).encode(), call_prefix="c1")
    chunks = [chunk([part], None) for part in parts] + [chunk([], "STOP")]
    assert assembled(Protocol.GEMINI, *pieces(data, sse(*chunks))) == whole
    assert isinstance(whole, Answer)
    assert whole.usage == answer.usage


@given(st.sampled_from(CALLERS), st.text(min_size=1))
def test_text_that_no_byte_can_hold_harms_nobody(protocol: Protocol, text: str) -> None:
    """Half a surrogate pair stays an escape; nothing is lost, nothing raises."""
    stream = told(protocol, [TextSaid(text)])
    read = heard(protocol, stream)
    assert "".join(event.text for event in read if isinstance(event, TextSaid)) == text
