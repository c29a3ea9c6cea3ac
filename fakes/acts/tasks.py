"""Acts on tasks: what becomes of the work, and what polls show of it.

The first kind is decided once, when the task is accepted, and is the truth; the second bends one
answer and leaves the truth alone.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from fakes.acts.play import (
    OPS_LOOKING,
    OPS_OF_ONE,
    OPS_SUBMIT,
    Category,
    IdempotencyMode,
    Play,
    Reason,
    UnitsText,
    UsageKind,
)
from fakes.durations import DurationUs

__all__ = [
    "AcceptedTwice",
    "Disagreeing",
    "Expired",
    "Idempotency",
    "NotFoundYet",
    "SameTaskId",
    "StatusGoesBackwards",
    "TaskCosts",
    "TaskEndsWithError",
    "TaskFails",
    "TaskNeverEnds",
    "TaskTakes",
    "TaskWithoutOutput",
    "UnknownStatus",
    "Usage",
]

# --- what a poll shows --------------------------------------------------------------------------


class NotFoundYet(Play):
    """A poll in the first `for` of a task's life is told that there is no such task; lists leave it out."""

    category: ClassVar[Category] = Category.VIEW
    ops: ClassVar[frozenset[str]] = OPS_LOOKING
    for_us: DurationUs | None = Field(default=None, alias="for")


class Expired(Play):
    """A poll `after` the end of a task is told that there is no such task any more."""

    category: ClassVar[Category] = Category.VIEW
    ops: ClassVar[frozenset[str]] = OPS_OF_ONE
    after: DurationUs


class StatusGoesBackwards(Play):
    """A poll shows the stage before the true one: running as queued, ended as running."""

    category: ClassVar[Category] = Category.VIEW
    ops: ClassVar[frozenset[str]] = OPS_OF_ONE


class UnknownStatus(Play):
    """A poll shows a status word that is in nobody's documentation."""

    category: ClassVar[Category] = Category.VIEW
    ops: ClassVar[frozenset[str]] = OPS_OF_ONE
    word: str = "POSTPROCESSING"


class Disagreeing(Play):
    """A poll of an ended task shows the opposite end: success as failure, failure as success."""

    category: ClassVar[Category] = Category.VIEW
    ops: ClassVar[frozenset[str]] = OPS_OF_ONE


# --- what becomes of a task, decided when it is accepted -----------------------------------------


class _TaskPlay(Play):
    category: ClassVar[Category] = Category.TASK
    ops: ClassVar[frozenset[str]] = OPS_SUBMIT


class TaskFails(_TaskPlay):
    """The work fails; `billed` where the provider charges for it all the same."""

    reason: Reason | None = None
    billed: bool = False


class TaskTakes(_TaskPlay):
    """How long the work takes, and how long it waits before that."""

    takes: DurationUs
    queued: DurationUs | None = None
    jitter: DurationUs = 0


class TaskNeverEnds(_TaskPlay):
    """The work runs for ever: no end, no bill."""


class TaskWithoutOutput(_TaskPlay):
    """The work succeeds and is billed, and the answer shows no result."""


class TaskEndsWithError(_TaskPlay):
    """The work fails under the word for success: the error stands beside it. Not billed."""


class TaskCosts(_TaskPlay):
    """The true number of billable units of this work."""

    units: UnitsText


class Usage(_TaskPlay):
    """What the usage place of the answers shows, whatever the truth; `value` shows the given text."""

    shown: UsageKind
    value: str | None = None

    @model_validator(mode="after")
    def _value_where_needed(self) -> Usage:
        if (self.shown == "value") != (self.value is not None):
            raise ValueError("value goes with shown: value, and only there")
        return self


class Idempotency(Play):
    """How the provider treats an `Idempotency-Key` it has seen: a new task, the first one again, or 409."""

    category: ClassVar[Category] = Category.KEY
    ops: ClassVar[frozenset[str]] = OPS_SUBMIT
    mode: IdempotencyMode


class AcceptedTwice(_TaskPlay):
    """One request starts two tasks: both run, both are billed, the client learns of the first."""


class SameTaskId(_TaskPlay):
    """The new task goes under the id of the one accepted before it; polls show the newer one."""
