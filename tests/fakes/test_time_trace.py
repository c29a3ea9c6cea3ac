"""The trace: one digest for equal runs, another for any difference."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

import anyio

from fakes.time import current_loop, run_virtual


async def walk(times: int = 3, delay_s: float = 0.01) -> None:
    for _ in range(times):
        await asyncio.sleep(delay_s)


def digest(main: Callable[[], Awaitable[object]], seed: int = 0) -> str:
    """The digest at the end of `main`."""

    async def whole() -> str:
        await main()
        return current_loop().digest()

    return run_virtual(whole, seed=seed)


def test_equal_runs_have_one_digest() -> None:
    """32 characters, the same again."""
    assert digest(walk) == digest(walk)
    assert len(digest(walk)) == 32


def test_each_step_and_its_time_count() -> None:
    """One step more, a step at another time, or another step in its place: another digest."""

    async def other() -> None:
        await walk()

    mains = [walk, lambda: walk(4), lambda: walk(3, 0.011), lambda: asyncio.create_task(walk())]
    mains.append(lambda: asyncio.create_task(other()))
    mains.append(lambda: current_loop().spawn(current_loop().owner("a"), walk(), name="walk"))
    mains.append(lambda: current_loop().spawn(current_loop().owner("b"), walk(), name="walk"))
    assert len({digest(main) for main in mains}) == len(mains)


def test_asking_changes_nothing() -> None:
    """The digest may be read at any time."""

    async def curious() -> None:
        for _ in range(3):
            await asyncio.sleep(0.01)
            current_loop().digest()

    async def incurious() -> None:
        await walk()

    incurious.__qualname__ = curious.__qualname__
    assert digest(curious) == digest(incurious)


def test_the_digest_covers_the_end() -> None:
    """The loop may be kept: after the run its digest counts what was cancelled, too."""
    loops = []

    async def main() -> str:
        loop = current_loop()
        loops.append(loop)
        loop.spawn(None, walk(1_000), name="walk")
        await walk()
        return loop.digest()

    assert run_virtual(main) != loops[0].digest()


def test_labels_hold_no_module_and_no_address() -> None:
    """The same code in a module of another name has the same digest; so has a partial or a closure."""

    async def story(child: Callable[[], Awaitable[None]]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
        current_loop().call_soon(functools.partial(max, 1, 2))
        current_loop().call_later(0.5, functools.partial(functools.partial(len), [object()]))
        await asyncio.sleep(1)

    async def child() -> None:
        await walk()

    async def stranger() -> None:
        await walk()

    stranger.__qualname__ = child.__qualname__
    stranger.__module__ = "another.module"
    assert digest(lambda: story(child)) == digest(lambda: story(stranger))
