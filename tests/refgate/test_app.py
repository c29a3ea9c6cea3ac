"""The edge: who comes in, what is refused at the door, and that nothing said there gives anything away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fakes.time import run_virtual
from fakes.wire import DirectClient, WireError
from refgate import Settings
from refgate.errors import STATUS, Code, Refusal, envelope
from refgate.flows.arrival import arrive
from refgate.knock import Knock
from tests.refgate.edge_kit import ENVIRON, Reply, World, code, config, played


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("authorization", "Bearer canary-caller-eve"),),
        (("authorization", "Basic canary-caller-alice"),),
        (("authorization", "canary-caller-alice"),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer canary-admin"),),
        (("x-api-key", "canary-caller-alice"),),
    ],
)
def test_nobody_gets_in_without_a_key(tmp_path: Path, headers: tuple[tuple[str, str], ...]) -> None:
    """401 before anything else is looked at, and the wrong key is not told back."""

    async def story(world: World) -> None:
        for path in ("/v2/video", "/../x", "/nowhere"):
            answer = await world.call("POST", path, as_=None, headers=headers, json={})
            assert (answer.status, code(answer)) == (401, "unauthorized")
            assert b"canary" not in answer.body
        assert world.provider.seen == []

    world = played(tmp_path, story)
    assert "canary" not in world.logged()


def test_a_key_given_twice_is_no_key(tmp_path: Path) -> None:
    """Two values, of which two readers could take different ones, are refused."""

    async def story(world: World) -> None:
        for twice in ("authorization", "x-thread-id", "x-idempotency-key"):
            given = ((twice, "Bearer canary-caller-alice"), (twice, "Bearer canary-caller-bob"))
            answer = await world.submit(headers=given, as_=None if twice == "authorization" else "alice")
            assert (answer.status, code(answer)) == (400, "bad_request")
        assert world.provider.seen == []

    played(tmp_path, story)


def test_an_account_must_be_the_callers(tmp_path: Path) -> None:
    """X-Thread-Id chooses among the caller's own accounts; globs included, everything else 403."""

    async def story(world: World) -> None:
        assert (await world.submit(headers=(("x-thread-id", "alice-2"),))).status == 200
        for account, status, told in (
            ("bob", 403, "account_forbidden"),
            ("Alice", 403, "account_forbidden"),
            ("alice-unknown", 403, "account_forbidden"),
            ("", 400, "bad_request"),
            ("a b", 400, "bad_request"),
            ("a" * 129, 400, "bad_request"),
        ):
            answer = await world.submit(headers=(("x-thread-id", account),))
            assert (answer.status, code(answer)) == (status, told), account
        assert [row["account"] for row in await world.rows("holds")] == ["alice-2"]

    played(tmp_path, story)


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "\x80"])
def test_a_key_must_be_writable(tmp_path: Path, key: str) -> None:
    """An idempotency key that could not be told apart later is refused at once."""

    async def story(world: World) -> None:
        answer = await world.submit(headers=(("x-idempotency-key", key),))
        assert (answer.status, code(answer)) == (400, "bad_request")

    played(tmp_path, story)


@pytest.mark.parametrize(
    "path",
    ["/v2/../video", "/v2/%2e%2e/video", "/v2//video", "//evil.test/", "/v2/a%2fb", "/v2/a%5cb", "/v2/a%00",
     "/v2/%0a", "/v2/..;/x", "/v2/%252e%252e", "/v2/%ff", "/v2/%"],
)  # fmt: skip
def test_a_path_that_could_mean_two_things_reaches_nobody(tmp_path: Path, path: str) -> None:
    """400 `bad_path`, for every spelling."""

    async def story(world: World) -> None:
        answer = await world.call("GET", path)
        assert (answer.status, code(answer)) == (400, "bad_path")
        assert world.provider.seen == [] and world.wire.escapes == []

    played(tmp_path, story)


def test_what_is_not_there_is_said_in_one_envelope(tmp_path: Path) -> None:
    """Unknown and disabled providers, unknown routes, unknown paths and methods."""

    async def story(world: World) -> None:
        base = "http://g0.test"
        given = (("authorization", "Bearer canary-caller-alice"),)
        client = DirectClient(world.wire, "client")
        for method, path, status, told in (
            ("GET", "/api/proxy/other/x", 404, "provider_unknown"),
            ("GET", "/api/proxy/", 404, "provider_unknown"),
            ("GET", "/api/proxy/off/x", 404, "provider_unknown"),
            ("GET", "/api/proxy/rh/elsewhere", 404, "not_found"),
            ("GET", "/api/proxy/rh", 404, "not_found"),
            ("TRACE", "/api/proxy/rh/v2/open/x", 405, "method_not_allowed"),
            ("GET", "/", 404, "not_found"),
            ("GET", "/api/proxy", 404, "not_found"),
            ("GET", "/admin/", 404, "not_found"),
            ("POST", "/healthz", 405, "method_not_allowed"),
            ("GET", "/%61pi/proxy/rh/v2/open/x", 400, "bad_path"),
        ):
            answer = await client.request(method, base + path, headers=given)
            assert (answer.status, code(answer)) == (status, told), path
        assert world.provider.seen == []

    off = {"enabled": False, "base_url": "http://off.test", "auth": {"key": {"env": "RH_KEY"}}, "hold": "1"}
    played(tmp_path, story, providers__rh__passthrough=["ANY /v2/open/**"], providers__off=off)


def test_a_body_over_the_limit_is_not_read(tmp_path: Path) -> None:
    """413 whether its length is declared or not, and the provider is not called; at the limit it passes."""

    async def story(world: World) -> None:
        async def pieces() -> Any:
            for _ in range(6):
                yield b"x" * 200

        client = DirectClient(world.wire, "client")
        url = "http://g0.test/api/proxy/rh/v2/video"
        given = (("authorization", "Bearer canary-caller-alice"),)
        for body in (b"x" * 1025, pieces()):
            answer = await client.request("POST", url, headers=given, body=body)
            assert (answer.status, code(answer)) == (413, "body_too_large")
        assert world.provider.seen == [] and await world.rows("calls") == []
        assert (await client.request("POST", url, headers=given, body=b"x" * 1024)).status == 200

    played(tmp_path, story, limits__request_body="1KiB")


def test_a_body_that_never_comes_is_not_waited_for(tmp_path: Path) -> None:
    """A caller who stalls holds a place for the declared time and no longer."""

    async def story(world: World) -> None:
        async def stalling() -> Any:
            yield b"x"
            await asyncio.sleep(30)

        client = DirectClient(world.wire, "client")
        url = "http://g0.test/api/proxy/rh/v2/video"
        given = (("authorization", "Bearer canary-caller-alice"),)
        answer = await client.request("POST", url, headers=given, body=stalling())
        assert (answer.status, code(answer)) == (400, "bad_request")

    world = played(tmp_path, story, timeouts__read="10s")
    (refused,) = [event for event in world.events if event.kind == "call-refused"]
    assert refused.t_us - world.events[0].t_us == 10_000_000


def test_requests_in_hand_have_a_ceiling(tmp_path: Path) -> None:
    """Beyond it: 503 at once, with a time to come again; within it nobody is turned away."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(json={"taskId": "t1"}, after_s=2)
        answers = await asyncio.gather(*(world.call("GET", "/v2/open") for _ in range(5)))
        told = sorted(answer.status for answer in answers)
        assert told == [200, 200, 200, 503, 503]
        full = next(answer for answer in answers if answer.status == 503)
        assert code(full) == "overloaded" and full.header("retry-after") == "1"
        assert (await world.call("GET", "/v2/open")).status == 200
        assert (await world.admin("/healthz", key=None)).status == 200

    world = played(tmp_path, story, limits__requests=3)
    assert world.kinds().count("call-refused") == 2


def test_a_stop_finishes_what_is_in_hand(tmp_path: Path) -> None:
    """New calls are told to go elsewhere; a submit in hand gets its answer; nothing is left open."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(json={"errorCode": "7"}, after_s=5)
        submitting = asyncio.create_task(world.submit())
        await asyncio.sleep(1)
        assert (await world.admin("/readyz", key=None)).status == 200
        stopping = asyncio.create_task(world.stop("g0"))
        await asyncio.sleep(1)
        assert (await world.admin("/readyz", key=None)).status == 503
        refused = await world.submit()
        assert (refused.status, code(refused)) == (503, "draining")
        assert refused.header("retry-after") == "1"
        assert (await submitting).body == b'{"errorCode": "7"}'
        await stopping
        assert world.kinds()[-1] == "stopped" and "delivered" in world.kinds()

    played(tmp_path, story)


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    """What is still in hand at the end of the declared time is left to the sweep of the next start."""

    async def story(world: World) -> None:
        world.provider.answer = lambda _: Reply(end="hang")
        submitting = asyncio.create_task(world.submit())
        await asyncio.sleep(1)
        began = world.loop.now_us
        await world.stop("g0")
        assert world.loop.now_us - began <= 21_000_000
        cut = await submitting
        assert (cut.status, code(cut)) == (504, "outcome_unknown")
        await world.gateway("g1")
        await asyncio.sleep(300)
        (row,) = await world.rows("calls", to="g1")
        assert row["state"] == "unknown"

    played(tmp_path, story)


def test_the_store_decides_whether_a_replica_is_ready(tmp_path: Path) -> None:
    """Alive is alive; ready is only who could take a call on."""

    async def story(world: World) -> None:
        import sqlite3

        def away(sql: str, side: str) -> None:
            raise sqlite3.OperationalError("disk I/O error: canary-path")

        assert (await world.admin("/readyz", key=None)).body == b"ready\n"
        world.fault = away
        assert (await world.admin("/readyz", key=None)).status == 503
        assert (await world.admin("/healthz", key=None)).status == 200
        answer = await world.admin("/admin/calls")
        assert (answer.status, code(answer)) == (503, "store_unavailable")
        world.fault = None

    world = played(tmp_path, story)
    assert "canary" not in world.logged()


def test_a_store_that_takes_no_writes_is_not_ready(tmp_path: Path) -> None:
    """Once a call could not be written down, whoever asks hears so until one could: though reading works."""

    async def story(world: World) -> None:
        import sqlite3

        def full(sql: str, side: str) -> None:
            if sql == "COMMIT" and side == "before":
                raise sqlite3.OperationalError("database or disk is full")

        world.fault = full
        assert (await world.submit()).status == 503
        assert (await world.admin("/admin/calls")).status == 200
        for _ in range(2):
            assert (await world.admin("/readyz", key=None)).status == 503
        world.fault = None
        assert (await world.admin("/readyz", key=None)).status == 200

    played(tmp_path, story)


def test_a_bug_is_answered_and_told_without_its_text(tmp_path: Path) -> None:
    """500 in the same envelope; what the exception says stays with nobody."""

    async def story(world: World) -> None:
        def broken(*_: Any) -> Any:
            raise RuntimeError("canary-in-a-message")

        gateway = world.apps["g0"].state.gateway
        gateway.store.by_task = broken
        answer = await world.poll()
        assert (answer.status, code(answer)) == (500, "internal")
        assert b"canary" not in answer.body

    world = played(tmp_path, story)
    failed = [event for event in world.events if event.kind == "failed"]
    assert [(event.where, event.what) for event in failed] == [("gateway", "RuntimeError")]  # type: ignore[attr-defined]
    assert "canary" not in world.logged()


def test_a_bug_after_an_answer_began_cuts_it_and_is_told(tmp_path: Path) -> None:
    """What can no longer be answered is cut by the server, and the sink hears of it."""

    async def story(world: World) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("canary-in-a-message")

        world.apps["g0"].state.gateway.works.upstream.stream = broken
        answer = await world.call("GET", "/v2/open/x")
        assert answer.status == 500 and b"canary" not in answer.body
        assert len(world.wire.app_errors) == 1
        world.wire.app_errors.clear()

    world = played(tmp_path, story)
    assert "canary" not in world.logged()
    (failed,) = [event for event in world.events if event.kind == "failed"]
    assert "canary" not in str(failed)


def test_a_query_string_that_servers_read_differently_is_refused() -> None:
    """A raw space, a fragment or bytes beyond ASCII: 400 before anything is asked."""
    settings = Settings.parse(config(), environ=ENVIRON)
    given = (("authorization", "Bearer canary-caller-alice"),)

    async def body(_: int) -> bytes:
        return b""

    for query in (b"a b", b"a#b", b"\xff"):
        knock = Knock("GET", b"/rh/v2/open/x", query, given, body)
        with pytest.raises(Refusal) as caught:
            run_virtual(lambda knock=knock: arrive(settings, knock))
        assert caught.value.code is Code.BAD_PATH


def test_only_http_is_spoken(tmp_path: Path) -> None:
    """A websocket is closed, not left waiting."""

    async def story(world: World) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/api/proxy/rh/x", "headers": [], "app": None}
        await world.apps["g0"](scope, receive, send)
        assert [message["type"] for message in sent] == ["websocket.close"]

    played(tmp_path, story)


def test_a_broken_sink_breaks_nothing(tmp_path: Path) -> None:
    """Telling of what happened must not decide what happens."""

    async def story(world: World) -> None:
        world.events = Full()  # type: ignore[assignment]
        await world.gateway("g1")
        assert (await world.submit(to="g1")).status == 200
        world.events = []

    played(tmp_path, story)


class Full(list[Any]):
    def append(self, _: Any) -> None:
        raise OSError("disk full")


def test_every_code_has_its_status() -> None:
    """The table is whole, and the envelope is JSON whatever a message holds."""
    assert set(STATUS) == set(Code)
    for one in Code:
        told = envelope(Refusal(one, 'a "quoted" ü', "call-1", 3))
        assert told.status == STATUS[one]
        assert json.loads(told.body)["error"] == {
            "code": one.value,
            "message": 'a "quoted" ü',
            "call_id": "call-1",
            "retry_after_s": 3,
        }
        assert ("retry-after", "3") in told.headers


def test_a_caller_who_leaves_in_the_middle_of_his_body_is_no_error(tmp_path: Path) -> None:
    """Nothing happens, and nothing is left behind."""

    async def story(world: World) -> None:
        async def leaving() -> Any:
            yield b"x"
            await asyncio.sleep(1)
            raise WireError("gone")

        client = DirectClient(world.wire, "client")
        url = "http://g0.test/api/proxy/rh/v2/video"
        with pytest.raises(WireError):
            await client.request(
                "POST", url, headers=(("authorization", "Bearer canary-caller-alice"),), body=leaving()
            )
        await asyncio.sleep(1)
        assert world.apps["g0"].state.gateway.gate.in_hand == 0 and world.provider.seen == []

    played(tmp_path, story)
