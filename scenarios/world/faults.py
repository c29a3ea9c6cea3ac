"""The timeline: what breaks, when, and when it comes back. A fault leaves a fact, also where it did not come.

Faults on links and in scripts carry their own windows; here are the ones that happen to replicas and
their store: power cuts, graceful stops, store errors. `over` returns when the last of them is over; a cut
that waits for its place waits at most `patience_us` after the clients have gone, and is then called off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, assert_never

from fakes.journal import Journal
from fakes.time import SimLoop
from scenarios.history import Unapplied
from scenarios.model.scenario import Crash, Fault, Stop, StoreFault
from scenarios.world.armed import Armed
from scenarios.world.database import StoreLaw
from scenarios.world.replica import Replica

__all__ = ["DoesNotStart", "ReplicaDead", "Timeline"]

_START_TRIES_MAX = 600
_START_PAUSE_S = 1.0
_START_LOOKS = 600
_START_LOOK_S = 0.05


class DoesNotStart(ValueError):
    """The gateway refuses its very first start, and nothing of the timeline is to blame."""


class ReplicaDead(RuntimeError):
    """A replica does not start, and the timeline is not why."""


async def _bring_back(replica: Replica) -> None:
    """Start a replica that is down, as often as its supervisor would try."""
    for _ in range(_START_TRIES_MAX):
        if replica.running or await replica.start():
            return
        await asyncio.sleep(_START_PAUSE_S)
    raise ReplicaDead(f"{replica.name} did not start in {_START_TRIES_MAX} tries")


async def _supervise(replica: Replica) -> None:
    """What a supervisor does for a replica whose start failed."""
    await asyncio.sleep(_START_PAUSE_S)
    await _bring_back(replica)


class Timeline:
    """The faults of one world."""

    def __init__(
        self,
        faults: Sequence[Fault],
        *,
        replicas: Sequence[Replica],
        drain_us: int,
        loop: SimLoop,
        journal: Journal,
    ) -> None:
        self._faults = tuple(faults)
        self._replicas = {replica.name: replica for replica in replicas}
        self._drain_us = drain_us
        self._loop = loop
        self._journal = journal
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: dict[int, str] = {}  # index of an armed fault that has not fired
        self._none_waits = asyncio.Event()
        self._none_waits.set()
        self._lay_store_faults()

    async def start(self) -> None:
        """The timeline begins, then the replicas start under it; return when they listen, or soon after."""
        for index, fault in enumerate(self._faults):
            self._tasks.append(self._loop.create_task(self._story(index, fault), name=f"fault {index}"))
        for replica in self._replicas.values():
            await self._start(replica)
        for _ in range(_START_LOOKS):
            await asyncio.sleep(_START_LOOK_S)
            if all(replica.up for replica in self._replicas.values()):
                return

    async def _start(self, replica: Replica) -> None:
        if await replica.start() or replica.trouble is None:
            return  # One that lost its power while it started is brought back by that fault's story.
        if not replica.laws:
            raise DoesNotStart(f"{replica.name} does not start: {replica.trouble}")
        self._tasks.append(self._loop.create_task(_supervise(replica), name=f"supervise {replica.name}"))

    def _story(self, index: int, fault: Fault) -> Coroutine[Any, Any, None]:
        match fault:
            case Crash():
                if fault.at_await is None and fault.at_commit is None:
                    return self._crash_by_time(fault)
                self._none_waits.clear()
                self._waiting[index] = "crash at its place: its time did not come"
                # From the first step on: armed before anything of the replica runs.
                came = self._arm(index, fault) if fault.at == 0 else None
                return self._crash_in_place(index, fault, came)
            case Stop():
                return self._stop(fault)
            case StoreFault():
                return self._until(fault.until)
            case _ as never:
                assert_never(never)

    async def over(self, *, patience_us: int) -> None:
        """Return when every fault is over, and every replica listens again."""
        await self._until(max((fault.at for fault in self._faults if isinstance(fault, Crash)), default=0))
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_us / 1_000_000):
                await self._none_waits.wait()
        for replica in self._replicas.values():
            replica.disarm()
        for index, what in self._waiting.items():
            self._tasks[index].cancel()
            self._journal.record(Unapplied(t_us=self._loop.now_us, at=self._target(index), fault=what))
        self._waiting.clear()
        for task in self._tasks:
            try:
                await task
            except asyncio.CancelledError:
                if not task.cancelled():
                    raise
        for replica in self._replicas.values():
            replica.laws.clear()
            await _bring_back(replica)

    def _target(self, index: int) -> str:
        fault = self._faults[index]
        return fault.crash if isinstance(fault, Crash) else "world"

    # Power cuts.

    async def _crash_by_time(self, fault: Crash) -> None:
        replica = self._replicas[fault.crash]
        await self._until(fault.at)
        if not replica.running:
            self._record_unapplied(fault.crash, "crash at its time: the replica was not running")
            return
        replica.cut("time")
        await self._back(replica, fault)

    async def _crash_in_place(self, index: int, fault: Crash, came: asyncio.Event | None) -> None:
        if came is None:
            await self._until(fault.at)
            came = self._arm(index, fault)
        await came.wait()
        del self._waiting[index]
        if not self._waiting:
            self._none_waits.set()
        await self._back(self._replicas[fault.crash], fault)

    async def _back(self, replica: Replica, fault: Crash) -> None:
        if fault.back_after is not None:
            await asyncio.sleep(fault.back_after / 1_000_000)
            await _bring_back(replica)

    def _arm(self, index: int, fault: Crash) -> asyncio.Event:
        """Lays the cut where it is to come."""
        replica, came = self._replicas[fault.crash], asyncio.Event()
        if fault.at_await is not None:
            armed = Armed("await", replica.awaits + fault.at_await, "before", came.set)
        else:
            assert fault.at_commit is not None
            armed = Armed("commit", replica.commits + fault.at_commit, fault.side, came.set)
        self._waiting[index] = f"crash at {armed.where}: it did not come"
        replica.arm(armed)
        return came

    # Stops and the store.

    async def _stop(self, fault: Stop) -> None:
        replica = self._replicas[fault.stop]
        await self._until(fault.at)
        if not replica.up:
            self._record_unapplied(fault.stop, "stop at its time: the replica was not up")
            return
        if not replica.serving:
            self._record_unapplied(fault.stop, "stop at its time: the replica was stopping already")
            return
        await replica.stop(drain_us=self._drain_us)
        if fault.back_after is not None:
            await asyncio.sleep(fault.back_after / 1_000_000)
            await _bring_back(replica)

    def _lay_store_faults(self) -> None:
        for index, fault in enumerate(self._faults):
            if not isinstance(fault, StoreFault):
                continue
            for replica in self._replicas.values():
                if fault.replica not in (None, replica.name):
                    continue
                draw = self._loop.streams.get(f"faults/store/{index}/{replica.name}")
                replica.laws.append(
                    StoreLaw(
                        error=fault.store.error,
                        on=fault.store.on,
                        from_us=fault.at,
                        until_us=fault.until,
                        count=fault.count,
                        skip=fault.skip,
                        chance=fault.chance,
                        draw=draw.random,
                    )
                )

    async def _until(self, at_us: int) -> None:
        if at_us > self._loop.now_us:
            await asyncio.sleep((at_us - self._loop.now_us) / 1_000_000)

    def _record_unapplied(self, at: str, fault: str) -> None:
        self._journal.record(Unapplied(t_us=self._loop.now_us, at=at, fault=fault))
