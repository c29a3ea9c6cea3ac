"""Gemini as the wire has it: requests, answers, cumulative chunks, errors with their delay in the body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes.chat.gemini_words import retry_delay
from fakes.journal import ChatEnded
from tests.fakes.chat_stage import KEY, PATHS, ChatStage, Heard, chat_body, with_chat


def ask(
    *do: Any, plan: Any = None, path: str = "gemini", body: Any = None, **more: Any
) -> tuple[Heard, ChatStage]:
    async def main(stage: ChatStage) -> tuple[Heard, ChatStage]:
        given = body if body is not None else chat_body("gemini", **more)
        return await stage.listen(PATHS.get(path, path), given, vendor="gemini"), stage

    acts = [{"do": one} for one in do]
    return with_chat(main, "gemini", acts=acts, plan={"words": 2, **(plan or {})})


FIGURES = {"prompt": 1000, "cache_read": 600, "input_audio": 50, "reasoning": 7, "text": "hello there"}


def test_an_answer_in_one_piece() -> None:
    """What is cached is part of the prompt; thoughts are part of the total and not of the candidates."""
    heard, stage = ask({"completes": FIGURES})
    answer = heard.json
    assert len(answer.pop("responseId")) == 24
    assert answer == {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "[nonce:abc by p/1] hello there"}]},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 1000,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 7,
            "cachedContentTokenCount": 600,
            "totalTokenCount": 1010,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 950},
                {"modality": "AUDIO", "tokenCount": 50},
            ],
        },
        "modelVersion": "m",
    }
    ended = stage.ended
    assert (ended.input_uncached, ended.cache_read, ended.input_audio) == (350, 600, 50)
    assert (ended.output_text, ended.output_reasoning) == (3, 7)


def test_the_golden_sequence_of_a_stream() -> None:
    """Whole answers, one a line; usage so far on each; no `event:`, no `[DONE]`."""
    heard, stage = ask(path="gemini_stream", plan={"first": "100ms", "between": "10ms"})
    assert (heard.header("content-type"), heard.names) == ("text/event-stream", [])
    candidates = [chunk["candidates"][0] for chunk in heard.data]
    assert [candidate.get("finishReason") for candidate in candidates] == [None, None, None, "STOP"]
    assert "".join(candidate["content"]["parts"][0]["text"] for candidate in candidates) == stage.ended.text
    figures = [chunk["usageMetadata"]["candidatesTokenCount"] for chunk in heard.data]
    assert figures == [1, 2, 3, 3]
    assert [at_us for at_us, _ in heard.chunks] == [100_000, 110_000, 120_000]
    assert stage.accepted.model == "m" and stage.accepted.stream


def test_without_alt_sse_a_stream_is_one_array() -> None:
    """Element by element, also with an error for its last one."""
    heard, _ = ask(path="/v1/models/m:streamGenerateContent")
    assert heard.header("content-type") == "application/json; charset=UTF-8"
    assert len(json.loads(heard.text)) == 4 and len(heard.chunks) == 3
    for after in (0, 2):
        do = {"stream_error": {"after_events": after}}
        broken = json.loads(ask(do, path="/v1/models/m:streamGenerateContent")[0].text)
        assert (len(broken), broken[-1]["error"]["status"]) == (after + 1, "INTERNAL")


TOOLS = {"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]}


@pytest.mark.parametrize("path", ["gemini", "gemini_stream"])
def test_function_calls_come_whole_and_end_with_stop(path: str) -> None:
    """Forced by the config, or by the script."""
    config = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}
    heard, stage = ask(path=path, toolConfig=config, **TOOLS)
    first = (heard.data[0] if path == "gemini_stream" else heard.json)["candidates"][0]
    call = {"name": "g", "args": {"nonce": "abc", "by": "p/1"}}
    assert first["content"]["parts"] == [{"functionCall": call}]
    last = (heard.data[-1] if path == "gemini_stream" else heard.json)["candidates"][0]
    assert last["finishReason"] == "STOP" and stage.ended.output_text == 5


def test_a_call_that_cannot_be_read_is_not_shown() -> None:
    """It has a finish reason of its own."""
    do = {"broken_tool_call": {"shows": "not_json"}}
    candidate = ask({"completes": {"calls": 1}}, do, **TOOLS)[0].json["candidates"][0]
    assert (candidate["content"]["parts"], candidate["finishReason"]) == ([], "MALFORMED_FUNCTION_CALL")


@pytest.mark.parametrize("path", ["gemini", "gemini_stream"])
def test_a_blocked_prompt_is_an_answer_that_is_billed(path: str) -> None:
    """200, no candidates, usage of the prompt alone."""
    heard, stage = ask({"content_filter": {"side": "input"}}, path=path)
    answer = heard.data[0] if path == "gemini_stream" else heard.json
    assert "candidates" not in answer and answer["promptFeedback"] == {"blockReason": "SAFETY"}
    assert (answer["usageMetadata"]["totalTokenCount"], stage.ended.output_text) == (7, 0)
    assert "candidatesTokenCount" not in answer["usageMetadata"]
    assert stage.ended.billed and stage.ended.cost_nanos == 7_000


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ({"content_filter": {"side": "output"}}, "SAFETY"),
        ({"completes": {"finish": "length"}}, "MAX_TOKENS"),
        ({"completes": {"refusal": "No."}}, "STOP"),
        ({"no_finish": {"shows": "null"}}, None),
        ({"no_finish": {"shows": "unknown"}}, "BECAUSE"),
    ],
)
def test_why_an_answer_ends(do: Any, reason: str | None) -> None:
    """A refusal is only words here."""
    heard, _ = ask(do, path="gemini_stream")
    assert heard.data[-1]["candidates"][0]["finishReason"] == reason


@pytest.mark.parametrize(
    ("shown", "totals"),
    [
        ("exact", [8, 9, 10, 10]),
        ("every_event", [8, 9, 10, 10]),
        ("missing", [None] * 4),
        ("null", [None] * 4),
        ("with_finish", [None, None, None, 10]),
        ("early", [8, 9, 10, None]),
        ("late", [None, None, None, None, 10]),
        ("twice", [8, 9, 10, 10, 10, 10]),
        ("wrong_total", [15, 16, 17, 17]),
        ("strings", ["8", "9", "10", "10"]),
    ],
)
def test_what_a_stream_claims_to_have_used(shown: str, totals: list[Any]) -> None:
    """On every chunk, or elsewhere; the bill is the same."""
    heard, stage = ask({"usage": {"shown": shown}}, path="gemini_stream")
    seen = [(chunk.get("usageMetadata") or {}).get("totalTokenCount") for chunk in heard.data]
    assert (seen, stage.ended.output_text, stage.played()) == (totals, 3, [("usage", True)])


@pytest.mark.parametrize("shows", ["empty_choices", "null_content", "wrong_model", "wrong_id"])
def test_an_answer_whose_frame_is_wrong(shows: str) -> None:
    """Each as it is met."""
    answer = ask({"odd_answer": {"shows": shows}})[0].json
    match shows:
        case "empty_choices":
            assert answer["candidates"] == []
        case "null_content":
            assert "parts" not in answer["candidates"][0]["content"]
        case "wrong_model":
            assert answer["modelVersion"] == "another-model"
        case _:
            assert answer["responseId"] == "0"


def details(heard: Heard) -> dict[str, Any]:
    return {one["@type"].rpartition(".")[2]: one for one in heard.json["error"].get("details", ())}


@pytest.mark.parametrize(
    ("do", "status", "name"),
    [
        ({"error": {"status": 500}}, 500, "INTERNAL"),
        ({"error": {"status": 503}}, 503, "UNAVAILABLE"),
        ({"error": {"status": 504}}, 504, "DEADLINE_EXCEEDED"),
        ({"error": {"status": 401}}, 401, "UNAUTHENTICATED"),
        ({"rejected": {"reason": "bad_key"}}, 400, "INVALID_ARGUMENT"),
        ({"rejected": {"reason": "permission"}}, 403, "PERMISSION_DENIED"),
        ({"rejected": {"reason": "too_long"}}, 400, "INVALID_ARGUMENT"),
        ({"rejected": {"reason": "insufficient_balance"}}, 402, "FAILED_PRECONDITION"),
        ({"rate_limited": {"why": "money"}}, 429, "RESOURCE_EXHAUSTED"),
        ({"rate_limited": {"why": "spend_limit"}}, 429, "RESOURCE_EXHAUSTED"),
    ],
)
def test_errors_are_in_the_vendor_s_shape(do: Any, status: int, name: str) -> None:
    """Code, message, status by name; a bad key is a 400 that says why."""
    heard, stage = ask(do)
    error = heard.json["error"]
    assert (heard.status, error["code"], error["status"]) == (status, status, name)
    bad_key = do.get("rejected", {}).get("reason") == "bad_key"
    assert ("ErrorInfo" in details(heard)) is (bad_key or status == 401)
    assert not stage.facts(ChatEnded)


@pytest.mark.parametrize(
    ("form", "delay", "header"),
    [("own", "2.5s", None), ("body", "2.5s", None), ("seconds", None, "3"), ("none", None, None)],
)
def test_the_wait_stands_in_the_body(form: str, delay: str | None, header: str | None) -> None:
    """As a protobuf duration; a header only where the act puts one."""
    heard, _ = ask({"rate_limited": {"retry_after": "2500ms", "form": form}})
    told = details(heard)
    assert told["QuotaFailure"]["violations"][0]["quotaId"].startswith("GenerateRequestsPerMinute")
    assert told.get("RetryInfo", {}).get("retryDelay") == delay
    assert heard.header("retry-after") == header


def test_an_empty_bucket_says_how_long_in_the_body() -> None:
    """And which quota it was."""

    async def main(stage: ChatStage) -> Heard:
        await stage.listen(PATHS["gemini"], chat_body("gemini"), vendor="gemini")
        return await stage.listen(PATHS["gemini"], chat_body("gemini"), vendor="gemini")

    plan = {"words": 2, "prompt": 7, "first": "0s", "between": "0s", "limits": {"tpm": 10}}
    heard = with_chat(main, "gemini", plan=plan)
    told = details(heard)
    assert told["RetryInfo"]["retryDelay"] == "60s"
    assert "Tokens" in told["QuotaFailure"]["violations"][0]["quotaId"]


@pytest.mark.parametrize(
    ("us", "text"), [(39_000_000, "39s"), (500_000, "0.5s"), (1, "0.001s"), (60_000_000, "60s"), (0, "0s")]
)
def test_delays_are_protobuf_durations(us: int, text: str) -> None:
    """No trailing zero, no exponent."""
    assert retry_delay(us) == text


@pytest.mark.parametrize(
    "body",
    [
        5,
        {},
        {"contents": []},
        {"contents": [{"role": "robot", "parts": []}]},
        {"contents": [{"role": "user", "parts": "hi"}]},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(body: Any) -> None:
    """INVALID_ARGUMENT."""
    heard, stage = ask(body=body)
    assert (heard.status, heard.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert stage.refused.reason == "parameters"


def test_images_systems_and_both_spellings_are_taken() -> None:
    """In the names of JSON and of protobuf."""
    parts = [{"text": "nonce:n8"}, {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]
    heard, stage = ask(
        body={
            "contents": [{"parts": parts}],
            "system_instruction": {"parts": [{"text": "kind"}]},
            "generation_config": {"max_output_tokens": 1},
        }
    )
    assert heard.json["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert (stage.ended.nonce, stage.ended.input_uncached) == ("n8", (4 + 1) + (4 + 2 + 85))


def test_the_key_in_header_or_query_and_the_list_of_models() -> None:
    """Both versions of the path; without a key nobody is known."""

    async def main(stage: ChatStage) -> None:
        for path in (f"/v1/models?key={KEY}", f"/v1beta/models?key={KEY}"):
            answer = await stage.client.request("GET", f"http://p.test{path}")
            assert [entry["name"] for entry in json.loads(answer.body)["models"]] == ["models/a"]
        one = await stage.call("/v1/models/a", method="GET", vendor="gemini")
        assert json.loads(one.body)["name"] == "models/a"
        body = json.dumps(chat_body("gemini")).encode()
        for query, status in (("", 403), ("?key=wrong", 400), (f"?key={KEY}", 200)):
            path = f"/v1/models/a:generateContent{query}"
            assert (await stage.client.request("POST", f"http://p.test{path}", body=body)).status == status
        assert (await stage.call("/v1/models/z:generateContent", {}, vendor="gemini")).status == 400
        asked = chat_body("gemini")
        assert (await stage.call("/v1/models/z:generateContent", asked, vendor="gemini")).status == 404

    with_chat(main, "gemini", plan={"models": {"a": {}}})
