"""`make bench`: prints the tables. Each figure is the median of rounds in which the variants take turns.

`python -m tests.bench simulated` or `served` measures one half alone.
"""

from __future__ import annotations

import gc
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import process_time

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.bench.bare import bare_chain
from tests.bench.chat import PIECES, bare_chats, chats_through_the_gateway
from tests.bench.gateway import through_the_gateway
from tests.bench.ledger import commits_per_second
from tests.bench.side_by_side import measure
from tests.bench.tables import print_served

_ROUNDS = 5
_CALLS = 1_000
_CHATS = 640
_STREAMS = 320
_SIZES = (1_000, 10_000, 100_000)
_TURN_S = 2.0


def cost_us(play: Callable[[int], int], calls: int) -> float:
    """CPU microseconds for each call that was made."""
    gc.collect()
    started = process_time()
    made = play(calls)
    return (process_time() - started) / made * 1e6


def one_size(calls: int) -> tuple[float, float, float, float, int]:
    """In a process of its own: cost per call, calls and virtual seconds per second, KiB per 1 000 calls."""
    through_the_gateway(200)  # Imports, caches and the allocator's first arenas are not what is measured.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = process_time()
    run = through_the_gateway(calls)
    took = process_time() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return (
        took / run.calls * 1e6,
        run.calls / took,
        run.virtual_us / 1e6 / took,
        grown / run.calls * 1000,
        run.calls,
    )


def in_a_fresh_process(calls: int) -> tuple[float, float, float, float, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", str(calls)], check=True, capture_output=True, text=True
    )
    cost, rate, virtual, memory, made = done.stdout.split()
    return float(cost), float(rate), float(virtual), float(memory), int(made)


def simulated(console: Console) -> None:
    """On the virtual loop: tasks, chats, and tasks as the world grows."""
    bare: list[float] = []
    full: list[float] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("side by side", total=_ROUNDS + len(_SIZES) + 1)
        bare_chain(200)
        through_the_gateway(200)
        for _ in range(_ROUNDS):
            bare.append(cost_us(bare_chain, _CALLS))
            full.append(cost_us(lambda calls: through_the_gateway(calls).calls, _CALLS))
            progress.advance(task)
        sizes = []
        for calls in _SIZES:
            sizes.append(in_a_fresh_process(calls))
            progress.advance(task)
        commits = statistics.median(commits_per_second(2_000) for _ in range(3))
        progress.advance(task)

    a, b = statistics.median(bare), statistics.median(full)
    table = Table(title=f"cost per HTTP call of a client, median of {_ROUNDS} rounds of {_CALLS} calls")
    table.add_column("what")
    table.add_column("CPU µs per call", justify="right")
    table.add_row("(a) bare chain: httpx → Starlette → httpx → Starlette, in memory", f"{a:.0f}")
    table.add_row("(b) full gateway: network, ledger, history, every check", f"{b:.0f}")
    table.add_row("b / a, median of the rounds' ratios", f"{statistics.median(map(_ratio, full, bare)):.2f}")
    console.print(table)
    chats(console)

    table = Table(title="the full gateway as the world grows, each size in a process of its own")
    for name in ("calls", "CPU µs per call", "calls per s", "simulated s per s", "KiB per 1 000 calls"):
        table.add_column(name, justify="right")
    for cost, rate, virtual, memory, made in sizes:
        table.add_row(f"{made}", f"{cost:.0f}", f"{rate:.0f}", f"{virtual:.0f}", f"{memory:.0f}")
    console.print(table)
    console.print(f"ledger: {commits:.0f} commits per second (real file, WAL, synchronous=FULL)")


def chats(console: Console) -> None:
    table = Table(title=f"cost per chat of a client on the virtual loop, median of {_ROUNDS} rounds")
    for name in ("answers", "(a) bare chain, CPU µs", "(b) full gateway, CPU µs", "b / a"):
        table.add_column(name, justify="right")
    for stream, calls in ((False, _CHATS), (True, _STREAMS)):
        bare_chats(64, stream=stream)
        chats_through_the_gateway(64, stream=stream)
        bare: list[float] = []
        full: list[float] = []
        for _ in range(_ROUNDS):
            bare.append(cost_us(lambda calls, stream=stream: bare_chats(calls, stream=stream), calls))
            full.append(
                cost_us(
                    lambda calls, stream=stream: chats_through_the_gateway(calls, stream=stream).calls, calls
                )
            )
        table.add_row(
            f"stream of {PIECES}" if stream else "whole",
            f"{statistics.median(bare):.0f}",
            f"{statistics.median(full):.0f}",
            f"{statistics.median(map(_ratio, full, bare)):.2f}",
        )
    console.print(table)


def served(console: Console) -> None:
    """On real sockets, in processes of their own."""
    figures = measure(rounds=_ROUNDS, seconds=_TURN_S)
    print_served(console, figures, f"median of {_ROUNDS} rounds of {_TURN_S:g} s for each")


def main(halves: list[str]) -> None:
    console = Console()
    for name, half in (("simulated", simulated), ("served", served)):
        if not halves or name in halves:
            half(console)


def _ratio(full: float, bare: float) -> float:
    return full / bare


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].isdecimal():
        print(*one_size(int(sys.argv[1])))
    else:
        main(sys.argv[1:])
