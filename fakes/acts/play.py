"""What every act is made of: the frozen strict base, its category, and the words acts share.

An act is a value: it says what to depart from, and holds no state. It knows neither when it plays
(`fakes.acts.script`) nor how it sounds on the wire (the dialects).
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

__all__ = [
    "OPS_BILLED",
    "OPS_CHAT",
    "OPS_LOOKING",
    "OPS_OF_ONE",
    "OPS_SUBMIT",
    "BillingOp",
    "Category",
    "ChatOp",
    "IdempotencyMode",
    "OddKind",
    "Op",
    "Play",
    "Reason",
    "RetryAfterForm",
    "Strict",
    "TaskOp",
    "UnitsText",
    "UsageKind",
]

TaskOp = Literal["submit", "poll", "result", "find", "cancel", "other"]
BillingOp = Literal["reserve", "finalize", "look_up", "other"]
Op = Literal[TaskOp, BillingOp]
ChatOp = Literal["chat", "embed", "models", "count", "other"]
Reason = Literal[
    "insufficient_balance",
    "sensitive_input",
    "sensitive_output",
    "real_person",
    "copyright",
    "region",
    "parameters",
    "too_long",
    "permission",
    "disabled",
    "bad_key",
    "transient",
]
RetryAfterForm = Literal["seconds", "fraction", "date", "ms", "none"]
OddKind = Literal["html", "text", "invalid_json", "empty", "list", "string", "null", "number", "empty_object"]
UsageKind = Literal[
    "exact",
    "missing",
    "null",
    "container_null",
    "zero",
    "negative",
    "nan",
    "infinite",
    "huge",
    "overflow",
    "text",
    "empty",
    "other_type",
    "value",
]
IdempotencyMode = Literal["ignored", "honoured", "conflict"]

_OPS_ALL = frozenset(get_args(Op)) | frozenset(get_args(ChatOp))
OPS_SUBMIT = frozenset({"submit"})
OPS_OF_ONE = frozenset({"poll", "result"})
OPS_LOOKING = OPS_OF_ONE | {"find"}
OPS_CHAT = frozenset({"chat"})
OPS_BILLED = OPS_SUBMIT | OPS_CHAT | {"embed"}


class Category(StrEnum):
    """What an act bends. For one request the first matching act of a category plays, unless it composes."""

    ANSWER = "answer"  # what is answered, instead of or after the work
    DELAY = "delay"  # when
    VIEW = "view"  # what a poll shows of a task
    HEADERS = "headers"  # composes: every matching act plays, in file order
    TASK = "task"  # composes: the first matching act of each kind plays
    KEY = "key"  # how a repeated idempotency key is met, asked before a task is begun


class Strict(BaseModel):
    """A frozen value read from a file: unknown fields and silent conversions are errors."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Play(Strict):
    """Base of all acts."""

    category: ClassVar[Category] = Category.ANSWER
    ops: ClassVar[frozenset[str]] = _OPS_ALL
    needs_wire: ClassVar[bool] = False  # only a server that can break connections can play it


_UNITS = r"[0-9]+(\.[0-9]+)?"


def _units(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'an amount is text, such as "0.25", so that no float touches it; not {value!r}')
    if not re.fullmatch(_UNITS, value):
        raise ValueError(f"{value!r} is not an amount: not a decimal number, zero or more, as 0.25 is")
    if abs(Decimal(value).adjusted()) > 15:
        raise ValueError(f"{value!r} is not an amount: zero or more, below 10^15")
    return value


UnitsText = Annotated[
    str, BeforeValidator(_units), WithJsonSchema({"type": "string", "pattern": f"^{_UNITS}$"})
]
"""An exact, non-negative decimal number written as text."""
