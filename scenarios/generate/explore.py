"""Plays drawn scenarios by the thousand, over processes, and shrinks what breaks to the smallest.

Batches are of tasks or of chats, and numbered: the same number draws the same scenarios again, in processes
that have loaded the same code (Hypothesis also draws the constants it finds there). A batch ends at its first
failure, which Hypothesis shrinks, once for each check that is broken; the others go on. One example in
sixteen is played twice and compared line by line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity

from scenarios.checks import Verdict
from scenarios.generate.chat_whole import chats
from scenarios.generate.whole import scenarios, seeds
from scenarios.model.scenario import Scenario, to_yaml
from scenarios.report.crashfile import FOLDER, keep
from scenarios.report.stopwatch import Stopwatch
from scenarios.sweep import Job, Played, play_job, refusal
from scenarios.workers import in_order
from scenarios.world.doors import Gateway

__all__ = [
    "BATCH",
    "Batch",
    "Broken",
    "Found",
    "Hunted",
    "Of",
    "batches",
    "example",
    "explore",
    "hunt",
    "tell",
    "wrong",
]

BATCH = 9
"""Examples of one batch. With the first, which is always the simplest of all and is not played, it is ten:
so many Hypothesis draws independently of each other, before it goes over to variations of what it had."""

Of = Literal["tasks", "chat", "all"]
"""What is drawn: scenarios of tasks, of chats, or one batch of each in turn."""

_TWICE_IN = 16


class Broken(AssertionError):
    """A drawn scenario broke a promise, and the gateway is not meant to."""


@dataclass(frozen=True, slots=True)
class Batch:
    number: int
    examples: int
    gateway: Gateway
    of: Literal["tasks", "chat"] = "tasks"


@dataclass(frozen=True, slots=True)
class Found:
    """The smallest scenario found that breaks this check."""

    check: str
    scenario: Scenario
    played: Played


@dataclass(slots=True)
class Hunted:
    """What one batch came to. `plays` counts the runs that shrinking took as well."""

    number: int
    examples: int = 0
    plays: int = 0
    requests: int = 0
    virtual_us: int = 0
    wall_s: float = 0.0
    holds: Counter[str] = field(
        default_factory=Counter
    )  # check → in how many examples it had something to judge
    found: tuple[Found, ...] = ()


def example(scenario: Scenario, seed: int, gateway: Gateway) -> Played:
    """One example played and judged. Whatever goes wrong in playing it is an outcome too."""
    name = f"drawn-{blake2b(to_yaml(scenario).encode(), digest_size=4).hexdigest()}"
    job = Job(name, None, scenario, seed, gateway, twice=seed % _TWICE_IN == 0)
    watch = Stopwatch()
    try:
        return play_job(job)
    except Exception as error:  # A world that cannot play a valid scenario is a finding like any other.
        return refusal(job, f"{type(error).__name__}: {error}", watch)


def wrong(played: Played) -> tuple[str, str] | None:
    """The first check that is broken, and its sentence; None where all is well."""
    if played.refused is not None:
        return "not-played", played.refused
    bad = next(iter((*played.broken, *played.faulty_checks)), None)
    return None if bad is None else (bad.check, bad.sentence)


@cache
def _broken(check: str) -> type[Broken]:
    """A class for each check: Hypothesis then shrinks each by itself, and does not slip to another."""
    return type(f"Broken[{check}]", (Broken,), {})


def hunt(batch: Batch) -> Hunted:
    """Draws and plays one batch."""
    hunted, watch = Hunted(batch.number), Stopwatch()
    found: dict[str, Found] = {}
    first = True

    @hypothesis.seed(batch.number)
    @hypothesis.settings(
        max_examples=batch.examples + 1,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @hypothesis.given(chats() if batch.of == "chat" else scenarios(), seeds())
    def holds(scenario: Scenario, seed: int) -> None:
        nonlocal first
        if first:
            first = False
            return
        played = example(scenario, seed, batch.gateway)
        hunted.plays += 1
        if not found:
            hunted.examples += 1
            hunted.requests += played.requests
            hunted.virtual_us += played.virtual_us
            hunted.holds.update(one.check for one in played.findings if one.verdict is Verdict.HOLDS)
        trouble = wrong(played)
        if trouble is not None:
            found[trouble[0]] = Found(trouble[0], scenario, played)  # the last one is the smallest
            raise _broken(trouble[0])(trouble[1])

    try:
        holds()
    except (Broken, ExceptionGroup, hypothesis.errors.Flaky):
        assert found
    return replace(hunted, found=tuple(found.values()), wall_s=watch.seconds())


def tell(found: Found, *, folder: Path = FOLDER) -> str:
    """Keeps the failure as a file, and says what a person needs: what broke, the file, and how to see it."""
    kept = keep(found.scenario, found.played, folder=folder)
    trouble = wrong(found.played)
    return (
        f"{found.check}: {'' if trouble is None else trouble[1]}\n\n{to_yaml(found.scenario)}\n"
        f"again, with seed {found.played.seed}: refgate replay {kept}"
    )


def batches(examples: int, gateway: Gateway, *, first: int = 0, of: Of = "tasks") -> list[Batch]:
    """So many examples in batches, numbered from `first`; of all, every other batch is of chats."""
    whole, rest = divmod(examples, BATCH)
    sizes = [BATCH] * whole + ([rest] if rest else [])
    if of != "all":
        return [Batch(first + number, size, gateway, of) for number, size in enumerate(sizes)]
    turns: tuple[Literal["tasks", "chat"], ...] = ("tasks", "chat")
    return [Batch(first + number // 2, size, gateway, turns[number % 2]) for number, size in enumerate(sizes)]


def explore(todo: Sequence[Batch], *, workers: int = 1, budget_s: float | None = None) -> Iterator[Hunted]:
    """Every batch's outcome, in order, as long as the budget lasts."""
    watch = Stopwatch()
    with closing(in_order(hunt, todo, workers=workers)) as hunts:
        for hunted in hunts:
            yield hunted
            if budget_s is not None and watch.seconds() > budget_s:
                return
