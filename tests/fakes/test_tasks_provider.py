"""What every provider does whatever its dialect: keep the truth, guard its door, mind its limits."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.asgi import BODY_MAX
from fakes.journal import Answered, Journal, Received, TaskAccepted, TaskEnded, TaskRejected, digest
from fakes.tasks import DIALECTS, TaskProvider
from fakes.wire import Lifespan
from tests.fakes.stage import KEY, Stage, document, with_provider

SUBMIT = "/openapi/v2/model"
QUERY = "/openapi/v2/query"


def test_ends_are_journalled_at_their_own_time_although_nobody_polls() -> None:
    """In order of time, whatever order the tasks began in."""

    async def main(stage: Stage) -> None:
        await stage.call("POST", SUBMIT, {"nonce": "slow"})
        await stage.call("POST", SUBMIT, {"nonce": "quick"})
        await stage.until(100)
        assert stage.facts(TaskEnded) == []
        stage.provider.settle()
        stage.provider.settle()
        ends = stage.facts(TaskEnded)
        assert [(fact.seq, fact.t_us) for fact in ends] == [(2, 1_000_000), (1, 50_000_000)]
        assert [fact.units for fact in ends] == ["0.25", "0.25"]

    acts = [
        {"match": {"nonce": "slow"}, "do": {"task_takes": {"takes": "50s"}}},
        {"match": {"nonce": "quick"}, "do": {"task_takes": {"takes": "1s"}}},
    ]
    with_provider(main, acts=acts)


def test_a_calm_provider_behaves_and_what_it_did_stays_done() -> None:
    """The script is over; a task that never ends still does not."""

    async def main(stage: Stage) -> None:
        task_id = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))["taskId"]
        assert (await stage.call("POST", QUERY, {"taskId": task_id})).status == 500
        stage.provider.calm()
        await stage.until(1_000)
        assert document(await stage.call("POST", QUERY, {"taskId": task_id}))["status"] == "RUNNING"
        again = document(await stage.call("POST", SUBMIT, {"nonce": "m"}))["taskId"]
        await stage.until(1_020)
        assert document(await stage.call("POST", QUERY, {"taskId": again}))["status"] == "SUCCESS"

    acts = [{"do": {"task_never_ends": {}}}, {"match": {"op": "poll"}, "do": {"error": {}}}]
    with_provider(main, acts=acts)


def test_any_request_settles_first() -> None:
    """Even one about something else."""

    async def main(stage: Stage) -> None:
        await stage.call("POST", SUBMIT, {"nonce": "n"})
        await stage.until(30)
        await stage.call("GET", "/anything")
        assert [fact.t_us for fact in stage.facts(TaskEnded)] == [20_000_000]

    with_provider(main)


def test_settling_up_to_a_time_leaves_later_ends_alone() -> None:
    """Inclusive of the instant itself."""

    async def main(stage: Stage) -> None:
        await stage.call("POST", SUBMIT, {"nonce": "n"})
        stage.provider.settle(19_999_999)
        assert stage.facts(TaskEnded) == []
        stage.provider.settle(20_000_000)
        assert len(stage.facts(TaskEnded)) == 1

    with_provider(main)


def test_facts_of_one_exchange_share_its_number() -> None:
    """Received, accepted, answered: and the digest names the body that was written."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=[("idempotency-key", "k")])
        [received], [accepted], [answered] = (
            stage.facts(Received),
            stage.facts(TaskAccepted),
            stage.facts(Answered),
        )
        assert (received.seq, accepted.seq, answered.seq) == (1, 1, 1)
        assert (received.op, received.nonce, received.key) == ("submit", "n", "k")
        assert received.body == b'{"nonce": "n"}'
        assert accepted.task_id == document(answer)["taskId"]
        assert (answered.complete, answered.body_bytes) == (True, len(answer.body))
        assert answered.body_digest == digest(answer.body)
        assert answered.headers == answer.headers

    with_provider(main)


def test_a_task_id_depends_on_the_nonce_and_not_on_the_others() -> None:
    """The same nonce gets the same id whoever came before; a repeat of it gets another."""

    def ids(*nonces: str) -> list[str]:
        async def main(stage: Stage) -> list[str]:
            answers = [await stage.call("POST", SUBMIT, {"nonce": nonce}) for nonce in nonces]
            return [document(answer)["taskId"] for answer in answers]

        return with_provider(main)

    first, second = ids("a", "b")
    assert ids("b", "a") == [second, first]
    assert len(set(ids("a", "a", "a"))) == 3


def test_a_seed_gives_other_ids() -> None:
    """So that no test can come to rely on one."""

    async def main(stage: Stage) -> str:
        return str(document(await stage.call("POST", SUBMIT, {"nonce": "n"}))["taskId"])

    assert with_provider(main) != with_provider(main, seed=1)


def test_what_is_no_document_is_refused() -> None:
    """Nothing runs."""

    async def main(stage: Stage) -> None:
        for body in (b"", b"[1]", b"{", b"[" * 100_000):
            answer = await stage.call("POST", SUBMIT, body)
            assert answer.status == 400
        assert stage.facts(TaskAccepted) == []
        assert [fact.reason for fact in stage.facts(TaskRejected)] == ["not_json"] * 4

    with_provider(main)


def test_a_body_beyond_the_limit_is_refused() -> None:
    """And is not kept whole."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, b'{"a":"' + b"x" * BODY_MAX + b'"}')
        assert answer.status == 413
        assert len(stage.facts(Received)[0].body) == BODY_MAX
        assert [fact.reason for fact in stage.facts(TaskRejected)] == ["too_large"]

    with_provider(main)


def test_a_path_without_effect_echoes_its_request_and_no_header() -> None:
    """For traffic that is only passed on: the key is not shown."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("PUT", "/anything/at%20all?x=1", {"nonce": "n"})
        assert document(answer) == {
            "method": "PUT",
            "path": "/anything/at%20all",
            "query": "x=1",
            "nonce": "n",
            "body_bytes": 14,
        }
        assert KEY.encode() not in answer.body
        head = await stage.call("HEAD", "/anything")
        assert (head.status, head.body) == (200, b"")
        (*_, answered) = stage.facts(Answered)
        assert (answered.body_bytes, answered.body_digest) == (0, digest(b""))

    with_provider(main)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_path_the_vendor_does_not_have_is_its_own_404(dialect: str) -> None:
    """In the vendor's own shape."""

    async def main(stage: Stage) -> None:
        stage.headers = (("authorization", f"{'Key' if dialect == 'fal' else 'Bearer'} {KEY}"),)
        answer = await stage.call("GET", "/no/such/path")
        assert answer.status == 404
        assert document(answer)
        assert stage.facts(Received)[0].op == "other"

    with_provider(main, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_is_done_without_the_right_key(dialect: str) -> None:
    """The script is not asked either: its counts stay."""
    path = {
        "runninghub": SUBMIT,
        "kling": "/v1/videos/text2video",
        "replicate": "/v1/predictions",
        "fal": "/fal-ai/app",
        "dashscope": "/api/v1/services/aigc/x",
        "minimax": "/v1/video_generation",
    }[dialect]

    async def main(stage: Stage) -> list[int]:
        statuses = []
        for given in ((), (("authorization", "Bearer wrong"),), (("authorization", "Key wrong"),)):
            stage.headers = (*given, ("x-dashscope-async", "enable"))
            statuses.append((await stage.call("POST", path, {"nonce": "n"})).status)
        assert stage.facts(TaskAccepted) == []
        assert stage.played() == []
        assert len(stage.facts(TaskRejected)) == 3
        return statuses

    acts: list[dict[str, Any]] = [{"do": {"error": {}}}]
    wanted = 200 if dialect == "minimax" else 401
    assert with_provider(main, dialect, acts=acts) == [wanted] * 3


def test_a_dialect_nobody_speaks_is_named_with_those_that_are() -> None:
    """At the start."""
    with pytest.raises(ValueError, match=r"no dialect 'suno': there are runninghub, kling"):
        TaskProvider("p", "suno", journal=Journal(), clock=lambda: 0)


def test_a_provider_starts_and_stops_as_a_server_asks() -> None:
    """It answers the lifespan protocol."""

    async def main(stage: Stage) -> None:
        lifespan = Lifespan(stage.provider.app, stage.loop, stage.loop.owner("p"))
        await lifespan.startup()
        await lifespan.shutdown()
        assert len(stage.journal) == 0

    with_provider(main)


def test_a_client_that_leaves_in_its_own_request_was_never_there() -> None:
    """Half a request has no effect and no fact."""

    async def main(stage: Stage) -> None:
        messages = iter(
            [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
        )

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: Any) -> None:
            raise AssertionError(message)

        scope = {"type": "http", "method": "POST", "path": SUBMIT, "query_string": b"", "headers": []}
        await stage.provider.app(scope, receive, send)
        assert len(stage.journal) == 0

    with_provider(main)


def test_two_runs_give_the_same_journal() -> None:
    """Acts drawn by chance included."""

    def lines() -> list[str]:
        async def main(stage: Stage) -> list[str]:
            for n in range(20):
                await stage.call("POST", SUBMIT, {"nonce": f"n{n}"})
            stage.provider.settle(10**12)
            return [repr(fact) for fact in stage.journal]

        acts = [
            {"chance": 0.3, "do": {"rate_limited": {}}},
            {"chance": 0.5, "do": {"task_takes": {"takes": "1s", "jitter": "9s"}}},
        ]
        return with_provider(main, acts=acts)

    assert lines() == lines()
