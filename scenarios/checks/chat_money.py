"""What of the promises about money is particular to chats: each function is a part of one promise.

A call is followed from its row to the work at the backend, whose price is computed again (`chat_pricing`).
Where it is not certain which work was whose, nobody is accused.
"""

from __future__ import annotations

from collections import Counter

from scenarios.checks.books import Books
from scenarios.checks.chat_parts import Attempt, ChatCall, Work
from scenarios.checks.chat_pricing import ChatDue, due_for, least_nanos, tariffs_for, work_nanos
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Tally
from scenarios.declared.chat import DeclaredChat
from scenarios.declared.gateway import Declared
from scenarios.history import History
from scenarios.units import amount_text

__all__ = ["TELLING", "charge_due", "free_failures", "lost_work", "price_charged"]

TELLING = frozenset(
    {"usage_estimated", "usage_invalid", "usage_missing", "hold_capped", "unpriced", "left", "no_verdict"}
)
"""Flags that say that an amount is not simply tokens × price."""

_NO_VERDICT = frozenset({408, 504, 524})
"""Statuses of a backend that gave up waiting, and do not say what became of the work."""

_ROW_CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "output_audio")


def charge_due(call: ChatCall, attempt: Attempt, declared: Declared) -> ChatDue | None:
    """What this call must cost for what that attempt brought; None where nobody can tell."""
    if declared.chat is None or attempt.work is None:
        return None
    hold_nanos = int(call.row["hold_nanos"] or 0)
    return due_for(attempt.work, attempt, hold_nanos, declared.chat, declared.epoch_us)


def price_charged(history: History, declared: Declared, tally: Tally) -> None:
    """Part of cost-equals-tokens-times-price: each call that was served."""
    chat = declared.chat
    if chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    for call in view.calls.values():
        if call.open:
            continue
        charged = books.charged_nanos(call.call_id)
        if books.read and not tally.keeps(int(call.row["amount_nanos"] or 0) == charged):
            tally.breach(
                f"call {call.call_id}: billing applied {amount_text(charged)}, and the record says "
                f"{amount_text(int(call.row['amount_nanos'] or 0))}",
                call.fact,
                *books.facts(call.call_id),
            )
        _judge_columns(call, charged, chat, declared.epoch_us, tally)
        serving = None if call.hit else call.serving
        due = None if serving is None else charge_due(call, serving, declared)
        if due is None or serving is None or serving.work is None:
            continue
        if not tally.keeps(due.allows(charged, flagged=bool(call.flags & TELLING))):
            amounts = " or ".join(amount_text(nanos) for nanos in sorted(due.exact | due.flagged))
            bounds = (
                ""
                if due.between is None
                else " or between {} and {}, flagged".format(*map(amount_text, due.between))
            )
            tally.breach(
                f"call {call.call_id} was charged {amount_text(charged)}, flags "
                f"{', '.join(sorted(call.flags)) or 'none'}; {due.why} is {amounts}{bounds}",
                serving.work.ended,
                call.fact,
                serving.fact,
                *books.facts(call.call_id),
            )


def _judge_columns(call: ChatCall, charged: int, chat: DeclaredChat, epoch_us: int, tally: Tally) -> None:
    """What a row says of tokens and prices makes the amount on the same row."""
    row, serving = call.row, call.serving
    if row["usage_source"] != "reported" or row["price_from_us"] is None or call.hit:
        return
    if serving is None or call.flags & {"hold_capped", "unpriced"}:
        return
    at_us = serving.started_us + epoch_us
    names = (row["served_model"], row["upstream_model"])
    tariffs = [one for name in names if (one := chat.prices.tariff(name, at_us)) is not None]
    if not tariffs:
        return
    thought = int(row["reasoning"] or 0)
    counts = {name: int(row[name] or 0) for name in _ROW_CLASSES}
    counts |= {"output": int(row["output"] or 0) - thought, "reasoning": thought}
    searches = int(row["web_searches"] or 0)
    right = [one.cost_nanos(counts, web_searches=searches) for one in tariffs]
    if not tally.keeps(charged in right):
        tally.breach(
            f"call {call.call_id}: the tokens on its row cost {amount_text(right[0])}, and it was charged "
            f"{amount_text(charged)}",
            call.fact,
        )


def free_failures(history: History, declared: Declared, tally: Tally) -> None:
    """Part of failure-is-free: calls for which no backend did any billable work."""
    chat = declared.chat
    if chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    unbound = Counter(work.backend for work in view.works if work.attempt is None)
    for call in view.calls.values():
        works = call.works
        doubtful = any(one.work is None and unbound[one.backend] for one in call.attempts)
        if doubtful or any(_was_work(work) for work in works):
            continue
        charged = books.charged_nanos(call.call_id)
        allowed = (call.hit and chat.cache is not None and chat.cache.hit == "full_price") or (
            "no_verdict" in call.flags and any(one.row["ambiguous"] for one in call.attempts)
        )
        if not tally.keeps(charged == 0 or allowed):
            tally.breach(
                f"call {call.call_id} on {call.account} was charged {amount_text(charged)}, and no backend "
                "did any billable work for it",
                call.fact,
                *books.facts(call.call_id),
                *(fact for work in works for fact in work.facts),
            )


def _was_work(work: Work) -> bool:
    """Whether it may cost something: it was billed, words of it were handed over, or nobody saw its end."""
    if work.ended is None:
        return work.accepted is not None
    return work.ended.billed or work.ended.delivered > 0


def lost_work(history: History, declared: Declared, tally: Tally) -> None:
    """Part of success-is-charged: billed work has a charged call, or one whose row says why not."""
    chat = declared.chat
    if chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    if not view.read:
        return
    unbound = Counter(one.backend for one in view.attempts if one.work is None)
    for work in view.works:
        if work.billed_nanos <= 0 or work.ended is None:
            continue
        attempt = work.attempt
        if attempt is None:
            if unbound[work.backend] > 0:
                unbound[work.backend] -= 1  # it may be that one
            elif work.received.t_us <= view.read_us and not tally.keeps(False):
                tally.breach(f"{work.backend} billed work that is no attempt of the record", *work.facts)
            continue
        call = view.calls.get(attempt.call_id)
        if call is None or call.open:
            continue
        charged = books.charged_nanos(call.call_id)
        if not tally.keeps(_is_accounted_for(call, attempt, work, charged, declared)):
            tally.breach(
                f"call {call.call_id} was charged {amount_text(charged)}, flags "
                f"{', '.join(sorted(call.flags)) or 'none'}; {work.backend} billed "
                f"{amount_text(work.billed_nanos)} for it",
                *work.facts,
                call.fact,
                attempt.fact,
            )


def _is_accounted_for(call: ChatCall, attempt: Attempt, work: Work, charged: int, declared: Declared) -> bool:
    assert declared.chat is not None
    made_of = attempt.backend == call.row["backend"] and attempt is (call.serving or call.last)
    if not made_of:
        return _was_told_no(work) or bool(call.flags & {"unbilled_work", "no_verdict"})
    if charged > 0 or "unbilled_work" in call.flags:
        return True
    if _was_told_no(work):
        return True
    if call.flags & {"unpriced", "no_verdict"}:
        return True
    due = charge_due(call, attempt, declared)
    if due is not None and due.allows(0, flagged=bool(call.flags & TELLING)):
        return True
    if call.flags >= {"left", "usage_estimated"}:  # what was read of it may have cost nothing, in some tier
        tariffs = tariffs_for(work, attempt, declared.chat, declared.epoch_us)
        return any(least_nanos(work, one) == 0 for one in tariffs)
    return work_nanos(work, attempt, declared.chat, declared.epoch_us) in (0, None)


def _was_told_no(work: Work) -> bool:
    """Whether the backend said in so many words that it failed, before it said anything else: who works and
    bills all the same is not to be seen through."""
    if work.ended is None or work.ended.delivered:
        return False
    said = None if work.answered is None else work.answered.status
    refused = said is not None and said >= 400 and said not in _NO_VERDICT
    return refused or any("error" in one for one in work.acts)
