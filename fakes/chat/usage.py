"""What a usage object claims: rendered true by the dialects, and bent here as an act wants it.

A bend is on the vendor's own object, so that it looks as it would from that vendor. Where in a stream
it stands is the dialect's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fakes.acts.chats import ChatUsageShown
from fakes.json_text import Raw

__all__ = ["PLACES", "UsageForm", "bent_usage", "missing"]

PLACES = frozenset({"late", "early", "with_finish", "every_event", "twice"})
"""The kinds that leave the figures true and put them elsewhere in a stream."""

_HUGE = 9_223_372_036_854_775_807


@dataclass(frozen=True, slots=True)
class UsageForm:
    """Where a vendor's usage has its total, its input, and the cached part that the input includes.

    None where it has no such figure, or where the input does not include the cached part.
    """

    total: str | None
    input: str | None
    cached: tuple[str, ...] | None


def missing(shown: ChatUsageShown) -> bool:
    """Whether there is no place for usage at all."""
    return shown == "missing"


def bent_usage(usage: dict[str, Any], shown: ChatUsageShown, form: UsageForm) -> dict[str, Any] | None:
    """The usage as the act shows it; as it is where the kind names a place, or says nothing here."""
    match shown:
        case "null" | "missing":
            return None
        case "zero":
            return _each(usage, lambda _: 0)
        case "negative":
            return _each(usage, lambda count: -count if count else -1)
        case "huge":
            return _each(usage, lambda _: _HUGE)
        case "strings":
            return _each(usage, str)
        case "floats":
            return _each(usage, lambda count: Raw(f"{count}.0"))
        case "wrong_total" if form.total is not None:
            return usage | {form.total: usage[form.total] + 7}
        case "cached_above_prompt" if form.cached is not None and form.input is not None:
            return _with(usage, form.cached, usage[form.input] + 1_000)
        case _:
            return usage


def _each(value: Mapping[str, Any], change: Callable[[int], Any]) -> dict[str, Any]:
    return {key: _changed(item, change) for key, item in value.items()}


def _changed(item: Any, change: Callable[[int], Any]) -> Any:
    if isinstance(item, Mapping):
        return _each(item, change)
    if isinstance(item, list):
        return [_changed(one, change) for one in item]
    return change(item) if type(item) is int else item


def _with(usage: dict[str, Any], path: tuple[str, ...], value: int) -> dict[str, Any]:
    first, *rest = path
    return usage | {first: _with(usage.get(first) or {}, tuple(rest), value) if rest else value}
