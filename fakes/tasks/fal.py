"""fal's queue: three addresses a task, COMPLETED also for failures, usage in a header of the result."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from fakes.asgi import Reply, Request, json_reply
from fakes.journal import Headers
from fakes.json_text import Raw
from fakes.tasks.dialect import Asked, Dialect, Refused, View
from fakes.tasks.work import Stage, UsageType

__all__ = ["Fal"]


class Fal(Dialect):
    """Submit `POST /{app}`, poll `GET /{app}/requests/{id}/status`, fetch `GET /{app}/requests/{id}`."""

    name: ClassVar[str] = "fal"
    usage_type: ClassVar[UsageType] = "header"
    words: ClassVar = {
        Stage.QUEUED: "IN_QUEUE",
        Stage.RUNNING: "IN_PROGRESS",
        Stage.SUCCEEDED: "COMPLETED",
        Stage.FAILED: "COMPLETED",
        Stage.CANCELLED: "COMPLETED",
    }
    # The code of a refusal is its error type.
    refusals: ClassVar = {
        "bad_key": Refused(401, "unauthorized", "Authentication is required to access this application."),
        "insufficient_balance": Refused(
            403, "balance_exhausted", "User is locked. Reason: Exhausted balance."
        ),
        "permission": Refused(403, "forbidden", "Access to this application is denied."),
        "task_not_found": Refused(404, "not_found", "Request not found"),
        "no_route": Refused(404, "not_found", "Path not found"),
        "disabled": Refused(404, "not_found", "Application not found"),
        "conflict": Refused(409, "conflict", "This idempotency key was used before"),
        "too_large": Refused(413, "payload_too_large", "The request is too large"),
        "parameters": Refused(422, "value_error", "The input is not valid"),
        "sensitive_input": Refused(422, "content_policy_violation", "The content could not be processed"),
        "not_finished": Refused(400, "not_ready", "Request is still in progress"),
        "rate": Refused(429, "rate_limited", "Too many requests"),
        "cancelled": Refused(422, "client_cancelled", "The request was cancelled"),
        "task_failed": Refused(500, "internal_server_error", "The runner failed"),
        "server": Refused(500, "internal_server_error", "Internal server error"),
        "unavailable": Refused(503, "runner_scheduling_failure", "No runner is available"),
    }

    def read(self, request: Request) -> Asked:
        parts = request.path.strip("/").split("/")
        if "requests" in parts[1:]:
            return self._about_task(request.method, parts[parts.index("requests", 1) + 1 :])
        if request.method != "POST" or parts == [""]:
            return Asked(op=None)
        return Asked(op="submit", refused=None if isinstance(request.json, dict) else "parameters")

    def _about_task(self, method: str, rest: list[str]) -> Asked:
        match method, rest:
            case "GET", [task_id, "status"]:
                return Asked(op="poll", task_id=task_id)
            case "GET", [task_id]:
                return Asked(op="result", task_id=task_id)
            case "PUT", [task_id, "cancel"]:
                return Asked(op="cancel", task_id=task_id)
            case _:
                return Asked(op=None)

    def unauthorised(self, request: Request, key: str, wall_us: int) -> str | None:
        return None if request.header("authorization") == f"Key {key}" else "bad_key"

    def accepted(self, view: View) -> Reply:
        return json_reply(200, {**self._addresses(view), "status": "IN_QUEUE", "queue_position": 0})

    def shown(self, view: View) -> Reply:
        document = {"status": self.word(view), **self._addresses(view), "logs": [], "metrics": {}}
        if view.word is None and view.stage is Stage.QUEUED:
            document |= {"queue_position": 0, "logs": None}
        if view.word is not None or not view.stage.ended:
            return json_reply(202, document)
        took_us = (view.ended_us or view.now_us) - view.started_us
        document["metrics"] = {"inference_time": Raw(f"{took_us // 1_000_000}.{took_us % 1_000_000:06d}")}
        error = self._error(view)
        if error is not None:
            document |= {"error": error.message, "error_type": error.code}
        return json_reply(200, document)

    def result(self, view: View) -> Reply:
        if view.word is not None or not view.stage.ended:
            return self.refusal("not_finished", request_id=view.request_id)
        error = self._error(view)
        if error is not None:
            detail = [{"loc": ["body"], "msg": error.message, "type": error.code}]
            status = error.status if error.status >= 400 else 422
            return json_reply(status, {"detail": detail}, (("x-fal-error-type", error.code),))
        headers: Headers = (("x-fal-request-id", view.task_id),)
        if view.usage.text is not None:
            # No header can carry spaces around its value.
            headers += (("x-fal-billable-units", view.usage.text.strip()),)
        video = {"url": view.output_url, "content_type": "video/mp4"} if view.output_url else None
        return json_reply(200, {"video": video, "seed": 1}, headers)

    def cancelled(self, view: View, *, in_time: bool) -> Reply:
        if in_time:
            return json_reply(202, {"status": "CANCELLATION_REQUESTED"})
        return json_reply(400, {"status": "ALREADY_COMPLETED"})

    def problem(self, refused: Refused, request_id: str, headers: Headers) -> Reply:
        detail: Any = refused.message
        if refused.status == 422:
            detail = [{"loc": ["body"], "msg": refused.message, "type": refused.code}]
        return json_reply(refused.status, {"detail": detail}, (("x-fal-error-type", refused.code), *headers))

    def new_id(self, digest: bytes) -> str:
        return str(UUID(bytes=digest, version=4))

    def _error(self, view: View) -> Refused | None:
        return self.words_for("cancelled") if view.stage is Stage.CANCELLED else view.error

    def _addresses(self, view: View) -> dict[str, Any]:
        # Only owner and application name the queue: the rest of the path belongs to the submit.
        app = "/".join(view.path.strip("/").split("/")[:2])
        url = f"{view.base_url}/{app}/requests/{view.task_id}"
        return {
            "request_id": view.task_id,
            "response_url": url,
            "status_url": f"{url}/status",
            "cancel_url": f"{url}/cancel",
        }
