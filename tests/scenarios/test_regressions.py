"""What was found once stays mended: every file of `scenarios/regressions` holds."""

from pathlib import Path

import pytest

import scenarios
from scenarios.load import find, load
from scenarios.reference import Reference
from scenarios.sweep import Job, play_job

FOLDER = Path(scenarios.__file__).parent / "regressions"
FILES = find([FOLDER])
SEEDS = range(6)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_mended(path: Path) -> None:
    """With several seeds, the first of them played twice."""
    loaded = load(path, name=path.stem)
    for seed in SEEDS:
        one = play_job(Job(loaded.name, loaded.path, loaded.scenario, seed, Reference(), twice=seed == 0))
        assert one.refused is None
        wrong = [f"{found.check}: {found.sentence}" for found in (*one.broken, *one.faulty_checks)]
        assert (seed, wrong) == (seed, [])
        assert (seed, [f"{unmet.what}: {unmet.seen}" for unmet in one.unmet]) == (seed, [])
