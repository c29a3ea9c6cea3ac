"""The built-in suite and the regressions hold on the reference gateway, and no promise goes unjudged."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from scenarios import gateways
from scenarios.checks import Verdict, all_checks
from scenarios.load import find, load
from scenarios.reference import Reference
from scenarios.sweep import Job, Played, play_job

SUITE = gateways.FOLDER.parent
FILES = find([SUITE])
REGRESSIONS = find([SUITE.parent / "regressions"])
SEEDS = range(1, 4)
TWICE = frozenset({"first/embedded", "first/remote", "crashes/at-an-await", "network/resets"})


def named(path: Path) -> str:
    return str(path.relative_to(SUITE.parent).with_suffix("")).removeprefix("suite/")


def played(path: Path, seed: int, *, twice: bool = False) -> Played:
    loaded = load(path, name=named(path))
    return play_job(Job(loaded.name, loaded.path, loaded.scenario, seed, Reference(), twice=twice))


def trouble(one: Played) -> list[str]:
    """What a person must read: broken promises, unmet expectations, faults that met nothing."""
    broken = [f"{found.check}: {found.sentence}" for found in (*one.broken, *one.faulty_checks)]
    unmet = [f"expected {unmet.what}: {unmet.seen}" for unmet in one.unmet]
    lost = [f"never came: {fault}" for fault in one.unapplied]
    refused = [] if one.refused is None else [f"refused: {one.refused}"]
    return [f"{one.name}, seed {one.seed}: {what}" for what in (*broken, *unmet, *lost, *refused)]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_file_holds(path: Path) -> None:
    """Every promise and every expectation of a file holds with several seeds, and every fault came."""
    assert [what for seed in SEEDS for what in trouble(played(path, seed))] == []


@pytest.mark.parametrize("path", REGRESSIONS, ids=named)
def test_regression_holds(path: Path) -> None:
    """What broke once holds. Such a file was drawn, and a fault of it may find its moment gone."""
    plays = [replace(played(path, seed), unapplied=()) for seed in SEEDS]
    assert [what for one in plays for what in trouble(one)] == []


def test_every_promise_is_judged_somewhere() -> None:
    """Over the whole suite with one seed, each check holds at least once and none is broken: no green is
    empty."""
    verdicts: dict[str, set[Verdict]] = defaultdict(set)
    for path in FILES:
        for finding in played(path, 0, twice=named(path) in TWICE).findings:
            verdicts[finding.check].add(finding.verdict)
    names = {check.name for check in all_checks()}
    assert {name for name in names if Verdict.HOLDS not in verdicts[name]} == set()
    assert {name for name, seen in verdicts.items() if seen & {Verdict.BROKEN, Verdict.ERROR}} == set()
