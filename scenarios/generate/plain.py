"""The small words that drawn scenarios are made of: spans, windows, counts, chances, optional fields.

Everything is drawn as the plain value that a scenario file holds. The first choice is always the least:
what shrinks shrinks to the shortest span, the smallest count, the absent field.

A `Word` is a function of Hypothesis's `draw`, and not a strategy: an example is made of hundreds of them,
and a strategy made anew for each would cost more than the run that it is drawn for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fakes.durations import duration_text

__all__ = [
    "Plain",
    "Word",
    "chances",
    "either",
    "fields",
    "lists_of",
    "moments",
    "nothing",
    "scaled",
    "seldom",
    "sometimes",
    "spans",
    "whole",
    "windows",
]

Plain = dict[str, Any]
"""A mapping of a scenario file."""

Word = Callable[[DrawFn], Any]

_MS_US = 1_000
_CHANCES = (0.5, 0.25, 0.1, 0.75)
_STEP_MS = 100
_SCALES = (20, 100, 300, 600)


@cache
def _integers(least: int, most: int) -> SearchStrategy[int]:
    return st.integers(least, most)


def whole(least: int, most: int) -> Word:
    """A whole number."""
    numbers = _integers(least, most)
    return lambda draw: draw(numbers)


def spans(least_ms: int, most_ms: int, *, by_ms: int = 1) -> Word:
    """A duration as text, in whole steps of `by_ms`."""
    steps = _integers(least_ms // by_ms, most_ms // by_ms)
    return lambda draw: duration_text(draw(steps) * by_ms * _MS_US)


def either(*choices: Any) -> Word:
    """One of these values; the first is the simplest."""
    index = _integers(0, len(choices) - 1)
    return lambda draw: choices[draw(index)]


def chances() -> Word:
    return either(*_CHANCES)


def sometimes(word: Word) -> Word:
    """None, or the word: a field that is left out when None is drawn."""
    return _one_in(2, word)


def seldom(word: Word) -> Word:
    """None seven times of eight."""
    return _one_in(8, word)


def scaled(*most: int) -> Word:
    """A whole number from 1 up to one of these: small ones come often, large ones now and then."""
    scales = [_integers(1, one) for one in most]
    index = _integers(0, len(most) - 1)
    return lambda draw: draw(scales[draw(index)])


def _one_in(times: int, word: Word) -> Word:
    number = _integers(0, times - 1)
    return lambda draw: word(draw) if draw(number) == times - 1 else None


def nothing(draw: DrawFn) -> Plain:
    """`{}`: an act or a fault without parameters."""
    return {}


def fields(**parts: Word) -> Word:
    """A mapping of these fields, without those that came out as None. `for_` stands for `for`."""
    named = [(name.removesuffix("_"), part) for name, part in parts.items()]

    def word(draw: DrawFn) -> Plain:
        drawn = ((name, part(draw)) for name, part in named)
        return {name: value for name, value in drawn if value is not None}

    return word


def windows(first: str, last: str, *, always_ends: bool = False) -> Word:
    """From the start, or from a time; without end, or until a later time. Keys are `first` and `last`."""
    begins, lasts, ends = _one_in(3, scaled(*_SCALES)), scaled(*_SCALES), _integers(0, 1)

    def word(draw: DrawFn) -> Plain:
        begins_ms = (begins(draw) or 0) * _STEP_MS
        found: Plain = {first: duration_text(begins_ms * _MS_US)} if begins_ms else {}
        if always_ends or draw(ends):
            found[last] = duration_text((begins_ms + lasts(draw) * _STEP_MS) * _MS_US)
        return found

    return word


def moments() -> Word:
    """A time in the life of a scenario, early rather than late."""
    tenths = scaled(*_SCALES)
    return lambda draw: duration_text(tenths(draw) * _STEP_MS * _MS_US)


def lists_of(word: Word, *, least: int = 0, most: int) -> SearchStrategy[list[Any]]:
    """A few of these. A strategy, so that shrinking takes one out whole."""
    return st.lists(_strategy(word), min_size=least, max_size=most)


@st.composite
def _strategy(draw: DrawFn, word: Word) -> Any:
    return word(draw)
