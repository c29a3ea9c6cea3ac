"""The same history on every supported Python: each found gets an environment from the lock file, and plays.

`python -m tests.pythons [NAME…]` compares this interpreter with every other one of 3.11 to 3.13 on the
machine, file by file of the suite, line by line of the first history that differs. Says so where
there is no other one: that is no pass, and no failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scenarios.load import Loaded
from scenarios.reference import Reference
from scenarios.run import play
from scenarios.select import chosen

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
MINORS = (11, 12, 13)


def interpreters() -> Iterator[tuple[str, str]]:
    """Version and path of every other supported interpreter, one for each version."""
    for minor in MINORS:
        if minor == sys.version_info.minor:
            continue
        name = f"python3.{minor}"
        versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        places = [shutil.which(name), *map(str, sorted(versions.glob(f"3.{minor}.*/bin/{name}")))]
        found = next((place for place in places if place and works(place)), None)
        if found is not None:
            yield f"3.{minor}", found


def works(python: str) -> bool:
    """Whether it starts: a version manager's stand-in may be there without what it stands for."""
    return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0


def environment(version: str, python: str) -> str:
    """An interpreter with what the lock file names; made once, and again when the lock file changed."""
    home = ROOT / ".venv" / "pythons" / version
    ready = home / ".ready"
    lock = ROOT / "requirements.lock"
    inside = home / "bin" / "python"
    if not ready.exists() or ready.stat().st_mtime < lock.stat().st_mtime:
        uv = str(ROOT / ".venv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, str(home)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(inside), "--require-hashes"]
        subprocess.run([*install, "-r", str(lock)], check=True)
        ready.touch()
    return str(inside)


def histories(names: list[str]) -> dict[str, str]:
    return {one.name: play(one.scenario, 0, gateway=Reference()).digest for one in files(names)}


def files(names: list[str]) -> list[Loaded]:
    return list(chosen(names, None))


def told(python: str, *words: str) -> list[str]:
    done = subprocess.run(
        [python, "-m", "tests.pythons", *words], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def lines(name: str) -> list[str]:
    (one,) = files([name])
    return list(play(one.scenario, 0, gateway=Reference()).history.lines())


def main(names: list[str]) -> int:
    ours = histories(names)
    compared = differing = 0
    for version, python in interpreters():
        inside = environment(version, python)
        theirs = dict(line.split(" ") for line in told(inside, "--digests", *names))
        compared += 1
        for name, digest in ours.items():
            if theirs.get(name) == digest:
                continue
            differing += 1
            pairs = zip(lines(name), told(inside, "--lines", name), strict=False)
            first = next(((one, other) for one, other in pairs if one != other), ("(ends)", "(ends)"))
            print(f"{name}: differs on {version}\n  here:  {first[0]}\n  there: {first[1]}")
        print(f"Python {version}: {len(ours)} histories compared with those of 3.{sys.version_info.minor}")
    if not compared:
        print("no other supported Python on this machine: nothing was compared")
    return 1 if differing else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--digests", *chosen_names]:
            for file, history_digest in histories(chosen_names).items():
                print(file, history_digest)
        case ["--lines", only]:
            print("\n".join(lines(only)))
        case chosen_names:
            sys.exit(main(chosen_names))
