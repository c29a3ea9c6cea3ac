"""Changes to a JSON text that leave every other byte as it was.

A body that passes through keeps its spaces, its order, its digits and its escapes; only the members that a
rewrite names are replaced. A member that stands twice is refused: two readers could take either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from refgate.dialects.json_text import dumps

__all__ = ["AmbiguousMember", "member", "remove", "replace", "set_members", "single_members"]

_SPACE = " \t\r\n"
_SKIP = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
"""Finds where a value ends; numbers are not looked at."""


class AmbiguousMember(ValueError):
    """The member stands twice in its object."""


def replace(text: str, path: tuple[str, ...], value: Any) -> str:
    """The text with the value at `path` replaced; unchanged where nothing stands there."""
    span = member(text, path)
    return text if span is None else text[: span[0]] + dumps(value) + text[span[1] :]


def set_members(text: str, values: Mapping[str, Any]) -> str:
    """The text of an object with members replaced, or added at its end. Raises ValueError."""
    for name, value in values.items():
        span = member(text, (name,))
        if span is not None:
            text = text[: span[0]] + dumps(value) + text[span[1] :]
            continue
        start = _space(text, 0)
        end = text.rindex("}")
        comma = "" if _space(text, start + 1) == end else ","
        text = f"{text[:end]}{comma}{dumps(name)}:{dumps(value)}{text[end:]}"
    return text


def single_members(text: str) -> dict[str, tuple[int, int]]:
    """Where the value of each member of the outer object begins and ends. Raises AmbiguousMember where
    one stands twice.
    """
    spans: dict[str, tuple[int, int]] = {}
    for name, _, begin, end in _members(text, 0):
        if name in spans:
            raise AmbiguousMember(f"{name} stands twice")
        spans[name] = begin, end
    return spans


def member(text: str, path: tuple[str, ...]) -> tuple[int, int] | None:
    """Where the value at `path` begins and ends. Raises ValueError where the text is not an object."""
    try:
        start = 0
        for depth, name in enumerate(path):
            spans = [(begin, end) for key, _, begin, end in _members(text, start) if key == name]
            if len(spans) > 1:
                raise AmbiguousMember(f"{name} stands twice")
            if not spans:
                return None
            if depth == len(path) - 1:
                return spans[0]
            start = spans[0][0]
            if text[start] != "{":
                return None
    except (IndexError, RecursionError) as bad:
        raise ValueError("not a JSON object") from bad
    return None


def remove(text: str, name: str) -> str:
    """The text of an object without that member and its comma. Raises ValueError."""
    if member(text, (name,)) is None:
        return text
    members = list(_members(text, 0))
    at = next(i for i, one in enumerate(members) if one[0] == name)
    _, key, _, end = members[at]
    if at > 0:
        return text[: members[at - 1][3]] + text[end:]
    if len(members) > 1:
        return text[:key] + text[members[1][1] :]
    return text[:key] + text[end:]


def _members(text: str, start: int) -> Iterator[tuple[str, int, int, int]]:
    """Each member of the object at `start`: its name, where that begins, where its value begins and ends."""
    at = _space(text, start)
    if text[at] != "{":
        raise ValueError("not a JSON object")
    at = _space(text, at + 1)
    if text[at] == "}":
        return
    while True:
        if text[at] != '"':
            raise ValueError("not a JSON object")
        key = at
        name, at = _SKIP.raw_decode(text, key)
        at = _space(text, at)
        if text[at] != ":":
            raise ValueError("not a JSON object")
        begin = _space(text, at + 1)
        try:
            _, end = _SKIP.raw_decode(text, begin)
        except StopIteration as bad:
            raise ValueError("not a JSON object") from bad
        yield name, key, begin, end
        at = _space(text, end)
        if text[at] == "}":
            return
        if text[at] != ",":
            raise ValueError("not a JSON object")
        at = _space(text, at + 1)


def _space(text: str, at: int) -> int:
    if at == 0 and text.startswith("\ufeff"):
        at = 1
    while text[at] in _SPACE:
        at += 1
    return at
