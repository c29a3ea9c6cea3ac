"""Google's own SDK judges the provider: classes, numbers of requests and waits as they were measured."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import types

from fakes.journal import Received
from tests.fakes.chat_sdks import http, outcome
from tests.fakes.chat_stage import KEY, ChatStage, with_chat

UNUSED = httpx2.Client(verify=False)
"""The SDK makes a client for calls that block, whether they are made or not; this one costs nothing."""


def the_google_sdk(stage: ChatStage, **options: Any) -> Any:
    given = types.HttpOptions(
        base_url="http://p.test", httpx_client=UNUSED, httpx_async_client=http(stage), **options
    )
    return genai.Client(api_key=KEY, http_options=given).aio.models


async def whole(stage: ChatStage) -> Any:
    return await the_google_sdk(stage).generate_content(model="m", contents="hi nonce:abc")


async def stream(stage: ChatStage) -> Any:
    chunks = await the_google_sdk(stage).generate_content_stream(model="m", contents="hi nonce:abc")
    return [chunk async for chunk in chunks]


async def patient(stage: ChatStage) -> Any:
    """With the retries that it has to be asked for."""
    options = types.HttpRetryOptions(attempts=3, initial_delay=1, exp_base=2, max_delay=60, jitter=0)
    models = the_google_sdk(stage, retry_options=options)
    return await models.generate_content(model="m", contents="hi")


def ended(call: Any, *do: Any) -> Any:
    return outcome(call, *do, vendors="gemini")


@pytest.mark.parametrize("call", [whole, stream])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(status, "ClientError") for status in (400, 401, 402, 403, 404, 408, 409, 413, 429, 499)]
    + [(status, "ServerError") for status in (500, 502, 503, 504)],
)
def test_each_status_is_its_class_after_one_request(call: Any, status: int, kind: str) -> None:
    """It asks once."""
    got = ended(call, {"error": {"status": status}})
    assert (got.kind, got.error.code, len(got.at_us)) == (kind, status, 1)


@pytest.mark.parametrize("form", ["own", "seconds", "body"])
def test_it_reads_no_hint_how_long_to_wait(form: str) -> None:
    """Asked to try again it goes by its own back-off, whatever header or body says."""
    got = ended(patient, {"rate_limited": {"retry_after": "39s", "form": form}})
    assert (got.kind, len(got.at_us)) == ("ClientError", 3)
    assert all(1_000_000 <= wait_us <= 5_000_000 for wait_us in got.waits_us)


def test_an_error_in_the_stream_is_the_class_of_its_code() -> None:
    """Not of the status 200."""
    for shape in ("documented", "real"):
        got = ended(stream, {"stream_error": {"after_words": 1, "error": "overloaded", "shape": shape}})
        assert (got.kind, got.error.code, len(got.at_us)) == ("ServerError", 503, 1)
    limited = ended(stream, {"stream_error": {"after_events": 0, "error": "rate"}})
    assert (limited.kind, limited.error.status) == ("ClientError", "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(("how", "kind"), [("close", "RemoteProtocolError"), ("reset", "ReadError")])
def test_a_stream_that_breaks_raises_the_library_s_own_error(how: str, kind: str) -> None:
    """And nothing is asked again."""
    got = ended(stream, {"cut_stream": {"after_words": 2, "how": how}})
    assert (got.kind, len(got.at_us)) == (kind, 1)


def test_what_it_does_not_notice() -> None:
    """An early end; an error under 200 in one piece, which is an answer of nothing."""
    assert len(ended(stream, {"truncated": {"after_words": 2}}).value) == 2
    assert ended(whole, {"error_in_200": {}}).value.candidates is None


def test_it_reads_an_answer_its_thoughts_and_its_usage() -> None:
    """Thoughts stand beside the candidates and are part of the total."""
    figures = {"prompt": 100, "cache_read": 60, "reasoning": 5, "text": "yes"}
    answer = ended(whole, {"completes": figures}).value
    usage = answer.usage_metadata
    assert answer.text == "[nonce:abc by p/1] yes"
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (100, 60)
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (2, 5)
    assert usage.total_token_count == 107


def test_its_stream_has_usage_so_far_on_every_chunk() -> None:
    """The last is the whole; their sum is nonsense."""
    chunks = ended(stream).value
    assert [chunk.usage_metadata.total_token_count for chunk in chunks] == [11, 12, 13, 14, 14]
    assert chunks[-1].candidates[0].finish_reason == "STOP"


def test_it_counts_tokens_and_asks_under_v1() -> None:
    """The path that this major of it uses."""

    async def main(stage: ChatStage) -> tuple[int, list[str]]:
        counted = await the_google_sdk(stage).count_tokens(model="m", contents="hi nonce:abc")
        return counted.total_tokens, [fact.path for fact in stage.facts(Received)]

    assert with_chat(main, "gemini") == (7, ["/v1/models/m:countTokens"])
