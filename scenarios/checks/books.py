"""Billing's own books in one shape, whichever billing it is: holds, what was applied to them, and when.

With a remote billing service the truth is what its fake journalled; with the embedded ledger it is the
ledger's entries and holds as the read API gave them last. What the gateway's calls table says of money is
not read here: it is what the books are compared with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fakes.journal import BillingFinalized, BillingReserved, Fact
from scenarios.checks.parts import Row, rows
from scenarios.declared import Declared
from scenarios.history import History, Observed

__all__ = ["Applied", "Books", "Hold", "Step"]

_HELD, _SETTLED = "held", "settled"


@dataclass(slots=True)
class Applied:
    """One finalize that billing applied: so much captured, the rest released."""

    amount_nanos: int
    fact: Fact


@dataclass(slots=True)
class Hold:
    """Money set aside for a call. `open`: whether it still is, at the last reading."""

    hold_id: str
    account: str
    call_id: str
    amount_nanos: int
    opened_us: int
    fact: Fact
    open: bool = True
    captured_nanos: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One change of what an account has committed: `held_nanos` and `settled_nanos` added at `t_us`."""

    t_us: int
    held_nanos: int
    settled_nanos: int
    call_id: str | None
    fact: Fact


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
                self._add(Hold(fact.hold_id, fact.account, fact.call_id, fact.amount_nanos, fact.t_us, fact))
                step = Step(fact.t_us, fact.amount_nanos, 0, fact.call_id, fact)
                self.steps[fact.account].append(step)
            elif isinstance(fact, BillingFinalized):
                hold = self.holds.get(fact.hold_id)
                call_id = hold.call_id if hold is not None else f"hold {fact.hold_id}"
                released = hold.amount_nanos if hold is not None and hold.open else 0
                self.applied[call_id].append(Applied(fact.amount_nanos, fact))
                self.steps[fact.account].append(Step(fact.t_us, -released, fact.amount_nanos, call_id, fact))
                if hold is not None:
                    hold.open = False
                    hold.captured_nanos += fact.amount_nanos

    def _from_ledger(self, history: History, declared: Declared) -> None:
        for row, observed in rows(history, "holds"):
            self.read = True
            self._add(
                Hold(
                    hold_id=str(row["hold_id"]),
                    account=str(row["account"]),
                    call_id=str(row["call_id"]),
                    amount_nanos=int(row["amount_nanos"]),
                    opened_us=int(row["opened_us"]) - declared.epoch_us,
                    fact=replace(observed, rows=(row,)),
                    open=row["state"] == "open",
                    captured_nanos=int(row["captured_nanos"]),
                )
            )
        transactions: dict[str, list[tuple[Row, Observed]]] = defaultdict(list)
        for row, observed in rows(history, "entries"):
            self.read = True
            transactions[str(row["txn_id"])].append((row, observed))
        for entries in transactions.values():
            self._transaction(entries, declared)

    def _transaction(self, entries: Sequence[tuple[Row, Observed]], declared: Declared) -> None:
        """A transaction that lowers what is held, or moves what is settled, applied a finalize."""
        held = sum(int(row["amount_nanos"]) for row, _ in entries if row["book"] == _HELD)
        settled = [int(row["amount_nanos"]) for row, _ in entries if row["book"] == _SETTLED]
        first, observed = entries[0]
        if held == 0 and not settled:
            return  # a grant
        fact = replace(observed, rows=tuple(row for row, _ in entries))
        call_id = None if first.get("call_id") is None else str(first["call_id"])
        at_us = int(first["at_us"]) - declared.epoch_us
        self.steps[str(first["account"])].append(Step(at_us, held, sum(settled), call_id, fact))
        if held < 0 or settled:
            self.applied[call_id or f"transaction {first['txn_id']}"].append(Applied(sum(settled), fact))
