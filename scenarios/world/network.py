"""The links of a world: how long messages take, and what the scenario does to them.

Every way between two ends is laid before anything runs. Where a scenario says nothing, messages take a few
milliseconds, drawn from the seed, so that seeds differ in what meets what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fakes.wire import (
    Blackhole,
    FaultKind,
    Fixed,
    HalfClose,
    Jitter,
    Latency,
    LinkFault,
    Percentiles,
    Refuse,
    ResetAfter,
    ResetBefore,
    ResetDuring,
    Trickle,
    Wire,
)
from scenarios.model.scenario import LatencyPart, LinkDo, LinkPart

__all__ = ["end_faults", "lay"]

_MS = 1_000
_USUAL: dict[str, Latency] = {
    "caller": Jitter(1 * _MS, 10 * _MS),
    "provider": Jitter(5 * _MS, 50 * _MS),
    "billing": Jitter(1 * _MS, 10 * _MS),
}


def lay(
    wire: Wire, links: Iterable[LinkPart], *, replicas: Sequence[str], providers: Iterable[str], billing: bool
) -> None:
    """Every way there is, with its usual latency, then what the scenario says of it."""
    backends = [*((name, _USUAL["provider"]) for name in providers)]
    if billing:
        backends.append(("billing", _USUAL["billing"]))
    for replica in replicas:
        wire.link("client", f"{replica}.test").latency = _USUAL["caller"]
        for backend, latency in backends:
            wire.link(replica, f"{backend}.test").latency = latency
    for part in links:
        for src in _ends(part.src, replicas):
            for dst in _ends(part.dst, replicas):
                link = wire.link(src, f"{dst}.test")
                if part.latency is not None:
                    link.latency = _latency(part.latency)
                if part.connections_max is not None:
                    link.connections_max = part.connections_max
                if part.do is not None:
                    link.add_fault(
                        LinkFault(_kind(part.do), part.at, part.until, part.count, part.skip, part.chance)
                    )


def end_faults(wire: Wire) -> None:
    """The faults are over; the laws stay."""
    for link in wire.links():
        link.faults.clear()


def _ends(end: str, replicas: Sequence[str]) -> Iterator[str]:
    if end == "gateway":
        yield from replicas
    else:
        yield end


def _latency(part: LatencyPart) -> Latency:
    if part.fixed is not None:
        return Fixed(part.fixed)
    if part.jitter is not None:
        return Jitter(part.jitter.low, part.jitter.high)
    assert part.percentiles is not None
    return Percentiles(part.percentiles.points())


def _kind(do: LinkDo) -> FaultKind:
    match do.chosen:
        case "refuse":
            return Refuse()
        case "reset_before":
            return ResetBefore()
        case "reset_after":
            return ResetAfter()
        case "half_close":
            return HalfClose()
    if do.reset_during is not None:
        return ResetDuring(do.reset_during.after_bytes)
    if do.blackhole is not None:
        return Blackhole(do.blackhole.phase)
    if do.trickle is not None:
        return Trickle(do.trickle.bytes_per_s)
    raise AssertionError(do)
