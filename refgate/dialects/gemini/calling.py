"""Where a Gemini caller says what it asks for: model and kind of answer in the path, the shape in the query.

`called` reads both for the arrival of a request; `spelled` takes a member by either of its two names, for
the protocol's JSON may write any of them in camelCase or, as the vendor's SDK does in places, snake_case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refgate.dialects.canonical import Malformed, Untranslatable
from refgate.dialects.json_text import Fields

__all__ = ["Called", "GeminiFields", "called", "snake", "spelled"]


@dataclass(frozen=True, slots=True)
class Called:
    """What the path and the query of a call say."""

    model: str
    stream: bool


def called(call: str, alt: str | None) -> Called:
    """`call` is what follows `/models/` in the path, decoded; `alt` the query's member of that name.

    Raises Malformed for what is no such call, Untranslatable for a stream in another shape than events.
    """
    model, colon, verb = call.rpartition(":")
    if not colon or not model or verb not in ("generateContent", "streamGenerateContent"):
        raise Malformed("path", "must be /models/{model}:generateContent or :streamGenerateContent")
    stream = verb == "streamGenerateContent"
    if stream and alt != "sse":
        raise Untranslatable("alt", "a stream is told as events only: ask with ?alt=sse")
    if not stream and alt not in (None, "json"):
        raise Untranslatable("alt", "a whole answer is JSON")
    return Called(model, stream)


def snake(name: str) -> str:
    """A member's other name."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def spelled(members: Mapping[str, Any], name: str) -> Any:
    """A member by either name, null and absent being one. Raises Malformed where both stand."""
    first = members.get(name)
    other = snake(name)
    second = members.get(other) if other != name else None
    if first is not None and second is not None:
        raise Malformed(name, f"stands twice, also as {other}")
    return first if first is not None else second


class GeminiFields(Fields):
    """Members in either spelling; whole numbers may be written as 5.0, as the SDK does."""

    def any(self, name: str) -> Any:
        first = super().any(name)
        other = snake(name)
        second = super().any(other) if other != name else None
        if first is not None and second is not None:
            raise Malformed(self.path(name), f"stands twice, also as {other}")
        return first if first is not None else second

    def whole(self, name: str) -> int | None:
        value = self.number(name)
        if value is None:
            return None
        if not -(1 << 63) < value < 1 << 63 or int(value) != value:
            raise Malformed(self.path(name), "must be a whole number")
        return int(value)

    def count(self, name: str, *, least: int = 0) -> int | None:
        value = self.whole(name)
        if value is not None and not least <= value <= 10**12:
            raise Malformed(self.path(name), f"must be a whole number, at least {least}")
        return value
