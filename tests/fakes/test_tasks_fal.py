"""fal's queue as it is on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.journal import Answered, Received, TaskEnded
from tests.fakes.stage import KEY, Stage, document, with_provider

SUBMIT = "/fal-ai/flux/dev"
APP = "/fal-ai/flux"


async def submit(stage: Stage) -> str:
    stage.headers = (("authorization", f"Key {KEY}"),)
    answer = await stage.call("POST", SUBMIT, {"nonce": "n", "prompt": "p"})
    assert answer.status == 200
    return str(document(answer)["request_id"])


def test_the_life_of_a_request() -> None:
    """Status and result have addresses of their own; the units are a header of the result."""

    async def main(stage: Stage) -> None:
        request_id = await submit(stage)
        path = f"{APP}/requests/{request_id}"
        addresses = {
            "request_id": request_id,
            "response_url": f"http://p.test{path}",
            "status_url": f"http://p.test{path}/status",
            "cancel_url": f"http://p.test{path}/cancel",
        }
        queued = await stage.call("GET", f"{path}/status")
        assert queued.status == 202
        assert document(queued) == addresses | {
            "status": "IN_QUEUE",
            "queue_position": 0,
            "logs": None,
            "metrics": {},
        }
        await stage.until(2)
        running = await stage.call("GET", f"{path}/status")
        assert running.status == 202
        assert document(running) == addresses | {"status": "IN_PROGRESS", "logs": [], "metrics": {}}
        early = await stage.call("GET", path)
        assert (early.status, document(early)["detail"]) == (400, "Request is still in progress")
        await stage.until(4.1)
        done = await stage.call("GET", f"{path}/status")
        assert done.status == 200
        metrics = {"inference_time": 2.1}
        assert document(done) == addresses | {"status": "COMPLETED", "logs": [], "metrics": metrics}
        result = await stage.call("GET", path)
        assert (result.status, result.header("x-fal-billable-units")) == (200, "1.50")
        assert document(result) == {
            "video": {"url": f"https://files.test/{request_id}/n.mp4", "content_type": "video/mp4"},
            "seed": 1,
        }
        assert [fact.op for fact in stage.facts(Received)][1:] == ["poll", "poll", "result", "poll", "result"]
        assert [fact.shown for fact in stage.facts(Answered)][1:] == [
            "other",
            "other",
            "other",
            "success",
            "success",
        ]
        assert {fact.usage_shown for fact in stage.facts(Answered)[-2:]} == {"1.50"}

    with_provider(main, "fal", plan={"queued": "2s", "takes": "2100ms", "units": "1.50"})


def test_a_failure_is_completed_too() -> None:
    """The error stands in the status, and the result is no 2xx."""

    async def main(stage: Stage) -> None:
        path = f"{APP}/requests/{await submit(stage)}"
        await stage.until(20)
        status = await stage.call("GET", f"{path}/status")
        told = document(status)
        assert (status.status, told["status"]) == (200, "COMPLETED")
        assert (told["error"], told["error_type"]) == ("The input is not valid", "value_error")
        result = await stage.call("GET", path)
        assert (result.status, result.header("x-fal-error-type")) == (422, "value_error")
        assert document(result) == {
            "detail": [{"loc": ["body"], "msg": "The input is not valid", "type": "value_error"}]
        }
        assert [fact.shown for fact in stage.facts(Answered)][1:] == ["failure", "failure"]

    with_provider(main, "fal", acts=[{"do": {"task_fails": {"reason": "parameters"}}}])


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("missing", None),
        ("null", None),
        ("nan", "NaN"),
        ("negative", "-0.25"),
        ("text", "a lot"),
        ("zero", "0"),
    ],
)
def test_the_usage_header_shows_what_the_act_says(kind: str, header: str | None) -> None:
    """Missing and null are the same for a header: it is not there."""

    async def main(stage: Stage) -> None:
        path = f"{APP}/requests/{await submit(stage)}"
        await stage.until(20)
        assert (await stage.call("GET", path)).header("x-fal-billable-units") == header
        assert stage.facts(TaskEnded)[0].usage_shown == header

    with_provider(main, "fal", acts=[{"do": {"usage": {"shown": kind}}}])


@pytest.mark.parametrize(
    ("do", "status", "kind"),
    [
        ({"rejected": {"reason": "insufficient_balance"}}, 403, "balance_exhausted"),
        ({"rejected": {"reason": "sensitive_input"}}, 422, "content_policy_violation"),
        ({"rejected": {"reason": "parameters"}}, 422, "value_error"),
        ({"rate_limited": {}}, 429, "rate_limited"),
        ({"error": {"status": 500}}, 500, "internal_server_error"),
        ({"not_ready": {}}, 503, "runner_scheduling_failure"),
    ],
)
def test_refusals(do: dict[str, Any], status: int, kind: str) -> None:
    """The type of the error is a header; 422 has a list of details."""

    async def main(stage: Stage) -> None:
        stage.headers = (("authorization", f"Key {KEY}"),)
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert (answer.status, answer.header("x-fal-error-type")) == (status, kind)
        assert isinstance(document(answer)["detail"], list) is (status == 422)

    with_provider(main, "fal", acts=[{"do": do}])


def test_cancel() -> None:
    """Once; afterwards it is already completed, and was never billed."""

    async def main(stage: Stage) -> None:
        path = f"{APP}/requests/{await submit(stage)}"
        first = await stage.call("PUT", f"{path}/cancel")
        assert (first.status, document(first)) == (202, {"status": "CANCELLATION_REQUESTED"})
        second = await stage.call("PUT", f"{path}/cancel")
        assert (second.status, document(second)) == (400, {"status": "ALREADY_COMPLETED"})
        told = document(await stage.call("GET", f"{path}/status"))
        assert (told["status"], told["error_type"]) == ("COMPLETED", "client_cancelled")
        assert [fact.cost_nanos for fact in stage.facts(TaskEnded)] == [0]

    with_provider(main, "fal")


def test_an_unknown_request_is_404() -> None:
    """On all three addresses."""

    async def main(stage: Stage) -> None:
        stage.headers = (("authorization", f"Key {KEY}"),)
        for method, tail in (("GET", ""), ("GET", "/status"), ("PUT", "/cancel")):
            assert (await stage.call(method, f"{APP}/requests/none{tail}")).status == 404

    with_provider(main, "fal")
