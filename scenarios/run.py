"""One scenario, one seed, one run: build, play, calm down, settle, look, judge.

The order is always the same: the replicas start; clients and timeline play; the faults end (`Calm`);
everything may settle, as long as the scenario allows; one plain call per provider of tasks and per model
shows that the gateway is alive; the read API is read to its end; the history is judged. Everything is
decided by the scenario, the seed and the gateway: the same three give the same history, line by line.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from fakes.journal import Journal, JournalFull
from fakes.tasks import TaskProvider
from fakes.time import Options, SimulationError, current_loop, run_virtual
from scenarios import gateways
from scenarios.checks import Finding, Verdict, judge
from scenarios.clients.chats import prepare
from scenarios.declared.gateway import Declared
from scenarios.expect import Expectation, expectations
from scenarios.history import Calm, Ended, History, Sent
from scenarios.model.scenario import DAYS_MAX, Fault, Scenario
from scenarios.sound import sound
from scenarios.world.database import kept
from scenarios.world.doors import Gateway
from scenarios.world.faults import ReplicaDead
from scenarios.world.observe import Unreadable
from scenarios.world.world import World

__all__ = ["DETERMINISTIC", "Numbers", "Run", "play"]

_TROUBLE = (SimulationError, Unreadable, ReplicaDead, JournalFull)
_REST_FIRST_S = 1.0
_REST_MAX_S = 30.0
_PAUSE_LOOK_S = 0.25
_PAUSE_LOOKS_MAX = 240
_LOG_S = 10.0  # what a log of requests may take to be written
DETERMINISTIC = "deterministic"
"""The check that takes two runs: judged by whoever plays both."""

_DAY_US = 24 * 3_600_000_000
_TIME_SPARE_US = 7 * _DAY_US


@dataclass(frozen=True, slots=True)
class Numbers:
    """How much of each replica ran until all had settled: the places that a sweep of crashes goes through."""

    awaits: tuple[int, ...] = ()
    commits: tuple[int, ...] = ()


@dataclass(frozen=True)
class Run:
    """What came of one run."""

    scenario: Scenario
    seed: int
    history: History
    findings: tuple[Finding, ...]
    expectations: tuple[Expectation, ...]
    steps: int
    virtual_us: int
    trace: str  # the digest of every step the loop took
    numbers: Numbers = field(default=Numbers())

    @property
    def digest(self) -> str:
        return self.history.digest()

    @property
    def calls(self) -> int:
        """Requests that clients sent."""
        return len(self.history.of(Sent))

    @property
    def broken(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.verdict is Verdict.BROKEN)

    @property
    def unmet(self) -> tuple[Expectation, ...]:
        return tuple(one for one in self.expectations if not one.holds)

    @property
    def faulty_checks(self) -> tuple[Finding, ...]:
        """Checks that failed themselves, and required ones that had nothing to judge."""
        required = self.scenario.judge.require
        return tuple(
            one
            for one in self.findings
            if one.verdict is Verdict.ERROR or (one.verdict is Verdict.UNTESTED and one.check in required)
        )

    @property
    def holds(self) -> bool:
        return not (self.broken or self.unmet or self.faulty_checks)


def play(
    scenario: Scenario,
    seed: int,
    *,
    gateway: Gateway,
    faults: tuple[Fault, ...] | None = None,
    judged: bool = True,
) -> Run:
    """Play a scenario with a seed. `faults` stand in for its own; not `judged`: the history is enough."""
    if faults is not None:
        scenario = scenario.model_copy(update={"faults": faults})
    prepare(scenario.traffic)
    journal = Journal()
    options = Options(
        schedule=scenario.schedule.order,
        step_cost_us=scenario.schedule.step_cost,
        time_max_us=_time_max_us(scenario),
    )
    with (
        tempfile.TemporaryDirectory(prefix="refgate-", dir=_memory()) as folder,
        kept(str(Path(folder) / "store.sqlite")) as store,
    ):
        stage = _Stage(scenario, gateway, journal, store)
        trouble = stage.run(seed, options)
    journal.record(Ended(t_us=stage.now_us, at="world", trouble=trouble))
    history = History(journal)
    findings: tuple[Finding, ...] = ()
    expected: tuple[Expectation, ...] = ()
    if judged:
        skip = {*scenario.judge.skip, DETERMINISTIC}
        findings = (*judge(history, _declared(scenario), skip=skip), sound(history))
        expected = expectations(scenario.expect, history)
    return Run(
        scenario=scenario,
        seed=seed,
        history=history,
        findings=findings,
        expectations=expected,
        steps=stage.steps,
        virtual_us=stage.now_us,
        trace=stage.trace,
        numbers=stage.numbers,
    )


class _Stage:
    """One run in the making: what must be known of it even if it ends badly."""

    def __init__(self, scenario: Scenario, gateway: Gateway, journal: Journal, store: str) -> None:
        self.now_us = 0
        self.steps = 0
        self.trace = ""
        self.numbers = Numbers()
        self._scenario = scenario
        self._gateway = gateway
        self._journal = journal
        self._store = store

    def run(self, seed: int, options: Options) -> str | None:
        """Plays; answers what went wrong with the run itself, if anything did."""
        try:
            run_virtual(self._main, seed=seed, options=options)
        except _TROUBLE as broken:
            return f"{type(broken).__name__}: {broken}"
        except ExceptionGroup as broken:
            known = broken.subgroup(_TROUBLE)
            if known is None or len(known.exceptions) != len(broken.exceptions):
                raise
            return "; ".join(f"{type(one).__name__}: {one}" for one in known.exceptions)
        return None

    async def _main(self) -> None:
        loop = current_loop()
        world = World(
            self._scenario, gateway=self._gateway, loop=loop, journal=self._journal, store=self._store
        )
        try:
            await self._play(world)
        finally:
            self.now_us, self.steps, self.trace = loop.now_us, loop.steps, loop.digest()
            world.close()

    async def _play(self, world: World) -> None:
        await world.timeline.start()
        world.count_resources("baseline")
        watching = asyncio.create_task(world.observer.watch_accounts(), name="observer")
        await world.traffic.play()
        await _until(world.scripts_end_us)
        await world.timeline.over(patience_us=self._scenario.settle)
        world.calm()
        self._journal.record(Calm(t_us=world.loop.now_us, at="world"))
        await _settle(world, self._scenario.settle)
        self.numbers = Numbers(
            tuple(replica.awaits for replica in world.replicas),
            tuple(replica.commits for replica in world.replicas),
        )
        await _probe(world)
        await _settle(world, self._scenario.settle)
        watching.cancel()
        await asyncio.sleep(_LOG_S if world.models else 1)
        await _pause(world)
        world.settle_fakes()
        world.count_resources("final")
        await world.observer.everything()
        for replica in world.replicas:
            replica.off()


async def _until(at_us: int) -> None:
    loop = current_loop()
    if at_us > loop.now_us:
        await asyncio.sleep((at_us - loop.now_us) / 1_000_000)


async def _settle(world: World, within_us: int) -> None:
    """Wait until everything has come to rest, looking ever more rarely, at most as long as allowed."""
    until_us = world.loop.now_us + within_us
    pause_s = _REST_FIRST_S
    while world.loop.now_us < until_us and not await world.observer.at_rest():
        await asyncio.sleep(min(pause_s, (until_us - world.loop.now_us) / 1_000_000))
        pause_s = min(2 * pause_s, _REST_MAX_S)


async def _pause(world: World) -> None:
    """Wait for an instant between two questions of the sweep: what it has in hand is no leak.

    A leak outlasts every look, and is counted all the same.
    """
    for _ in range(_PAUSE_LOOKS_MAX):
        if not world.at_work():
            return
        await asyncio.sleep(_PAUSE_LOOK_S)


async def _probe(world: World) -> None:
    """One plain call per provider of tasks, polled to its end, and one per model."""
    async with asyncio.TaskGroup() as group:
        for name, provider in world.providers.items():
            if isinstance(provider, TaskProvider):
                group.create_task(world.traffic.probe(name), name=f"probe {name}")
        for model in world.models:
            group.create_task(world.traffic.chats.probe(model), name=f"probe {model}")


def _time_max_us(scenario: Scenario) -> int:
    """A ceiling far above what the scenario can take by its own bounds."""
    return 3 * scenario.settle + DAYS_MAX * _DAY_US + _TIME_SPARE_US


def _memory() -> str | None:
    """Where a file costs no disk: shared memory where there is any."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None


def _declared(scenario: Scenario) -> Declared:
    grants = scenario.billing.accounts if scenario.billing is not None else None
    return Declared.read(gateways.gateway_config(scenario), grants=grants, epoch_us=Options().epoch_us)
