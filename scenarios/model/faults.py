"""What goes wrong in a scenario outside the scripts of its fakes: links, power, stops, the store."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from fakes.durations import DurationUs
from scenarios.model.parts import SECOND_US, Chance, Empty, LinkEnd, OneOf, Part, Positive, ReplicaName, Whole

__all__ = [
    "Blackholed",
    "ByPercentile",
    "Crash",
    "Fault",
    "LatencyPart",
    "LinkDo",
    "LinkPart",
    "ResetPart",
    "Spread",
    "Stop",
    "StoreDo",
    "StoreFault",
    "Trickled",
]


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


class LatencyPart(OneOf):
    """How long one message takes, one way."""

    fixed: DurationUs | None = None
    jitter: Spread | None = None
    percentiles: ByPercentile | None = None


class ResetPart(Part):
    """Reset once so many bytes of the answer's body have passed."""

    after_bytes: Whole = 0


class Blackholed(Part):
    """Where silence falls: nobody takes the connection, the request is lost, or the answer is."""

    phase: Literal["connect", "request", "answer"] = "request"


class Trickled(Part):
    bytes_per_s: Positive


class LinkDo(OneOf):
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

    src: LinkEnd = Field(alias="from")
    dst: LinkEnd = Field(alias="to")
    latency: LatencyPart | None = None
    connections_max: Positive | None = None
    do: LinkDo | None = None
    at: DurationUs = 0
    until: DurationUs | None = None
    count: Positive | None = None
    skip: Whole = 0
    chance: Chance = 1.0

    @model_validator(mode="after")
    def _says_something(self) -> LinkPart:
        if self.latency is None and self.connections_max is None and self.do is None:
            raise ValueError("a link says latency, connections_max or do")
        if self.do is None and self.model_fields_set & {"at", "until", "count", "skip", "chance"}:
            raise ValueError("at, until, count, skip and chance go with do: the law of a link always holds")
        if self.until is not None and self.until <= self.at:
            raise ValueError("until is not after at")
        return self


# --- the timeline of faults -----------------------------------------------------------------------


class Crash(Part):
    """Power cut of a replica: at a time, at its n-th await or at its n-th commit; then back, or not.

    Awaits and commits are counted from `at` (default: from the replica's first start) over all its
    incarnations; a place that does not come within `settle` after the clients have gone is called off.
    `back_after: null` leaves the replica dead until the faults are over.
    """

    crash: ReplicaName
    at: DurationUs = 0
    at_await: Positive | None = None
    at_commit: Positive | None = None
    side: Literal["before", "after"] = "after"
    back_after: DurationUs | None = 2 * SECOND_US

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

    stop: ReplicaName
    at: DurationUs
    back_after: DurationUs | None = 2 * SECOND_US


class StoreDo(Part):
    """How statements fail. `on`: where a transaction begins, where it commits, or any statement."""

    error: Literal["locked", "full", "io"]
    on: Literal["begin", "commit", "any"] = "any"


class StoreFault(Part):
    """The store of a replica (default: of every one) fails from `at` until `until`."""

    store: StoreDo
    at: DurationUs = 0
    until: DurationUs
    replica: ReplicaName | None = None
    count: Positive | None = None
    skip: Whole = 0
    chance: Chance = 1.0

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
