"""How a client of each vendor words its requests and reads the answers.

One table a vendor: where to submit, how to ask, what a terminal answer looks like. The client's side
only, written from the vendors' documents: it shares nothing with the fakes, which play the other side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WORDINGS", "Ask", "Wording", "end_of", "poll_of", "result_of", "submit_body", "task_id_in"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request about a task."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Wording:
    """`{id}` is the task's id, `{submit}` the path it was submitted to. Dots lead into the answer."""

    submit: str
    body: Mapping[str, Any]
    task_id: str
    poll: tuple[str, str]
    status: str
    success: frozenset[str]
    failure: frozenset[str]
    poll_body: Mapping[str, str] | None = None
    result: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())


WORDINGS: Mapping[str, Wording] = {
    "runninghub": Wording(
        submit="/openapi/v2/video/text-to-video",
        body={"prompt": "a lighthouse", "duration": "5"},
        task_id="taskId",
        poll=("POST", "/openapi/v2/query"),
        poll_body={"taskId": "{id}"},
        status="status",
        success=frozenset({"SUCCESS"}),
        failure=frozenset({"FAILED", "CANCEL"}),
    ),
    "kling": Wording(
        submit="/v1/videos/text2video",
        body={"model_name": "kling-v2", "prompt": "a lighthouse", "duration": "5"},
        task_id="data.task_id",
        poll=("GET", "{submit}/{id}"),
        status="data.task_status",
        success=frozenset({"succeed"}),
        failure=frozenset({"failed"}),
    ),
    "replicate": Wording(
        submit="/v1/predictions",
        body={"version": "v1", "input": {"prompt": "a lighthouse"}},
        task_id="id",
        poll=("GET", "/v1/predictions/{id}"),
        status="status",
        success=frozenset({"succeeded"}),
        failure=frozenset({"failed", "canceled", "aborted"}),
    ),
    "fal": Wording(
        submit="/fal-ai/fast-sdxl",
        body={"prompt": "a lighthouse"},
        task_id="request_id",
        poll=("GET", "{submit}/requests/{id}/status"),
        status="status",
        success=frozenset({"COMPLETED"}),
        failure=frozenset(),
        result="{submit}/requests/{id}",
    ),
    "dashscope": Wording(
        submit="/api/v1/services/aigc/video-generation/video-synthesis",
        body={"model": "wan2.2-t2v-plus", "input": {"prompt": "a lighthouse"}, "parameters": {}},
        task_id="output.task_id",
        poll=("GET", "/api/v1/tasks/{id}"),
        status="output.task_status",
        success=frozenset({"SUCCEEDED"}),
        failure=frozenset({"FAILED", "CANCELED", "UNKNOWN"}),
        headers=(("x-dashscope-async", "enable"),),
    ),
    "minimax": Wording(
        submit="/v1/video_generation",
        body={"model": "MiniMax-Hailuo-02", "prompt": "a lighthouse"},
        task_id="task_id",
        poll=("GET", "/v1/query/video_generation?task_id={id}"),
        status="status",
        success=frozenset({"Success"}),
        failure=frozenset({"Fail"}),
    ),
}


def submit_body(wording: Wording, nonce: str, more: Mapping[str, Any]) -> bytes:
    """The body of a submit: the vendor's fields, the scenario's own, and the nonce that marks it."""
    return _json({**wording.body, **more, "nonce": nonce})


def poll_of(wording: Wording, task_id: str, submit_path: str) -> Ask:
    method, path = wording.poll
    body = b""
    if wording.poll_body is not None:
        body = _json({key: _filled(text, task_id, submit_path) for key, text in wording.poll_body.items()})
    return Ask(method, _filled(path, task_id, submit_path), body)


def result_of(wording: Wording, task_id: str, submit_path: str) -> Ask | None:
    """The request for the result itself, where the vendor keeps it apart from the status."""
    return None if wording.result is None else Ask("GET", _filled(wording.result, task_id, submit_path))


def task_id_in(wording: Wording, body: bytes) -> str | None:
    """The task id of a submit's answer; None where it has none."""
    found = _at(_parsed(body), wording.task_id)
    return found if isinstance(found, str) and found else None


def end_of(wording: Wording, body: bytes) -> str | None:
    """`success` or `failure` where the answer to a poll is terminal."""
    word = _at(_parsed(body), wording.status)
    if not isinstance(word, str):
        return None
    return "success" if word in wording.success else "failure" if word in wording.failure else None


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _json(value: Any) -> bytes:
    return _encode(value).encode()


def _filled(text: str, task_id: str, submit_path: str) -> str:
    return text.replace("{id}", task_id).replace("{submit}", submit_path)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
