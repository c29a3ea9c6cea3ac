"""Crash everywhere: one run to learn the places, then one run for each, with the power cut there.

The places are every await of every replica, and every commit, before and after. The scenario's own
faults stay. Invariants are judged after each; its expectations are not, for a crash may change them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scenarios.model.scenario import Crash
from scenarios.run import Numbers
from scenarios.sweep import Job

__all__ = ["BACK_AFTER", "crash_jobs", "places"]

BACK_AFTER = "2s"


def places(numbers: Numbers) -> Iterator[tuple[str, Crash]]:
    """Every place where the power may go, with its name: `gateway-0 await 17`."""
    for index, awaits in enumerate(numbers.awaits):
        for number in range(1, awaits + 1):
            yield f"gateway-{index} await {number}", _crash(index, at_await=number)
    for index, commits in enumerate(numbers.commits):
        for number in range(1, commits + 1):
            for side in ("before", "after"):
                where = f"gateway-{index} commit {number} {side}"
                yield where, _crash(index, at_commit=number, side=side)


def _crash(index: int, **where: int | str) -> Crash:
    return Crash.model_validate({"crash": f"gateway-{index}", **where, "back_after": BACK_AFTER})


def crash_jobs(job: Job, numbers: Numbers) -> list[Job]:
    """One job for each place that a run of this job went through."""
    return [
        replace(job, label=label, faults=(*job.scenario.faults, crash), expect=False, twice=False)
        for label, crash in places(numbers)
    ]
