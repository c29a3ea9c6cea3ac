"""The event loop of the simulation: runs the steps, and knows whose each one is.

A subclass of asyncio's own base loop with its own `_run_once`, so that tasks, futures and all that
is built on them run unmodified. `clock` schedules, `generators` and `outside` close two leaks, this
module runs. It knows nothing of networks, stores or providers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextvars import Context
from itertools import count
from typing import Any
from weakref import ref

from fakes.time.collector import Collector
from fakes.time.errors import Deadlock, Livelock, SimulationError, StepsExceeded, TimeExceeded
from fakes.time.handles import SimHandle, SimTimer
from fakes.time.options import Options
from fakes.time.outside import Outside
from fakes.time.owners import OWNER, Owner
from fakes.time.tasks import SimFuture, SimTask
from fakes.time.waiting import describe

__all__ = ["SimLoop", "current_loop"]

_CHECK_STEPS = 1_024
_PRUNE_MIN = 256
_BUSY_SHOWN_MAX = 5


class SimLoop(Outside):
    """An asyncio loop in virtual time, made by `run_virtual`; inside, `current_loop()` finds it."""

    _stopping: bool

    def __init__(self, seed: int, options: Options, collector: Collector) -> None:
        super().__init__(seed, options)
        self.set_exception_handler(_collect)
        self.steps = 0
        self.owners: dict[str, Owner] = {}
        """The latest incarnation of each owner."""
        self.unhandled: list[Exception] = []
        """Failures nobody retrieved; clear it to let the run pass all the same."""
        self.grave: list[object] = []
        """What belonged to the dead: kept until the run is sealed, so that nothing of it runs."""
        self.number_task = count(1).__next__
        self.number_future = count(1).__next__
        self._number_owner = count(1).__next__
        self._collector = collector
        self._tasks: list[ref[SimTask]] = []
        self._tasks_prune_at = _PRUNE_MIN
        self._roots: list[SimTask] = []
        """Spawned tasks, which nobody else need hold: asyncio itself would lose them."""
        self._roots_prune_at = _PRUNE_MIN
        self._quiet_from = 0
        self._check_every = min(_CHECK_STEPS, options.livelock_steps, options.steps_max)
        self._check_at = 0

    def digest(self) -> str:
        """The trace so far in 32 characters: equal digests, equal runs."""
        return self.trace.digest()

    def close(self) -> None:
        self._roots.clear()
        super().close()

    # Tasks and owners.

    def create_future(self) -> SimFuture:
        return SimFuture(loop=self)

    def create_task(  # type: ignore[override]  # typeshed ties the coroutine to a type variable
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> SimTask:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        task = SimTask(coro, self, name, context)
        if len(self._tasks) >= self._tasks_prune_at:
            self._tasks = [reference for reference in self._tasks if reference() is not None]
            self._tasks_prune_at = max(_PRUNE_MIN, 2 * len(self._tasks))
        self._tasks.append(ref(task))
        if task.owner is not None and not task.owner.alive:
            self.grave.append(task)
        return task

    def tasks(self) -> list[SimTask]:
        """All tasks that still exist, in order of creation."""
        return [task for reference in self._tasks if (task := reference()) is not None]

    def pending(self) -> list[SimTask]:
        """The tasks that can still run, in order of creation."""
        return [task for task in self.tasks() if not task.done() and (task.owner is None or task.owner.alive)]

    def owner(self, name: str) -> Owner:
        """The living owner of this name; after a cut, its next incarnation."""
        owner = self.owners.get(name)
        if owner is None or not owner.alive:
            incarnation = 1 if owner is None else owner.incarnation + 1
            owner = self.owners[name] = Owner(name, incarnation, self._number_owner())
        return owner

    def spawn(self, owner: Owner | None, coro: Coroutine[Any, Any, Any], *, name: str) -> SimTask:
        """Start a task that belongs to `owner`, in a fresh context: all it starts is the owner's too.

        A dead owner starts nothing: its task is made, and never runs.
        """
        context = Context() if owner is None else owner.context()
        task = self.create_task(coro, name=name, context=context)
        if len(self._roots) >= self._roots_prune_at:
            self._roots = [root for root in self._roots if not root.done()]
            self._roots_prune_at = max(_PRUNE_MIN, 2 * len(self._roots))
        self._roots.append(task)
        return task

    def cut(self, owner: Owner) -> None:
        """Cut the power: no further step of this owner runs, not even a `finally`."""
        if not owner.alive:
            return
        dying = [task for task in self.pending() if task.owner is owner]
        owner.alive = False
        self.grave.extend(dying)
        self.grave.extend(entry[2] for entry in self._timers if entry[2]._context.get(OWNER) is owner)
        self._drop_timers(lambda timer: timer._context.get(OWNER) is owner)
        for callback in tuple(owner.on_cut):
            # In no context of the dead: what the callback schedules is the world's, and runs. Nor may
            # an error of it be lost among their last words.
            try:
                Context().run(callback)
            except Exception as error:
                self.call_exception_handler({"message": "an on_cut callback failed", "exception": error})

    # Running.

    def _run_once(self) -> None:
        """Run until told to stop: batches of ready steps, as asyncio does, and jumps between them."""
        ready, timers, marks = self._ready, self._timers, self.trace.marks
        known = self.trace.callbacks
        cost_us, costs = self.options.step_cost_us, self.streams.get("step-cost")
        schedule = self.streams.get("schedule") if self.options.schedule == "pick" else None
        while True:
            if self.steps >= self._check_at:
                self._check()
            if not ready:
                self._jump()
            elif timers and timers[0][0] <= self.now_us:
                self._release()
            for _ in range(len(ready)):
                if schedule is not None:
                    ready.rotate(int(schedule.random() * len(ready)))
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                context, callback = handle._context, handle._callback
                task: Any = getattr(callback, "__self__", None)
                stepping = type(task) is SimTask
                owner = task.owner if stepping else context.get(OWNER)
                if owner is not None and not self._admit(owner):
                    self.grave.append(handle)
                    continue
                if stepping:
                    self._lane = task.number
                    marks.append(task.mark)
                else:
                    self._lane = handle.lane
                    mark = known.get(getattr(callback, "__qualname__", None))
                    marks.append(self.trace.callback(callback) if mark is None else mark)
                self.steps += 1
                if cost_us:
                    self._advance(int(costs.random() * (cost_us + 1)))
                try:
                    context.run(callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self._failed(handle, owner, error)
            if self._stopping:
                return

    def _admit(self, owner: Owner) -> bool:
        """Whether the owner has power for one more step; counts the step."""
        if not owner.alive:
            return False
        step = owner.steps + 1
        if owner.cut_at_step is not None and step >= owner.cut_at_step:
            self.cut(owner)
            return False
        owner.steps = step
        return True

    def _failed(self, handle: SimHandle | SimTimer, owner: Owner | None, error: BaseException) -> None:
        if owner is not None and not owner.alive:
            return  # its last words reach nobody
        self.call_exception_handler({"message": "a callback failed", "exception": error, "handle": handle})

    def _jump(self) -> None:
        """Nothing is ready: move the clock to the next timer."""
        due_us = self._next_due_us()
        if due_us is None:
            raise Deadlock(f"nothing can ever run again at {self._moment()}:\n{describe(self.pending())}")
        if due_us > self.options.time_max_us:
            ceiling = f"{self.options.time_max_us / 1_000_000:.6f} s"
            raise TimeExceeded(
                f"the next timer lies beyond the ceiling of {ceiling}, at {self._moment()}:\n"
                f"{describe(self.pending())}"
            )
        if due_us > self.now_us:
            self._advance(due_us - self.now_us)
            self._quiet_from = self.steps
        self._release()

    def _check(self) -> None:
        """What need not be looked at before each step."""
        options = self.options
        if self.steps - self._quiet_from >= options.livelock_steps:
            raise Livelock(
                f"{options.livelock_steps} steps, and always one more is due at once,"
                f" at {self._moment()}:\n{self._busy()}"
            )
        if self.steps >= options.steps_max:
            raise StepsExceeded(
                f"the ceiling of {options.steps_max} steps is reached at {self._moment()}:\n{self._busy()}"
            )
        self._check_at = self.steps + self._check_every
        self.trace.fold()
        self._collector.at_step(self.steps)

    def _moment(self) -> str:
        return f"{self.time():.6f} s, step {self.steps}, seed {self.seed}"

    def _busy(self) -> str:
        """Which steps the last stretch was made of."""
        names = self.trace.names()
        names |= {task.mark: f"task {task.get_name()}" for task in self.tasks()}
        counted = Counter(names.get(mark, "a task that is gone") for mark in self.trace.marks if mark >= 0)
        return "\n".join(f"  {name}: {n} steps" for name, n in counted.most_common(_BUSY_SHOWN_MAX))


def _collect(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's exception handler: what nobody retrieved fails the run, unless it was a dead owner's."""
    assert isinstance(loop, SimLoop)
    source = context.get("task") or context.get("future")
    if isinstance(source, SimTask) and source.owner is not None and not source.owner.alive:
        return
    error, message = context.get("exception"), context["message"]
    if not isinstance(error, Exception):
        error = SimulationError(message if error is None else f"{message}: {error!r}")
    what = source.get_name() if isinstance(source, SimTask) else None
    error.add_note(f"[{message}{f', task {what}' if what else ''}, by {loop._moment()}]")
    loop.unhandled.append(error)


def current_loop() -> SimLoop:
    """The simulated loop this code runs on."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimLoop):
        raise SimulationError("this code runs on a real event loop, not inside run_virtual")
    return loop
