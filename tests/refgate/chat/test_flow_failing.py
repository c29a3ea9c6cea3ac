"""What happens when backends fail: elsewhere, later, or an honest error; never twice without leave."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fakes.journal import ChatRefused
from tests.refgate.chat_kit import PROTOCOLS, ChatWorld, S, config, played, said

ONE = [{"name": "p", "backends": [{"backend": "east", "model": "gpt-4o-mini"}]}]


def only(*backends: str) -> list[dict[str, Any]]:
    """One pool after the other, each of one backend."""
    names = {"east": "gpt-4o-mini", "west": "gpt-4o-mini", "rome": "claude-haiku-4-5"}
    return [{"name": one, "backends": [{"backend": one, "model": names[one]}]} for one in backends]


@pytest.mark.parametrize("stream", [False, True])
def test_a_backend_that_refuses_is_left_for_another(tmp_path: Path, stream: bool) -> None:
    """429 → the next pool serves; the first cools for as long as it asked, and the hold covers either."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"rate_limited": {"retry_after": "30s"}}})
        answer = await world.call(model="pair", stream=stream)
        ((at, work),) = world.works()
        assert (answer.status, at, said("openai_chat", answer)) == (200, "rome", work.text)
        first, second = await world.rows("chat_attempts")
        assert (first["backend"], first["status"], first["failure"]) == ("east", 429, "rate_limited")
        assert (first["retry_after_us"], first["cost_nanos"]) == (30 * S, 0)
        assert (second["backend"], second["status"], second["failure"]) == ("rome", 200, None)
        await asyncio.sleep(29)
        await world.call(model="pair")
        assert [row["backend"] for row in await world.rows("chat_attempts")] == ["east", "rome", "rome"]

    played(tmp_path, story, models__pair={"pools": only("east", "rome")})


@pytest.mark.parametrize("act", ["first event", "broken body", "refused", "5xx"])
def test_before_the_first_token_a_failure_is_silent(tmp_path: Path, act: str) -> None:
    """An error in the first event, a 5xx, no connection: the caller hears only who served."""
    acts = {
        "first event": {"do": {"stream_error": {"after_events": 0, "error": "overloaded"}}},
        "broken body": {"do": {"error_in_200": {"error": "server"}}},
        "5xx": {"do": {"error": {"status": 500}}},
    }

    async def story(world: ChatWorld) -> None:
        if act == "refused":
            world.wire.detach("east.test")
        else:
            world.vendor("east", acts[act])
        answer = await world.call(model="pair", stream=True)
        assert answer.status == 200
        served = [work for at, work in world.works() if at == "rome"]
        assert said("openai_chat", answer) == served[0].text
        assert b"error" not in answer.body
        row = await world.only_chat()
        assert (row["outcome"], row["backend"], row["attempts"]) == ("served", "rome", 2)
        assert row["amount_nanos"] == served[0].cost_nanos > 0

    played(tmp_path, story, models__pair={"pools": only("east", "rome")})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["of-east", "of-rome", "of-tokyo"])
def test_after_the_first_token_an_error_is_told_and_nobody_else_speaks(
    tmp_path: Path, protocol: str, model: str
) -> None:
    """The words so far, then an error in the caller's protocol; no second attempt; nothing is charged."""

    async def story(world: ChatWorld) -> None:
        act = {"do": {"stream_error": {"after_words": 3, "error": "server"}}}
        for name in ("east", "rome", "tokyo"):
            world.vendor(name, act)
        answer = await world.call(protocol, model=model, stream=True)
        ((_, work),) = world.works()
        assert answer.status == 200
        heard = said_until_error(protocol, answer.body)
        assert heard and work.text.startswith(heard)
        assert b'"error"' in answer.body
        assert b"[DONE]" not in answer.body and b"message_stop" not in answer.body
        row = await world.only_chat()
        assert (row["outcome"], row["amount_nanos"], row["flags"]) == ("broken", 0, ["unbilled_work"])
        assert row["attempts"] == 1

    played(tmp_path, story)


def said_until_error(protocol: str, body: bytes) -> str:
    pieces = []
    for frame in body.split(b"\n\n"):
        if b'"error":{' in frame:
            break
        pieces.append(frame)
    return said(protocol, b"\n\n".join(pieces))


@pytest.mark.parametrize("phase", ["headers", "first_token", "between_tokens"])
def test_silence_in_any_phase_ends(tmp_path: Path, phase: str) -> None:
    """Each phase has its time. Before a token it may have been done: 504, not sent again without leave."""
    acts: dict[str, dict[str, Any]] = {
        "headers": {"do": {"never_answers": {}}},
        "first_token": {"do": {"stall": {"after_events": 1}}},
        "between_tokens": {"do": {"stall": {"after_words": 3}}},
    }

    async def story(world: ChatWorld) -> None:
        world.vendor("east", acts[phase], headers="10ms")
        began = world.loop.now_us
        answer = await world.call(model="pair", stream=True)
        took_s = (world.loop.now_us - began) / S
        row = await world.only_chat()
        assert row["attempts"] == 1
        if phase == "between_tokens":
            assert (answer.status, row["outcome"]) == (200, "broken")
            assert b'"error"' in answer.body
            assert 5 <= took_s < 6
        else:
            assert (answer.status, row["outcome"], row["reason"]) == (504, "failed", "ambiguous")
            assert answer.header("x-should-retry") == "false"
            assert 10 <= took_s < 11
        (attempt,) = await world.rows("chat_attempts")
        assert (attempt["failure"], attempt["ambiguous"]) == ("timeout", True)
        assert "unbilled_work" in row["flags"]

    played(tmp_path, story, models__pair={"pools": only("east", "rome")})


@pytest.mark.parametrize(("rule", "idempotent", "tries"), [
    ("retry_if_idempotent", False, 1),
    ("retry_if_idempotent", True, 2),
    ("never_retry", True, 1),
    ("always_retry", False, 2),
])  # fmt: skip
def test_doubt_is_resolved_as_declared(tmp_path: Path, rule: str, idempotent: bool, tries: int) -> None:
    """A connection that broke after the request went out is tried again only where that is declared."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"reset": {}}})
        answer = await world.call(model="pair")
        row = await world.only_chat()
        assert row["attempts"] == tries
        assert answer.status == (200 if tries == 2 else 502)
        assert ("unbilled_work" in row["flags"]) is True

    pair = {"pools": only("east", "rome"), "idempotent": idempotent}
    played(tmp_path, story, models__pair=pair, chat__ambiguous=rule)


def test_when_nothing_is_left_the_caller_hears_when_to_come_back(tmp_path: Path) -> None:
    """All cooling, the lane used: 503 AllPoolsExhausted with the soonest recovery."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"rate_limited": {"retry_after": "40s"}}})
        world.vendor("rome", {"do": {"rate_limited": {"retry_after": "20s"}}})
        answer = await world.call(model="pair")
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"]) == (503, "AllPoolsExhausted")
        assert answer.header("x-refgate-error") == "AllPoolsExhausted"
        assert 20 <= int(answer.header("retry-after") or 0) <= 25
        row = await world.only_chat()
        assert (row["outcome"], row["reason"], row["amount_nanos"]) == ("failed", "exhausted", 0)
        assert row["flags"] == []
        before = len(world.facts(ChatRefused))
        await world.call(model="pair")
        assert len(world.facts(ChatRefused)) == before  # nobody was asked

    played(tmp_path, story, models__pair={"pools": only("east", "rome")}, chat__all_open="refuse")


def test_attempts_are_bounded_and_the_last_cause_is_kept(tmp_path: Path) -> None:
    """Three tries of a backend that always fails, then 502 with why, and no invitation to try again."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"error": {"status": 500}}})
        answer = await world.call(model="of-east")
        assert answer.status == 502
        assert "server" in json.loads(answer.body)["error"]["message"]
        assert answer.header("x-should-retry") == "false"
        assert (await world.only_chat())["attempts"] == 3

    played(tmp_path, story, chat__breaker={"failures": 50})


@pytest.mark.parametrize("status", [401, 403])
def test_the_gateways_own_credential_is_not_the_callers_business(tmp_path: Path, status: int) -> None:
    """A backend that does not take the gateway's key is a bad gateway, and its words stay behind."""

    async def story(world: ChatWorld) -> None:
        vendor = world.vendor("east")
        vendor.key = "another"
        answer = await world.call(model="of-east")
        assert answer.status == 502
        assert b"key" not in answer.body.lower()
        assert (await world.only_chat())["outcome"] == "failed"

    played(tmp_path, story)


def test_what_the_backend_refuses_in_the_request_is_told_as_it_is(tmp_path: Path) -> None:
    """A prompt too long is the caller's own: its status and words, and no other backend is asked."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", models={"*": {"context": 5}})
        answer = await world.call(model="pair")
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["code"] == "context_length_exceeded"
        row = await world.only_chat()
        assert (row["outcome"], row["reason"], row["attempts"]) == ("refused", "context_overflow", 1)

    played(tmp_path, story, models__pair={"pools": only("east", "rome")})


def test_the_call_ends_by_its_deadline(tmp_path: Path) -> None:
    """However many backends would still be there."""

    async def story(world: ChatWorld) -> None:
        for name in ("east", "west", "rome"):
            world.vendor(name, {"do": {"never_answers": {}}})
        began = world.loop.now_us
        answer = await world.call()
        assert answer.status == 504
        assert (world.loop.now_us - began) / S <= 16

    played(tmp_path, story, chat__timeouts__whole="15s", chat__ambiguous="always_retry")


def test_no_connection_is_no_doubt(tmp_path: Path) -> None:
    """A backend that cannot be reached did nothing: the call goes on, unflagged."""

    async def story(world: ChatWorld) -> None:
        world.wire.detach("east.test")
        answer = await world.call(model="pair")
        assert answer.status == 200
        row = await world.only_chat()
        assert row["flags"] == []
        first, _ = await world.rows("chat_attempts")
        assert (first["failure"], first["ambiguous"], first["status"]) == ("unreachable", False, None)

    played(tmp_path, story, models__pair={"pools": only("east", "rome")})


@pytest.mark.parametrize("field", ["message", "code"])
def test_a_key_that_a_backend_quotes_goes_no_further(tmp_path: Path, field: str) -> None:
    """Wherever in its error the backend says it."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"do": {"error": {"status": 400, field: "for canary-provider-east"}}})
        answer = await world.call(model="alone")
        assert answer.status == 400
        assert b"canary-provider" not in answer.body
        assert b"[redacted]" in answer.body

    played(tmp_path, story, models__alone={"pools": ONE})


@pytest.mark.parametrize("where", [{"error": {"status": 400}}, {"error_in_200": {"error": "too_long"}}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_backends_words_are_cut_after_its_key_is_gone(
    tmp_path: Path, where: dict[str, dict[str, Any]], stream: bool
) -> None:
    """Half a key is one, too: a long message that quotes it is masked before it is made shorter."""

    async def story(world: ChatWorld) -> None:
        ((act, said),) = where.items()
        words = "x" * 1990 + "canary-provider-east" + "y" * 1990
        world.vendor("east", {"do": {act: {**said, "message": words}}})
        answer = await world.call(model="of-east", stream=stream)
        assert b"xxx[redacted]" in answer.body or b"xxx[redacte" in answer.body
        assert b"canary" not in answer.body and len(answer.body) < 3000

    played(tmp_path, story)


def test_who_cannot_pay_takes_no_room_from_others(tmp_path: Path) -> None:
    """A call that is refused its hold gives back what it had taken: of the backend's rate, of the lane."""

    async def story(world: ChatWorld) -> None:
        world.vendor("east", {"count": 1, "do": {"rate_limited": {"retry_after": "30s"}}})
        assert (await world.call(model="of-east")).status == 503
        poor = await world.call(model="of-east", as_="bob")
        assert poor.header("x-refgate-error") == "no_money"
        assert (await world.call(model="of-east")).status == 200
        lanes = [row["lane"] for row in await world.rows("chat_attempts")]
        assert lanes == ["pool", "emergency"]

    backends = config()["backends"]
    backends["east"]["rpm"] = 2
    played(tmp_path, story, backends=backends, chat__emergency={"rpm": 1, "fraction": "1"})
