"""The same runs in a fresh interpreter with another PYTHONHASHSEED: what the check `deterministic` is for.

Jobs go to the other interpreter pickled, digests come back as JSON. Run as `python -m scenarios.fresh`.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

from scenarios.checks import Breach, Finding, Verdict
from scenarios.run import DETERMINISTIC
from scenarios.sweep import Job, Played, play_job

__all__ = ["ELSEWHERE_DIFFERS", "elsewhere", "judged_elsewhere", "main"]

ELSEWHERE_DIFFERS = "a fresh process with another hash seed has another history"

_TIMEOUT_S = 3600
_OTHER_SEEDS = ("1", "2")


def elsewhere(jobs: Sequence[Job]) -> list[str]:
    """The digest of each job's history and steps, as another interpreter computes them."""
    here = os.environ.get("PYTHONHASHSEED")
    environ = {**os.environ, "PYTHONHASHSEED": next(seed for seed in _OTHER_SEEDS if seed != here)}
    plain = [replace(job, twice=False) for job in jobs]
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.fresh"],
        input=pickle.dumps(plain),
        stdout=subprocess.PIPE,
        env=environ,
        timeout=_TIMEOUT_S,
        check=True,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return [str(one) for one in found]


def judged_elsewhere(jobs: Sequence[Job], played: Sequence[Played]) -> list[Finding]:
    """Whether each run here had the same digest there."""
    findings: list[Finding] = []
    for one, there in zip(played, elsewhere(jobs), strict=True):
        if there == one.fingerprint:
            findings.append(Finding(DETERMINISTIC, Verdict.HOLDS, "the same in a fresh process", judged=1))
        else:
            breach = Breach(ELSEWHERE_DIFFERS)
            findings.append(Finding(DETERMINISTIC, Verdict.BROKEN, ELSEWHERE_DIFFERS, 1, 1, (breach,)))
    return findings


def main() -> None:
    """Reads jobs from stdin, plays them, and prints their digests."""
    jobs: list[Job] = pickle.loads(sys.stdin.buffer.read())
    json.dump([play_job(job).fingerprint for job in jobs], sys.stdout)


if __name__ == "__main__":
    main()
