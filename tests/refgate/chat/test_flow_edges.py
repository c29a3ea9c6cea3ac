"""Who may call, with what: everything that is refused before a backend hears of it, in the caller's words."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from fakes.journal import Received
from fakes.wire import Answer
from tests.refgate.chat_kit import PROTOCOLS, ChatWorld, ask, config, played

KEY = "canary-caller-alice"


def error_of(protocol: str, answer: Answer) -> tuple[int, str]:
    """The status, and what kind of error it is in that protocol's own word."""
    error = json.loads(answer.body)["error"]
    return answer.status, str(error.get("status") or error["type"])


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "x-goog-api-key"])
def test_the_key_may_come_in_any_vendors_header(tmp_path: Path, name: str) -> None:
    """As each vendor's SDK sends it."""

    async def story(world: ChatWorld) -> None:
        value = f"Bearer {KEY}" if name == "authorization" else KEY
        assert (await world.call(as_=None, headers=((name, value),))).status == 200

    played(tmp_path, story)


def test_strangers_are_refused_in_their_own_protocol(tmp_path: Path) -> None:
    """No key, a wrong one, two that differ: 401, and nobody is asked."""

    async def story(world: ChatWorld) -> None:
        kinds = {"anthropic": "authentication_error", "gemini": "UNAUTHENTICATED"}
        for protocol in PROTOCOLS:
            answer = await world.call(protocol, as_=None)
            assert error_of(protocol, answer) == (401, kinds.get(protocol, "invalid_request_error"))
            assert answer.header("x-request-id")
        assert (await world.call(as_="nobody")).status == 401
        assert (await world.call(headers=(("x-api-key", "canary-caller-bob"),))).status == 401
        assert (await world.call(headers=(("x-api-key", KEY),))).status == 200
        path, body = ask()
        assert (await world.post(f"{path}?key={KEY}", body)).status == 400
        assert len(world.facts(Received)) == 1

    played(tmp_path, story)


def test_the_account_is_chosen_among_the_callers_own(tmp_path: Path) -> None:
    """X-Thread-Id as for tasks."""

    async def story(world: ChatWorld) -> None:
        assert (await world.call(headers=(("x-thread-id", "alice-2"),))).status == 200
        assert (await world.call(headers=(("x-thread-id", "bob"),))).status == 403
        assert (await world.only_chat())["account"] == "alice-2"

    played(tmp_path, story)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_cannot_be_a_request_is_refused(tmp_path: Path, protocol: str) -> None:
    """Too large is 413 and not "invalid JSON"; invalid JSON is 400; a model nobody knows is 404."""

    async def story(world: ChatWorld) -> None:
        path, body = ask(protocol)
        large = await world.post(path, json.dumps(body).encode() + b" " * 70_000)
        assert large.status == 413
        assert (await world.post(path, b'{"model": ')).status == 400
        assert (await world.post(path, b"[]")).status == 400
        assert (await world.call(protocol, model="nobody")).status == 404
        assert (await world.call(protocol, model="embed")).status == 404
        if protocol != "gemini":
            assert (await world.post(path, {**body, "model": None})).status == 400
        assert world.facts(Received) == []
        assert await world.rows("chats") == []

    played(tmp_path, story, limits__request_body="64KiB")


def test_what_no_backend_can_be_told_is_refused_by_name(tmp_path: Path) -> None:
    """Log probabilities do not reach Anthropic: a clear 400 before anybody is asked; OpenAI takes them."""

    async def story(world: ChatWorld) -> None:
        answer = await world.call(model="of-rome", logprobs=True)
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["param"] == "logprobs"
        assert world.facts(Received) == []
        assert (await world.call(logprobs=True)).status == 200

    played(tmp_path, story)


def test_a_backend_that_cannot_be_told_is_no_choice(tmp_path: Path) -> None:
    """With the others failing, the call ends rather than losing a part of what was said."""

    async def story(world: ChatWorld) -> None:
        for name in ("east", "west"):
            world.vendor(name, {"do": {"rate_limited": {"retry_after": "30s"}}})
        assert (await world.call(logprobs=True)).status == 503
        assert {row["backend"] for row in await world.rows("chat_attempts")} == {"east", "west"}
        assert (await world.call()).status == 200

    played(tmp_path, story, chat__all_open="refuse")


def test_nothing_of_the_callers_headers_goes_out_and_nothing_of_the_backends_comes_back(
    tmp_path: Path,
) -> None:
    """Each backend gets its own key and nothing else; rate-limit headers of providers stay behind."""

    async def story(world: ChatWorld) -> None:
        mine = (("cookie", "a=b"), ("x-api-key", KEY), ("openai-beta", "x"), ("idempotency-key", "k"))
        for model in ("of-east", "of-rome", "of-tokyo"):
            answer = await world.call(model=model, headers=mine)
            assert {name for name, _ in answer.headers} <= {
                "content-type",
                "content-length",
                "x-request-id",
                "x-proxy-call-id",
            }
        for fact in world.facts(Received):
            names = {name for name, _ in fact.headers}
            assert names <= {
                "host", "content-length", "content-type", "accept", "accept-encoding", "user-agent",
                "authorization", "x-api-key", "x-goog-api-key", "anthropic-version",
            }  # fmt: skip
            assert KEY not in str(fact.headers)

    played(tmp_path, story)


def test_money_is_set_aside_before_anybody_is_asked(tmp_path: Path) -> None:
    """An account that does not bear the hold is told so: 429 insufficient_quota, or 402."""

    async def story(world: ChatWorld) -> None:
        answer = await world.call(as_="bob")
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (429, "insufficient_quota")
        assert answer.header("x-should-retry") == "false"
        assert (await world.call("anthropic", as_="bob")).status == 402
        assert world.facts(Received) == []
        assert await world.rows("chats") == []

    played(tmp_path, story)


def test_absurd_bounds_are_refused(tmp_path: Path) -> None:
    """Nobody here could pay for so many tokens, and a number beyond all reason is none."""

    async def story(world: ChatWorld) -> None:
        assert (await world.call(most=10**12)).status == 429
        assert (await world.call(most=10**13)).status == 400
        assert world.facts(Received) == []

    played(tmp_path, story)


def test_a_model_without_a_price_is_refused_or_free_as_declared(tmp_path: Path) -> None:
    """refuse: 403 before anything is done. zero: served, charged nothing, flagged."""
    unpriced: dict[str, Any] = {
        **config()["models"],
        "new": {"pools": [{"name": "p", "backends": [{"backend": "east", "model": "gpt-9"}]}]},
    }

    async def refused(world: ChatWorld) -> None:
        assert (await world.call(model="new")).status == 403
        assert world.facts(Received) == []

    async def free(world: ChatWorld) -> None:
        world.vendor("east", models={"*": {}})
        assert (await world.call(model="new")).status == 200
        row = await world.only_chat()
        assert (row["amount_nanos"], row["flags"]) == (0, ["unpriced"])

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    played(tmp_path / "a", refused, models=unpriced)
    played(tmp_path / "b", free, models=unpriced, chat__unpriced_model="zero")


def test_models_are_listed_for_each_sdk(tmp_path: Path) -> None:
    """All names and aliases, in the caller's shape; one by name; an unknown one is 404."""

    async def story(world: ChatWorld) -> None:
        listed = json.loads((await world.get("/v1/models")).body)
        assert "gpt-4o-mini" in [one["id"] for one in listed["data"]]
        one = json.loads((await world.get("/v1/models/small")).body)
        assert (one["id"], one["object"]) == ("small", "model")
        anthropic = (("anthropic-version", "2023-06-01"),)
        assert json.loads((await world.get("/v1/models/small", headers=anthropic)).body)["type"] == "model"
        gemini = json.loads((await world.get("/v1beta/models")).body)
        assert "models/small" in [one["name"] for one in gemini["models"]]
        assert (await world.get("/v1/models/nobody")).status == 404
        assert (await world.get("/v1/models", as_=None)).status == 401
        assert (await world.get("/v1/chat/completions")).status == 404

    played(tmp_path, story)


def test_embeddings_pass(tmp_path: Path) -> None:
    """Byte for byte but for the model's name, charged by their input."""

    async def story(world: ChatWorld) -> None:
        body = {"model": "embed", "input": ["nonce:n1 a text", "another"], "stream": True}
        answer = await world.post("/v1/embeddings", body)
        told = json.loads(answer.body)
        assert (answer.status, told["model"], len(told["data"])) == (200, "embed", 2)
        ((_, work),) = world.works()
        row = await world.only_chat()
        assert row["amount_nanos"] == work.cost_nanos > 0
        assert (row["protocol"], row["output"]) == ("openai_embeddings", 0)

    played(tmp_path, story)


def test_every_request_leaves_one_row_in_the_log(tmp_path: Path) -> None:
    """Refused ones too, under the id that the answer carries, and never with a key."""

    async def story(world: ChatWorld) -> None:
        answers = [
            await world.call(),
            await world.call(stream=True),
            await world.call(as_=None),
            await world.call(model="nobody"),
            await world.call(as_="bob"),
            await world.get("/v1/models"),
        ]
        await world.stop("g0")
        await world.gateway("g1")
        rows = {row["request_id"]: row for row in await world.rows("requests", to="g1")}
        assert [rows[str(one.header("x-request-id"))]["status"] for one in answers] == [
            one.status for one in answers
        ]
        assert [row["outcome"] for row in rows.values()] == [
            "served", "served", "denied", "denied", "denied", "served",
        ]  # fmt: skip
        assert len(rows) == 6

    played(tmp_path, story)


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_backend_calls_its_model_is_bounded_before_it_is_written(tmp_path: Path, stream: bool) -> None:
    """And without its key: the name goes into rows. The price is that of the model that was asked for."""
    said: dict[str, Any] = {
        "id": "c",
        "model": "x" * 250 + "canary-provider-east" + "m" * 100_000,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
    }
    body = json.dumps(said).encode()
    if stream:
        (choice,) = said["choices"]
        choice["delta"] = choice.pop("message")
        body = b"data: " + json.dumps(said).encode() + b"\n\ndata: [DONE]\n\n"

    async def backend(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def story(world: ChatWorld) -> None:
        world.wire.attach("east.test", backend)
        assert (await world.call(model="of-east", stream=stream)).status == 200
        for row in (await world.only_chat(), *(await world.rows("chat_attempts"))):
            assert len(row["served_model"]) <= 256 and "canary" not in row["served_model"]
            assert row["usage_source"] == "reported"
        assert (await world.only_chat())["amount_nanos"] > 0

    played(tmp_path, story)
