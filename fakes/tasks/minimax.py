"""MiniMax v1: polled by query string, every refusal under HTTP 200 in `base_resp`, no usage at all."""

from __future__ import annotations

from typing import Any, ClassVar

from fakes.asgi import Reply, Request, json_reply
from fakes.journal import Headers
from fakes.tasks.dialect import Asked, Dialect, Refused, View, digits
from fakes.tasks.work import Stage, UsageType

__all__ = ["MiniMax"]

_SUBMIT = "/v1/video_generation"
_QUERY = "/v1/query/video_generation"
_FILE = "/v1/files/retrieve"
_FILE_PREFIX = "205"  # a file's id is its task's, under a prefix


class MiniMax(Dialect):
    """Submit `POST /v1/video_generation`, poll `GET /v1/query/video_generation?task_id=`, fetch the file."""

    name: ClassVar[str] = "minimax"
    usage_type: ClassVar[UsageType] = "none"
    words: ClassVar = {
        Stage.QUEUED: "Queueing",
        Stage.RUNNING: "Processing",
        Stage.SUCCEEDED: "Success",
        Stage.FAILED: "Fail",
        Stage.CANCELLED: "Fail",
    }
    refusals: ClassVar = {
        "no_key": Refused(
            200, "1004", "login fail: Please carry the API secret key in the Authorization field"
        ),
        "bad_key": Refused(200, "2049", "invalid api key"),
        "insufficient_balance": Refused(200, "1008", "insufficient balance"),
        "sensitive_input": Refused(200, "1026", "input new_sensitive"),
        "sensitive_output": Refused(200, "1027", "output new_sensitive"),
        "too_long": Refused(200, "1039", "token limit exceeded"),
        "permission": Refused(200, "2061", "your current token plan does not support this model"),
        "parameters": Refused(200, "2013", "invalid params"),
        "task_not_found": Refused(200, "2013", "invalid params, task_id not found"),
        "no_route": Refused(404, "2013", "invalid params, no such path"),
        "rate": Refused(200, "1002", "rate limit"),
        "too_large": Refused(413, "2013", "invalid params, request too large"),
        "conflict": Refused(409, "2013", "invalid params, key used before"),
        "task_failed": Refused(200, "1033", "downstream service error"),
        "server": Refused(500, "1000", "unknown error"),
        "transient": Refused(200, "1024", "internal error"),
        "unavailable": Refused(503, "1024", "internal error"),
    }

    def read(self, request: Request) -> Asked:
        match request.method, request.path:
            case "POST", path if path == _SUBMIT:
                return Asked(op="submit", refused=None if isinstance(request.json, dict) else "parameters")
            case "GET", path if path == _QUERY:
                task_id = request.query_fields.get("task_id")
                return Asked(op="poll", task_id=task_id, refused=None if task_id else "parameters")
            case "GET", path if path == _FILE:
                file_id = request.query_fields.get("file_id") or ""
                if not file_id.startswith(_FILE_PREFIX):  # above all the id of the task itself
                    return Asked(op="result", refused="parameters")
                return Asked(op="result", task_id=file_id.removeprefix(_FILE_PREFIX))
            case _:
                return Asked(op=None)

    def accepted(self, view: View) -> Reply:
        return json_reply(200, {"task_id": view.task_id, "base_resp": _base()})

    def shown(self, view: View) -> Reply:
        done = view.verdict == "success" and view.output_url is not None
        document: dict[str, Any] = {
            "task_id": view.task_id,
            "status": self.word(view),
            "file_id": f"{_FILE_PREFIX}{view.task_id}" if done else "",
        }
        if done:
            document |= {"video_width": 1280, "video_height": 720}
        base = _base(view.error.code, view.error.message) if view.error else _base()
        return json_reply(200, document | {"base_resp": base})

    def result(self, view: View) -> Reply:
        if view.verdict != "success" or view.output_url is None:
            return self.refusal("task_not_found", request_id=view.request_id)
        file = {
            "file_id": f"{_FILE_PREFIX}{view.task_id}",
            "bytes": 0,
            "created_at": (view.ended_us or view.now_us) // 1_000_000,
            "filename": "output.mp4",
            "purpose": "video_generation",
            "download_url": view.output_url,
        }
        return json_reply(200, {"file": file, "base_resp": _base()})

    def problem(self, refused: Refused, request_id: str, headers: Headers) -> Reply:
        document = {"task_id": "", "base_resp": _base(refused.code, refused.message)}
        return json_reply(refused.status, document, headers)

    def new_id(self, digest: bytes) -> str:
        return digits(digest, 15)


def _base(code: str = "0", message: str = "success") -> dict[str, Any]:
    return {"status_code": int(code) if code.isdecimal() else code, "status_msg": message}
