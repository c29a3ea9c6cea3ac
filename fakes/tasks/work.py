"""One task as it really is. Its end is an instant known when it begins; nothing needs to run for it.

Knows no wire: what an answer makes of it is a `View`, and how that reads is the dialect's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from fakes.acts.play import UsageKind
from fakes.acts.tasks import Usage
from fakes.json_text import Raw

__all__ = ["NOT_SHOWN", "Shown", "Stage", "UsageType", "Work", "shown_usage"]

UsageType = Literal["text", "number", "header", "none"]
"""How a vendor shows usage: decimal text, a JSON number, a header on the result, or not at all."""


class Stage(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (Stage.SUCCEEDED, Stage.FAILED, Stage.CANCELLED)


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands in the usage place. `text` is how it reads, None where it is missing or null."""

    there: bool  # the field is there at all
    value: str | Raw | None
    container: bool = True  # the object around it is there

    @property
    def text(self) -> str | None:
        return self.value.text if isinstance(self.value, Raw) else self.value


NOT_SHOWN = Shown(False, None)

_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_HOSTILE: Mapping[UsageKind, str] = {
    "zero": "0",
    "nan": "NaN",
    "infinite": "Infinity",
    "huge": "1e308",
    "overflow": "18446744073709551616",
}


def shown_usage(usage: Usage | None, units: str, native: UsageType) -> Shown:
    """What the answers show for `units` of work: the truth, unless an act says otherwise."""
    if native == "none":
        return NOT_SHOWN
    as_text = native != "number"
    kind = usage.shown if usage else "exact"
    match kind:
        case "missing":
            return NOT_SHOWN
        case "null":
            return Shown(True, None)
        case "container_null":
            return Shown(False, None, container=False)
        case "text":
            return Shown(True, "a lot")
        case "empty":
            return Shown(True, "")
        case "value":
            text = (usage.value if usage else None) or ""
            return Shown(True, text if as_text or not _JSON_NUMBER.fullmatch(text) else Raw(text))
        case "other_type":
            as_text = native == "header" or not as_text
            text = units
        case "negative":
            text = f"-{units}" if Decimal(units) else "-1"
        case "exact":
            text = units
        case _:
            text = _HOSTILE[kind]
    return Shown(True, text if as_text else Raw(text))


@dataclass(slots=True, kw_only=True)
class Work:
    """One task. Only a cancellation changes what was settled when it was accepted."""

    task_id: str
    seq: int
    nonce: str | None
    key: str | None
    label: str | None
    path: str
    input: Mapping[str, Any]
    base_url: str
    accepted_us: int
    starts_us: int
    ends_us: int | None  # None: never
    success: bool
    reason: str | None  # why it fails
    under_success_word: bool  # a failure that is shown under the word for success
    billed: bool
    units: str
    cost_nanos: int
    usage: Shown
    output: bool
    cancelled: bool = False
    settled: bool = False

    def stage(self, now_us: int) -> Stage:
        if self.ends_us is not None and now_us >= self.ends_us:
            if self.cancelled:
                return Stage.CANCELLED
            return Stage.SUCCEEDED if self.success else Stage.FAILED
        return Stage.RUNNING if now_us >= self.starts_us else Stage.QUEUED
