"""One replica of the gateway: its parts put together, started and stopped in order.

The composition below the edge: which store, which billing, which loops. Decides nothing about calls.
"""

from __future__ import annotations

import asyncio

from refgate.answer import Answer
from refgate.chat.backends import Backends, Drains
from refgate.chat.cache import Cache
from refgate.chat.front import Front as ChatFront
from refgate.chat.sweep import ChatSweep
from refgate.chat.works import ChatWorks
from refgate.config.settings import EmbeddedBilling, RemoteBilling, Settings
from refgate.events import Draining, Failed, Started, Stopped
from refgate.flows.front import Front as TaskFront
from refgate.flows.inquiry import ProviderInquiry
from refgate.flows.works import Afterwards, Works, insist
from refgate.gate import Gate
from refgate.ledger import remote_billing
from refgate.ledger.books import Books, Grant
from refgate.ledger.cadence import Cadence
from refgate.ledger.deliverer import Deliverer
from refgate.ledger.events import careful
from refgate.ledger.housekeeping import Housekeeping
from refgate.ledger.reconciler import Reconciler
from refgate.ports import Billing, Ports, SpoolUnusable, StoreUnavailable
from refgate.redaction import Redaction
from refgate.requestlog.log import RequestLog
from refgate.store.chats import SqliteChats
from refgate.store.database import Database
from refgate.store.requests import SqliteRequests
from refgate.store.schema import StoreUnusable
from refgate.store.sqlite import SqliteStore
from refgate.upstream import Failure, Outgoing, Phases, Upstream

__all__ = ["Gateway"]

_OPENING_US = 30_000_000  # how long a start waits for the store
_HOPELESS = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN"})  # waiting mends none of them
_LAST_US = 5_000_000  # what comes after the last call: the loops, and what is owed to billing
_TELLING_US = 1_000_000  # for those who are cut off to be told
_FLUSH_LOOK_US = 20_000
_BILLING_ANSWER_MAX = 4 * 1024 * 1024


class Gateway:
    """What the routes reach: a front for each kind of call; `gate` and `ready` for whoever operates it."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        self.settings = settings
        self.gate = Gate(most=settings.limits.requests)
        self._emit = careful(ports.sink)
        self._clock = ports.clock
        self._upstream = Upstream(ports.transport)
        database = Database(ports.database)
        self.store = SqliteStore(database)
        self._books: Books | None = None
        billing = self._billing(settings, ports, database)
        cadence = _cadence(settings)
        self._deliverer = Deliverer(
            self.store, billing, cadence=cadence, clock=ports.clock, chance=ports.chance, emit=ports.sink
        )
        self.works = Works(
            settings=settings,
            cadence=cadence,
            clock=ports.clock,
            ids=ports.ids,
            chance=ports.chance,
            store=self.store,
            billing=billing,
            upstream=self._upstream,
            emit=self._emit,
            wake_deliverer=self._deliverer.wake,
            afterwards=Afterwards(),
            phases=_phases(settings),
        )
        self._reconciler = Reconciler(
            self.store,
            billing,
            ProviderInquiry(self.works),
            release=settings.policies.task_without_verdict == "release",
            cadence=cadence,
            clock=ports.clock,
            ids=ports.ids,
            chance=ports.chance,
            emit=ports.sink,
            owed=self._deliverer.wake,
        )
        self._housekeeping = Housekeeping(
            self.store, billing, cadence=cadence, clock=ports.clock, emit=ports.sink
        )
        self.chats = SqliteChats(database)
        self.request_log = RequestLog(
            SqliteRequests(database),
            ports.spool,
            Redaction(settings.secrets()),
            settings.request_log,
            clock=ports.clock,
            ids=ports.ids,
            chance=ports.chance,
            emit=ports.sink,
        )
        self._chat_sweep = ChatSweep(
            self.chats,
            chat=settings.chat,
            prices=settings.price_list,
            cadence=cadence,
            clock=ports.clock,
            chance=ports.chance,
            emit=ports.sink,
            note=self.request_log.note,
        )
        self.task_front = TaskFront(self.works)
        self.chat_front = self._chat_front(settings, ports) if settings.models else None
        self._up = False
        self._hurried = False

    def _chat_front(self, settings: Settings, ports: Ports) -> ChatFront:
        works = ChatWorks(
            base=self.works,
            store=self.chats,
            backends=Backends(settings, ports.chance),
            drains=Drains(settings.chat.drain.streams),
            prices=settings.price_list,
            cache=Cache(settings.cache) if settings.cache is not None else None,
            log=self.request_log,
        )
        return ChatFront(works, self.gate, started_us=ports.clock())

    def _billing(self, settings: Settings, ports: Ports, database: Database) -> Billing:
        if isinstance(settings.billing, RemoteBilling):
            declared = settings.billing
            exchange = _Exchange(self._upstream, declared.timeout_us)
            return remote_billing.RemoteBilling(exchange, url=declared.url, key=declared.key.reveal())
        self._books = Books(database, clock=ports.clock, ids=ports.ids)
        return self._books

    async def start(self) -> None:
        """Opens the store and the accounts, then begins to sweep. Raises where there can be no store."""
        try:
            await insist(self.works, self._open, for_us=_OPENING_US)
            if self.settings.models:
                self.request_log.start()
        except (StoreUnavailable, StoreUnusable, SpoolUnusable) as failure:
            which = "" if isinstance(failure, SpoolUnusable) else f"store.path {self.settings.store.path}: "
            self._emit(Failed(t_us=self._clock(), where="start", what=f"{which}{failure}"))
            self.store.close()
            raise
        self._deliverer.start()
        self._reconciler.start()
        self._housekeeping.start()
        if self.settings.models:
            self._chat_sweep.start()
        self._up = True
        self._emit(Started(t_us=self._clock()))

    async def _open(self) -> None:
        try:
            await self.store.page("calls", after=None, limit=1)
        except StoreUnavailable as failure:
            if str(failure) in _HOPELESS:
                raise StoreUnusable(str(failure)) from failure
            raise
        if self._books is not None and isinstance(self.settings.billing, EmbeddedBilling):
            accounts = self.settings.billing.accounts
            self._books.open_accounts(
                {name: Grant(account.grant, account.budget) for name, account in accounts.items()}
            )

    def drain(self) -> None:
        """Takes nothing new from here on."""
        if not self.gate.draining:
            self.gate.close()
            self._emit(Draining(t_us=self._clock(), in_hand=self.gate.in_hand))

    async def hurry(self) -> None:
        """Does not wait for what is in hand any more: it is cut off, as when the time to finish is over."""
        self.drain()
        self._hurried = True
        self.works.afterwards.cut()
        await self.gate.idle(within_us=_TELLING_US)

    async def finish(self) -> None:
        """Takes nothing new and finishes what is in hand, within the declared time. What is not finished
        by then is cut off, and its caller told that nobody knows; the sweep finds it in the store."""
        self.drain()
        drain_us = 0 if self._hurried else self.settings.listen.drain_us
        until_us = self._clock() + drain_us
        await self.gate.idle(within_us=drain_us)
        await self.works.afterwards.settled(within_us=max(until_us - self._clock(), 0))
        await self.gate.idle(within_us=_LAST_US)

    async def stop(self) -> None:
        """Finishes what is in hand, delivers what is owed, and closes."""
        await self.finish()
        self._up = False
        until_us = self._clock() + _LAST_US

        def left_us() -> int:
            return max(until_us - self._clock(), 0)

        await self._chat_sweep.stop(within_us=left_us())
        await self._housekeeping.stop(within_us=left_us())
        await self._reconciler.stop(within_us=left_us())
        await self._flush(until_us)
        await self._deliverer.stop(within_us=left_us())
        await self.request_log.stop(within_us=_LAST_US)
        self.store.close()
        await self._upstream.aclose()
        self._emit(Stopped(t_us=self._clock(), left=self.gate.in_hand))

    async def _flush(self, until_us: int) -> None:
        """Waits while intents are due; what billing does not acknowledge now, the next start delivers."""
        try:
            while (now_us := self._clock()) < until_us:
                next_us = await self.store.next_intent_us()
                if next_us is None or next_us > now_us:
                    return
                self._deliverer.wake()
                await asyncio.sleep(_FLUSH_LOOK_US / 1e6)
        except StoreUnavailable:
            return  # intents are durable; the next start delivers them

    async def ready(self) -> bool:
        """Whether a call sent here now would be taken on."""
        if not self._up or self.gate.draining:
            return False
        try:
            await self.store.probe()
        except StoreUnavailable:
            return False
        return True


class _Exchange:
    """The way to a remote billing service: see `ledger.remote_billing.Exchange`."""

    def __init__(self, upstream: Upstream, timeout_us: int) -> None:
        self._upstream = upstream
        self._phases = Phases(timeout_us, timeout_us, timeout_us, timeout_us, timeout_us)

    async def __call__(
        self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> Answer | None:
        out = Outgoing(method, url, headers, body)
        reply = await self._upstream.ask(out, phases=self._phases, body_max=_BILLING_ANSWER_MAX)
        return None if isinstance(reply, Failure) else reply


def _phases(settings: Settings) -> Phases:
    times = settings.timeouts
    return Phases(times.connect_us, times.read_us, times.write_us, times.pool_us, times.total_us)


def _cadence(settings: Settings) -> Cadence:
    billing_us = settings.billing.timeout_us if isinstance(settings.billing, RemoteBilling) else 0
    return Cadence(
        every_us=settings.reconcile.every_us,
        poll_after_us=settings.reconcile.poll_after_us,
        lease_us=max(settings.reconcile.lease_us, settings.timeouts.total_us, billing_us),
        verdict_within_us=settings.reconcile.verdict_within_us,
        keep_us=settings.idempotency.keep_us,
    )
