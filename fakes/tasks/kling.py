"""Kling: polled by path, `{code, message, request_id, data}` around everything, usage as decimal text.

A caller may name a task by `external_task_id`, and list or query tasks by that name. The bearer is the
key itself, or a short HS256 token signed with it.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, ClassVar

from fakes.asgi import Reply, Request, json_reply
from fakes.journal import Headers
from fakes.json_text import parsed
from fakes.tasks.dialect import Asked, Dialect, Refused, View, digits
from fakes.tasks.work import Stage, UsageType

__all__ = ["Kling"]

_ROOTS = (("v1", "videos"), ("v1", "images"), ("v1", "audio"))


class Kling(Dialect):
    """Submit `POST /v1/videos/text2video`, poll `GET` the same path and `/{task_id}`."""

    name: ClassVar[str] = "kling"
    usage_type: ClassVar[UsageType] = "text"
    words: ClassVar = {
        Stage.QUEUED: "submitted",
        Stage.RUNNING: "processing",
        Stage.SUCCEEDED: "succeed",
        Stage.FAILED: "failed",
        Stage.CANCELLED: "failed",
    }
    refusals: ClassVar = {
        "no_key": Refused(401, "1001", "Authorization is empty"),
        "bad_key": Refused(401, "1002", "Authorization is invalid"),
        "key_early": Refused(401, "1003", "Authorization is not yet valid"),
        "key_late": Refused(401, "1004", "Authorization has expired"),
        "insufficient_balance": Refused(429, "1102", "Account balance not enough"),
        "permission": Refused(403, "1103", "No permission for the requested resource"),
        "region": Refused(429, "1304", "The request is refused by the IP allow-list policy"),
        "parameters": Refused(400, "1201", "Invalid parameters"),
        "task_not_found": Refused(404, "1203", "The requested resource does not exist"),
        "disabled": Refused(404, "1203", "The requested model does not exist"),
        "no_route": Refused(404, "1202", "The requested method is invalid"),
        "sensitive_input": Refused(400, "1301", "The request was blocked by the content policy"),
        "rate": Refused(429, "1302", "The API request is too fast"),
        "parallel": Refused(429, "1303", "Parallel tasks over the resource pack limit"),
        "conflict": Refused(409, "1201", "This key was used before"),
        "too_large": Refused(413, "1201", "The request is too large"),
        "task_failed": Refused(500, "5000", "The task failed"),
        "server": Refused(500, "5000", "Internal server error"),
        "unavailable": Refused(503, "5001", "Server temporarily unavailable"),
    }

    def read(self, request: Request) -> Asked:
        parts = tuple(request.path.strip("/").split("/"))
        if parts[:2] not in _ROOTS or len(parts) not in (3, 4):
            return Asked(op=None)
        if request.method == "GET" and len(parts) == 4:
            return Asked(op="poll", task_id=parts[3])
        if request.method == "GET":
            return Asked(op="find", label=request.query_fields.get("external_task_id"))
        if request.method != "POST" or len(parts) != 3:
            return Asked(op=None)
        label = request.fields.get("external_task_id")
        refused = None if isinstance(request.json, dict) else "parameters"
        return Asked(op="submit", label=label if isinstance(label, str) else None, refused=refused)

    def unauthorised(self, request: Request, key: str, wall_us: int) -> str | None:
        refused = super().unauthorised(request, key, wall_us)
        if refused != "bad_key":
            return refused
        return _token_refused(request.header("authorization") or "", key, wall_us // 1_000_000)

    def accepted(self, view: View) -> Reply:
        data = self._data(view)
        kept = ("task_id", "task_info", "task_status", "created_at", "updated_at")
        return _wrapped({name: data[name] for name in kept if name in data}, view.request_id)

    def shown(self, view: View) -> Reply:
        return _wrapped(self._data(view), view.request_id)

    def found(self, views: Sequence[View], request_id: str) -> Reply:
        return _wrapped([self._data(view) for view in views], request_id)

    def problem(self, refused: Refused, request_id: str, headers: Headers) -> Reply:
        document = {"code": _number(refused.code), "message": refused.message, "request_id": request_id}
        return json_reply(refused.status, document, headers)

    def new_id(self, digest: bytes) -> str:
        return digits(digest, 18)

    def _data(self, view: View) -> dict[str, Any]:
        data: dict[str, Any] = {
            "task_id": view.task_id,
            "task_status": self.word(view),
            "task_status_msg": view.error.message if view.error else "",
            "task_info": {"external_task_id": view.label} if view.label is not None else {},
            "created_at": view.accepted_us // 1_000,
            "updated_at": (view.ended_us or view.now_us) // 1_000,
        }
        if view.verdict == "success":
            video = {"id": view.task_id, "url": view.output_url, "duration": "5"}
            data["task_result"] = {"videos": [video] if view.output_url else []}
            if view.usage.there or not view.usage.container:
                data["final_unit_deduction"] = view.usage.value
        return data


def _wrapped(data: object, request_id: str) -> Reply:
    return json_reply(200, {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": data})


def _number(code: str) -> int | str:
    return int(code) if code.isdecimal() else code


def _token_refused(authorization: str, key: str, now_s: int) -> str | None:
    """The refusal a bearer token meets: wrongly signed, not valid yet, expired, or none."""
    parts = authorization.removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return "bad_key"
    try:
        claims, signature = parsed(_unpacked(parts[1])), _unpacked(parts[2])
    except ValueError:
        return "bad_key"
    signed = hmac.digest(key.encode(), f"{parts[0]}.{parts[1]}".encode(), sha256)
    if not isinstance(claims, dict) or not hmac.compare_digest(signed, signature):
        return "bad_key"
    not_before, expires = claims.get("nbf", 0), claims.get("exp")
    if not isinstance(not_before, int) or not isinstance(expires, int):
        return "bad_key"
    if now_s < not_before:
        return "key_early"
    return "key_late" if now_s >= expires else None


def _unpacked(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
