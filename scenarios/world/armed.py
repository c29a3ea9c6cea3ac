"""Power cuts that wait for their place: the n-th await or the n-th commit of a replica.

Numbers count over all of a replica's incarnations. Cuts nothing itself: it says before which step, and at
which commits, and which cut it was when one has come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from scenarios.world.database import CommitCut

__all__ = ["Armed", "Cuts"]


@dataclass(slots=True, eq=False)
class Armed:
    """A power cut that waits for its place: the await or commit with this number."""

    at: Literal["await", "commit"]
    number: int
    side: Literal["before", "after"]
    fired: Callable[[], None]

    @property
    def where(self) -> str:
        return f"await {self.number}" if self.at == "await" else f"commit {self.number} {self.side}"


@dataclass(slots=True, eq=False)
class Cuts:
    """Those of one replica that have not come yet. `commits` is what its store looks at."""

    waiting: list[Armed] = field(default_factory=list)
    commits: list[CommitCut] = field(default_factory=list)

    def arm(self, armed: Armed) -> None:
        self.waiting.append(armed)
        self._lay()

    def disarm(self) -> list[Armed]:
        """Take all of them back; answers which they were."""
        left, self.waiting = self.waiting, []
        self._lay()
        return left

    def next_await(self) -> int | None:
        """The number of the first await before which to cut."""
        return min((one.number for one in self.waiting if one.at == "await"), default=None)

    def came(self, where: str | None, *, awaits: int) -> Armed | None:
        """Which one it was that cut the power there; where no place is named, just before the await after so
        many. It waits no longer."""
        for one in self.waiting:
            here = one.where == where
            if where is None:
                here = one.at == "await" and one.number <= awaits + 1
            if here:
                self.waiting.remove(one)
                self._lay()
                return one
        return None

    def _lay(self) -> None:
        self.commits[:] = [CommitCut(one.number, one.side) for one in self.waiting if one.at == "commit"]
