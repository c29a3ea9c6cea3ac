"""The cache in the flow: asked twice, worked for once; nobody is given what is another's, or not whole."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fakes.wire import Answer
from tests.refgate.chat_kit import PROTOCOLS, ChatWorld, played, said

CACHE = {"cache": {"ttl": "1m"}}


def still(protocol: str) -> dict[str, Any]:
    """What asks for no chance in the answer."""
    return {"generationConfig": {"temperature": 0}} if protocol == "gemini" else {"temperature": 0}


def shown_usage(protocol: str, body: dict[str, Any]) -> Any:
    return body["usageMetadata" if protocol == "gemini" else "usage"]


@pytest.mark.parametrize("model", ["of-east", "of-rome", "of-tokyo"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("first", [False, True], ids=["whole-first", "stream-first"])
def test_the_same_question_is_worked_for_once(tmp_path: Path, protocol: str, model: str, first: bool) -> None:
    """Asked whole or as a stream, the kept answer serves both; it is the asker's own, and costs nothing."""

    async def story(world: ChatWorld) -> None:
        how = {"most": None if protocol != "anthropic" else 200, **still(protocol)}
        answers = [
            await world.call(protocol, model=model, stream=stream, **how)
            for stream in (first, not first, first)
        ]
        assert [answer.header("x-cache") for answer in answers] == ["MISS", "HIT", "HIT"]
        assert [answer.status for answer in answers] == [200, 200, 200]
        ((_, work),) = world.works()
        assert {said(protocol, answer) for answer in answers} == {work.text}
        assert len({answer.header("x-request-id") for answer in answers}) == 3
        rows = await world.rows("chats")
        assert [row["outcome"] for row in rows] == ["served", "cached", "cached"]
        assert [row["cache"] for row in rows] == ["miss", "hit", "hit"]
        assert [row["amount_nanos"] for row in rows] == [work.cost_nanos, 0, 0]
        assert rows[1]["output"] == rows[1]["attempts"] == 0
        assert len(await world.rows("chat_attempts")) == 1
        holds = await world.rows("holds")
        assert {hold["state"] for hold in holds} == {"finalized"}
        await asyncio.sleep(2)
        logged = await world.rows("requests")
        assert [(row["outcome"], row["cache"]) for row in logged] == [
            ("served", "miss"),
            ("cached", "hit"),
            ("cached", "hit"),
        ]

    played(tmp_path, story, **CACHE)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_hit_shows_the_figures_of_the_first(tmp_path: Path, protocol: str) -> None:
    """The token counts are the answer's; only the account was spared."""

    async def story(world: ChatWorld) -> None:
        bodies = []
        for _ in range(2):
            answer = await world.call(protocol, model="of-rome", **still(protocol))
            bodies.append(json.loads(answer.body))
        assert shown_usage(protocol, bodies[0]) == shown_usage(protocol, bodies[1])
        model = "modelVersion" if protocol == "gemini" else "model"
        assert bodies[0][model] == bodies[1][model] == "of-rome"

    played(tmp_path, story, **CACHE)


def test_a_hit_at_full_price_costs_what_the_first_did(tmp_path: Path) -> None:
    """As declared; and where the account does not bear it, there is none."""

    async def story(world: ChatWorld) -> None:
        for _ in range(2):
            await world.call(temperature=0)
        first, hit = [row["amount_nanos"] for row in await world.rows("chats")]
        assert first == hit > 0
        (account,) = [row for row in await world.rows("accounts") if row["account"] == "alice"]
        assert account["settled_nanos"] == 2 * first and account["held_nanos"] == 0
        assert len(world.works()) == 1

    played(tmp_path, story, cache={"hit": "full_price"})


def test_no_account_is_given_what_another_asked_for(tmp_path: Path) -> None:
    """Not even where one caller acts for both (C1)."""

    async def story(world: ChatWorld) -> None:
        mine = await world.call(temperature=0)
        other = await world.call(temperature=0, headers=(("x-thread-id", "alice-2"),))
        assert [answer.header("x-cache") for answer in (mine, other)] == ["MISS", "MISS"]
        assert len(world.works()) == 2

    played(tmp_path, story, **CACHE)


@pytest.mark.parametrize(
    "change",
    [
        {"text": "nonce:n2 else"},
        {"model": "gpt-4o-mini"},
        {"top_p": 0.5},
        {"most": 100},
        {"user": "u"},
        {"metadata": {"a": "b"}},
        {"stop": ["x"]},
        {"seed": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_another_entry(tmp_path: Path, change: dict[str, Any]) -> None:
    """Model, words, every parameter, known to matter or not."""

    async def story(world: ChatWorld) -> None:
        for asked in ({}, change, change):
            answer = await world.call(**{"temperature": 0, **asked})
            assert answer.status == 200
        assert len(world.works()) == 2
        assert answer.header("x-cache") == "HIT"

    played(tmp_path, story, **CACHE)


def test_a_question_that_leaves_it_to_chance_is_not_for_the_cache(tmp_path: Path) -> None:
    """No mark on it, and a new answer each time (C2)."""

    async def story(world: ChatWorld) -> None:
        for _ in range(2):
            assert (await world.call(temperature=0.7)).header("x-cache") is None
            assert (await world.call()).header("x-cache") is None
        assert len(world.works()) == 4
        assert {row["cache"] for row in await world.rows("chats")} == {None}

    played(tmp_path, story, **CACHE)


NOT_WHOLE: dict[str, dict[str, Any]] = {
    "cut at its length": {"completes": {"finish": "length"}},
    "refused": {"completes": {"refusal": "no"}},
    "filtered": {"content_filter": {}},
    "without a finish": {"no_finish": {}},
    "an error in a 200": {"error_in_200": {}},
    "without figures": {"usage": {"shown": "missing"}},
    "rate limited": {"rate_limited": {}},
}
NOT_WHOLE_STREAMS: dict[str, dict[str, Any]] = {
    "truncated": {"truncated": {"after_words": 2}},
    "cut": {"cut_stream": {"after_words": 2}},
    "broken by an error": {"stream_error": {"after_words": 2}},
}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize(
    ("what", "stream"),
    [(what, stream) for what in NOT_WHOLE for stream in (False, True)]
    + [(what, True) for what in NOT_WHOLE_STREAMS],
)
def test_what_is_not_whole_is_never_told_again(tmp_path: Path, what: str, stream: bool) -> None:
    """Failed, cut, filtered, refused, or of unknown cost: the next one asks the backend anew (C2)."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"count": 1, "do": (NOT_WHOLE | NOT_WHOLE_STREAMS)[what]})
        first, fresh, hit = [
            await world.call(model="of-east", stream=stream, temperature=0) for _ in range(3)
        ]
        assert [answer.header("x-cache") for answer in (first, fresh, hit)] == ["MISS", "MISS", "HIT"]
        assert fresh.status == hit.status == 200
        assert said("openai_chat", fresh) == said("openai_chat", hit)

    played(tmp_path, story, **CACHE, chat__attempts=1)


def test_tool_calls_are_told_again_unless_nobody_could_make_them(tmp_path: Path) -> None:
    """Arguments that are no JSON would be no JSON for as long as they are kept."""

    async def story(world: ChatWorld) -> None:
        calls = {"completes": {"calls": 1}}
        world.vendor("east", {"count": 1, "do": {"broken_tool_call": {}}}, {"do": calls})
        answers = [await world.call(model="of-east", temperature=0, tools=TOOLS) for _ in range(3)]
        assert [answer.header("x-cache") for answer in answers] == ["MISS", "MISS", "HIT"]
        called = [json.loads(answer.body)["choices"][0]["message"]["tool_calls"] for answer in answers]
        assert called[1] == called[2] and called[0] != called[1]

    played(tmp_path, story, **CACHE)


def test_an_entry_ends_with_its_time(tmp_path: Path) -> None:
    """A minute later the backend is asked again."""

    async def story(world: ChatWorld) -> None:
        marks: list[str | None] = []
        for wait in (0, 50, 20):
            await asyncio.sleep(wait)
            answer: Answer = await world.call(temperature=0)
            marks.append(answer.header("x-cache"))
        assert marks == ["MISS", "HIT", "MISS"]

    played(tmp_path, story, **CACHE)


def test_without_a_declared_cache_there_is_none(tmp_path: Path) -> None:
    """And no word of it."""

    async def story(world: ChatWorld) -> None:
        for _ in range(2):
            assert (await world.call(temperature=0)).header("x-cache") is None
        assert len(world.works()) == 2

    played(tmp_path, story)
