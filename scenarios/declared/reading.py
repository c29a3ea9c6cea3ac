"""How the checks read values of a configuration: what is absent has its default, what is there is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fakes.durations import parse_us
from scenarios.units import parse_amount, parse_size

__all__ = ["maybe_nanos", "nanos_of", "section", "size_of", "span_us", "words_of"]


def section(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = mapping.get(key)
    return found if isinstance(found, Mapping) else {}


def nanos_of(text: Any) -> int:
    return parse_amount(str(text))


def maybe_nanos(mapping: Mapping[str, Any], key: str) -> int | None:
    found = mapping.get(key)
    return None if found is None else nanos_of(found)


def span_us(mapping: Mapping[str, Any], key: str, default: int) -> int:
    found = mapping.get(key)
    return default if found is None else parse_us(str(found))


def size_of(mapping: Mapping[str, Any], key: str, default: int) -> int:
    found = mapping.get(key)
    if found is None or isinstance(found, int):
        return default if found is None else found
    return parse_size(found)


def words_of(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (str(value),)
    return tuple(str(one) for one in value)
