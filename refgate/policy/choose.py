"""Which of several eligible backends: by weight, less often the more it failed of late.

Deterministic given the random stream and the order of the candidates. Does not know what makes a backend
eligible.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Candidate", "choose"]

_HALVINGS_MAX = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """`strikes` are its failures in a row: each halves its share, down to a sixty-fourth and no further,
    so that it is heard of again.
    """

    name: str
    weight: int = 1
    strikes: int = 0

    @property
    def share(self) -> int:
        """Its part in the draw, above zero for every weight above zero."""
        return (self.weight << _HALVINGS_MAX) >> min(self.strikes, _HALVINGS_MAX)


def choose(candidates: Sequence[Candidate], chance: random.Random) -> str | None:
    """The name of one, or None where there are none. One draw, whatever the number of candidates."""
    total = sum(one.share for one in candidates)
    if total <= 0:
        return None
    at = chance.randrange(total)
    for one in candidates:
        at -= one.share
        if at < 0:
            return one.name
    raise AssertionError("a draw below the sum of the shares falls to one of them")
