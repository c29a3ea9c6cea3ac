"""Billing's own books in one shape, whichever billing it is: holds, what was applied to them, and when.

With a remote billing service the truth is what its fake journalled; with the embedded ledger it is the
ledger's entries and holds as the read API gave them last. What the gateway's calls table says of money is
not read here: it is what the books are compared with.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from fakes.journal import BillingFinalized, BillingReserved, Fact
from scenarios.checks.parts import Row, rows
from scenarios.declared.gateway import Declared
from scenarios.history import History, Observed

__all__ = ["Applied", "Books", "Committed", "Hold", "Step"]

_HELD, _SETTLED = "held", "settled"


@dataclass(slots=True)
class _Proved:
    """Something the books say. `source` is the fact, or the reading of which only `rows` speak of it."""

    source: Fact
    rows: tuple[Row, ...]

    @property
    def fact(self) -> Fact:
        """The proof, made only when somebody wants to see it."""
        return replace(self.source, rows=self.rows) if isinstance(self.source, Observed) else self.source


@dataclass(slots=True)
class Applied(_Proved):
    """One finalize that billing applied: so much captured, the rest released."""

    amount_nanos: int


@dataclass(slots=True)
class Hold(_Proved):
    """Money set aside for a call. `open`: whether it still is, at the last reading."""

    hold_id: str
    account: str
    call_id: str
    amount_nanos: int
    opened_us: int
    open: bool = True
    captured_nanos: int = 0


@dataclass(slots=True)
class Step(_Proved):
    """One change of what an account has committed: `held_nanos` and `settled_nanos` added at `t_us`."""

    t_us: int
    held_nanos: int
    settled_nanos: int
    call_id: str | None


class Committed:
    """What an account had settled and held, at any time."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.times_us = [step.t_us for step in steps]
        self.totals = [0, *accumulate(step.held_nanos + step.settled_nanos for step in steps)]

    def most(self, since_us: int, until_us: int) -> int:
        """The most at any instant between the two."""
        first = bisect_left(self.times_us, since_us)
        last = bisect_right(self.times_us, until_us)
        return max(self.totals[first : last + 1])


@dataclass(slots=True)
class Books:
    """`Books.of(history, declared)` gives the one that all checks share. `read`: whether there are any."""

    read: bool = False
    holds: dict[str, Hold] = field(default_factory=dict)
    holds_of: dict[str, list[Hold]] = field(default_factory=lambda: defaultdict(list))  # by call
    applied: dict[str, list[Applied]] = field(default_factory=lambda: defaultdict(list))  # by call
    steps: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))  # by account, in order

    @classmethod
    def of(cls, history: History, declared: Declared) -> Books:
        return history.derived((cls, declared), lambda: cls._made(history, declared))

    def charged_nanos(self, call_id: str) -> int:
        """What was captured for a call, all in all."""
        return sum(one.amount_nanos for one in self.applied.get(call_id, ()))

    def facts(self, call_id: str) -> Sequence[Fact]:
        """What the books hold about a call, as proof."""
        return (
            *(hold.fact for hold in self.holds_of.get(call_id, ())),
            *(one.fact for one in self.applied.get(call_id, ())),
        )

    @classmethod
    def _made(cls, history: History, declared: Declared) -> Books:
        books = cls()
        if declared.billing == "remote":
            books._from_service(history)
        else:
            books._from_ledger(history, declared)
        return books

    def _add(self, hold: Hold) -> None:
        self.holds[hold.hold_id] = hold
        self.holds_of[hold.call_id].append(hold)

    def _from_service(self, history: History) -> None:
        self.read = True
        for fact in history:
            if isinstance(fact, BillingReserved):
                hold = Hold(fact, (), fact.hold_id, fact.account, fact.call_id, fact.amount_nanos, fact.t_us)
                self._add(hold)
                step = Step(fact, (), fact.t_us, fact.amount_nanos, 0, fact.call_id)
                self.steps[fact.account].append(step)
            elif isinstance(fact, BillingFinalized):
                found = self.holds.get(fact.hold_id)
                call_id = found.call_id if found is not None else f"hold {fact.hold_id}"
                released = found.amount_nanos if found is not None and found.open else 0
                self.applied[call_id].append(Applied(fact, (), fact.amount_nanos))
                step = Step(fact, (), fact.t_us, -released, fact.amount_nanos, call_id)
                self.steps[fact.account].append(step)
                if found is not None:
                    found.open = False
                    found.captured_nanos += fact.amount_nanos

    def _from_ledger(self, history: History, declared: Declared) -> None:
        for row, observed in rows(history, "holds"):
            self.read = True
            self._add(
                Hold(
                    observed,
                    (row,),
                    hold_id=row["hold_id"],
                    account=row["account"],
                    call_id=row["call_id"],
                    amount_nanos=row["amount_nanos"],
                    opened_us=row["opened_us"] - declared.epoch_us,
                    open=row["state"] == "open",
                    captured_nanos=row["captured_nanos"],
                )
            )
        transactions: dict[str, list[Row]] = defaultdict(list)
        readings: dict[str, Observed] = {}
        for row, observed in rows(history, "entries"):
            self.read = True
            transactions[row["txn_id"]].append(row)
            readings[row["txn_id"]] = observed
        for txn_id, group in transactions.items():
            self._transaction(readings[txn_id], tuple(group), declared)

    def _transaction(self, source: Fact, entries: tuple[Row, ...], declared: Declared) -> None:
        """A transaction that lowers what is held, or moves what is settled, applied a finalize."""
        held, settled = 0, None
        for row in entries:
            if row["book"] == _HELD:
                held += row["amount_nanos"]
            elif row["book"] == _SETTLED:
                settled = (settled or 0) + row["amount_nanos"]
        if held == 0 and settled is None:
            return  # a grant
        first = entries[0]
        step = Step(source, entries, first["at_us"] - declared.epoch_us, held, settled or 0, first["call_id"])
        self.steps[first["account"]].append(step)
        if held < 0 or settled is not None:
            call_id = first["call_id"] or f"transaction {first['txn_id']}"
            self.applied[call_id].append(Applied(source, entries, settled or 0))
