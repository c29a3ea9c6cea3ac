"""What a link can do to an exchange, and which exchanges it does it to.

A `LinkFault` is a kind and a rule: a window of time, how many exchanges to let pass, how many to hit,
how likely. `plan` asks every fault of a link once for each exchange, in the order they were added;
the first of each kind wins. Nothing here carries the faults out: the two ends do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, assert_never

__all__ = [
    "Blackhole",
    "FaultKind",
    "HalfClose",
    "LinkFault",
    "Phase",
    "Plan",
    "Refuse",
    "ResetAfter",
    "ResetBefore",
    "ResetDuring",
    "Trickle",
    "plan",
]

Phase = Literal["connect", "request", "answer"]


@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is refused: the other side is never touched."""


@dataclass(frozen=True, slots=True)
class ResetBefore:
    """The connection is reset before the request reaches the app. The client cannot know that."""


@dataclass(frozen=True, slots=True)
class ResetDuring:
    """The connection is reset once this many bytes of the answer's body have passed.

    0: right after the status line. A shorter answer passes unharmed.
    """

    after_bytes: int = 0

    def __post_init__(self) -> None:
        if self.after_bytes < 0:
            raise ValueError(f"cannot reset after {self.after_bytes} bytes")


@dataclass(frozen=True, slots=True)
class ResetAfter:
    """The app writes its whole answer and believes it sent; the client sees a reset and no byte of it."""


@dataclass(frozen=True, slots=True)
class Blackhole:
    """Silence. `connect`: nobody takes the connection up. `request`: the request is lost on its way.
    `answer`: the app does its work, and its answer is lost on the way back.
    """

    phase: Phase = "request"


@dataclass(frozen=True, slots=True)
class Trickle:
    """The answer's body crosses at this rate."""

    bytes_per_s: int

    def __post_init__(self) -> None:
        if self.bytes_per_s < 1:
            raise ValueError(f"cannot trickle at {self.bytes_per_s} bytes a second")


@dataclass(frozen=True, slots=True)
class HalfClose:
    """The client closes its sending half after the request. uvicorn takes that as a client that left."""


FaultKind = Refuse | ResetBefore | ResetDuring | ResetAfter | Blackhole | Trickle | HalfClose


@dataclass(slots=True, eq=False)
class LinkFault:
    """One kind of trouble, and when: in [from_us, until_us), after `skip`, at most `count` times."""

    kind: FaultKind
    from_us: int = 0
    until_us: int | None = None
    count: int | None = None
    skip: int = 0
    probability: float = 1.0
    seen: int = field(default=0, init=False)
    chosen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"a probability lies between 0 and 1: {self.probability}")

    def meets(self, now_us: int, draw: Callable[[int], float], index: int) -> bool:
        """Whether it meets the exchange that begins now. Asking counts."""
        if now_us < self.from_us or (self.until_us is not None and now_us >= self.until_us):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.count is not None and self.chosen >= self.count):
            return False
        if self.probability < 1 and draw(index) >= self.probability:
            return False
        self.chosen += 1
        return True


@dataclass(slots=True)
class Plan:
    """What is going to happen to one exchange."""

    refuse: bool = False
    reset_before: bool = False
    reset_during: int | None = None
    reset_after: bool = False
    blackhole: Phase | None = None
    trickle: int | None = None
    half_close: bool = False


def plan(faults: Sequence[LinkFault], now_us: int, draw: Callable[[int], float]) -> Plan | None:
    """The faults that meet the exchange beginning now; None where there are none. `draw` is per fault."""
    planned: Plan | None = None
    for index, fault in enumerate(faults):
        if not fault.meets(now_us, draw, index):
            continue
        planned = planned or Plan()
        match fault.kind:
            case Refuse():
                planned.refuse = True
            case ResetBefore():
                planned.reset_before = True
            case ResetDuring(after_bytes):
                planned.reset_during = after_bytes if planned.reset_during is None else planned.reset_during
            case ResetAfter():
                planned.reset_after = True
            case Blackhole(phase):
                planned.blackhole = planned.blackhole or phase
            case Trickle(bytes_per_s):
                planned.trickle = planned.trickle or bytes_per_s
            case HalfClose():
                planned.half_close = True
            case _ as never:
                assert_never(never)
    return planned
