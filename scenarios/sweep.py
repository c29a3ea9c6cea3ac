"""Many runs: files × seeds, in this process or in several, always in the same order.

A job is one scenario with one seed; what comes back is light enough to cross a process border. The first
seed of each scenario is played twice and compared line by line: that is the check `deterministic`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scenarios.checks import Breach, Finding, Verdict, same_history
from scenarios.expect import Expectation
from scenarios.gateways import NoSuchGateway
from scenarios.history import Unapplied
from scenarios.model.scenario import Expect, Fault, Scenario
from scenarios.report.stopwatch import Stopwatch
from scenarios.run import DETERMINISTIC, Numbers, Run, play
from scenarios.workers import in_order
from scenarios.world.doors import Gateway
from scenarios.world.faults import DoesNotStart

__all__ = [
    "Job",
    "Played",
    "compare",
    "play_job",
    "played",
    "refusal",
    "sweep",
]


@dataclass(frozen=True, slots=True)
class Job:
    """One scenario, one seed. `label` names what is special about this run, such as a crash's place.

    `digest` asks for the history's: it costs a twentieth of a run, and not everybody compares.
    """

    name: str
    path: str | None
    scenario: Scenario
    seed: int
    gateway: Gateway
    twice: bool = False
    expect: bool = True
    digest: bool = True
    faults: tuple[Fault, ...] | None = None
    label: str = ""

    @property
    def compared(self) -> bool:
        """Whether this run is judged by what another one of the same is like."""
        return self.twice and DETERMINISTIC not in self.scenario.judge.skip

    @property
    def as_played(self) -> Scenario:
        """The scenario with the faults it is really played with, and the expectations it is held to."""
        played: dict[str, object] = {} if self.faults is None else {"faults": self.faults}
        if not self.expect:
            played["expect"] = Expect()
        return self.scenario.model_copy(update=played) if played else self.scenario


@dataclass(frozen=True, slots=True)
class Played:
    """What a job came to."""

    name: str
    path: str | None
    seed: int
    label: str
    findings: tuple[Finding, ...]
    expectations: tuple[Expectation, ...]
    faulty_checks: tuple[Finding, ...]
    unapplied: tuple[str, ...]
    digest: str
    trace: str
    steps: int
    virtual_us: int
    requests: int
    wall_s: float
    numbers: Numbers
    refused: str | None = None  # the gateway's configuration was not accepted: nothing was played

    @property
    def fingerprint(self) -> str:
        """Equal for runs that are the same: of every fact, and of every step."""
        return f"{self.digest}/{self.trace}"

    @property
    def broken(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.verdict is Verdict.BROKEN)

    @property
    def unmet(self) -> tuple[Expectation, ...]:
        return tuple(one for one in self.expectations if not one.holds)

    @property
    def holds(self) -> bool:
        return not (self.broken or self.unmet or self.faulty_checks or self.refused)


def play_job(job: Job) -> Played:
    """Plays one job to its end; never raises for what a scenario or a gateway does."""
    watch = Stopwatch()
    try:
        run = play(job.scenario, job.seed, gateway=job.gateway, faults=job.faults)
    except (DoesNotStart, NoSuchGateway) as refused:
        return refusal(job, str(refused), watch)
    more: tuple[Finding, ...] = ()
    if job.compared:
        again = play(job.scenario, job.seed, gateway=job.gateway, faults=job.faults, judged=False)
        more = (compare(run, again),)
    return played(job, run, watch, more)


def played(job: Job, run: Run, watch: Stopwatch, more: tuple[Finding, ...] = ()) -> Played:
    """What a run came to, without its history; `more` findings are about more than this one run."""
    return Played(
        name=job.name,
        path=job.path,
        seed=job.seed,
        label=job.label,
        findings=(*run.findings, *more),
        expectations=run.expectations if job.expect else (),
        faulty_checks=run.faulty_checks,
        unapplied=tuple(f"{fact.at}: {fact.fault}" for fact in run.history.of(Unapplied)),
        digest=run.digest if job.digest else "",
        trace=run.trace,
        steps=run.steps,
        virtual_us=run.virtual_us,
        requests=run.calls,
        wall_s=watch.seconds(),
        numbers=run.numbers,
    )


def refusal(job: Job, why: str, watch: Stopwatch) -> Played:
    """Nothing was played: the gateway's configuration was not accepted."""
    return Played(
        name=job.name,
        path=job.path,
        seed=job.seed,
        label=job.label,
        findings=(),
        expectations=(),
        faulty_checks=(),
        unapplied=(),
        digest="",
        trace="",
        steps=0,
        virtual_us=0,
        requests=0,
        wall_s=watch.seconds(),
        numbers=Numbers(),
        refused=why,
    )


def compare(one: Run, other: Run) -> Finding:
    """Whether two runs are the same, line by line and step by step."""
    finding = same_history(one.history.lines(), other.history.lines())
    if finding.verdict is Verdict.HOLDS and one.trace != other.trace:
        sentence = f"two runs with seed {one.seed} took different steps to the same history"
        return Finding(finding.check, Verdict.BROKEN, sentence, 1, 1, (Breach(sentence),))
    return finding


def sweep(jobs: Sequence[Job], *, workers: int = 1) -> Iterator[Played]:
    """Every job's outcome, in the order of the jobs, whoever played it."""
    return in_order(play_job, jobs, workers=workers, at_once=max(1, min(8, len(jobs) // (4 * workers))))
