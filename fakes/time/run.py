"""One run in virtual time: a fresh loop, the leaks closed around it, an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TypeVar

from fakes.time.collector import Collector
from fakes.time.errors import SimulationError, Unhandled
from fakes.time.loop import SimLoop
from fakes.time.options import Options
from fakes.time.owners import OWNER
from fakes.time.seals import sealed
from fakes.time.tasks import SimTask

__all__ = ["run_virtual"]

_T = TypeVar("_T")

_DEFAULTS = Options()
_ROUNDS_MAX = 16
_CLOSE_TRIES = 3


def run_virtual(main: Callable[[], Awaitable[_T]], *, seed: int = 0, options: Options = _DEFAULTS) -> _T:
    """Run `main()` to its end in virtual time, and return what it returns.

    Ends as `asyncio.run` does: what still runs is cancelled and awaited. Raises what `main` raises;
    else `OutsideWorld` if anything was refused, `Unhandled` if anything failed and nobody looked.
    """
    with Collector() as collector:
        return _run(main, SimLoop(seed, options, collector), collector)


def _run(main: Callable[[], Awaitable[_T]], loop: SimLoop, collector: Collector) -> _T:
    # A frame of its own: when it is gone, so is the world, and the collector's last round finds it.
    try:
        with sealed(loop):
            try:
                result = _play(loop, main)
            finally:
                _bury(loop, collector)
    finally:
        loop.close()
    _judge(loop)
    return result


def _play(loop: SimLoop, main: Callable[[], Awaitable[_T]]) -> _T:
    async def entry() -> _T:
        return await main()

    task = loop.create_task(entry(), name="main")
    try:
        result: _T = loop.run_until_complete(task)
    except BaseException as error:
        # A task that is done failed by itself; else the loop gave up, and no step may follow.
        if task.done():
            try:
                _wind_down(loop)
            except SimulationError as late:
                error.add_note(f"[and when the rest was cancelled: {late}]")
        for other in (*loop.refusals, *loop.unhandled):
            if other is not error:
                error.add_note(f"[in the same run: {type(other).__name__}: {other}]")
        raise
    _wind_down(loop)
    return result


def _wind_down(loop: SimLoop) -> None:
    """Cancel what still runs and let it end; then close the generators left open."""
    for _ in range(_ROUNDS_MAX):
        if loop.idle() and not loop.pending():
            break
        loop.run_until_complete(loop.create_task(_cancel_all(loop), name="wind-down"))
    else:
        names = ", ".join(task.get_name() for task in loop.pending())
        raise SimulationError(f"main is over, and yet tasks start other tasks for ever: {names}")
    loop.run_until_complete(loop.create_task(loop.shutdown_asyncgens(), name="wind-down"))
    for task in loop.tasks():
        if task.done() and task._log_traceback:
            loop.call_exception_handler(
                {
                    "message": "the exception of this task was never retrieved",
                    "exception": task.exception(),
                    "task": task,
                }
            )


async def _cancel_all(loop: SimLoop) -> None:
    tasks = [task for task in loop.pending() if task is not asyncio.current_task()]
    for task in tasks:
        if task not in loop.closers:
            task.cancel()
    for task, result in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            loop.call_exception_handler(
                {
                    "message": "a task failed when it was cancelled at the end",
                    "exception": result,
                    "task": task,
                }
            )


def _bury(loop: SimLoop, collector: Collector) -> None:
    """Destroy what is still suspended, now, so that none of it reaches into the next run.

    Python can only end a coroutine by running its `finally` blocks. They run here: after the
    history, with the loop closed and the ports dead, and whatever they say reaches nobody.
    """
    suspended = [task for task in loop.tasks() if not task.done()]
    if not suspended and not loop.grave:
        return
    loop.set_exception_handler(lambda *_: None)
    hook = sys.unraisablehook
    sys.unraisablehook = lambda *_: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop.close()
            for task in suspended:
                _close(task)
            suspended.clear()
            loop.grave.clear()
            collector.everything()
    finally:
        sys.unraisablehook = hook


def _close(task: SimTask) -> None:
    coro = task.get_coro()
    context = Context()
    context.run(OWNER.set, task.owner)
    for _ in range(_CLOSE_TRIES):
        try:
            context.run(coro.close)
            return
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            continue  # the last words of a dead process reach nobody


def _judge(loop: SimLoop) -> None:
    if loop.refusals:
        raise loop.refusals[0]
    if loop.unhandled:
        raise Unhandled("failed in the run, and nobody looked", loop.unhandled)
