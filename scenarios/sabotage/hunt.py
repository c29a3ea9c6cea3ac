"""The search for a witness: which scenario and seed shows a sabotage, and which check says so.

Scenarios that name the hazard come first, with every seed, then all others; of each, those that require the
broken promise to be judged. A check must call the promise broken that the sabotage breaks: an unmet
expectation, a crash or an unsound run proves nothing. What is found is played once more with the honest
gateway; whom a check accuses there disproves the check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scenarios.checks import Verdict
from scenarios.load import Loaded
from scenarios.reference import Reference
from scenarios.run import Run, play
from scenarios.sabotage.registry import named
from scenarios.sabotage.swap import Sabotage, applied
from scenarios.world.faults import DoesNotStart

__all__ = ["Catch", "Hunt", "Hunted", "hunt", "hunted"]


@dataclass(frozen=True, slots=True)
class Catch:
    """Where a sabotage was seen. `accused`: checks that say the same of the honest gateway."""

    scenario: str
    seed: int
    check: str
    sentence: str
    accused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hunt:
    """A search to be made: which sabotage, over which files in this order of preference, how far."""

    sabotage: str
    files: tuple[Loaded, ...]
    seeds: int


@dataclass(frozen=True, slots=True)
class Hunted:
    """What a search came to. `seeds` were tried, in `runs`; `others` complained, and are no proof."""

    sabotage: str
    catch: Catch | None
    seeds: int
    runs: int
    others: tuple[str, ...] = ()

    @property
    def caught(self) -> bool:
        return self.catch is not None and not self.catch.accused


def hunted(task: Hunt) -> Hunted:
    """The search, for another process to make."""
    return hunt(named(task.sabotage), task.files, seeds=task.seeds)


def hunt(sabotage: Sabotage, files: Sequence[Loaded], *, seeds: int) -> Hunted:
    """Plays until a witness speaks, or there is nothing more to play."""
    runs = tried = 0
    others: dict[str, None] = {}
    for tried, file, seed in _places(sabotage, files, seeds):
        runs += 1
        run = _sabotaged(sabotage, file, seed)
        broken = () if run is None else run.broken
        witness = next((one for one in broken if one.check in sabotage.witnesses), None)
        if witness is not None:
            catch = Catch(file.name, seed, witness.check, witness.sentence, _accused(file, seed))
            return Hunted(sabotage.name, catch, tried, runs, tuple(others))
        others.update((one.check, None) for one in broken)
    return Hunted(sabotage.name, None, tried, runs, tuple(others))


def _places(sabotage: Sabotage, files: Sequence[Loaded], seeds: int) -> Iterator[tuple[int, Loaded, int]]:
    """How many seeds have been begun by then, the file, the seed."""
    likely = sorted(files, key=lambda one: not set(sabotage.witnesses) & set(one.scenario.judge.require))
    first = [one for one in likely if sabotage.hazard in one.scenario.hazards]
    rest = [one for one in likely if sabotage.hazard not in one.scenario.hazards]
    begun = 0
    for group in (first, rest):
        for seed in range(seeds):
            begun += bool(group)
            for file in group:
                yield begun, file, seed


def _sabotaged(sabotage: Sabotage, file: Loaded, seed: int) -> Run | None:
    try:
        with applied(sabotage):
            return play(file.scenario, seed, gateway=Reference())
    except DoesNotStart:
        return None  # a gateway that cannot even start has no hazard


def _accused(file: Loaded, seed: int) -> tuple[str, ...]:
    """Checks that find fault with the honest gateway, or fail themselves, in the very same run."""
    findings = play(file.scenario, seed, gateway=Reference()).findings
    return tuple(one.check for one in findings if one.verdict in (Verdict.BROKEN, Verdict.ERROR))
