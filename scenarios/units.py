"""How a scenario file writes money, sizes, rates and claims, and the exact numbers they stand for.

Amounts are quoted decimal dollars and integer nano-dollars inside; a rate is an exact fraction; a
claim is a comparison with a number. Printing gives text that reads back equal. Spans of time are
`fakes.durations`. Knows nothing of scenarios.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

__all__ = [
    "Amount",
    "Claim",
    "ClaimText",
    "CountText",
    "Rate",
    "Size",
    "amount_text",
    "parse_amount",
    "parse_claim",
    "parse_rate",
    "parse_size",
    "rate_text",
    "size_text",
]

_SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_PER_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_SIZE = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB)")
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)/(s|m|h)")
_AMOUNT = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")
_CLAIM = re.compile(r"(>=|<=|==|>|<)?\s*(\d{1,15}(?:\.\d{1,9})?)\s*(%)?")


def parse_amount(text: object) -> int:
    """`"0.25"` -> 250000000 nano-dollars. Text only: a YAML float has already lost digits."""
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise ValueError(f'an amount is quoted decimal text with at most 9 places ("0.25"), not {text!r}')
    return int(Decimal(text).scaleb(9))


def amount_text(nanos: int) -> str:
    """250000000 -> `0.25`, with two places at least."""
    whole, rest = divmod(abs(nanos), 1_000_000_000)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanos < 0 else ''}{whole}.{places}"


def parse_size(text: object) -> int:
    """`2MiB` -> 2097152 bytes."""
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"a size is a whole number and a unit (B, KiB, MiB, GiB), not {text!r}")
    return int(found[1]) * _SIZE_UNITS[found[2]]


def size_text(size: int) -> str:
    """2097152 -> `2MiB`: the largest unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return f"{size}B"


def parse_rate(text: object) -> Fraction:
    """`2/s`, `90/m`, `0.5/s` -> arrivals per microsecond, exactly."""
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None or not Fraction(found[1]):
        raise ValueError(f"a rate is a positive number per s, m or h (2/s, 90/m), not {text!r}")
    return Fraction(found[1]) / _PER_UNITS_US[found[2]]


def rate_text(rate: Fraction) -> str:
    """In the first of /s, /m, /h in which it is a short decimal."""
    for unit, per_us in _PER_UNITS_US.items():
        thousands = rate * per_us * 1000
        if thousands.denominator == 1:
            return f"{format((Decimal(int(thousands)) / 1000).normalize(), 'f')}/{unit}"
    raise ValueError(f"{rate} per microsecond has no short decimal form")


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A comparison with a number: `3`, `>= 1`, `>= 99%`."""

    test: str
    number: Fraction
    percent: bool

    def holds(self, seen: Fraction | int) -> bool:
        """`seen` is the plain number; for a percentage, the share between 0 and 1."""
        return _TESTS[self.test](seen, self.number / 100 if self.percent else self.number)


def parse_claim(text: object) -> Claim:
    """Reads what a file's `expect` says; a bare number means exactly that many."""
    written = str(text) if isinstance(text, int) and not isinstance(text, bool) else text
    found = _CLAIM.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None:
        raise ValueError(f'a claim is a number or a comparison (3, ">= 1", ">= 99%"), not {text!r}')
    return Claim(found[1] or "==", Fraction(found[2]), found[3] is not None)


def _checked_claim(text: object) -> object:
    claim = parse_claim(text)
    if claim.test == ">=" and claim.number == 0:
        raise ValueError(f"{text} holds whatever happens: claim something, or leave it out")
    return text


def _checked_count(text: object) -> object:
    if parse_claim(text).percent:
        raise ValueError(f'a count is claimed as a number (3, ">= 1"), and not as a share: {text}')
    return _checked_claim(text)


Amount = Annotated[
    int,
    BeforeValidator(parse_amount),
    PlainSerializer(amount_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d{1,15}(\.\d{1,9})?$", "examples": ["0.25"]}),
]
"""Integer nano-dollars, written as quoted decimal dollars."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(size_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,12}(B|KiB|MiB|GiB)$", "examples": ["2MiB"]}),
]
"""Bytes, written `2MiB`."""

Rate = Annotated[
    Fraction,
    BeforeValidator(parse_rate),
    PlainSerializer(rate_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}(\.\d{1,3})?/(s|m|h)$", "examples": ["2/s"]}),
]
"""Arrivals per microsecond as an exact fraction, written `2/s` or `90/m`."""

ClaimText = Annotated[
    str | int,
    BeforeValidator(_checked_claim),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": [">= 1"]}),
]
"""A comparison with a number, kept as it was written: `3`, `>= 1`, `>= 99%`."""

CountText = Annotated[
    str | int,
    BeforeValidator(_checked_count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": [">= 1"]}),
]
"""The same without shares."""
