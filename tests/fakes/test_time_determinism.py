"""The proof of determinism: a world of all known leaks has one history wherever and however often it runs."""

import os
import runpy
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = Path(__file__).parent / "time_leaks.py"
SUPPORTED = ((3, 11), (3, 12), (3, 13))


@cache
def here(seed: int, schedule: str = "fifo") -> list[str]:
    """The history of one run in this process."""
    return run_here(seed, schedule)


def run_here(seed: int, schedule: str = "fifo") -> list[str]:
    # As a module of another name than the script's: labels must not hold it.
    history: Any = runpy.run_path(str(SCRIPT), run_name="time_leaks")["history"]
    lines: list[str] = history(seed, schedule)
    return lines


def run_fresh(python: str, seed: int, schedule: str = "fifo", **environ: str) -> list[str]:
    """The history of one run in a fresh process."""
    done = subprocess.run(
        [python, "-W", "error", str(SCRIPT), str(seed), schedule],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_world_has_something_to_say() -> None:
    """The proof is not empty: cancellations, closings, cuts and draws are all in the history."""
    text = "\n".join(here(1))
    for what in (
        "child 8 has let go",
        "nest 1.1.0",
        "closed 19",
        "replica-2 cut",
        "thread ",
        "future 8",
        "all ",
    ):
        assert what.removeprefix("replica-2 ") in text
    assert len(here(1)) > 250


@pytest.mark.parametrize("schedule", ["fifo", "pick"])
def test_twice_in_one_process(schedule: str) -> None:
    """What earlier runs left in the process, garbage and counters, reaches no later one."""
    first = here(1, schedule)
    assert run_here(2, schedule) != first
    assert run_here(1, schedule) == first


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_in_fresh_processes(hash_seed: str) -> None:
    """Other addresses, other hashes of text, run as `__main__`: the same lines and the same digest."""
    assert run_fresh(sys.executable, 1, PYTHONHASHSEED=hash_seed) == here(1)


def test_in_a_fresh_process_with_seeded_pick() -> None:
    """So with the other schedule."""
    assert run_fresh(sys.executable, 1, "pick", PYTHONHASHSEED="7") == here(1, "pick")


def test_in_optimised_and_development_mode() -> None:
    """Nor do `-X dev` (asyncio's debug mode, other allocators) or `-O` matter."""
    assert run_fresh(sys.executable, 1, PYTHONDEVMODE="1", PYTHONASYNCIODEBUG="1") == here(1)
    assert run_fresh(sys.executable, 1, PYTHONOPTIMIZE="1") == here(1)


def other_pythons() -> list[tuple[tuple[int, int], str]]:
    """The interpreters of other supported versions that this machine has and that start."""
    found = []
    for version in SUPPORTED:
        name = f"python{version[0]}.{version[1]}"
        # Beside the one that made this environment (as pyenv and uv lay them out), or on the path.
        beside = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/{name}"), reverse=True)
        for candidate in (*map(str, beside), shutil.which(name)):
            if version == sys.version_info[:2] or candidate is None:
                continue
            works = subprocess.run([candidate, "-c", ""], capture_output=True, check=False)
            if works.returncode == 0:
                found.append((version, candidate))
                break
    return found


def test_on_other_versions_of_python(tmp_path: Path) -> None:
    """The same history, line by line; only the last line, steps and digest, belongs to a version."""
    pythons = other_pythons()
    if not pythons:
        pytest.skip(f"no other Python of {SUPPORTED} on this machine: nothing was compared")
    # A namespace that holds `fakes.time` alone: other interpreters then need no more than anyio,
    # which is plain Python and is lent from here.
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / "time").symlink_to(ROOT / "fakes" / "time")
    lent = Path(anyio.__file__).parent.parent
    for version, python in pythons:
        path = os.pathsep.join([str(tmp_path), str(lent)])
        lines = run_fresh(python, 1, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
        assert lines[:-1] == here(1)[:-1], f"Python {version} differs"
