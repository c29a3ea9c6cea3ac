"""JSON as text, exactly: numbers in and out as they were written, and typed looks into what was read.

`Fields` reads a caller's object member by member and remembers which were read, so that what nobody
looked at can be refused by name instead of being lost.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Self

from refgate.dialects.canonical import Malformed, Number, Untranslatable
from refgate.money import loads_exact

__all__ = ["Fields", "as_list", "as_map", "as_text", "dumps", "loads", "parse_object"]

_KIND = {str: "a string", bool: "true or false", dict: "an object", list: "a list"}


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=Decimal)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    """`loads_exact`, sooner for the texts that nearly all are. Raises ValueError."""
    try:
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    except (ValueError, ArithmeticError, RecursionError):
        pass  # space around it, no JSON, or numbers that need more care
    return loads_exact(text)


def dumps(value: Any) -> str:
    """Compact JSON text. A Decimal is written with its own digits; floats have no place here."""
    try:
        try:
            text = _ENCODER.encode(value)
        except TypeError:  # a Decimal, which the library does not know
            text = _dumps_exact(value)
    except RecursionError as deep:
        raise Malformed("body", "is nested too deeply") from deep
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can carry it
        text = "".join(c if c < "\ud800" or c > "\udfff" else f"\\u{ord(c):04x}" for c in text)
    return text


def _dumps_exact(value: Any) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("no JSON number")
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{dumps(str(key))}:{_dumps_exact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_dumps_exact, value)) + "]"
    return _ENCODER.encode(value)


def parse_object(body: bytes, what: str = "body") -> dict[str, Any]:
    """A body as a JSON object, numbers exact. Raises Malformed."""
    try:
        value = loads(body.decode("utf-8-sig"))
    except ValueError as bad:
        raise Malformed(what, "is not JSON") from bad
    if not isinstance(value, dict):
        raise Malformed(what, "must be a JSON object")
    return value


def as_map(value: Any) -> dict[str, Any]:
    """A provider's value where an object should be; empty for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A provider's value where a list should be; empty for anything else."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """A provider's value where text should be; empty for anything else."""
    return value if isinstance(value, str) else ""


class Fields:
    """One object of a caller's request, read strictly. null and absent are one."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(where, "must be an object")
        self._members: dict[str, Any] = value
        self._where = where
        self._read: set[str] = set()

    def path(self, name: str) -> str:
        """The member's name as the caller would say it: `messages[2].content`."""
        return f"{self._where}.{name}" if self._where else name

    def any(self, name: str) -> Any:
        self._read.add(name)
        return self._members.get(name)

    def _typed(self, name: str, kind: type) -> Any:
        value = self.any(name)
        if value is not None and not isinstance(value, kind):
            raise Malformed(self.path(name), f"must be {_KIND[kind]}")
        return value

    def text(self, name: str) -> str | None:
        value: str | None = self._typed(name, str)
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise Malformed(self.path(name), "is required")
        return value

    def flag(self, name: str) -> bool | None:
        value: bool | None = self._typed(name, bool)
        return value

    def items(self, name: str) -> list[Any]:
        value = self._typed(name, list)
        return value if value is not None else []

    def object(self, name: str) -> dict[str, Any] | None:
        value: dict[str, Any] | None = self._typed(name, dict)
        return value

    def fields(self, name: str) -> Self | None:
        value = self.any(name)
        return None if value is None else type(self)(value, self.path(name))

    def number(self, name: str) -> Number | None:
        value = self.any(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise Malformed(self.path(name), "must be a number")
        if isinstance(value, Decimal) and not value.is_finite():
            raise Malformed(self.path(name), "must be a finite number")
        return value

    def count(self, name: str, *, least: int = 0) -> int | None:
        value = self.number(name)
        if value is None:
            return None
        if not isinstance(value, int) or value < least or value > 10**12:
            raise Malformed(self.path(name), f"must be a whole number, at least {least}")
        return value

    def whole(self, name: str) -> int | None:
        value = self.number(name)
        if value is not None and (not isinstance(value, int) or abs(value) >= 1 << 63):
            raise Malformed(self.path(name), "must be a whole number")
        return value

    def one_of(self, name: str, words: Collection[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in words:
            raise Malformed(self.path(name), f"must be one of: {', '.join(words)}")
        return value

    def neutral(self, name: str, *values: Any, why: str) -> None:
        """A field that may only say what is so anyway: absent, null, or one of `values`."""
        value = self.any(name)
        if value is not None and not any(value == one and type(value) is type(one) for one in values):
            raise Untranslatable(self.path(name), why)

    def finish(self, refused: Mapping[str, str] | None = None) -> None:
        """Refuses, by name, every member that was sent and not read."""
        for name, value in self._members.items():
            if name not in self._read and value is not None:
                why = (refused or {}).get(
                    name, "is unknown to the gateway, and only passes between like protocols"
                )
                raise Untranslatable(self.path(name), why)
