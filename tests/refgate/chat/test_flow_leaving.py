"""Callers who leave: noticed at once, wherever the call is; what was done for them is charged as declared."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fakes.journal import ChatAccepted, ChatEnded
from tests.refgate.chat_kit import ChatWorld, S, played

LONG = {"words": 200, "between": "50ms"}  # ten seconds of words


async def leave_after(world: ChatWorld, tokens: int, **asked: Any) -> None:
    """Hears so many chunks of words, then goes."""
    async with world.streaming(**asked) as stream:
        heard = 0
        async for chunk in stream.chunks():
            heard += chunk.count(b'"content":"') - chunk.count(b'"content":""')
            if heard >= tokens:
                return


async def leave_at(world: ChatWorld, after_s: float, **asked: Any) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            await world.call(**asked)


def test_a_left_stream_is_read_on_to_its_figures(tmp_path: Path) -> None:
    """drain: the caller pays what was generated, by the backend's own figures."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", words=100, between="50ms")
        await leave_after(world, 5, model="of-east")
        await asyncio.sleep(9)
        row = await world.only_chat()
        ((_, work),) = world.works()
        assert work.complete
        assert (row["outcome"], row["flags"], row["usage_source"]) == ("left", ["left"], "reported")
        assert row["amount_nanos"] == work.cost_nanos
        assert (row["status"], row["state"]) == (200, "ended")

    played(tmp_path, story)


def test_a_drain_ends_in_time(tmp_path: Path) -> None:
    """What does not end within the declared time is called off, and charged by what was seen of it."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", words=1000, between="50ms")
        await leave_after(world, 5, model="of-east", most=4000)
        left_us = world.loop.now_us
        await asyncio.sleep(15)
        ((_, work),) = world.works()
        assert work.t_us - left_us <= 10 * S + S // 10
        row = await world.only_chat()
        assert (row["outcome"], row["flags"]) == ("left", ["usage_estimated", "left"])
        assert 0 < row["amount_nanos"] <= work.cost_nanos * 11 // 10

    played(tmp_path, story)


def test_an_aborted_stream_is_charged_by_what_was_delivered(tmp_path: Path) -> None:
    """abort: the backend is left at once, and the row says that its figures are an estimate."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", **LONG)
        await leave_after(world, 20, model="of-east")
        left_us = world.loop.now_us
        await asyncio.sleep(1)
        ((_, work),) = world.works()
        assert work.t_us - left_us <= S // 10
        row = await world.only_chat()
        assert (row["outcome"], row["flags"]) == ("left", ["usage_estimated", "left"])
        assert (await world.rows("chat_attempts"))[0]["failure"] == "left"
        assert 20 <= row["output"] <= work.delivered + 2  # some pieces are more than one word

    played(tmp_path, story, chat__client_leaves="abort")


def test_drains_are_bounded_in_number(tmp_path: Path) -> None:
    """Beyond the declared number, a left stream is called off at once."""

    async def story(world: ChatWorld) -> None:
        vendor = world.vendor("east", **LONG)
        await asyncio.gather(*(leave_after(world, 5, model="of-east") for _ in range(5)))
        await asyncio.sleep(0.5)
        assert vendor.running == 2
        await asyncio.sleep(12)
        rows = await world.rows("chats")
        assert sorted("usage_estimated" in row["flags"] for row in rows) == [False, False, True, True, True]

    played(tmp_path, story)


@pytest.mark.parametrize("leaves", ["drain", "abort"])
def test_leaving_before_the_first_word(tmp_path: Path, leaves: str) -> None:
    """Nothing was said: drained, it costs what was generated; called off, nothing, and that is flagged."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", first="2s")
        await leave_at(world, 0.5, model="of-east", stream=True)
        await asyncio.sleep(5)
        row = await world.only_chat()
        assert (row["outcome"], row["status"]) == ("left", 499)
        if leaves == "drain":
            ((_, work),) = world.works()
            assert (row["amount_nanos"], row["flags"]) == (work.cost_nanos, ["left"])
        else:
            assert (row["amount_nanos"], row["flags"]) == (0, ["left", "unbilled_work"])

    played(tmp_path, story, chat__client_leaves=leaves)


@pytest.mark.parametrize("leaves", ["drain", "abort"])
def test_leaving_a_whole_answer(tmp_path: Path, leaves: str) -> None:
    """Read on, its figures are charged; called off, nothing is known, nothing charged, which is flagged."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", **{**LONG, "words": 60})
        await leave_at(world, 0.5, model="of-east")
        await asyncio.sleep(5)
        row = await world.only_chat()
        assert (row["outcome"], row["status"], row["attempts"]) == ("left", 499, 1)
        if leaves == "drain":
            ((_, work),) = world.works()
            assert (row["amount_nanos"], row["flags"]) == (work.cost_nanos, ["left"])
        else:
            assert (row["amount_nanos"], row["flags"]) == (0, ["left", "unbilled_work"])

    played(tmp_path, story, chat__client_leaves=leaves)


def test_nobody_is_asked_for_a_caller_who_left(tmp_path: Path) -> None:
    """Neither another backend after a failure, nor anybody after a wait, which ends at once."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"error": {"status": 500}}}, first="300ms")
        await leave_at(world, 0.05, model="of-east")
        await asyncio.sleep(0.2)
        row = await world.only_chat()
        assert (row["outcome"], row["attempts"], row["amount_nanos"]) == ("left", 1, 0)
        assert world.loop.now_us < S

    played(tmp_path, story, chat__backoff={"first": "8s", "max": "8s"})


def test_a_caller_who_waits_for_a_primary_may_leave(tmp_path: Path) -> None:
    """The wait ends with it, not after it."""

    async def story(world: ChatWorld) -> None:
        for name in ("east", "west", "rome"):
            world.vendor(name, {"do": {"rate_limited": {"retry_after": "30s"}}})
        await leave_at(world, 1)
        await asyncio.sleep(0.1)
        row = await world.only_chat()
        assert (row["outcome"], row["state"]) == ("left", "ended")
        assert world.facts(ChatAccepted) == []

    changes: dict[str, Any] = {
        "chat__primary_wait": {"times": 5, "wait": "10s"},
        "chat__all_open": "refuse",
        "chat__attempts": 5,
    }
    played(tmp_path, story, **changes)


def test_leaving_between_two_tries_costs_nothing(tmp_path: Path) -> None:
    """A try that failed by itself is not charged because its caller leaves before the next: nobody was told a
    word of it."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"broken_tool_call": {}}}, {"do": {"completes": {"calls": 1}}})
        tool = {"name": "look", "input_schema": {"type": "object"}}
        await leave_at(world, 1, protocol="anthropic", model="of-east", tools=[tool])
        await asyncio.sleep(0.1)
        row = await world.only_chat()
        assert (row["outcome"], row["attempts"], row["status"]) == ("left", 1, 499)
        assert (row["amount_nanos"], row["flags"]) == (0, ["left", "unbilled_work"])

    changes: dict[str, Any] = {
        "chat__ambiguous": "always_retry",
        "chat__backoff": {"first": "8s", "max": "8s"},
    }
    played(tmp_path, story, **changes)


def test_a_probe_that_was_called_off_frees_its_backend(tmp_path: Path) -> None:
    """A caller who leaves during the half-open probe does not keep the breaker open."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"count": 1, "do": {"error": {"status": 500}}}, first="3s")
        await world.call(model="of-east")
        await asyncio.sleep(15)
        await leave_at(world, 1, model="of-east")
        await asyncio.sleep(0.01)
        answer = await world.call(model="of-east")
        assert answer.status == 200

    changes: dict[str, Any] = {
        "chat__breaker": {"failures": 1, "open": "10s", "lease": "50s"},
        "chat__all_open": "refuse",
        "chat__client_leaves": "abort",
    }
    played(tmp_path, story, **changes)


def test_a_caller_who_takes_nothing_is_gone(tmp_path: Path) -> None:
    """Its stream is not kept for longer than a backend may be silent."""

    async def story(world: ChatWorld) -> None:
        words = "x" * 900
        vendor = world.vendor("east", {"do": {"completes": {"text": f"{words} " * 400}}}, between="1ms")
        async with world.streaming(model="of-east", most=4000):
            await asyncio.sleep(30)
            assert vendor.running == 0
            row = await world.only_chat()
        assert (row["state"], row["outcome"]) == ("ended", "left")

    played(tmp_path, story)


def test_a_stop_waits_for_what_is_in_hand(tmp_path: Path) -> None:
    """Draining included: the stream is told to its end, and a left one is read to its figures."""
    texts: list[bytes] = []

    async def story(world: ChatWorld) -> None:
        world.vendor("east", words=60, between="50ms")

        async def listen() -> None:
            texts.append((await world.call(model="of-east", stream=True)).body)

        listening = asyncio.create_task(listen())
        await leave_after(world, 5, model="of-east")
        await world.stop("g0")
        await listening
        assert texts[0].endswith(b"data: [DONE]\n\n")
        await world.gateway("g1")
        rows = await world.rows("chats", to="g1")
        assert sorted(row["outcome"] for row in rows) == ["left", "served"]
        assert all(row["amount_nanos"] > 0 and row["usage_source"] == "reported" for row in rows)
        refused = [fact for fact in world.facts(ChatEnded) if not fact.complete]
        assert refused == []

    played(tmp_path, story)


def test_a_stop_that_cannot_wait_tells_the_caller(tmp_path: Path) -> None:
    """Cut off at the drain's end, a stream ends with an error, and the sweep settles the call."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", words=2000, between="50ms")
        bodies: list[bytes] = []

        async def listen() -> None:
            bodies.append((await world.call(model="of-east", stream=True, most=4000)).body)

        listening = asyncio.create_task(listen())
        await asyncio.sleep(1)
        await world.stop("g0")
        await listening
        assert b'"error"' in bodies[0] and b"[DONE]" not in bodies[0]
        await world.gateway("g1")
        await asyncio.sleep(120)
        (row,) = await world.rows("chats", to="g1")
        assert (row["state"], row["outcome"]) == ("ended", "lost")

    played(tmp_path, story)


def test_what_a_backend_says_counts_though_nobody_listens(tmp_path: Path) -> None:
    """A refusal that comes after its caller left cools the backend as any other does."""

    async def story(world: ChatWorld) -> None:
        late = {"do": {"latency": {"by": "500ms"}}}
        world.vendor("east", {"count": 1, "do": {"rate_limited": {"retry_after": "30s"}}}, late)
        await leave_at(world, 0.1, model="of-east")
        await asyncio.sleep(1)
        (attempt,) = await world.rows("chat_attempts")
        assert (attempt["failure"], attempt["status"]) == ("rate_limited", 429)
        assert (await world.only_chat())["outcome"] == "left"
        assert (await world.call(model="of-east")).status == 503

    played(tmp_path, story, chat__all_open="refuse")
