"""Owners: whose step it is, and what a power cut leaves behind, which is nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from fakes.time import Owner, PowerCut, Unhandled, current_loop, current_owner, run_virtual


def test_everything_an_owner_starts_is_its_own() -> None:
    """Tasks, groups, callbacks, timers and threads started by an owner's code name that owner."""

    async def main() -> tuple[set[str | None], Owner | None]:
        loop = current_loop()
        seen: set[str | None] = set()

        def look() -> None:
            owner = current_owner()
            seen.add(owner.name if owner else None)

        async def child() -> None:
            look()

        async def replica() -> None:
            look()
            loop.call_soon(look)
            loop.call_later(1, look)
            await asyncio.create_task(child())
            async with anyio.create_task_group() as group:
                group.start_soon(child)
            await anyio.to_thread.run_sync(look)
            await loop.run_in_executor(None, look)
            await asyncio.sleep(2)

        await loop.spawn(loop.owner("replica"), replica(), name="replica")
        return seen, current_owner()

    assert run_virtual(main) == ({"replica"}, None)


def test_a_fresh_context_hides_the_spawner() -> None:
    """What a test or client spawns for an owner does not count as its own, nor the other way."""

    async def main() -> list[str | None]:
        loop = current_loop()
        seen: list[str | None] = []

        async def who() -> None:
            owner = current_owner()
            seen.append(owner.name if owner else None)

        async def outer() -> None:
            await loop.spawn(loop.owner("b"), who(), name="b")
            await loop.spawn(None, who(), name="world")
            await who()

        await loop.spawn(loop.owner("a"), outer(), name="a")
        return seen

    assert run_virtual(main) == ["b", None, "a"]


def test_steps_are_counted_per_owner() -> None:
    """The n-th await of an owner is its n-th step; the world's steps are not counted to it."""

    async def main() -> tuple[int, int]:
        loop = current_loop()

        async def walk(times: int) -> None:
            for _ in range(times):
                await asyncio.sleep(0)

        a, b = loop.owner("a"), loop.owner("b")
        first = loop.spawn(a, walk(5), name="a")
        second = loop.spawn(b, walk(9), name="b")
        await walk(30)
        await first
        await second
        return a.steps, b.steps

    assert run_virtual(main) == (6, 10)


def test_a_cut_runs_no_finally_and_no_cancellation() -> None:
    """After the cut the owner's code says nothing more: no `finally`, no `except`, no exit."""

    async def main() -> list[str]:
        loop = current_loop()
        said: list[str] = []

        async def replica() -> None:
            try:
                async with asyncio.timeout(50):
                    while True:
                        said.append("alive")
                        await asyncio.sleep(1)
            except BaseException as error:
                said.append(f"caught {type(error).__name__}")
                raise
            finally:
                said.append("finally")

        owner = loop.owner("replica")
        loop.spawn(owner, replica(), name="replica")
        await asyncio.sleep(2.5)
        loop.cut(owner)
        await asyncio.sleep(100)
        return list(said)

    assert run_virtual(main) == ["alive"] * 3


def test_the_next_incarnation_is_another_owner() -> None:
    """The name stays; steps, life and callbacks begin anew."""

    async def main() -> None:
        loop = current_loop()
        first = loop.owner("replica")
        assert loop.owner("replica") is first
        loop.cut(first)
        loop.cut(first)
        second = loop.owner("replica")
        assert (second.incarnation, second.steps, second.alive) == (2, 0, True)
        assert loop.owners == {"replica": second}
        assert not first.alive
        assert repr(first) == "<Owner replica#1 cut>"

    run_virtual(main)


def test_a_cut_tells_those_who_asked() -> None:
    """`on_cut` callbacks run once, in order, outside the dead context: what they schedule runs."""

    async def main() -> list[str]:
        loop = current_loop()
        heard: list[str] = []

        def hear(name: str) -> None:
            heard.append(f"{name} of {current_owner()}")
            loop.call_later(1, heard.append, f"{name} later")

        owner = loop.owner("replica")
        owner.on_cut.append(lambda: hear("first"))
        owner.on_cut.append(lambda: hear("second"))

        async def suicide() -> None:
            loop.cut(owner)
            heard.append("still in this step")
            await asyncio.sleep(0)
            heard.append("never")

        loop.spawn(owner, suicide(), name="suicide")
        await asyncio.sleep(10)
        return heard

    assert run_virtual(main) == [
        "first of None",
        "second of None",
        "still in this step",
        "first later",
        "second later",
    ]


def test_a_failing_cut_callback_fails_the_run() -> None:
    """Its error is not taken for the last words of the dead, and the next callback still runs."""
    heard: list[str] = []

    async def main() -> None:
        loop = current_loop()
        owner = loop.owner("replica")
        owner.on_cut.extend([lambda: [].pop(), lambda: heard.append("second")])

        async def suicide() -> None:
            loop.cut(owner)

        loop.spawn(owner, suicide(), name="suicide")
        await asyncio.sleep(1)

    with pytest.raises(Unhandled) as caught:
        run_virtual(main)
    assert isinstance(caught.value.exceptions[0], IndexError)
    assert heard == ["second"]


@dataclass
class Shop:
    """A toy with a store that survives: takes an order, charges once, ships."""

    said: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    owner: Owner | None = None

    def write(self, row: str) -> None:
        """The store's port: dead when its owner is."""
        if self.owner is not None and not self.owner.alive:
            raise PowerCut("the store of a dead process")
        self.stored.append(row)

    async def serve(self) -> None:
        lock = asyncio.Lock()
        try:
            async with lock, asyncio.TaskGroup() as group:
                group.create_task(self.charge())
                group.create_task(self.ship())
            await anyio.to_thread.run_sync(self.write, "done")
        finally:
            self.said.append("finally")
            self.write("cleaned up")

    async def charge(self) -> None:
        await asyncio.sleep(0.01)
        self.write("charged")

    async def ship(self) -> None:
        async for part in self.parts():
            self.write(part)

    async def parts(self) -> AsyncIterator[str]:
        try:
            for part in ("lid", "pot"):
                await asyncio.sleep(0.02)
                yield part
        finally:
            self.write("box closed")


async def shop_cut_at(step: int | None) -> tuple[list[str], list[str], int]:
    loop = current_loop()
    shop = Shop(owner=loop.owner("shop"))
    assert shop.owner is not None
    shop.owner.cut_at_step = step
    loop.spawn(shop.owner, shop.serve(), name="shop")
    await asyncio.sleep(5)
    gc.collect()
    await asyncio.sleep(5)
    return list(shop.stored), list(shop.said), shop.owner.steps


WHOLE = ["charged", "lid", "pot", "box closed", "done", "cleaned up"]


def test_the_power_can_be_cut_at_each_step() -> None:
    """At each of its steps the shop stops dead: what is stored is what was stored before, no more."""
    stored, said, steps = run_virtual(lambda: shop_cut_at(None))
    assert (stored, said) == (WHOLE, ["finally"])
    assert steps > 10
    lengths = []
    for step in range(1, steps + 1):
        stored, said, taken = run_virtual(lambda step=step: shop_cut_at(step))  # type: ignore[misc]  # bound now
        assert taken == step - 1
        assert stored == WHOLE[: len(stored)]
        assert said == []
        lengths.append(len(stored))
    assert lengths == sorted(lengths)
    assert set(lengths) == {0, 1, 2, 4, 5}  # "pot" and "box closed" share a step


def test_a_cut_step_that_is_past_cuts_at_the_next() -> None:
    """Asking for a step that has gone by does not ask for nothing."""

    async def main() -> tuple[int, bool]:
        loop = current_loop()
        owner = loop.owner("replica")

        async def walk() -> None:
            for _ in range(10):
                await asyncio.sleep(1)

        loop.spawn(owner, walk(), name="walk")
        await asyncio.sleep(3.5)
        owner.cut_at_step = 1
        steps = owner.steps
        await asyncio.sleep(3)
        return owner.steps - steps, owner.alive

    assert run_virtual(main) == (0, False)


def test_a_power_cut_inside_a_step_is_silent() -> None:
    """The dead port's PowerCut ends the step; nobody hears of it, in a task or in a callback."""

    async def main() -> list[Exception]:
        loop = current_loop()
        owner = loop.owner("replica")

        async def commit() -> None:
            loop.cut(owner)
            raise PowerCut

        def callback() -> None:
            loop.cut(owner)
            raise PowerCut

        async def swallowing() -> None:
            try:
                await commit()
            except BaseException as error:
                raise RuntimeError("turned into another error") from error

        loop.spawn(owner, commit(), name="commit")
        await asyncio.sleep(1)
        owner = loop.owner("replica")
        loop.spawn(owner, asyncio.sleep(0), name="sleep").add_done_callback(lambda _: None)
        context = loop.spawn(owner, asyncio.sleep(9), name="sleep")
        assert context.owner is owner

        async def later() -> None:
            loop.call_soon(callback)

        loop.spawn(owner, later(), name="later")
        await asyncio.sleep(1)
        owner = loop.owner("replica")
        loop.spawn(owner, swallowing(), name="swallowing")
        await asyncio.sleep(1)
        gc.collect()
        return loop.unhandled

    assert run_virtual(main) == []


def test_a_power_cut_of_the_living_is_a_failure() -> None:
    """Raised where nobody lost power, it is a bug, and is reported as one."""

    async def main() -> None:
        async def confused() -> None:
            raise PowerCut

        current_loop().spawn(current_loop().owner("alive"), confused(), name="confused")
        await asyncio.sleep(1)

    with pytest.raises(Unhandled, match="nobody looked") as caught:
        run_virtual(main)
    assert "PowerCut" in str(caught.value.exceptions[0])


def test_the_dead_start_nothing() -> None:
    """What is spawned for a dead owner, or by its last step, never runs; nor does its timer."""

    async def main() -> list[str]:
        loop = current_loop()
        ran: list[str] = []
        owner = loop.owner("replica")

        async def late(name: str) -> None:
            ran.append(name)

        async def last_step() -> None:
            loop.cut(owner)
            asyncio.create_task(late("child"))  # noqa: RUF006  # the reference is the owner's to lose
            loop.call_soon(ran.append, "soon")
            loop.call_later(1, ran.append, "later")

        loop.spawn(owner, last_step(), name="last")
        await asyncio.sleep(1)
        loop.spawn(owner, late("spawned"), name="late")
        await asyncio.sleep(5)
        return ran

    assert run_virtual(main) == []


def test_a_living_task_may_answer_the_dead() -> None:
    """Setting a future the dead wait for, or releasing their lock, wakes nobody and harms nobody."""

    async def main() -> list[str]:
        loop = current_loop()
        ran: list[str] = []
        answer: asyncio.Future[int] = loop.create_future()
        event = asyncio.Event()

        async def wait(what: Awaitable[Any]) -> None:
            await what
            ran.append("woken")

        owner = loop.owner("replica")
        loop.spawn(owner, wait(answer), name="waits")
        loop.spawn(owner, wait(event.wait()), name="waits too")
        await asyncio.sleep(1)
        loop.cut(owner)
        answer.set_result(1)
        event.set()
        await asyncio.sleep(1)
        return ran

    assert run_virtual(main) == []


def test_timers_of_the_dead_move_no_clock() -> None:
    """A deadlock after the cut is found at once, not when the dead's last timer would have fired."""

    async def main() -> int:
        loop = current_loop()
        owner = loop.owner("replica")
        loop.spawn(owner, asyncio.sleep(1_000_000), name="sleeper")
        await asyncio.sleep(1)
        loop.cut(owner)
        return len(loop._timers)

    assert run_virtual(main) == 0


class Reached:
    """Stands for module-level state: what a `finally` of the last world could reach."""

    def __init__(self) -> None:
        self.log: list[str] = []


@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_the_dead_are_closed_before_the_next_world(ending: str) -> None:
    """Suspended coroutines are closed as the run is sealed, in order, and never in a later run."""
    reached = Reached()

    async def haunt(name: str) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            reached.log.append(f"{name} closed")
            await asyncio.sleep(1)  # a coroutine that does not want to go
            reached.log.append(f"{name} never")

    async def never_started(name: str) -> None:
        reached.log.append(f"{name} started")

    async def generator() -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(1)
                yield 1
        finally:
            reached.log.append("generator closed")

    async def iterate() -> None:
        async for _ in generator():
            pass

    async def main() -> None:
        loop = current_loop()
        owner = loop.owner("replica")
        for name in ("a", "b"):
            loop.spawn(owner, haunt(name), name=name)
        loop.spawn(owner, iterate(), name="iterate")
        await asyncio.sleep(1.5)
        loop.cut(owner)
        loop.spawn(owner, never_started("c"), name="c")
        await asyncio.sleep(1)
        assert reached.log == []
        if ending == "raises":
            raise LookupError("main fails")

    if ending == "raises":
        with pytest.raises(LookupError):
            run_virtual(main)
    else:
        run_virtual(main)
    # Whether closing the task that iterates also closes its generator differs between Pythons.
    at_the_end = list(reached.log)
    assert [entry for entry in at_the_end if entry != "generator closed"] == ["a closed", "b closed"]
    gc.collect()

    async def next_world() -> None:
        await asyncio.sleep(1)
        gc.collect()

    run_virtual(next_world)
    gc.collect()
    assert reached.log == at_the_end


def test_generators_of_the_dead_stay_open() -> None:
    """An async generator the dead left half-way is dropped without its `finally`, even in a cycle."""

    async def main(cut: bool) -> list[str]:
        loop = current_loop()
        said: list[str] = []

        async def parts() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                said.append(f"closed by {current_owner()}")

        async def abandon() -> None:
            iterator = parts()
            await anext(iterator)
            cycle: list[Any] = [iterator]
            cycle.append(cycle)

        owner = loop.owner("replica")
        await loop.spawn(owner, abandon(), name="abandon")
        if cut:
            loop.cut(owner)
        gc.collect()
        await asyncio.sleep(1)
        return said

    assert run_virtual(lambda: main(cut=False)) == ["closed by <Owner replica#1>"]
    assert run_virtual(lambda: main(cut=True)) == []


def owners_in_a_set() -> Callable[[], Awaitable[list[str]]]:
    async def main() -> list[str]:
        loop = current_loop()
        owners = {loop.owner(f"replica-{n}") for n in range(7)}
        return [owner.name for owner in owners]

    return main


def test_sets_of_owners_have_one_order() -> None:
    """An owner hashes by its number."""
    assert run_virtual(owners_in_a_set()) == [f"replica-{n}" for n in range(7)]


def test_an_owner_sees_its_own_tasks() -> None:
    """`asyncio.all_tasks` inside an owner answers as in a process of its own; the dead have none."""

    async def main() -> tuple[list[str], list[str]]:
        loop = current_loop()

        async def look() -> list[str]:
            return sorted(task.get_name() for task in asyncio.all_tasks())

        loop.spawn(loop.owner("a"), asyncio.sleep(9), name="a")
        loop.spawn(loop.owner("b"), asyncio.sleep(9), name="b")
        loop.cut(loop.owner("b"))
        return await loop.spawn(loop.owner("a"), look(), name="looks"), await look()

    assert run_virtual(main) == (["a", "looks"], ["a", "main"])
