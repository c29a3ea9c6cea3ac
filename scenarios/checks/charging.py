"""Charging: what was charged against the work that really ran.

Each task that a provider took on is followed to the call that stands for it, and its price computed
again (`pricing`). Work without a charge needs a row that says so under a declared policy; a charge
without work has no excuse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from scenarios.checks.books import Books
from scenarios.checks.chat_money import free_failures, lost_work, price_charged
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.labels import label_of
from scenarios.checks.matching import Matching, set_aside_nanos
from scenarios.checks.parts import CallRow, Task
from scenarios.checks.pricing import due, told_of
from scenarios.checks.verdicts import Verdicts
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import History
from scenarios.units import amount_text

__all__ = ["CHECKS", "cost_equals_units_times_price", "failure_is_free", "success_is_charged"]


@check("cost-equals-tokens-times-price", "money")
def cost_equals_units_times_price(history: History, declared: Declared, tally: Tally) -> None:
    """The amount charged is exactly units × price of the task that really ran, or Σ over disjoint classes of
    tokens × price of the model that really served, in nano-dollars, rounded once, half up; what has no
    usable figures costs what the declared policy says, flagged on its row. The record names the amount that
    billing applied."""
    price_charged(history, declared, tally)
    view, books = View.of(history, declared), Books.of(history, declared)
    verdicts = Verdicts.of(history, declared)
    for call in view.calls.values():
        applied = books.applied.get(call.call_id)
        if not applied:
            continue
        charged = books.charged_nanos(call.call_id)
        if call.state == "finalized" and not tally.keeps(call.amount_nanos == charged):
            tally.breach(
                f"call {call.call_id}: billing applied {amount_text(charged)}, and the record says "
                f"{'nothing' if call.amount_nanos is None else amount_text(call.amount_nanos)}",
                call.fact,
                *books.facts(call.call_id),
            )
        task, provider = view.task_of(call), declared.providers.get(call.provider)
        if task is None or provider is None or call.outcome in ("expired", "duplicate"):
            continue
        hold_nanos = set_aside_nanos(call, task, view, books, declared)
        first = next(iter(verdicts.told.get((task.provider, task.task_id), ())), None)
        right = due(task, hold_nanos, provider, declared, heard=None if first is None else first.success)
        if right is None:
            continue
        if not tally.keeps(charged in right.amounts):
            amounts = " or ".join(amount_text(nanos) for nanos in sorted(right.amounts))
            tally.breach(
                f"call {call.call_id} was charged {amount_text(charged)}; {right.why} is {amounts}",
                task.ended,
                call.fact,
                *books.facts(call.call_id),
            )
        elif charged in right.flagged and not tally.keeps(bool(call.flags)):
            tally.breach(
                f"call {call.call_id} was charged {amount_text(charged)} ({right.why}), and no flag says so",
                task.ended,
                call.fact,
            )


@check("failure-is-free", "money")
def failure_is_free(history: History, declared: Declared, tally: Tally) -> None:
    """No billable work, no charge: a call whose work failed, was refused, or never began costs nothing."""
    free_failures(history, declared, tally)
    chats = ChatView.of(history, declared).calls
    view, books = View.of(history, declared), Books.of(history, declared)
    for call in view.calls.values():
        work = _work_of(call, view)
        if any(_may_be_billed(task, declared) for task in work):
            continue
        charged = books.charged_nanos(call.call_id)
        if not tally.keeps(charged == 0):
            why = "the work failed" if any(task.ended for task in work) else "no work was done"
            tally.breach(
                f"call {call.call_id} on {call.account} was charged {amount_text(charged)}, and {why}",
                call.fact,
                *books.facts(call.call_id),
                *(task.ended for task in work),
            )
    for call_id in books.applied if view.read_calls else ():
        known = call_id in view.calls or call_id in chats
        if not known and not tally.keeps(books.charged_nanos(call_id) == 0):
            tally.breach(
                f"{amount_text(books.charged_nanos(call_id))} was charged for {call_id}, "
                "which is no call of the record",
                *books.facts(call_id),
            )


def _work_of(call: CallRow, view: View) -> list[Task]:
    """Every task that the call may stand for: the one it names, or those of its nonce."""
    origin = view.calls.get(call.late_of, call) if call.late_of else call
    if origin.task_id is not None:
        return list(view.tasks_called(origin.provider, origin.task_id))
    return list(view.tasks_for(view.nonce_of(call.call_id)))


def _may_be_billed(task: Task, declared: Declared) -> bool:
    """Whether the work succeeded, or the provider told that it did."""
    provider = declared.providers.get(task.provider)
    told = told_of(task, provider) if provider is not None else frozenset()
    return (task.ended is not None and task.ended.success) or any(success for success, _ in told)


@check("success-is-charged", "money")
def success_is_charged(history: History, declared: Declared, tally: Tally) -> None:
    """Billable work is charged, once: nothing is lost to a crash, a lost answer, a late end or a task that
    nobody polls. A time-out is not a verdict: only after the declared deadline, and once the provider has
    been asked again, may a call without one be released; its row says so, and a success seen later is
    charged once. Of the attempts of a chat one is charged; work of another that may be billed is flagged on
    its row."""
    lost_work(history, declared, tally)
    view = View.of(history, declared)
    if not view.read_calls:
        return
    matching = Matching(history, declared)
    for group in _submissions(view.tasks, view, declared):
        ended = [
            task for task in group if task.ended is not None and task.ended.success and not task.id_shared
        ]
        if not ended or ended[0].provider not in declared.providers:
            continue
        owned = next((task for task in group if matching.owners(task)), None)
        if owned is not None:
            if owned in ended:
                matching.judge_owned(owned, tally)
        elif ended[0].nonce is not None:
            matching.judge_unowned(ended[0], tally)


def _submissions(tasks: Iterable[Task], view: View, declared: Declared) -> Iterable[list[Task]]:
    """Tasks by the submission that started them: one request may have started two, and a gateway that was
    told to send again under one label may have started several."""
    groups: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in tasks:
        label = label_of(task, view, declared)
        groups[task.provider, f"seq {task.accepted.seq}" if label is None else f"label {label}"].append(task)
    return groups.values()


CHECKS: tuple[Check, ...] = (
    cost_equals_units_times_price,
    failure_is_free,
    success_is_charged,
)
