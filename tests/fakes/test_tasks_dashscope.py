"""DashScope as it is on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.journal import Answered, TaskAccepted, TaskRejected
from tests.fakes.stage import KEY, Stage, document, with_provider

SUBMIT = "/api/v1/services/aigc/video-generation/video-synthesis"
TASKS = "/api/v1/tasks"
BEARER = ("authorization", f"Bearer {KEY}")


async def submit(stage: Stage) -> str:
    stage.headers = (BEARER, ("x-dashscope-async", "enable"))
    answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
    assert answer.status == 200
    return str(document(answer)["output"]["task_id"])


def test_the_life_of_a_task() -> None:
    """Polled by path; usage is a number beside the output."""

    async def main(stage: Stage) -> None:
        stage.headers = (BEARER, ("x-dashscope-async", "enable"))
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        task_id = document(answer)["output"]["task_id"]
        assert document(answer) == {
            "output": {"task_status": "PENDING", "task_id": task_id},
            "request_id": "p-00000001",
        }
        await stage.until(1)
        output = {
            "task_id": task_id,
            "task_status": "PENDING",
            "submit_time": "2026-01-05 00:00:00.000",
            "scheduled_time": "2026-01-05 00:00:02.000",
        }
        told = document(await stage.call("GET", f"{TASKS}/{task_id}"))
        assert told == {"request_id": "p-00000002", "output": output}
        await stage.until(2)
        told = document(await stage.call("GET", f"{TASKS}/{task_id}"))
        assert told["output"]["task_status"] == "RUNNING"
        await stage.until(22)
        assert document(await stage.call("GET", f"{TASKS}/{task_id}")) == {
            "request_id": "p-00000004",
            "output": output
            | {
                "task_status": "SUCCEEDED",
                "end_time": "2026-01-05 00:00:22.000",
                "video_url": f"https://files.test/{task_id}/n.mp4",
            },
            "usage": {"video_duration": 5, "video_count": 1, "SR": 720, "video_ratio": "1280*720"},
        }

    with_provider(main, "dashscope", plan={"queued": "2s", "units": "5"})


def test_a_failed_task_is_told_under_http_200() -> None:
    """With a code and a message in its output."""

    async def main(stage: Stage) -> None:
        task_id = await submit(stage)
        await stage.until(20)
        answer = await stage.call("GET", f"{TASKS}/{task_id}")
        output = document(answer)["output"]
        assert (answer.status, output["task_status"], output["code"]) == (
            200,
            "FAILED",
            "DataInspectionFailed",
        )
        assert "usage" not in document(answer)

    with_provider(main, "dashscope", acts=[{"do": {"task_fails": {"reason": "sensitive_output"}}}])


def test_an_unknown_task_is_unknown_under_http_200() -> None:
    """Expired and never known look the same; so does a task that is too new to be found."""

    async def main(stage: Stage) -> None:
        task_id = await submit(stage)
        for asked in ("nobody", task_id):
            answer = await stage.call("GET", f"{TASKS}/{asked}")
            assert answer.status == 200
            assert document(answer)["output"] == {"task_id": asked, "task_status": "UNKNOWN"}
        assert [fact.shown for fact in stage.facts(Answered)] == [None, None, None]

    with_provider(main, "dashscope", acts=[{"do": {"not_found_yet": {"for": "5s"}}}])


def test_a_submit_must_ask_for_the_asynchronous_way() -> None:
    """Without the header it is refused, and nothing runs."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert (answer.status, document(answer)["code"]) == (403, "AccessDenied")
        assert stage.facts(TaskAccepted) == []
        assert [fact.reason for fact in stage.facts(TaskRejected)] == ["not_async"]

    with_provider(main, "dashscope")


@pytest.mark.parametrize(
    ("do", "status", "code"),
    [
        ({"rejected": {"reason": "insufficient_balance"}}, 400, "Arrearage"),
        ({"rejected": {"reason": "sensitive_input"}}, 400, "DataInspectionFailed"),
        ({"rejected": {"reason": "copyright"}}, 400, "IPInfringementSuspect"),
        ({"rejected": {"reason": "parameters"}}, 400, "InvalidParameter"),
        ({"rejected": {"reason": "disabled"}}, 404, "ModelNotFound"),
        ({"rate_limited": {}}, 429, "Throttling.RateQuota"),
        ({"rate_limited": {"why": "parallel"}}, 429, "Throttling"),
        ({"error": {"status": 500}}, 500, "InternalError"),
    ],
)
def test_refusals(do: dict[str, Any], status: int, code: str) -> None:
    """Code, message and request id."""

    async def main(stage: Stage) -> None:
        stage.headers = (BEARER, ("x-dashscope-async", "enable"))
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert (answer.status, document(answer)["code"]) == (status, code)
        assert set(document(answer)) == {"code", "message", "request_id"}

    with_provider(main, "dashscope", acts=[{"do": do}])


def test_usage_may_be_missing_or_null() -> None:
    """The field alone, or the whole of it."""

    async def main(stage: Stage) -> Any:
        task_id = await submit(stage)
        await stage.until(20)
        return document(await stage.call("GET", f"{TASKS}/{task_id}"))["usage"]

    def usage(kind: str) -> Any:
        return with_provider(main, "dashscope", acts=[{"do": {"usage": {"shown": kind}}}])

    assert "video_duration" not in usage("missing")
    assert usage("null")["video_duration"] is None
    assert usage("container_null") is None
    assert usage("other_type")["video_duration"] == "0.25"


def test_cancel() -> None:
    """Only a task that has not ended."""

    async def main(stage: Stage) -> None:
        task_id = await submit(stage)
        assert (await stage.call("POST", f"{TASKS}/{task_id}/cancel")).status == 200
        answer = await stage.call("POST", f"{TASKS}/{task_id}/cancel")
        assert (answer.status, document(answer)["code"]) == (400, "UnsupportedOperation")
        told = document(await stage.call("GET", f"{TASKS}/{task_id}"))
        assert told["output"]["task_status"] == "CANCELED"

    with_provider(main, "dashscope")
