"""Budget: what an account may commit, what it is refused, and that no provider works unheld.

Committed is settled plus held. The books are walked in the order in which billing applied things; the
clock of the books is brought to the history's by the declared epoch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from fakes.journal import BillingRefused
from scenarios.checks.books import Books, Committed, Step
from scenarios.checks.chat_budget import no_phantoms, nothing_unheld
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.parts import CallRow, Served
from scenarios.checks.pricing import hold_declared
from scenarios.checks.reading import read_json
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import History, LinkChanged
from scenarios.units import amount_text

__all__ = [
    "CHECKS",
    "budget_never_exceeded",
    "no_phantom_refusal",
    "no_work_without_hold",
]


@check("budget-never-exceeded", "money")
def budget_never_exceeded(history: History, declared: Declared, tally: Tally) -> None:
    """No hold is taken beyond an account's grant or budget: settled + held never passes it under any
    concurrency, save by what finished work really cost above its hold, where that is the declared policy."""
    view, books = View.of(history, declared), Books.of(history, declared)
    for account, steps in books.steps.items():
        cap = declared.accounts.get(account)
        if cap is None:
            continue
        committed = 0
        for step in steps:
            committed += step.held_nanos + step.settled_nanos
            if step.held_nanos <= 0 or _after_the_work(step, view):
                continue
            if not tally.keeps(committed <= cap.cap_nanos):
                tally.breach(
                    f"account {account}: with this hold {amount_text(committed)} is settled or held, "
                    f"and {amount_text(cap.cap_nanos)} is the most it may be",
                    step.fact,
                )


def _after_the_work(step: Step, view: View) -> bool:
    """Whether the hold is taken for work already done: a late success, or an admission without a hold."""
    call = view.calls.get(step.call_id or "")
    return call is not None and (call.late_of is not None or bool(call.flags))


@check("no-phantom-refusal", "money")
def no_phantom_refusal(history: History, declared: Declared, tally: Tally) -> None:
    """Nobody is refused for want of money while settled + live holds + the hold of the request fit the
    grant and the budget; with a remote billing service, only where that service refused."""
    view, books = View.of(history, declared), Books.of(history, declared)
    billing_refused_us = _refusals_us(history, view)
    committed = {account: Committed(steps) for account, steps in books.steps.items()}
    for exchange in view.exchanges:
        got = exchange.answered
        if got is None or exchange.own_code != "insufficient_funds":
            continue
        since_us, until_us = exchange.sent.t_us, got.t_us
        if declared.billing == "remote":
            after = bisect_left(billing_refused_us, since_us)
            if not tally.keeps(after < bisect_right(billing_refused_us, until_us)):
                tally.breach("refused for want of money, and billing refused nothing", exchange.sent, got)
            continue
        cap = declared.accounts.get(exchange.account)
        provider = declared.providers.get(exchange.sent.provider or "")
        nonce = exchange.nonce
        hold = hold_declared(view, nonce, provider) if provider is not None and nonce is not None else None
        if cap is None or hold is None or not books.read:
            continue
        most = committed[exchange.account].most(since_us, until_us) if exchange.account in committed else 0
        if not tally.keeps(most + hold > cap.cap_nanos):
            tally.breach(
                f"account {exchange.account} was refused a hold of {amount_text(hold)} while "
                f"{amount_text(most)} of {amount_text(cap.cap_nanos)} was settled or held",
                exchange.sent,
                got,
            )
    no_phantoms(history, declared, tally)


def _refusals_us(history: History, view: View) -> list[int]:
    """When billing refused a hold: by its own word, or by a 402 that an act made of an error."""
    found = [fact.t_us for fact in history.of(BillingRefused) if _is_a_no(fact)]
    for served in view.served:
        answered = served.answered if served.received.at == "billing" else None
        if answered is not None and served.received.op == "reserve" and answered.status == 402:
            found.append(answered.t_us)
    return sorted(found)


def _is_a_no(fact: BillingRefused) -> bool:
    """Billing's own word, and not an outage that an act played."""
    return fact.op == "reserve" and (fact.why == "act:refuse" or not fact.why.startswith("act:"))


@check("no-work-without-hold", "money")
def no_work_without_hold(history: History, declared: Declared, tally: Tally) -> None:
    """A provider hears of a submit only once a hold is open for it. Where billing cannot be reached the
    call follows the declared policy: refused under fail_closed, and flagged on its row under fail_open. A no
    of billing is no outage."""
    nothing_unheld(history, declared, tally)
    view, books = View.of(history, declared), Books.of(history, declared)
    if not view.read_calls or not books.read:
        return
    open_to_outages = declared.billing_unreachable == "fail_open"
    refused_us = _told_no(history, view, declared) if open_to_outages else {}
    for nonce, submissions in view.submissions.items():
        calls = view.calls_of(nonce)
        if not calls:
            continue
        first = submissions[0]
        sent_us = first.received.t_us
        held = [call for call in calls if _held_before(call, first, books)]
        flagged = [call for call in calls if open_to_outages and call.flags]
        flagged = [call for call in flagged if refused_us.get(call.call_id, sent_us) >= sent_us]
        if not tally.keeps(bool(held or flagged)):
            call_id = calls[0].call_id
            tally.breach(
                f"{first.received.at} received the submit of call {call_id} while no hold was open for it",
                first.received,
                calls[0].fact,
                *books.facts(call_id),
            )


def _held_before(call: CallRow, served: Served, books: Books) -> bool:
    holds = books.holds_of.get(call.call_id, ())
    return any(hold.opened_us <= served.received.t_us for hold in holds)


def _told_no(history: History, view: View, declared: Declared) -> dict[str, int]:
    """When billing first refused a call's reserve in so many words, where nothing kept that from arriving."""
    if any(link.dst == "billing" for link in history.of(LinkChanged)):
        return {}
    found: dict[str, int] = {}
    for served in view.served:
        received, answered = served.received, served.answered
        if received.at != "billing" or received.op != "reserve" or answered is None:
            continue
        in_time = answered.t_us - received.t_us < declared.billing_timeout_us // 2
        if answered.status == 402 and answered.complete and in_time:
            body = read_json(received.body)
            found.setdefault(str(body.get("call_id")) if isinstance(body, dict) else "", answered.t_us)
    return found


CHECKS: tuple[Check, ...] = (
    budget_never_exceeded,
    no_phantom_refusal,
    no_work_without_hold,
)
