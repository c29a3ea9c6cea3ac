"""Matching: which call stands for the work that a provider did, and whether it was charged or may be without.

Work whose caller never heard which call it was is matched by account and provider. Judges one task at a
time; which tasks are one submission, `charging` says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from scenarios.checks.books import Books
from scenarios.checks.finding import Tally
from scenarios.checks.holds import call_ends_by_us
from scenarios.checks.parts import CallRow, Task, rows
from scenarios.checks.pricing import due, hold_declared
from scenarios.checks.verdicts import Verdicts
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import History, StoreFaulted
from scenarios.units import amount_text

__all__ = ["Matching", "set_aside_nanos"]


def set_aside_nanos(call: CallRow, task: Task, view: View, books: Books, declared: Declared) -> int:
    """What the call set aside: as declared for its route, else as billing held it."""
    provider = declared.providers.get(call.provider)
    right = hold_declared(view, task.nonce, provider) if task.nonce and provider else None
    holds = books.holds_of.get(call.late_of or call.call_id, ())
    return right if right is not None else max((hold.amount_nanos for hold in holds), default=0)


class Matching:
    """Finds the call that stands for a task, and judges whether it was charged or may be without."""

    def __init__(self, history: History, declared: Declared) -> None:
        self.declared = declared
        self.view, self.books = View.of(history, declared), Books.of(history, declared)
        self.verdicts = Verdicts.of(history, declared)
        self.by_task: dict[tuple[str, str], list[CallRow]] = defaultdict(list)
        self.lates: dict[str, list[CallRow]] = defaultdict(list)
        self.asked_us = self._last_asked_us(history)
        # Calls whose caller never heard which they were: those that may stand for work, and the refused.
        self.spare: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[tuple[str, str]] = Counter()
        for call in self.view.calls.values():
            if call.late_of is not None:
                self.lates[call.late_of].append(call)
            elif call.task_id is not None:
                self.by_task[call.provider, call.task_id].append(call)
            elif self.view.nonce_of(call.call_id) is not None:
                continue
            elif self._released(call) or self._pending(call):
                self.spare[call.account, call.provider] += 1
            elif call.outcome == "refused":
                self.refusals[call.account, call.provider] += 1

    def owners(self, task: Task) -> list[CallRow]:
        return self.by_task.get((task.provider, task.task_id), [])

    def judge_owned(self, task: Task, tally: Tally) -> None:
        calls = [call for one in self.owners(task) for call in (one, *self.lates.get(one.call_id, ()))]
        charged = [call for call in calls if self.books.charged_nanos(call.call_id) > 0]
        if len(charged) > 1:
            tally.saw()
            total = sum(self.books.charged_nanos(call.call_id) for call in charged)
            tally.breach(
                f"task {task.task_id} was charged {len(charged)} times, {amount_text(total)} in all",
                task.ended,
                *(call.fact for call in charged),
            )
        elif charged or self._may_be_free(task, calls):
            tally.saw()
        elif not self._pending(calls[0]):
            tally.saw()
            self._lost(task, calls[0], tally)

    def _may_be_free(self, task: Task, calls: Sequence[CallRow]) -> bool:
        """Whether nothing is the right price, or the declared policy lets the call go without one."""
        call = calls[0]
        if self._released(call) and self._was_asked(task, call) and not self._late_was_seen(task):
            return True
        if any(self._unbillable(one) for one in calls):
            return True
        hold_nanos = set_aside_nanos(call, task, self.view, self.books, self.declared)
        right = due(task, hold_nanos, self.declared.providers[task.provider], self.declared)
        return right is not None and 0 in right.amounts

    def _unbillable(self, call: CallRow) -> bool:
        """Charged after the work, without a hold from before it; billing refused, and the row says so."""
        return (
            (self.declared.billing_unreachable == "fail_open" or call.late_of is not None)
            and call.state == "finalized"
            and bool(call.flags)
            and not self.books.holds_of.get(call.call_id)
        )

    def judge_unowned(self, task: Task, tally: Tally) -> None:
        """Nobody was told this task's id, or nobody wrote it down."""
        free = [call for call in self.view.calls_of(task.nonce or "") if call.task_id is None]
        if any(call.outcome == "refused" for call in free) and self._refused(task):
            tally.saw()
            return
        for call in free:
            if self.books.charged_nanos(call.call_id) > 0 or self._released(call):
                tally.saw()
                return
        if any(self._pending(call) for call in free):
            return
        where = (task.account or "", task.provider)
        # A refusal may be on record as one, or as no verdict, where the power went before it was read.
        unheard = (self.refusals, self.spare) if self._refused(task) else (self.spare,)
        for rows_unheard in () if free else unheard:
            if rows_unheard[where] > 0:
                rows_unheard[where] -= 1
                tally.saw()
                return
        tally.saw()
        self._lost(task, free[0] if free else None, tally)

    def _refused(self, task: Task) -> bool:
        """Whether the provider answered the very submit that began this work with a status that is declared
        to be a refusal: who lies so is not to be seen through."""
        served, provider = self.view.request_of(task), self.declared.providers[task.provider]
        answered = None if served is None else served.answered
        if answered is None or not answered.complete or answered.status is None:
            return False
        return answered.status >= 400 and answered.status not in provider.doubtful

    def _lost(self, task: Task, call: CallRow | None, tally: Tally) -> None:
        assert task.ended is not None
        if call is None:
            said = "no call stands for it"
        else:
            said = f"call {call.call_id} is {call.state}, outcome {call.outcome}, and was charged nothing"
        tally.breach(
            f"task {task.task_id} at {task.provider} succeeded ({task.ended.units} units), and {said}",
            task.accepted,
            task.ended,
            None if call is None else call.fact,
            *(() if call is None else self.books.facts(call.call_id)),
        )

    def _released(self, call: CallRow) -> bool:
        """Whether the row says that its deadline passed without a verdict, by declared policy, in time."""
        return (
            self.declared.task_without_verdict == "release"
            and call.outcome == "expired"
            and bool(call.flags)
            and call.age_us >= self.declared.verdict_within_us
        )

    def _last_asked_us(self, history: History) -> dict[str, int] | None:
        """When the provider was last asked about each call, by the record; None where that may have holes."""
        if history.of(StoreFaulted) or not any(True for _ in rows(history, "attempts")):
            return None
        asked_us: dict[str, int] = {}
        for row, _ in rows(history, "attempts"):
            if row["op"] == "poll" and row["call_id"] is not None:
                at_us = int(row["started_us"]) - self.declared.epoch_us
                asked_us[row["call_id"]] = max(asked_us.get(row["call_id"], at_us), at_us)
        return asked_us

    def _was_asked(self, task: Task, call: CallRow) -> bool:
        """Whether the provider was asked since the work ended: no call is released unasked."""
        assert task.ended is not None
        released_us = int(call.row.get("updated_us", 0)) - self.declared.epoch_us
        if self.asked_us is None or not self.declared.providers[task.provider].swept:
            return True
        early = task.ended.t_us + self.declared.total_us < released_us
        return not early or self.asked_us.get(call.call_id, -1) >= task.ended.t_us

    def _pending(self, call: CallRow) -> bool:
        """Whether an honest gateway may still be at work on it."""
        if call.state in ("finalized", "rejected"):
            return any(self._pending(late) for late in self.lates.get(call.call_id, ()))
        opened_us = int(call.row.get("created_us", 0)) - self.declared.epoch_us
        by_us = call_ends_by_us(call, opened_us, self.view, self.declared)
        return by_us is None or self.view.end_us < by_us

    def _late_was_seen(self, task: Task) -> bool:
        """Whether a caller was told of the success, long enough ago for the late charge to be promised.

        Its delivery may wait for the calm; that it is owed must be on record by then.
        """
        since_us = self.view.end_us - self.declared.ends_within_us
        told = self.verdicts.told.get((task.provider, task.task_id), ())
        return any(one.success and one.t_us <= since_us for one in told)
