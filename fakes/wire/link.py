"""A directed pair of names and everything that is true of the connections between them.

How long messages take, how many connections there may be, what goes wrong, and the counts that make
a leak visible. The other end's app and the bytes themselves are none of its business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fakes.chance import Draws, chance
from fakes.wire.faults import LinkFault, Plan, plan
from fakes.wire.latency import Fixed, Latency

__all__ = ["Link", "LinkCounts", "Taker"]


class Taker(Protocol):
    """Who waits for a connection."""

    def given(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """A link's figures at one instant. `open` and `waiting` are 0 once everybody is done."""

    opened: int  # exchanges begun, ever
    completed: int  # of these, whole answers read to their end
    open: int  # connections in use
    open_most: int
    waiting: int  # clients that wait for a connection


class Link:
    """The way from one client to one host.

    `latency` is one way, for each message in either direction; `connect` is what taking up a connection
    costs: nothing by default, as on a connection kept alive.
    """

    def __init__(self, src: str, dst: str, seed: int) -> None:
        self.src = src
        self.dst = dst
        self.connect: Latency = Fixed(0)
        self.connections_max: int | None = None
        self.faults: list[LinkFault] = []
        self.opened = 0
        self.completed = 0
        self.open = 0
        self.open_most = 0
        self._seed = seed
        self._draws = Draws(seed, "latency", src, dst)
        self._latency: Latency = Fixed(0)
        self._fixed_us: int | None = 0
        self._waiting: deque[Taker] = deque()

    @property
    def latency(self) -> Latency:
        return self._latency

    @latency.setter
    def latency(self, latency: Latency) -> None:
        self._latency = latency
        self._fixed_us = latency.us if isinstance(latency, Fixed) else None

    def add_fault(self, fault: LinkFault) -> None:
        self.faults.append(fault)

    def counts(self) -> LinkCounts:
        return LinkCounts(self.opened, self.completed, self.open, self.open_most, len(self._waiting))

    def up_us(self, exchange: int, message: int) -> int:
        """How long this very message to the host takes, whatever else happens on the link."""
        if self._fixed_us is not None:
            return self._fixed_us
        return self._latency.of(self._draws.at(exchange, 2 * message))

    def down_us(self, exchange: int, message: int) -> int:
        """How long this very message from the host takes."""
        if self._fixed_us is not None:
            return self._fixed_us
        return self._latency.of(self._draws.at(exchange, 2 * message + 1))

    def connect_us(self, exchange: int) -> int:
        if type(self.connect) is Fixed:
            return self.connect.us
        return self.connect.of(chance(self._seed, "connect", self.src, self.dst, exchange))

    def plan(self, exchange: int, now_us: int) -> Plan | None:
        if not self.faults:
            return None
        return plan(self.faults, now_us, self._fault_draw(exchange))

    def _fault_draw(self, exchange: int) -> Callable[[int], float]:
        return lambda index: chance(self._seed, "fault", self.src, self.dst, index, exchange)

    def take(self, taker: Taker) -> bool:
        """A connection now, or a place in the queue: `given` is called when its turn comes."""
        if self.connections_max is not None and self.open >= self.connections_max:
            self._waiting.append(taker)
            return False
        self._use()
        return True

    def leave_queue(self, taker: Taker) -> None:
        if taker in self._waiting:
            self._waiting.remove(taker)

    def give_back(self) -> None:
        self.open -= 1
        while self._waiting and (self.connections_max is None or self.open < self.connections_max):
            self._use()
            self._waiting.popleft().given()

    def _use(self) -> None:
        self.open += 1
        self.open_most = max(self.open_most, self.open)
