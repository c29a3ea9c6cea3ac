"""Ends that are guessed, missed or overwritten: A4 doubt taken for a no · A7 nobody asks · A11 a status that
goes back · A12 one end for each poll.
"""

from __future__ import annotations

from refgate.answer import Answer
from refgate.config.routes import SubmitRoute
from refgate.flows import query, submit
from refgate.flows.inquiry import ProviderInquiry
from refgate.flows.reading import Declined, Doubtful, SubmitVerdict, Unreached, read_submit
from refgate.flows.works import Works
from refgate.ledger.cadence import Cadence
from refgate.ledger.records import Attempt, Call, Hold, Verdict
from refgate.store import calls
from refgate.store.sqlite import SqliteStore
from refgate.upstream import Failure
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_claim = SqliteStore.claim
_answer = SqliteStore.answer

_NEVER_US = 1 << 61


def _silence_is_a_no(route: SubmitRoute, unclear: tuple[int, ...], reply: Answer | Failure) -> SubmitVerdict:
    """An exchange that broke is one that did not happen: finalized at 0, 502."""
    verdict = read_submit(route, unclear, reply)
    if isinstance(reply, Failure) and isinstance(verdict, Doubtful):
        return Unreached(verdict.reason)
    return verdict


def _any_status_is_the_providers(
    route: SubmitRoute, unclear: tuple[int, ...], reply: Answer | Failure
) -> SubmitVerdict:
    """A 502 of something in between is the provider's refusal: finalized at 0."""
    return read_submit(route, (), reply)


def _unreadable_is_a_no(
    route: SubmitRoute, unclear: tuple[int, ...], reply: Answer | Failure
) -> SubmitVerdict:
    """A 200 that is no JSON has no task id, so there is no task: finalized at 0."""
    verdict = read_submit(route, unclear, reply)
    if verdict == Doubtful("unreadable"):
        return Declined("no_task_id")
    return verdict


async def _late_is_lost(works: Works, call: Call, verdict: Verdict) -> None:
    """What ended is over: a success after the deadline is nobody's."""


async def _nobody_asks(self: ProviderInquiry, call: Call) -> None:
    """A task is looked at only when its caller asks."""


def _never(self: Cadence, created_us: int) -> int:
    """No deadline, whatever policy is declared for it."""
    return created_us + _NEVER_US


async def _overwrites(
    self: SqliteStore,
    call_id: str,
    verdict: Verdict,
    *,
    intent_id: str,
    attempt: Attempt | None = None,
    now_us: int,
) -> bool:
    """The last word counts, not the first."""
    won = await _claim(self, call_id, verdict, intent_id=intent_id, attempt=attempt, now_us=now_us)
    if not won:
        with self.database.write() as cx:
            cx.execute(
                "UPDATE calls SET outcome = ?, reason = ?, amount_nanos = ? WHERE call_id = ?",
                (verdict.outcome.value, verdict.reason, verdict.amount_nanos, call_id),
            )
            if verdict.final is not None:
                cx.execute("DELETE FROM answers WHERE call_id = ? AND which = 'final'", (call_id,))
                calls.keep_answer(cx, call_id, "final", verdict.final)
    return won


async def _forgets_the_end(self: SqliteStore, call_id: str, which: str) -> Answer | None:
    """The terminal answer is not kept: each poll shows what the provider says by then."""
    return None if which == "final" else await _answer(self, call_id, which)


async def _losers_charge_too(works: Works, call: Call, verdict: Verdict) -> None:
    """Whoever sees the end finalizes at billing, also the one who did not win the claim."""
    key = works.ids("late")
    hold = await works.billing.reserve(
        key=key,
        account=call.account,
        amount_nanos=verdict.amount_nanos,
        call_id=call.call_id,
        provider=call.provider,
    )
    if isinstance(hold, Hold):
        await works.billing.finalize(
            key=f"finalize:{key}",
            hold_id=hold.hold_id,
            amount_nanos=verdict.amount_nanos,
            reason=verdict.reason,
        )


SABOTAGES = (
    Sabotage(
        "A4",
        "silence-is-a-no",
        "a submit without a whole answer is finalized at 0",
        Swap(submit, read_submit, _silence_is_a_no),
        ("success-is-charged",),
    ),
    Sabotage(
        "A4",
        "any-502-is-a-no",
        "a 502 that something in between may have written is the provider's refusal",
        Swap(submit, read_submit, _any_status_is_the_providers),
        ("success-is-charged",),
    ),
    Sabotage(
        "A4",
        "unreadable-is-a-no",
        "a 200 whose body cannot be read is a refusal",
        Swap(submit, read_submit, _unreadable_is_a_no),
        ("success-is-charged",),
    ),
    Sabotage(
        "A4",
        "late-success-is-free",
        "a success seen after the deadline is not charged",
        Swap(query, query._late, _late_is_lost),
        ("success-is-charged",),
    ),
    Sabotage(
        "A7",
        "nobody-asks",
        "the sweep does not poll: only a caller finds out how a task ended",
        Swap(ProviderInquiry, ProviderInquiry.poll, _nobody_asks),
        ("every-hold-ends", "success-is-charged"),
    ),
    Sabotage(
        "A7",
        "no-deadline",
        "the declared deadline never comes",
        Swap(Cadence, Cadence.deadline_us, _never),
        ("every-hold-ends",),
    ),
    Sabotage(
        "A11",
        "last-word-counts",
        "a verdict that comes later overwrites the row and the stored answer",
        Swap(SqliteStore, _claim, _overwrites),
        ("verdict-stays", "cost-equals-tokens-times-price"),
    ),
    Sabotage(
        "A11",
        "end-not-kept",
        "the terminal answer is not kept: later polls show what the provider says by then",
        Swap(SqliteStore, _answer, _forgets_the_end),
        ("verdict-stays",),
    ),
    Sabotage(
        "A12",
        "losers-charge-too",
        "a terminal poll finalizes at billing even though it did not win the claim",
        Swap(query, query._late, _losers_charge_too),
        ("finalize-at-most-once",),
    ),
)
