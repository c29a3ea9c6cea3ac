"""RunningHub v2 as it is on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.journal import TaskEnded
from tests.fakes.stage import Stage, document, with_provider

SUBMIT = "/openapi/v2/kling-v2/text-to-video"
QUERY = "/openapi/v2/query"


def test_the_life_of_a_task() -> None:
    """Submit by POST, poll by POST body; usage as decimal text."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n", "prompt": "p"})
        task_id = document(answer)["taskId"]
        assert answer.status == 200
        assert len(task_id) == 19 and task_id.isdecimal()

        def body(status: str, **more: Any) -> dict[str, Any]:
            usual = {"errorCode": "", "errorMessage": "", "results": None, "usage": None}
            return {"taskId": task_id, "status": status, **usual, **more}

        assert document(answer) == body("QUEUED")
        await stage.until(2)
        assert document(await stage.call("POST", QUERY, {"taskId": task_id})) == body("RUNNING")
        await stage.until(33)
        done = document(await stage.call("POST", QUERY, {"taskId": task_id}))
        assert done == body(
            "SUCCESS",
            results=[{"url": f"https://files.test/{task_id}/n.mp4", "outputType": "mp4"}],
            usage={
                "thirdPartyConsumeMoney": "0.250",
                "consumeMoney": None,
                "consumeCoins": "0",
                "taskCostTime": "31",
            },
        )

    with_provider(main, plan={"queued": "2s", "takes": "31s", "units": "0.250"})


def test_a_failed_task_is_told_under_http_200() -> None:
    """With the vendor's code, no results and no usage."""

    async def main(stage: Stage) -> None:
        task_id = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))["taskId"]
        await stage.until(20)
        answer = await stage.call("POST", QUERY, {"taskId": task_id})
        assert answer.status == 200
        assert document(answer) == {
            "taskId": task_id,
            "status": "FAILED",
            "errorCode": "1505",
            "errorMessage": "the image may show a real person",
            "results": None,
            "usage": None,
        }

    with_provider(main, acts=[{"do": {"task_fails": {"reason": "real_person"}}}])


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("insufficient_balance", 200, "812"),
        ("sensitive_input", 200, "1504"),
        ("real_person", 200, "1505"),
        ("region", 200, "1508"),
        ("parameters", 200, "301"),
        ("too_long", 200, "301"),
        ("permission", 200, "801"),
        ("bad_key", 401, "802"),
        ("transient", 200, "1000"),
    ],
)
def test_rejections(reason: str, status: int, code: str) -> None:
    """HTTP 200, an error code, an empty task id."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert answer.status == status
        assert (document(answer)["errorCode"], document(answer)["taskId"]) == (code, "")

    with_provider(main, acts=[{"do": {"rejected": {"reason": reason}}}])


def test_an_unknown_task_and_a_query_without_one() -> None:
    """404, and parameters that are invalid."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", QUERY, {"taskId": "1"})
        assert (answer.status, document(answer)["errorCode"]) == (404, "423")
        answer = await stage.call("POST", QUERY, {"task": "1"})
        assert (answer.status, document(answer)["errorCode"]) == (200, "301")

    with_provider(main)


def test_cancel() -> None:
    """Nothing is billed; a task that has ended cannot be cancelled."""

    async def main(stage: Stage) -> None:
        task_id = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))["taskId"]
        await stage.until(5)
        codes = [
            document(await stage.call("POST", "/task/openapi/cancel", {"taskId": task_id}))["code"]
            for _ in range(2)
        ]
        assert codes == [0, 807]
        await stage.until(30)
        assert document(await stage.call("POST", QUERY, {"taskId": task_id}))["status"] == "CANCEL"
        [end] = stage.facts(TaskEnded)
        assert (end.t_us, end.success, end.cost_nanos) == (5_000_000, False, 0)

    with_provider(main)
