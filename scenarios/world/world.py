"""The world of one run: fakes, network, replicas and clients, built from a scenario and nothing else.

It lives inside one virtual loop and one journal. It builds and wires things together, and tells whoever
plays it what there is; the order of events is the runner's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fakes.acts.script import Script
from fakes.billing import BillingService
from fakes.chat import ChatProvider
from fakes.journal import Journal
from fakes.tasks import TaskPlan, TaskProvider
from fakes.time import SimLoop
from fakes.wire import AppError, Escape, FaultPlayed, Wire
from scenarios import gateways
from scenarios.clients.client import Client
from scenarios.clients.tasks import Traffic
from scenarios.history import AppFailed, Escaped, LinkChanged, Resources
from scenarios.model.scenario import ChatProviderPart, ProviderPart, Scenario
from scenarios.world.doors import Gateway
from scenarios.world.faults import Timeline
from scenarios.world.network import end_faults, lay
from scenarios.world.observe import Observer
from scenarios.world.replica import Replica

__all__ = ["World"]

_PROBE_GRANT_NANOS = 1_000_000 * 10**9

_T = TypeVar("_T")


class _Heard(list[_T], Generic[_T]):
    """A list of the wire's whose growth is heard: what it notes becomes a fact at once, in order."""

    def __init__(self, hear: Callable[[_T], None]) -> None:
        super().__init__()
        self._hear = hear

    def append(self, item: _T, /) -> None:
        super().append(item)
        self._hear(item)


class World:
    """Everything that is there. `store` names one that holds nothing yet."""

    def __init__(
        self, scenario: Scenario, *, gateway: Gateway, loop: SimLoop, journal: Journal, store: str
    ) -> None:
        self.scenario = scenario
        self.config = gateways.with_probe(gateways.gateway_config(scenario))
        self.models = tuple(gateways.models(self.config))
        self.loop = loop
        self.journal = journal
        self.wire = Wire(loop)
        self._listen()
        self.providers = {name: self._provider(name, part) for name, part in scenario.providers.items()}
        self.billing = self._billing()
        environ = gateways.environ(self.config)
        self.replicas = [
            Replica(
                f"gateway-{number}",
                gateway=gateway,
                config=self.config,
                environ=environ,
                store=store,
                loop=loop,
                wire=self.wire,
                journal=journal,
            )
            for number in range(scenario.gateway.replicas)
        ]
        names = [replica.name for replica in self.replicas]
        lay(
            self.wire,
            scenario.links,
            replicas=names,
            providers=self.providers,
            billing=self.billing is not None,
        )
        for replica in self.replicas:
            self.wire.detach(replica.host)  # Known to the world, though nobody listens there yet.
        self.client = Client(
            loop=loop, wire=self.wire, journal=journal, replicas=names, balance=scenario.gateway.balance
        )
        self.traffic = Traffic(
            scenario, config=self.config, client=self.client, wire=self.wire, loop=loop, journal=journal
        )
        self.timeline = Timeline(
            scenario.faults,
            replicas=self.replicas,
            drain_us=scenario.gateway.drain,
            loop=loop,
            journal=journal,
        )
        self.observer = Observer(
            loop=loop,
            wire=self.wire,
            journal=journal,
            replicas=self.replicas,
            billing=self.billing,
            chats=bool(self.models),
        )

    def _provider(self, name: str, part: ProviderPart | ChatProviderPart) -> TaskProvider | ChatProvider:
        provider = (
            self._of_tasks(name, part) if isinstance(part, ProviderPart) else self._of_chats(name, part)
        )
        self.wire.attach(f"{name}.test", provider.app)
        return provider

    def _of_chats(self, name: str, part: ChatProviderPart) -> ChatProvider:
        return ChatProvider(
            name,
            dialects=part.wire,
            journal=self.journal,
            clock=self._now_us,
            script=Script(part.acts),
            seed=self.loop.seed,
            plan=part.played,
            key=gateways.canary_of_provider(name),
            epoch_us=self.loop.options.epoch_us,
        )

    def _of_tasks(self, name: str, part: ProviderPart) -> TaskProvider:
        plan = TaskPlan().model_copy(
            update={
                "takes_us": part.plan.takes,
                "queued_us": part.plan.queued,
                "units": part.plan.units,
                "unit_cost_nanos": part.plan.unit_cost,
                "outcome": part.plan.outcome,
                "idempotency": part.plan.idempotency,
            }
        )
        return TaskProvider(
            name,
            part.wire,
            journal=self.journal,
            clock=self._now_us,
            script=Script(part.acts),
            seed=self.loop.seed,
            plan=plan,
            key=gateways.canary_of_provider(name),
            epoch_us=self.loop.options.epoch_us,
        )

    def _billing(self) -> BillingService | None:
        part = self.scenario.billing
        if part is None:
            return None
        billing = BillingService(
            self.journal,
            clock=self._now_us,
            accounts={**part.accounts, gateways.PROBE: _PROBE_GRANT_NANOS},
            script=Script(part.acts),
            seed=self.loop.seed,
            key=gateways.CANARY_BILLING,
            epoch_us=self.loop.options.epoch_us,
        )
        self.wire.attach("billing.test", billing.app)
        return billing

    def _now_us(self) -> int:
        return self.loop.now_us

    @property
    def scripts_end_us(self) -> int:
        """When the last window of the scripts, links and store faults that has an end is over."""
        ends = [act.until_us for part in self.scenario.providers.values() for act in part.acts]
        ends += [act.until_us for act in (self.scenario.billing.acts if self.scenario.billing else ())]
        ends += [link.until for link in self.scenario.links]
        return max((end for end in ends if end is not None), default=0)

    def calm(self) -> None:
        """Scripts and links misbehave no more."""
        for provider in self.providers.values():
            provider.calm()
        if self.billing is not None:
            self.billing.calm()
        end_faults(self.wire)

    def settle_fakes(self) -> None:
        """Every task whose end has passed is in the journal."""
        for provider in self.providers.values():
            if isinstance(provider, TaskProvider):
                provider.settle()

    def count_resources(self, phase: str) -> None:
        """What each replica that serves holds now."""
        for replica in self.replicas:
            if replica.serving:
                self._record(
                    Resources,
                    replica.name,
                    phase=phase,
                    tasks=replica.tasks,
                    exchanges=self._exchanges(replica),
                    connections=replica.connections,
                )

    def at_work(self) -> bool:
        """Whether any replica has an exchange under way."""
        return any(self._exchanges(replica) for replica in self.replicas if replica.serving)

    def _exchanges(self, replica: Replica) -> int:
        return self.wire.held_by(src=replica.name, dst=replica.host)

    def close(self) -> None:
        """Give back what outlives a loop: the connections to the store, however the run ended."""
        for replica in self.replicas:
            replica.close()

    # What the wire notes becomes facts.

    def _listen(self) -> None:
        self.wire.escapes = _Heard(self._escaped)
        self.wire.app_errors = _Heard(self._app_failed)
        self.wire.faults_played = _Heard(self._link_played)

    def _escaped(self, escape: Escape) -> None:
        self._record(Escaped, escape.src, host=escape.host)

    def _app_failed(self, failed: AppError) -> None:
        name = failed.host.removesuffix(".test")
        self._record(AppFailed, name, error=f"{type(failed.error).__name__}: {failed.error}")

    def _link_played(self, played: FaultPlayed) -> None:
        dst = played.dst.removesuffix(".test")
        self._record(LinkChanged, f"{played.src}>{dst}", src=played.src, dst=dst, what=played.fault)

    def _record(self, kind: Any, at: str, **said: Any) -> None:
        self.journal.record(kind(t_us=self.loop.now_us, at=at, **said))
