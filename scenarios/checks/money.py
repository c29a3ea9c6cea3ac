"""Money: holds and finalizes, what balances, and what stays within its bounds.

Judged on billing's own books against what is declared. What the work was worth is `charging`'s matter,
and what an account may spend is `budget`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from scenarios.checks.books import Books, Hold
from scenarios.checks.chat_budget import bounded_charges
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.holds import hold_ends_by_us
from scenarios.checks.parts import CallRow, Row, rows
from scenarios.checks.pricing import hold_declared
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.declared.providers import Provider
from scenarios.history import History, Observed
from scenarios.units import amount_text

__all__ = [
    "CHECKS",
    "charge_in_bounds",
    "every_hold_ends",
    "finalize_at_most_once",
    "money_is_conserved",
]


@check("finalize-at-most-once", "money")
def finalize_at_most_once(history: History, declared: Declared, tally: Tally) -> None:
    """For each call, billing applied at most one finalize, whatever was polled, retried, replicated,
    killed or restarted."""
    books = Books.of(history, declared)
    for call_id, applied in books.applied.items():
        if not tally.keeps(len(applied) <= 1):
            amounts = ", ".join(amount_text(one.amount_nanos) for one in applied)
            tally.breach(
                f"billing applied {len(applied)} finalizes to call {call_id}: {amounts}",
                *books.facts(call_id),
            )


@check("every-hold-ends", "money")
def every_hold_ends(history: History, declared: Declared, tally: Tally) -> None:
    """Once the faults are over and the declared deadlines have passed, no hold is open: each was captured
    or released. A hold whose work never ends stays open only where that policy is declared."""
    view, books = View.of(history, declared), Books.of(history, declared)
    chats = ChatView.of(history, declared)
    if view.calm_us is None or not view.end_us:
        return
    for hold in books.holds.values():
        if not hold.open:
            tally.saw()
            continue
        if hold.call_id in chats.calls and declared.chat is not None:
            by_us: int | None = max(view.calm_us, hold.opened_us) + declared.chat.ends_within_us
        else:
            by_us = hold_ends_by_us(hold, view, declared)
        if by_us is None or view.end_us < by_us:
            continue  # by policy, or not due
        tally.saw()
        call = view.calls.get(hold.call_id) or chats.calls.get(hold.call_id)
        state = "its call is not in the record" if call is None else f"its call is {call.row['state']}"
        tally.breach(
            f"hold {hold.hold_id} of {amount_text(hold.amount_nanos)} on {hold.account} stays open: {state}",
            hold.fact,
            None if call is None else call.fact,
            *(task.ended for task in view.tasks_for(view.nonce_of(hold.call_id))),
        )


@check("money-is-conserved", "money")
def money_is_conserved(history: History, declared: Declared, tally: Tally) -> None:
    """For each account, granted = available + held + settled at every observation, and every ledger entry
    has its counter-entry: each transaction sums to nothing, and all of them together to the balances."""
    for observed in history.of(Observed):
        for row in observed.rows if observed.what == "accounts" else ():
            parts = [int(row[f"{book}_nanos"]) for book in ("available", "held", "settled")]
            if not tally.keeps(int(row["granted_nanos"]) == sum(parts)):
                granted = amount_text(int(row["granted_nanos"]))
                tally.breach(
                    f"account {row['account']}: granted {granted} is not available + held + settled = "
                    + " + ".join(amount_text(part) for part in parts),
                    replace(observed, rows=(row,)),
                )
    entries = list(rows(history, "entries"))
    transactions: dict[str, list[Row]] = defaultdict(list)
    for row, _ in entries:
        transactions[str(row["txn_id"])].append(row)
    for txn_id, group in transactions.items():
        total = sum(int(row["amount_nanos"]) for row in group)
        if not tally.keeps(total == 0 and len(group) > 1):
            tally.breach(
                f"ledger transaction {txn_id}: its {len(group)} entries sum to {total} nano-dollars, not 0",
                replace(entries[0][1], rows=tuple(group)),
            )
    if entries and _still(history):
        _balances(history, [row for row, _ in entries], tally)


def _still(history: History) -> bool:
    """Whether nothing moved while the final readings were made, one table after the other."""
    quiet = all(int(row["held_nanos"]) == 0 for row, _ in rows(history, "accounts"))
    if quiet and all(row["state"] != "open" for row, _ in rows(history, "holds")):
        return True
    readings = [
        sorted(((row["account"], row["held_nanos"], row["settled_nanos"]) for row in observed.rows), key=str)
        for observed in history.of(Observed)
        if observed.final and observed.what == "accounts" and observed.at != "billing"
    ]
    return len(readings) > 1 and readings[0] == readings[-1]


def _balances(history: History, entries: Sequence[Row], tally: Tally) -> None:
    """Entries and open holds against the accounts' columns, where the readings are of one moment."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for row in entries:
        sums[str(row["account"]), str(row["book"])] += int(row["amount_nanos"])
    open_holds: dict[str, int] = defaultdict(int)
    for row, _ in rows(history, "holds"):
        if row["state"] == "open":
            open_holds[str(row["account"])] += int(row["amount_nanos"])
    for row, observed in rows(history, "accounts"):
        account = str(row["account"])
        found = [
            (f"entries in {book}", sums[account, book], book) for book in ("available", "held", "settled")
        ]
        for what, total, book in (*found, ("open holds", open_holds[account], "held")):
            if not tally.keeps(total == int(row[f"{book}_nanos"])):
                tally.breach(
                    f"account {account}: its {what} sum to {amount_text(total)}, "
                    f"and its row says {amount_text(int(row[f'{book}_nanos']))} {book}",
                    replace(observed, rows=(row,)),
                )


@check("charge-in-bounds", "money")
def charge_in_bounds(history: History, declared: Declared, tally: Tally) -> None:
    """No charge is negative, and none is above the declared bound, whatever numbers caller and provider
    write; what is held is what the route declares, and for a chat enough for all that its request can have
    cost within its own bounds."""
    view, books = View.of(history, declared), Books.of(history, declared)
    for call_id, applied in books.applied.items():
        call = view.calls.get(call_id)
        origin_id = call_id if call is None or call.late_of is None else call.late_of
        holds = books.holds_of.get(origin_id, [])
        provider = None if call is None else declared.providers.get(call.provider)
        bound = None if provider is None or not holds else _bound(provider, holds[0].amount_nanos, declared)
        for one in applied:
            if not tally.keeps(one.amount_nanos >= 0 and (bound is None or one.amount_nanos <= bound)):
                most = "" if bound is None else f", and at most {amount_text(bound)} is declared"
                tally.breach(
                    f"call {call_id} was charged {amount_text(one.amount_nanos)}{most}",
                    one.fact,
                    *(hold.fact for hold in holds),
                )
    for hold in books.holds.values():
        nonce, call = view.nonce_of(hold.call_id), view.calls.get(hold.call_id)
        if nonce is None or call is None or call.late_of is not None:
            continue
        provider = declared.providers.get(call.provider)
        right = None if provider is None else hold_declared(view, nonce, provider)
        if right is None or _for_what_is_owed(hold, call, books, declared):
            continue
        if not tally.keeps(hold.amount_nanos == right):
            tally.breach(
                f"hold {hold.hold_id} is {amount_text(hold.amount_nanos)}, "
                f"and its route declares {amount_text(right)}",
                hold.fact,
            )
    bounded_charges(history, declared, tally)


def _for_what_is_owed(hold: Hold, call: CallRow, books: Books, declared: Declared) -> bool:
    """Whether the hold was taken only to charge work that had gone on without one: where the declared hold
    no longer fits the account, just what is owed may."""
    went_on = declared.billing_unreachable == "fail_open" and bool(call.flags)
    return went_on and 0 < hold.amount_nanos == books.charged_nanos(call.call_id)


def _bound(provider: Provider, held_nanos: int, declared: Declared) -> int | None:
    """The most that a call may cost: None where a price has no declared maximum."""
    if declared.usage_above_hold == "cap_at_hold":
        return held_nanos
    bounds = [held_nanos]
    for usage in provider.usages:
        if usage.flat_nanos is None and usage.max_nanos is None:
            return None
        bounds += [usage.flat_nanos or 0, usage.max_nanos or 0, usage.estimate_nanos or 0]
    return max(bounds)


CHECKS: tuple[Check, ...] = (
    finalize_at_most_once,
    every_hold_ends,
    money_is_conserved,
    charge_in_bounds,
)
