"""What calls cost: by the figures, by the declared policy where there are none; once, whatever happens."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fakes.journal import Received
from tests.refgate.chat_kit import ChatWorld, S, ask, config, played


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shown", ["missing", "null", "negative", "strings", "wrong_total", "zero"])
@pytest.mark.parametrize(
    ("policy", "source"), [("estimate", "estimated"), ("hold", "hold"), ("zero", "zero")]
)
def test_figures_that_cannot_be_believed_are_none(
    tmp_path: Path, stream: bool, shown: str, policy: str, source: str
) -> None:
    """The declared policy makes the amount, and the row is flagged."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"usage": {"shown": shown}}})
        assert (await world.call(model="of-east", stream=stream)).status == 200
        row = await world.only_chat()
        flag = "usage_missing" if shown in ("missing", "null") else "usage_invalid"
        assert row["usage_source"] == source
        assert row["flags"] == ([flag, "usage_estimated"] if policy == "estimate" else [flag])
        ((_, work),) = world.works()
        match policy:
            case "hold":
                assert row["amount_nanos"] == row["hold_nanos"]
            case "zero":
                assert row["amount_nanos"] == 0
            case _:
                assert work.cost_nanos * 3 // 4 <= row["amount_nanos"] <= work.cost_nanos * 4 // 3

    played(tmp_path, story, chat__missing_usage=policy)


@pytest.mark.parametrize("shown", ["late", "early", "with_finish", "every_event", "twice"])
@pytest.mark.parametrize("model", ["of-east", "of-rome", "of-tokyo"])
def test_figures_count_wherever_they_stand_in_a_stream(tmp_path: Path, shown: str, model: str) -> None:
    """Once, and in full."""

    async def story(world: ChatWorld) -> None:
        for name in ("east", "rome", "tokyo"):
            world.vendor(name, {"do": {"usage": {"shown": shown}}})
        assert (await world.call(model=model, stream=True)).status == 200
        row = await world.only_chat()
        ((_, work),) = world.works()
        assert (row["amount_nanos"], row["flags"]) == (work.cost_nanos, [])

    played(tmp_path, story)


@pytest.mark.parametrize("policy", ["charge_actual", "cap_at_hold"])
def test_more_than_the_hold(tmp_path: Path, policy: str) -> None:
    """Charged as it is, or capped and flagged."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"completes": {"prompt": 9000}}})
        await world.call(model="of-east", most=20)
        row = await world.only_chat()
        ((_, work),) = world.works()
        assert work.cost_nanos > row["hold_nanos"]
        if policy == "cap_at_hold":
            assert (row["amount_nanos"], row["flags"]) == (row["hold_nanos"], ["hold_capped"])
        else:
            assert (row["amount_nanos"], row["flags"]) == (work.cost_nanos, [])

    played(tmp_path, story, chat__usage_above_hold=policy)


def test_the_price_is_that_of_the_model_that_served(tmp_path: Path) -> None:
    """Also under the dated name that it answers with, where that has a price of its own."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", models={"gpt-4o-mini": {"served_as": "gpt-4o-mini-2024-07-18"}})
        await world.call(model="of-east")
        row = await world.only_chat()
        assert row["served_model"] == "gpt-4o-mini-2024-07-18"
        assert row["amount_nanos"] == (row["input"] * 1000 + row["output"] * 2000)

    played(tmp_path, story, **{"prices__gpt-4o-mini-2024-07-18": {"input": "1", "output": "2"}})


def test_a_store_that_is_away_at_the_start_refuses(tmp_path: Path) -> None:
    """Nothing can be set aside, so nobody is asked: 503, to be tried again."""

    async def story(world: ChatWorld) -> None:
        world.fault = broken
        answer = await world.call()
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        world.fault = None
        assert world.facts(Received) == []

    played(tmp_path, story)


def broken(sql: str, side: str) -> None:
    raise sqlite3.OperationalError("database is locked")


def test_a_store_that_goes_away_before_the_first_attempt(tmp_path: Path) -> None:
    """Its row is written with the call's: neither is there, and nothing is sent."""

    async def story(world: ChatWorld) -> None:
        def fault(sql: str, side: str) -> None:
            if "chat_attempts" in sql:
                broken(sql, side)

        world.fault = fault
        assert (await world.call()).status == 503
        world.fault = None
        assert world.facts(Received) == []
        assert await world.rows("chats") == []

    played(tmp_path, story)


def test_a_call_without_money_takes_no_room_in_a_rate(tmp_path: Path) -> None:
    """However often somebody asks who cannot pay, a backend's minute is there for those who can."""

    async def story(world: ChatWorld) -> None:
        for _ in range(5):
            assert (await world.call(model="of-east", as_="bob")).status == 429
        assert (await world.call(model="of-east")).status == 200

    played(tmp_path, story, backends__east__rpm=1, backends__east__tpm=5_000_000)


def test_a_store_that_goes_away_before_a_further_attempt(tmp_path: Path) -> None:
    """Nothing is sent that is not on record; the call is ended when the store is back."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"error": {"status": 500}}})

        def fault(sql: str, side: str) -> None:
            if "SET attempts" in sql or world.fault is broken:
                world.fault = broken
                broken(sql, side)

        world.fault = fault
        asking = asyncio.create_task(world.call(model="of-east"))
        await asyncio.sleep(1)
        world.fault = None
        assert (await asking).status == 503
        assert len(world.facts(Received)) == 1
        row = await world.only_chat()
        assert (row["state"], row["outcome"], row["reason"]) == ("ended", "failed", "store_unavailable")

    played(tmp_path, story)


@pytest.mark.parametrize("stream", [False, True])
def test_the_end_waits_for_the_store_but_not_for_ever(tmp_path: Path, stream: bool) -> None:
    """Told within seconds, written when the store is back: once, exactly."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", words=20, between="50ms")
        asking = asyncio.create_task(world.call(model="of-east", stream=stream))
        await asyncio.sleep(0.5)
        world.fault = broken
        began = world.loop.now_us
        answer = await asking
        assert answer.status == 200
        assert world.loop.now_us - began <= 8 * S
        assert b"[DONE]" in answer.body if stream else json.loads(answer.body)
        await asyncio.sleep(10)
        world.fault = None
        await asyncio.sleep(5)
        row = await world.only_chat()
        ((_, work),) = world.works()
        assert (row["outcome"], row["amount_nanos"], row["flags"]) == ("served", work.cost_nanos, [])
        assert len(await world.rows("holds")) == 1

    played(tmp_path, story)


@pytest.mark.parametrize("protocol", ["openai_chat", "anthropic", "gemini"])
@pytest.mark.parametrize("hit", ["free", "full_price"])
def test_a_kept_answer_is_told_either_way(tmp_path: Path, protocol: str, hit: str) -> None:
    """Nobody is asked again; it has its own row, and costs what is declared."""

    async def story(world: ChatWorld) -> None:
        asked: dict[str, Any] = {"model": "of-east", "temperature": 0}
        if protocol == "gemini":
            asked = {"model": "of-east", "most": None, "generationConfig": {"temperature": 0}}
        first = await world.call(protocol, **asked)
        again = await world.call(protocol, **asked)
        streamed = await world.call(protocol, stream=True, **asked)
        assert [one.header("x-cache") for one in (first, again, streamed)] == ["MISS", "HIT", "HIT"]
        assert len(world.works()) == 1
        rows = await world.rows("chats")
        assert [row["outcome"] for row in rows] == ["served", "cached", "cached"]
        assert [row["cache"] for row in rows] == ["miss", "hit", "hit"]
        cost = rows[0]["amount_nanos"] if hit == "full_price" else 0
        assert [row["amount_nanos"] for row in rows[1:]] == [cost, cost]
        assert (await world.call(protocol, headers=(("x-thread-id", "alice-2"),), **asked)).header(
            "x-cache"
        ) == "MISS"

    played(tmp_path, story, cache={"hit": hit})


def test_a_backends_key_is_never_told(tmp_path: Path) -> None:
    """Not where it quotes what it was sent, in an error or in an answer."""

    async def story(world: ChatWorld) -> None:
        key = "canary-provider-east"
        world.vendor("east", {"do": {"error": {"status": 400, "message": f"bad {key}"}}})
        answer = await world.call(model="of-east")
        assert answer.status == 400
        assert key.encode() not in answer.body
        world.vendor("east", {"do": {"completes": {"text": f"you sent {key} here"}}})
        for stream in (False, True):
            answer = await world.call(model="of-east", stream=stream)
            assert answer.status == 200
            assert key.encode() not in answer.body
        assert key not in world.logged()

    played(tmp_path, story)


async def _held(world: ChatWorld, protocol: str, **more: Any) -> int:
    await world.call(protocol, model="of-tokyo" if protocol == "gemini" else "of-east", most=10, **more)
    return int((await world.rows("chats"))[-1]["hold_nanos"])


@pytest.mark.parametrize(
    ("protocol", "pointer"),
    [
        ("openai_responses", {"previous_response_id": "resp_1"}),
        ("openai_responses", {"conversation": {"id": "conv_1"}}),
        ("openai_responses", {"prompt": {"id": "pmpt_1"}}),
        ("gemini", {"cachedContent": "cachedContents/1"}),
    ],
)
def test_what_a_provider_remembers_is_held_for(
    tmp_path: Path, protocol: str, pointer: dict[str, Any]
) -> None:
    """A request that continues what is kept elsewhere is larger than its body."""

    async def story(world: ChatWorld) -> None:
        plain = await _held(world, protocol)
        assert await _held(world, protocol, **pointer) > 10 * plain

    played(tmp_path, story)


def test_a_pointer_is_held_for_however_it_is_spelled(tmp_path: Path) -> None:
    """JSON has more than one way to write a name."""
    part = {"type": "image_url", "image_url": {"url": "http://pictures.test/1.png"}}

    async def story(world: ChatWorld) -> None:
        path, body = ask(model="of-east", most=10, messages=[{"role": "user", "content": [part]}])
        plain = json.dumps(body).encode()
        hidden = plain.replace(b'url"', b'\\u0075r\\u006C"')
        for raw in (plain, hidden):
            await world.post(path, raw)
        one, other = [row["hold_nanos"] for row in await world.rows("chats")]
        assert one <= other <= one + len(hidden) * 1000

    played(tmp_path, story)


@pytest.mark.parametrize(("bound", "searches"), [({"max_uses": 3}, 3), ({}, 10), ({"max_uses": -1}, 10)])
def test_searches_are_held_for(tmp_path: Path, bound: dict[str, int], searches: int) -> None:
    """Where a model may search the web and each search has its fee: as often as its caller allows."""

    async def story(world: ChatWorld) -> None:
        tool = {"type": "web_search_20250305", "name": "web_search", **bound}
        for tools in ([], [tool]):
            await world.call("anthropic", model="of-rome", tools=tools)
        plain, searching = [row["hold_nanos"] for row in await world.rows("chats")]
        assert 0 <= searching - plain - searches * 10**7 < 10**6

    prices = config()["prices"]
    prices["claude-haiku-4-5"]["web_search"] = "0.01"
    played(tmp_path, story, prices=prices)
