"""The corners of a submit's story: leases lost, verdicts never written, billing in contradiction."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from refgate.config.settings import Settings
from refgate.config.values import JsonPath
from refgate.events import CallUnknown
from refgate.flows.inquiry import recovered
from refgate.flows.label import labelled
from refgate.flows.templates import request_of
from refgate.ledger.records import Call
from refgate.ledger.states import State
from tests.refgate.edge_kit import ENVIRON, Reply, S, Seen, World, code, config, played


@pytest.mark.parametrize(
    ("step", "told"), [("reserved", "billing_unavailable"), ("begin_submit", "store_unavailable")]
)
def test_a_handler_whose_call_was_taken_from_it_sends_nothing(tmp_path: Path, step: str, told: str) -> None:
    """A sweep that found the lease over has ended the call: its handler goes no further."""

    async def story(world: World) -> None:
        async def lost(*_: Any, **__: Any) -> bool:
            return False

        gateway = world.apps["g0"].state.gateway
        kept = getattr(gateway.store, step)
        setattr(gateway.store, step, lost)
        answer = await world.submit()
        assert (answer.status, code(answer)) == (503, told)
        assert answer.header("retry-after") == "5" and world.provider.seen == []
        setattr(gateway.store, step, kept)
        await asyncio.sleep(120)
        (account, *_) = await world.rows("accounts")
        assert account["held_nanos"] == 0

    played(tmp_path, story)


def test_a_verdict_that_can_never_be_written_is_told_to_the_operator(tmp_path: Path) -> None:
    """The store stayed away too long: the row says `submitting`, the log says what is not in it, and the
    sweep finds the task again by its label."""

    async def story(world: World) -> None:
        until_us = world.loop.now_us + 60 * S

        def away(sql: str, side: str) -> None:
            if world.loop.now_us < until_us:
                raise sqlite3.OperationalError("locked")

        def answer(seen: Seen) -> Reply:
            if seen.path == "/v2/video":
                world.fault = away
                return Reply(json={"taskId": "t1"})
            return Reply(json={"status": "RUNNING"})

        world.provider.answer = answer
        assert code(await world.submit(key="k")) == "outcome_unknown"
        await asyncio.sleep(50)
        (told,) = [event for event in world.events if isinstance(event, CallUnknown)]
        assert (told.reason, told.recorded) == ("not_written", False)
        await asyncio.sleep(200)
        row = await world.only_call()
        assert (row["state"], row["task_id"]) == ("running", "t1")

    played(tmp_path, story, reconcile__verdict_within="30s")


def test_billing_that_contradicts_itself_is_not_believed(tmp_path: Path) -> None:
    """A conflict under a fresh key is no "no": the caller is told to come again, nothing is sent."""

    async def contradicting(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 409, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error":"conflict"}'})

    async def story(world: World) -> None:
        world.wire.attach("billing.test", contradicting)
        answer = await world.submit()
        assert (answer.status, code(answer)) == (503, "billing_unavailable")
        assert world.provider.seen == [] and (await world.only_call())["reason"] == "conflict"

    remote = {"kind": "remote", "url": "http://billing.test", "key": {"env": "BILLING_KEY"}}
    played(tmp_path, story, billing=remote)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("$.taskId", b'{"taskId":"7"}'),
        ("$['data']['task id']", b'{"data":{"task id":"7"}}'),
        ("$.data[1].id", b'{"data":[null,{"id":"7"}]}'),
        ("$..taskId", b'{"task_id":"7"}'),
        ("$.data[-1].id", b'{"task_id":"7"}'),
        ("$.a[?@.b == 1].id", b'{"task_id":"7"}'),
    ],
)
def test_a_recovered_answer_has_the_id_where_the_submits_would(path: str, body: bytes) -> None:
    """A client that reads the submit's answer reads this one, wherever the path is plain enough to tell."""
    route = Settings.parse(config(), environ=ENVIRON).providers["rh"].submit[0]
    changed = type(route).model_validate({"match": "POST /x", "task_id": path})
    assert isinstance(changed.task_id, JsonPath)
    answer = recovered(changed.task_id, "7")
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    ("body", "made"),
    [
        (b"{}", b'{"x": "c"}'),
        (b' {\n"a":1}', b' {\n"x": "c", "a":1}'),
        (b"\xef\xbb\xbf{}", b'\xef\xbb\xbf{"x": "c"}'),
        (b'{"a":{"x":1},"b":1e400}', b'{"x": "c", "a":{"x":1},"b":1e400}'),
    ],
)
def test_a_label_leaves_every_other_byte_as_it_was(body: bytes, made: bytes) -> None:
    """A number keeps its digits and a text its escapes: the body is not written anew."""
    label = (
        Settings.parse(
            config(providers__rh__ambiguous={"resolve": "resend", "label": {"body": "x"}}), environ=ENVIRON
        )
        .providers["rh"]
        .ambiguous.label
    )
    assert labelled(label, "c", (), body) == ((), made)


def test_a_template_fills_every_text_in_it_and_nothing_else() -> None:
    """Lists, numbers and nothing stay; a value is not read as a template again."""
    provider = Settings.parse(config(), environ=ENVIRON).providers["rh"]
    call = Call("c", "alice", "rh", State.RUNNING, "f", 1, 0, "/v2/video", {"app": "{label}"}, None, 0, 0, 0,
                task_id="{app}")  # fmt: skip
    out, path = request_of(
        provider,
        call,
        "PUT",
        "/x/{app}?id={task_id}",
        {"a": ["{task_id}", 1, None], "b": {"c": "{app}-{label}"}},
    )
    assert out.url == "http://rh.test/x/%7Blabel%7D?id=%7Bapp%7D" and path == "/x/%7Blabel%7D"
    assert out.body == b'{"a": ["{app}", 1, null], "b": {"c": "{label}-c"}}'
    assert dict(out.headers)["authorization"] == "Bearer canary-provider-rh"
