"""Replicate as it is on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.journal import Received, TaskEnded
from tests.fakes.stage import Stage, document, with_provider

SUBMIT = "/v1/models/black/flux/predictions"


def test_the_life_of_a_prediction() -> None:
    """201 on submit, polled at `urls.get`; usage is a number of seconds in `metrics`."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n", "input": {"prompt": "p"}})
        started = document(answer)
        assert answer.status == 201
        assert len(started["id"]) == 26
        url = f"http://p.test/v1/predictions/{started['id']}"
        assert started == {
            "id": started["id"],
            "model": "black/flux",
            "version": "hidden",
            "input": {"prompt": "p"},
            "logs": "",
            "output": None,
            "data_removed": False,
            "error": None,
            "status": "starting",
            "created_at": "2026-01-05T00:00:00.000Z",
            "started_at": None,
            "completed_at": None,
            "urls": {"get": url, "cancel": f"{url}/cancel"},
            "metrics": {},
        }
        path = url.removeprefix("http://p.test")
        await stage.until(1.5)
        running = document(await stage.call("GET", path))
        assert running == started | {"status": "processing", "started_at": "2026-01-05T00:00:01.500Z"}
        await stage.until(3)
        done = await stage.call("GET", path)
        assert done.status == 200
        assert done.body.endswith(b'"metrics":{"predict_time":1.5,"total_time":3.000000}}')
        assert document(done) == running | {
            "status": "succeeded",
            "output": f"https://files.test/{started['id']}/n.mp4",
            "completed_at": "2026-01-05T00:00:03.000Z",
            "metrics": {"predict_time": 1.5, "total_time": 3.0},
        }

    with_provider(main, "replicate", plan={"queued": "1500ms", "takes": "1500ms", "units": "1.5"})


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/deployments/me/mine/predictions"])
def test_there_are_several_ways_to_submit(path: str) -> None:
    """By version, under a model, under a deployment."""

    async def main(stage: Stage) -> None:
        assert (await stage.call("POST", path, {"nonce": "n", "input": {}})).status == 201
        assert stage.facts(Received)[0].op == "submit"

    with_provider(main, "replicate")


def test_a_failed_prediction_has_an_error_text() -> None:
    """And no metrics."""

    async def main(stage: Stage) -> None:
        started = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))
        await stage.until(20)
        failed = document(await stage.call("GET", f"/v1/predictions/{started['id']}"))
        assert (failed["status"], failed["output"], failed["metrics"]) == ("failed", None, {})
        assert failed["error"] == "Prediction failed for an unknown reason."

    with_provider(main, "replicate", plan={"outcome": "failed"})


def test_refusals_are_problem_documents() -> None:
    """Title, detail, status, under their own content type."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert (answer.status, answer.header("content-type")) == (402, "application/problem+json")
        assert document(answer) == {
            "title": "Insufficient credit",
            "detail": "You have insufficient credit to run this",
            "status": 402,
        }

    with_provider(main, "replicate", acts=[{"do": {"rejected": {"reason": "insufficient_balance"}}}])


@pytest.mark.parametrize(
    ("do", "status"),
    [
        ({"rejected": {"reason": "parameters"}}, 422),
        ({"rejected": {"reason": "sensitive_output"}}, 422),
        ({"rejected": {"reason": "disabled"}}, 403),
        ({"rate_limited": {"retry_after": "30s"}}, 429),
        ({"error": {"status": 418}}, 418),
        ({"not_ready": {}}, 503),
    ],
)
def test_refusals(do: dict[str, Any], status: int) -> None:
    """The status in the document is that of the answer."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert (answer.status, document(answer)["status"]) == (status, status)

    with_provider(main, "replicate", acts=[{"do": do}])


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [
        ("exact", b'{"predict_time":0.25,'),
        ("nan", b'{"predict_time":NaN,'),
        ("huge", b'{"predict_time":1e308,'),
        ("overflow", b'{"predict_time":18446744073709551616,'),
        ("negative", b'{"predict_time":-0.25,'),
        ("other_type", b'{"predict_time":"0.25",'),
        ("null", b'{"predict_time":null,'),
        ("missing", b'{"total_time":'),
        ("container_null", b"null}"),
    ],
)
def test_usage_is_a_number_to_the_letter(kind: str, metrics: bytes) -> None:
    """No float rewrites it on its way."""

    async def main(stage: Stage) -> None:
        started = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))
        await stage.until(20)
        answer = await stage.call("GET", f"/v1/predictions/{started['id']}")
        assert b'"metrics":' + metrics in answer.body

    with_provider(main, "replicate", acts=[{"do": {"usage": {"shown": kind}}}])


def test_cancel_and_list() -> None:
    """A cancelled prediction is not billed; the list shows the newest first."""

    async def main(stage: Stage) -> None:
        ids = [document(await stage.call("POST", SUBMIT, {"nonce": n}))["id"] for n in ("a", "b")]
        answer = await stage.call("POST", f"/v1/predictions/{ids[0]}/cancel")
        assert (answer.status, document(answer)["status"]) == (200, "canceled")
        listed = document(await stage.call("GET", "/v1/predictions"))
        assert [row["id"] for row in listed["results"]] == [ids[1], ids[0]]
        await stage.until(30)
        again = await stage.call("POST", f"/v1/predictions/{ids[1]}/cancel")
        assert document(again)["status"] == "succeeded"
        assert [fact.success for fact in stage.facts(TaskEnded)] == [False, True]
        missing = await stage.call("POST", "/v1/predictions/none/cancel")
        assert missing.status == 404

    with_provider(main, "replicate")


def test_a_repeated_key_is_honoured_where_the_plan_says_so() -> None:
    """The same prediction again, as it was first told; another body is refused."""

    async def main(stage: Stage) -> None:
        key = [("idempotency-key", "k")]
        first = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=key)
        await stage.until(30)
        again = await stage.call("POST", SUBMIT, {"nonce": "n"}, headers=key)
        assert (again.status, again.body) == (201, first.body)
        other = await stage.call("POST", SUBMIT, {"nonce": "m"}, headers=key)
        assert (other.status, document(other)["title"]) == (422, "Idempotency key reuse")

    with_provider(main, "replicate", plan={"idempotency": "honoured"})
