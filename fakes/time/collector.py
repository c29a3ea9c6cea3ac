"""Garbage collection at fixed steps.

Python collects cycles when enough objects were made, counted over the whole process: an abandoned
async generator in a cycle is then closed at another step in each run. Here collection is off during
a run and done after so many steps, over the objects of this run only: what was there before is set
aside (`gc.freeze`), which costs nothing and keeps a collection as cheap as the run is young.
"""

from __future__ import annotations

import gc

__all__ = ["Collector"]

_YOUNG_STEPS = 4_096
_MIDDLE_EVERY = 16
_FULL_STEPS_MIN = 262_144


class Collector:
    """Owns the process's collector for the length of one run."""

    def __init__(self) -> None:
        self._was_enabled = False
        self._froze = False
        self._young_at = _YOUNG_STEPS
        self._full_at = _FULL_STEPS_MIN
        self._rounds = 0

    def __enter__(self) -> Collector:
        self._was_enabled = gc.isenabled()
        gc.disable()
        # Someone else's frozen objects could not be told from ours at the end.
        self._froze = gc.get_freeze_count() == 0
        if self._froze:
            gc.freeze()
        return self

    def __exit__(self, *_: object) -> None:
        if self._froze:
            gc.collect()  # this run's garbage only; thawed, it would wait for a rare full round
            gc.unfreeze()
        if self._was_enabled:
            gc.enable()

    def at_step(self, steps: int) -> None:
        """Collect if it is time, counted in steps: the old generation more rarely as the run grows."""
        if steps < self._young_at:
            return
        self._young_at = steps - steps % _YOUNG_STEPS + _YOUNG_STEPS
        self._rounds += 1
        if steps >= self._full_at:
            self._full_at = 2 * steps  # so all full rounds together cost twice the last
            gc.collect()
        elif self._rounds % _MIDDLE_EVERY == 0:
            gc.collect(1)
        else:
            gc.collect(0)

    def everything(self) -> None:
        """Collect all that this run made and dropped."""
        gc.collect()
