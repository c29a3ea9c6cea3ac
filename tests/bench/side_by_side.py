"""Real sockets: a gateway on one core against nothing, against two bare proxies, and `refgate serve`.

The variants take turns, round after round, in one run; figures are medians of the rounds. The gateway has
a core of its own where the machine has two; provider and callers, each a process, share what is left. CPU
is the process's own, read from its clock around each turn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tests.bench.load import Heard, Order
from tests.bench.served import started

__all__ = ["CALLERS", "Figures", "Turn", "measure", "taken"]

CALLERS = (1, 16, 64)
_WARM_S_MAX = 0.5


@dataclass(frozen=True)
class Turn:
    """One thing that is measured."""

    variant: str  # direct httpx aiohttp refgate
    callers: int
    stream: bool


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds. `cpu_us` is for each call; 0 where there is no gateway."""

    cpu_us: float
    p50_us: float
    p99_us: float
    first_us: float
    per_s: float


class _Load:
    """The process that asks."""

    def __init__(self) -> None:
        self._process = _python("-m", "tests.bench.load", stdin=subprocess.PIPE)
        _pin(self._process.pid, gateway=False)

    def carry_out(self, order: Order) -> Heard:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(asdict(order)) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise SystemExit("the load generator gave up: see above")
        return Heard(**json.loads(line))

    def end(self) -> None:
        _end(self._process)


@dataclass
class _Target:
    port: int
    pid: int | None


def measure(*, rounds: int, seconds: float, callers: tuple[int, ...] = CALLERS) -> dict[Turn, Figures]:
    """Starts everything, lets the variants take turns, and stops everything."""
    with _targets() as targets:
        load = _Load()
        try:
            turns = [
                Turn(variant, count, stream)
                for stream in (False, True)
                for count in callers
                for variant in targets
            ]
            for variant, target in targets.items():
                for stream in (False, True):
                    load.carry_out(Order(target.port, max(callers), stream, min(seconds, _WARM_S_MAX)))
                print(f"  {variant} is warm", file=sys.stderr)
            heard: dict[Turn, list[Figures]] = {turn: [] for turn in turns}
            for number in range(rounds):
                for turn in turns:
                    heard[turn].append(taken(load, targets[turn.variant], turn, seconds))
                print(f"  round {number + 1} of {rounds}", file=sys.stderr)
        finally:
            load.end()
    return {turn: _median(figures) for turn, figures in heard.items()}


def taken(load: _Load, target: _Target, turn: Turn, seconds: float) -> Figures:
    """One turn."""
    before = 0 if target.pid is None else _cpu_ns(target.pid)
    heard = load.carry_out(Order(target.port, turn.callers, turn.stream, seconds))
    after = 0 if target.pid is None else _cpu_ns(target.pid)
    return Figures(
        cpu_us=(after - before) / 1000 / heard.answers,
        p50_us=heard.p50_us,
        p99_us=heard.p99_us,
        first_us=heard.first_p50_us,
        per_s=heard.answers / heard.wall_s,
    )


def _median(rounds: list[Figures]) -> Figures:
    columns = zip(*(asdict(one).values() for one in rounds), strict=True)
    return Figures(*(statistics.median(column) for column in columns))


@contextmanager
def _targets() -> Iterator[dict[str, _Target]]:
    """What is asked, by variant."""
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="refgate-bench-") as folder:
        try:
            upstream = _python("-m", "tests.bench.upstream")
            processes.append(upstream)
            _pin(upstream.pid, gateway=False)
            port = _said_port(upstream.stdout)
            url = f"http://127.0.0.1:{port}"
            targets = {"direct": _Target(port, None)}
            for kind in ("httpx", "aiohttp"):
                proxy = _python("-m", "tests.bench.proxies", kind, url)
                processes.append(proxy)
                targets[kind] = _Target(_said_port(proxy.stdout), proxy.pid)
            gateway, port = started(url, Path(folder))
            processes.append(gateway)
            targets["refgate"] = _Target(port, gateway.pid)
            for target in targets.values():
                if target.pid is not None:
                    _pin(target.pid, gateway=True)
            yield targets
        finally:
            for process in processes:
                _end(process)


def _python(*arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *arguments], stdin=stdin, stdout=subprocess.PIPE, text=True)


def _said_port(out: IO[str] | None) -> int:
    assert out is not None
    line = out.readline()
    if not line:
        raise SystemExit("a process of the bench did not start: see above")
    return int(line)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _pin(pid: int, *, gateway: bool) -> None:
    """The first core for the gateway, the others for the rest; nothing where that cannot be."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[:1] if gateway else cores[1:])


def _cpu_ns(pid: int) -> int:
    """What a process has used of the CPU, all its threads: its own clock, as the kernel numbers it."""
    return time.clock_gettime_ns(((~pid) << 3) | 2)
