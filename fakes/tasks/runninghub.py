"""RunningHub v2: polled by POST body, business rejections under HTTP 200, usage as decimal text or null."""

from __future__ import annotations

from typing import Any, ClassVar

from fakes.asgi import Reply, Request, json_reply
from fakes.journal import Headers
from fakes.tasks.dialect import Asked, Dialect, Refused, View, digits
from fakes.tasks.work import Stage, UsageType

__all__ = ["RunningHub"]

_SUBMIT = "/openapi/v2/"
_QUERY = "/openapi/v2/query"
_CANCEL = "/task/openapi/cancel"


class RunningHub(Dialect):
    """Submit `POST /openapi/v2/{model}`, poll `POST /openapi/v2/query` with `{"taskId"}`."""

    name: ClassVar[str] = "runninghub"
    usage_type: ClassVar[UsageType] = "text"
    words: ClassVar = {
        Stage.QUEUED: "QUEUED",
        Stage.RUNNING: "RUNNING",
        Stage.SUCCEEDED: "SUCCESS",
        Stage.FAILED: "FAILED",
        Stage.CANCELLED: "CANCEL",
    }
    refusals: ClassVar = {
        "bad_key": Refused(401, "802", "APIKEY_UNAUTHORIZED"),
        "insufficient_balance": Refused(200, "812", "CORPAPIKEY_INSUFFICIENT_FUNDS"),
        "sensitive_input": Refused(200, "1504", "the prompt did not pass the content check"),
        "sensitive_output": Refused(200, "1506", "the result did not pass the content check"),
        "real_person": Refused(200, "1505", "the image may show a real person"),
        "copyright": Refused(200, "1507", "the content may be protected by copyright"),
        "region": Refused(200, "1508", "the model is not available in your region"),
        "parameters": Refused(200, "301", "PARAMS_INVALID"),
        "permission": Refused(200, "801", "APIKEY_UNSUPPORTED_FREE_USER"),
        "disabled": Refused(200, "380", "WORKFLOW_NOT_EXISTS"),
        "rate": Refused(429, "1003", "too many requests"),
        "parallel": Refused(200, "421", "TASK_QUEUE_MAXED"),
        "task_not_found": Refused(404, "423", "TASK_NOT_FOUND"),
        "no_route": Refused(404, "404", "no such endpoint"),
        "not_json": Refused(400, "301", "PARAMS_INVALID"),
        "too_large": Refused(413, "413", "the request is too large"),
        "conflict": Refused(409, "409", "this key was used before"),
        "task_failed": Refused(200, "805", "the task failed"),
        "transient": Refused(200, "1000", "unknown error, please try again"),
        "unavailable": Refused(503, "1011", "the service is being maintained"),
        "server": Refused(500, "1000", "unknown error"),
    }

    def read(self, request: Request) -> Asked:
        if request.method != "POST":
            return Asked(op=None)
        task_id = request.fields.get("taskId")
        if request.path in (_QUERY, _CANCEL):
            op = "poll" if request.path == _QUERY else "cancel"
            if not isinstance(task_id, str):
                return Asked(op=op, refused="parameters")
            return Asked(op=op, task_id=task_id)
        if not request.path.startswith(_SUBMIT) or request.path == _SUBMIT:
            return Asked(op=None)
        return Asked(op="submit", refused=None if isinstance(request.json, dict) else "not_json")

    def accepted(self, view: View) -> Reply:
        return json_reply(200, self._document(view))

    def shown(self, view: View) -> Reply:
        return json_reply(200, self._document(view))

    def cancelled(self, view: View, *, in_time: bool) -> Reply:
        if not in_time:
            return json_reply(200, {"code": 807, "msg": "APIKEY_TASK_NOT_FOUND", "data": None})
        return json_reply(200, {"code": 0, "msg": "success", "data": None})

    def _document(self, view: View) -> dict[str, Any]:
        url = view.output_url
        return {
            "taskId": view.task_id,
            "status": self.word(view),
            "errorCode": view.error.code if view.error else "",
            "errorMessage": view.error.message if view.error else "",
            "results": [{"url": url, "outputType": "mp4"}] if url else None,
            "usage": self._usage(view),
        }

    def _usage(self, view: View) -> dict[str, Any] | None:
        if view.verdict != "success" or not view.usage.container:
            return None
        seconds = ((view.ended_us or view.now_us) - view.started_us) // 1_000_000
        money = {"thirdPartyConsumeMoney": view.usage.value} if view.usage.there else {}
        return {**money, "consumeMoney": None, "consumeCoins": "0", "taskCostTime": str(seconds)}

    def problem(self, refused: Refused, request_id: str, headers: Headers) -> Reply:
        document = {
            "taskId": "",
            "status": "",
            "errorCode": refused.code,
            "errorMessage": refused.message,
            "results": None,
            "usage": None,
        }
        return json_reply(refused.status, document, headers)

    def new_id(self, digest: bytes) -> str:
        return digits(digest, 19)
