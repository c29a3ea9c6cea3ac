"""Polls: whose task it is, what ends it, and that the end is the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.refgate.edge_kit import Provider, Reply, S, Seen, World, code, config, played

COST = 250_000_000


def polled(reply: Reply) -> Any:
    """A provider whose submits are well-behaved and whose polls all get this reply."""

    def use(provider: Provider) -> None:
        provider.answer = lambda seen: reply if seen.path == "/v2/query" else provider.well_behaved(seen)

    return use


def test_a_foreign_task_does_not_exist(tmp_path: Path) -> None:
    """Another caller's, another account's of the same caller, or nobody's: 404, and the provider is not
    asked. The same for results."""

    async def story(world: World) -> None:
        await world.submit()
        asked = len(world.provider.seen)
        foreign = [
            await world.poll(as_="bob"),
            await world.poll(headers=(("x-thread-id", "alice-2"),)),
            await world.poll("t99"),
            await world.call("GET", "/v2/tasks/t1", as_="bob"),
            await world.call("GET", "/v2/tasks/t1/", as_="bob"),
            await world.call("GET", "/v2/status?task_id=t1", as_="bob"),
            await world.call("GET", "/v2/tasks/t1/output", as_="bob"),
        ]
        assert {(answer.status, code(answer)) for answer in foreign} == {(404, "task_not_found")}
        assert len(world.provider.seen) == asked

    played(tmp_path, story)


def test_a_task_is_found_in_body_path_and_query(tmp_path: Path) -> None:
    """Wherever the route declares it, and the numbers of JSON too."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: (
            Reply(json={"taskId": 7}) if seen.path == "/v2/video" else Reply(json={"status": "RUNNING"})
        )
        await world.submit()
        answers = [
            await world.call("POST", "/v2/query", json={"taskId": 7}),
            await world.call("POST", "/v2/query", json={"taskId": "7"}),
            await world.call("GET", "/v2/tasks/7"),
            await world.call("GET", "/v2/status?x=1&task_id=7"),
        ]
        assert [answer.status for answer in answers] == [200] * 4

    played(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/query", b"{}"),
        ("POST", "/v2/query", b""),
        ("POST", "/v2/query", b"not json"),
        ("POST", "/v2/query", b'{"taskId":"t2","taskId":"t1"}'),
        ("POST", "/v2/query", b'{"taskId":["t1"]}'),
        ("POST", "/v2/query", '{"taskId":"t1"}'.encode("utf-16")),
        ("POST", "/v2/query", b"[" * 5000),
        ("GET", "/v2/status", b""),
        ("GET", "/v2/status?task_id=t1&task_id=t2", b""),
        ("GET", "/v2/status?task_id=", b""),
    ],
)
def test_a_poll_that_names_no_one_task_is_refused(
    tmp_path: Path, method: str, path: str, body: bytes
) -> None:
    """What two readers could take for two tasks is 400, and reaches nobody."""

    async def story(world: World) -> None:
        await world.submit()
        answer = await world.call(method, path, body=body)
        assert (answer.status, code(answer)) == (400, "bad_request")
        assert len(world.provider.seen) == 1

    played(tmp_path, story)


def test_of_many_pollers_one_finalizes_and_all_see_the_same_end(tmp_path: Path) -> None:
    """Three replicas, thirty polls at the instant of the end, and a provider that then says otherwise."""

    async def story(world: World) -> None:
        await world.submit()
        words = iter(["SUCCESS", "FAILED", "RUNNING"] * 20)

        def flapping(seen: Seen) -> Reply:
            if seen.path != "/v2/query":
                return world.provider.well_behaved(seen)
            return Reply(json={"status": next(words), "usage": {"cost": "0.25"}}, after_s=0.02)

        await asyncio.sleep(25)
        world.provider.answer = flapping
        answers = await asyncio.gather(*(world.poll(to=f"g{number % 3}") for number in range(30)))
        ends = {answer.body for answer in answers if json.loads(answer.body)["status"] != "RUNNING"}
        assert len(ends) == 1
        later = [await world.poll(to=f"g{number % 3}") for number in range(3)]
        assert {answer.body for answer in later} == ends
        await asyncio.sleep(1)
        row = await world.only_call()
        assert row["state"] == "finalized" and len(await world.rows("intents")) == 1
        assert (row["outcome"], row["amount_nanos"]) in {("success", COST), ("failed", 0)}

    played(tmp_path, story, replicas=3)


def test_after_the_end_the_provider_is_left_alone(tmp_path: Path) -> None:
    """A finalized task answers from the store: the same status, body and headers."""

    async def story(world: World) -> None:
        await world.submit()
        await asyncio.sleep(25)
        first = await world.poll()
        asked = len(world.provider.seen)
        world.wire.detach("rh.test")
        again = await world.poll()
        assert again == first and len(world.provider.seen) == asked

    played(tmp_path, story)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, json={"message": "not yet"}),
        Reply(429, json={}, headers=(("retry-after", "9"),)),
        Reply(500, body=b"<html>"),
        Reply(502, body=b"<html>"),
        Reply(200, body=b"<html>SUCCESS"),
        Reply(200, json={"status": "HALFWAY"}),
        Reply(200, json=["SUCCESS"]),
    ],
)
def test_a_poll_without_a_verdict_is_handed_on_and_changes_nothing(tmp_path: Path, reply: Reply) -> None:
    """Errors, pages and unknown words are the caller's to see, and no end of the task."""

    async def story(world: World) -> None:
        await world.submit()
        polled(reply)(world.provider)
        answer = await world.poll()
        assert (answer.status, answer.body) == (reply.status, reply.bytes)
        assert answer.header("retry-after") == dict(reply.headers).get("retry-after")
        assert (await world.only_call())["state"] == "running"

    played(tmp_path, story)


@pytest.mark.parametrize(
    ("reply", "status", "told"),
    [
        (Reply(end="reset"), 502, "upstream_broken"),
        (Reply(end="hang"), 504, "upstream_timeout"),
        (Reply(pieces=(b"{",), end="reset"), 502, "upstream_broken"),
        (Reply(pieces=(b"x",) + (20.0, b"x") * 5), 504, "upstream_timeout"),
    ],
    ids=["reset", "silence", "half", "trickle"],
)
def test_a_poll_without_an_answer_is_an_error_in_time(
    tmp_path: Path, reply: Reply, status: int, told: str
) -> None:
    """Every call ends by its deadline, and a later poll ends the task."""

    async def story(world: World) -> None:
        await world.submit()
        polled(reply)(world.provider)
        began = world.loop.now_us
        answer = await world.poll()
        assert (answer.status, code(answer)) == (status, told)
        assert world.loop.now_us - began <= 61 * S
        world.provider.answer = world.provider.well_behaved
        await asyncio.sleep(25)
        assert json.loads((await world.poll()).body)["status"] == "SUCCESS"

    played(tmp_path, story)


def test_a_failed_task_is_free(tmp_path: Path) -> None:
    """The provider says it failed: charged 0, whatever usage it shows."""

    async def story(world: World) -> None:
        await world.submit()
        polled(Reply(json={"status": "FAILED", "usage": {"cost": "3"}}))(world.provider)
        await world.poll()
        await asyncio.sleep(1)
        row = await world.only_call()
        assert (row["outcome"], row["reason"], row["amount_nanos"]) == ("failed", "status_FAILED", 0)

    played(tmp_path, story)


@pytest.mark.parametrize(
    ("usage", "nanos", "flags"),
    [
        (None, 500_000_000, ["usage_missing"]),
        ({"cost": "-3"}, 500_000_000, ["usage_invalid"]),
        ({"cost": 1e308}, 500_000_000, ["usage_invalid"]),
        ({"cost": "0.6"}, 600_000_000, []),
    ],
)
def test_usage_is_believed_or_the_policy_decides(
    tmp_path: Path, usage: Any, nanos: int, flags: list[str]
) -> None:
    """And the row says which it was."""

    async def story(world: World) -> None:
        await world.submit()
        polled(Reply(json={"status": "SUCCESS", "usage": usage}))(world.provider)
        await world.poll()
        await asyncio.sleep(1)
        row = await world.only_call()
        assert (row["state"], row["amount_nanos"], row["flags"]) == ("finalized", nanos, flags)

    world = played(tmp_path, story)
    assert ("usage-flagged" in world.kinds()) == bool(flags)


def test_usage_may_be_read_from_the_result(tmp_path: Path) -> None:
    """A status that shows no usage: it is fetched before the call ends, and costs units × price."""

    async def story(world: World) -> None:
        await world.submit()
        await asyncio.sleep(25)
        answer = await world.call("GET", "/v2/status?task_id=t1")
        assert json.loads(answer.body)["status"] == "SUCCESS"
        await asyncio.sleep(1)
        assert (await world.only_call())["amount_nanos"] == COST
        attempts = [(one["op"], one["path"]) for one in await world.rows("attempts")]
        assert attempts[-2:] == [("poll", "/v2/status"), ("result", "/v2/tasks/t1/output")]

    def answer(provider: Provider, seen: Seen) -> Reply:
        if seen.path == "/v2/status":
            return Reply(json={"status": "SUCCESS"})
        return provider.well_behaved(seen)

    async def told(world: World) -> None:
        world.provider.answer = lambda seen: answer(world.provider, seen)
        await story(world)

    played(tmp_path, told)


def test_usage_that_cannot_be_fetched_yet_does_not_end_the_task(tmp_path: Path) -> None:
    """The caller is told to ask again, and sees no success that is not the end; a result that says the
    work failed is a failure, and free."""

    async def story(world: World) -> None:
        shown = {"result": Reply(503, json={})}
        world.provider.answer = lambda seen: (
            shown["result"]
            if seen.path.endswith("/output")
            else Reply(json={"status": "SUCCESS"})
            if seen.path == "/v2/status"
            else world.provider.well_behaved(seen)
        )
        await world.submit()
        for result, status in (
            (Reply(503, json={}), 502),
            (Reply(end="reset"), 502),
            (Reply(end="hang"), 504),
        ):
            shown["result"] = result
            began = world.loop.now_us
            answer = await world.call("GET", "/v2/status?task_id=t1")
            assert answer.status == status and world.loop.now_us - began <= 61 * S
            assert (await world.only_call())["state"] == "running"
        shown["result"] = Reply(422, json={"detail": "bad"})
        assert (await world.call("GET", "/v2/status?task_id=t1")).status == 200
        row = await world.only_call()
        assert (row["outcome"], row["reason"], row["amount_nanos"]) == ("failed", "result_http_422", 0)

    played(tmp_path, story, reconcile__poll_after="10m")


def test_usage_that_can_never_be_fetched_falls_to_the_policy_at_the_deadline(tmp_path: Path) -> None:
    """No call stays open because its bill cannot be read."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: (
            Reply(404, json={})
            if seen.path.endswith("/output")
            else Reply(json={"status": "SUCCESS"})
            if seen.path == "/v2/status"
            else world.provider.well_behaved(seen)
        )
        await world.submit()
        await asyncio.sleep(2 * 3600)
        row = await world.only_call()
        assert (row["state"], row["amount_nanos"], row["flags"]) == (
            "finalized",
            500_000_000,
            ["usage_missing"],
        )

    played(tmp_path, story, providers__rh__poll={"path": "/v2/status?task_id={task_id}"})


def test_a_task_that_nobody_polls_is_polled_here(tmp_path: Path) -> None:
    """The sweep asks as a caller would, and charges once; then it leaves the provider alone."""

    async def story(world: World) -> None:
        await world.submit()
        await asyncio.sleep(50)
        assert world.provider.ops() == ["POST /v2/video"]
        await asyncio.sleep(200)
        row = await world.only_call()
        assert (row["state"], row["amount_nanos"]) == ("finalized", COST)
        assert world.provider.ops() == ["POST /v2/video", "POST /v2/query"]
        poll = world.provider.seen[1]
        assert poll.json == {"taskId": "t1"}
        assert poll.headers["authorization"] == "Bearer canary-provider-rh"

    played(tmp_path, story)


def test_a_caller_who_polls_spares_the_sweep(tmp_path: Path) -> None:
    """While somebody asks often enough, the sweep does not."""

    async def story(world: World) -> None:
        await world.submit()
        world.provider.began["t1"] += 10_000 * S
        for _ in range(30):
            await asyncio.sleep(20)
            await world.poll()
        assert world.provider.ops().count("POST /v2/query") == 30

    played(tmp_path, story)


def test_the_sweep_reads_a_task_polled_by_path_with_its_own_submit(tmp_path: Path) -> None:
    """Templates are filled from the submit's path and captures, encoded for where they stand."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: (
            Reply(json={"taskId": "a/b c"})
            if seen.method == "POST"
            else Reply(json={"status": "SUCCESS", "usage": {"cost": 1}})
        )
        await world.submit()
        await asyncio.sleep(100)
        assert world.provider.ops() == ["POST /v2/video", "GET /v2/tasks/a%2Fb%20c"]

    played(tmp_path, story, providers__rh__poll={"path": "/v2/tasks/{task_id}"})


def test_a_call_whose_provider_is_gone_from_the_configuration_stays_open(tmp_path: Path) -> None:
    """A changed configuration is no verdict: the call waits for a gateway that knows its provider again."""

    async def story(world: World) -> None:
        await world.submit()
        renamed = config()["providers"]["rh"]
        await world.gateway("g1", providers={"renamed": renamed})
        world.wire.detach("g0.test")
        assert code(await world.submit(to="g1")) == "provider_unknown"
        await world.stop("g0")
        await asyncio.sleep(300)
        (row,) = await world.rows("calls", to="g1")
        assert row["state"] == "running" and world.provider.ops() == ["POST /v2/video"]

    played(tmp_path, story)
