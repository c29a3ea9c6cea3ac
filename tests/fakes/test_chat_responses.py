"""Responses on the wire: the object, the numbered events, errors; and what the SDK makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.chat_sdks import outcome, platform_known
from tests.fakes.chat_stage import PATHS, ChatStage, Heard, chat_body, with_chat
from tests.fakes.test_chat_sdk_openai import the_openai_sdk

__all__ = ["platform_known"]

PATH = PATHS["responses"]


def ask(*do: Any, plan: Any = None, body: Any = None, **more: Any) -> tuple[Heard, ChatStage]:
    async def main(stage: ChatStage) -> tuple[Heard, ChatStage]:
        return await stage.listen(PATH, body if body is not None else chat_body("responses", **more)), stage

    acts = [{"do": one} for one in do]
    return with_chat(main, acts=acts, plan={"words": 2, **(plan or {})})


FIGURES = {"prompt": 100, "cache_read": 60, "cache_write_5m": 5, "reasoning": 3, "text": "hello there"}


def test_an_answer_in_one_piece() -> None:
    """Items in order; the figures include what is cached and what was thought."""
    heard, stage = ask({"completes": FIGURES})
    answer = heard.json
    reasoning, message = answer["output"]
    assert (reasoning["type"], reasoning["summary"]) == ("reasoning", [])
    assert message["content"] == [
        {"type": "output_text", "text": "[nonce:abc by p/1] hello there", "annotations": []}
    ]
    assert answer["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 106,
    }
    assert (answer["status"], answer["background"], answer["error"]) == ("completed", False, None)
    assert (stage.ended.input_uncached, stage.ended.cache_write_5m) == (35, 5)


def test_the_golden_sequence_of_a_stream() -> None:
    """Numbered from 0, each under its type; usage on the last alone; no `[DONE]`."""
    heard, stage = ask(stream=True, plan={"first": "100ms", "between": "10ms"})
    assert heard.names == [data["type"] for data in heard.data]
    assert heard.names == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [data["sequence_number"] for data in heard.data] == list(range(11))
    assert [at_us for at_us, _ in heard.chunks] == [0, 100_000, 110_000, 120_000]
    first, last = heard.data[0]["response"], heard.data[-1]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    assert last["usage"]["output_tokens"] == 3 and last["output"][0]["status"] == "completed"
    assert "".join(data["delta"] for data in heard.data[4:7]) == stage.ended.text


def test_reasoning_and_calls_are_items_of_their_own() -> None:
    """Arguments come as deltas and once more whole."""
    tools = [{"type": "function", "name": "f", "parameters": {}}]
    do = {"completes": {"reasoning": 2, "calls": 1}}
    heard, stage = ask(do, stream=True, tools=tools)
    added = [data["item"] for data in heard.data if data["type"] == "response.output_item.added"]
    assert [item["type"] for item in added] == ["reasoning", "function_call"]
    deltas = [
        data["delta"] for data in heard.data if data["type"] == "response.function_call_arguments.delta"
    ]
    (done,) = [data for data in heard.data if data["type"] == "response.function_call_arguments.done"]
    assert "".join(deltas) == done["arguments"] == '{"nonce":"abc","by":"p/1"}'
    assert (stage.ended.output_reasoning, stage.ended.output_text) == (2, 5)
    forced = ask(tools=tools, tool_choice={"type": "function", "name": "f"})[0].json
    assert [item["type"] for item in forced["output"]] == ["function_call"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ({"completes": {"finish": "length"}}, "max_output_tokens"),
        ({"content_filter": {"side": "output"}}, "content_filter"),
    ],
)
def test_an_incomplete_answer_is_billed(do: Any, reason: str, stream: bool) -> None:
    """It says why, and has usage."""
    heard, stage = ask(do, stream=stream)
    answer = heard.data[-1]["response"] if stream else heard.json
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert answer["usage"]["output_tokens"] == stage.ended.output_text > 0
    assert not stream or heard.names[-1] == "response.incomplete"


def test_a_refusal_is_content_of_its_own_kind() -> None:
    """With deltas of its own."""
    heard, _ = ask({"completes": {"refusal": "No."}}, stream=True)
    assert "response.refusal.delta" in heard.names and "response.refusal.done" in heard.names
    (message,) = heard.data[-1]["response"]["output"]
    assert message["content"] == [{"type": "refusal", "refusal": "[nonce:abc by p/1] No."}]


@pytest.mark.parametrize(("shown", "applied"), [("missing", True), ("zero", True), ("late", False)])
def test_usage_has_one_place_only(shown: str, applied: bool) -> None:
    """It can be wrong or missing there, and stand nowhere else."""
    heard, stage = ask({"usage": {"shown": shown}}, stream=True)
    assert stage.played() == [("usage", applied)]
    assert ("usage" in heard.data[-1]["response"]) is (shown != "missing")


@pytest.mark.parametrize("shows", ["missing", "null", "unknown"])
def test_no_honest_finish(shows: str) -> None:
    """No terminal event, or one without a true status."""
    heard, _ = ask({"no_finish": {"shows": shows}}, stream=True)
    if shows == "missing":
        assert heard.names[-1] == "response.output_item.done"
    else:
        assert heard.data[-1]["response"]["status"] == (None if shows == "null" else "because")


ERROR = {"message": "no", "type": "service_unavailable_error", "param": None, "code": "server_is_overloaded"}


@pytest.mark.parametrize(
    ("shape", "name", "rest"),
    [
        ("documented", "error", {"code": "server_is_overloaded", "message": "no", "param": None}),
        ("real", "error", {"error": ERROR}),
        ("failed", "response.failed", None),
    ],
)
def test_an_error_in_the_stream(shape: str, name: str, rest: Any) -> None:
    """Flat as documented, nested as seen, or as the terminal event; numbered like any other."""
    do = {"stream_error": {"after_events": 5, "error": "overloaded", "shape": shape, "message": "no"}}
    heard, stage = ask(do, stream=True)
    last = heard.data[-1]
    assert (heard.names[-1], last["type"], last["sequence_number"]) == (name, name, 5)
    if rest is None:
        assert last["response"]["status"] == "failed"
        assert last["response"]["error"] == {"code": "server_is_overloaded", "message": "no"}
    else:
        assert last == {"type": name, "sequence_number": 5} | rest
    assert not stage.ended.complete


@pytest.mark.parametrize(
    "change",
    [{"model": None}, {"input": []}, {"input": [{"type": "smell"}]}, {"background": True}],
)
def test_a_request_that_makes_no_sense_is_refused(change: Any) -> None:
    """Work in the background is not served, and says so."""
    heard, stage = ask(body=chat_body("responses") | change)
    assert (heard.status, stage.refused.dialect) == (400, "openai_responses")


def test_items_of_every_kind_are_taken() -> None:
    """Messages, images, calls and their results, instructions."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "four"}, {"type": "input_image"}]},
        {"type": "reasoning", "id": "rs"},
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "four"},
    ]
    heard, stage = ask(
        body={"model": "m", "input": items, "instructions": "kind", "metadata": {"nonce": "n9"}}
    )
    assert (heard.status, stage.ended.nonce) == (200, "n9")
    assert stage.ended.input_uncached == (4 + 1) + (4 + 1 + 85) + (4 + 1) + (4 + 1)


# --- what the SDK makes of it ---


async def events(stage: ChatStage) -> Any:
    told = await the_openai_sdk(stage).responses.create(model="m", input="hi nonce:abc", stream=True)
    return [event async for event in told]


def test_the_sdk_reads_an_answer() -> None:
    """Text and usage, as its own types."""

    async def whole(stage: ChatStage) -> Any:
        return await the_openai_sdk(stage).responses.create(model="m", input="hi nonce:abc")

    answer = outcome(whole, {"completes": {"text": "yes", "cache_read": 5}}).value
    assert answer.output_text == "[nonce:abc by p/1] yes"
    assert answer.usage.input_tokens_details.cached_tokens == 5


@pytest.mark.parametrize(
    ("do", "kind", "last"),
    [
        ({"completes": {}}, "NoneType", "response.completed"),
        ({"stream_error": {"after_events": 5}}, "NoneType", "error"),
        ({"stream_error": {"after_events": 5, "shape": "failed"}}, "NoneType", "response.failed"),
        ({"stream_error": {"after_events": 5, "shape": "real"}}, "APIError", None),
        ({"truncated": {"after_words": 1}}, "NoneType", "response.output_text.delta"),
        ({"cut_stream": {"after_words": 1}}, "APIConnectionError", None),
        ({"framing": {"kinds": ["no_event_line"]}}, "NoneType", "response.completed"),
    ],
)
def test_the_sdk_raises_only_for_the_nested_error(do: Any, kind: str, last: str | None) -> None:
    """The documented one is an event like the others; the name of an event is not needed."""
    ended = outcome(events, do)
    assert (ended.kind, len(ended.at_us)) == (kind, 1)
    assert (ended.value[-1].type if ended.value else None) == last


def test_the_helper_wants_a_completed_response() -> None:
    """A failed one is a RuntimeError."""

    async def final(stage: ChatStage) -> Any:
        async with the_openai_sdk(stage).responses.stream(model="m", input="hi") as told:
            return await told.get_final_response()

    assert outcome(final).value.output_text.startswith("[by p/1]")
    failed = outcome(final, {"stream_error": {"after_events": 5, "shape": "failed"}})
    assert failed.kind == "RuntimeError"
