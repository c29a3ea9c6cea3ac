"""What `refgate sabotage` does: choose, hunt, tell, and end with a code.

0: every sabotage is caught, and no check accuses the honest gateway. 1: one survives, or it does. 2: the
input is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from scenarios.load import Loaded
from scenarios.mistakes import BadScenario
from scenarios.report.console import Printer
from scenarios.report.files import write_json
from scenarios.report.stopwatch import Stopwatch
from scenarios.sabotage.hunt import Hunt, Hunted, hunted
from scenarios.sabotage.registry import HAZARDS, all_sabotages
from scenarios.sabotage.report import Row, as_json, show
from scenarios.sabotage.swap import Sabotage
from scenarios.select import chosen
from scenarios.workers import in_order

__all__ = ["SEEDS", "run_sabotage", "wanted"]

SEEDS = 20
"""Seeds for each file, where nobody says how many."""


def run_sabotage(
    hazards: Sequence[str],
    *,
    seeds: int = SEEDS,
    workers: int = 1,
    json: Path | None = None,
    files: Sequence[Loaded] | None = None,
    printer: Printer | None = None,
) -> int:
    """Every sabotage of these hazards (of all, where none is named); answers the exit code.

    `files` are the scenarios that must do the catching; by default, those of the suite.
    """
    printer, watch = printer or Printer(), Stopwatch()
    sabotages, unknown = wanted(hazards)
    if unknown:
        printer.console.print(
            f"no such hazard: {', '.join(unknown)} ({HAZARDS[0]} … {HAZARDS[-1]}, or one face: A8/no-bound)"
        )
        return 2
    try:
        within = tuple(chosen([], None) if files is None else files)
    except BadScenario as bad:
        printer.console.print(str(bad), markup=False)
        return 2
    hunts = [Hunt(one.name, within, seeds) for one in sabotages]
    rows: list[Row] = []
    with printer.progress(len(hunts), "sabotaging"):
        for sabotage, found in zip(sabotages, _all(hunts, workers), strict=True):
            rows.append((sabotage, found))
            printer.step()
    show(printer.console, rows, watch.seconds())
    if json is not None:
        write_json(json, as_json(rows, watch.seconds()))
    return 0 if all(found.caught for _, found in rows) else 1


def wanted(hazards: Sequence[str]) -> tuple[list[Sabotage], list[str]]:
    """The sabotages that these words mean (`A5`, `a5`, `A8/no-bound`), and the words that mean none."""
    every = all_sabotages()
    if not hazards:
        return list(every), []
    words = {word.lower(): word for word in hazards}
    found = [one for one in every if {one.hazard.lower(), one.name.lower()} & set(words)]
    known = {name.lower() for one in every for name in (one.hazard, one.name)}
    return found, [word for lowered, word in words.items() if lowered not in known]


def _all(hunts: Sequence[Hunt], workers: int) -> Iterator[Hunted]:
    """What each hunt came to, in their order, whoever made it."""
    # A sabotage is done to a whole process: each process makes one hunt at a time.
    return in_order(hunted, hunts, workers=workers)
