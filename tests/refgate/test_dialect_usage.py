"""Usage in every protocol's own semantics becomes disjoint classes; what is not sound becomes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.dialects.canonical import Protocol
from refgate.dialects.spoken import Broke, Done, Event, Metered, Unmetered, Usage
from refgate.dialects.usage import (
    later,
    read_anthropic,
    read_embeddings,
    read_gemini,
    read_openai_chat,
    read_responses,
)
from refgate.dialects.usage_text import write_anthropic, write_openai_chat, write_responses
from refgate.money import loads_exact
from tests.refgate.dialect_kit import heard, sse, usages

# One bill, in five ways: 400 uncached, 600 from the cache, 60 of text and 40 of thought.
BILL = Usage(input=400, cache_read=600, output=100, reasoning=40)


@pytest.mark.parametrize(
    ("read", "figures"),
    [
        (
            read_openai_chat,
            {
                "prompt_tokens": 1000,
                "completion_tokens": 100,
                "total_tokens": 1100,
                "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 40, "rejected_prediction_tokens": 0},
            },
        ),
        (
            read_responses,
            {
                "input_tokens": 1000,
                "input_tokens_details": {"cached_tokens": 600},
                "output_tokens": 100,
                "output_tokens_details": {"reasoning_tokens": 40},
                "total_tokens": 1100,
            },
        ),
        (
            read_anthropic,
            {
                "input_tokens": 400,
                "cache_read_input_tokens": 600,
                "cache_creation_input_tokens": None,
                "output_tokens": 100,
                "output_tokens_details": {"thinking_tokens": 40},
                "server_tool_use": None,
            },
        ),
        (
            read_gemini,
            {
                "promptTokenCount": 1000,
                "cachedContentTokenCount": 600,
                "candidatesTokenCount": 60,
                "thoughtsTokenCount": 40,
                "totalTokenCount": 1100,
            },
        ),
    ],
)
def test_one_bill_in_every_dialect(read: Any, figures: dict[str, Any]) -> None:
    """Inclusive or not, the classes are the same."""
    assert read(figures) == BILL


@pytest.mark.parametrize(
    ("metered", "expected"),
    [
        # OpenAI: cache writes and sound are inside the prompt.
        (
            read_openai_chat(
                {
                    "prompt_tokens": 100,
                    "completion_tokens": 20,
                    "prompt_tokens_details": {
                        "cached_tokens": 10,
                        "cache_write_tokens": 20,
                        "audio_tokens": 30,
                    },
                    "completion_tokens_details": {"audio_tokens": 5},
                }
            ),
            Usage(input=40, cache_read=10, cache_write_5m=20, input_audio=30, output=15, output_audio=5),
        ),
        # xAI: reasoning stands beside the completion, and the total says so.
        (
            read_openai_chat(
                {
                    "prompt_tokens": 10120,
                    "completion_tokens": 1499,
                    "total_tokens": 14428,
                    "completion_tokens_details": {"reasoning_tokens": 2809},
                }
            ),
            Usage(input=10120, output=4308, reasoning=2809, flags=("reasoning_beside_completion",)),
        ),
        (
            read_responses(
                {
                    "input_tokens": 50,
                    "output_tokens": 1,
                    "input_tokens_details": {
                        "cached_tokens": 0,
                        "cache_write_tokens": 30,
                        "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20},
                    },
                }
            ),
            Usage(input=20, cache_write_5m=10, cache_write_1h=20, output=1),
        ),
        (
            read_anthropic(
                {
                    "input_tokens": 100,
                    "cache_creation_input_tokens": 500,
                    "cache_read_input_tokens": 2000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
                    "output_tokens": 100,
                    "server_tool_use": {"web_search_requests": 2},
                }
            ),
            Usage(
                input=100,
                cache_read=2000,
                cache_write_5m=200,
                cache_write_1h=300,
                output=100,
                web_searches=2,
            ),
        ),
        (
            read_anthropic({"input_tokens": 1, "cache_creation_input_tokens": 7, "output_tokens": 1}),
            Usage(input=1, cache_write_5m=7, output=1, flags=("cache_split_unknown",)),
        ),
        (
            read_gemini(
                {
                    "promptTokenCount": 100,
                    "toolUsePromptTokenCount": 7,
                    "promptTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 60},
                        {"modality": "AUDIO", "tokenCount": 40},
                    ],
                    "totalTokenCount": 107,
                }
            ),
            Usage(input=67, input_audio=40),
        ),
        (read_embeddings({"prompt_tokens": 8, "total_tokens": 8}), Usage(input=8)),
    ],
)
def test_each_class_of_tokens_is_found(metered: Metered, expected: Usage) -> None:
    """Every token is in one class, and in one only."""
    assert metered == expected


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ("null", "missing"),
        ("{}", "missing"),
        ("[]", "not_an_object"),
        ("7", "not_an_object"),
        ('{"prompt_tokens":-1,"completion_tokens":1}', "negative"),
        ('{"prompt_tokens":1,"completion_tokens":-1e400}', "negative"),
        ('{"prompt_tokens":"12","completion_tokens":1}', "not_a_number"),
        ('{"prompt_tokens":true,"completion_tokens":1}', "not_a_number"),
        ('{"prompt_tokens":NaN,"completion_tokens":1}', "not_finite"),
        ('{"prompt_tokens":Infinity,"completion_tokens":1}', "not_finite"),
        ('{"prompt_tokens":1.5,"completion_tokens":1}', "not_whole"),
        ('{"prompt_tokens":18446744073709551616,"completion_tokens":1}', "too_large"),
        ('{"prompt_tokens":1e308,"completion_tokens":1}', "too_large"),
        ('{"prompt_tokens":' + "9" * 5000 + ',"completion_tokens":1}', "too_large"),
        ('{"prompt_tokens":1,"completion_tokens":1,"total_tokens":3}', "total_is_not_the_sum"),
        (
            '{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":2}}',
            "cached_above_prompt",
        ),
        (
            '{"prompt_tokens":1,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":2}}',
            "details_above_completion",
        ),
        ('{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":[]}', "not_an_object"),
    ],
)
def test_hostile_figures_are_no_figures(figures: str, reason: str) -> None:
    """They never become an amount; the reason is kept."""
    assert read_openai_chat(loads_exact(figures)) == Unmetered(reason)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "audio_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "cachedContentTokenCount",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "thinking_tokens",
    "web_search_requests",
]
_GROUPS = [
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "output_tokens_details",
    "cache_creation",
    "server_tool_use",
    "promptTokensDetails",
    "candidatesTokensDetails",
    "cacheTokensDetails",
]
figures = st.one_of(st.integers(0, 100), json_values)
hostile = st.one_of(
    json_values,
    st.dictionaries(st.sampled_from(_NAMES), figures).flatmap(
        lambda flat: st.dictionaries(
            st.sampled_from(_GROUPS),
            st.dictionaries(st.sampled_from(_NAMES), figures) | figures,
        ).map(lambda groups: {**flat, **groups})
    ),
)


@given(hostile)
def test_whatever_a_provider_says_it_is_sound_figures_or_none(value: Any) -> None:
    """No exception, nothing negative, thought never above what came out."""
    for read in (read_openai_chat, read_responses, read_anthropic, read_gemini, read_embeddings):
        metered = read(value)
        if isinstance(metered, Usage):
            numbers = [metered.input, metered.cache_read, metered.cache_write_5m, metered.cache_write_1h]
            numbers += [metered.input_audio, metered.output, metered.output_audio, metered.reasoning]
            assert all(type(one) is int and one >= 0 for one in numbers)
            assert metered.reasoning <= metered.completion


@given(usages())
def test_what_is_shown_reads_back(usage: Usage) -> None:
    """Every caller is told the same bill."""
    assert read_openai_chat(write_openai_chat(usage)) == usage
    assert read_responses(write_responses(usage)) == usage
    assert read_anthropic(write_anthropic(usage)) == usage


def test_counts_do_not_fall() -> None:
    """Of two reports in one stream the later stands, unless it takes something back."""
    small, large = Usage(input=5, output=1), Usage(input=5, output=9)
    assert later(None, small) == small
    assert later(small, large) == large
    fallen = later(large, small)
    assert fallen == Usage(input=5, output=9, flags=("usage_fell",))
    assert later(large, Unmetered("negative")) == Unmetered("negative")


def chat_chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def bill(completion: int = 9) -> dict[str, Any]:
    return {"prompt_tokens": 5, "completion_tokens": completion, "total_tokens": 5 + completion}


ALONE = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(
            sse(chat_chunk("x"), chat_chunk(finish="stop"), {**ALONE, "usage": bill()}, done=True), id="own"
        ),
        pytest.param(
            sse(chat_chunk("x"), chat_chunk(finish="stop", usage=bill()), done=True), id="with finish"
        ),
        pytest.param(
            sse(chat_chunk("x"), chat_chunk(finish="stop"), chat_chunk(usage=bill()), done=True),
            id="choices not empty",
        ),
        pytest.param(
            sse(chat_chunk("x"), chat_chunk(finish="stop"), done=True) + sse({**ALONE, "usage": bill()}),
            id="after DONE",
        ),
        pytest.param(
            sse(chat_chunk("x", usage=bill(1)), chat_chunk(finish="stop", usage=bill(9)), done=True),
            id="cumulative",
        ),
        pytest.param(
            sse(
                chat_chunk("x", usage=None),
                chat_chunk(finish="stop", usage=None),
                {**ALONE, "usage": bill()},
                {**ALONE, "usage": bill()},
                chat_chunk(usage=None),
                done=True,
            ),
            id="twice and null",
        ),
        pytest.param(
            sse(
                {**ALONE, "prompt_filter_results": []},
                chat_chunk("x"),
                chat_chunk(finish="stop", usage=bill()),
            ),
            id="Azure's first chunk, and no DONE",
        ),
    ],
)
def test_usage_is_found_wherever_a_stream_puts_it(stream: bytes) -> None:
    """Recorded usage is emitted usage for every legal placement."""
    (*_, done) = heard(Protocol.OPENAI_CHAT, stream)
    assert isinstance(done, Done)
    assert done.usage == Usage(input=5, output=9)


def message_stream(start: dict[str, Any], *deltas: dict[str, Any], stop: bool = True) -> list[Event]:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": start}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 0},
        *(
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": delta}
            for delta in deltas
        ),
    ]
    if stop:
        events.append({"type": "message_stop"})
    return heard(Protocol.ANTHROPIC, sse(*events, named=True))


@pytest.mark.parametrize("deltas", [[], [{"input_tokens": 100}]])
def test_the_first_output_figure_of_a_message_is_none(deltas: list[dict[str, Any]]) -> None:
    """It stands there before a word is said: without a later one the output was never counted."""
    (*_, done) = message_stream({"input_tokens": 100, "output_tokens": 1}, *deltas)
    assert isinstance(done, Done)
    assert done.usage == Unmetered("missing")


def test_the_first_output_figure_of_a_message_bounds_nothing() -> None:
    """A prompt that met a filter brought nothing, whatever the message began with."""
    (*_, done) = message_stream({"input_tokens": 100, "output_tokens": 1}, {"output_tokens": 0})
    assert isinstance(done, Done)
    assert done.usage == Usage(input=100)


SPLIT = {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300}
FULL = Usage(input=100, cache_read=2000, cache_write_5m=200, cache_write_1h=300, output=90)


@pytest.mark.parametrize(
    ("start", "deltas", "expected"),
    [
        (
            {
                "input_tokens": 100,
                "cache_read_input_tokens": 2000,
                "cache_creation_input_tokens": 500,
                "cache_creation": SPLIT,
                "output_tokens": 1,
            },
            [{"output_tokens": 90}],
            FULL,
        ),
        (
            {
                "input_tokens": 100,
                "cache_read_input_tokens": 2000,
                "cache_creation_input_tokens": 500,
                "cache_creation": SPLIT,
                "output_tokens": 1,
            },
            [
                {"output_tokens": 40, "input_tokens": None},
                {"output_tokens": 90, "input_tokens": 100, "cache_creation_input_tokens": 500},
            ],
            FULL,
        ),
        (
            {"input_tokens": 100, "cache_creation": {}, "output_tokens": 1},
            [{"output_tokens": 90, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 500}],
            Usage(100, 2000, 500, 0, 0, 90, flags=("cache_split_unknown",)),
        ),
    ],
)
def test_usage_split_over_a_messages_events_is_laid_together(
    start: dict[str, Any], deltas: list[dict[str, Any]], expected: Usage
) -> None:
    """Later fields replace earlier ones; nothing is added up, and nulls say nothing."""
    (*_, done) = message_stream(start, *deltas)
    assert isinstance(done, Done)
    assert done.usage == expected


def test_a_stream_that_is_cut_keeps_what_was_counted() -> None:
    """Input tokens were announced at the start: a broken stream still costs them."""
    (*_, broke) = message_stream({"input_tokens": 100, "output_tokens": 1}, stop=False)
    assert isinstance(broke, Broke)
    assert broke.usage == Usage(input=100, output=1)


@given(hostile)
def test_hostile_usage_never_breaks_a_stream(value: Any) -> None:
    """What it says is or is not believed; the answer goes on."""
    plain = json.loads(json.dumps(value, default=str))
    (*_, done) = heard(Protocol.OPENAI_CHAT, sse(chat_chunk("x"), chat_chunk(finish="stop", usage=plain)))
    assert isinstance(done, Done)
