"""Requests that no client in its senses would send: each is answered, and no fake falls over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fakes.journal import Answered, TaskAccepted
from fakes.tasks import DIALECTS
from tests.fakes.chat_stage import PATHS, ChatStage, chat_body, with_chat
from tests.fakes.stage import Stage, with_billing, with_provider

HALF_A_LETTER = "\ud800"
ODD = [
    5,
    True,
    "x",
    [5],
    ["x"],
    {"a": 1},
    [None],
    [[]],
    [{}],
    HALF_A_LETTER,
    [HALF_A_LETTER],
    -5,
    0,
    1.5,
    None,
]
CALLED = {"responses": "openai", "embeddings": "openai", "gemini_stream": "gemini"}
SHAPES = {"gemini_stream": "gemini", "embeddings": "responses"}
FIELDS = (
    *("model", "messages", "input", "contents", "tools", "tool_choice", "metadata", "n", "max_tokens"),
    *("max_completion_tokens", "max_output_tokens", "stream_options", "nonce", "system", "instructions"),
    *("generationConfig", "systemInstruction", "toolConfig", "labels", "dimensions", "stop"),
)


def bodies(vendor: str) -> Iterator[dict[str, Any]]:
    """A good request with one odd value: in each of its fields, and deeper inside."""
    good = chat_body(vendor)
    for odd in ODD:
        for field in FIELDS:
            yield {**good, field: odd}
        yield {**good, "stream": True, "nonce": odd}
        yield {**good, "messages": [{"role": "user", "content": odd}]}
        yield {**good, "messages": [{"role": "user", "content": [odd]}]}
        yield {**good, "messages": [{"role": "assistant", "content": "x", "tool_calls": odd}]}
        yield {**good, "messages": [{"role": "user", "content": [{"type": "tool_use", "input": odd}]}]}
        yield {**good, "input": [{"role": "user", "content": odd}]}
        yield {**good, "input": [{"type": "function_call_output", "output": odd}]}
        yield {**good, "contents": [{"role": "user", "parts": odd}]}
        yield {**good, "contents": [{"role": "user", "parts": [odd]}]}
        yield {**good, "systemInstruction": {"parts": odd}}
        yield {**good, "generationConfig": {"maxOutputTokens": odd}}
        tool = {"type": "function", "function": {"name": odd}, "name": odd}
        yield {**good, "tools": [tool], "tool_choice": "required"}
        yield {**good, "tools": [tool], "tool_choice": {"type": "any"}}
        yield {**good, "tools": [{"functionDeclarations": odd}]}


@pytest.mark.parametrize("vendor", PATHS)
def test_an_odd_request_of_a_chat_is_answered_or_refused(vendor: str) -> None:
    """With 200, or in the vendor's words; nothing stays in progress."""

    async def main(stage: ChatStage) -> set[int]:
        called, path = CALLED.get(vendor, vendor), PATHS[vendor]
        answers = [await stage.call(path, body, vendor=called) for body in bodies(SHAPES.get(vendor, vendor))]
        assert len(stage.facts(Answered)) == len(answers) and stage.provider.running == 0
        return {answer.status for answer in answers}

    plan = {"first": "1ms", "between": "0s", "words": 3}
    assert with_chat(main, ["openai", "anthropic", "gemini"], plan=plan) <= {200, 400, 404}


@pytest.mark.parametrize(
    ("vendor", "more"),
    [
        ("openai", {"max_tokens": 0}),
        ("openai", {"max_completion_tokens": -1}),
        ("openai", {"max_tokens": True}),
        ("openai", {"tools": {}, "max_tokens": "5"}),
        ("openai", {"tools": 5}),
        ("responses", {"max_output_tokens": 0}),
        ("responses", {"tools": "x"}),
        ("anthropic", {"tools": 5}),
        ("anthropic", {"max_tokens": 0}),
        ("gemini", {"tools": 5}),
        ("gemini", {"generationConfig": {"maxOutputTokens": -1}}),
    ],
)
def test_what_a_vendor_refuses_is_refused(vendor: str, more: dict[str, Any]) -> None:
    """A bound on the output below one, tools that are no list: 400, and nothing is billed."""

    async def main(stage: ChatStage) -> int:
        called = CALLED.get(vendor, vendor)
        answer = await stage.call(PATHS[vendor], chat_body(vendor, **more), vendor=called)
        assert stage.refused.reason == "parameters"
        return answer.status

    assert with_chat(main, ["openai", "anthropic", "gemini"]) == 400


def test_a_bound_that_is_null_hides_no_other() -> None:
    """`max_completion_tokens: null` beside the older name."""

    async def main(stage: ChatStage) -> int:
        await stage.call(PATHS["openai"], chat_body(max_completion_tokens=None, max_tokens=3))
        return stage.ended.output_text

    assert with_chat(main) == 3


SUBMIT = {
    "runninghub": "/openapi/v2/x",
    "kling": "/v1/videos/text2video",
    "replicate": "/v1/predictions",
    "fal": "/a/b",
    "dashscope": "/api/v1/services/aigc/v/v",
    "minimax": "/v1/video_generation",
}
POLL = {
    "kling": ("/v1/videos/text2video/{}", "/v1/videos/text2video"),
    "replicate": ("/v1/predictions/{}", "/v1/predictions"),
    "fal": ("/a/b/requests/{}/status", "/a/b/requests/{}"),
    "dashscope": ("/api/v1/tasks/{}",),
    "minimax": ("/v1/query/video_generation?task_id={}", "/v1/files/retrieve?file_id=205{}"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_odd_task_is_taken_on_or_refused_and_shown(dialect: str) -> None:
    """Odd names and deep inputs come back in the answers that show them, to the end of the task."""
    deep = b'{"nonce":"d","input":{"a":' + b"[" * 100 + b"]" * 100 + b"}}"
    too_deep = b'{"input":' + b"[" * 980 + b"]" * 980 + b"}"
    cookie = [{"do": {"set_cookie": {}}}]

    async def main(stage: Stage) -> None:
        word = "Key" if dialect == "fal" else "Bearer"
        stage.headers = (("authorization", f"{word} canary-provider-p"), ("x-dashscope-async", "enable"))
        for field in ("nonce", "taskId", "external_task_id", "input", "version"):
            for odd in (*ODD, "a\r\nb: c", "é", "東"):
                await stage.call("POST", SUBMIT[dialect], {field: odd})
        await stage.call("POST", SUBMIT[dialect], deep)
        taken = len(stage.facts(TaskAccepted))
        await stage.call("POST", SUBMIT[dialect], too_deep)
        assert len(stage.facts(TaskAccepted)) == taken > 50
        await asyncio.sleep(30)
        for task in stage.facts(TaskAccepted):
            for path in POLL.get(dialect, ()):
                assert (await stage.call("GET", path.format(task.task_id))).status < 500
            if dialect == "runninghub":
                await stage.call("POST", "/openapi/v2/query", {"taskId": task.task_id})
        assert stage.wire.app_errors == []

    with_provider(main, dialect, acts=cookie)


MANY = "&".join(["a=1"] * 1_000)


@pytest.mark.parametrize("dialect", ["kling", "minimax"])
def test_a_query_of_a_thousand_fields_is_read(dialect: str) -> None:
    """However many there are."""

    async def main(stage: Stage) -> None:
        path = {"kling": "/v1/videos/text2video", "minimax": "/v1/query/video_generation"}[dialect]
        assert (await stage.call("GET", f"{path}?{MANY}")).status == 200
        assert stage.wire.app_errors == []

    with_provider(main, dialect)


def test_a_gemini_query_of_a_thousand_fields_is_read() -> None:
    """The key may stand among them."""

    async def main(stage: ChatStage) -> int:
        path = f"{PATHS['gemini']}?{MANY}&key=wrong"
        return (await stage.call(path, chat_body("gemini"), vendor="anthropic")).status

    assert with_chat(main, "gemini") == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=" + "9" * 5_000, 400),
        ("after=hold-" + "9" * 5_000, 400),
        ("limit=0", 200),
        ("after=hold-999999999999", 200),
        (MANY, 200),
    ],
)
def test_billing_reads_any_page_that_is_asked_for(query: str, status: int) -> None:
    """A number without end is none."""

    async def main(stage: Stage) -> int:
        answer = await stage.call("GET", f"/holds?{query}")
        assert stage.wire.app_errors == []
        return answer.status

    assert with_billing(main) == status
