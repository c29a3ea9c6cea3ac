"""The story of a task call: reserve, submit, poll, finalize; and every way it can go otherwise."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.refgate.edge_kit import Reply, S, Seen, World, code, played

HOLD = 500_000_000
COST = 250_000_000


def test_a_task_is_held_then_charged_once(tmp_path: Path) -> None:
    """Submit takes the hold before the provider hears of it; the terminal poll turns it into the charge."""

    async def story(world: World) -> None:
        submitted = await world.submit()
        assert (submitted.status, submitted.body) == (200, b'{"taskId": "t1", "status": "QUEUED"}')
        call_id = submitted.header("x-proxy-call-id")
        (account, *_) = await world.rows("accounts")
        assert (account["held_nanos"], account["settled_nanos"]) == (HOLD, 0)
        assert json.loads((await world.poll()).body)["status"] == "RUNNING"
        await asyncio.sleep(25)
        done = await world.poll()
        assert json.loads(done.body)["status"] == "SUCCESS" and done.header("x-proxy-call-id") == call_id
        await asyncio.sleep(1)
        row = await world.only_call()
        assert (row["call_id"], row["state"], row["outcome"], row["amount_nanos"], row["flags"]) == (
            call_id, "finalized", "success", COST, []
        )  # fmt: skip
        (account, *_) = await world.rows("accounts")
        assert (account["held_nanos"], account["settled_nanos"]) == (0, COST)
        attempts = await world.rows("attempts")
        assert [(one["op"], one["status"], one["failure"]) for one in attempts] == [
            ("submit", 200, None),
            ("poll", 200, None),
            ("poll", 200, None),
        ]

    world = played(tmp_path, story)
    assert [kind for kind in world.kinds() if kind != "attempt-ended"] == [
        "started", "call-opened", "task-running", "call-ended", "delivered", "draining", "stopped"
    ]  # fmt: skip


def test_the_provider_hears_nothing_before_the_hold(tmp_path: Path) -> None:
    """No money, no request: 402, and the key is free for a later try."""

    async def story(world: World) -> None:
        refused = await world.submit(as_="bob", key="k")
        assert (refused.status, code(refused)) == (402, "insufficient_funds")
        assert world.provider.seen == []
        row = await world.only_call()
        assert (row["state"], row["reason"], row["hold_id"]) == ("rejected", "insufficient_funds", None)
        again = await world.submit(as_="bob", key="k")
        assert code(again) == "insufficient_funds" and len(await world.rows("calls")) == 2

    played(tmp_path, story)


def test_what_reaches_the_provider_is_clean(tmp_path: Path) -> None:
    """Its own credential and the caller's content; nothing of who called or how he is billed."""

    async def story(world: World) -> None:
        await world.submit(
            key="k",
            headers=(
                ("cookie", "a=b"),
                ("x-thread-id", "alice-2"),
                ("x-extra", "1"),
                ("x-other", "2"),
                ("connection", "x-gone"),
                ("x-forwarded-for", "10.0.0.1"),
            ),
        )
        (seen,) = world.provider.seen
        assert dict(seen.headers) == {
            "host": "rh.test",
            "accept": "*/*",
            "accept-encoding": "identity",
            "authorization": "Bearer canary-provider-rh",
            "content-length": "14",
            "content-type": "application/json",
            "idempotency-key": (await world.only_call())["call_id"],
            "user-agent": "refgate",
            "x-extra": "1",
        }

    played(tmp_path, story)


def test_what_reaches_the_caller_is_clean(tmp_path: Path) -> None:
    """Declared headers only, a length that is true, and no echo of the provider's credential."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: Reply(
            json={"taskId": "t1", "you_sent": seen.headers["authorization"]},
            headers=(
                ("content-type", "application/json"),
                ("set-cookie", "a=b"),
                ("x-note", "kept"),
                ("x-note", "Bearer canary-provider-rh"),
                ("server", "nginx"),
                ("keep-alive", "timeout=5"),
                ("x-proxy-call-id", "forged"),
            ),
        )
        answer = await world.submit()
        assert b"canary" not in answer.body and json.loads(answer.body)["taskId"] == "t1"
        assert set(answer.headers) == {
            ("content-type", "application/json"),
            ("x-note", "kept"),
            ("content-length", str(len(answer.body))),
            ("x-proxy-call-id", (await world.only_call())["call_id"]),
        }

    played(tmp_path, story)


def test_an_echo_in_a_reason_is_no_leak(tmp_path: Path) -> None:
    """The reason of a rejection is the provider's text: its credential is taken out of that, too."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: Reply(json={"errorCode": seen.headers["authorization"]})
        await world.submit()
        assert (await world.only_call())["reason"] == "Bearer [redacted]"

    world = played(tmp_path, story)
    assert "canary" not in world.logged()


def test_a_reason_is_cut_after_its_secrets_are_gone(tmp_path: Path) -> None:
    """Half a credential is one, too."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: Reply(
            json={"errorCode": "e" * 80 + seen.headers["authorization"]}
        )
        await world.submit()
        assert (await world.only_call())["reason"] == "e" * 80 + "Bearer [redacted]"

    world = played(tmp_path, story)
    assert "canary" not in world.logged()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(json={"errorCode": "1505", "taskId": ""}), "1505"),
        (Reply(json={"errorCode": "e" * 500}), "e" * 100),
        (Reply(json={"errorCode": "half \ud83d"}), "half ?"),
        (Reply(json=["not", "an", "object"]), "no_task_id"),
        (Reply(status=400, body=b"bad prompt"), "error_http_400"),
        (Reply(status=429, json={}, headers=(("retry-after", "30"),)), "error_http_429"),
    ],
)
def test_a_refused_submit_is_free_and_handed_on_as_it_is(tmp_path: Path, reply: Reply, reason: str) -> None:
    """Status and bytes are the provider's, also when they are no object; the hold is given back."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: reply
        for _ in range(2):
            answer = await world.submit(key="k")
            assert (answer.status, answer.body) == (reply.status, reply.bytes)
            assert answer.header("retry-after") == dict(reply.headers).get("retry-after")
        assert answer.header("x-idempotent-replay") == "true" and len(world.provider.seen) == 1
        await asyncio.sleep(1)
        row = await world.only_call()
        assert (row["state"], row["outcome"], row["reason"], row["amount_nanos"]) == (
            "finalized", "refused", reason, 0
        )  # fmt: skip
        (account, *_) = await world.rows("accounts")
        assert account["held_nanos"] == 0

    played(tmp_path, story)


def test_an_unreachable_provider_costs_nothing(tmp_path: Path) -> None:
    """No connection, no doubt: 502, finalized at 0; a repeat under the key gets the same."""

    async def story(world: World) -> None:
        world.wire.detach("rh.test")
        first, second = await world.submit(key="k"), await world.submit(key="k")
        assert (first.status, code(first)) == (502, "upstream_unreachable")
        assert (second.status, second.body) == (502, first.body)
        await asyncio.sleep(1)
        row = await world.only_call()
        assert (row["state"], row["outcome"], row["reason"]) == ("finalized", "unreached", "connect")
        assert "rh.test" not in first.body.decode() + world.logged()

    played(tmp_path, story)


def lost(world: World, how: Reply) -> None:
    """The first submit is accepted, and its answer is `how`; a repeat of its label shows the task."""

    def answer(seen: Seen) -> Reply:
        if seen.path == "/v2/query":
            return world.provider.well_behaved(seen)
        if len([one for one in world.provider.seen if one.path == "/v2/video"]) == 1:
            world.provider.began["t1"] = seen.t_us
            return how
        return Reply(json={"taskId": "t1", "status": "QUEUED"})

    world.provider.answer = answer


@pytest.mark.parametrize(
    "how",
    [
        Reply(end="reset"),
        Reply(end="hang"),
        Reply(pieces=(b'{"taskId"',), end="reset"),
        Reply(status=502, body=b"<html>Bad gateway"),
        Reply(body=b"<html>ok"),
        Reply(body=b"x" * 9_000_000),
    ],
    ids=["reset", "silence", "half", "http-502", "not-json", "too-large"],
)
def test_doubt_is_not_a_verdict(tmp_path: Path, how: Reply) -> None:
    """Bytes went out and nobody knows: 504, the hold stays, and the sweep finds the truth out. It is
    charged once, and a repeat under the key gets the recovered answer."""

    async def story(world: World) -> None:
        lost(world, how)
        first = await world.submit(key="k")
        assert (first.status, code(first)) == (504, "outcome_unknown")
        assert int(first.header("retry-after") or 0) >= 1
        row = await world.only_call()
        assert (row["state"], row["outcome"]) == ("unknown", None)
        at_once = await world.submit(key="k")
        assert (at_once.status, code(at_once)) == (409, "in_flight")
        await asyncio.sleep(10)
        recovered = await world.submit(key="k")
        assert (recovered.status, recovered.header("x-idempotent-replay")) == (200, "true")
        assert json.loads(recovered.body)["taskId"] == "t1"
        await asyncio.sleep(120)
        row = await world.only_call()
        assert (row["state"], row["outcome"], row["amount_nanos"]) == ("finalized", "success", COST)
        submits = [seen for seen in world.provider.seen if seen.path == "/v2/video"]
        assert len(submits) == 2
        assert submits[0].body == submits[1].body and submits[0].headers == submits[1].headers

    played(tmp_path, story)


def test_a_lost_submit_is_found_by_its_label(tmp_path: Path) -> None:
    """Where the provider can look a label up, nothing is sent twice; the caller gets the id where the
    submit's answer would have it."""

    def answer(seen: Seen) -> Reply:
        if seen.method == "POST":
            return Reply(end="reset")
        assert seen.path == "/v2/video" and seen.query.startswith("label=call-")
        return Reply(json={"found": [{"id": 77}]})

    async def story(world: World) -> None:
        world.provider.answer = answer
        assert code(await world.submit(key="k")) == "outcome_unknown"
        (submit,) = world.provider.seen
        call_id = (await world.only_call())["call_id"]
        assert submit.body == b'{"external_id": "' + call_id.encode() + b'", "prompt":"p"}'
        await asyncio.sleep(10)
        assert json.loads((await world.submit(key="k")).body) == {"taskId": "77"}
        assert (await world.only_call())["task_id"] == "77"
        assert world.provider.ops() == ["POST /v2/video", "GET /v2/video"]

    played(
        tmp_path,
        story,
        providers__rh__ambiguous={
            "resolve": "find",
            "label": {"body": "external_id"},
            "find": {"path": "{submit_path}?label={label}", "task_id": "$.found[0].id"},
        },
    )


def test_what_is_never_found_is_free_once_it_cannot_come_any_more(tmp_path: Path) -> None:
    """A 404 for a label just after the submit says nothing yet; it is believed when no submit can still
    be on its way."""

    async def story(world: World) -> None:
        world.provider.answer = lambda seen: (
            Reply(end="reset") if seen.method == "POST" else Reply(404, json={})
        )
        await world.submit(key="k")
        await asyncio.sleep(100)
        assert (await world.only_call())["state"] == "unknown"
        await asyncio.sleep(400)
        row = await world.only_call()
        assert (row["state"], row["outcome"], row["reason"]) == ("finalized", "unreached", "not_found")
        again = await world.submit(key="k")
        assert (again.status, code(again)) == (502, "upstream_unreachable")

    played(
        tmp_path,
        story,
        providers__rh__ambiguous={
            "resolve": "find",
            "label": {"header": "x-label"},
            "find": {"path": "/v2/find/{label}", "task_id": "$.id"},
        },
    )


def test_a_caller_may_not_choose_the_label(tmp_path: Path) -> None:
    """A label of somebody else's would make their task look like his; and a body without room for it is
    refused before anything happens."""

    async def story(world: World) -> None:
        for body in ({"external_id": "x"}, ["a"]):
            answer = await world.submit(json=body)
            assert (answer.status, code(answer)) == (400, "bad_request")
        assert world.provider.seen == [] and await world.rows("calls") == []
        await world.submit(json={})
        assert json.loads(world.provider.seen[0].body) == {
            "external_id": (await world.only_call())["call_id"]
        }

    played(
        tmp_path,
        story,
        providers__rh__ambiguous={"resolve": "resend", "label": {"body": "external_id"}},
    )


def test_a_release_by_policy_is_marked_and_a_late_success_is_charged_once(tmp_path: Path) -> None:
    """At the deadline the hold is given back; when the caller's poll sees the success after all, it is
    charged on a row of its own, however often it is seen."""

    async def story(world: World) -> None:
        await world.submit()
        began = world.provider.began["t1"]
        world.provider.began["t1"] = began + 10_000 * S  # it takes very long
        await asyncio.sleep(2 * 3600)
        row = await world.only_call()
        assert (row["outcome"], row["amount_nanos"], row["flags"]) == ("expired", 0, ["unverified"])
        assert json.loads((await world.poll()).body)["status"] == "RUNNING"
        world.provider.began["t1"] = began
        answers = [await world.poll() for _ in range(3)]
        assert {json.loads(answer.body)["status"] for answer in answers} == {"SUCCESS"}
        await asyncio.sleep(1)
        released, late = await world.rows("calls")
        assert (released["amount_nanos"], late["amount_nanos"]) == (0, COST)
        assert late["late_of"] == released["call_id"] and late["state"] == "finalized"

    played(tmp_path, story, policies={"task_without_verdict": "release"})


def test_a_released_unknown_submit_is_told_as_such(tmp_path: Path) -> None:
    """Nobody ever knew: a repeat under the key hears that, and it is no replay of an answer."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(end="reset")
        await world.submit(key="k")
        await asyncio.sleep(2 * 3600)
        assert (await world.only_call())["outcome"] == "expired"
        again = await world.submit(key="k")
        assert (again.status, code(again), again.header("x-idempotent-replay")) == (
            504,
            "outcome_unknown",
            None,
        )
        assert world.provider.ops() == ["POST /v2/video"]

    played(
        tmp_path,
        story,
        policies={"task_without_verdict": "release"},
        providers__rh__ambiguous={"resolve": "none"},
    )


def test_a_task_of_another_call_is_not_given_away(tmp_path: Path) -> None:
    """A provider that answers with a task somebody already owns: 502, free, and the owner keeps it."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(json={"taskId": "t1"})
        await world.submit()
        second = await world.submit(headers=(("x-thread-id", "alice-2"),))
        assert (second.status, code(second)) == (502, "upstream_broken")
        await asyncio.sleep(1)
        _, row = await world.rows("calls")
        assert (row["outcome"], row["amount_nanos"], row["task_id"]) == ("duplicate", 0, None)

    played(tmp_path, story)


def test_a_caller_who_leaves_does_not_stop_the_submit(tmp_path: Path) -> None:
    """The provider may have heard: the call goes on to its verdict, and the key has its answer."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(json={"taskId": "t1"}, after_s=5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await world.submit(key="k")
        await asyncio.sleep(10)
        row = await world.only_call()
        assert (row["state"], row["task_id"]) == ("running", "t1")
        assert (await world.submit(key="k")).header("x-idempotent-replay") == "true"
        assert world.provider.left == 0 and len(world.provider.seen) == 1

    played(tmp_path, story)
