"""Anthropic messages as the wire has them: requests, answers, the sequence of events, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes.journal import ChatEnded
from tests.fakes.chat_stage import KEY, PATHS, ChatStage, Heard, chat_body, with_chat

PATH = PATHS["anthropic"]
FIGURES = {
    "prompt": 1000,
    "cache_read": 600,
    "cache_write_5m": 100,
    "cache_write_1h": 50,
    "text": "hello there",
}


def ask(*do: Any, plan: Any = None, body: Any = None, **more: Any) -> tuple[Heard, ChatStage]:
    async def main(stage: ChatStage) -> tuple[Heard, ChatStage]:
        given = body if body is not None else chat_body("anthropic", **more)
        return await stage.listen(PATH, given, vendor="anthropic"), stage

    acts = [{"do": one} for one in do]
    return with_chat(main, "anthropic", acts=acts, plan={"words": 2, **(plan or {})})


def test_an_answer_in_one_piece() -> None:
    """The figures of the input exclude one another."""
    heard, stage = ask({"completes": FIGURES | {"reasoning": 2}})
    answer = heard.json
    assert answer.pop("id").startswith("msg_")
    thinking = answer["content"].pop(0)
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "step-0 step-1")
    assert answer == {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "[nonce:abc by p/1] hello there"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 250,
            "cache_creation_input_tokens": 150,
            "cache_read_input_tokens": 600,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 50},
            "output_tokens": 5,
            "server_tool_use": None,
            "service_tier": "standard",
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }
    ended = stage.ended
    assert (ended.input_uncached, ended.cache_write_5m, ended.cache_write_1h) == (250, 100, 50)
    assert heard.header("request-id") == "req_p-00000001"


def test_the_golden_sequence_of_a_stream() -> None:
    """Each event under its own name; the head comes before the first token."""
    heard, stage = ask({"completes": FIGURES}, stream=True, plan={"first": "100ms", "between": "10ms"})
    assert heard.names == [data["type"] for data in heard.data]
    assert heard.names == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [at_us for at_us, _ in heard.chunks] == [0, 100_000, 110_000, 120_000]
    start, last = heard.data[0]["message"], heard.data[-2]
    assert (start["content"], start["stop_reason"]) == ([], None)
    assert start["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 100,
        "ephemeral_1h_input_tokens": 50,
    }
    assert (start["usage"]["output_tokens"], last["usage"]["output_tokens"]) == (1, 3)
    assert last["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert sorted(last["usage"]) == [
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "input_tokens",
        "output_tokens",
    ]
    assert "".join(data["delta"]["text"] for data in heard.data[3:6]) == stage.ended.text


def test_blocks_of_every_kind_stream_one_after_another() -> None:
    """Thinking with its signature, text, a tool whose input comes as partial JSON."""
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    heard, _ = ask({"completes": {"reasoning": 1, "words": 0, "calls": 1}}, stream=True, tools=tools)
    kinds = [data["delta"]["type"] for data in heard.data if data["type"] == "content_block_delta"]
    assert list(dict.fromkeys(kinds)) == [
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "input_json_delta",
    ]
    starts = [data for data in heard.data if data["type"] == "content_block_start"]
    assert [start["index"] for start in starts] == [0, 1, 2]
    assert [start["content_block"]["type"] for start in starts] == ["thinking", "text", "tool_use"]
    parts = [data["delta"]["partial_json"] for data in heard.data if "partial_json" in data.get("delta", {})]
    assert json.loads("".join(parts)) == {"nonce": "abc", "by": "p/1"}
    assert heard.data[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ({"completes": {"refusal": "No."}}, "refusal"),
        ({"content_filter": {"side": "output"}}, "refusal"),
        ({"content_filter": {"side": "input"}}, "refusal"),
        ({"completes": {"finish": "length"}}, "max_tokens"),
        ({"no_finish": {"shows": "null"}}, None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_why_a_message_ends(do: Any, reason: str | None, stream: bool) -> None:
    """A filter is no error here: it is an answer, and billed."""
    heard, stage = ask(do, stream=stream)
    stop = heard.data[-2]["delta"] if stream else heard.json
    assert (heard.status, stop["stop_reason"], stage.ended.billed) == (200, reason, True)
    assert ("stop_details" in stop) is (reason == "refusal")


@pytest.mark.parametrize(
    ("shown", "figures"),
    [
        ("exact", [1, 3]),
        ("missing", ["none", "none"]),
        ("null", [None, None]),
        ("late", [1, "none", 3]),
        ("early", [1, 3, "none"]),
        ("twice", [1, 3, 3]),
        ("every_event", [1, 1, 2, 3, 3]),
        ("negative", [-1, -3]),
    ],
)
def test_what_a_stream_claims_to_have_used(shown: str, figures: list[Any]) -> None:
    """Cumulative figures in one or more deltas; the bill is the same."""
    heard, stage = ask({"usage": {"shown": shown}}, stream=True)
    told = [
        data.get("message", data) for data in heard.data if data["type"] in ("message_start", "message_delta")
    ]
    usages = [data.get("usage", "none") for data in told]
    assert [usage["output_tokens"] if isinstance(usage, dict) else usage for usage in usages] == figures
    assert stage.ended.output_text == 3


@pytest.mark.parametrize("shown", ["wrong_total", "cached_above_prompt", "with_finish"])
def test_what_anthropic_s_usage_cannot_say(shown: str) -> None:
    """There is no total, and the cached part is in nothing: the act has no effect and says so."""
    _, stage = ask({"usage": {"shown": shown}}, stream=True)
    assert stage.played() == [("usage", False)]


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ("documented", {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
        ("text", {"type": "error", "error": "no"}),
        ("event", {"type": "overloaded_error", "message": "no"}),
    ],
)
def test_an_error_in_the_stream(shape: str, line: Any) -> None:
    """Under its own name, in place of the next event."""
    do = {"stream_error": {"after_words": 1, "error": "overloaded", "shape": shape, "message": "no"}}
    heard, stage = ask(do, stream=True)
    assert (heard.names[-1], heard.data[-1]) == ("error", line)
    assert (stage.ended.output_text, stage.ended.complete) == (1, False)


@pytest.mark.parametrize(
    ("do", "status", "kind"),
    [
        ({"error": {"status": 500}}, 500, "api_error"),
        ({"error": {"status": 529}}, 529, "overloaded_error"),
        ({"error": {"status": 504}}, 504, "timeout_error"),
        ({"error": {"status": 413}}, 413, "request_too_large"),
        ({"rejected": {"reason": "insufficient_balance"}}, 402, "billing_error"),
        ({"rejected": {"reason": "bad_key"}}, 401, "authentication_error"),
        ({"rejected": {"reason": "permission"}}, 403, "permission_error"),
        ({"rejected": {"reason": "too_long"}}, 400, "invalid_request_error"),
        ({"rate_limited": {"retry_after": "2500ms"}}, 429, "rate_limit_error"),
        ({"rate_limited": {"why": "spend_limit"}}, 429, "rate_limit_error"),
    ],
)
def test_errors_are_in_the_vendor_s_shape(do: Any, status: int, kind: str) -> None:
    """`type: error`, the error, the id of the request; whole seconds to wait, and none for money."""
    heard, stage = ask(do)
    body = heard.json
    assert (heard.status, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["request_id"] == heard.header("request-id")
    assert heard.header("retry-after") == ("3" if "retry_after" in str(do) else None)
    assert heard.header("retry-after-ms") is None and not stage.facts(ChatEnded)


def test_resets_are_times() -> None:
    """RFC 3339, for each bucket there is."""
    limits = {"rpm": 10, "tpm": 600, "input_tpm": 60, "output_tpm": 60}
    heard, _ = ask(plan={"limits": limits})
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        assert heard.header(f"anthropic-ratelimit-{name}-limit") is not None
    assert heard.header("anthropic-ratelimit-requests-reset") == "2026-01-05T00:00:06Z"
    assert heard.header("anthropic-organization-id") and heard.header("anthropic-workspace-id")
    assert heard.header("anthropic-ratelimit-output-tokens-remaining") == "57"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be"),
        ({"messages": []}, "messages: at least one"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"temperature": 1}, "temperature: not supported"),
        ({"messages": [{"role": "assistant", "content": [{"type": "document"}]}]}, "messages.0.content"),
        ({"system": 5}, "system: "),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: Any, message: str) -> None:
    """400, with the field that is wrong."""
    body = {key: value for key, value in (chat_body("anthropic") | change).items() if value is not None}
    heard, stage = ask(body=body)
    assert heard.status == 400 and heard.json["error"]["message"].startswith(message)
    assert stage.refused.reason == "parameters"


def test_images_documents_and_results_are_taken() -> None:
    """All count as input; the nonce may come with the user's id."""
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "document", "source": {}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "four"}]},
    ]
    body = chat_body("anthropic", system=[{"type": "text", "text": "be kind"}]) | {
        "messages": [{"role": "user", "content": blocks}],
        "metadata": {"user_id": "nonce:n7"},
    }
    heard, stage = ask(body=body)
    assert (heard.status, stage.ended.nonce) == (200, "n7")
    assert stage.ended.input_uncached == (4 + 2) + (4 + 85 + 85 + 1)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((("authorization", f"Bearer {KEY}"), ("anthropic-version", "2023-06-01")), 200),
        ((("x-api-key", KEY), ("anthropic-version", "2023-06-01")), 200),
        ((("x-api-key", KEY),), 400),
        ((("x-api-key", "wrong"), ("anthropic-version", "2023-06-01")), 401),
        ((("anthropic-version", "2023-06-01"),), 401),
    ],
)
def test_both_forms_of_the_key_and_a_version(headers: Any, status: int) -> None:
    """An older version still samples."""

    async def main(stage: ChatStage) -> int:
        body = json.dumps(chat_body("anthropic", temperature=1)).encode()
        answer = await stage.client.request("POST", f"http://p.test{PATH}", headers=headers, body=body)
        return answer.status

    assert with_chat(main, "anthropic") == status
