"""What breaks in a drawn scenario beside providers and billing: links, the store, and replicas.

Crashes come at a time, at the n-th await or at the n-th commit; stops are graceful; the store is locked,
full or broken for a while. Every fault ends by itself or at calm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from hypothesis.strategies import DrawFn

from scenarios.generate.gateway import Known
from scenarios.generate.plain import (
    Plain,
    Word,
    chances,
    either,
    fields,
    moments,
    nothing,
    scaled,
    seldom,
    sometimes,
    spans,
    whole,
    windows,
)

__all__ = ["FAULT_KINDS", "LINK_KINDS", "faults", "latencies", "link_faults", "schedules"]

LINK_KINDS = (
    "reset_after",
    "reset_before",
    "reset_during",
    "refuse",
    "blackhole",
    "trickle",
    "half_close",
)
FAULT_KINDS = ("crash", "crash_at_commit", "crash_at_await", "store", "stop")

_AWAITS = (30, 80, 250)
_COMMITS = (8, 25, 80)

_DOES: Mapping[str, Word] = MappingProxyType(
    {
        "refuse": nothing,
        "reset_before": nothing,
        "reset_during": fields(after_bytes=sometimes(whole(1, 300))),
        "reset_after": nothing,
        "blackhole": fields(phase=sometimes(either("connect", "answer"))),
        "trickle": fields(bytes_per_s=either(1_000, 200, 50, 5)),
        "half_close": nothing,
    }
)
_WHEN = windows("at", "until")
_HOW_OFTEN = fields(count=sometimes(whole(1, 4)), skip=seldom(whole(1, 6)), chance=seldom(chances()))


def link_faults(gateway: Known, kinds: Sequence[str]) -> Word:
    """One fault on a link, of one of these kinds."""
    ways, kind_of = _ways(gateway), either(*kinds)

    def word(draw: DrawFn) -> Plain:
        kind = kind_of(draw)
        return {**ways(draw), **_WHEN(draw), **_HOW_OFTEN(draw), "do": {kind: _DOES[kind](draw)}}

    return word


def _ways(gateway: Known) -> Word:
    """From and to: the callers' lines, and those behind the gateway."""
    replicas = [f"gateway-{number}" for number in range(gateway.replicas)]
    behind = [*gateway.names, *(["billing"] if gateway.remote else [])]
    pairs = [("gateway", end) for end in behind] + [("client", "gateway")]
    pairs += [(replica, end) for replica in replicas for end in behind]
    pairs += [("client", replica) for replica in replicas]
    return either(*({"from": source, "to": end} for source, end in pairs))


_LAW = either("fixed", "jitter", "percentiles")
_LOW_MS = whole(0, 300)
_MORE_MS = whole(0, 700)
_CONNECTIONS = fields(connections_max=sometimes(whole(2, 6)))


def latencies(gateway: Known) -> Word:
    """The law of a link: it holds for the whole run, so it leaves every deadline room."""
    ways = _ways(gateway)

    def word(draw: DrawFn) -> Plain:
        law, low_ms = _LAW(draw), _LOW_MS(draw)
        low, high = f"{low_ms}ms", f"{low_ms + _MORE_MS(draw)}ms"
        said = {
            "fixed": low,
            "jitter": {"low": low, "high": high},
            "percentiles": {"p50": low, "p99": high},
        }
        return {**ways(draw), "latency": {law: said[law]}, **_CONNECTIONS(draw)}

    return word


_AT = fields(at=sometimes(moments()))
_WHERE: Mapping[str, Word] = MappingProxyType(
    {
        "crash": fields(at=moments()),
        "crash_at_await": fields(at_await=scaled(*_AWAITS)),
        "crash_at_commit": fields(at_commit=scaled(*_COMMITS), side=sometimes(either("before"))),
    }
)
_STOPPED_AT = fields(at=moments())
_BACK = fields(back_after=sometimes(spans(0, 40_000, by_ms=500)))
_STAYS_DEAD = either(False, False, False, False, True)
_STORE_WHEN = windows("at", "until", always_ends=True)
_STORE_DOES = fields(error=either("locked", "full", "io"), on=sometimes(either("begin", "commit")))
_STORE_HOW_OFTEN = fields(
    count=sometimes(whole(1, 6)), skip=seldom(whole(1, 30)), chance=sometimes(chances())
)


def faults(gateway: Known, kinds: Sequence[str]) -> Word:
    """One fault of the timeline, of one of these kinds."""
    kind_of, number = either(*kinds), whole(0, gateway.replicas - 1)

    def word(draw: DrawFn) -> Plain:
        kind, replica = kind_of(draw), f"gateway-{number(draw)}"
        match kind:
            case "store":
                one = fields(replica=sometimes(either(replica)))(draw)
                return {**_STORE_WHEN(draw), **one, **_STORE_HOW_OFTEN(draw), "store": _STORE_DOES(draw)}
            case "stop":
                return {"stop": replica, **_STOPPED_AT(draw), **_back(draw)}
            case _:
                at = _AT(draw) if kind != "crash" else {}
                return {"crash": replica, **at, **_WHERE[kind](draw), **_back(draw)}

    return word


def _back(draw: DrawFn) -> Plain:
    """When the replica starts again; seldom not before the faults are over."""
    found: Plain = {"back_after": None} if _STAYS_DEAD(draw) else _BACK(draw)
    return found


schedules = fields(order=sometimes(either("pick")), step_cost=sometimes(spans(1, 5)))
"""Which interleavings; mostly what asyncio does."""
