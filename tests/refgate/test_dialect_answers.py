"""Answers from each provider to each caller: by hand, and read by the vendors' own SDKs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion

from refgate.dialects.canonical import Protocol, Refusal, Text, Thinking, ToolCall
from refgate.dialects.registry import read_answer, stream_reader, stream_writer, write_answer
from refgate.dialects.spoken import (
    Answer,
    Broke,
    CallBegan,
    CallSaid,
    Done,
    Event,
    Fault,
    FaultKind,
    Finish,
    OtherSaid,
    TextSaid,
    Unmetered,
    Usage,
)
from tests.refgate.dialect_kit import CALLERS, PROVIDERS, SPOKEN, assembled, google, heard, sse, told

CHAT, RESPONSES, CLAUDE, GEMINI = (
    Protocol.OPENAI_CHAT,
    Protocol.OPENAI_RESPONSES,
    Protocol.ANTHROPIC,
    Protocol.GEMINI,
)

# One scripted completion: text, two calls, cached and thought tokens; in the words of each provider.
PARTS = (Text("grün"), ToolCall("call_1", "w", '{"city":"Ulm"}'), ToolCall("call_2", "w", "{}"))
BILL = Usage(input=400, cache_read=600, output=100, reasoning=40)

CHAT_BILL = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
CLAUDE_BILL = {
    "input_tokens": 400,
    "cache_read_input_tokens": 600,
    "cache_creation_input_tokens": 0,
    "output_tokens": 100,
    "output_tokens_details": {"thinking_tokens": 40},
    "service_tier": "standard",
}
GEMINI_BILL = {
    "promptTokenCount": 1000,
    "cachedContentTokenCount": 600,
    "candidatesTokenCount": 60,
    "thoughtsTokenCount": 40,
    "totalTokenCount": 1100,
}
RESPONSES_BILL = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 600},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 40},
    "total_tokens": 1100,
}

WHOLE: dict[Protocol, dict[str, Any]] = {
    CHAT: {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "grün",
                    "refusal": None,
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "w", "arguments": '{"city":"Ulm"}'},
                        },
                        {"id": "call_2", "type": "function", "function": {"name": "w", "arguments": "{}"}},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": CHAT_BILL,
    },
    CLAUDE: {
        "id": "c1",
        "type": "message",
        "role": "assistant",
        "model": "served",
        "content": [
            {"type": "text", "text": "gr"},
            {"type": "text", "text": "ün"},
            {"type": "tool_use", "id": "call_1", "name": "w", "input": {"city": "Ulm"}},
            {"type": "tool_use", "id": "call_2", "name": "w", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": CLAUDE_BILL,
    },
    GEMINI: {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "grün"},
                        {"functionCall": {"id": "call_1", "name": "w", "args": {"city": "Ulm"}}},
                        {"functionCall": {"id": "call_2", "name": "w", "args": {}}},
                    ],
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": GEMINI_BILL,
        "modelVersion": "served",
        "responseId": "c1",
    },
    RESPONSES: {
        "id": "c1",
        "object": "response",
        "status": "completed",
        "model": "served",
        "error": None,
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "grün"}]},
            {"type": "function_call", "call_id": "call_1", "name": "w", "arguments": '{"city":"Ulm"}'},
            {"type": "function_call", "call_id": "call_2", "name": "w", "arguments": "{}"},
        ],
        "usage": RESPONSES_BILL,
    },
}


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "served",
        "choices": [choice],
    }


def call_piece(index: int, arguments: str, **first: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": "w"} if first else {})}
    return chunk({"tool_calls": [{"index": index, **first, "function": function}]})


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def json_piece(text: str) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": text}


STREAMS: dict[Protocol, bytes] = {
    CHAT: sse(
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": "gr"}),
        chunk({"content": "ün"}),
        call_piece(0, "", id="call_1", type="function"),
        call_piece(0, '{"city"'),
        call_piece(0, ':"Ulm"}'),
        call_piece(1, "{}", id="call_2", type="function"),
        chunk({}, "tool_calls"),
        {**chunk({}), "choices": [], "service_tier": "default", "usage": CHAT_BILL},
        done=True,
    ),
    CLAUDE: sse(
        {
            "type": "message_start",
            "message": {
                "id": "c1",
                "type": "message",
                "role": "assistant",
                "model": "served",
                "content": [],
                "stop_reason": None,
                "usage": {**CLAUDE_BILL, "output_tokens": 1, "output_tokens_details": None},
            },
        },
        {"type": "ping"},
        *block(
            0,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": "gr"},
            {"type": "text_delta", "text": "ün"},
        ),
        *block(
            1,
            {"type": "tool_use", "id": "call_1", "name": "w", "input": {}},
            json_piece(""),
            json_piece('{"city"'),
            json_piece(':"Ulm"}'),
        ),
        *block(2, {"type": "tool_use", "id": "call_2", "name": "w", "input": {}}),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 100, "output_tokens_details": {"thinking_tokens": 40}},
        },
        {"type": "message_stop"},
        named=True,
    ),
    GEMINI: sse(
        *(
            {
                "candidates": [
                    {"content": {"role": "model", "parts": [part]}, "index": 0}
                    | ({"finishReason": "STOP"} if last else {})
                ],
                "usageMetadata": GEMINI_BILL if last else {"promptTokenCount": 1000, "totalTokenCount": 1000},
                "modelVersion": "served",
                "responseId": "c1",
            }
            for part, last in [
                ({"text": "gr"}, False),
                ({"text": "ün"}, False),
                ({"functionCall": {"id": "call_1", "name": "w", "args": {"city": "Ulm"}}}, False),
                ({"functionCall": {"id": "call_2", "name": "w", "args": {}}}, True),
            ]
        )
    ),
    RESPONSES: sse(
        {"type": "response.created", "response": {"id": "c1", "model": "served", "status": "in_progress"}},
        {
            "type": "response.in_progress",
            "response": {"id": "c1", "model": "served", "status": "in_progress"},
        },
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "gr"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "ün"},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {"type": "function_call", "call_id": "call_1", "name": "w", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"city":"Ulm"}'},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "call_id": "call_2", "name": "w", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
        {"type": "response.completed", "response": WHOLE[RESPONSES]},
        named=True,
    ),
}


def whole(provider: Protocol, body: Any) -> Answer | Broke:
    return read_answer(provider, json.dumps(body).encode(), call_prefix="c1")


@pytest.mark.parametrize("provider", list(STREAMS))
def test_one_completion_is_one_answer_in_every_dialect(provider: Protocol) -> None:
    """Whole or streamed: the same parts, the same end, the same bill."""
    answer = whole(provider, WHOLE[provider])
    assert isinstance(answer, Answer)
    assert (answer.id, answer.model, answer.parts) == ("c1", "served", PARTS)
    assert (answer.finish, answer.usage) == (Finish.TOOL_CALLS, BILL)
    assert assembled(provider, STREAMS[provider]) == answer


def together(chunks: list[Any]) -> Any:
    """The chunks of a Gemini stream as one response: the SDK leaves that to its users."""
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
    last = chunks[-1]
    last.candidates[0].content.parts = parts
    return last


def sdk_whole(caller: Protocol, body: bytes) -> Any:
    return sdk(caller, body, "application/json", stream=False)


def sdk(caller: Protocol, body: bytes, kind: str, *, stream: bool) -> Any:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, content=body)

    if caller is GEMINI:
        models = google(handler).models
        if not stream:
            return models.generate_content(model="m", contents="x")
        return together(list(models.generate_content_stream(model="m", contents="x")))
    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    if caller is CLAUDE:
        with anthropic.Anthropic(api_key="k", base_url="http://h", http_client=http) as claude:
            talk: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
            if not stream:
                return claude.messages.create(**talk)
            with claude.messages.stream(**talk) as streamed:
                return streamed.get_final_message()
    with openai.OpenAI(api_key="k", base_url="http://h/v1", http_client=http) as client:
        if caller is CHAT:
            talk = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
            if not stream:
                return client.chat.completions.create(**talk)
            with client.chat.completions.stream(**talk) as chat:
                return chat.get_final_completion()
        if not stream:
            return client.responses.create(model="m", input="x")
        with client.responses.stream(model="m", input="x") as response:
            return response.get_final_response()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_callers_sdk_reads_every_providers_answer(
    caller: Protocol, provider: Protocol, stream: bool
) -> None:
    """Text, both calls with their arguments, why it stopped, the bill; by the vendor's own helper."""
    if stream:
        shown = told(caller, heard(provider, STREAMS[provider]))
        read = sdk(caller, shown, "text/event-stream", stream=True)
    else:
        answer = whole(provider, WHOLE[provider])
        assert isinstance(answer, Answer)
        written = write_answer(caller, answer, SPOKEN)
        assert isinstance(written, bytes)
        read = sdk_whole(caller, written)
    if caller is GEMINI:
        assert (read.response_id, read.model_version) == ("id1", "asked-model")
        said = read.candidates[0]
        assert "".join(part.text or "" for part in said.content.parts) == "grün"
        calls = [part.function_call for part in said.content.parts if part.function_call]
        assert [(call.id, call.name, call.args) for call in calls] == [
            ("call_1", "w", {"city": "Ulm"}),
            ("call_2", "w", {}),
        ]
        assert said.finish_reason == "STOP"
        usage = read.usage_metadata
        assert (usage.prompt_token_count, usage.cached_content_token_count) == (1000, 600)
        assert (usage.candidates_token_count, usage.thoughts_token_count) == (60, 40)
        assert usage.total_token_count == 1100
        return
    assert (read.id, read.model) == ("id1", "asked-model")
    if caller is CHAT:
        message = read.choices[0].message
        assert message.content == "grün"
        assert [(call.id, call.function.name) for call in message.tool_calls] == [
            ("call_1", "w"),
            ("call_2", "w"),
        ]
        assert [json.loads(call.function.arguments) for call in message.tool_calls] == [{"city": "Ulm"}, {}]
        assert read.choices[0].finish_reason == "tool_calls"
        usage = read.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1000, 100, 1100)
        assert usage.prompt_tokens_details.cached_tokens == 600
        assert usage.completion_tokens_details.reasoning_tokens == 40
        if not stream:
            ChatCompletion.model_validate(read.model_dump())
    elif caller is CLAUDE:
        text, first, second = read.content
        assert (text.text, first.input, second.input) == ("grün", {"city": "Ulm"}, {})
        assert (first.id, second.id, read.stop_reason) == ("call_1", "call_2", "tool_use")
        usage = read.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (400, 600, 100)
    else:
        message, first, second = read.output
        assert (message.content[0].text, read.output_text, read.status) == ("grün", "grün", "completed")
        assert (first.call_id, json.loads(first.arguments)) == ("call_1", {"city": "Ulm"})
        assert (second.call_id, json.loads(second.arguments)) == ("call_2", {})
        usage = read.usage
        assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (1000, 600)
        assert (usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (100, 40)


@pytest.mark.parametrize("provider", list(STREAMS))
def test_a_stream_without_its_end_is_broken(provider: Protocol) -> None:
    """A clean end of half an answer is no success: the SDKs themselves would not notice."""
    frames = STREAMS[provider].split(b"\n\n")
    for count in range(len(frames) - (4 if provider is CHAT else 2)):
        events = heard(provider, b"\n\n".join(frames[:count]) + b"\n\n")
        assert isinstance(events[-1], Broke), count
        assert events[-1].fault.kind is FaultKind.TRUNCATED
        assert not any(isinstance(event, Done) for event in events)


@pytest.mark.parametrize("provider", list(STREAMS))
def test_a_reset_breaks_a_stream_unless_it_was_over(provider: Protocol) -> None:
    """After the provider's own end nothing can be lost but the connection."""
    cut = Fault(FaultKind.UNREACHABLE, "reset")
    reader = stream_reader(provider, call_prefix="c")
    (broke,) = reader.end(cut)
    assert isinstance(broke, Broke)
    assert broke.fault is cut
    assert reader.end() == []


@pytest.mark.parametrize(
    ("provider", "body", "kind"),
    [
        (CHAT, {"error": {"message": "m", "type": "server_error"}}, FaultKind.SERVER),
        (CHAT, {"id": "c", "choices": []}, FaultKind.BROKEN),
        (CHAT, {}, FaultKind.BROKEN),
        (CHAT, [], FaultKind.BROKEN),
        (CHAT, None, FaultKind.BROKEN),
        (
            CLAUDE,
            {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
            FaultKind.OVERLOADED,
        ),
        (CLAUDE, {"type": "message"}, FaultKind.BROKEN),
        (GEMINI, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, FaultKind.RATE_LIMITED),
        (GEMINI, {}, FaultKind.BROKEN),
        (GEMINI, {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, FaultKind.BROKEN),
        (
            RESPONSES,
            {"status": "failed", "error": {"code": "server_error", "message": "m"}},
            FaultKind.SERVER,
        ),
        (RESPONSES, {"status": "failed", "error": None, "output": []}, FaultKind.BROKEN),
        (RESPONSES, {"status": "in_progress", "output": []}, FaultKind.BROKEN),
        (Protocol.OPENAI_EMBEDDINGS, {"data": []}, FaultKind.BROKEN),
    ],
)
def test_a_200_that_is_no_answer_is_a_failure(provider: Protocol, body: Any, kind: FaultKind) -> None:
    """An error inside, an empty object, another schema: never handed on as a success."""
    broke = whole(provider, body)
    assert isinstance(broke, Broke)
    assert broke.fault.kind is kind


def test_garbage_is_a_failure() -> None:
    """A proxy's page, half an answer."""
    for body in (b"<html>", b"", b'{"choices":[', b"\xff"):
        broke = read_answer(CHAT, body, call_prefix="c")
        assert isinstance(broke, Broke)
        assert broke.fault.kind is FaultKind.BROKEN


def test_a_failure_that_was_billed_keeps_its_bill() -> None:
    """Incomplete is an answer; failed and malformed are not, and cost all the same."""
    failed = whole(RESPONSES, {"status": "failed", "error": {"message": "m"}, "usage": RESPONSES_BILL})
    malformed = whole(GEMINI, {"candidates": [{"finishReason": "OTHER"}], "usageMetadata": GEMINI_BILL})
    for broke in (failed, malformed):
        assert isinstance(broke, Broke)
        assert broke.usage == BILL
    incomplete = whole(
        RESPONSES,
        {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [],
            "usage": RESPONSES_BILL,
        },
    )
    assert isinstance(incomplete, Answer)
    assert (incomplete.finish, incomplete.usage) == (Finish.LENGTH, BILL)


@pytest.mark.parametrize(
    ("provider", "frames", "kind"),
    [
        (CHAT, sse({"error": {"message": "m", "type": "server_error"}}), FaultKind.SERVER),
        (CHAT, b'data: {"error":"plain"}\n\n', FaultKind.SERVER),
        (CHAT, b'data: {"error":true}\n\n', FaultKind.SERVER),
        (CHAT, b"data: {broken\n\n", FaultKind.BROKEN),
        (
            CLAUDE,
            sse({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, named=True),
            FaultKind.OVERLOADED,
        ),
        (GEMINI, sse({"error": {"code": 503, "status": "UNAVAILABLE"}}), FaultKind.OVERLOADED),
        (GEMINI, sse([{"error": {"code": 503, "status": "UNAVAILABLE"}}]), FaultKind.OVERLOADED),
        (
            RESPONSES,
            sse({"type": "error", "code": "server_error", "message": "m"}, named=True),
            FaultKind.SERVER,
        ),
        (RESPONSES, sse({"type": "error", "error": {"code": "rate_limit_exceeded"}}), FaultKind.RATE_LIMITED),
        (
            RESPONSES,
            sse(
                {
                    "type": "response.failed",
                    "response": {"status": "failed", "error": {"code": "server_error"}},
                }
            ),
            FaultKind.SERVER,
        ),
    ],
)
def test_an_error_in_a_stream_is_heard_first_or_last(
    provider: Protocol, frames: bytes, kind: FaultKind
) -> None:
    """As the first event it can still be failed over; later it ends the stream, once."""
    (first,) = heard(provider, frames)
    assert isinstance(first, Broke)
    assert first.fault.kind is kind
    later = heard(provider, STREAMS[provider][: STREAMS[provider].index(b"\n\n") + 2], frames, frames)
    assert isinstance(later[-1], Broke)
    assert later[-1].fault.kind is kind
    assert sum(isinstance(event, Broke) for event in later) == 1


def test_further_choices_are_counted_and_never_mixed_in() -> None:
    """With n above 1 the bytes pass; what the others say is heard apart, and each must finish."""

    def said(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
        return {
            **chunk({}),
            "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}],
        }

    both = sse(said(1, "b"), said(0, "a"), said(1, "B", "stop"), said(0, "A", "stop"), done=True)
    events = heard(CHAT, both)
    assert [event for event in events if isinstance(event, OtherSaid)] == [
        OtherSaid(0, "a"),
        OtherSaid(0, "A"),
    ]
    assert isinstance(events[-1], Done)
    half = heard(CHAT, sse(said(0, "a"), said(1, "b", "stop"), done=True))
    assert isinstance(half[-1], Broke)

    def shown(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": content, "index": index, "finishReason": finish}]}

    both = sse(shown(1, "b"), shown(0, "a"), shown(1, "B", "STOP"), shown(0, "A", "STOP"))
    events = heard(GEMINI, both)
    assert [event for event in events if isinstance(event, OtherSaid)] == [
        OtherSaid(0, "a"),
        OtherSaid(0, "A"),
    ]
    assert isinstance(events[-1], Done)
    half = heard(GEMINI, sse(shown(0, "a"), shown(1, "b", "STOP")))
    assert isinstance(half[-1], Broke)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("STOP", Finish.STOP),
        ("MAX_TOKENS", Finish.LENGTH),
        ("SAFETY", Finish.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", Finish.CONTENT_FILTER),
        ("SOMETHING_NEW", Finish.STOP),
    ],
)
def test_geminis_reasons_are_understood(word: str, finish: Finish) -> None:
    """A word that nobody knows is noted."""
    answer = whole(GEMINI, {"candidates": [{"finishReason": word}]})
    assert isinstance(answer, Answer)
    assert answer.finish is finish
    assert ("finish_unknown" in answer.notes) == (word == "SOMETHING_NEW")


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    """200, no candidates: the prompt is still billed."""
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7},
    }
    answer = whole(GEMINI, body)
    assert isinstance(answer, Answer)
    assert (answer.finish, answer.parts, answer.usage) == (Finish.CONTENT_FILTER, (), Usage(input=7))
    streamed = assembled(GEMINI, sse(body))
    assert isinstance(streamed, Answer)
    assert (streamed.finish, streamed.usage) == (Finish.CONTENT_FILTER, Usage(input=7))


def test_calls_without_an_id_get_one() -> None:
    """The same whole and streamed, and different for each call."""
    call = {"functionCall": {"name": "w", "args": {}}, "thoughtSignature": "s"}
    body = {"candidates": [{"content": {"parts": [call, call]}, "finishReason": "STOP"}]}
    answer = whole(GEMINI, body)
    assert isinstance(answer, Answer)
    assert answer.parts == (ToolCall("gen_c1_0", "w", "{}", "s"), ToolCall("gen_c1_1", "w", "{}", "s"))
    assert assembled(GEMINI, sse(body)) == answer


def test_a_legacy_call_is_a_call_like_others() -> None:
    """It has no id of its own: one is made, the same whole and streamed."""
    old = {"name": "w", "arguments": "{}"}
    answer = whole(
        CHAT, {"id": "c1", "choices": [{"message": {"function_call": old}, "finish_reason": "stop"}]}
    )
    assert isinstance(answer, Answer)
    assert answer.parts == (ToolCall("call_c1_0", "w", "{}"),)
    streamed = assembled(CHAT, sse(chunk({"function_call": old}), chunk({}, "stop"), done=True))
    assert isinstance(streamed, Answer)
    assert streamed.parts == answer.parts
    assert streamed.finish is answer.finish is Finish.TOOL_CALLS


@pytest.mark.parametrize("provider", list(STREAMS))
def test_what_says_nothing_is_passed_over(provider: Protocol) -> None:
    """Comments, empty events, and a [DONE] where the protocol has none."""
    stream = b": hello\n\ndata:\n\ndata: \n\n" + STREAMS[provider] + b"data: [DONE]\n\n"
    assert heard(provider, stream) == heard(provider, STREAMS[provider])


def test_nothing_is_said_after_the_break() -> None:
    """Also not by the rest of the frame that broke it."""
    calls = [
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "id": "c", "function": {"name": "w"}},
    ]
    events = heard(CHAT, sse(chunk({"tool_calls": calls}, "stop")))
    assert isinstance(events[-1], Broke)
    assert not any(isinstance(event, CallBegan) for event in events)


@pytest.mark.parametrize(
    ("provider", "frames"),
    [
        (CHAT, sse(call_piece(0, "{}"))),
        (CLAUDE, sse({"type": "content_block_delta", "index": 0, "delta": json_piece("{}")}, named=True)),
        (
            RESPONSES,
            sse({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"}),
        ),
    ],
)
def test_a_piece_of_nothing_breaks_the_stream(provider: Protocol, frames: bytes) -> None:
    """Where an event was lost, what follows is no answer."""
    broke = heard(provider, frames)[-1]
    assert isinstance(broke, Broke)
    assert broke.fault.kind is FaultKind.BROKEN


def test_thinking_keeps_its_signature() -> None:
    """A block of thought with its signature, and one that only the provider can read."""
    stream = sse(
        {
            "type": "message_start",
            "message": {"id": "c", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}},
        },
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": "s"},
        ),
        *block(1, {"type": "redacted_thinking", "data": "d"}),
        *block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "x"}),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
        named=True,
    )
    answer = assembled(CLAUDE, stream)
    assert isinstance(answer, Answer)
    assert answer.parts == (Thinking("hm", "s"), Thinking("", None, "d"), Text("x"))
    again = assembled(CLAUDE, told(CLAUDE, heard(CLAUDE, stream)))
    assert isinstance(again, Answer)
    assert again.parts == answer.parts
    seen = sdk(RESPONSES, told(RESPONSES, heard(CLAUDE, stream)), "text/event-stream", stream=True)
    assert [item.type for item in seen.output] == ["reasoning", "reasoning", "message"]
    assert (seen.output[0].summary[0].text, seen.output[0].encrypted_content) == ("hm", "s")


def test_what_no_caller_can_be_shown_is_noted() -> None:
    """A server's tool, a picture: left out of a translated answer, and said so."""
    picture = {"inlineData": {"mimeType": "image/png", "data": ""}}
    for answer in (
        whole(GEMINI, {"candidates": [{"content": {"parts": [picture]}, "finishReason": "STOP"}]}),
        whole(CLAUDE, {"content": [{"type": "server_tool_use"}], "stop_reason": "end_turn"}),
        whole(RESPONSES, {"status": "completed", "output": [{"type": "web_search_call"}]}),
        assembled(GEMINI, sse({"candidates": [{"content": {"parts": [picture]}, "finishReason": "STOP"}]})),
    ):
        assert isinstance(answer, Answer)
        assert "parts_left_out" in answer.notes


def test_arguments_that_are_no_object_are_not_passed_off_as_one() -> None:
    """Anthropic's whole answer has no place for what the model garbled."""
    answer = Answer("i", "m", (ToolCall("c", "w", '{"half'),), Finish.TOOL_CALLS, Unmetered())
    assert isinstance(write_answer(CLAUDE, answer, SPOKEN), Fault)
    assert isinstance(write_answer(CHAT, answer, SPOKEN), bytes)


def test_a_refusal_is_one_in_every_protocol() -> None:
    """In its own field where there is one."""
    body = {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}
    answer = whole(CHAT, body)
    assert isinstance(answer, Answer)
    assert (answer.parts, answer.finish) == ((Refusal("no"),), Finish.REFUSAL)
    written = {caller: write_answer(caller, answer, SPOKEN) for caller in CALLERS}
    seen = {caller: sdk_whole(caller, body) for caller, body in written.items() if isinstance(body, bytes)}
    assert (seen[CHAT].choices[0].message.refusal, seen[CHAT].choices[0].finish_reason) == ("no", "stop")
    assert (seen[CLAUDE].content[0].text, seen[CLAUDE].stop_reason) == ("no", "refusal")
    assert seen[RESPONSES].output[0].content[0].refusal == "no"


def test_a_cut_answer_says_so_in_every_protocol() -> None:
    """Length is no ordinary end."""
    answer = Answer("i", "m", (Text("x"),), Finish.LENGTH, Unmetered())
    written = {caller: write_answer(caller, answer, SPOKEN) for caller in CALLERS}
    seen = {caller: sdk_whole(caller, body) for caller, body in written.items() if isinstance(body, bytes)}
    assert seen[CHAT].choices[0].finish_reason == "length"
    assert seen[CLAUDE].stop_reason == "max_tokens"
    assert (seen[RESPONSES].status, seen[RESPONSES].incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )


def test_usage_that_nobody_knows_is_not_made_up() -> None:
    """No figure is better than a wrong one, where the protocol allows it."""
    answer = Answer("i", "m", (), Finish.STOP, Unmetered("negative"))
    body = write_answer(CHAT, answer, SPOKEN)
    assert isinstance(body, bytes)
    assert "usage" not in json.loads(body)
    events: list[Event] = [TextSaid("x"), Done(Finish.STOP, Unmetered(), "m")]
    assert b'usage":{' not in told(CHAT, events)


def test_a_chat_caller_who_did_not_ask_sees_no_usage() -> None:
    """Nor the null that would announce it."""
    quiet = replace(SPOKEN, include_usage=False)
    assert b"usage" not in told(CHAT, heard(CLAUDE, STREAMS[CLAUDE]), quiet)


def test_pieces_arrive_when_they_are_said() -> None:
    """A writer holds back nothing of a text or of the first call."""
    for caller in CALLERS:
        writer = stream_writer(caller, SPOKEN)
        assert b"gr" in writer.write(TextSaid("gr"))
        if caller is not GEMINI:  # whose calls come whole
            assert writer.write(CallBegan(0, "c", "w"))
            assert b"city" in writer.write(CallSaid(0, '{"city"'))


def test_an_answer_of_vectors_is_read_for_its_figures() -> None:
    """Nothing comes out but vectors, which are not looked at."""
    answer = whole(
        Protocol.OPENAI_EMBEDDINGS,
        {"model": "served", "data": [{}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
    )
    assert isinstance(answer, Answer)
    assert (answer.model, answer.usage) == ("served", Usage(input=8))
