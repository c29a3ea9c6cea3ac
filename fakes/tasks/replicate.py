"""Replicate: 201 on submit, polled by path, problem documents, usage as a number of seconds."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Sequence
from typing import Any, ClassVar

from fakes.asgi import Reply, Request, json_reply
from fakes.journal import Headers
from fakes.json_text import Raw
from fakes.tasks.dialect import Asked, Dialect, Refused, View, iso_time
from fakes.tasks.work import Stage, UsageType

__all__ = ["Replicate"]

_ONE = "/v1/predictions"


class Replicate(Dialect):
    """Submit `POST /v1/predictions` or under a model, poll `GET /v1/predictions/{id}`."""

    name: ClassVar[str] = "replicate"
    usage_type: ClassVar[UsageType] = "number"
    words: ClassVar = {
        Stage.QUEUED: "starting",
        Stage.RUNNING: "processing",
        Stage.SUCCEEDED: "succeeded",
        Stage.FAILED: "failed",
        Stage.CANCELLED: "canceled",
    }
    # The code of a problem document is its title.
    refusals: ClassVar = {
        "bad_key": Refused(401, "Unauthenticated", "You did not pass a valid authentication token"),
        "insufficient_balance": Refused(
            402, "Insufficient credit", "You have insufficient credit to run this"
        ),
        "permission": Refused(403, "Permission denied", "You do not have permission to do this"),
        "task_not_found": Refused(404, "Not found", "The requested resource could not be found."),
        "conflict": Refused(409, "Conflict", "This idempotency key was used before"),
        "key_reused": Refused(422, "Idempotency key reuse", "This key was used with another body"),
        "too_large": Refused(413, "Payload too large", "The request is too large"),
        "parameters": Refused(422, "Input validation failed", "- input: the input is not valid"),
        "sensitive_input": Refused(422, "Sensitive content", "The input was flagged as sensitive (E005)"),
        "not_json": Refused(400, "Bad request", "The request body is not valid JSON"),
        "rate": Refused(429, "Too many requests", "Request was throttled. Your rate limit resets in ~30s."),
        "task_failed": Refused(500, "Prediction failed", "Prediction failed for an unknown reason."),
        "server": Refused(500, "Internal server error", "An internal error occurred"),
        "unavailable": Refused(503, "Service unavailable", "The service is temporarily unavailable"),
    }

    def read(self, request: Request) -> Asked:
        parts = request.path.strip("/").split("/")
        if request.method == "GET":
            if request.path == _ONE:
                return Asked(op="find")
            known = len(parts) == 3 and parts[:2] == ["v1", "predictions"]
            return Asked(op="poll", task_id=parts[2]) if known else Asked(op=None)
        if request.method != "POST":
            return Asked(op=None)
        if len(parts) == 4 and parts[:2] == ["v1", "predictions"] and parts[3] == "cancel":
            return Asked(op="cancel", task_id=parts[2])
        under_model = len(parts) == 5 and parts[1] in ("models", "deployments") and parts[4] == "predictions"
        if request.path != _ONE and not under_model:
            return Asked(op=None)
        return Asked(op="submit", refused=None if isinstance(request.json, dict) else "not_json")

    def accepted(self, view: View) -> Reply:
        return json_reply(201, self._document(view))

    def shown(self, view: View) -> Reply:
        return json_reply(200, self._document(view))

    def cancelled(self, view: View, *, in_time: bool) -> Reply:
        return self.shown(view)

    def found(self, views: Sequence[View], request_id: str) -> Reply:
        results = [self._document(view) for view in views]
        return json_reply(200, {"next": None, "previous": None, "results": results})

    def problem(self, refused: Refused, request_id: str, headers: Headers) -> Reply:
        document = {"title": refused.code, "detail": refused.message, "status": refused.status}
        reply = json_reply(refused.status, document)
        return Reply(reply.status, reply.body, (("content-type", "application/problem+json"), *headers))

    def new_id(self, digest: bytes) -> str:
        return b32encode(digest).decode().lower()[:26]

    def _document(self, view: View) -> dict[str, Any]:
        url = f"{view.base_url}{_ONE}/{view.task_id}"
        given = view.input.get("input")
        return {
            "id": view.task_id,
            "model": "/".join(view.path.strip("/").split("/")[2:4]),
            "version": str(view.input.get("version", "hidden")),
            "input": given if isinstance(given, dict) else {},
            "logs": "",
            "output": view.output_url,
            "data_removed": False,
            "error": view.error.message if view.error else None,
            "status": self.word(view),
            "created_at": iso_time(view.accepted_us),
            "started_at": iso_time(view.started_us) if view.stage is not Stage.QUEUED else None,
            "completed_at": iso_time(view.ended_us) if view.ended_us is not None else None,
            "urls": {"get": url, "cancel": f"{url}/cancel"},
            "metrics": self._metrics(view),
        }

    def _metrics(self, view: View) -> dict[str, Any] | None:
        if view.verdict != "success":
            return {}
        if not view.usage.container:
            return None
        total_us = (view.ended_us or view.now_us) - view.accepted_us
        metrics: dict[str, Any] = {"predict_time": view.usage.value} if view.usage.there else {}
        return metrics | {"total_time": Raw(f"{total_us // 1_000_000}.{total_us % 1_000_000:06d}")}
