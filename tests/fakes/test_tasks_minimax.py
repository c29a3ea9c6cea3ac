"""MiniMax v1 as it is on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.journal import Received, TaskEnded
from tests.fakes.stage import Stage, document, with_provider

SUBMIT = "/v1/video_generation"
QUERY = "/v1/query/video_generation?task_id="
FILE = "/v1/files/retrieve?file_id="
FINE = {"status_code": 0, "status_msg": "success"}


def test_the_life_of_a_task() -> None:
    """Polled by query string, its output is a file to fetch; no answer shows usage."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        task_id = document(answer)["task_id"]
        assert (answer.status, document(answer)) == (200, {"task_id": task_id, "base_resp": FINE})
        words = []
        for at in (0, 2, 21.999):
            await stage.until(at)
            told = document(await stage.call("GET", QUERY + task_id))
            words.append(told["status"])
            assert told == {"task_id": task_id, "status": told["status"], "file_id": "", "base_resp": FINE}
        assert words == ["Queueing", "Processing", "Processing"]
        await stage.until(22)
        told = document(await stage.call("GET", QUERY + task_id))
        file_id = told["file_id"]
        mixed_up = document(await stage.call("GET", FILE + task_id))
        assert mixed_up["base_resp"]["status_code"] == 2013
        assert told == {
            "task_id": task_id,
            "status": "Success",
            "file_id": file_id,
            "video_width": 1280,
            "video_height": 720,
            "base_resp": FINE,
        }
        file = document(await stage.call("GET", FILE + file_id))
        assert file["base_resp"] == FINE
        assert file["file"]["file_id"] == file_id
        assert file["file"]["download_url"] == f"https://files.test/{task_id}/n.mp4"
        assert stage.facts(Received)[-1].op == "result"
        assert stage.facts(Received)[-1].task_id == task_id
        [end] = stage.facts(TaskEnded)
        assert (end.units, end.cost_nanos, end.usage_shown) == ("0.25", 250_000_000, None)

    with_provider(main, "minimax", plan={"queued": "2s"})


def test_a_failed_task_is_told_in_both_places() -> None:
    """The status word, and the code in `base_resp`."""

    async def main(stage: Stage) -> None:
        task_id = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))["task_id"]
        await stage.until(20)
        told = document(await stage.call("GET", QUERY + task_id))
        assert (told["status"], told["file_id"]) == ("Fail", "")
        assert told["base_resp"] == {"status_code": 1027, "status_msg": "output new_sensitive"}

    with_provider(main, "minimax", acts=[{"do": {"task_fails": {"reason": "sensitive_output"}}}])


@pytest.mark.parametrize(
    ("do", "status", "code"),
    [
        ({"rejected": {"reason": "insufficient_balance"}}, 200, 1008),
        ({"rejected": {"reason": "sensitive_input"}}, 200, 1026),
        ({"rejected": {"reason": "sensitive_output"}}, 200, 1027),
        ({"rejected": {"reason": "too_long"}}, 200, 1039),
        ({"rejected": {"reason": "parameters"}}, 200, 2013),
        ({"rejected": {"reason": "bad_key"}}, 200, 2049),
        ({"rejected": {"reason": "transient"}}, 200, 1024),
        ({"rejected": {"reason": "transient", "code": "1001"}}, 200, 1001),
        ({"rate_limited": {}}, 200, 1002),
        ({"error": {"status": 500}}, 500, 1000),
        ({"not_ready": {}}, 503, 1024),
    ],
)
def test_refusals(do: dict[str, Any], status: int, code: int) -> None:
    """Business under HTTP 200, an empty task id; only the machinery has other statuses."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", SUBMIT, {"nonce": "n"})
        assert (answer.status, document(answer)["base_resp"]["status_code"]) == (status, code)
        assert document(answer)["task_id"] == ""

    with_provider(main, "minimax", acts=[{"do": do}])


def test_keys_tasks_and_files_that_do_not_exist() -> None:
    """All under HTTP 200."""

    async def main(stage: Stage) -> None:
        async def code(path: str) -> int:
            answer = await stage.call("GET", path)
            assert answer.status == 200
            return int(document(answer)["base_resp"]["status_code"])

        assert await code(QUERY + "1") == 2013
        assert await code(QUERY) == 2013
        assert await code(FILE + "2051") == 2013
        stage.headers = (("authorization", "Bearer wrong"),)
        assert await code(QUERY + "1") == 2049
        stage.headers = ()
        assert await code(QUERY + "1") == 1004

    with_provider(main, "minimax")


def test_usage_acts_have_nothing_to_bend() -> None:
    """There is no usage place: the truth is in the journal alone."""

    async def main(stage: Stage) -> None:
        task_id = document(await stage.call("POST", SUBMIT, {"nonce": "n"}))["task_id"]
        await stage.until(20)
        assert b"1e308" not in (await stage.call("GET", QUERY + task_id)).body
        assert stage.facts(TaskEnded)[0].usage_shown is None

    with_provider(main, "minimax", acts=[{"do": {"usage": {"shown": "huge"}}}])
