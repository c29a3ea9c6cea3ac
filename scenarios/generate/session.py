"""What `refgate explore` does: draw, play, tell what broke, keep it, and say what it came to.

Batches are numbered from a seed: the same seed explores the same scenarios, another seed others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from scenarios.checks import all_checks
from scenarios.generate.explore import BATCH, Found, Hunted, Of, batches, explore
from scenarios.model.scenario import to_yaml
from scenarios.report.console import Printer
from scenarios.report.crashfile import FOLDER, keep
from scenarios.report.stopwatch import Stopwatch
from scenarios.report.summary import exit_code
from scenarios.report.words import seconds
from scenarios.sweep import Played
from scenarios.world.doors import Gateway

__all__ = ["Explored", "Wanted", "run_explore"]

_BATCHES_APART = 1_000_000
"""Between the first batches of two seeds: no run is so long that they would meet."""

_TOLD_MAX = 5
"""Failures of one check that are told at length; all are counted."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much to explore: so many examples, or as many as the budget allows if that is fewer."""

    examples: int
    budget_s: float | None = None
    seed: int = 0
    workers: int = 1
    failures: Path = FOLDER
    of: Of = "all"


@dataclass(slots=True)
class Explored:
    """What it came to."""

    examples: int = 0
    requests: int = 0
    virtual_us: int = 0
    wall_s: float = 0.0
    holds: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    failed: list[Played] = field(default_factory=list)

    def add(self, hunted: Hunted) -> None:
        self.examples += hunted.examples
        self.requests += hunted.requests
        self.virtual_us += hunted.virtual_us
        self.holds.update(hunted.holds)
        self.broken.update(one.check for one in hunted.found)
        self.failed += [one.played for one in hunted.found]

    @property
    def exit_code(self) -> int:
        """As of every command: 1 where a promise is broken, 2 where only a check or the world failed."""
        return exit_code(self.failed)

    def untested(self, of: Of) -> list[str]:
        """Promises that no example reached, of those that such examples can reach. Few examples are played
        twice, so that one may be missing."""
        judged = (one for one in all_checks() if of != "tasks" or not one.of_chats)
        return [one.name for one in judged if not self.holds[one.name]]


def run_explore(wanted: Wanted, gateway: Gateway, printer: Printer) -> Explored:
    """Explores as long as wanted, telling each failure as it is found."""
    watch, total = Stopwatch(), Explored()
    first = wanted.seed * _BATCHES_APART
    todo = batches(wanted.examples, gateway, first=first, of=wanted.of)
    with printer.progress(len(todo), f"drawing and playing, {BATCH} at a time"):
        for hunted in explore(todo, workers=wanted.workers, budget_s=wanted.budget_s):
            printer.step()
            total.add(hunted)
            for found in hunted.found:
                _tell(found, total, wanted, printer)
    total.wall_s = watch.seconds()
    speed = total.examples / total.wall_s if total.wall_s else 0.0
    printer.note(
        f"{total.examples} drawn scenarios, {total.requests} requests, {seconds(total.virtual_us)} simulated "
        f"in {total.wall_s:.1f}s ({speed:.1f} a second)"
    )
    if untested := total.untested(wanted.of):
        printer.note(f"untested: {', '.join(untested)}")
    return total


def _tell(found: Found, total: Explored, wanted: Wanted, printer: Printer) -> None:
    kept = keep(found.scenario, found.played, folder=wanted.failures)
    if total.broken[found.check] > _TOLD_MAX:
        printer.note(f"{found.check} again: refgate replay {kept}")
        return
    printer.failure(found.played, again=f"refgate replay {kept}")
    printer.console.print(to_yaml(found.scenario), markup=False)
