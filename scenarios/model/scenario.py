"""The one `Scenario` value: what a person writes as YAML, what generators draw, what a shrunk failure is.

Frozen and strict: an unknown field, a bare number where a span belongs or a float where money belongs is
an error. Spans are text with a unit in files and integer microseconds here; amounts are quoted dollars in
files and integer nano-dollars here. `to_yaml` prints what `scenarios.load` reads back equal. The model
says what a scenario is; it neither builds a world nor plays anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from fakes.acts.play import IdempotencyMode, UnitsText
from fakes.acts.script import BillingAct, ProviderAct
from fakes.acts.tasks import TaskCosts
from fakes.durations import DurationUs
from fakes.tasks.plan import cost_nanos
from scenarios.model.chat import ChatProviderPart, ChatTraffic
from scenarios.model.faults import (
    Blackholed,
    ByPercentile,
    Crash,
    Fault,
    LatencyPart,
    LinkDo,
    LinkPart,
    ResetPart,
    Spread,
    Stop,
    StoreDo,
    StoreFault,
    Trickled,
)
from scenarios.model.parts import MINUTE_US, SECOND_US, Empty, Name, Part
from scenarios.model.traffic import Again, HttpRequest, HttpTraffic, Poll, Retry, TaskTraffic
from scenarios.units import Amount, ClaimText, CountText
from scenarios.yamlish import write

__all__ = [
    "DAYS_MAX",
    "PLACED",
    "Again",
    "BillingPart",
    "Blackholed",
    "ByPercentile",
    "ChatProviderPart",
    "ChatTraffic",
    "Crash",
    "Empty",
    "Expect",
    "Fault",
    "GatewayPart",
    "HttpRequest",
    "HttpTraffic",
    "Judge",
    "LatencyPart",
    "LinkDo",
    "LinkPart",
    "Part",
    "Plan",
    "Poll",
    "Provider",
    "ProviderPart",
    "ResetPart",
    "Retry",
    "Scenario",
    "Schedule",
    "Spread",
    "Stop",
    "StoreDo",
    "StoreFault",
    "TaskTraffic",
    "Traffic",
    "Trickled",
    "schema",
    "to_yaml",
]

PLACED = "placed"
"""The kind of error whose place is the one in the file, and not in the models."""

DAYS_MAX = 28
"""How long traffic, acts and faults may last: a run has a ceiling in virtual time."""

_LAST_US = DAYS_MAX * 24 * 60 * MINUTE_US

# --- who is there ---------------------------------------------------------------------------------


class GatewayPart(Part):
    """The gateway under test: its own configuration, and how many replicas share its store.

    `config` is the name of a file (beside the scenario's, or one of `suite/gateways/`) or the mapping
    itself; `override` is merged into it, mapping by mapping, so that a scenario changes one policy only.
    """

    config: str | dict[str, Any]
    override: dict[str, Any] = Field(default_factory=dict)
    replicas: Annotated[int, Field(ge=1, le=8)] = 1
    balance: Literal["round_robin", "random", "sticky"] = "round_robin"
    drain: DurationUs = 30 * SECOND_US


class Plan(Part):
    """What becomes of a provider's tasks where no act says otherwise. `unit_cost` is dollars a unit."""

    takes: DurationUs = 20 * SECOND_US
    queued: DurationUs = 2 * SECOND_US
    units: UnitsText = "0.25"
    unit_cost: Amount = 1_000_000_000
    outcome: Literal["success", "failed"] = "success"
    idempotency: IdempotencyMode = "ignored"

    @model_validator(mode="after")
    def _whole_nanos(self) -> Plan:
        cost_nanos(self.units, self.unit_cost)
        return self


class ProviderPart(Part):
    """A fake provider of tasks: the wire it speaks, what its tasks do, and its misbehaviour."""

    wire: Literal["runninghub", "kling", "replicate", "fal", "dashscope", "minimax"]
    plan: Plan = Plan()
    acts: Annotated[tuple[ProviderAct, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _whole_nanos(self) -> ProviderPart:
        for act in self.acts:
            if isinstance(act.does.play, TaskCosts):
                cost_nanos(act.does.play.units, self.plan.unit_cost)
        return self


Provider = Annotated[ProviderPart | ChatProviderPart, Field(discriminator="wire")]


class BillingPart(Part):
    """The remote billing service, where the gateway's configuration says `kind: remote`."""

    accounts: dict[Name, Amount]
    acts: Annotated[tuple[BillingAct, ...], Field(strict=False)] = ()


Traffic = Annotated[TaskTraffic | ChatTraffic | HttpTraffic, Field(discriminator="send")]

# --- what must come of it -------------------------------------------------------------------------


class Schedule(Part):
    """Which interleavings: `fifo` is what asyncio does, `pick` draws the next step from the seed.

    `step_cost` is the most that one step of code costs, drawn from the seed.
    """

    order: Literal["fifo", "pick"] = "fifo"
    step_cost: DurationUs = 0


class Judge(Part):
    """Every check judges every run. `skip` leaves some out; `require` makes an untested one an error."""

    skip: Annotated[tuple[str, ...], Field(strict=False)] = ()
    require: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Expect(Part):
    """What this scenario, beyond the invariants, must show.

    `charged`: the total settled, or per account. `served`: the share of task and chat calls that
    ended ok.
    `counts` and `reached` speak of what `scenarios.counts` counts; `reached` means at least once.
    """

    charged: Amount | dict[Name, Amount] | None = None
    served: ClaimText | None = None
    counts: dict[str, CountText] = Field(default_factory=dict)
    reached: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Scenario(Part):
    """One scenario: who is there, what clients do, what breaks, and what must come of it."""

    about: Annotated[str, Field(min_length=1)]
    hazards: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-E]\d{1,2}$")], ...], Field(strict=False)] = ()
    gateway: GatewayPart
    providers: Annotated[dict[Name, Provider], Field(min_length=1)]
    billing: BillingPart | None = None
    traffic: Annotated[tuple[Traffic, ...], Field(strict=False, max_length=1000)] = ()
    links: Annotated[tuple[LinkPart, ...], Field(strict=False, max_length=1000)] = ()
    faults: Annotated[tuple[Fault, ...], Field(strict=False, max_length=1000)] = ()
    settle: DurationUs = 20 * MINUTE_US
    schedule: Schedule = Schedule()
    judge: Judge = Judge()
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _names_agree(self) -> Scenario:
        wrong = [*self._in_providers(), *self._in_traffic(), *self._in_links(), *self._in_faults()]
        wrong += self._in_time()
        if wrong:
            raise ValidationError.from_exception_data("Scenario", wrong)
        return self

    @property
    def _replicas(self) -> list[str]:
        return [f"gateway-{number}" for number in range(self.gateway.replicas)]

    def _in_providers(self) -> Iterator[InitErrorDetails]:
        for name in self.providers:
            if name in ("billing", "client", "gateway") or name.startswith("gateway-"):
                yield _misnamed(("providers", name), name, "is the name of another end", ())

    def _in_traffic(self) -> Iterator[InitErrorDetails]:
        of_tasks = [name for name, part in self.providers.items() if isinstance(part, ProviderPart)]
        for index, block in enumerate(self.traffic):
            if isinstance(block, TaskTraffic) and block.provider not in of_tasks:
                keys = ("traffic", index, "provider")
                yield _misnamed(keys, block.provider, "is not one of the providers of tasks", of_tasks)

    def _in_links(self) -> Iterator[InitErrorDetails]:
        replicas = ["gateway", *self._replicas]
        behind = [*self.providers, *(("billing",) if self.billing is not None else ())]
        for index, link in enumerate(self.links):
            if link.src not in ("client", *replicas):
                why = "is no end that a link goes from"
                yield _misnamed(("links", index, "from"), link.src, why, ("client", *replicas))
                continue
            ends = replicas if link.src == "client" else behind
            if link.dst not in ends:
                yield _misnamed(("links", index, "to"), link.dst, f"is no end for {link.src}", ends)

    def _in_faults(self) -> Iterator[InitErrorDetails]:
        for index, fault in enumerate(self.faults):
            for field in ("crash", "stop", "replica"):
                name = getattr(fault, field, None)
                if name is not None and name not in self._replicas:
                    yield _misnamed(("faults", index, field), name, "is no replica here", self._replicas)

    def _in_time(self) -> Iterator[InitErrorDetails]:
        ends: list[tuple[tuple[str | int, ...], int | None]] = []
        for index, block in enumerate(self.traffic):
            lasts = block.times * block.pause if block.lasting is None else block.lasting
            ends.append((("traffic", index), block.at + block.spread + lasts))
        for index, link in enumerate(self.links):
            ends.append((("links", index), link.until))
        for index, fault in enumerate(self.faults):
            ends.append((("faults", index), fault.until if isinstance(fault, StoreFault) else fault.at))
        for name, part in self.providers.items():
            ends += [(("providers", name, "acts", at), act.until_us) for at, act in enumerate(part.acts)]
        for at, bill in enumerate(self.billing.acts if self.billing is not None else ()):
            ends.append((("billing", "acts", at), bill.until_us))
        for keys, end_us in ends:
            if end_us is not None and end_us > _LAST_US:
                error = PydanticCustomError(PLACED, "lasts longer than {days} days", {"days": DAYS_MAX})
                yield InitErrorDetails(type=error, loc=keys, input=None)


def _misnamed(keys: tuple[str | int, ...], name: str, why: str, known: Sequence[str]) -> InitErrorDetails:
    """A name that nothing in the scenario has, with its place in the file."""
    there = f": there is {', '.join(known)}" if known else ""
    error = PydanticCustomError(PLACED, "{name} {why}{there}", {"name": name, "why": why, "there": there})
    return InitErrorDetails(type=error, loc=keys, input=name)


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for editors."""
    # As it is written, so that defaults are shown as a file has them: "2s", not microseconds.
    found = Scenario.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def to_yaml(scenario: Scenario) -> str:
    """The scenario as a file: defaults left out, fields in the order of the model."""
    return write(scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True))
