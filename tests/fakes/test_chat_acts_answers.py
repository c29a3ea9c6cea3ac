"""Acts on what a chat says and claims: usage, finish, frame, tools; on the wire and in the journal."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fakes.acts.play import Category, Play
from fakes.acts.script import ChatAct
from fakes.acts.vocabulary import ChatDo
from tests.fakes.chat_asks import EVENTS, PATH, ask, words
from tests.fakes.chat_stage import ChatStage, Heard, chat_body, with_chat

# --- usage ----------------------------------------------------------------------------------------

WITH_USAGE = {"stream_options": {"include_usage": True}}


def usages(heard: Heard) -> list[Any]:
    return [chunk.get("usage", "no field") if isinstance(chunk, dict) else chunk for chunk in heard.data]


@pytest.mark.parametrize(
    ("shown", "last_four"),
    [
        ("exact", [None, None, 15, "[DONE]"]),
        ("missing", [None, None, None, "[DONE]"]),
        ("null", [None, None, None, "[DONE]"]),
        ("late", [None, None, "[DONE]", 15]),
        ("early", [None, 15, None, "[DONE]"]),
        ("with_finish", [None, None, 15, "[DONE]"]),
        ("every_event", [15, 15, 15, "[DONE]"]),
        ("twice", [None, 15, 15, "[DONE]"]),
        ("zero", [None, None, 0, "[DONE]"]),
        ("negative", [None, None, -15, "[DONE]"]),
        ("huge", [None, None, 2**63 - 1, "[DONE]"]),
        ("strings", [None, None, "15", "[DONE]"]),
        ("wrong_total", [None, None, 22, "[DONE]"]),
    ],
)
def test_what_a_stream_claims_to_have_used(shown: str, last_four: list[Any]) -> None:
    """Wherever it stands and whatever it says, the bill is the same."""
    heard, stage = ask({"usage": {"shown": shown}}, **WITH_USAGE)
    seen = [usage["total_tokens"] if isinstance(usage, dict) else usage for usage in usages(heard)[-4:]]
    assert seen == last_four
    ended = stage.ended
    assert (ended.input_uncached, ended.output_text, ended.cost_nanos) == (10, 5, 30_000)
    told = [usage for usage in usages(heard) if isinstance(usage, dict)]
    assert (json.loads(ended.usage_shown) if ended.usage_shown else None) == (told[-1] if told else None)
    assert stage.played() == [("usage", True)]


def test_cumulative_usage_grows_with_every_event() -> None:
    """As some servers send it, asked or not."""
    heard, _ = ask({"usage": {"shown": "every_event"}})
    totals = [usage["completion_tokens"] for usage in usages(heard)[:-1]]
    assert totals == [0, 1, 2, 3, 4, 5, 5]


def test_more_cached_than_there_was() -> None:
    """A part that is greater than the whole."""
    usage = ask({"usage": {"shown": "cached_above_prompt"}}, stream=False)[0].json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1_010 > usage["prompt_tokens"]


@pytest.mark.parametrize(
    ("shown", "usage"), [("missing", "no field"), ("null", None), ("floats", 15.0), ("strings", "15")]
)
def test_usage_of_an_answer_in_one_piece(shown: str, usage: Any) -> None:
    """The kinds without a place play here too."""
    seen = ask({"usage": {"shown": shown}}, stream=False)[0].json.get("usage", "no field")
    assert (seen["total_tokens"] if isinstance(seen, dict) else seen) == usage


# --- the answer itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("shows", ["missing", "null", "unknown"])
def test_no_honest_finish(shows: str, stream: bool) -> None:
    """Missing, null, or a word nobody knows."""
    heard, stage = ask({"no_finish": {"shows": shows}}, stream=stream)
    chunks = heard.data[:-1] if stream else [heard.json]
    seen = [chunk["choices"][0].get("finish_reason") for chunk in chunks]
    assert seen[-1] == ("because" if shows == "unknown" else None)
    assert (len(heard.data) == EVENTS - 1) is (stream and shows == "missing")
    assert stage.ended.complete


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("shows", ["empty_choices", "null_content", "wrong_model", "wrong_id"])
def test_an_answer_whose_frame_is_wrong(shows: str, stream: bool) -> None:
    """The truth stays in the journal."""
    heard, stage = ask({"odd_answer": {"shows": shows}}, stream=stream)
    answer = heard.data[1] if stream else heard.json
    match shows:
        case "empty_choices":
            assert answer["choices"] == []
        case "null_content":
            assert answer["choices"][0]["delta" if stream else "message"]["content"] is None
        case "wrong_model":
            assert answer["model"] == "another-model"
        case _:
            assert answer["id"] == "chatcmpl-0"
    assert (stage.ended.model, stage.ended.output_text) == ("m", 5)
    assert bool(stage.ended.text) is (shows in ("wrong_model", "wrong_id"))


def test_a_stream_may_begin_with_a_chunk_of_no_choices() -> None:
    """Everything after it is honest; an answer in one piece has no first chunk."""
    heard, stage = ask({"odd_answer": {"shows": "empty_first"}})
    assert heard.data[0]["choices"] == [] and len(heard.data) == EVENTS + 1
    assert stage.ended.text == "".join(words(heard)) and stage.played() == [("odd_answer", True)]
    assert ask({"odd_answer": {"shows": "empty_first"}}, stream=False)[1].played() == [("odd_answer", False)]


TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}


@pytest.mark.parametrize(
    ("shows", "name", "arguments"),
    [
        ("not_json", "f", '{"nonce":"abc","by":"p/'),
        ("empty", "f", ""),
        ("not_offered", "tool_nobody_offered", '{"nonce":"abc","by":"p/1"}'),
    ],
)
def test_a_broken_tool_call(shows: str, name: str, arguments: str) -> None:
    """Arguments that cannot be read, or a tool that is not there."""
    heard, _ = ask({"broken_tool_call": {"shows": shows}}, stream=False, **TOOLS)
    (call,) = heard.json["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": name, "arguments": arguments}


def test_a_filter_on_the_output_stops_half_way_and_is_billed() -> None:
    """Finish `content_filter` after half the words."""
    heard, stage = ask({"content_filter": {"side": "output"}})
    assert heard.data[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert (len(words(heard)), stage.ended.output_text) == (3, 3)


def test_a_filter_on_the_input_is_an_error_here() -> None:
    """400, nothing done."""
    heard, stage = ask({"content_filter": {"side": "input"}})
    assert (heard.status, heard.json["error"]["code"]) == (400, "content_filter")
    assert (stage.refused.reason, stage.played()) == ("content_filter", [("content_filter", True)])


def test_one_caller_gets_another_s_words() -> None:
    """The nonce of the request before it is in the answer."""

    async def main(stage: ChatStage) -> str:
        await stage.call(PATH, chat_body(text="nonce:first"))
        return (await stage.call(PATH, chat_body(text="nonce:second"))).body.decode()

    assert "[nonce:first by p/2]" in with_chat(main, acts=[{"do": {"answer_leak": {}}}])


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_said_and_counted_is_an_act_too(stream: bool) -> None:
    """The words, the classes of tokens, the finish; the bill is by class."""
    figures = {"prompt": 100, "cache_read": 50, "cache_write_5m": 20, "cache_write_1h": 10, "reasoning": 3}
    heard, stage = ask({"completes": {"text": "yes no", "finish": "length", **figures}}, stream=stream)
    ended = stage.ended
    assert ended.text == "[nonce:abc by p/1] yes no" and '"finish_reason":"length"' in heard.text
    assert (ended.input_uncached, ended.cache_read, ended.cache_write_5m, ended.cache_write_1h) == (
        20,
        50,
        20,
        10,
    )
    assert (ended.output_text, ended.output_reasoning, heard.ended_us) == (3, 3, 150_000)


def test_how_long_a_completion_takes_is_an_act_too() -> None:
    """Its first token and the time between two."""
    heard, _ = ask({"takes": {"first": "5s", "between": "1s"}})
    assert [at_us for at_us, _ in heard.chunks] == [n * 1_000_000 for n in (5, 6, 7, 8, 9)]


def test_late_headers_and_encodings() -> None:
    """The acts on any answer compose with a stream: delay, cookie, headers, gzip event by event."""
    heard, stage = ask(
        {"latency": {"by": "1s"}},
        {"set_cookie": {}},
        {"answer_headers": {"set": {"x-extra": "1"}}},
        {"compressed": {}},
    )
    assert heard.chunks[0][0] == 1_100_000 and len(heard.chunks) == 5
    assert heard.header("set-cookie") == "session=abc; Path=/" and heard.header("x-extra") == "1"
    assert gzip.decompress(heard.body) == ask()[0].body
    assert stage.ended.complete and stage.ended.events == EVENTS


def test_a_bloated_stream_is_padded_at_its_end() -> None:
    """Spaces after the last event."""
    heard, _ = ask({"bloated": {"bytes": 5_000}})
    assert len(heard.body) == 5_000 and heard.body.rstrip().endswith(b"[DONE]")


# --- acts that cannot take effect -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "stream"),
    [
        ({"truncated": {"after_events": 99}}, True),
        ({"stall": {"after_words": 0}}, False),
        ({"stream_error": {"after_events": 0}}, False),
        ({"framing": {"kinds": ["crlf"]}}, False),
        ({"usage": {"shown": "late"}}, False),
        ({"broken_tool_call": {}}, True),
        ({"answer_leak": {}}, True),
    ],
)
def test_an_act_without_effect_says_so(do: Any, stream: bool) -> None:
    """A place that does not come, a stream that was not asked for, a call that is not made."""
    heard, stage = ask(do, stream=stream)
    assert stage.played() == [(next(iter(do)), False)]
    assert heard.status == 200 and stage.ended.complete


def test_acts_can_ask_for_model_and_stream() -> None:
    """A pattern of names, and whether a stream was asked for."""

    async def main(stage: ChatStage) -> list[int]:
        asked = [("a-1", False), ("a-1", True), ("b", True)]
        bodies = [chat_body(stream=stream) | {"model": model} for model, stream in asked]
        return [(await stage.call(PATH, body)).status for body in bodies]

    act = {"match": {"model": "a-*", "stream": True, "op": "chat"}, "do": {"error": {}}}
    assert with_chat(main, acts=[act]) == [200, 500, 200]


def test_an_act_on_chats_is_written_back_as_it_was_read() -> None:
    """What a shrunk scenario prints can be read again, and the schema knows every act."""
    given = {
        "from": "10s",
        "count": 3,
        "match": {"op": "chat", "model": "a-*", "stream": True},
        "do": {"stream_error": {"after_words": 2, "error": "overloaded", "billed": "nothing"}},
    }
    read = ChatAct.model_validate(given)
    assert read.model_dump(mode="json", by_alias=True, exclude_defaults=True) == given
    schema = str(ChatAct.model_json_schema())
    assert all(f"'{name}'" in schema for name in ChatDo.model_fields)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        ({"do": {"stall": {}}}, "say where"),
        ({"do": {"truncated": {"after_events": 1, "after_words": 1}}}, "say where"),
        ({"do": {"completes": {"prompt": 5, "cache_read": 6}}}, "parts of prompt"),
        ({"do": {"completes": {"refusal": "No.", "text": "yes"}}}, "stands in place"),
        ({"do": {"framing": {"kinds": []}}}, "at least 1"),
        ({"match": {"op": "submit"}, "do": {"error": {}}}, "op"),
        ({"match": {"op": "embed"}, "do": {"stall": {"after_words": 1}}}, "never meets op embed"),
        ({"do": {"task_fails": {}}}, "task_fails"),
    ],
)
def test_an_act_that_makes_no_sense_is_refused(act: Any, says: str) -> None:
    """With the reason."""
    with pytest.raises(ValidationError, match=says):
        ChatAct.model_validate(act)


def test_every_act_of_chats_is_tested_here() -> None:
    """A new act without a test on the wire is seen."""
    pages = sorted(Path(__file__).parent.glob("test_chat_acts_*.py"))
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in ChatDo.model_fields if f'"{name}"' not in text] == []


def test_every_act_of_chats_meets_chats() -> None:
    """None is there that no request could meet."""
    for field in ChatDo.model_fields.values():
        (kind,) = (one for one in field.annotation.__args__ if one is not type(None))  # type: ignore[union-attr]
        assert issubclass(kind, Play) and "chat" in kind.ops
        assert kind.category in (Category.ANSWER, Category.DELAY, Category.HEADERS, Category.TASK)
