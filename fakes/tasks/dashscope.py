"""DashScope: polled by path, failures and unknown tasks under HTTP 200, usage as a number."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from fakes.asgi import Reply, Request, json_reply
from fakes.journal import Headers
from fakes.tasks.dialect import Asked, Dialect, Refused, View, iso_time
from fakes.tasks.work import Stage, UsageType

__all__ = ["DashScope"]

_SUBMIT = "/api/v1/services/aigc/"
_TASKS = ["api", "v1", "tasks"]


class DashScope(Dialect):
    """Submit `POST /api/v1/services/aigc/…`, asynchronous by a header; poll `GET /api/v1/tasks/{id}`."""

    name: ClassVar[str] = "dashscope"
    usage_type: ClassVar[UsageType] = "number"
    words: ClassVar = {
        Stage.QUEUED: "PENDING",
        Stage.RUNNING: "RUNNING",
        Stage.SUCCEEDED: "SUCCEEDED",
        Stage.FAILED: "FAILED",
        Stage.CANCELLED: "CANCELED",
    }
    refusals: ClassVar = {
        "bad_key": Refused(401, "InvalidApiKey", "Invalid API-key provided."),
        "not_async": Refused(403, "AccessDenied", "current user api does not support synchronous calls."),
        "insufficient_balance": Refused(
            400, "Arrearage", "Access denied, your account is not in good standing."
        ),
        "permission": Refused(403, "AccessDenied", "Access denied."),
        "disabled": Refused(404, "ModelNotFound", "The model does not exist."),
        "no_route": Refused(404, "InvalidURL", "No such endpoint."),
        "task_not_found": Refused(404, "InvalidParameter", "The task does not exist."),
        "parameters": Refused(400, "InvalidParameter", "A required parameter is missing or invalid."),
        "sensitive_input": Refused(
            400, "DataInspectionFailed", "Input data may contain inappropriate content."
        ),
        "sensitive_output": Refused(
            400, "DataInspectionFailed", "Output data may contain inappropriate content."
        ),
        "copyright": Refused(400, "IPInfringementSuspect", "Input data is suspected of infringing rights."),
        "already_ended": Refused(
            400, "UnsupportedOperation", "The task is not PENDING and cannot be canceled."
        ),
        "conflict": Refused(409, "Conflict", "This idempotency key was used before."),
        "too_large": Refused(413, "InvalidParameter", "The request is too large."),
        "rate": Refused(429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
        "parallel": Refused(429, "Throttling", "Too many tasks are running."),
        "task_failed": Refused(500, "InternalError.Algo", "The algorithm failed."),
        "server": Refused(500, "InternalError", "An internal error has occurred."),
        "unavailable": Refused(503, "ModelUnavailable", "The model is unavailable, please try again later."),
    }

    def read(self, request: Request) -> Asked:
        parts = request.path.strip("/").split("/")
        if parts[:3] == _TASKS and request.method == "GET" and len(parts) == 4:
            return Asked(op="poll", task_id=parts[3])
        if request.method != "POST":
            return Asked(op=None)
        if parts[:3] == _TASKS and len(parts) == 5 and parts[4] == "cancel":
            return Asked(op="cancel", task_id=parts[3])
        if not request.path.startswith(_SUBMIT):
            return Asked(op=None)
        if request.header("x-dashscope-async") != "enable":
            return Asked(op="submit", refused="not_async")
        return Asked(op="submit", refused=None if isinstance(request.json, dict) else "parameters")

    def accepted(self, view: View) -> Reply:
        output = {"task_status": "PENDING", "task_id": view.task_id}
        return json_reply(200, {"output": output, "request_id": view.request_id})

    def shown(self, view: View) -> Reply:
        output: dict[str, Any] = {
            "task_id": view.task_id,
            "task_status": self.word(view),
            "submit_time": _local(view.accepted_us),
            "scheduled_time": _local(view.started_us),
        }
        if view.ended_us is not None:
            output["end_time"] = _local(view.ended_us)
        if view.error is not None:
            output |= {"code": view.error.code, "message": view.error.message}
        if view.output_url is not None:
            output["video_url"] = view.output_url
        document: dict[str, Any] = {"request_id": view.request_id, "output": output}
        if view.verdict == "success":
            usage = {"video_duration": view.usage.value} if view.usage.there else {}
            whole = {**usage, "video_count": 1, "SR": 720, "video_ratio": "1280*720"}
            document["usage"] = whole if view.usage.container else None
        return json_reply(200, document)

    def not_found(self, task_id: str, request_id: str) -> Reply:
        output = {"task_id": task_id, "task_status": "UNKNOWN"}
        return json_reply(200, {"request_id": request_id, "output": output})

    def cancelled(self, view: View, *, in_time: bool) -> Reply:
        if in_time:
            return json_reply(200, {"request_id": view.request_id})
        return self.refusal("already_ended", request_id=view.request_id)

    def problem(self, refused: Refused, request_id: str, headers: Headers) -> Reply:
        document = {"code": refused.code, "message": refused.message, "request_id": request_id}
        return json_reply(refused.status, document, headers)

    def new_id(self, digest: bytes) -> str:
        return str(UUID(bytes=digest, version=4))


def _local(wall_us: int) -> str:
    return iso_time(wall_us, shape="%Y-%m-%d %H:%M:%S", zone="")
