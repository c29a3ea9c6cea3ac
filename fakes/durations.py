"""Durations as people write them in files: `250ms`, `30s`, `1m30s`, `2h`.

Inside, time is an integer number of microseconds; text is only read and written here. A number
without a unit is refused: nobody can tell whether `5` meant seconds or milliseconds.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

__all__ = ["EPOCH_US", "DurationUs", "duration_text", "parse_us"]

_UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_PATTERN = r"^(\d+(\.\d+)?(us|ms|s|m|h|d))+$"
_TEXT_MAX = 40

EPOCH_US = 1_767_571_200_000_000
"""The wall clock at time 0, unless a service is told otherwise: 2026-01-05 00:00:00 UTC."""


def parse_us(text: str) -> int:
    """Microseconds of a duration such as `30s`; exact, or a `ValueError` that says what to write."""
    if len(text) > _TEXT_MAX or not re.fullmatch(_PATTERN[1:-1], text):
        raise ValueError(
            f"{text[:_TEXT_MAX]!r} is not a duration: write a number and a unit, such as 250ms, 30s, 5m, 1h"
        )
    total = sum(Decimal(number) * _UNITS_US[unit] for number, unit in _PART.findall(text))
    if total != int(total):
        raise ValueError(f"{text!r} is finer than a microsecond")
    return int(total)


def duration_text(us: int) -> str:
    """The shortest exact text for a duration, in its largest whole unit: `parse_us` reads it back."""
    for unit in ("d", "h", "m", "s", "ms"):
        if us and us % _UNITS_US[unit] == 0:
            return f"{us // _UNITS_US[unit]}{unit}"
    return f"{us}us" if us else "0s"


def _read(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError(f"a duration is text with a unit, such as 30s, and not {value!r}")
    return parse_us(value)


DurationUs = Annotated[
    int,
    BeforeValidator(_read),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["250ms", "30s", "5m"]}),
]
"""A pydantic field written as text and held as integer microseconds."""
