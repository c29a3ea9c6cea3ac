"""One replica of the gateway: it starts, serves, loses its power or stops, and starts again.

A power cut runs nothing of the replica any more: peers see resets, open transactions are gone, the store
file stays. A cut may be armed for the n-th await or the n-th commit, counted over all incarnations. The
replica decides nothing: the timeline arms, cuts, stops and starts it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any

from fakes.journal import Journal
from fakes.time import Owner, SimLoop
from fakes.wire import HttpxTransport, Lifespan, LifespanFailed, Wire
from scenarios.history import Crashed, GatewayLogged, Restarted, StartFailed, Stopped, StoreFaulted
from scenarios.world.armed import Armed, Cuts
from scenarios.world.database import CommitCut, Power, StoreLaw, connect
from scenarios.world.doors import Doors, Gateway

__all__ = ["Replica"]

_START_S = 60
_DRAIN_LOOK_US = 10_000


class Replica:
    """`name` is its end of every link; it listens at `name.test`."""

    def __init__(
        self,
        name: str,
        *,
        gateway: Gateway,
        config: Mapping[str, Any],
        environ: Mapping[str, str],
        store: str,
        loop: SimLoop,
        wire: Wire,
        journal: Journal,
    ) -> None:
        self.name = name
        self.host = f"{name}.test"
        self.incarnation = 0
        self.commits = 0
        self.laws: list[StoreLaw] = []
        self._gateway = gateway
        self._config = config
        self._environ = environ
        self._store = store
        self._loop = loop
        self._wire = wire
        self._journal = journal
        self._cuts = Cuts()
        self._awaits_before = 0
        self._spool: list[bytes] = []
        self._owner: Owner | None = None
        self._power: Power | None = None
        self._lifespan: Lifespan | None = None
        self._app: Any = None
        self._where: str | None = None  # why the power goes; None: as an armed await, or in silence
        self._silent = False
        self._stopping = False
        self.trouble: str | None = None  # why the last start failed, if it failed of itself

    @property
    def up(self) -> bool:
        """Whether it listens."""
        return self._lifespan is not None

    @property
    def serving(self) -> bool:
        """Whether it listens, and is not about to stop."""
        return self.up and not self._stopping

    @property
    def running(self) -> bool:
        """Whether its process is there at all, serving, starting or stopping."""
        return self._owner is not None

    @property
    def awaits(self) -> int:
        """Steps that its code ever took, over all incarnations."""
        return self._awaits_before + (self._owner.steps if self._owner is not None else 0)

    @property
    def tasks(self) -> int:
        return sum(task.owner is self._owner for task in self._loop.pending()) if self._owner else 0

    @property
    def connections(self) -> int:
        """Open connections to the store."""
        return len(self._power.open) if self._power is not None else 0

    # Starting.

    async def start(self) -> bool:
        """One try to start a new incarnation; False where it failed or lost its power before it was up."""
        self.incarnation += 1
        owner = self._owner = self._loop.owner(self.name)
        power = self._power = self._new_power(owner)
        self.trouble = self._where = None
        self._silent = self._stopping = False
        owner.on_cut.append(partial(self._gone, owner, power))
        self._aim()
        starting = self._loop.create_task(self._start(owner, power), name=f"start {self.name}")
        owner.on_cut.append(partial(_call_off, starting))
        try:
            lifespan, app = await starting
        except asyncio.CancelledError:
            if owner.alive:
                raise
            return False
        except Exception as error:
            self.trouble = _named(error)
            self._record(StartFailed, error=self.trouble)
            self._end(owner)
            return False
        if not owner.alive:
            return False  # the power went after its last step of starting, and before this one
        self._lifespan, self._app = lifespan, app
        self._wire.attach(self.host, app, owner=owner, state=lifespan.state)
        if self.incarnation > 1:
            self._record(Restarted, incarnation=self.incarnation)
        return True

    async def _start(self, owner: Owner, power: Power) -> tuple[Lifespan, Any]:
        built: asyncio.Future[Any] = self._loop.create_future()
        doors = self._doors(owner, power)
        self._loop.spawn(owner, self._build(doors, built), name=f"build {self.name}")
        app = await built
        lifespan = Lifespan(app, self._loop, owner)
        await lifespan.startup(timeout_s=_START_S)
        return lifespan, app

    async def _build(self, doors: Doors, built: asyncio.Future[Any]) -> None:
        try:
            built.set_result(self._gateway.build(self._config, self._environ, doors))
        except Exception as error:
            built.set_exception(error)

    def _doors(self, owner: Owner, power: Power) -> Doors:
        streams = self._loop.streams
        here = f"{self.name}/{self.incarnation}"
        ids = streams.get(f"ids/{here}")

        def new_id(prefix: str) -> str:
            return f"{prefix}_{ids.getrandbits(64):016x}"

        def sink(event: str, text: str) -> None:
            if owner.alive:
                self._record(GatewayLogged, event=event, text=text)

        def database() -> sqlite3.Connection:
            return connect(self._store, power)

        return Doors(
            clock=self._loop.wall_us,
            ids=new_id,
            chance=streams.get(f"chance/{here}"),
            transport=HttpxTransport(self._wire, self.name),
            database=database,
            sink=sink,
            spool=self._spool,
        )

    def _new_power(self, owner: Owner) -> Power:
        return Power(
            owner=owner,
            now_us=lambda: self._loop.now_us,
            cut=partial(self._cut_at_commit, owner),
            committed=self._count_commit,
            failed=lambda error: self._record(StoreFaulted, error=error),
            cuts=self._cuts.commits,
            laws=self.laws,
        )

    # Losing power.

    def cut(self, where: str) -> None:
        """Power cut, now."""
        if self._owner is not None:
            self._where = where
            self._loop.cut(self._owner)

    def arm(self, armed: Armed) -> None:
        """Cut the power at a place that is still to come."""
        self._cuts.arm(armed)
        self._aim()

    def disarm(self) -> list[Armed]:
        """Take back every cut that has not come; answers which they were."""
        left = self._cuts.disarm()
        self._aim()
        return left

    def _aim(self) -> None:
        """Tell the loop before which of this incarnation's steps to cut."""
        if self._owner is not None:
            number = self._cuts.next_await()
            self._owner.cut_at_step = None if number is None else number - self._awaits_before

    def _count_commit(self) -> int:
        self.commits += 1
        return self.commits

    def _cut_at_commit(self, owner: Owner, cut: CommitCut) -> None:
        self._where = f"commit {cut.at_commit} {cut.side}"
        self._loop.cut(owner)

    def _gone(self, owner: Owner, power: Power) -> None:
        """The owner was cut, whoever did it."""
        power.drop()
        if owner is not self._owner:
            return
        self._awaits_before += owner.steps
        self._owner = self._power = self._lifespan = None
        if self._silent:
            return
        # Without a place the loop did it, just before the step after the last one that ran.
        came = self._cuts.came(self._where, awaits=self._awaits_before)
        self._record(Crashed, where=self._where or (came.where if came else "time"))
        if came is not None:
            came.fired()

    def _end(self, owner: Owner) -> None:
        """The process ends in order: what is left of it goes without a word."""
        self._silent = True
        self._wire.detach(self.host)
        self._loop.cut(owner)

    def off(self) -> None:
        """The run is over: whatever still runs here ends without a word."""
        if self._owner is not None:
            self._end(self._owner)

    def close(self) -> None:
        """Close what is still open of the store, without a step of the replica's own."""
        if self._power is not None:
            self._power.drop()

    # Stopping.

    async def stop(self, *, drain_us: int) -> None:
        """Graceful: the app takes nothing new and finishes what it has, then nobody listens, then it ends."""
        owner, lifespan = self._owner, self._lifespan
        if owner is None or lifespan is None:
            return
        self._stopping = True
        self._loop.spawn(owner, self._drain(), name=f"drain {self.name}")
        await asyncio.sleep(0)
        for _ in range(drain_us // _DRAIN_LOOK_US):
            if not owner.alive or not self._wire.serving(self.host):
                break
            await asyncio.sleep(_DRAIN_LOOK_US / 1_000_000)
        if not owner.alive:
            return
        clean = not self._wire.serving(self.host)
        self._wire.detach(self.host)
        stopping = self._loop.create_task(
            lifespan.shutdown(timeout_s=drain_us / 1_000_000), name=f"stop {self.name}"
        )
        owner.on_cut.append(partial(_call_off, stopping))
        try:
            await stopping
        except LifespanFailed:
            clean = False
        except asyncio.CancelledError:
            if owner.alive:
                raise
            return
        self._record(Stopped, clean=clean)
        self._end(owner)

    async def _drain(self) -> None:
        self._gateway.drain(self._app)

    def _record(self, kind: Any, **said: Any) -> None:
        self._journal.record(kind(t_us=self._loop.now_us, at=self.name, **said))


def _call_off(task: asyncio.Task[Any]) -> None:
    task.cancel()


def _named(error: Exception) -> str:
    """The error and its cause in words: class names and messages, no addresses."""
    cause = error.__cause__
    text = f"{type(error).__name__}: {error}"
    return text if cause is None else f"{text} ({type(cause).__name__}: {cause})"
