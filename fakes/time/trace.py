"""The trace of a run: each step as (time, what ran), folded into one digest.

Two runs with one digest took the same steps at the same times. Labels hold no addresses and no
module names, for a script's module is called `__main__` when it is run and otherwise when it is
imported. Costs one number per step; names are written once. Knows nothing of the loop.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

__all__ = ["Trace"]


class Trace:
    """Marks appended to `marks`: a task 2n, a callback 2n+1, and -(now+1) where time has moved."""

    def __init__(self) -> None:
        self.marks = array("q")
        self._steps = blake2b(digest_size=16)
        self._names = blake2b(digest_size=16)
        self._new: list[str] = []
        self.callbacks: dict[str | None, int] = {}

    def task(self, number: int, coro: object, name: str, owner: object) -> int:
        """The mark for the steps of a new task."""
        # anyio names tasks by module and function: only the last word is the same everywhere.
        self._new.append(f"{number} {_qualname(coro)} {name.rpartition('.')[2]} {owner}\n")
        return number * 2

    def callback(self, callback: Callable[..., Any]) -> int:
        """The mark for a step that is no task's."""
        name = _qualname(callback)
        mark = self.callbacks.get(name)
        if mark is None:
            mark = self.callbacks[name] = len(self.callbacks) * 2 + 1
            self._new.append(f"{mark} {name}\n")
        return mark

    def fold(self) -> None:
        """Take what is new into the digest, so that it needs no memory."""
        self._steps.update(self.marks)
        del self.marks[:]
        self._names.update("".join(self._new).encode("utf-8", "backslashreplace"))
        self._new.clear()

    def digest(self) -> str:
        """The whole trace so far, as hex. Asking does not change it."""
        self.fold()
        return blake2b(self._steps.digest() + self._names.digest(), digest_size=16).hexdigest()

    def names(self) -> dict[int, str]:
        """What the odd marks stand for."""
        return {mark: str(name) for name, mark in self.callbacks.items()}


def _qualname(what: object) -> str:
    while isinstance(what, functools.partial):
        what = what.func
    name = getattr(what, "__qualname__", None)
    return name if isinstance(name, str) else type(what).__qualname__
