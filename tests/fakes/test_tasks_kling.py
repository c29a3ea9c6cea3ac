"""Kling as it is on the wire."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from fakes.durations import EPOCH_US
from fakes.journal import Received, TaskAccepted
from tests.fakes.stage import KEY, Stage, document, with_provider

VIDEOS = "/v1/videos/text2video"
MS = EPOCH_US // 1_000


def test_the_life_of_a_task() -> None:
    """Submit by POST, poll by path; usage as decimal text in the answer that ends it."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", VIDEOS, {"nonce": "n", "external_task_id": "mine"})
        task_id = document(answer)["data"]["task_id"]
        assert answer.status == 200
        assert document(answer) == {
            "code": 0,
            "message": "SUCCEED",
            "request_id": "p-00000001",
            "data": {
                "task_id": task_id,
                "task_info": {"external_task_id": "mine"},
                "task_status": "submitted",
                "created_at": MS,
                "updated_at": MS,
            },
        }
        words = []
        for at in (0, 2, 21.999):
            await stage.until(at)
            words.append(document(await stage.call("GET", f"{VIDEOS}/{task_id}"))["data"]["task_status"])
        assert words == ["submitted", "processing", "processing"]
        await stage.until(22)
        assert document(await stage.call("GET", f"{VIDEOS}/{task_id}")) == {
            "code": 0,
            "message": "SUCCEED",
            "request_id": "p-00000005",
            "data": {
                "task_id": task_id,
                "task_status": "succeed",
                "task_status_msg": "",
                "task_info": {"external_task_id": "mine"},
                "created_at": MS,
                "updated_at": MS + 22_000,
                "task_result": {
                    "videos": [{"id": task_id, "url": f"https://files.test/{task_id}/n.mp4", "duration": "5"}]
                },
                "final_unit_deduction": "3.5",
            },
        }

    with_provider(main, "kling", plan={"queued": "2s", "units": "3.5"})


def test_a_failed_task_says_why_in_its_status_message() -> None:
    """Under HTTP 200 and code 0."""

    async def main(stage: Stage) -> None:
        task_id = document(await stage.call("POST", VIDEOS, {"nonce": "n"}))["data"]["task_id"]
        await stage.until(20)
        told = document(await stage.call("GET", f"{VIDEOS}/{task_id}"))
        assert told["code"] == 0
        assert told["data"]["task_status"] == "failed"
        assert told["data"]["task_status_msg"] == "The request was blocked by the content policy"
        assert "final_unit_deduction" not in told["data"]

    with_provider(main, "kling", acts=[{"do": {"task_fails": {"reason": "sensitive_input"}}}])


@pytest.mark.parametrize(
    ("do", "status", "code"),
    [
        ({"rejected": {"reason": "insufficient_balance"}}, 429, 1102),
        ({"rejected": {"reason": "insufficient_balance", "code": "1101"}}, 429, 1101),
        ({"rejected": {"reason": "sensitive_input"}}, 400, 1301),
        ({"rejected": {"reason": "real_person"}}, 400, 1301),
        ({"rejected": {"reason": "parameters"}}, 400, 1201),
        ({"rejected": {"reason": "permission"}}, 403, 1103),
        ({"rejected": {"reason": "region"}}, 429, 1304),
        ({"rejected": {"reason": "transient"}}, 503, 5001),
        ({"rate_limited": {}}, 429, 1302),
        ({"rate_limited": {"why": "parallel"}}, 429, 1303),
        ({"error": {"status": 500}}, 500, 5000),
        ({"not_ready": {}}, 503, 5001),
    ],
)
def test_refusals(do: dict[str, Any], status: int, code: int) -> None:
    """A status and a code that agree; 429 is not always a rate limit."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("POST", VIDEOS, {"nonce": "n"})
        assert (answer.status, document(answer)["code"]) == (status, code)
        assert set(document(answer)) == {"code", "message", "request_id"}

    with_provider(main, "kling", acts=[{"do": do}])


def test_a_task_is_found_by_the_name_its_caller_gave_it() -> None:
    """In the listing, and by path; an unknown name gives an empty list."""

    async def main(stage: Stage) -> None:
        for name in ("a", "b", "b"):
            await stage.call("POST", VIDEOS, {"nonce": name, "external_task_id": name})
        listed = document(await stage.call("GET", f"{VIDEOS}?external_task_id=b"))["data"]
        ids = {fact.task_id: fact.nonce for fact in stage.facts(TaskAccepted)}
        assert [ids[row["task_id"]] for row in listed] == ["b", "b"]
        assert [row["task_info"]["external_task_id"] for row in listed] == ["b", "b"]
        assert document(await stage.call("GET", f"{VIDEOS}?external_task_id=c"))["data"] == []
        assert len(document(await stage.call("GET", f"{VIDEOS}?pageNum=1"))["data"]) == 3
        by_path = document(await stage.call("GET", f"{VIDEOS}/a"))["data"]
        assert ids[by_path["task_id"]] == "a"
        assert [fact.op for fact in stage.facts(Received)][3:] == ["find", "find", "find", "poll"]

    with_provider(main, "kling")


def test_an_unknown_task_is_404_with_code_1203() -> None:
    """The vendor's own not found."""

    async def main(stage: Stage) -> None:
        answer = await stage.call("GET", f"{VIDEOS}/1")
        assert (answer.status, document(answer)["code"]) == (404, 1203)

    with_provider(main, "kling")


def token(claims: dict[str, Any], key: str = KEY) -> str:
    def packed(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    head = packed(b'{"alg":"HS256","typ":"JWT"}') + "." + packed(json.dumps(claims).encode())
    return f"{head}.{packed(hmac.digest(key.encode(), head.encode(), 'sha256'))}"


NOW = EPOCH_US // 1_000_000


@pytest.mark.parametrize(
    ("bearer", "code"),
    [
        (KEY, 0),
        (token({"iss": "ak", "nbf": NOW - 5, "exp": NOW + 1800}), 0),
        (token({"iss": "ak", "nbf": NOW + 5, "exp": NOW + 1800}), 1003),
        (token({"iss": "ak", "nbf": NOW - 1800, "exp": NOW}), 1004),
        (token({"iss": "ak", "exp": NOW + 1800}, key="other"), 1002),
        (token({"iss": "ak"}), 1002),
        ("a.b.c", 1002),
        ("a.é.c", 1002),
        ("wrong", 1002),
        (None, 1001),
    ],
)
def test_the_bearer_is_the_key_or_a_short_token_signed_with_it(bearer: str | None, code: int) -> None:
    """Each way of being wrong has its code, under 401."""

    async def main(stage: Stage) -> None:
        stage.headers = (("authorization", f"Bearer {bearer}"),) if bearer else ()
        answer = await stage.call("GET", VIDEOS)
        assert (answer.status, document(answer)["code"]) == (401 if code else 200, code)

    with_provider(main, "kling")
