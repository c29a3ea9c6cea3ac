"""Each chat request leaves one row in the request log, and its messages where that is declared; no secret."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.refgate.chat_kit import ENVIRON, ChatWorld, ask, played
from tests.refgate.ledger_kit import Cut

DEBUG = {"request_log": {"body": "64KiB"}}


async def only_row(world: ChatWorld) -> dict[str, Any]:
    await asyncio.sleep(2)
    (row,) = await world.rows("requests")
    return row


def test_a_served_call_has_its_row(tmp_path: Path) -> None:
    """Under the id that its headers carry, with what it came to."""

    async def story(world: ChatWorld) -> None:
        answer = await world.call(stream=True)
        row, call = await only_row(world), await world.only_chat()
        assert row["request_id"] == answer.header("x-request-id") == call["call_id"]
        same = (
            "caller",
            "account",
            "protocol",
            "model",
            "stream",
            "outcome",
            "status",
            "backend",
            "attempts",
        )
        assert [row[name] for name in same] == [call[name] for name in same]
        assert row["amount_nanos"] == call["amount_nanos"] > 0
        assert row["code"] is None and row["duration_us"] > 0
        assert row["stream"] is True
        assert await world.rows("debug") == []

    played(tmp_path, story)


@pytest.mark.parametrize(
    ("asked", "code", "account"),
    [
        ({"as_": None}, "unauthorized", None),
        ({"as_": "nobody"}, "unauthorized", None),
        ({"headers": (("x-thread-id", "bob"),)}, "account_forbidden", None),
        ({"model": "none"}, "model_unknown", "alice"),
        ({"n": 0}, "malformed", "alice"),
        ({"as_": "bob"}, "insufficient_funds", "bob"),
    ],
    ids=["no key", "another's key", "account", "model", "body", "money"],
)
def test_a_refused_request_has_its_row(
    tmp_path: Path, asked: dict[str, Any], code: str, account: str | None
) -> None:
    """With the status its caller was told, and as much as was known of it."""

    async def story(world: ChatWorld) -> None:
        answer = await world.call(**asked)
        row = await only_row(world)
        assert row["request_id"] == answer.header("x-request-id")
        assert (row["outcome"], row["code"], row["account"]) == ("denied", code, account)
        assert row["status"] == answer.status >= 400
        assert (row["attempts"], row["amount_nanos"]) == (0, 0)
        assert await world.rows("chats") == []

    played(tmp_path, story)


def test_a_call_that_nobody_could_serve_has_its_row(tmp_path: Path) -> None:
    """With the attempts it took."""

    async def story(world: ChatWorld) -> None:
        for name in ("east", "west", "rome"):
            world.vendor(name, {"do": {"error": {"status": 500}}})
        answer = await world.call()
        row, call = await only_row(world), await world.only_chat()
        assert (row["outcome"], row["status"]) == ("failed", answer.status)
        assert row["code"] == call["reason"]
        assert row["attempts"] == call["attempts"] == 3

    played(tmp_path, story)


def test_a_caller_who_leaves_has_its_row(tmp_path: Path) -> None:
    """And is charged there what its call was charged."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", words=50, between="50ms")
        async with world.streaming(model="of-east") as stream:
            async for _ in stream.chunks():
                break
        await asyncio.sleep(5)
        row, call = await only_row(world), await world.only_chat()
        assert row["outcome"] == call["outcome"] == "left"
        assert row["amount_nanos"] == call["amount_nanos"] > 0

    played(tmp_path, story)


def test_the_list_of_models_has_its_row(tmp_path: Path) -> None:
    """It is a request like any other, and costs nothing."""

    async def story(world: ChatWorld) -> None:
        answer = await world.get("/v1/models")
        row = await only_row(world)
        assert row["request_id"] == answer.header("x-request-id")
        assert (row["outcome"], row["status"], row["amount_nanos"]) == ("served", 200, 0)

    played(tmp_path, story)


def test_rows_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    """Requests of an outage, which are refused, are in the log when it is over."""

    async def story(world: ChatWorld) -> None:
        def away(sql: str, side: str) -> None:
            if side == "before":
                raise sqlite3.OperationalError("database is locked")

        world.fault = away
        answers = [await world.call() for _ in range(3)]
        assert {answer.status for answer in answers} == {503}
        await asyncio.sleep(20)
        world.fault = None
        await asyncio.sleep(20)
        rows = await world.rows("requests")
        assert [row["request_id"] for row in rows] == [answer.header("x-request-id") for answer in answers]
        assert {row["code"] for row in rows} == {"store_unavailable"}

    played(tmp_path, story)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_power_cut_at_the_end_of_a_call_leaves_one_true_row(tmp_path: Path, side: str) -> None:
    """Before the call's end is written the sweep settles it, and says so in the log too; after it, the
    row was in the spool already."""

    async def story(world: ChatWorld) -> None:
        owner = world.loop.owner("g0")
        cuts: list[str] = []

        def cut(sql: str, when: str) -> None:
            if sql.startswith("UPDATE chats SET state") and when == "before":
                cuts.append(sql)
            if sql == "COMMIT" and when == side and cuts and owner.alive:
                world.loop.cut(owner)
                raise Cut

        await world.gateway("g1")
        world.fault = cut
        task = asyncio.create_task(world.call())
        await asyncio.sleep(3)
        assert not owner.alive
        task.cancel()
        world.fault = None
        await world.gateway("g0")
        await asyncio.sleep(200)
        call = await world.only_chat()
        row = await only_row(world)
        assert call["outcome"] == ("served" if side == "after" else "lost")
        for name in ("outcome", "amount_nanos", "account", "model", "caller"):
            assert row[name] == call[name], name

    played(tmp_path, story)


# --- messages ---


def test_all_messages_of_a_request_are_kept_in_order(tmp_path: Path) -> None:
    """What came, what was sent on, what came back, what was answered; each with its status and headers."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"error": {"status": 500}}})
        world.vendor("west", {"do": {"error": {"status": 500}}})
        answer = await world.call(stream=True)
        await asyncio.sleep(2)
        rows = await world.rows("debug")
        assert {row["request_id"] for row in rows} == {answer.header("x-request-id")}
        told = [(row["what"], row["backend"], row["status"]) for row in rows]
        tried = [backend for what, backend, _ in told if what == "upstream_request"]
        assert len(tried) == 3 and tried[-1] == "rome"
        assert told[0] == ("request", None, None)
        for number, backend in enumerate(tried):
            status = 200 if backend == "rome" else 500
            assert told[1 + 2 * number :][:2] == [
                ("upstream_request", backend, None),
                ("upstream_answer", backend, status),
            ]
        assert told[-1] == ("answer", None, 200)
        assert json.loads(rows[0]["body"])["messages"]
        assert rows[-1]["body"].encode() == answer.body
        names = [name for name, _ in rows[-1]["headers"]]
        assert "x-request-id" in names and names == sorted(names)
        assert ["x-api-key", "[redacted]"] in rows[-3]["headers"]
        assert not any(row["cut"] for row in rows)

    played(tmp_path, story, **DEBUG)


KEY = "canary-caller-alice"
ECHOES: dict[str, Callable[[str], dict[str, Any]]] = {
    "in a message": lambda key: {"text": f"nonce:n1 my key is {key}"},
    "as the model": lambda key: {"model": key},
    "as a field": lambda key: {"x_api_key": key},
    "as the user": lambda key: {"user": key},
}


@pytest.mark.parametrize("place", ECHOES)
@pytest.mark.parametrize("key", [KEY, "canary-provider-east", "canary-admin", "unknown-canary-key"])
def test_no_credential_is_in_any_log(tmp_path: Path, place: str, key: str) -> None:
    """Whoever presents it, known or not, wherever else it is said, and a backend's quoting it (C8)."""

    async def story(world: ChatWorld) -> None:
        quoting = {"do": {"completes": {"text": f"you said {key}, and I am canary-provider-east"}}}
        for name in ("east", "west"):
            world.vendor(name, quoting)
        asked = ask(**ECHOES[place](key))
        more = (("cookie", f"a={key}"), ("x-note", key))
        for header, value in (
            ("x-api-key", key),
            ("x-goog-api-key", key),
            ("authorization", f"Bearer {key}"),
        ):
            await world.post(*asked, as_=None, headers=((header, value), *more))
        if key in ENVIRON.values():  # of what nobody presented and nobody knows, nobody can know what it is
            await world.post(*asked, headers=more)
        await asyncio.sleep(2)
        requests, debug = await world.rows("requests"), await world.rows("debug")
        assert len(requests) >= 3 and len({row["request_id"] for row in debug}) == len(requests)
        for log in (requests, debug, world.logged()):
            assert [secret for secret in (*ENVIRON.values(), key) if secret in json.dumps(log)] == []

    played(tmp_path, story, **DEBUG)


def test_large_bodies_are_cut(tmp_path: Path) -> None:
    """At the declared size, and marked."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"completes": {"text": "ü" * 5000}}})
        answer = await world.call(model="of-east", text="ä" * 5000)
        assert answer.status == 200
        await asyncio.sleep(2)
        rows = await world.rows("debug")
        assert len(rows) == 4 and all(row["cut"] for row in rows)
        assert {900 < len(row["body"].encode()) <= 1000 for row in rows} == {True}

    played(tmp_path, story, request_log={"body": "1kB"})
