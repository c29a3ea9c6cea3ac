"""Six sweeps, each longer than a test may be, and a summary of what was really played.

Drawn scenarios of tasks, and as many of chats; the suite with many seeds; a power cut at every await and
commit of the smallest life of a call, with each billing; every file of the suite again in a fresh process
with another hash seed; and the long scenarios of `scenarios/soak`, each twice with one seed. Ends with 1 if
anything broke.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scenarios.generate.session import Wanted, run_explore
from scenarios.load import Loaded
from scenarios.reference import Reference
from scenarios.report.console import Printer
from scenarios.report.stopwatch import Stopwatch
from scenarios.select import chosen
from scenarios.session import Wish
from scenarios.session import run as run_all


@dataclass(frozen=True)
class Size:
    """How long the sweeps are."""

    examples: int  # of tasks, and so many of chats
    seeds: int
    twice: int  # files that are compared with a fresh process; 0: all
    long: bool  # whether the long scenarios are played


FULL = Size(examples=5_000, seeds=20, twice=0, long=True)
SHORT = Size(examples=300, seeds=3, twice=6, long=False)
LONG = Path(__file__).parents[2] / "scenarios" / "soak"
SMALLEST_LIVES = ["first/embedded", "first/remote", "chat/smallest-life"]


@dataclass(frozen=True)
class Line:
    """One sweep's line in the summary."""

    name: str
    plays: int
    requests: int
    failed: int
    wall_s: float

    def __str__(self) -> str:
        verdict = "hold" if not self.failed else f"{self.failed} FAILED"
        played = f"{self.plays:>7} runs {self.requests:>9} requests {self.wall_s:>8.1f}s"
        return f"{self.name:<28} {played}   {verdict}"


def drawn(of: Literal["tasks", "chat"], size: Size, seed: int, workers: int, printer: Printer) -> Line:
    """Whole scenarios, as they come."""
    wanted = Wanted(examples=size.examples, seed=seed, workers=workers, of=of)
    total = run_explore(wanted, Reference(), printer)
    failed = sum(total.broken.values())
    return Line(f"drawn scenarios of {of}", total.examples, total.requests, failed, total.wall_s)


def files(name: str, loaded: list[Loaded], wish: Wish, printer: Printer) -> Line:
    """Files of the suite, as `refgate run` plays them."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        code = run_all(loaded, replace(wish, json=report), Reference(), printer)
        told = json.loads(report.read_text())
    failed = max(told["failed"], int(code != 0))
    return Line(name, len(told["runs"]), told["requests"], failed, watch.seconds())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("form", nargs="?", choices=["short", "full"], default="full")
    parser.add_argument("--examples", type=int, help="how many scenarios of each kind to draw")
    parser.add_argument("--seed", type=int, default=0, help="draw others")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    size = SHORT if asked.form == "short" else FULL
    if asked.examples is not None:
        size = replace(size, examples=asked.examples)
    printer, suite, workers = Printer(), chosen([], None), asked.jobs
    lines = [
        drawn("tasks", size, asked.seed, workers, printer),
        drawn("chat", size, asked.seed, workers, printer),
        files(f"the suite × {size.seeds} seeds", suite, Wish(seeds=size.seeds, workers=workers), printer),
        files(
            "power cut everywhere",
            chosen(SMALLEST_LIVES, None),
            Wish(crash_everywhere=True, workers=workers),
            printer,
        ),
        files(
            "again in a fresh process",
            suite[:: len(suite) // size.twice] if size.twice else suite,
            Wish(fresh=True, workers=workers),
            printer,
        ),
    ]
    if size.long:
        lines += [files(one.name, [one], Wish(workers=workers), printer) for one in chosen([str(LONG)], None)]
    print("\n" + "\n".join(map(str, lines)))
    return int(any(line.failed for line in lines))


if __name__ == "__main__":
    sys.exit(main())
