"""Anthropic's own SDK judges the provider: classes, numbers of requests and waits as they were measured."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.fakes.chat_sdks import MESSAGES, http, outcome, platform_known
from tests.fakes.chat_stage import KEY, ChatStage, with_chat

__all__ = ["platform_known"]


def the_anthropic_sdk(stage: ChatStage, **given: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=KEY, base_url="http://p.test", http_client=http(stage), **given)


async def whole(stage: ChatStage) -> Any:
    return await the_anthropic_sdk(stage).messages.create(model="m", max_tokens=99, messages=MESSAGES)


async def stream(stage: ChatStage) -> Any:
    events = await the_anthropic_sdk(stage).messages.create(
        model="m", max_tokens=99, messages=MESSAGES, stream=True
    )
    return [event async for event in events]


async def gathered(stage: ChatStage) -> Any:
    async with the_anthropic_sdk(stage).messages.stream(
        model="m", max_tokens=99, messages=MESSAGES, tools=[{"name": "f", "input_schema": {"type": "object"}}]
    ) as told:
        return await told.get_final_message()


def ended(call: Any, *do: Any, **more: Any) -> Any:
    return outcome(call, *do, vendors="anthropic", **more)


STATUSES = {
    400: ("BadRequestError", 1),
    401: ("AuthenticationError", 1),
    402: ("PaymentRequiredError", 1),
    403: ("PermissionDeniedError", 1),
    404: ("NotFoundError", 1),
    408: ("RequestTimeoutError", 3),
    409: ("ConflictError", 3),
    412: ("PreconditionFailedError", 1),
    413: ("ContentTooLargeError", 1),
    422: ("UnprocessableEntityError", 1),
    429: ("RateLimitError", 3),
    499: ("ClientClosedRequestError", 1),
    500: ("InternalServerError", 3),
    501: ("HTTPNotImplementedError", 3),
    502: ("InternalServerError", 3),
    503: ("ServiceUnavailableError", 3),
    504: ("GatewayTimeoutError", 3),
    529: ("OverloadedError", 3),
}


@pytest.mark.parametrize(("status", "kind", "requests"), [(key, *seen) for key, seen in STATUSES.items()])
@pytest.mark.parametrize("call", [whole, stream])
def test_each_status_is_its_class_after_so_many_requests(
    call: Any, status: int, kind: str, requests: int
) -> None:
    """Whether a stream was asked for or not."""
    got = ended(call, {"error": {"status": status}})
    assert (got.kind, len(got.at_us), got.error.status_code) == (kind, requests, status)


@pytest.mark.parametrize("why", ["money", "spend_limit"])
def test_a_spend_limit_has_a_class_of_its_own(why: str) -> None:
    """And is asked for three times like any 429."""
    got = ended(whole, {"rate_limited": {"why": why}})
    assert (got.kind, len(got.at_us)) == ("EnforcedSpendLimitReachedError", 3)


@pytest.mark.parametrize(
    ("limit", "waits_us"),
    [
        ({"retry_after": "20ms", "form": "ms"}, [20_000, 20_000]),
        ({"retry_after": "1s", "form": "seconds"}, [1_000_000, 1_000_000]),
        ({"retry_after": "1500ms", "form": "fraction"}, [1_500_000, 1_500_000]),
        ({"retry_after": "2s", "form": "date"}, [2_000_000, 2_000_000]),
        ({"retry_after": "2500ms", "form": "own"}, [3_000_000, 3_000_000]),
        ({"retry_after": "300s", "form": "seconds"}, [300_000_000, 300_000_000]),
    ],
)
def test_anthropic_waits_as_it_is_told(limit: Any, waits_us: list[int]) -> None:
    """For as long as it is told."""
    got = ended(whole, {"rate_limited": limit})
    assert (got.kind, got.waits_us) == ("RateLimitError", waits_us)


def test_without_a_header_the_wait_is_its_own() -> None:
    """About half a second, then about one."""
    first, second = ended(whole, {"rate_limited": {}}).waits_us
    assert 375_000 <= first <= 500_000 and 750_000 <= second <= 1_000_000


def test_an_unreadable_hint_is_no_hint() -> None:
    """The wait is its own."""
    limited, odd = {"rate_limited": {}}, {"answer_headers": {"set": {"retry-after": "in a while"}}}
    first, second = ended(whole, limited, odd).waits_us
    assert 375_000 <= first <= 500_000 and 750_000 <= second <= 1_000_000


@pytest.mark.parametrize(("should", "requests"), [(True, 3), (False, 1)])
def test_x_should_retry_goes_before_the_status(should: bool, requests: int) -> None:
    """The server's word."""
    got = ended(whole, {"rate_limited": {"should_retry": should}})
    assert len(got.at_us) == requests


def test_an_error_in_the_stream_has_the_status_of_the_stream() -> None:
    """`status_code` 200, the right type, not the class of that type; asked once."""
    got = ended(stream, {"stream_error": {"after_events": 4, "error": "overloaded"}})
    assert (got.kind, got.error.status_code, len(got.at_us)) == ("APIStatusError", 200, 1)
    assert got.error.body["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(
    ("do", "kinds"),
    [
        ({"cut_stream": {"after_words": 2, "how": "close"}}, ("RemoteProtocolError",)),
        ({"cut_stream": {"after_words": 2, "how": "reset"}}, ("ReadError",)),
    ],
)
def test_a_stream_that_breaks_raises_the_library_s_own_error(do: Any, kinds: tuple[str, ...]) -> None:
    """And nothing is asked again."""
    got = ended(stream, do)
    assert got.kind in kinds and len(got.at_us) == 1


@pytest.mark.parametrize(
    ("do", "last"),
    [
        ({"truncated": {"after_words": 2}}, "content_block_delta"),
        ({"framing": {"kinds": ["extra_done"]}}, "message_stop"),
        ({"framing": {"kinds": ["crlf", "comments", "pings", "split"]}}, "message_stop"),
        ({"framing": {"kinds": ["no_event_line"]}}, None),
        ({"error_in_200": {}}, None),
    ],
)
def test_what_anthropic_does_not_notice(do: Any, last: str | None) -> None:
    """An early end; a foreign `[DONE]`; without its `event:` lines every event is dropped in silence."""
    got = ended(stream, do)
    assert got.error is None
    assert (got.value[-1].type if got.value else None) == last


def test_an_error_under_200_is_a_message_of_nothing() -> None:
    """Every field is None; a page is a text."""
    message = ended(whole, {"error_in_200": {}}).value
    assert (message.content, message.stop_reason, message.usage) == (None, None, None)
    assert ended(whole, {"odd_body": {"kind": "html"}}).value.startswith("<html>")


@pytest.mark.parametrize("act", ["drop", "reset", "garbage"])
def test_it_asks_again_when_a_connection_breaks_before_the_answer(act: str) -> None:
    """Three times, then a connection error."""
    got = ended(whole, {act: {}})
    assert (got.kind, len(got.at_us)) == ("APIConnectionError", 3)


def test_its_helper_gathers_thinking_text_and_tools() -> None:
    """Usage is overwritten by the last delta, never added up."""
    figures = {"calls": 1, "words": 2, "reasoning": 3, "prompt": 100, "cache_read": 60, "cache_write_1h": 10}
    for shown in ("exact", "twice", "every_event"):
        message = ended(gathered, {"completes": figures}, {"usage": {"shown": shown}}).value
        thinking, text, tool = message.content
        assert (thinking.thinking, tool.input) == ("step-0 step-1 step-2", {"nonce": "abc", "by": "p/1"})
        assert text.text.startswith("[nonce:abc by p/1]") and message.stop_reason == "tool_use"
        usage = message.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (30, 60, 11)
        assert (usage.cache_creation_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens) == (10, 10)


def test_it_counts_tokens_and_lists_models() -> None:
    """For nothing."""

    async def main(stage: ChatStage) -> tuple[int, list[str]]:
        client = the_anthropic_sdk(stage)
        counted = await client.messages.count_tokens(model="a", messages=MESSAGES)
        return counted.input_tokens, [model.id async for model in client.models.list()]

    assert with_chat(main, "anthropic", plan={"models": {"a": {}}}) == (7, ["a"])
