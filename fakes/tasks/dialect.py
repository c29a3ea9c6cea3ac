"""How one vendor speaks: which request means what, and how each answer is worded.

A dialect is pure. It reads a request into an `Asked` and words a `View`, a refusal or a listing as a
`Reply`; it keeps no state, and what a task really does is none of its business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from fakes.asgi import Reply, Request
from fakes.journal import Headers
from fakes.tasks.work import Shown, Stage, UsageType

__all__ = ["Asked", "Dialect", "Refused", "View", "digits", "iso_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request means. `op` None: the vendor has no such path."""

    op: str | None
    task_id: str | None = None
    label: str | None = None  # the caller's own name for a task, where the vendor takes one
    refused: str | None = None  # the refusal this request meets, whatever the script says


@dataclass(frozen=True, slots=True)
class Refused:
    """How a vendor words one refusal."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A task as an answer is to show it, true or not. Wall times are microseconds since 1970."""

    task_id: str
    stage: Stage
    word: str | None  # an unknown status word that stands in for the stage's own
    error: Refused | None
    output_url: str | None
    usage: Shown
    label: str | None
    path: str  # of the submit
    input: Mapping[str, Any]
    base_url: str
    accepted_us: int
    started_us: int
    ended_us: int | None
    now_us: int
    request_id: str

    @property
    def verdict(self) -> str:
        """What it says: success | failure | error (beside the word for success) | other."""
        if self.word is not None or not self.stage.ended:
            return "other"
        if self.stage is not Stage.SUCCEEDED:
            return "failure"
        return "success" if self.error is None else "error"

    @property
    def usage_shown(self) -> str | None:
        return self.usage.text if self.verdict == "success" else None


class Dialect(ABC):
    """One vendor. Subclasses fill the tables and word the answers."""

    name: ClassVar[str]
    usage_type: ClassVar[UsageType]
    words: ClassVar[Mapping[Stage, str]]
    refusals: ClassVar[Mapping[str, Refused]]
    # The reasons a dialect has no words of its own for are told in those of a near one.
    near: ClassVar[Mapping[str, str]] = {
        "copyright": "sensitive_input",
        "real_person": "sensitive_input",
        "sensitive_output": "sensitive_input",
        "disabled": "permission",
        "region": "permission",
        "too_long": "parameters",
        "no_key": "bad_key",
        "not_json": "parameters",
        "too_large": "parameters",
        "key_reused": "conflict",
        "parallel": "rate",
        "not_finished": "parameters",
        "already_ended": "parameters",
        "task_failed": "server",
        "transient": "unavailable",
        "no_route": "task_not_found",
    }

    @abstractmethod
    def read(self, request: Request) -> Asked:
        """What the request asks for, by its method, path, query and body."""

    @abstractmethod
    def accepted(self, view: View) -> Reply:
        """The answer to a submit."""

    @abstractmethod
    def shown(self, view: View) -> Reply:
        """The answer to a poll."""

    @abstractmethod
    def problem(self, refused: Refused, request_id: str, headers: Headers) -> Reply:
        """A refusal, worded and wrapped."""

    @abstractmethod
    def new_id(self, digest: bytes) -> str:
        """A task id in the vendor's form."""

    def result(self, view: View) -> Reply:
        """The answer to a request for the result alone, where the vendor has one."""
        return self.shown(view)

    def not_found(self, task_id: str, request_id: str) -> Reply:
        """The answer about a task that does not exist."""
        return self.refusal("task_not_found", request_id=request_id)

    def found(self, views: Sequence[View], request_id: str) -> Reply:
        """A listing of tasks, where the vendor has one."""
        return self.refusal("no_route", request_id=request_id)

    def cancelled(self, view: View, *, in_time: bool) -> Reply:
        """The answer to a cancellation; `in_time`: the task had not ended."""
        return self.refusal("no_route", request_id=view.request_id)

    def unauthorised(self, request: Request, key: str, wall_us: int) -> str | None:
        """The refusal a request without the right key meets, or None: by default, a bearer token."""
        given = request.header("authorization")
        if not given:
            return "no_key"
        return None if given == f"Bearer {key}" else "bad_key"

    def words_for(self, kind: str) -> Refused:
        while kind not in self.refusals:
            kind = self.near.get(kind, "server")
        return self.refusals[kind]

    def word(self, view: View) -> str:
        return self.words[view.stage] if view.word is None else view.word

    def refusal(
        self,
        kind: str,
        *,
        request_id: str,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        headers: Headers = (),
    ) -> Reply:
        """A refusal of this kind in the vendor's words, with what is given put in their place."""
        usual = self.words_for(kind)
        refused = Refused(status or usual.status, code or usual.code, message or usual.message)
        return self.problem(refused, request_id, headers)


def digits(digest: bytes, count: int) -> str:
    """`count` decimal digits of a digest, the first not zero."""
    lowest = 10 ** (count - 1)
    return str(lowest + int.from_bytes(digest, "big") % (9 * lowest))


def iso_time(wall_us: int, *, shape: str = "%Y-%m-%dT%H:%M:%S", zone: str = "Z") -> str:
    """A wall time as text, to the millisecond."""
    seconds, rest = divmod(wall_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC).strftime(shape)}.{rest // 1000:03d}{zone}"
