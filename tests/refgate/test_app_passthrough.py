"""Passthrough and results: streamed both ways' end, owned by one, never ended as if they were whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fakes.wire import DirectClient, ProtocolBroken, ReadFailed, WireError
from tests.refgate.edge_kit import Reply, World, code, played

GIVEN = (("authorization", "Bearer canary-caller-alice"),)
URL = "http://g0.test/api/proxy/rh/v2/open/files"


def unfinished(world: World) -> None:
    """The one way in ASGI to cut an answer short is to leave it unfinished, which servers remark on."""
    (remark,) = world.wire.app_errors
    assert str(remark.error) == "ASGI callable returned without completing response."
    world.wire.app_errors.clear()


def test_a_request_goes_through_and_leaves_its_row(tmp_path: Path) -> None:
    """Any method, path, query and body; billed to nobody, and on record."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: Reply(
            207, body=seen.body[::-1], headers=(("content-type", "x/y"),)
        )
        answer = await world.call("PATCH", "/v2/open/a%20b?x=%20&y=", body=b"abc")
        assert (answer.status, answer.body, answer.header("content-type")) == (207, b"cba", "x/y")
        assert answer.header("x-proxy-call-id") is None
        (seen,) = world.provider.seen
        assert (seen.method, seen.path, seen.query) == ("PATCH", "/v2/open/a%20b", "x=%20&y=")
        assert await world.rows("calls") == []
        (row,) = await world.rows("attempts")
        assert (row["op"], row["method"], row["path"], row["status"], row["call_id"]) == (
            "passthrough", "PATCH", "/v2/open/a%20b", 207, None
        )  # fmt: skip
        assert row["ended_us"] > row["started_us"]

    played(tmp_path, story)


def test_pieces_arrive_as_they_are_sent(tmp_path: Path) -> None:
    """A slow answer is not collected first."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(pieces=(b"one", 5.0, b"two", 5.0, b"three"))
        async with DirectClient(world.wire, "client").stream("GET", URL, headers=GIVEN) as streamed:
            came = [(world.loop.now_us // 1_000_000, chunk) async for chunk in streamed.chunks()]
        assert came == [(0, b"one"), (5, b"two"), (10, b"three")]

    played(tmp_path, story)


def test_half_an_answer_is_not_ended_cleanly(tmp_path: Path) -> None:
    """What breaks upstream breaks for the caller, and the row says how."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(pieces=(b"half",), end="reset")
        with pytest.raises((ProtocolBroken, ReadFailed)):
            await world.call("GET", "/v2/open/files")
        (row,) = await world.rows("attempts")
        assert (row["status"], row["failure"]) == (200, "read")
        unfinished(world)

    world = played(tmp_path, story)
    assert world.wire.open_exchanges() == 0


@pytest.mark.parametrize(
    ("reply", "status", "told"),
    [(Reply(end="reset"), 502, "upstream_broken"), (Reply(end="hang"), 504, "upstream_timeout")],
)
def test_an_answer_that_never_began_is_an_error(tmp_path: Path, reply: Reply, status: int, told: str) -> None:
    """Before the first byte there is still room for an envelope."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: reply
        answer = await world.call("GET", "/v2/open/files")
        assert (answer.status, code(answer)) == (status, told)
        world.wire.detach("rh.test")
        assert code(await world.call("GET", "/v2/open/files")) == "upstream_unreachable"

    played(tmp_path, story)


def test_an_endless_answer_ends_at_the_deadline(tmp_path: Path) -> None:
    """The whole exchange has its time; then the caller's connection is cut, not ended."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(pieces=(b"x", 10.0) * 30)
        with pytest.raises(WireError):
            await world.call("GET", "/v2/open/files")
        assert 60_000_000 <= world.loop.now_us <= 61_000_000
        await asyncio.sleep(1)
        (row,) = await world.rows("attempts")
        assert (row["status"], row["failure"]) == (200, "deadline")
        assert world.provider.left == 1
        unfinished(world)

    played(tmp_path, story)


@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_a_caller_who_leaves_takes_the_exchange_along(tmp_path: Path, when: str) -> None:
    """The provider is left at once, whatever it was doing, and no connection stays behind."""

    async def story(world: World) -> None:
        late = when == "before the head"
        world.provider.answer = lambda _: Reply(pieces=(b"x", 30.0, b"y"), after_s=30 if late else 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await world.call("GET", "/v2/open/files")
        await asyncio.sleep(0.1)
        assert world.provider.left == 1 and world.wire.open_exchanges() == 0
        await asyncio.sleep(0.1)
        (row,) = await world.rows("attempts")
        assert (row["failure"], row["ended_us"] is not None) == ("caller_left", True)
        assert world.apps["g0"].state.gateway.gate.in_hand == 0

    played(tmp_path, story)


def test_a_result_is_for_the_tasks_account(tmp_path: Path) -> None:
    """Streamed like any answer, with the id of its call; without side effect on it."""

    async def story(world: World) -> None:
        await world.submit()
        result = await world.call("GET", "/v2/tasks/t1/output")
        assert result.body == b'{"video": "t1"}'
        call = await world.only_call()
        assert result.header("x-proxy-call-id") == call["call_id"] and call["state"] == "running"
        assert (await world.rows("attempts"))[-1]["op"] == "result"

    played(tmp_path, story)


def test_an_echo_of_the_credential_is_taken_out_of_a_stream(tmp_path: Path) -> None:
    """Also where it is cut in two."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(
            pieces=(b"Bearer canary-prov", b"ider-rh and more"), headers=(("x-note", "canary-provider-rh"),)
        )
        answer = await world.call("GET", "/v2/open/headers")
        assert answer.body == b"Bearer [redacted] and more" and answer.header("x-note") is None

    played(tmp_path, story)


def test_a_store_that_is_away_keeps_the_provider_from_being_asked(tmp_path: Path) -> None:
    """No attempt without its row."""

    async def story(world: World) -> None:
        import sqlite3

        def away(sql: str, side: str) -> None:
            if sql.startswith("INSERT INTO attempts"):
                raise sqlite3.OperationalError("locked")

        world.fault = away
        answer = await world.call("GET", "/v2/open/files")
        assert (answer.status, code(answer)) == (503, "store_unavailable")
        assert world.provider.seen == []
        world.fault = None

    played(tmp_path, story)


def test_nothing_of_one_callers_exchange_is_in_anothers(tmp_path: Path) -> None:
    """A cookie that the provider sets is kept by nobody."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(body=b"ok", headers=(("set-cookie", "session=1; Path=/"),))
        for name in ("alice", "bob", "alice"):
            assert (await world.call("GET", "/v2/open/files", as_=name)).header("set-cookie") is None
        assert not any("cookie" in seen.headers for seen in world.provider.seen)

    played(tmp_path, story)
