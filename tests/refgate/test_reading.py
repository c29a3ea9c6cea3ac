"""What an answer means: doubt is doubt, a refusal is a refusal, and only a terminal word ends a task."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.answer import Answer
from refgate.config.routes import QueryRoute, SubmitRoute
from refgate.flows.reading import (
    Accepted,
    Declined,
    Doubtful,
    Ended,
    Unreached,
    as_task_id,
    document,
    read_poll,
    read_resend,
    read_submit,
)
from refgate.upstream import Failure, FailureKind

SUBMIT = SubmitRoute.model_validate(
    {"match": "POST /x", "task_id": "$.data.task_id", "rejection": ["$.errorCode", "$.code"]}
)
QUERY = QueryRoute.model_validate(
    {
        "match": "GET /x/{id}",
        "task_id": {"path": "id"},
        "status": "$.status",
        "success": ["SUCCESS", "0"],
        "failure": ["FAILED"],
        "failure_when": "$.error",
        "usage": {"flat": "1"},
    }
)
UNCLEAR = (502, 504, 524)


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, (), body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (answer({"data": {"task_id": "t1"}}), Accepted("t1")),
        (answer({"data": {"task_id": 12}}, 201), Accepted("12")),
        (answer(b'\xef\xbb\xbf{"data":{"task_id":"t"}}'), Accepted("t")),
        (answer({"data": {"task_id": ""}, "errorCode": "1505"}), Declined("1505")),
        (answer({"data": {"task_id": None}, "errorCode": "", "code": 1008}), Declined("1008")),
        (answer({"data": {"task_id": True}}), Declined("no_task_id")),
        (answer({"errorCode": ["x"], "code": False}), Declined("no_task_id")),
        (answer({"errorCode": "e" * 500}), Declined("e" * 500)),
        (answer([1, 2]), Declined("no_task_id")),
        (answer("text"), Declined("no_task_id")),
        (answer(7), Declined("no_task_id")),
        (answer(None), Declined("no_task_id")),
        (answer({"x": 1}, 400), Declined("error_http_400")),
        (answer(b"busy", 429), Declined("error_http_429")),
        (answer(b"", 500), Declined("error_http_500")),
        (answer(b"", 302), Declined("error_http_302")),
        (answer(b"<html>", 502), Doubtful("http_502")),
        (answer({"data": {"task_id": "t"}}, 504), Doubtful("http_504")),
        (answer(b"<html>"), Doubtful("unreadable")),
        (answer(b""), Doubtful("unreadable")),
        (answer(b'{"data":{"task_id":"t"}'), Doubtful("unreadable")),
        (answer(b"\xff\xfe{}"), Doubtful("unreadable")),
        (answer(b"[" * 100_000), Doubtful("unreadable")),
        (Failure(FailureKind.CONNECT), Unreached("connect")),
        (Failure(FailureKind.POOL_TIMEOUT), Unreached("pool_timeout")),
        (Failure(FailureKind.READ_TIMEOUT), Doubtful("read_timeout")),
        (Failure(FailureKind.TOO_LARGE, 200), Doubtful("too_large")),
        (Failure(FailureKind.DEADLINE), Doubtful("deadline")),
    ],
)
def test_a_submit_is_accepted_declined_unreached_or_in_doubt(
    reply: Answer | Failure, verdict: object
) -> None:
    """Only an answer refuses; only a missing connection is free; all the rest is doubt."""
    assert read_submit(SUBMIT, UNCLEAR, reply) == verdict


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (answer({"data": {"task_id": "t1"}}), Accepted("t1")),
        (answer({"code": 5}), Declined("5")),
        (answer(b"", 400), Declined("error_http_400")),
        (answer(b"", 409), Doubtful("again_http_409")),
        (answer(b"", 422), Doubtful("again_http_422")),
        (answer(b"", 429), Doubtful("again_http_429")),
        (answer(b"", 401), Doubtful("again_http_401")),
        (answer(b"", 500), Doubtful("again_http_500")),
        (answer(b"", 503), Doubtful("again_http_503")),
        (answer(b"", 302), Doubtful("again_http_302")),
        (Failure(FailureKind.CONNECT), Doubtful("connect")),
    ],
)
def test_a_submit_sent_again_is_a_verdict_only_where_it_cannot_mean_the_first(
    reply: Answer | Failure, verdict: object
) -> None:
    """A conflict, a limit or a missing connection says nothing of what became of the first sending."""
    assert read_resend(SUBMIT, UNCLEAR, reply) == verdict


@pytest.mark.parametrize(
    ("reply", "success", "reason"),
    [
        (answer({"status": "SUCCESS"}), True, "status_SUCCESS"),
        (answer({"status": 0}), True, "status_0"),
        (answer({"status": "FAILED"}), False, "status_FAILED"),
        (answer({"status": "SUCCESS", "error": "bad input"}), False, "failure_when"),
        (answer({"status": "RUNNING", "error": {"code": 1}}), False, "failure_when"),
        (answer({"status": "SUCCESS", "error": None}), True, "status_SUCCESS"),
        (answer({"status": "SUCCESS", "error": ""}), True, "status_SUCCESS"),
    ],
)
def test_a_terminal_poll_ends_a_task(reply: Answer, success: bool, reason: str) -> None:
    """By its declared words, and as a failure whatever its word where an error is shown."""
    ended = read_poll(QUERY, reply)
    assert isinstance(ended, Ended) and (ended.success, ended.reason) == (success, reason)


@pytest.mark.parametrize(
    "reply",
    [
        answer({"status": "RUNNING"}),
        answer({"status": "success"}),
        answer({"status": "PARTIAL_SUCCESS"}),
        answer({"status": None}),
        answer({"status": False}),
        answer({"status": ["SUCCESS"]}),
        answer({}),
        answer([]),
        answer({"status": "SUCCESS"}, 500),
        answer({"status": "SUCCESS"}, 404),
        answer(b"<html>SUCCESS"),
        answer(b""),
        Failure(FailureKind.READ),
    ],
)
def test_any_other_poll_changes_nothing(reply: Answer | Failure) -> None:
    """An error, a page, an unknown word or a wrong type is no end of a task."""
    assert read_poll(QUERY, reply) is None


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reading(body: bytes) -> None:
    """Whatever a provider sends, the verdict is one of the known ones."""
    read_poll(QUERY, answer(body))
    assert isinstance(read_submit(SUBMIT, UNCLEAR, answer(body)), Accepted | Declined | Doubtful)


@pytest.mark.parametrize("value", ["", " \n", "a\x00", "x" * 257, "ü", None, True, 1.5, [], {}])
def test_what_cannot_be_a_task_id_is_none(value: object) -> None:
    """An id is text or a whole number that can stand in a path and in a row."""
    assert as_task_id(value) is None
    assert as_task_id("a-1:b/c") == "a-1:b/c"


def test_numbers_that_are_no_numbers_still_are_json() -> None:
    """A NaN in the usage must not make the whole answer unreadable: usage has its own policy."""
    assert str(document(b'{"usage": NaN}')["usage"]) == "NaN"
