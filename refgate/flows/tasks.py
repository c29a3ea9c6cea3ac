"""Which task a request is about, and whether it is the asker's.

The id is looked for where the route declares it and nowhere else, and must be there once: a request that
two readers could take for two tasks is refused, or one of them would be somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from refgate.config.routes import TaskIdPlace
from refgate.config.values import JsonPath
from refgate.errors import Code, Refusal
from refgate.flows.arrival import Asked
from refgate.flows.reading import as_task_id, document
from refgate.flows.works import Works
from refgate.ledger.records import Call

__all__ = ["owned", "task_id_of"]


def task_id_of(place: TaskIdPlace, asked: Asked, captures: Mapping[str, str]) -> str:
    """The one task id of a request."""
    if place.path is not None:
        value: Any = captures[place.path]
    elif place.query is not None:
        pairs = parse_qsl(asked.query, keep_blank_values=True)
        values = [value for name, value in pairs if name == place.query]
        value = values[0] if len(values) == 1 else None
    else:
        assert place.body is not None  # a task id is in exactly one place
        value = _in_body(place.body, asked.body)
    task_id = as_task_id(value)
    if task_id is None:
        raise Refusal(Code.BAD_REQUEST, "the request does not name one task")
    return task_id


def _in_body(path: JsonPath, body: bytes) -> Any:
    try:
        asked = document(body, once=True)
    except ValueError:
        raise Refusal(Code.BAD_REQUEST, "the body is not JSON in which every name is given once") from None
    found, value = path.first(asked)
    return value if found else None


async def owned(works: Works, asked: Asked, task_id: str) -> Call:
    """The call behind a task, for its own account; for anybody else there is no such task."""
    call = await works.store.by_task(asked.name, task_id)
    if call is None or call.account != asked.account:
        raise Refusal(Code.TASK_NOT_FOUND, "this account has no such task")
    return call
