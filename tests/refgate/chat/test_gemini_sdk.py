"""Google's own SDK as a caller of the gateway, in virtual time: over every vendor, well and ill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from fakes.journal import ChatEnded
from fakes.wire import Httpx2Transport
from tests.refgate.chat_kit import ChatWorld, S, played

VENDORS = ("of-east", "of-rome", "of-tokyo")
UNUSED = httpx2.Client(verify=False)
"""The SDK makes a client for calls that block, whether they are made or not; this one costs nothing."""


def models(world: ChatWorld, key: str = "canary-caller-alice", **options: Any) -> Any:
    given = types.HttpOptions(
        base_url="http://g0.test",
        httpx_client=UNUSED,
        httpx_async_client=httpx2.AsyncClient(transport=Httpx2Transport(world.wire, "client")),
        **options,
    )
    return genai.Client(api_key=key, http_options=given).aio.models


async def heard(world: ChatWorld, model: str, contents: Any = "hi nonce:n1") -> list[Any]:
    chunks = await models(world).generate_content_stream(model=model, contents=contents)
    return [chunk async for chunk in chunks]


@pytest.mark.parametrize("model", VENDORS)
def test_it_reads_what_any_vendor_said(tmp_path: Path, model: str) -> None:
    """The words, the end, the model that was asked for, and the vendor's own figures; whole and streamed."""

    async def story(world: ChatWorld) -> None:
        whole = await models(world).generate_content(model=model, contents="hi nonce:n1")
        chunks = await heard(world, model)
        first, second = (work for _, work in world.works())
        assert whole.text == first.text
        assert "".join(chunk.text or "" for chunk in chunks) == second.text
        assert len([chunk for chunk in chunks if chunk.text]) > 5
        for answer, work in ((whole, first), (chunks[-1], second)):
            assert answer.model_version == model
            assert answer.candidates[0].finish_reason == "STOP"
            assert figures(answer) == (work.input_uncached + work.cache_read, work.output_text)
        assert [row["flags"] for row in await world.rows("chats")] == [[], []]

    played(tmp_path, story)


def figures(answer: Any) -> tuple[int, int]:
    usage = answer.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    return usage.prompt_token_count, usage.candidates_token_count


def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain over {city}"


@pytest.mark.parametrize("model", VENDORS)
@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_a_function_and_tells_its_result(tmp_path: Path, model: str, stream: bool) -> None:
    """The call comes whole; the SDK's own way to send a result, without the call's id, finds its call."""

    async def story(world: ChatWorld) -> None:
        name = model.removeprefix("of-")
        world.vendor(name, {"count": 1, "do": {"completes": {"calls": 1, "words": 0}}})
        asked = models(world)
        manual = types.AutomaticFunctionCallingConfig(disable=True)
        config = types.GenerateContentConfig(tools=[weather], automatic_function_calling=manual)
        question = types.Content(role="user", parts=[types.Part(text="hi nonce:n1")])
        if stream:
            chunks = await asked.generate_content_stream(model=model, contents=[question], config=config)
            said = [part async for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
        else:
            answer = await asked.generate_content(model=model, contents=[question], config=config)
            said = answer.candidates[0].content.parts
        (call,) = [part.function_call for part in said if part.function_call]
        assert call.name == "weather"
        result = types.Part.from_function_response(name="weather", response={"result": weather("Ulm")})
        contents = [
            question,
            types.Content(role="model", parts=said),
            types.Content(role="user", parts=[result]),
        ]
        again = await asked.generate_content(model=model, contents=contents, config=config)
        assert again.text == world.works()[-1][1].text
        assert [row["outcome"] for row in await world.rows("chats")] == ["served", "served"]

    played(tmp_path, story)


def test_it_hears_nothing_of_a_backend_that_failed_first(tmp_path: Path) -> None:
    """Failover is silent until the first token, also in its stream."""

    async def story(world: ChatWorld) -> None:
        for name in ("east", "west"):
            world.vendor(name, {"do": {"stream_error": {"after_events": 0, "error": "overloaded"}}})
        chunks = await heard(world, "small")
        (work,) = [work for at, work in world.works() if at == "rome"]
        assert "".join(chunk.text or "" for chunk in chunks) == work.text

    played(tmp_path, story)


def raised(world: ChatWorld, call: Callable[[], Any]) -> Any:
    async def meet() -> Any:
        with pytest.raises(errors.APIError) as caught:
            await call()
        return caught.value

    return meet()


def test_every_failure_is_the_class_that_it_has_for_it(tmp_path: Path) -> None:
    """By the code and the status of its own protocol."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"error": {"status": 400}}})
        world.vendor("rome", {"do": {"rate_limited": {"retry_after": "30s"}}})
        asks = {
            (404, "NOT_FOUND"): lambda: models(world).generate_content(model="none", contents="x"),
            (401, "UNAUTHENTICATED"): lambda: models(world, "k").generate_content(
                model="small", contents="x"
            ),
            (402, "FAILED_PRECONDITION"): lambda: models(world, "canary-caller-bob").generate_content(
                model="small", contents="x"
            ),
            (400, "INVALID_ARGUMENT"): lambda: models(world).generate_content(model="of-east", contents="x"),
            (503, "UNAVAILABLE"): lambda: models(world).generate_content(model="of-rome", contents="x"),
        }
        for (code, status), call in asks.items():
            error = await raised(world, call)
            assert isinstance(error, errors.ClientError if code < 500 else errors.ServerError)
            assert (error.code, error.status) == (code, status)
        kinds = {one["@type"].rpartition(".")[2]: one for one in error.details["error"]["details"]}
        assert kinds["ErrorInfo"]["reason"] == "AllPoolsExhausted"
        assert 25 <= float(kinds["RetryInfo"]["retryDelay"].removesuffix("s")) <= 40

    played(tmp_path, story, chat__all_open="refuse")


@pytest.mark.parametrize("model", VENDORS)
def test_a_stream_that_breaks_is_never_taken_for_whole(tmp_path: Path, model: str) -> None:
    """Its reader takes a clean end for a good one: the gateway tells it an error instead."""

    async def story(world: ChatWorld) -> None:
        world.vendor(model.removeprefix("of-"), {"do": {"truncated": {"after_words": 3}}})
        pieces: list[str] = []

        async def listen() -> None:
            nonlocal pieces
            chunks = await models(world).generate_content_stream(model=model, contents="hi nonce:n1")
            async for chunk in chunks:
                pieces += [chunk.text or ""]

        error = await raised(world, listen)
        assert isinstance(error, errors.ServerError)
        assert "".join(pieces)
        assert (await world.only_chat())["outcome"] == "broken"

    played(tmp_path, story)


def test_it_tries_again_where_it_is_told_to(tmp_path: Path) -> None:
    """With the retries that it has to be asked for: each is a call of its own, and the last is served."""

    async def story(world: ChatWorld) -> None:
        world.vendor("rome", {"until": "3s", "do": {"error": {"status": 500}}})
        options = types.HttpRetryOptions(attempts=5, initial_delay=2, exp_base=2, max_delay=60, jitter=0)
        answer = await models(world, retry_options=options).generate_content(
            model="of-rome", contents="hi nonce:n1"
        )
        (work,) = [fact for fact in world.facts(ChatEnded) if fact.complete]
        assert answer.text == work.text
        assert world.loop.now_us < 60 * S
        assert [row["outcome"] for row in await world.rows("chats")][-1] == "served"

    played(tmp_path, story, chat__attempts=1)


def test_it_lists_the_models_under_v1(tmp_path: Path) -> None:
    """The path that this major of it uses; several vendors' SDKs ask there, each for its own shape."""

    async def story(world: ChatWorld) -> None:
        listed = [model.name async for model in await models(world).list()]
        assert {"models/small", "models/of-tokyo"} <= set(listed)

    played(tmp_path, story)
