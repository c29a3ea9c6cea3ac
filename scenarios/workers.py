"""Several processes, and results in the order of what was asked, whoever was first.

Knows nothing of scenarios but what each process had better import before it is asked anything.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


def in_order(
    function: Callable[[_Asked], _Answer], asked: Sequence[_Asked], *, workers: int, at_once: int = 1
) -> Generator[_Answer, None, None]:
    """What the function makes of each, `at_once` handed over together; in this process where one will do."""
    if workers <= 1 or len(asked) <= 1:
        yield from map(function, asked)
        return
    with ProcessPoolExecutor(
        max_workers=min(workers, len(asked)), mp_context=_interpreters(), initializer=_end_when_interrupted
    ) as pool:
        try:
            yield from pool.map(function, asked, chunksize=at_once)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_when_interrupted() -> None:
    """Ctrl-C reaches every process: one that took it for an exception would go on with the next in line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interpreters() -> multiprocessing.context.BaseContext:
    """Fresh interpreters that have imported everything once, where the system has them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scenarios.sweep", "scenarios.reference"])
    return context
