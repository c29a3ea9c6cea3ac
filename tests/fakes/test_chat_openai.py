"""OpenAI chat completions and embeddings as the wire has them: requests, answers, streams, errors."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from fakes.chat.openai import go_duration
from fakes.journal import ChatEnded
from tests.fakes.chat_stage import PATHS, ChatStage, Heard, chat_body, with_chat

PATH = PATHS["openai"]


def ask(
    *, acts: Any = (), plan: Any = None, path: str = PATH, body: Any = None, **more: Any
) -> tuple[Heard, ChatStage]:
    async def main(stage: ChatStage) -> tuple[Heard, ChatStage]:
        return await stage.listen(path, body if body is not None else chat_body(**more)), stage

    return with_chat(main, acts=acts, plan={"words": 3, **(plan or {})})


def test_an_answer_in_one_piece() -> None:
    """Every field a client looks at, and usage that includes what is cached and what was thought."""
    figures = {"prompt": 1000, "cache_read": 600, "reasoning": 40, "text": "hello there", "input_audio": 5}
    heard, stage = ask(acts=[{"do": {"completes": figures}}], plan={"models": {"m": {"served_as": "m-2026"}}})
    answer = heard.json
    assert heard.header("openai-processing-ms") == str(heard.ended_us // 1_000) != "0"
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer == {
        "object": "chat.completion",
        "created": 1767571200,
        "model": "m-2026",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "[nonce:abc by p/1] hello there",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 43,
            "total_tokens": 1043,
            "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 5},
            "completion_tokens_details": {
                "reasoning_tokens": 40,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }
    ended = stage.ended
    assert (ended.input_uncached, ended.cache_read, ended.input_audio) == (395, 600, 5)
    assert (ended.output_text, ended.output_reasoning) == (3, 40)
    assert (ended.model, ended.nonce, ended.complete, ended.billed) == ("m-2026", "abc", True, True)


def delta_of(chunk: Any) -> Any:
    return chunk["choices"][0]["delta"] if chunk["choices"] else None


def test_the_golden_sequence_of_a_stream() -> None:
    """Role, words, finish, usage, `[DONE]`; one id throughout, no `event:` line, `usage: null` on the way."""
    heard, stage = ask(stream=True, stream_options={"include_usage": True})
    assert heard.header("content-type") == "text/event-stream; charset=utf-8"
    assert heard.header("content-length") is None
    *chunks, done = heard.data
    assert done == "[DONE]" and heard.text.endswith("data: [DONE]\n\n") and heard.names == []
    first, *words, finish, usage = chunks
    assert delta_of(first) == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(delta_of(word)["content"] for word in words) == stage.ended.text
    assert stage.ended.text.startswith("[nonce:abc by p/1] ")
    assert (delta_of(finish), finish["choices"][0]["finish_reason"]) == ({}, "stop")
    assert [word["choices"][0]["finish_reason"] for word in words] == [None] * 4
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 7 + 4)
    assert all("usage" in chunk and chunk["usage"] is None for chunk in chunks[:-1])
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert stage.ended.events == len(heard.data)


def test_usage_comes_only_where_it_is_asked_for() -> None:
    """Without include_usage no chunk has the field at all."""
    heard, stage = ask(stream=True)
    assert not [chunk for chunk in heard.data if "usage" in chunk]
    assert heard.data[-1] == "[DONE]"
    assert stage.ended.usage_shown is None and stage.ended.cost_nanos > 0


def test_tool_calls_stream_by_index() -> None:
    """The id and the name once, then the arguments in pieces; the finish says tool_calls."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    heard, stage = ask(stream=True, tools=tools, acts=[{"do": {"completes": {"calls": 2}}}])
    calls: dict[int, dict[str, str]] = {}
    for chunk in heard.data[1:-2]:
        (call,) = delta_of(chunk)["tool_calls"]
        if "id" in call:
            assert call["index"] not in calls
            calls[call["index"]] = {"id": call["id"], "name": call["function"]["name"], "arguments": ""}
        calls[call["index"]]["arguments"] += call["function"]["arguments"]
    assert [call["name"] for call in calls.values()] == ["f", "g"]
    assert {call["arguments"] for call in calls.values()} == {'{"nonce":"abc","by":"p/1"}'}
    assert heard.data[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert stage.ended.output_text == 2 * 5


@pytest.mark.parametrize(
    ("choice", "name"), [("required", "f"), ({"type": "function", "function": {"name": "g"}}, "g")]
)
def test_a_tool_that_must_be_called_is(choice: Any, name: str) -> None:
    """In one piece, with null for content."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    heard, _ = ask(tools=tools, tool_choice=choice)
    message = heard.json["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"]["name"] for call in message["tool_calls"]] == [name]


def test_a_refusal_has_its_own_field() -> None:
    """Null for content, and finish `stop`; in a stream by deltas of its own."""
    acts = [{"do": {"completes": {"refusal": "I cannot."}}}]
    choice = ask(acts=acts)[0].json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "stop")
    assert choice["message"]["refusal"] == "[nonce:abc by p/1] I cannot."
    streamed = ask(acts=acts, stream=True)[0].data
    assert "".join(delta_of(chunk).get("refusal") or "" for chunk in streamed[:-1]).endswith("I cannot.")


def test_a_limit_on_tokens_cuts_the_answer() -> None:
    """Reasoning counts; the finish says length, and no more is billed than was made."""
    heard, stage = ask(plan={"reasoning": 2}, max_completion_tokens=4)
    assert heard.json["choices"][0]["finish_reason"] == "length"
    assert (stage.ended.output_reasoning, stage.ended.output_text) == (2, 2)


def test_several_choices_interleave_and_share_one_usage() -> None:
    """Each has its role and its finish; the usage is for all of them together."""
    heard, stage = ask(n=2, stream=True, stream_options={"include_usage": True})
    indexes = [chunk["choices"][0]["index"] for chunk in heard.data[:-2]]
    assert indexes == [0, 1] * 6
    assert heard.data[-2]["usage"]["completion_tokens"] == stage.ended.output_text == 8


def test_obfuscation_is_padding_that_can_be_declined() -> None:
    """On where the plan has it on, unless the request says no."""
    on = ask(plan={"obfuscation": True}, stream=True)[0].data
    off = ask(plan={"obfuscation": True}, stream=True, stream_options={"include_obfuscation": False})[0].data
    assert all("obfuscation" in chunk for chunk in on[:-1])
    assert not [chunk for chunk in off if "obfuscation" in chunk]


def test_images_are_taken_and_counted() -> None:
    """An image beside the words costs a flat number of tokens."""
    content = [
        {"type": "text", "text": "what is this? nonce:abc"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    heard, stage = ask(body={"model": "m", "messages": [{"role": "user", "content": content}]})
    assert (heard.status, stage.ended.input_uncached, stage.ended.nonce) == (200, 4 + 6 + 85, "abc")


def test_the_nonce_may_come_as_metadata() -> None:
    """It goes before the one in the words."""
    heard, _ = ask(metadata={"nonce": "of-metadata"})
    assert "[nonce:of-metadata by p/1]" in heard.text


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": None}, 400, "invalid_value"),
        ({"model": "other"}, 404, "model_not_found"),
        ({"messages": []}, 400, "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, 400, "invalid_value"),
        ({"n": 0}, 400, "invalid_value"),
        ({"stream_options": {"include_usage": True}}, 400, "invalid_value"),
        ({"messages": [{"role": "user", "content": "x" * 500}]}, 400, "context_length_exceeded"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: Any, status: int, code: str) -> None:
    """In the vendor's shape, before anything is done or billed."""
    heard, stage = ask(body=chat_body() | change, plan={"models": {"m": {"context": 100}}})
    error = heard.json["error"]
    assert (heard.status, error["code"]) == (status, code)
    assert sorted(error) == ["code", "message", "param", "type"]
    assert stage.refused.nonce in ("abc", None) and not stage.facts(ChatEnded)


@pytest.mark.parametrize(
    ("headers", "code"), [((), None), ((("authorization", "Bearer wrong"),), "invalid_api_key")]
)
def test_the_key_is_wanted(headers: Any, code: str | None) -> None:
    """401 with the vendor's code."""

    async def main(stage: ChatStage) -> tuple[int, Any]:
        answer = await stage.client.request("POST", f"http://p.test{PATH}", headers=headers, body=b"{}")
        return answer.status, answer.body

    status, body = with_chat(main)
    assert status == 401 and (code or "API key").encode() in body


def test_models_are_listed_by_their_exact_names() -> None:
    """Patterns of the plan are not names; one model can be asked for."""

    async def main(stage: ChatStage) -> None:
        listed = await stage.call("/v1/models", method="GET")
        assert b'"id":"a","object":"model"' in listed.body and b"*" not in listed.body
        assert (await stage.call("/v1/models/b-1", method="GET")).body.startswith(b'{"id":"b-1"')
        assert (await stage.call("/v1/models/b-%2F1", method="GET")).body.startswith(b'{"id":"b-/1"')
        assert (await stage.call("/v1/models/c", method="GET")).status == 404
        assert (await stage.call("/v1/nowhere", {})).status == 404

    with_chat(main, plan={"models": {"a": {}, "b-*": {}}})


def test_embeddings_are_floats_or_base64_of_the_same() -> None:
    """Little-endian float32; usage is prompt and total, and the bill has input only."""

    async def main(stage: ChatStage) -> None:
        plain = await stage.listen(PATHS["embeddings"], {"model": "m", "input": ["one nonce:n1", "two"]})
        first, second = (entry["embedding"] for entry in plain.json["data"])
        assert len(first) == 8 and first != second
        asked = {"model": "m", "input": "x", "encoding_format": "base64", "dimensions": 3}
        coded = (await stage.listen(PATHS["embeddings"], asked)).json
        numbers = struct.unpack("<3f", base64.b64decode(coded["data"][0]["embedding"]))
        assert all(-1 <= number <= 1 for number in numbers)
        assert coded["usage"] == {"prompt_tokens": 1, "total_tokens": 1}
        assert (await stage.listen(PATHS["embeddings"], {"model": "m", "input": []})).status == 400

    with_chat(main)


def test_rate_limits_stand_in_the_headers_as_durations() -> None:
    """What is left of each bucket, and when it is full again, as Go writes durations."""
    heard, _ = ask(plan={"limits": {"rpm": 10, "tpm": 600}})
    assert heard.header("x-ratelimit-limit-requests") == "10"
    assert heard.header("x-ratelimit-remaining-requests") == "9"
    assert heard.header("x-ratelimit-reset-requests") == "6s"
    assert heard.header("x-ratelimit-remaining-tokens") == str(600 - 11)
    assert heard.header("x-ratelimit-reset-tokens") == "1.1s"
    assert heard.header("x-request-id") == "req_p-00000001"


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (120_000, "120ms"),
        (1_000_000, "1s"),
        (1_500_000, "1.5s"),
        (360_000_000, "6m0s"),
        (3_723_004_000, "1h2m3.004s"),
    ],
)
def test_durations_are_written_as_go_writes_them(us: int, text: str) -> None:
    """Milliseconds alone, minutes with their seconds."""
    assert go_duration(us) == text
