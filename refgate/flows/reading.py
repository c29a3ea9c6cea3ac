"""What a provider's answer means, by the declared routes. Pure: bytes in, a verdict out.

A submit is accepted, declined, never reached the provider, or is in doubt; a time-out, a broken answer and
an answer that cannot be read are doubt, not refusals. A poll is a success, a failure, or says nothing yet.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from refgate.answer import Answer
from refgate.config.routes import QueryRoute, SubmitRoute
from refgate.config.values import JsonPath
from refgate.money import loads_exact
from refgate.upstream import Failure

__all__ = [
    "REASON_MAX",
    "Accepted",
    "Declined",
    "Doubtful",
    "Ended",
    "SubmitVerdict",
    "Unreached",
    "as_task_id",
    "document",
    "read_poll",
    "read_resend",
    "read_submit",
]

REASON_MAX = 100
"""Characters of a reason as it is kept."""

_TASK_ID_MAX = 256


@dataclass(frozen=True, slots=True)
class Accepted:
    task_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    reason: str  # may be the provider's own text, of any length


@dataclass(frozen=True, slots=True)
class Unreached:
    reason: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    reason: str


SubmitVerdict = Accepted | Declined | Unreached | Doubtful


@dataclass(frozen=True, slots=True)
class Ended:
    """The provider says the task is over."""

    success: bool
    reason: str
    document: Any


def read_submit(route: SubmitRoute, unclear: tuple[int, ...], reply: Answer | Failure) -> SubmitVerdict:
    """`unclear` are the statuses that something in between may have written."""
    if isinstance(reply, Failure):
        return Doubtful(reply.kind.value) if reply.ambiguous else Unreached(reply.kind.value)
    if reply.status in unclear:
        return Doubtful(f"http_{reply.status}")
    if not 200 <= reply.status < 300:
        return Declined(f"error_http_{reply.status}")
    try:
        answer = document(reply.body)
    except ValueError:
        return Doubtful("unreadable")
    found, value = route.task_id.first(answer)
    task_id = as_task_id(value) if found else None
    return Accepted(task_id) if task_id is not None else Declined(_rejection(route, answer))


_NO_VERDICT_AGAIN = frozenset({401, 403, 408, 409, 422, 423, 425, 429})
"""What a submit that was sent before may meet although the first one was accepted: a conflict of its
label, a limit, a credential that has changed since."""


def read_resend(route: SubmitRoute, unclear: tuple[int, ...], reply: Answer | Failure) -> SubmitVerdict:
    """A submit sent again under its label. In doubt it says nothing of the first one."""
    if isinstance(reply, Answer):
        clear = 200 <= reply.status < 300 or 400 <= reply.status < 500
        if not clear or reply.status in _NO_VERDICT_AGAIN:
            return Doubtful(f"again_http_{reply.status}")
    verdict = read_submit(route, unclear, reply)
    return Doubtful(verdict.reason) if isinstance(verdict, Unreached) else verdict


def _rejection(route: SubmitRoute, answer: Any) -> str:
    for path in route.rejection:
        found, value = path.first(answer)
        if found and isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != "":
            return str(value)
    return "no_task_id"


def read_poll(route: QueryRoute, reply: Answer | Failure) -> Ended | None:
    """None where the answer says nothing terminal: it is handed on, and changes nothing."""
    if isinstance(reply, Failure) or not 200 <= reply.status < 300:
        return None
    try:
        answer = document(reply.body)
    except ValueError:
        return None
    if _is_something(route.failure_when, answer):
        return Ended(False, "failure_when", answer)
    found, status = route.status.first(answer)
    word = str(status) if found and isinstance(status, str | int) and not isinstance(status, bool) else None
    if word not in (*route.success, *route.failure):
        return None
    return Ended(word in route.success, f"status_{word}"[:REASON_MAX], answer)


def _is_something(path: JsonPath | None, answer: Any) -> bool:
    if path is None:
        return False
    found, value = path.first(answer)
    return found and value is not None and value != "" and value is not False


def document(body: bytes, *, once: bool = False) -> Any:
    """A body as JSON, numbers exact; `once`: only one that gives each name once. Raises ValueError."""
    return loads_exact(body.removeprefix(BOM_UTF8).decode(), once=once)


def as_task_id(value: Any) -> str | None:
    """A task id as text, or None for what cannot be one: an empty, endless or unprintable thing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if 0 < len(text) <= _TASK_ID_MAX and text.isprintable() and text.isascii() else None
