"""Virtual time: when things come due, in which order, and how a run is stopped."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from fakes.time import (
    Deadlock,
    Livelock,
    Options,
    SimulationError,
    StepsExceeded,
    TimeExceeded,
    current_loop,
    run_virtual,
)

HOUR_US = 3_600_000_000


async def woken_at(delay_s: float) -> int:
    await asyncio.sleep(delay_s)
    return current_loop().now_us


def test_time_jumps_to_the_next_timer() -> None:
    """An hour of sleep costs a few steps, and ends exactly an hour later."""

    async def main() -> tuple[int, int]:
        return await woken_at(3600), current_loop().steps

    now_us, steps = run_virtual(main)
    assert now_us == HOUR_US
    assert steps < 10


def test_time_does_not_drift() -> None:
    """Ten thousand tenths of a second are a thousand seconds, to the microsecond."""

    async def main() -> int:
        for _ in range(10_000):
            await asyncio.sleep(0.1)
        return current_loop().now_us

    assert run_virtual(main) == 1_000_000_000


@pytest.mark.parametrize(
    ("delay_s", "due_us"),
    [(0.001, 1_000), (0.0101, 11_000), (1e-7, 1_000), (0, 0), (-5, 0), (0.0205, 21_000), (0.29, 290_000)],
)
def test_timers_come_due_on_the_grid(delay_s: float, due_us: int) -> None:
    """Rounded up to the next millisecond, never down; what is past is due now."""
    assert run_virtual(lambda: woken_at(delay_s)) == due_us


def test_the_grid_is_an_option() -> None:
    """A finer grid keeps what a coarser one rounds."""
    assert run_virtual(lambda: woken_at(0.0101), options=Options(grid_us=100)) == 10_100


def test_absolute_timers_meet_the_grid_far_out() -> None:
    """`call_at` with a float of seconds lands on its millisecond after 29 days too."""

    async def main() -> list[int]:
        loop = current_loop()
        await asyncio.sleep(29 * 86_400)
        seen = []
        for wait_ms in (1, 3, 7, 250):
            began_us = loop.now_us
            with anyio.move_on_after(wait_ms / 1000):
                await anyio.sleep_forever()
            seen.append(loop.now_us - began_us)
        return seen

    assert run_virtual(main) == [1_000, 3_000, 7_000, 250_000]


def test_a_timer_never_fires_before_its_time() -> None:
    """Code that checks the clock when its timer fires finds the time reached: 0.1 + 0.2 > 0.3."""

    async def main() -> tuple[float, int]:
        loop = current_loop()
        await asyncio.sleep(0.1)
        with anyio.CancelScope(deadline=loop.time() + 0.2) as scope:
            await anyio.sleep_forever()
        assert loop.time() >= scope.deadline
        return loop.time(), loop.now_us

    now_s, now_us = run_virtual(main, options=Options(livelock_steps=100))
    assert now_us == 300_000
    assert now_s == pytest.approx(0.3)


def test_a_step_may_cost_time() -> None:
    """With a cost per step the clock moves while code runs; the same seed moves it alike."""

    async def main() -> int:
        for _ in range(100):
            await asyncio.sleep(0)
        return current_loop().now_us

    costly = Options(step_cost_us=50)
    spent_us = run_virtual(main, seed=3, options=costly)
    assert 0 < spent_us < 100 * 55
    assert run_virtual(main, seed=3, options=costly) == spent_us
    assert run_virtual(main, seed=4, options=costly) != spent_us
    assert run_virtual(main) == 0


def test_the_wall_clock_is_epoch_plus_time() -> None:
    """The epoch is declared, never read from the machine."""

    async def main() -> tuple[int, int]:
        await asyncio.sleep(2)
        return current_loop().wall_us(), current_loop().options.epoch_us

    assert run_virtual(main) == (1_767_571_202_000_000, 1_767_571_200_000_000)
    assert run_virtual(main, options=Options(epoch_us=7)) == (2_000_007, 7)


@pytest.mark.parametrize(
    "wrong",
    [{"grid_us": 0}, {"step_cost_us": -1}, {"schedule": "lifo"}, {"steps_max": 0}, {"time_max_us": 0}],
)
def test_options_refuse_nonsense(wrong: dict[str, Any]) -> None:
    """A bad option is an error where it is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Options(**wrong)


# Order.


async def arrivals(tasks: int, *, per_task: int = 1) -> list[tuple[int, int]]:
    """Several tasks, each setting timers for one instant; the order in which they fire."""
    loop = current_loop()
    fired: list[tuple[int, int]] = []

    async def schedule(number: int) -> None:
        for n in range(per_task):
            loop.call_at(1.0, fired.append, (number, n))

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(schedule(number))
    await asyncio.sleep(2)
    return fired


def test_timers_of_different_tasks_meet_in_seeded_order() -> None:
    """At one instant any order can happen, about as often as any other; each seed has its own, always."""
    orders = Counter(tuple(n for n, _ in run_virtual(lambda: arrivals(3), seed=seed)) for seed in range(300))
    assert len(orders) == 6
    assert min(orders.values()) > 20
    assert run_virtual(lambda: arrivals(9), seed=5) == run_virtual(lambda: arrivals(9), seed=5)


def test_the_order_differs_from_instant_to_instant() -> None:
    """No task is for ever ahead of another: the instant is part of the draw."""

    async def main() -> set[str]:
        firsts: set[str] = set()
        for _ in range(20):
            order: list[str] = []

            async def tick(name: str, order: list[str] = order) -> None:
                await asyncio.sleep(0.01)
                order.append(name)

            async with asyncio.TaskGroup() as group:
                group.create_task(tick("a"))
                group.create_task(tick("b"))
            firsts.add(order[0])
        return firsts

    assert run_virtual(main) == {"a", "b"}


def test_timers_of_one_task_keep_their_order() -> None:
    """What one task sets for one instant fires in the order it was set: a channel stays a channel."""
    for seed in range(50):
        fired = run_virtual(lambda: arrivals(4, per_task=5), seed=seed)
        for task in range(4):
            assert [n for number, n in fired if number == task] == [0, 1, 2, 3, 4]


def test_a_chain_of_callbacks_stays_in_the_lane_of_its_task() -> None:
    """Timers set by callbacks keep the order of the task that began the chain, across seeds."""

    async def main() -> list[int]:
        loop = current_loop()
        fired: list[int] = []

        def relay(n: int) -> None:
            loop.call_at(5.0, fired.append, n)

        for n in range(6):
            loop.call_at(1.0 + n / 10, relay, n)
        await asyncio.sleep(10)
        return fired

    for seed in range(30):
        assert run_virtual(main, seed=seed) == [0, 1, 2, 3, 4, 5]


async def interleaved() -> list[int]:
    seen: list[int] = []

    async def walk(number: int) -> None:
        for _ in range(3):
            seen.append(number)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(walk(number))
    return seen


def test_ready_steps_run_first_in_first_out() -> None:
    """The default schedule is asyncio's own, whatever the seed."""
    stock = asyncio.run(interleaved())
    assert {tuple(run_virtual(interleaved, seed=seed)) for seed in range(20)} == {tuple(stock)}


def test_pick_lets_any_ready_step_be_next() -> None:
    """The option reaches orders that FIFO does not, each of them again with its seed."""
    pick = Options(schedule="pick")
    orders = [tuple(run_virtual(interleaved, seed=seed, options=pick)) for seed in range(40)]
    assert len(set(orders)) > 20
    assert orders == [tuple(run_virtual(interleaved, seed=seed, options=pick)) for seed in range(40)]
    assert all(sorted(order) == [0, 0, 0, 1, 1, 1, 2, 2, 2] for order in orders)


def test_due_timers_are_not_starved_by_ready_steps() -> None:
    """As in asyncio, a timer due now fires between two rounds of ready steps."""

    async def main() -> int:
        spins = 0
        fired = asyncio.Event()
        current_loop().call_later(0, fired.set)
        while not fired.is_set():
            spins += 1
            await asyncio.sleep(0)
        return spins

    assert run_virtual(main) <= 2


def test_cancelled_timers_do_not_pile_up() -> None:
    """A hundred thousand timeouts that never fire leave a small heap behind."""

    async def main() -> int:
        for _ in range(20_000):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0.001)
        return len(current_loop()._timers)

    assert run_virtual(main) < 2_000


def test_finished_tasks_do_not_pile_up() -> None:
    """The loop's own books stay as small as what is alive."""

    async def nothing() -> None:
        return None

    async def main() -> int:
        loop = current_loop()
        for n in range(5_000):
            await loop.spawn(None, nothing(), name=f"n{n}")
        return len(loop._tasks) + len(loop._roots)

    assert run_virtual(main) < 2_000


# What stops a run.


def stopped_by(kind: type[SimulationError], main: Callable[[], Awaitable[Any]], **options: int) -> str:
    with pytest.raises(kind) as caught:
        run_virtual(main, options=Options(**options))
    return str(caught.value)


def test_a_deadlock_names_who_waits_and_where() -> None:
    """Nothing is ready, nothing is set: the report says which line of which task waits for ever."""

    async def consume(queue: asyncio.Queue[int]) -> int:
        return await queue.get()

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(consume(queue), name="consumer")
            await asyncio.sleep(1.5)

    told = stopped_by(Deadlock, main)
    assert "1.500000 s" in told
    assert "consumer waits at fakes/test_time_clock.py:" in told
    assert "consume (in asyncio/queues.py:" in told
    assert "main waits at" in told


def test_a_deadlock_is_seen_through_anyio() -> None:
    """The chain of awaits is followed through anyio's wrappers to the caller's own line."""

    async def stuck() -> None:
        await anyio.Event().wait()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(stuck)

    told = stopped_by(Deadlock, main)
    assert ".stuck (in" in told


def test_a_deadlock_report_has_an_end() -> None:
    """Hundreds of waiting tasks are counted, not listed."""

    async def main() -> None:
        never = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(500):
                group.create_task(never.wait())

    told = stopped_by(Deadlock, main)
    assert "and 471 more" in told
    assert len(told.splitlines()) < 40


def test_a_livelock_is_told_from_work() -> None:
    """Steps without end at one instant stop the run, and the report says whose they are."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110  # spinning is the point
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(spin(), name="spinner")
        await asyncio.sleep(1)
        await task

    told = stopped_by(Livelock, main, livelock_steps=5_000)
    assert "task spinner:" in told
    assert "0.000000 s" in told


def test_a_timer_that_rearms_itself_at_once_is_not_time_passing() -> None:
    """A callback that is always due again now spins too; the ceiling on steps stops that one."""

    async def main() -> None:
        loop = current_loop()

        def again() -> None:
            loop.call_at(loop.time(), again)

        again()
        await asyncio.sleep(1)

    told = stopped_by(Livelock, main, livelock_steps=5_000)
    assert "again" in told


def test_busy_runs_are_no_livelock() -> None:
    """Any number of steps is fine while time passes."""

    async def main() -> int:
        for _ in range(30_000):
            await asyncio.sleep(0.001)
        return current_loop().steps

    assert run_virtual(main, options=Options(livelock_steps=1_000)) > 50_000


def test_time_has_a_ceiling() -> None:
    """The next timer beyond it ends the run, and who waits is named."""
    told = stopped_by(TimeExceeded, lambda: woken_at(3601), time_max_us=HOUR_US)
    assert "3600.000000 s" in told
    assert "woken_at" in told


def test_for_ever_is_beyond_every_ceiling() -> None:
    """A sleep without end is a time exceeded, not an arithmetic error."""
    stopped_by(TimeExceeded, lambda: woken_at(math.inf))


def test_no_instant_is_nan() -> None:
    """NaN is an error of the caller."""
    with pytest.raises(ValueError, match="NaN"):
        run_virtual(lambda: woken_at(math.nan))


def test_steps_have_a_ceiling() -> None:
    """A run that never ends by itself is ended."""

    async def main() -> None:
        while True:  # noqa: ASYNC110  # never ending is the point
            await asyncio.sleep(0.001)

    told = stopped_by(StepsExceeded, main, steps_max=10_000)
    assert "10000 steps" in told
