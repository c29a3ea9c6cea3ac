"""The one `Scenario` value: what a person writes as YAML, what generators draw, what a shrunk failure is.

Frozen and strict: an unknown field, a bare number where a span belongs or a float where money belongs is
an error. Spans are text with a unit in files and integer microseconds here; amounts are quoted dollars in
files and integer nano-dollars here. `to_yaml` prints what `scenarios.load` reads back equal. The model
says what a scenario is; it neither builds a world nor plays anything.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from fakes.durations import DurationUs
from fakes.play import IdempotencyMode, Strict, UnitsText
from fakes.script import BillingAct, ProviderAct
from fakes.tasks.plan import cost_nanos
from scenarios.units import Amount, ClaimText, Rate, Size
from scenarios.yamlish import write

__all__ = [
    "Again",
    "BillingPart",
    "Blackholed",
    "ByPercentile",
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

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_ReplicaName = Annotated[str, Field(pattern=r"^gateway-\d+$")]
_LinkEnd = Annotated[str, Field(pattern=r"^(client|billing|gateway(-\d+)?|[A-Za-z0-9][A-Za-z0-9_-]{0,63})$")]
_Whole = Annotated[int, Field(ge=0)]
_Positive = Annotated[int, Field(ge=1)]
_Chance = Annotated[float, Field(ge=0, le=1, strict=False)]
_HeaderMap = dict[str, str]

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US


class Part(Strict):
    """A part of a scenario. Files use the names that a reader expects (`from`, `for`); Python the fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_by_name=True)


class Empty(Part):
    """`{}`: takes no parameters."""


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
    drain: DurationUs = 30 * _SECOND_US


class Plan(Part):
    """What becomes of a provider's tasks where no act says otherwise. `unit_cost` is dollars a unit."""

    takes: DurationUs = 20 * _SECOND_US
    queued: DurationUs = 2 * _SECOND_US
    units: UnitsText = "0.25"
    unit_cost: Amount = 1_000_000_000
    outcome: Literal["success", "failed"] = "success"
    idempotency: IdempotencyMode = "ignored"

    @model_validator(mode="after")
    def _whole_nanos(self) -> Plan:
        cost_nanos(self.units, self.unit_cost)
        return self


class ProviderPart(Part):
    """A fake provider: the wire it speaks, what its tasks do, and its misbehaviour."""

    wire: Literal["runninghub", "kling", "replicate", "fal", "dashscope", "minimax"]
    plan: Plan = Plan()
    acts: Annotated[tuple[ProviderAct, ...], Field(strict=False)] = ()


class BillingPart(Part):
    """The remote billing service, where the gateway's configuration says `kind: remote`."""

    accounts: dict[_Name, Amount]
    acts: Annotated[tuple[BillingAct, ...], Field(strict=False)] = ()


# --- what clients do ------------------------------------------------------------------------------


class Retry(Part):
    """When a client sends its request again: on these statuses, or when the answer was `lost`.

    `attempts` counts the first one too. The wait doubles up to `wait_max`, and is at least what a
    `Retry-After` of the answer says. Under a key, a retry is another attempt of the same call; without
    one it is a new call.
    """

    attempts: Annotated[int, Field(ge=1, le=50)] = 3
    on: Annotated[tuple[int | Literal["lost"], ...], Field(strict=False)] = (409, 429, 502, 503, 504, "lost")
    wait: DurationUs = 1 * _SECOND_US
    wait_max: DurationUs = 30 * _SECOND_US


class Again(Part):
    """After its answer the client sends the very same request again, so many times, so much later."""

    times: Annotated[int, Field(ge=1, le=20)] = 1
    after: DurationUs = 5 * _SECOND_US


class Poll(Part):
    """How a client asks about its task until the answer is terminal, or until it gives up.

    `pollers` ask side by side; each asks `keep_polling` times more after the terminal answer. `also_by`
    are other accounts that ask about the task as well. `result` fetches the result where the wire has one.
    """

    every: DurationUs = 2 * _SECOND_US
    give_up: DurationUs = 10 * _MINUTE_US
    pollers: Annotated[int, Field(ge=1, le=50)] = 1
    keep_polling: Annotated[int, Field(ge=0, le=50)] = 0
    also_by: Annotated[tuple[_Name, ...], Field(strict=False)] = ()
    leaves_after: DurationUs | None = None
    result: bool = False


class _Arrivals(Part):
    """When the requests of one block of traffic begin, and how long its clients wait for an answer.

    Either each of `clients` starts at `at` (give or take a seeded `spread`) and does `times` calls one
    after another with a `pause` between; or, with `rate` and `for`, calls begin at that rate whatever
    becomes of earlier ones, evenly or at random.
    """

    send: str
    name: _Name | None = None
    at: DurationUs = 0
    clients: Annotated[int, Field(ge=1, le=10_000)] = 1
    times: Annotated[int, Field(ge=1, le=100_000)] = 1
    pause: DurationUs = 1 * _SECOND_US
    spread: DurationUs = 0
    rate: Rate | None = None
    lasting: DurationUs | None = Field(default=None, alias="for")
    arrivals: Literal["random", "even"] = "random"
    headers: _HeaderMap = Field(default_factory=dict)
    timeout: DurationUs = 2 * _MINUTE_US
    leaves_after: DurationUs | None = None

    @model_validator(mode="after")
    def _one_way_to_arrive(self) -> _Arrivals:
        if (self.rate is None) != (self.lasting is None):
            raise ValueError("rate and for go together: so many calls a second, for so long")
        if self.rate is not None and self.times != 1:
            raise ValueError("either rate and for, or times: not both")
        if self.rate is not None and self.lasting is not None and self.rate * self.lasting > 200_000:
            raise ValueError("more than 200000 calls in one block of traffic")
        return self


class TaskTraffic(_Arrivals):
    """Clients that submit tasks and poll them. `key`: none, each call its own, or one shared by all.

    With a shared key all calls of the block are one logical call with one body. `copies` sends each
    request so many times at once; `repeat_with_other_body` sends another body under the key afterwards.
    `thread` is the `X-Thread-Id` header: the account to bill, where it is not the caller's first.
    `poll: null` means that nobody polls.
    """

    send: Literal["task"]
    provider: _Name
    account: _Name
    thread: str | None = None
    path: str | None = None
    body: dict[str, Any] = Field(default_factory=dict)
    key: Literal["own", "none", "shared"] = "own"
    copies: Annotated[int, Field(ge=1, le=50)] = 1
    again: Again | None = None
    repeat_with_other_body: bool = False
    retry: Retry | None = None
    poll: Poll | None = Poll()

    @model_validator(mode="after")
    def _repeats_need_a_key(self) -> TaskTraffic:
        repeats = self.copies > 1 or self.again is not None or self.repeat_with_other_body
        if self.key == "none" and repeats:
            raise ValueError("copies, again and repeat_with_other_body need a key: own or shared")
        return self


class HttpRequest(Part):
    """One raw request. At most one of `text`, `json` and `filler` (so many bytes of padding)."""

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")] = "GET"
    path: str
    headers: _HeaderMap = Field(default_factory=dict)
    text: str | None = None
    json_body: Any = Field(default=None, alias="json")
    filler: Size | None = None
    wait: DurationUs = 0

    @model_validator(mode="after")
    def _one_body(self) -> HttpRequest:
        if sum(part is not None for part in (self.text, self.json_body, self.filler)) > 1:
            raise ValueError("a request has one body: text, json or filler")
        return self


class HttpTraffic(_Arrivals):
    """Clients that send raw requests, one after another. With an `account` they carry its caller key."""

    send: Literal["http"]
    account: _Name | None = None
    requests: Annotated[tuple[HttpRequest, ...], Field(strict=False, min_length=1, max_length=100)]


Traffic = Annotated[TaskTraffic | HttpTraffic, Field(discriminator="send")]


# --- the network ----------------------------------------------------------------------------------


class Spread(Part):
    """Evenly between two bounds."""

    low: DurationUs
    high: DurationUs

    @model_validator(mode="after")
    def _in_order(self) -> Spread:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class ByPercentile(Part):
    """A straight line between these points."""

    p0: DurationUs | None = None
    p50: DurationUs
    p90: DurationUs | None = None
    p99: DurationUs
    p100: DurationUs | None = None

    @model_validator(mode="after")
    def _in_order(self) -> ByPercentile:
        points = [at for _, at in self.points()]
        if points != sorted(points):
            raise ValueError("a higher percentile cannot be faster than a lower one")
        return self

    def points(self) -> tuple[tuple[int, int], ...]:
        named = ((0, self.p0), (50, self.p50), (90, self.p90), (99, self.p99), (100, self.p100))
        return tuple((percent, at) for percent, at in named if at is not None)


class _OneOf(Part):
    """A mapping with exactly one of its keys."""

    @model_validator(mode="after")
    def _exactly_one(self) -> _OneOf:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"names exactly one of {known}; here {', '.join(named) or 'none'}")
        return self

    @property
    def chosen(self) -> str:
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)


class LatencyPart(_OneOf):
    """How long one message takes, one way."""

    fixed: DurationUs | None = None
    jitter: Spread | None = None
    percentiles: ByPercentile | None = None


class ResetPart(Part):
    """Reset once so many bytes of the answer's body have passed."""

    after_bytes: _Whole = 0


class Blackholed(Part):
    """Where silence falls: nobody takes the connection, the request is lost, or the answer is."""

    phase: Literal["connect", "request", "answer"] = "request"


class Trickled(Part):
    bytes_per_s: _Positive


class LinkDo(_OneOf):
    """What a link does to an exchange."""

    refuse: Empty | None = None
    reset_before: Empty | None = None
    reset_during: ResetPart | None = None
    reset_after: Empty | None = None
    blackhole: Blackholed | None = None
    trickle: Trickled | None = None
    half_close: Empty | None = None


class LinkPart(Part):
    """The law of a link (`latency`, `connections_max`), a fault on it (`do`), or both.

    Ends: `client`, `gateway` (every replica) or `gateway-0`, a provider's name, `billing`. The law holds
    for the whole run; the fault from `at` until `until`, sparing `skip` exchanges, meeting `count`.
    """

    src: _LinkEnd = Field(alias="from")
    dst: _LinkEnd = Field(alias="to")
    latency: LatencyPart | None = None
    connections_max: _Positive | None = None
    do: LinkDo | None = None
    at: DurationUs = 0
    until: DurationUs | None = None
    count: _Positive | None = None
    skip: _Whole = 0
    chance: _Chance = 1.0

    @model_validator(mode="after")
    def _says_something(self) -> LinkPart:
        if self.latency is None and self.connections_max is None and self.do is None:
            raise ValueError("a link says latency, connections_max or do")
        if self.until is not None and self.until <= self.at:
            raise ValueError("until is not after at")
        return self


# --- the timeline of faults -----------------------------------------------------------------------


class Crash(Part):
    """Power cut of a replica: at a time, at its n-th await or at its n-th commit; then back, or not.

    Awaits and commits are counted from `at` (default: from the replica's first start) over all its
    incarnations. `back_after: null` leaves it dead until the faults are over.
    """

    crash: _ReplicaName
    at: DurationUs = 0
    at_await: _Positive | None = None
    at_commit: _Positive | None = None
    side: Literal["before", "after"] = "after"
    back_after: DurationUs | None = 2 * _SECOND_US

    @model_validator(mode="after")
    def _one_place(self) -> Crash:
        if self.at_await is not None and self.at_commit is not None:
            raise ValueError("a crash is at_await or at_commit, not both")
        if self.at == 0 and self.at_await is None and self.at_commit is None:
            raise ValueError("a crash comes at a time after 0s, at_await or at_commit")
        if self.at_commit is None and self.side != "after":
            raise ValueError("side goes with at_commit")
        return self


class Stop(Part):
    """Graceful stop: no new connections, the lifespan ends, at most the gateway's `drain` time."""

    stop: _ReplicaName
    at: DurationUs
    back_after: DurationUs | None = 2 * _SECOND_US


class StoreDo(Part):
    """How statements fail. `on`: where a transaction begins, where it commits, or any statement."""

    error: Literal["locked", "full", "io"]
    on: Literal["begin", "commit", "any"] = "any"


class StoreFault(Part):
    """The store of a replica (default: of every one) fails from `at` until `until`."""

    store: StoreDo
    at: DurationUs = 0
    until: DurationUs
    replica: _ReplicaName | None = None
    count: _Positive | None = None
    skip: _Whole = 0
    chance: _Chance = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> StoreFault:
        if self.until <= self.at:
            raise ValueError("until is not after at")
        return self


def _fault_kind(value: Any) -> str | None:
    for kind in ("crash", "stop", "store"):
        if (kind in value) if isinstance(value, dict) else hasattr(value, kind):
            return kind
    return None


Fault = Annotated[
    Annotated[Crash, Tag("crash")] | Annotated[Stop, Tag("stop")] | Annotated[StoreFault, Tag("store")],
    Discriminator(
        _fault_kind,
        custom_error_type="fault_kind",
        custom_error_message="a fault says crash: gateway-0, stop: gateway-0 or store: {error: ...}",
    ),
]


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

    `charged`: the total settled, or per account. `served`: the share of task calls that ended ok.
    `counts` and `reached` speak of what `scenarios.counts` counts; `reached` means at least once.
    """

    charged: Amount | dict[_Name, Amount] | None = None
    served: ClaimText | None = None
    counts: dict[str, ClaimText] = Field(default_factory=dict)
    reached: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Scenario(Part):
    """One scenario: who is there, what clients do, what breaks, and what must come of it."""

    about: Annotated[str, Field(min_length=1)]
    hazards: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-E]\d{1,2}$")], ...], Field(strict=False)] = ()
    gateway: GatewayPart
    providers: Annotated[dict[_Name, ProviderPart], Field(min_length=1)]
    billing: BillingPart | None = None
    traffic: Annotated[tuple[Traffic, ...], Field(strict=False, max_length=1000)] = ()
    links: Annotated[tuple[LinkPart, ...], Field(strict=False, max_length=1000)] = ()
    faults: Annotated[tuple[Fault, ...], Field(strict=False, max_length=1000)] = ()
    settle: DurationUs = 20 * _MINUTE_US
    schedule: Schedule = Schedule()
    judge: Judge = Judge()
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _names_agree(self) -> Scenario:
        replicas = [f"gateway-{number}" for number in range(self.gateway.replicas)]
        ends = {"client", "billing", "gateway", *replicas, *self.providers}
        wrong: list[str] = []
        for index, block in enumerate(self.traffic):
            if isinstance(block, TaskTraffic) and block.provider not in self.providers:
                wrong.append(f"traffic.{index}.provider: {block.provider} is not one of the providers")
        for index, link in enumerate(self.links):
            wrong += [
                f"links.{index}: {end} is no end of a link" for end in (link.src, link.dst) if end not in ends
            ]
        for index, fault in enumerate(self.faults):
            target = fault.crash if isinstance(fault, Crash) else None
            target = fault.stop if isinstance(fault, Stop) else target
            target = fault.replica if isinstance(fault, StoreFault) else target
            if target is not None and target not in replicas:
                wrong.append(f"faults.{index}: there is no {target}")
        if {"billing", "client", "gateway"} & set(self.providers):
            wrong.append("providers: billing, client and gateway are names of other ends")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for editors."""
    found = Scenario.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def to_yaml(scenario: Scenario) -> str:
    """The scenario as a file: defaults left out, fields in the order of the model."""
    return write(scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True))
