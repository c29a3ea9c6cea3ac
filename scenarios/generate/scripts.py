"""How an act of any script is drawn: its window, how often it plays, whom it meets, what it does.

What each act's parameters are stands in the tables of `acts` and `chat_acts`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from hypothesis.strategies import DrawFn

from fakes.acts.play import Play
from fakes.acts.vocabulary import Do
from scenarios.generate.plain import (
    Plain,
    Word,
    chances,
    either,
    fields,
    seldom,
    sometimes,
    whole,
    windows,
)

__all__ = ["OF_ANY", "Matching", "acts_of"]

Matching = Callable[[frozenset[str]], Word]
"""What a request must be, for an act that meets these ops."""

OF_ANY = fields(nonce=seldom(either("n00001", "n0000?", "*2")))
"""What any request may be matched by."""

_COMMON = fields(
    skip=seldom(whole(1, 4)),
    count=sometimes(whole(1, 4)),
    per=seldom(either("identity")),
    chance=seldom(chances()),
)
_WINDOW = windows("from", "until")


def acts_of(do: type[Do], table: Mapping[str, Word], kinds: Collection[str], matching: Matching) -> Word:
    """One act of one of these kinds."""
    kind_of = either(*kinds)

    def word(draw: DrawFn) -> Plain:
        kind = kind_of(draw)
        does = table[kind](draw)
        match = matching(_play_of(do, kind).ops)(draw)
        act: Plain = {**_WINDOW(draw), **_COMMON(draw), **({"match": match} if match else {})}
        if "until" not in act:
            does.pop("ramp_to", None)  # a ramp needs the end of its window
        return {**act, "do": {kind: does}}

    return word


@cache
def _play_of(do: type[Do], kind: str) -> type[Play]:
    """The class of the act that goes by this name."""
    found: Any = next(
        one for one in typing.get_args(do.model_fields[kind].annotation) if one is not type(None)
    )
    assert isinstance(found, type) and issubclass(found, Play)
    return found
