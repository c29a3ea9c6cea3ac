"""A world made of everything known to make two runs differ. Prints its history, and the digest.

Run as a script by the tests, in fresh processes and on other interpreters: `time_leaks.py SEED
[SCHEDULE]`. Needs `fakes.time` and anyio only.
"""

import asyncio
import gc
import os
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator

import anyio

from fakes.time import Options, current_loop, current_owner, run_virtual


class World:
    """Writes down what happens, in order, with the time."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, what: object) -> None:
        owner = current_owner()
        self.lines.append(f"{current_loop().now_us} {owner.name if owner else '-'} {what}")

    async def linger(self, name: str, delay_s: float = 1000) -> str:
        try:
            await asyncio.sleep(delay_s)
        except asyncio.CancelledError as error:
            self.say(f"{name} cancelled {error.args}")
            await asyncio.sleep(0.001)
            self.say(f"{name} has let go")
            raise
        self.say(f"{name} woke")
        return name

    async def groups(self) -> None:
        """asyncio's group cancels its children in the order of a set."""

        async def fail() -> None:
            await asyncio.sleep(0.005)
            raise LookupError("fails the group")

        try:
            async with asyncio.TaskGroup() as group:
                for n in range(9):
                    group.create_task(self.linger(f"child {n}"))
                group.create_task(fail())
        except* LookupError as failed:
            self.say(failed.message)

    async def scopes(self) -> None:
        """anyio keeps tasks and nested scopes in sets, and writes addresses into its messages."""

        async def nest(name: str, depth: int) -> None:
            with anyio.CancelScope(), anyio.CancelScope(shield=depth == 2):
                if depth == 3:
                    await self.linger(name, 0.05)
                else:
                    async with anyio.create_task_group() as group:
                        for n in range(2):
                            group.start_soon(nest, f"{name}.{n}", depth + 1, name=f"{name}.{n}")

        async def start(name: str, *, task_status: anyio.abc.TaskStatus[str]) -> None:
            task_status.started(name)
            await self.linger(name)

        with anyio.move_on_after(0.01):
            async with anyio.create_task_group() as group:
                for n in range(3):
                    group.start_soon(nest, f"nest {n}", 1, name=f"nest {n}")
                    self.say(await group.start(start, f"started {n}", name=f"start {n}"))

    async def sets(self) -> None:
        """`asyncio.wait` and `all_tasks` answer with sets; so may futures lie in one."""
        tasks = [asyncio.create_task(self.linger(f"waited {n}", 0.002 * (n % 3 + 1))) for n in range(9)]
        done, pending = await asyncio.wait(tasks, timeout=0.002)
        self.say(f"done {[task.get_name() for task in done]} pending {[task.get_name() for task in pending]}")
        self.say(f"all {[task.get_name() for task in asyncio.all_tasks()]}")
        for task in pending:
            task.cancel()
        self.say([type(result).__name__ for result in await asyncio.gather(*tasks, return_exceptions=True)])
        loop = asyncio.get_running_loop()
        waiters = [loop.create_future() for _ in range(9)]
        for future in set(waiters):
            self.say(f"future {waiters.index(future)}")
            future.cancel()

    async def instants(self) -> None:
        """Many tasks wake at one instant."""

        async def tick(n: int) -> None:
            for _ in range(4):
                await asyncio.sleep(0.01)
                self.say(f"tick {n}")

        async with asyncio.TaskGroup() as group:
            for n in range(7):
                group.create_task(tick(n))

    async def abandoned(self) -> None:
        """Generators left half-way in cycles: closed when Python's collector finds them."""

        async def parts(n: int) -> AsyncIterator[int]:
            try:
                yield n
                yield n
            finally:
                self.say(f"closing {n}")
                await asyncio.sleep(0.001)
                self.say(f"closed {n}")

        for n in range(20):
            iterator = parts(n)
            await anext(iterator)
            cycle: list[object] = [iterator]
            cycle.append(cycle)
            for _ in range(400):
                await asyncio.sleep(0)
                list(range(n))  # garbage of other kinds, so that thresholds would be met
        gc.collect()
        await asyncio.sleep(1)

    async def chance(self) -> None:
        """What foreign code draws and reads."""
        self.say(
            f"{random.random()} {random.Random().random()} {uuid.uuid4()} {os.urandom(4).hex()} {time.time()}"
        )
        self.say(await anyio.to_thread.run_sync(lambda: f"thread {time.monotonic()} {random.random()}"))
        self.say(await asyncio.to_thread(lambda: f"thread {uuid.uuid4()}"))

    async def replicas(self) -> None:
        """Owners that lose their power in the middle of all this."""

        async def serve(name: str) -> None:
            async with asyncio.TaskGroup() as group:
                for n in range(3):
                    group.create_task(self.linger(f"{name} {n}", 0.01 * (n + 1)))

        loop = current_loop()
        for n in range(4):
            owner = loop.owner(f"replica-{n}")
            owner.on_cut.append(lambda n=n: self.say(f"cut {n}"))  # type: ignore[misc]  # bound now
            owner.cut_at_step = 5 + 2 * n
            loop.spawn(owner, serve(owner.name), name=owner.name)
        await asyncio.sleep(0.1)

    async def play(self) -> list[str]:
        """Each by itself, then all at once."""
        stories = [
            self.groups,
            self.scopes,
            self.sets,
            self.instants,
            self.abandoned,
            self.chance,
            self.replicas,
        ]
        for story in stories:
            self.say(f"{story.__name__}:")
            await story()
        self.say("all at once:")
        async with asyncio.TaskGroup() as group:
            for story in stories:
                group.create_task(story())
        return [*self.lines, f"{current_loop().steps} steps, digest {current_loop().digest()}"]


def history(seed: int, schedule: str = "fifo") -> list[str]:
    """The lines of one run."""
    options = Options(schedule="pick" if schedule == "pick" else "fifo")
    return run_virtual(lambda: World().play(), seed=seed, options=options)


if __name__ == "__main__":
    print(*history(int(sys.argv[1]), *sys.argv[2:]), sep="\n")
