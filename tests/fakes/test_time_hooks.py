"""The private parts of asyncio, anyio and the library that virtual time hangs on, pinned one by one.

If one of these fails, a new version has moved something under `fakes/time`. Each message says what
leans on it. Nothing here is about our own code.
"""

import asyncio
import inspect
import random
import re
import sys
import threading
import time
import uuid
from asyncio import base_events, events
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anyio._backends import _asyncio as backend
from anyio._core import _eventloop

UNTRIED = "fakes/time was not tried with this version: run its tests on it, then add it here"


def moved(what: str, leans: str) -> str:
    return f"{what} is not what it was; {leans} leans on it"


def test_the_versions_are_known() -> None:
    """A version nobody tried is not silently trusted."""
    assert sys.version_info[:2] in {(3, 11), (3, 12), (3, 13)}, UNTRIED
    assert sys.implementation.name == "cpython", UNTRIED


class Recorder(asyncio.SelectorEventLoop):
    """A real loop that notes what asyncio asks of a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.callbacks: list[Any] = []

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        self.callbacks.append(callback)
        return super().call_soon(callback, *args, context=context)


def test_steps_of_tasks_name_their_task() -> None:
    """The callbacks of a task, first step and wake-up, have it as `__self__`."""
    loop = Recorder()

    async def main() -> asyncio.Task[Any] | None:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return asyncio.current_task()

    task = loop.run_until_complete(main())
    loop.close()
    of_the_task = [callback for callback in loop.callbacks if getattr(callback, "__self__", None) is task]
    assert len(of_the_task) == 3, moved("the callback of a task's step", "the trace (SimLoop._run_once)")


def test_the_base_loop_runs_by_run_once() -> None:
    """`run_forever` calls `_run_once` until `_stopping`, and `run_until_complete` stops by a callback."""
    loop = asyncio.new_event_loop()
    try:
        assert isinstance(loop, base_events.BaseEventLoop)
        for name, kind in {"_ready": deque, "_stopping": bool, "_closed": bool, "_scheduled": list}.items():
            assert isinstance(getattr(loop, name), kind), moved(f"BaseEventLoop.{name}", "SimLoop")
        assert "_run_once" in inspect.getsource(base_events.BaseEventLoop.run_forever), moved(
            "BaseEventLoop.run_forever", "SimLoop._run_once"
        )
        for name in ("_asyncgen_firstiter_hook", "_asyncgen_finalizer_hook", "_timer_handle_cancelled"):
            assert callable(getattr(loop, name)), moved(f"BaseEventLoop.{name}", "SimLoop")
        assert callable(base_events._run_until_complete_cb), moved("_run_until_complete_cb", "anyio, SimLoop")
    finally:
        loop.close()


def test_the_base_loop_hooks_generators() -> None:
    """asyncio installs the loop's own two hooks while it runs."""
    loop = asyncio.new_event_loop()

    async def main() -> Any:
        return sys.get_asyncgen_hooks()

    hooks = loop.run_until_complete(main())
    loop.close()
    leans = "Generators, which closes them in order"
    assert hooks.firstiter == loop._asyncgen_firstiter_hook, moved("the firstiter hook", leans)  # type: ignore[attr-defined]
    assert hooks.finalizer == loop._asyncgen_finalizer_hook, moved("the finalizer hook", leans)  # type: ignore[attr-defined]


def test_handles_keep_what_we_set() -> None:
    """Our lean handles fill asyncio's own slots, and no more are needed to cancel or to show one."""
    slots = {
        "_callback",
        "_args",
        "_cancelled",
        "_loop",
        "_source_traceback",
        "_repr",
        "_context",
        "__weakref__",
    }
    assert set(events.Handle.__slots__) == slots, moved("asyncio.Handle", "SimHandle, which sets them all")
    assert set(events.TimerHandle.__slots__) == {"_scheduled", "_when"}, moved("TimerHandle", "SimTimer")


def test_tasks_tell_whether_their_error_was_seen() -> None:
    """`_log_traceback` is set by an error nobody retrieved and cleared by looking."""

    async def fails() -> None:
        raise LookupError

    async def main() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        assert task._log_traceback is True, moved("Task._log_traceback", "run._wind_down")
        task.exception()
        assert task._log_traceback is False, moved("Task._log_traceback", "run._wind_down")

    asyncio.run(main())


def test_a_generator_whose_hook_does_nothing_is_dropped_unclosed() -> None:
    """With a finalizer hook set, Python itself runs no `finally` of an abandoned generator."""
    said: list[str] = []

    async def parts() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            said.append("finally")

    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(finalizer=lambda generator: None)
    try:
        step = anext(aiter(parts()))
        with pytest.raises(StopIteration):
            step.send(None)  # type: ignore[attr-defined]  # an awaitable of a generator takes it
        del step
    finally:
        sys.set_asyncgen_hooks(*before)
    assert said == [], moved("the finalizer of async generators", "the power cut")


def test_the_random_module_is_one_hidden_generator() -> None:
    """`random.random` and the rest are its methods; `SystemRandom` and `uuid4` draw from `os.urandom`."""
    assert random.random.__self__ is random._inst, moved("random._inst", "seals._chance")  # type: ignore[attr-defined]
    assert random._urandom.__name__ == "urandom", moved("random._urandom", "seals._chance")  # type: ignore[attr-defined]
    assert "seed" in vars(random.Random), moved("Random.seed", "seals._chance")
    assert "os.urandom" in inspect.getsource(uuid.uuid4), moved("uuid.uuid4", "seals._chance")


def test_threading_keeps_its_own_clock() -> None:
    """Locks with a time-out of other threads do not ask the module `time` we replace."""
    assert threading._time is not time.time, moved("threading._time", "threads beside a run")  # type: ignore[attr-defined]


def test_anyio_keeps_scopes_and_tasks_in_sets() -> None:
    """The two sets of a cancel scope, made by its constructor, and used through these methods only."""
    scope = backend.CancelScope()
    leans = "scopes.OrderedScopes"
    assert type(scope._child_scopes) is set, moved("CancelScope._child_scopes", leans)
    assert type(scope._tasks) is set, moved("CancelScope._tasks", "SimTask.__hash__")
    used = set(re.findall(r"_child_scopes\.(\w+)", inspect.getsource(backend)))
    assert used <= {"add", "remove", "discard"}, moved(f"the use of _child_scopes ({used})", leans)


def test_anyio_writes_ids_through_the_builtin() -> None:
    """`id(...)` in the backend is the builtin, looked up in its module first."""
    assert "id" not in vars(backend), moved("anyio's name `id`", "scopes.order_anyio")
    assert "id(self)" in inspect.getsource(backend.CancelScope.cancel), moved("CancelScope.cancel", "scopes")


def test_anyio_runs_threads_through_its_backend() -> None:
    """One class method starts worker threads, with these parameters; two come back from them."""
    run = inspect.signature(backend.AsyncIOBackend.run_sync_in_worker_thread)
    names = ["func", "args", "abandon_on_cancel", "limiter"]
    assert list(run.parameters) == names, moved("run_sync_in_worker_thread", "scopes._run_inline")
    for name in ("run_sync_from_thread", "run_async_from_thread"):
        assert callable(getattr(backend.AsyncIOBackend, name)), moved(name, "scopes.order_anyio")
    assert list(inspect.signature(_eventloop.claim_worker_thread).parameters) == ["backend_class", "token"], (
        moved("claim_worker_thread", "scopes._as_worker")
    )
    assert "current_cancel_scope" in inspect.getsource(backend.WorkerThread.run), moved(
        "threadlocals.current_cancel_scope", "scopes._as_worker"
    )
    assert backend.all_tasks is asyncio.all_tasks, moved("anyio's all_tasks", "seals.sealed")


def test_anyio_starts_its_tasks_through_the_loop() -> None:
    """No tasks but the loop's own, with a name and nothing we do not know."""
    assert "loop.create_task(wrapper_coro, name=handle.name)" in inspect.getsource(
        backend.TaskGroup._spawn
    ), moved("anyio's TaskGroup._spawn", "SimLoop.create_task")
