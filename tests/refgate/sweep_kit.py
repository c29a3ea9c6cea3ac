"""A gateway reduced to its ledger, in virtual time: what deliverer and reconciler are tested on.

Store, billing, deliverer and reconciler are the real ones. The handler of a submit, the poll, and the
provider behind them are the simplest there can be, so that what is judged is the sweeping alone.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fakes.acts.script import Script
from fakes.billing import BillingService
from fakes.journal import Journal
from fakes.time import PowerCut, SimLoop, current_loop, run_virtual
from fakes.wire import DirectClient, Fixed, Timeouts, Wire, WireError
from refgate.answer import Answer
from refgate.events import Event
from refgate.ledger.books import Books, Grant
from refgate.ledger.cadence import Cadence
from refgate.ledger.deliverer import Deliverer
from refgate.ledger.housekeeping import Housekeeping
from refgate.ledger.keys import reserve_key
from refgate.ledger.reconciler import Reconciler
from refgate.ledger.records import Attempt, Call, Fresh, Hold, HoldPage, NewCall, Refused, Verdict
from refgate.ledger.remote_billing import RemoteBilling
from refgate.ledger.states import Outcome, State
from refgate.ports import Billing, BillingUnreachable
from refgate.store.database import Database
from refgate.store.sqlite import SqliteStore
from tests.refgate.ledger_kit import FaultyConnection, connect

T = TypeVar("T")
S = 1_000_000
GRANT = 10_000
HOLD = 500
COST = 300


class Provider:
    """Takes work on once for each label, and finishes it some time later. The truth is in `tasks`."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.tasks: dict[str, int] = {}  # task id -> when it began
        self.takes_us = 20 * S
        self.silent = False  # asked, it never answers
        self.broken = False  # asked, it fails in a way nobody foresaw
        self.loses_answers = 0
        self.polls = 0

    async def submit(self, label: str) -> str | None:
        """The task id, or None where the answer got lost."""
        await asyncio.sleep(0.02)
        self.tasks.setdefault(f"task-{label}", self.loop.now_us)
        await asyncio.sleep(0.02)
        if self.loses_answers:
            self.loses_answers -= 1
            return None
        return f"task-{label}"

    async def done(self, task_id: str) -> bool:
        self.polls += 1
        await asyncio.sleep(0.02)
        if self.broken:
            raise ValueError("not foreseen")
        if self.silent:
            await asyncio.Event().wait()
        return self.loop.now_us >= self.tasks[task_id] + self.takes_us


class Wobbly:
    """Any billing, with its troubles: unreachable before or after it applied what was asked, or hanging."""

    def __init__(self, inner: Billing) -> None:
        self.inner = inner
        self.down = False
        self.answers_lost = 0
        self.hanging = 0
        self.raises: Exception | None = None
        self.asked: list[tuple[str, str]] = []

    async def _around(self, what: str, key: str, work: Awaitable[T]) -> T:
        self.asked.append((what, key))
        if self.down:
            work.close()  # type: ignore[attr-defined]  # a coroutine that is not to run
            raise BillingUnreachable("down")
        if self.hanging:
            self.hanging -= 1
            work.close()  # type: ignore[attr-defined]  # the same
            await asyncio.Event().wait()
        result = await work
        if self.raises is not None:
            raise self.raises
        if self.answers_lost:
            self.answers_lost -= 1
            raise BillingUnreachable("answer lost")
        return result

    async def reserve(
        self, *, key: str, account: str, amount_nanos: int, call_id: str, provider: str
    ) -> Hold | Refused:
        asked = self.inner.reserve(
            key=key, account=account, amount_nanos=amount_nanos, call_id=call_id, provider=provider
        )
        return await self._around("reserve", key, asked)

    async def finalize(self, *, key: str, hold_id: str, amount_nanos: int, reason: str) -> Refused | None:
        asked = self.inner.finalize(key=key, hold_id=hold_id, amount_nanos=amount_nanos, reason=reason)
        return await self._around("finalize", key, asked)

    async def open_holds(self, *, opened_before_us: int, after: str | None, limit: int) -> HoldPage:
        asked = self.inner.open_holds(opened_before_us=opened_before_us, after=after, limit=limit)
        return await self._around("open_holds", "", asked)


@dataclass
class Gateway:
    """One incarnation of one replica."""

    world: World
    name: str
    store: SqliteStore
    billing: Wobbly
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        world = self.world
        common: dict[str, Any] = {
            "cadence": world.cadence,
            "clock": world.loop.wall_us,
            "emit": self.events.append,
        }
        chance = random.Random(f"{world.loop.seed}/{self.name}/{world.loop.now_us}")
        self.deliverer = Deliverer(self.store, self.billing, chance=chance, **common)
        self.reconciler = Reconciler(
            self.store,
            self.billing,
            self,
            release=world.release,
            ids=world.ids,
            chance=chance,
            owed=self.deliverer.wake,
            **common,
        )
        self.housekeeping = Housekeeping(self.store, self.billing, **common)

    def start(self) -> None:
        self.deliverer.start()
        self.reconciler.start()
        self.housekeeping.start()

    async def stop(self, within_us: int = 5 * S) -> None:
        await self.deliverer.stop(within_us=within_us)
        await self.reconciler.stop(within_us=within_us)
        await self.housekeeping.stop(within_us=within_us)
        self.store.close()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    # --- what the edge does, as short as it can be ---

    @property
    def now(self) -> int:
        return self.world.loop.wall_us()

    async def submit(self, call_id: str, *, fail_open: bool = False) -> None:
        """A handler's way through a submit. Wherever it ends early, the sweep has to go on."""
        opened = await self.store.open_call(self.world.new_call(call_id))
        if not isinstance(opened, Fresh):
            return
        hold_id, flags = None, ("fail_open",)
        try:
            held = await self.billing.reserve(
                key=reserve_key(call_id), account="alice", amount_nanos=HOLD, call_id=call_id, provider="rh"
            )
            if isinstance(held, Refused):
                await self.store.reject(call_id, reason=held.code, now_us=self.now)
                return
            hold_id, flags = held.hold_id, ()
        except BillingUnreachable:
            if not fail_open:
                await self.store.reject(call_id, reason="billing_unavailable", now_us=self.now)
                return
        lease_us = self.now + self.world.cadence.lease_us
        if not await self.store.reserved(
            call_id, hold_id=hold_id, flags=flags, now_us=self.now, due_us=lease_us
        ):
            return
        sent = Attempt(f"submit-{call_id}", call_id, "rh", "submit", "POST", "/", self.now)
        if not await self.store.begin_submit(call_id, sent, due_us=lease_us):
            return
        task_id = await self.world.provider.submit(call_id)
        if task_id is None:
            await self.store.unknown(
                call_id, reason="read", attempt=None, now_us=self.now, due_us=self.now + S
            )
            return
        await self._started(call_id, task_id)

    async def _started(self, call_id: str, task_id: str) -> None:
        await self.store.started(
            call_id,
            task_id=task_id,
            answer=Answer(200, (), task_id.encode()),
            attempt=None,
            now_us=self.now,
            due_us=self.now + self.world.cadence.poll_after_us,
        )

    async def resolve(self, call: Call) -> None:
        if self.world.resolves:
            task_id = await self.world.provider.submit(call.call_id)
            if task_id is not None:
                await self._started(call.call_id, task_id)

    async def poll(self, call: Call) -> None:
        assert call.task_id is not None
        if not await self.world.provider.done(call.task_id):
            return
        verdict = Verdict(COST, Outcome.SUCCESS, "success", final=Answer(200, (), b"done"))
        if call.outcome is Outcome.EXPIRED:
            won = await self.store.claim_late(
                call.call_id,
                verdict,
                late_id=f"late-{call.call_id}",
                intent_id=self.world.ids("intent"),
                now_us=self.now,
            )
        else:
            won = await self.store.claim(
                call.call_id, verdict, intent_id=self.world.ids("intent"), now_us=self.now
            )
        if won:
            self.deliverer.wake()

    def parting(self, call: Call, outcome: Outcome) -> Answer | None:
        return Answer(502, (), outcome.value.encode())


class World:
    """Replicas on one store file, one provider, one billing of either kind."""

    def __init__(self, path: Path, *, kind: str, release: bool, resolves: bool, cadence: Cadence) -> None:
        self.loop = current_loop()
        self.path = path
        self.kind = kind
        self.release = release
        self.resolves = resolves
        self.cadence = cadence
        self.provider = Provider(self.loop)
        self.fault: Callable[[str, str], None] | None = None  # at the store of every replica
        self.journal = Journal()
        self._ids = 0
        self._connections: list[FaultyConnection] = []
        self.service = BillingService(
            self.journal,
            clock=lambda: self.loop.now_us,
            accounts={"alice": GRANT},
            script=Script.for_billing([]),
        )
        self.wire = Wire(self.loop)
        self.wire.attach("billing.test", self.service.app)
        self.wire.link("gateway", "billing.test").latency = Fixed(5_000)
        self.wire.link("billing.test", "gateway").latency = Fixed(5_000)

    def ids(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids}"

    def new_call(self, call_id: str) -> NewCall:
        now_us = self.loop.wall_us()
        return NewCall(
            call_id=call_id,
            account="alice",
            provider="rh",
            fingerprint="f",
            hold_nanos=HOLD,
            route=0,
            submit_path="/",
            captures={},
            body=b"{}",
            idempotency_key=None,
            now_us=now_us,
            lease_until_us=now_us + self.cadence.lease_us,
        )

    def gateway(self, name: str = "g0") -> Gateway:
        """A replica, not yet started. Built inside an owner's step, it dies with the owner."""
        connections: list[FaultyConnection] = []

        def open_one() -> FaultyConnection:
            cx = connect(self.path)
            cx.fault = lambda sql, side: self.fault(sql, side) if self.fault is not None else None
            connections.append(cx)
            self._connections.append(cx)
            return cx

        database = Database(open_one)
        billing: Billing
        if self.kind == "embedded":
            books = Books(database, clock=self.loop.wall_us, ids=self.ids)
            books.open_accounts({"alice": Grant(GRANT)})
            billing = books
        else:
            billing = RemoteBilling(self._exchange, url="http://billing.test", key="canary-billing")
        owner = self.loop.owners.get(name)
        if owner is not None:
            owner.on_cut.append(lambda: _drop(connections))
            owner.on_cut.append(lambda: self.wire.cut(owner))
        return Gateway(self, name, SqliteStore(database), Wobbly(billing))

    async def _exchange(
        self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> Answer | None:
        try:
            answer = await DirectClient(self.wire, "gateway").request(
                method, url, headers=headers, body=body, timeouts=Timeouts(5 * S, 5 * S, 5 * S, 5 * S)
            )
        except WireError:
            return None
        return Answer(answer.status, answer.headers, answer.body)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        cx = connect(self.path)
        try:
            return cx.execute(sql).fetchall()
        finally:
            cx.close()

    def state(self, call_id: str) -> State:
        ((state,),) = self.rows(f"SELECT state FROM calls WHERE call_id = '{call_id}'")
        return State(state)

    def holds(self) -> list[tuple[str, str, int]]:
        """Call, state and captured amount of every hold that was ever opened, whoever keeps them."""
        if self.kind == "embedded":
            return self.rows("SELECT call_id, state, captured_nanos FROM holds ORDER BY call_id")
        shown = [(hold["call_id"], hold["state"], hold["captured_nanos"]) for hold in self.service.holds()]
        return sorted(shown)

    def balance(self) -> tuple[int, int, int]:
        """Available, held, settled of the one account."""
        if self.kind == "embedded":
            ((available, held, settled),) = self.rows(
                "SELECT available_nanos, held_nanos, settled_nanos FROM accounts"
            )
            return available, held, settled
        balance = self.service.statement()["alice"]
        return balance.available, balance.held, balance.settled

    def assert_settled(self) -> None:
        """Every call has ended, nothing is owed, nothing is held, and what was done is what was charged."""
        states = self.rows("SELECT call_id, state FROM calls WHERE state NOT IN ('finalized', 'rejected')")
        assert states == []
        assert self.rows("SELECT intent_id FROM intents WHERE done_us IS NULL") == []
        assert [hold for hold in self.holds() if hold[1] != "finalized"] == []
        available, held, settled = self.balance()
        assert (held, available + settled) == (0, GRANT)

    def close(self) -> None:
        _drop(self._connections)


def _drop(connections: list[FaultyConnection]) -> None:
    """Power gone: open transactions are rolled back, the file stays, later use fails like a dead port."""
    for cx in connections:
        cx.fault = _dead
        sqlite3.Connection.close(cx)
    connections.clear()


def _dead(sql: str, side: str) -> None:
    raise PowerCut


QUICK = Cadence(keep_us=3_600 * S)


def in_world(
    path: Path,
    main: Callable[[World], Awaitable[T]],
    *,
    kind: str = "embedded",
    release: bool = False,
    resolves: bool = True,
    cadence: Cadence = QUICK,
    seed: int = 0,
) -> T:
    """Runs `main` in virtual time in a fresh world on this store file."""

    async def play() -> T:
        world = World(path, kind=kind, release=release, resolves=resolves, cadence=cadence)
        try:
            return await main(world)
        finally:
            world.close()

    return run_virtual(play, seed=seed)
