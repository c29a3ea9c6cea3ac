"""The border of the simulation: what foreign code reads is virtual, and what it must not reach is refused."""

import asyncio
import concurrent.futures
import contextvars
import datetime
import gc
import os
import platform
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import freezegun
import httpcore
import pytest

from fakes.time import Options, OutsideWorld, SimLoop, SimulationError, Unhandled, current_loop, run_virtual
from fakes.time.collector import Collector

# Clocks and chance.


def test_foreign_clocks_are_virtual() -> None:
    """Code that reads the module `time`, as SDKs and connection pools do, reads virtual time."""

    async def main() -> dict[str, Any]:
        await asyncio.sleep(90.5)
        return {
            "time": time.time(),
            "time_ns": time.time_ns(),
            "monotonic": time.monotonic(),
            "monotonic_ns": time.monotonic_ns(),
            "perf_counter": time.perf_counter(),
            "perf_counter_ns": time.perf_counter_ns(),
            "gmtime": time.strftime("%H:%M:%S", time.gmtime()),
            "zero": time.gmtime(0).tm_year,
        }

    assert run_virtual(main) == {
        "time": 1_767_571_290.5,
        "time_ns": 1_767_571_290_500_000_000,
        "monotonic": 90.5,
        "monotonic_ns": 90_500_000_000,
        "perf_counter": 90.5,
        "perf_counter_ns": 90_500_000_000,
        "gmtime": "00:01:30",
        "zero": 1970,
    }


def test_local_time_is_virtual_too() -> None:
    """`localtime` and `strftime` without a time take the simulated wall clock."""

    async def main() -> tuple[str, str]:
        return time.strftime("%Y"), str(time.localtime().tm_year)

    assert run_virtual(main, options=Options(epoch_us=40 * 365 * 86_400_000_000)) == ("2009", "2009")


def test_connection_pools_read_the_virtual_clock() -> None:
    """httpcore's keep-alive expiry asks `time.monotonic`, which answers in virtual time."""

    async def main() -> float:
        await asyncio.sleep(17)
        return httpcore._async.http11.time.monotonic()

    assert run_virtual(main) == 17.0


def draws() -> list[object]:
    return [
        random.random(),
        random.randint(0, 10**9),
        random.Random().random(),
        os.urandom(8),
        uuid.uuid4(),
        secrets.token_hex(8),
        secrets.randbelow(10**9),
        random.SystemRandom().random(),
    ]


async def drawing() -> list[object]:
    return draws()


def test_foreign_chance_comes_from_the_seed() -> None:
    """`random`, `os.urandom`, `uuid4`, `secrets`, unseeded generators: alike for a seed, else different."""
    assert run_virtual(drawing, seed=1) == run_virtual(drawing, seed=1)
    assert not set(map(str, run_virtual(drawing, seed=1))) & set(map(str, run_virtual(drawing, seed=2)))


def test_reseeding_without_a_seed_stays_inside() -> None:
    """`random.seed()` does not fetch entropy from the machine."""

    async def main() -> float:
        random.seed()
        return random.random()

    assert run_virtual(main) == run_virtual(main)


def test_named_streams_do_not_move_one_another() -> None:
    """One more draw in one stream changes no other, and not the schedule."""

    async def main(extra: int) -> tuple[float, float, str]:
        loop = current_loop()
        for _ in range(extra):
            loop.streams.get("traffic").random()
            random.random()
            os.urandom(1)
        assert loop.streams.get("faults") is loop.streams.get("faults")
        return loop.streams.get("faults").random(), loop.streams.get("ids").random(), loop.digest()

    assert run_virtual(lambda: main(0)) == run_virtual(lambda: main(5))


def snapshot() -> list[object]:
    """Everything a run replaces, as it is now."""
    names = "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns sleep gmtime localtime strftime"
    backend = anyio._backends._asyncio  # type: ignore[attr-defined]  # imported by the run
    return [
        *(getattr(time, name) for name in names.split()),
        *(os.urandom, os.system, random.seed, random.Random.seed, uuid.uuid1, random.getstate()),
        *(threading.Thread.start, subprocess.Popen.__init__, socket.getaddrinfo, socket.gethostbyname),
        *(vars(socket.socket).get("connect"), concurrent.futures.Future.result, asyncio.all_tasks),
        *(backend.CancelScope.__init__, vars(backend).get("id"), backend.all_tasks),
        vars(backend.AsyncIOBackend)["run_sync_in_worker_thread"],
        *(gc.isenabled(), gc.get_freeze_count(), sys.unraisablehook, sys.get_asyncgen_hooks()),
    ]


async def fails() -> None:
    await asyncio.sleep(1)
    raise LookupError("main")


async def waits_for_ever() -> None:
    await asyncio.Event().wait()


async def interrupted() -> None:
    await asyncio.sleep(1)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("main", "error"),
    [
        (drawing, None),
        (fails, LookupError),
        (waits_for_ever, SimulationError),
        (interrupted, KeyboardInterrupt),
    ],
)
def test_everything_is_put_back(
    main: Callable[[], Awaitable[Any]], error: type[BaseException] | None
) -> None:
    """However a run ends, the process is as it was: functions, random state, collector, hooks."""
    run_virtual(drawing)
    before = snapshot()
    if error is None:
        run_virtual(main)
    else:
        with pytest.raises(error):
            run_virtual(main)
    assert snapshot() == before


def test_a_collector_that_was_off_stays_off() -> None:
    """The run restores what it found, not what is usual."""
    gc.disable()
    try:
        run_virtual(drawing)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_other_threads_see_the_real_world() -> None:
    """Only the thread of the run lives in virtual time: a watchdog beside it keeps real time."""
    seen: list[object] = []
    go, done = threading.Event(), threading.Event()

    def watchdog() -> None:
        go.wait(10)
        seen.append(time.time() > 1_767_571_200 + 5 or time.time() < 1_767_571_200)
        seen.append(len({os.urandom(8) for _ in range(3)}))
        child = threading.Thread(target=seen.append, args=(time.monotonic() != 0.0,))
        child.start()
        child.join()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(lambda: "pooled").result())
        done.set()

    beside = threading.Thread(target=watchdog)
    beside.start()

    async def main() -> float:
        go.set()
        done.wait(10)
        return time.time()

    assert run_virtual(main) == 1_767_571_200.0
    beside.join()
    assert seen == [True, 3, True, "pooled"]


def test_frozen_dates_go_around_the_run() -> None:
    """freezegun serves foreign code that asks `datetime`, around a run; inside, it would undo the seals."""

    async def main() -> tuple[str, float]:
        await asyncio.sleep(5)
        return datetime.datetime.now().isoformat(), time.time()

    async def inside() -> None:
        with freezegun.freeze_time("2030-01-01"):
            await asyncio.sleep(1)

    with freezegun.freeze_time("2026-01-05"):
        assert run_virtual(main) == ("2026-01-05T00:00:00", 1_767_571_205.0)
        assert time.time() == 1_767_571_200.0
    with pytest.raises(SimulationError, match=r"replaced time\.time, .* outside run_virtual"):
        run_virtual(inside)
    assert time.time() > 1_767_571_200 + 5 or time.time() < 1_767_571_200


def test_the_platform_is_known_before_the_run() -> None:
    """The vendors' SDKs name the platform in each request; finding it out starts a process, before."""

    async def main() -> str:
        return platform.platform()

    assert run_virtual(main) == platform.platform()


# Runs do not nest.


def test_a_run_inside_a_run_is_refused() -> None:
    """Neither from a coroutine nor from an inline thread of one."""

    async def nested() -> Any:
        return run_virtual(drawing)

    async def in_a_thread() -> Any:
        return await asyncio.to_thread(run_virtual, drawing)

    with pytest.raises(SimulationError, match="outside any running loop"):
        run_virtual(nested)
    with pytest.raises(SimulationError, match="inside run_virtual"):
        run_virtual(in_a_thread)
    with pytest.raises(SimulationError, match="outside any running loop"):
        asyncio.run(nested())
    assert run_virtual(drawing) == run_virtual(drawing)


def test_the_simulated_loop_is_found_only_inside() -> None:
    """On a real loop, `current_loop` says what is wrong."""

    async def main() -> None:
        current_loop()

    with pytest.raises(SimulationError, match="not inside run_virtual"):
        asyncio.run(main())


# Threads run inline.


def test_worker_threads_run_inline_at_their_own_step() -> None:
    """anyio's and asyncio's threads take a step each, no time, and others run before they do."""

    async def main() -> tuple[list[str], int]:
        log: list[str] = []

        async def beside() -> None:
            log.append("beside")

        asyncio.get_running_loop().create_task(beside())
        log.append(await anyio.to_thread.run_sync(lambda: "anyio"))
        log.append(await asyncio.to_thread(lambda: "asyncio"))
        log.append(await asyncio.get_running_loop().run_in_executor(None, lambda: "executor"))
        return log, current_loop().now_us

    assert run_virtual(main) == (["beside", "anyio", "asyncio", "executor"], 0)


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def test_an_inline_thread_sees_what_a_thread_would() -> None:
    """No running loop; the caller's context variables only where the library hands them on."""

    def look() -> tuple[bool, str]:
        return asyncio._get_running_loop() is None, VARIABLE.get()

    async def main() -> list[tuple[bool, str]]:
        VARIABLE.set("set")
        loop = asyncio.get_running_loop()
        seen = [await anyio.to_thread.run_sync(look), await asyncio.to_thread(look)]
        seen.append(await loop.run_in_executor(None, look))
        assert asyncio.get_running_loop() is loop
        return seen

    assert run_virtual(main) == [(True, "set"), (True, "set"), (True, "unset")]


def test_errors_of_inline_threads_reach_the_caller() -> None:
    """What the work raises is raised where it is awaited; cancelled work never begins."""
    began: list[str] = []

    def breaks() -> None:
        raise LookupError("in a thread")

    async def main() -> None:
        with pytest.raises(LookupError):
            await anyio.to_thread.run_sync(breaks)
        with pytest.raises(LookupError):
            await asyncio.to_thread(breaks)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.to_thread(next, iter(()))
        current_loop().run_in_executor(None, began.append, "began").cancel()
        await asyncio.sleep(1)

    run_virtual(main)
    assert began == []


def test_an_inline_thread_may_look_for_its_cancellation() -> None:
    """`anyio.from_thread.check_cancelled` works as in a worker thread."""

    async def main() -> str:
        return await anyio.to_thread.run_sync(lambda: anyio.from_thread.check_cancelled() or "goes on")

    assert run_virtual(main) == "goes on"


def test_anyio_limits_its_inline_threads() -> None:
    """The limiter is honoured: it is a queue that code may depend on."""

    async def main() -> int:
        limiter = anyio.CapacityLimiter(1)
        limiter.acquire_on_behalf_of_nowait("somebody else")
        with anyio.move_on_after(1) as scope:
            await anyio.to_thread.run_sync(lambda: 1, limiter=limiter)
        assert scope.cancelled_caught
        limiter.release_on_behalf_of("somebody else")
        return await anyio.to_thread.run_sync(lambda: 2, limiter=limiter)

    assert run_virtual(main) == 2


# Refusals.


async def sleep_for_real() -> None:
    time.sleep(0.001)  # noqa: ASYNC251  # refused, which is the point


async def start_a_thread() -> None:
    threading.Thread(target=print).start()


async def use_a_pool() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(print)


async def open_a_connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def serve_on_a_port() -> None:
    await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)


async def connect_with_anyio() -> None:
    try:
        await anyio.connect_tcp("127.0.0.1", 9)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def connect_a_socket() -> None:
    with socket.socket() as plain:
        plain.connect(("127.0.0.1", 9))


async def bind_a_socket() -> None:
    with socket.socket() as plain:
        plain.bind(("127.0.0.1", 0))


async def resolve() -> None:
    await asyncio.get_running_loop().getaddrinfo("example.test", 80)


async def resolve_blocking() -> None:
    socket.getaddrinfo("example.test", 80)


async def start_a_process() -> None:
    await asyncio.create_subprocess_exec("true")


async def start_a_process_blocking() -> None:
    subprocess.run(["true"], check=True)  # noqa: ASYNC221  # refused, which is the point


async def handle_signals() -> None:
    asyncio.get_running_loop().add_signal_handler(15, print)


async def make_a_uuid_of_the_machine() -> None:
    uuid.uuid1()


async def block_on_a_future() -> None:
    async def answer() -> int:
        return 1

    asyncio.run_coroutine_threadsafe(answer(), asyncio.get_running_loop()).result()


async def call_back_from_a_worker() -> None:
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(print))


async def bring_own_tasks() -> None:
    asyncio.get_running_loop().set_task_factory(lambda loop, coro, **_: asyncio.Task(coro, loop=loop))


@pytest.mark.parametrize(
    ("main", "remedy"),
    [
        (sleep_for_real, "asyncio.sleep"),
        (start_a_thread, "anyio.to_thread"),
        (use_a_pool, "run_in_executor"),
        (open_a_connection, "fakes.wire"),
        (serve_on_a_port, "ASGI app"),
        (connect_with_anyio, "fakes.wire"),
        (connect_a_socket, "fakes.wire"),
        (bind_a_socket, "fakes.wire"),
        (resolve, "fakes.wire"),
        (resolve_blocking, "fakes.wire"),
        (start_a_process, "outside the simulation"),
        (start_a_process_blocking, "outside the simulation"),
        (handle_signals, "from a task"),
        (make_a_uuid_of_the_machine, "uuid4"),
        (block_on_a_future, "wrap_future"),
        (call_back_from_a_worker, "return from the worker"),
        (bring_own_tasks, "through the loop"),
    ],
)
def test_the_outside_world_is_refused(main: Callable[[], Awaitable[None]], remedy: str) -> None:
    """Each door says that it is shut, and the way to go instead."""
    with pytest.raises(OutsideWorld, match=remedy):
        run_virtual(main)


def test_a_swallowed_refusal_still_fails_the_run() -> None:
    """Code that handles every error cannot hide that it reached outside."""

    async def main() -> str:
        try:
            await connect_a_socket()
        except Exception:
            return "all is well"
        return "connected"

    with pytest.raises(OutsideWorld, match="socket"):
        run_virtual(main)


def test_a_refusal_may_be_forgiven() -> None:
    """A test that knows what it does clears the list."""

    async def main() -> str:
        with pytest.raises(OutsideWorld):
            await connect_a_socket()
        current_loop().refusals.clear()
        return "forgiven"

    assert run_virtual(main) == "forgiven"


def test_calls_from_foreign_threads_are_refused() -> None:
    """A thread that was there before cannot slip a step into the run: both sides hear of it."""
    heard: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    go, done = threading.Event(), threading.Event()

    def intrude() -> None:
        go.wait(10)
        try:
            loops[0].call_soon_threadsafe(print)
        except OutsideWorld as error:
            heard.append(str(error))
        done.set()

    beside = threading.Thread(target=intrude)
    beside.start()

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        go.set()
        done.wait(10)

    with pytest.raises(OutsideWorld, match="another thread"):
        run_virtual(main)
    beside.join()
    assert len(heard) == 1


def test_files_are_inside() -> None:
    """Plain files, as SQLite's, are the world's own: nothing refuses them."""

    async def main() -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_text("kept")
            return path.read_text()

    assert run_virtual(main) == "kept"


# What fails is heard.


def test_a_task_that_fails_unseen_fails_the_run() -> None:
    """Whoever drops a task's error, the run ends with it, and says which task it was."""

    async def main() -> str:
        asyncio.get_running_loop().create_task(fails(), name="lost")
        await asyncio.sleep(5)
        return "all is well"

    with pytest.raises(Unhandled) as caught:
        run_virtual(main)
    (error,) = caught.value.exceptions
    assert isinstance(error, LookupError)
    assert "task lost" in error.__notes__[0]


def test_a_task_that_somebody_holds_is_heard_too() -> None:
    """asyncio speaks only when such a task is destroyed; the run does not wait for that."""
    held: list[object] = []

    async def main() -> None:
        held.append(asyncio.get_running_loop().create_task(fails(), name="held"))
        await asyncio.sleep(5)

    with pytest.raises(Unhandled, match="nobody looked"):
        run_virtual(main)


def test_a_retrieved_error_is_no_failure() -> None:
    """Awaited, gathered or looked at: then it was somebody's to handle."""

    async def main() -> list[Any]:
        task = asyncio.get_running_loop().create_task(fails())
        return await asyncio.gather(task, return_exceptions=True)

    assert [type(error) for error in run_virtual(main)] == [LookupError]


def test_a_callback_that_fails_fails_the_run() -> None:
    """So does a plain callback."""

    async def main() -> None:
        current_loop().call_later(1, [].pop)
        await asyncio.sleep(2)

    with pytest.raises(Unhandled, match="nobody looked") as caught:
        run_virtual(main)
    assert isinstance(caught.value.exceptions[0], IndexError)


def test_failures_of_others_are_noted_on_the_error_of_main() -> None:
    """`main`'s own error is what is raised; the rest stands under it."""

    async def main() -> None:
        current_loop().call_soon([].pop)
        await fails()

    with pytest.raises(LookupError) as caught:
        run_virtual(main)
    assert any("IndexError" in note for note in caught.value.__notes__)


def test_a_lost_task_fails_the_run() -> None:
    """A task nobody refers to is destroyed half-way by Python's collector: a bug, and heard as one."""

    async def forgotten() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        asyncio.get_running_loop().create_task(forgotten(), name="forgotten")
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(1)

    with pytest.raises(Unhandled) as caught:
        run_virtual(main)
    assert "destroyed but it is pending" in str(caught.value.exceptions[0])


def test_what_still_runs_at_the_end_is_cancelled_and_awaited() -> None:
    """As under asyncio.run: the rest is cancelled in order of creation, and may take its time."""
    ended: list[tuple[str, int]] = []

    async def linger(name: str) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(2)
            ended.append((name, current_loop().now_us))

    async def main() -> None:
        loop = current_loop()
        for name in ("a", "b", "c"):
            loop.spawn(loop.owner(name), linger(name), name=name)
        await asyncio.sleep(1)

    run_virtual(main)
    assert sorted(ended) == [("a", 3_000_000), ("b", 3_000_000), ("c", 3_000_000)]


def test_an_end_that_does_not_come_is_reported() -> None:
    """Tasks that start others whenever they are cancelled stop the run with their names."""

    async def hydra() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            current_loop().spawn(None, hydra(), name="head")

    async def main() -> None:
        current_loop().spawn(None, hydra(), name="head")
        await asyncio.sleep(1)

    with pytest.raises(SimulationError, match="head"):
        run_virtual(main)


def test_an_end_that_hangs_is_noted_on_the_error_of_main() -> None:
    """`main` failed, and then a task would not go: the first is raised, the second stands under it."""

    async def clings() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.Event().wait()

    async def main() -> None:
        current_loop().spawn(None, clings(), name="clings")
        await fails()

    with pytest.raises(LookupError) as caught:
        run_virtual(main)
    assert any("clings waits at" in note for note in caught.value.__notes__)


def test_the_loop_is_closed_when_the_run_is_over() -> None:
    """Nothing can be scheduled on a world that has ended."""

    async def main() -> SimLoop:
        return current_loop()

    loop = run_virtual(main)
    assert loop.is_closed()
    for schedule in (loop.call_soon, lambda call: loop.call_later(1, call)):
        with pytest.raises(RuntimeError, match="closed"):
            schedule(print)
    coro = fails()
    with pytest.raises(RuntimeError, match="closed"):
        loop.create_task(coro)
    coro.close()


def test_a_failing_clean_up_fails_the_run() -> None:
    """An error raised while being cancelled at the end is no less an error."""

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            raise LookupError("while leaving")

    async def main() -> None:
        current_loop().spawn(None, stubborn(), name="stubborn")
        await asyncio.sleep(1)

    with pytest.raises(Unhandled):
        run_virtual(main)


@pytest.mark.parametrize("kept", [True, False])
def test_open_generators_are_closed_at_the_end(kept: bool) -> None:
    """Held or dropped, each is closed to its last line; those held, in the order in which they began."""
    closed: list[int] = []
    held: list[AsyncIterator[int]] = []

    async def numbers(n: int) -> AsyncIterator[int]:
        try:
            yield n
            yield n
        finally:
            await asyncio.sleep(0)
            closed.append(n)

    async def main() -> None:
        for n in range(20):
            held.append(numbers(n))
            await anext(held[-1])
        if not kept:
            held.clear()

    run_virtual(main)
    assert (closed if kept else sorted(closed)) == list(range(20))


def test_a_generator_that_fails_to_close_is_heard() -> None:
    """Its error is reported like any other."""

    async def bad() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            raise LookupError("closing")

    async def main() -> None:
        held.append(bad())
        await anext(held[0])

    held: list[AsyncIterator[int]] = []
    with pytest.raises(Unhandled, match="nobody looked"):
        run_virtual(main)


def test_finished_generators_do_not_pile_up() -> None:
    """The loop forgets generators that are gone."""

    async def one() -> AsyncIterator[int]:
        yield 1

    async def main() -> int:
        kept = []
        for _ in range(2_000):
            kept.append(one())
            async for _ in kept[-1]:
                pass
        most = len(current_loop()._generators)
        kept.clear()
        for _ in range(2_000):
            kept.append(one())
            async for _ in kept[-1]:
                pass
        assert most >= 2_000
        return len(current_loop()._generators)

    assert run_virtual(main) < 4_000


def test_old_garbage_is_collected_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Young objects at fixed steps, all of them as the run doubles: the cost stays in proportion."""
    rounds: list[int] = []
    with Collector() as collector:
        monkeypatch.setattr(gc, "collect", lambda generation=2: rounds.append(generation))
        for steps in range(0, 4_000_000, 1_024):
            collector.at_step(steps)
        monkeypatch.undo()
    assert Counter(rounds) == {0: 915, 1: 57, 2: 4}


def test_garbage_is_collected_at_fixed_steps() -> None:
    """The collector is off; cycles are found after so many steps, the same in each run."""

    async def main() -> list[int]:
        assert not gc.isenabled()
        found: list[int] = []

        async def parts() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                found.append(current_loop().steps)

        async def abandon() -> None:
            iterator = parts()
            await anext(iterator)
            cycle: list[Any] = [iterator]
            cycle.append(cycle)

        await abandon()
        for n in range(5_000):
            await asyncio.sleep(0.001 * (n % 2))
        return found

    first = run_virtual(main)
    ballast = [[n] for n in range(50_000)]
    second = run_virtual(main)
    assert len(ballast) == 50_000
    assert first == second
    assert len(first) == 1
    assert 4_096 <= first[0] < 5_200
