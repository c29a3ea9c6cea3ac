"""What `refgate run` and `refgate replay` do: choose, play, tell, keep what failed, and end with a code.

0: everything holds. 1: something is broken. 2: the input is wrong, or a check failed itself. Which gateway
is played is the caller's choice; the command line hands in the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from scenarios.checks import Finding, Verdict
from scenarios.crashes import crash_jobs
from scenarios.fresh import ELSEWHERE_DIFFERS, judged_elsewhere
from scenarios.gateways import NoSuchGateway
from scenarios.load import Loaded
from scenarios.model.scenario import Scenario
from scenarios.report.console import Printer
from scenarios.report.crashfile import FOLDER, Kept, keep
from scenarios.report.files import as_json, as_junit, unwritable, write_json, write_junit
from scenarios.report.stopwatch import Stopwatch
from scenarios.report.summary import FileSum, Sum
from scenarios.run import DETERMINISTIC, play
from scenarios.sweep import Job, Played, compare, played, refusal, sweep
from scenarios.world.doors import Gateway
from scenarios.world.faults import DoesNotStart

__all__ = ["SEEDS", "Wish", "replay", "run"]

SEEDS = 5
"""Seeds for each file, where nobody says how many."""

_KEPT_MAX = 20
"""Failures of one file that are kept; the twenty-first says nothing new."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How often, how far apart, and where to write what came of it."""

    seeds: int = 1
    seed: int = 0
    workers: int = 1
    crash_everywhere: bool = False
    fresh: bool = False
    json: Path | None = None
    junit: Path | None = None
    failures: Path = FOLDER


def run(files: Sequence[Loaded], wish: Wish, gateway: Gateway, printer: Printer) -> int:
    """Every file with every seed; answers the exit code."""
    for path in (wish.json, wish.junit):
        why = unwritable(path) if path is not None else None
        if why is not None:
            printer.note(f"nothing was played: {why}")
            return 2
    watch, total = Stopwatch(), Sum()
    everything: list[Played] = []
    compared = wish.fresh or wish.json is not None
    jobs = [
        Job(one.name, one.path, one.scenario, seed, gateway, twice=seed == wish.seed, digest=compared)
        for one in files
        for seed in range(wish.seed, wish.seed + wish.seeds)
    ]
    if wish.crash_everywhere:
        jobs = _with_crashes(jobs, wish, printer)
    scenarios = {(job.path or job.name, job.seed, job.label): job.as_played for job in jobs}
    with printer.progress(len(jobs), "playing"):
        for file, runs in _by_file(_stepping(sweep(jobs, workers=wish.workers), printer)):
            everything += runs
            for one in runs:
                total.add(one)
            printer.file(total.files[file])
            _tell(file, total.files[file], scenarios, wish, printer)
    if wish.fresh:
        everything = _fresh(jobs, everything, total)
        for file, summed in total.files.items():
            differs = FileSum(summed.name, summed.path, runs=summed.runs)
            differs.failed = [run for run in summed.failed if _differs(run)]
            _tell(file, differs, scenarios, wish, printer)
    printer.summary(total, watch.seconds())
    if wish.json is not None:
        write_json(wish.json, as_json(total, everything, watch.seconds()))
    if wish.junit is not None:
        write_junit(wish.junit, as_junit(everything))
    return total.exit_code()


def _with_crashes(jobs: Sequence[Job], wish: Wish, printer: Printer) -> list[Job]:
    """Each job, followed by one for every place of it where the power may go."""
    found: list[Job] = []
    with printer.progress(len(jobs), "learning the places"):
        once = [replace(job, twice=False, digest=False) for job in jobs]
        for job, one in zip(jobs, _stepping(sweep(once, workers=wish.workers), printer), strict=True):
            places = crash_jobs(job, one.numbers)
            printer.note(f"{job.name}, seed {job.seed}: {len(places)} places for a crash")
            found += [job, *places]
    return found


def _stepping(runs: Iterator[Played], printer: Printer) -> Iterator[Played]:
    for one in runs:
        printer.step()
        yield one


def _by_file(runs: Iterator[Played]) -> Iterator[tuple[str, list[Played]]]:
    for file, group in groupby(runs, key=lambda one: one.path or one.name):
        yield file, list(group)


def _fresh(jobs: Sequence[Job], everything: Sequence[Played], total: Sum) -> list[Played]:
    """The first seed of each file once more in another interpreter; what differs is broken."""
    firsts = [index for index, job in enumerate(jobs) if job.compared]
    findings = judged_elsewhere([jobs[index] for index in firsts], [everything[index] for index in firsts])
    judged = list(everything)
    for index, finding in zip(firsts, findings, strict=True):
        judged[index] = replace(judged[index], findings=(*judged[index].findings, finding))
        total.find(judged[index], finding)
    return judged


def _differs(run: Played) -> bool:
    return any(one.sentence == ELSEWHERE_DIFFERS for one in run.broken)


def _tell(
    file: str, one: FileSum, scenarios: Mapping[tuple[str, int, str], Scenario], wish: Wish, printer: Printer
) -> None:
    """The first failure of a file at length, the others by their commands; the first few are kept."""
    commands: list[tuple[Played, str]] = []
    for index, failed in enumerate(one.failed):
        kept = None
        if failed.refused is None and index < _KEPT_MAX:
            kept = keep(scenarios[file, failed.seed, failed.label], failed, folder=wish.failures)
        commands.append((failed, _again(failed, kept)))
    if commands:
        (first, again), *others = commands
        printer.failure(first, again=again, others=others, held=one.runs - len(one.failed))


def _again(failed: Played, kept: Path | None) -> str:
    if kept is not None:
        return f"refgate replay {kept}"
    return f"refgate run {failed.path or failed.name} --seed {failed.seed}"


def replay(kept: Kept, gateway: Gateway, printer: Printer, *, seed: int | None, timeline: bool) -> int:
    """One failure again; says whether it still is one. `timeline` tells every fact."""
    seed = seed if seed is not None else kept.seed if kept.seed is not None else 0
    for text in kept.differs:
        printer.note(f"another version than when it failed: {text}")
    job, watch = Job(kept.name, None, kept.scenario, seed, gateway), Stopwatch()
    try:
        run = play(kept.scenario, seed, gateway=gateway)
    except (DoesNotStart, NoSuchGateway) as refused:
        printer.failure(refusal(job, str(refused), watch), again="")
        return 2
    if timeline:
        printer.timeline(run.history)
    more: tuple[Finding, ...] = ()
    if DETERMINISTIC in kept.broken:
        more = (compare(run, play(kept.scenario, seed, gateway=gateway, judged=False)),)
        if more[0].verdict is Verdict.HOLDS:  # perhaps only another process plays it differently
            more = tuple(judged_elsewhere([job], [played(job, run, watch)]))
    again = played(job, run, watch, more)
    if again.holds:
        printer.verdict("FIXED" if kept.broken else "HOLDS", kept.name, seed)
        return 0
    printer.failure(again, again="")
    printer.verdict("FAILED", kept.name, seed)
    return 1 if again.broken or again.unmet else 2
