"""OpenAI's own SDK judges the provider: classes, numbers of requests and waits as they were measured.

Everything is the SDK's own: its back-off, its reading of `Retry-After`, its stream reader. Only the network
and the clock are simulated.
"""

from __future__ import annotations

from typing import Any

import openai
import pytest

from fakes.journal import Received
from tests.fakes.chat_sdks import MESSAGES, http, outcome, platform_known
from tests.fakes.chat_stage import KEY, ChatStage, with_chat

__all__ = ["platform_known"]


def the_openai_sdk(stage: ChatStage, **given: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://p.test/v1", http_client=http(stage), **given)


async def openai_whole(stage: ChatStage) -> Any:
    return await the_openai_sdk(stage).chat.completions.create(model="m", messages=MESSAGES)


async def openai_stream(stage: ChatStage) -> Any:
    chunks = await the_openai_sdk(stage).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    return [chunk async for chunk in chunks]


# --- 9.1: the class of each status, and how often was asked ---------------------------------------

OPENAI = {
    400: ("BadRequestError", 1),
    401: ("AuthenticationError", 1),
    402: ("APIStatusError", 1),
    403: ("PermissionDeniedError", 1),
    404: ("NotFoundError", 1),
    408: ("APIStatusError", 3),
    409: ("ConflictError", 3),
    413: ("APIStatusError", 1),
    422: ("UnprocessableEntityError", 1),
    429: ("RateLimitError", 3),
    499: ("APIStatusError", 1),
    500: ("InternalServerError", 3),
    502: ("InternalServerError", 3),
    503: ("InternalServerError", 3),
    504: ("InternalServerError", 3),
    529: ("InternalServerError", 3),
}

STATUSES = [
    pytest.param(call, status, *seen, id=f"{call.__name__}-{status}")
    for call in (openai_whole, openai_stream)
    for status, seen in OPENAI.items()
]


@pytest.mark.parametrize(("call", "status", "kind", "requests"), STATUSES)
def test_each_status_is_its_class_after_so_many_requests(
    call: Any, status: int, kind: str, requests: int
) -> None:
    """Whether a stream was asked for or not."""
    ended = outcome(call, {"error": {"status": status}})
    assert (ended.kind, len(ended.at_us)) == (kind, requests)
    assert ended.error is not None and ended.error.status_code == status  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("do", "kind", "code"),
    [
        ({"rate_limited": {"why": "money"}}, "RateLimitError", "insufficient_quota"),
        ({"rejected": {"reason": "too_long"}}, "BadRequestError", "context_length_exceeded"),
        ({"rejected": {"reason": "bad_key"}}, "AuthenticationError", "invalid_api_key"),
        ({"content_filter": {"side": "input"}}, "BadRequestError", "content_filter"),
    ],
)
def test_openai_reads_the_code_of_the_error(do: Any, kind: str, code: str) -> None:
    """Also of a 429 that no waiting cures, which it asks for three times all the same."""
    ended = outcome(openai_whole, do)
    assert (ended.kind, ended.error.code) == (kind, code)  # type: ignore[union-attr]
    assert len(ended.at_us) == (3 if kind == "RateLimitError" else 1)


# --- 9.2: the forms of Retry-After ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "waits_us"),
    [
        ({"retry_after": "20ms", "form": "ms"}, [20_000, 20_000]),
        ({"retry_after": "1s", "form": "seconds"}, [1_000_000, 1_000_000]),
        ({"retry_after": "1500ms", "form": "fraction"}, [1_500_000, 1_500_000]),
        ({"retry_after": "2s", "form": "date"}, [2_000_000, 2_000_000]),
        ({"retry_after": "2500ms", "form": "own"}, [2_500_000, 2_500_000]),
        ({"retry_after": "300s", "form": "seconds"}, []),
    ],
)
def test_openai_waits_as_it_is_told(limit: Any, waits_us: list[int]) -> None:
    """Beyond two minutes it gives up at once."""
    ended = outcome(openai_whole, {"rate_limited": limit})
    assert (ended.kind, ended.waits_us) == ("RateLimitError", waits_us)


@pytest.mark.parametrize(
    "do", [{"rate_limited": {}}, {"rate_limited": {"retry_after": "9s", "form": "body"}}]
)
def test_without_a_header_the_wait_is_its_own(do: Any) -> None:
    """About half a second, then about one; what stands in the body is not read."""
    first, second = outcome(openai_whole, do).waits_us
    assert 375_000 <= first <= 500_000 and 750_000 <= second <= 1_000_000


def test_an_unreadable_hint_is_no_hint() -> None:
    """The wait is its own."""
    limited, odd = {"rate_limited": {}}, {"answer_headers": {"set": {"retry-after": "in a while"}}}
    first, second = outcome(openai_whole, limited, odd).waits_us
    assert 375_000 <= first <= 500_000 and 750_000 <= second <= 1_000_000


@pytest.mark.parametrize(("should", "requests"), [(True, 3), (False, 1)])
def test_x_should_retry_goes_before_the_status(should: bool, requests: int) -> None:
    """The server's word."""
    ended = outcome(openai_whole, {"rate_limited": {"why": "money", "should_retry": should}})
    assert len(ended.at_us) == requests


def test_a_bucket_that_is_empty_is_waited_for() -> None:
    """Three calls against one a second: the third gets its answer when the bucket has refilled."""

    async def main(stage: ChatStage) -> list[int]:
        for _ in range(3):
            await openai_whole(stage)
        return [fact.t_us for fact in stage.facts(Received)]

    plan = {"first": "0s", "between": "0s", "limits": {"rpm": 1}}
    assert with_chat(main, plan=plan) == [0, 0, 60_000_000, 60_000_000, 120_000_000]


# --- 9.3: failures of streams ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "kind"), [("documented", "APIError"), ("text", "APIError"), ("real", "APIError")]
)
def test_openai_raises_for_an_error_in_its_stream(shape: str, kind: str) -> None:
    """Without a status, and without asking again."""
    ended = outcome(
        openai_stream, {"stream_error": {"after_events": 3, "shape": shape, "error": "overloaded"}}
    )
    assert (ended.kind, len(ended.at_us)) == (kind, 1)
    assert not hasattr(ended.error, "status_code")
    if shape == "documented":
        assert ended.error.code == "server_is_overloaded"  # type: ignore[union-attr]


def test_openai_does_not_see_an_error_event_without_the_key() -> None:
    """It becomes an empty chunk, and the stream ends as if all were well."""
    ended = outcome(openai_stream, {"stream_error": {"after_events": 3, "shape": "event"}})
    assert ended.error is None and ended.value[-1].choices is None


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ({"cut_stream": {"after_words": 2, "how": "close"}}, "APIConnectionError"),
        ({"cut_stream": {"after_words": 2, "how": "reset"}}, "APIConnectionError"),
        ({"cut": {"fraction": "0.5"}}, "APIConnectionError"),
        ({"malformed_chunk": {"after_words": 2}}, "JSONDecodeError"),
    ],
)
def test_openai_raises_for_a_stream_that_breaks(do: Any, kind: str) -> None:
    """Once the first byte was there, nothing is asked again."""
    ended = outcome(openai_stream, do)
    assert (ended.kind, len(ended.at_us)) == (kind, 1)


@pytest.mark.parametrize(
    ("do", "chunks"),
    [
        ({"truncated": {"after_events": 3}}, 3),
        ({"truncated": {"after_events": 0}}, 0),
        ({"error_in_200": {}}, 0),
        ({"framing": {"kinds": ["no_done"]}}, 6),
        ({"framing": {"kinds": ["crlf", "comments", "pings", "no_space", "split"]}}, 6),
    ],
)
def test_what_openai_does_not_notice(do: Any, chunks: int) -> None:
    """An early end, an error under 200, no `[DONE]`, odd but lawful framing."""
    ended = outcome(openai_stream, do)
    assert (ended.error, len(ended.value)) == (None, chunks)


def test_openai_takes_an_error_under_200_for_an_answer() -> None:
    """Every field is None; a page is a text."""
    empty = outcome(openai_whole, {"error_in_200": {}}).value
    assert (empty.choices, empty.usage) == (None, None) and empty.error["type"] == "server_error"
    assert outcome(openai_whole, {"odd_body": {"kind": "html"}}).value.startswith("<html>")


@pytest.mark.parametrize("act", ["drop", "reset", "garbage"])
def test_openai_asks_again_when_a_connection_breaks_before_the_answer(act: str) -> None:
    """Three times, then a connection error."""
    ended = outcome(openai_whole, {act: {}})
    assert (ended.kind, len(ended.at_us)) == ("APIConnectionError", 3)


def test_an_answer_that_was_lost_is_paid_for_three_times() -> None:
    """The SDK asks again; each attempt was done and billed."""
    ended = outcome(openai_whole, {"accepted_and_lost": {"how": "reset"}})
    assert (ended.kind, len(ended.at_us)) == ("APIConnectionError", 3)
    assert len([fact for fact in ended.stage.journal if fact.kind == "chat-ended"]) == 3


# --- what goes well -------------------------------------------------------------------------------


def test_openai_reads_an_answer_and_its_usage() -> None:
    """Text, finish, figures, as its own types."""
    answer = outcome(openai_whole, {"completes": {"prompt": 1000, "cache_read": 600, "reasoning": 4}}).value
    assert answer.choices[0].message.content.startswith("[nonce:abc by p/1]")
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (1000, 600)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4


def test_openai_s_stream_helper_gathers_the_whole() -> None:
    """Tool calls joined, usage kept; a chunk after the usage takes it away again."""

    async def gathered(stage: ChatStage) -> Any:
        tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        async with the_openai_sdk(stage).chat.completions.stream(
            model="m", messages=MESSAGES, tools=tools, stream_options={"include_usage": True}
        ) as stream:
            return await stream.get_final_completion()

    whole = outcome(gathered, {"completes": {"calls": 1, "words": 2}}).value
    assert whole.choices[0].message.tool_calls[0].function.arguments == '{"nonce":"abc","by":"p/1"}'
    assert whole.choices[0].finish_reason == "tool_calls" and whole.usage.total_tokens == 10 + 3 + 5
    early = outcome(gathered, {"completes": {"calls": 1}}, {"usage": {"shown": "early"}}).value
    assert early.usage is None


def test_openai_embeds() -> None:
    """It asks for base64 and reads it back as floats."""

    async def embed(stage: ChatStage) -> Any:
        return await the_openai_sdk(stage).embeddings.create(model="m", input=["a", "b"], dimensions=4)

    answer = outcome(embed).value
    assert [len(entry.embedding) for entry in answer.data] == [4, 4] and answer.usage.total_tokens == 2


def test_openai_lists_models() -> None:
    """As its own type, page by page."""

    async def names(stage: ChatStage) -> list[str]:
        return [model.id async for model in the_openai_sdk(stage).models.list()]

    assert with_chat(names, plan={"models": {"a": {}, "b": {}}}) == ["a", "b"]
