"""One fake service on the simulated wire with one client: what the tests of fakes play on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from fakes.acts.script import Script
from fakes.billing import BillingService
from fakes.journal import ActPlayed, Fact, Journal
from fakes.tasks import TaskPlan, TaskProvider
from fakes.time import current_loop, run_virtual
from fakes.wire import Answer, DirectClient, Fixed, Timeouts, Wire

T = TypeVar("T")
F = TypeVar("F", bound=Fact)
KEY = "canary-provider-p"


class Stage:
    """A wire without latency, a journal, one service, one client."""

    def __init__(self) -> None:
        self.loop = current_loop()
        self.wire = Wire(self.loop)
        self.wire.link("client", "p.test").latency = Fixed(0)
        self.wire.link("p.test", "client").latency = Fixed(0)
        self.client = DirectClient(self.wire, "client")
        self.journal = Journal()
        self.headers: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {KEY}"),)
        self.provider: TaskProvider
        self.billing: BillingService

    @property
    def now_us(self) -> int:
        return self.loop.now_us

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout_us: int | None = None,
    ) -> Answer:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        timeouts = Timeouts(connect_us=None, read_us=timeout_us, write_us=None, pool_us=None)
        return await self.client.request(
            method, f"http://p.test{path}", headers=(*self.headers, *headers), body=sent, timeouts=timeouts
        )

    async def until(self, seconds: float) -> None:
        await asyncio.sleep(seconds - self.now_us / 1_000_000)

    def facts(self, kind: type[F]) -> list[F]:
        return list(self.journal.of(kind))

    def played(self) -> list[tuple[str, bool]]:
        return [(fact.act, fact.applied) for fact in self.facts(ActPlayed)]


def with_provider(
    main: Callable[[Stage], Awaitable[T]],
    dialect: str = "runninghub",
    *,
    acts: Iterable[Mapping[str, Any]] = (),
    plan: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> T:
    """Runs `main` in virtual time against one provider at p.test."""

    async def play() -> T:
        stage = Stage()
        stage.provider = TaskProvider(
            "p",
            dialect,
            journal=stage.journal,
            clock=lambda: stage.now_us,
            script=Script.for_provider(acts),
            plan=TaskPlan.model_validate(plan or {}),
            seed=seed,
        )
        stage.wire.attach("p.test", stage.provider.app)
        return await main(stage)

    return run_virtual(play)


def with_billing(
    main: Callable[[Stage], Awaitable[T]],
    *,
    acts: Iterable[Mapping[str, Any]] = (),
    accounts: Mapping[str, int] | None = None,
) -> T:
    """Runs `main` in virtual time against a billing service at p.test."""

    async def play() -> T:
        stage = Stage()
        stage.headers = (("authorization", "Bearer canary-billing"),)
        stage.billing = BillingService(
            stage.journal,
            clock=lambda: stage.now_us,
            script=Script.for_billing(acts),
            accounts={"alice": 1_000} if accounts is None else accounts,
        )
        stage.wire.attach("p.test", stage.billing.app)
        return await main(stage)

    return run_virtual(play)


def document(answer: Answer) -> Any:
    return json.loads(answer.body)
