"""What every flow works with, and the few moves they share.

`Works` is made once a start and holds no state of its own; `Afterwards` is the one place where work may
outlive the request that began it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from refgate import headers
from refgate.answer import Answer
from refgate.config.providers import Provider
from refgate.config.settings import Settings
from refgate.events import CallEnded, Event, TaskRunning
from refgate.ledger.cadence import Cadence
from refgate.ledger.records import Call, Verdict
from refgate.policy.backoff import Backoff
from refgate.ports import Billing, Store, StoreUnavailable
from refgate.scrub import scrub
from refgate.upstream import Phases, Upstream

__all__ = ["Afterwards", "Works", "insist", "scrub_pairs"]

T = TypeVar("T")

_AGAIN = Backoff(first_us=50_000, max_us=2_000_000)


class Afterwards:
    """Work that goes on though nobody waits for it any more: a submit's way to its recorded verdict.

    Bounded by the requests that may be in hand, each of which begins one, and by its own ceilings.
    """

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Starts work that the end of its request does not end."""
        task = asyncio.create_task(work, name=name)
        self._count += 1
        number = self._count
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))
        return task

    def cut(self) -> None:
        """Cuts all of it off, as a power cut would, save that it may still tell whoever waits."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def settled(self, *, within_us: int) -> None:
        """Waits until all of it is done; what is not done in time is cut off, as a power cut would."""
        try:
            async with asyncio.timeout(within_us / 1e6):
                while self._tasks:
                    # Cancelled by the time-out, it takes what it waits for along.
                    await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True)
class Works:
    """The doors and the settings. Nothing in here decides."""

    settings: Settings
    cadence: Cadence
    clock: Callable[[], int]
    ids: Callable[[str], str]
    chance: random.Random
    store: Store
    billing: Billing
    upstream: Upstream
    emit: Callable[[Event], None]
    wake_deliverer: Callable[[], None]
    afterwards: Afterwards
    phases: Phases

    @property
    def retry_after_s(self) -> int:
        """When it makes sense to ask again about something that the sweep has to find out first."""
        return max(1, -(-self.settings.reconcile.every_us // 1_000_000))

    @property
    def lease_us(self) -> int:
        """How long the sweep keeps off a call that a handler has in hand, billing's time included."""
        billing = self.settings.billing
        return self.settings.reconcile.lease_us + (billing.timeout_us if billing.kind == "remote" else 0)

    def next_look_us(self, call: Call) -> int:
        """When the sweep should ask about a task that somebody has just heard of."""
        return self.cadence.next_look_us(
            created_us=call.created_us, now_us=self.clock(), after_us=self.cadence.poll_after_us
        )

    def tell_end(self, call: Call, verdict: Verdict) -> None:
        """The claim was won here: billing is owed a finalize."""
        self.wake_deliverer()
        self.emit(
            CallEnded(
                t_us=self.clock(),
                call_id=call.call_id,
                provider=call.provider,
                outcome=verdict.outcome.value,
                reason=verdict.reason,
                amount_nanos=verdict.amount_nanos,
                flags=verdict.flags,
            )
        )

    def tell_running(self, call: Call, task_id: str) -> None:
        """The provider has taken the call on."""
        self.emit(
            TaskRunning(t_us=self.clock(), call_id=call.call_id, provider=call.provider, task_id=task_id)
        )

    def handed_on(self, provider: Provider, reply: Answer) -> Answer:
        """A provider's answer as its caller may see it."""
        crossing = headers.to_caller(reply.headers, extra=provider.headers.answer)
        secret = provider.auth.key.reveal()
        return Answer(reply.status, scrub_pairs(crossing, secret), scrub(reply.body, secret))


def scrub_pairs(pairs: headers.Pairs, secret: str) -> headers.Pairs:
    """The pairs that do not carry the secret."""
    return tuple(pair for pair in pairs if secret not in pair[1])


async def insist(works: Works, write: Callable[[], Awaitable[T]], *, for_us: int) -> T:
    """Repeats a write while the store is away: what the outside has already done must be written down.

    Gives up, with StoreUnavailable, when `for_us` are over.
    """
    until_us = works.clock() + for_us
    tries = 0
    while True:
        try:
            return await write()
        except StoreUnavailable:
            tries += 1
            pause_us = _AGAIN.delay_us(tries, works.chance)
            if works.clock() + pause_us >= until_us:
                raise
        await asyncio.sleep(pause_us / 1e6)
