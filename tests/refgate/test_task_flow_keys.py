"""Idempotency keys, as callers meet them: one effect, one answer, and no key lost to a refusal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from refgate.store.database import Database
from tests.refgate.edge_kit import Reply, Seen, World, code, played
from tests.refgate.ledger_kit import connect

S = 1_000_000


def slow_submit(_: Seen) -> Reply:
    return Reply(
        201, json={"taskId": "t1"}, headers=(("content-type", "application/json"), ("x-note", "n")), after_s=5
    )


@pytest.mark.parametrize("replicas", [1, 3])
def test_one_key_is_one_call(tmp_path: Path, replicas: int) -> None:
    """Any number at once, on any replica: one submit, one hold; the others are told to wait, then all get
    the first answer: status, body, declared headers."""

    async def story(world: World) -> None:
        world.provider.answer = slow_submit
        at_once = await asyncio.gather(
            *(world.submit(key="k", to=f"g{number % replicas}") for number in range(6))
        )
        told = sorted(answer.status for answer in at_once)
        assert told == [201, 409, 409, 409, 409, 409]
        for answer in at_once:
            if answer.status == 409:
                assert code(answer) == "in_flight" and int(answer.header("retry-after") or 0) >= 1
        first = next(answer for answer in at_once if answer.status == 201)
        for number in range(3):
            again = await world.submit(key="k", to=f"g{number % replicas}")
            marked = (*first.headers, ("x-idempotent-replay", "true"))
            assert (again.status, again.body, again.headers) == (201, first.body, marked)
        assert len(world.provider.seen) == 1 and len(await world.rows("holds")) == 1

    played(tmp_path, story, replicas=replicas)


def test_attached_repeats_get_the_answer_itself(tmp_path: Path) -> None:
    """`in_flight: attach`: a repeat waits for the first answer, within its declared time."""

    async def story(world: World) -> None:
        world.provider.answer = slow_submit
        at_once = await asyncio.gather(*(world.submit(key="k", to=f"g{number % 2}") for number in range(4)))
        assert {answer.status for answer in at_once} == {201}
        assert sum(answer.header("x-idempotent-replay") == "true" for answer in at_once) == 3
        assert len(world.provider.seen) == 1

    played(tmp_path, story, replicas=2, idempotency={"in_flight": "attach", "wait": "10s"})


def test_attaching_has_its_ceiling(tmp_path: Path) -> None:
    """After the declared time an attached repeat is told to come again."""

    async def story(world: World) -> None:
        world.provider.answer = slow_submit
        first = asyncio.create_task(world.submit(key="k"))
        await asyncio.sleep(0.5)
        began = world.loop.now_us
        attached = await world.submit(key="k")
        assert code(attached) == "in_flight"
        assert 1.9 * S <= world.loop.now_us - began <= 2.5 * S
        assert (await first).status == 201

    played(tmp_path, story, idempotency={"in_flight": "attach", "wait": "2s"})


@pytest.mark.parametrize(
    "other",
    [
        {"json": {"prompt": "q"}},
        {"path": "/v2/image"},
        {"path": "/v2/video?seed=1"},
    ],
)
@pytest.mark.parametrize("when", ["in flight", "answered"])
def test_another_request_under_a_key_reaches_nobody(tmp_path: Path, other: dict[str, Any], when: str) -> None:
    """Body, path and query are what a key stands for: anything else is 422, whatever became of the first."""

    async def story(world: World) -> None:
        world.provider.answer = slow_submit
        first = asyncio.create_task(world.submit(key="k"))
        await asyncio.sleep(1 if when == "in flight" else 10)
        asked: dict[str, Any] = {"path": "/v2/video", "json": {"prompt": "p"}, **other}
        answer = await world.call("POST", asked["path"], json=asked["json"], key="k")
        assert (answer.status, code(answer)) == (422, "key_reused")
        assert (await first).status == 201 and len(world.provider.seen) == 1

    played(tmp_path, story)


def test_a_key_is_the_accounts_own(tmp_path: Path) -> None:
    """Two accounts may use the same key: neither meets the other's call."""

    async def story(world: World) -> None:
        first = await world.submit(key="k")
        other = await world.submit(key="k", headers=(("x-thread-id", "alice-2"),))
        assert (first.status, other.status) == (200, 200) and first.body != other.body
        assert other.header("x-idempotent-replay") is None

    played(tmp_path, story)


def test_without_a_key_every_submit_is_its_own(tmp_path: Path) -> None:
    """Two equal requests without a key are two tasks."""

    async def story(world: World) -> None:
        assert (await world.submit()).body != (await world.submit()).body

    played(tmp_path, story)


def test_a_forgotten_key_begins_anew(tmp_path: Path) -> None:
    """A key stands for its call for the declared time after the call's end."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(400, json={})
        await world.submit(key="k")
        await asyncio.sleep(600)
        assert (await world.submit(key="k")).header("x-idempotent-replay") == "true"
        await asyncio.sleep(3600)
        assert (await world.submit(key="k")).header("x-idempotent-replay") is None

    played(tmp_path, story, idempotency={"keep": "30m"})


class Books:
    """Stands for a store file that is away for a while, at the statements that a test names."""

    def __init__(self, world: World, **failing: float) -> None:
        self.world = world
        self.until_us = {name: world.loop.now_us + int(seconds * S) for name, seconds in failing.items()}

    def __call__(self, sql: str, side: str) -> None:
        import sqlite3

        if side == "before" and any(
            word in sql and self.world.loop.now_us < until_us for word, until_us in self.until_us.items()
        ):
            raise sqlite3.OperationalError("database is locked")


def test_a_store_that_is_away_refuses_before_anything_happened(tmp_path: Path) -> None:
    """503 with a time to come again; the provider hears nothing; the same key works once it is back."""

    async def story(world: World) -> None:
        world.fault = Books(world, BEGIN=3)
        answer = await world.submit(key="k")
        assert (answer.status, code(answer)) == (503, "store_unavailable")
        assert world.provider.seen == []
        await asyncio.sleep(4)
        assert (await world.submit(key="k")).status == 200

    played(tmp_path, story)


def test_a_verdict_that_cannot_be_written_is_doubt_for_the_caller_and_is_written_later(
    tmp_path: Path,
) -> None:
    """The provider took the task on while the store was away: the caller hears 504 in time, the gateway
    goes on trying, and the task is charged once."""

    async def story(world: World) -> None:
        def answer(seen: Seen) -> Reply:
            if seen.path == "/v2/video":
                world.fault = Books(world, BEGIN=60)
            return world.provider.well_behaved(seen)

        world.provider.answer = answer
        began = world.loop.now_us
        told = await world.submit(key="k")
        assert (told.status, code(told)) == (504, "outcome_unknown")
        assert world.loop.now_us - began < 10 * S
        await asyncio.sleep(65)
        again = await world.submit(key="k")
        assert (again.status, again.header("x-idempotent-replay")) == (200, "true")
        await asyncio.sleep(120)
        row = await world.only_call()
        assert (row["outcome"], row["amount_nanos"]) == ("success", 250_000_000)
        assert world.provider.ops().count("POST /v2/video") == 1

    played(tmp_path, story)


def test_a_hold_whose_writing_failed_is_given_back_and_the_key_too(tmp_path: Path) -> None:
    """Billing said yes and the store went away: 503, nothing sent; the sweep releases the hold, and then
    the caller's retry has nothing to wait for."""

    async def story(world: World) -> None:
        world.fault = Books(world, **{"UPDATE calls SET state": 2.0})
        answer = await world.submit(key="k")
        assert (answer.status, code(answer)) == (503, "store_unavailable")
        await asyncio.sleep(120)
        (account, *_) = await world.rows("accounts")
        assert account["held_nanos"] == 0 and world.provider.seen == []
        assert (await world.only_call())["outcome"] == "unreached"
        assert code(await world.submit(key="k")) == "upstream_unreachable"

    played(tmp_path, story)


def test_a_gateway_that_starts_while_the_store_is_away_waits(tmp_path: Path) -> None:
    """A replica does not fall over because the file is locked for a moment."""

    async def story(world: World) -> None:
        world.fault = Books(world, BEGIN=5)
        await world.gateway("g9")
        assert (await world.submit(to="g9")).status == 200

    world = played(tmp_path, story)
    assert world.kinds().count("started") == 2
    Database(lambda: connect(tmp_path / "store.sqlite")).close()
