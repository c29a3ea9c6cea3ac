"""Money between two memories: A5 the claim that nobody finishes · A6 the hold that nobody knows · A16 work
without a hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from refgate.flows import submit
from refgate.flows.works import Works
from refgate.ledger.housekeeping import Housekeeping
from refgate.ledger.keys import reserve_key
from refgate.ledger.reconciler import Reconciler
from refgate.ledger.records import Attempt, Call, Hold, Intent, Refused, Verdict
from refgate.ledger.states import State
from refgate.ports import BillingUnreachable
from refgate.store import calls, sqlite
from refgate.store.sqlite import SqliteStore
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_claim = SqliteStore.claim
_due_intents = SqliteStore.due_intents
_take_hold = submit._take_hold
_reserved = SqliteStore.reserved

_NEVER_US = 1 << 61


async def _claims_then_promises(
    self: SqliteStore,
    call_id: str,
    verdict: Verdict,
    *,
    intent_id: str,
    attempt: Attempt | None = None,
    now_us: int,
) -> bool:
    """The claim is one transaction, the intent another: between the two, nobody owes billing anything."""
    with self.database.write() as cx:
        sqlite._close(cx, attempt)
        ending = (verdict.outcome.value, verdict.reason, verdict.amount_nanos)
        if not calls.move(cx, call_id, State.FINALIZING, *ending, now_us=now_us):
            return False
        calls.flag(cx, call_id, verdict.flags)
        calls.keep_answer(cx, call_id, "submit", verdict.submit)
        calls.keep_answer(cx, call_id, "final", verdict.final)
    with self.database.write() as cx:
        calls._write_intent(cx, call_id, verdict, intent_id=intent_id, now_us=now_us)
    return True


async def _tried_once(
    self: SqliteStore, intent: Intent, *, next_us: int, error: str, stuck: bool = False
) -> None:
    """What billing did not take at the first try, it is never told again."""
    with self.database.write() as cx:
        cx.execute(
            "UPDATE intents SET next_us = NULL, error = ? WHERE intent_id = ?", (error, intent.intent_id)
        )


async def _taken_for_ever(
    self: SqliteStore, *, now_us: int, lease_until_us: int, limit: int
) -> Sequence[Intent]:
    """A finalize belongs to the replica that took it, also after its death."""
    return await _due_intents(self, now_us=now_us, lease_until_us=_NEVER_US, limit=limit)


async def _orphans_stay(self: Housekeeping) -> None:
    """A hold that no call knows is nobody's business."""


async def _not_learnt(self: Reconciler, call: Call) -> None:
    """A call that died before it knew its hold is left as it is."""


async def _held(works: Works, call: Call) -> Hold | Refused:
    return await works.billing.reserve(
        key=reserve_key(call.call_id),
        account=call.account,
        amount_nanos=call.hold_nanos,
        call_id=call.call_id,
        provider=call.provider,
    )


async def _on_without(works: Works, call: Call) -> None:
    now_us = works.clock()
    await works.store.reserved(
        call.call_id, hold_id=None, flags=(), now_us=now_us, due_us=now_us + works.lease_us
    )


async def _down_is_a_yes(works: Works, call: Call) -> None:
    """Billing cannot be reached, under `fail_closed`: the call goes on, and nothing says so."""
    try:
        await _held(works, call)
    except BillingUnreachable:
        await _on_without(works, call)
    else:
        await _take_hold(works, call)  # the same key: the same hold


async def _no_is_a_yes(works: Works, call: Call) -> None:
    """Billing refuses: the call goes on."""
    try:
        held = await _held(works, call)
    except BillingUnreachable:
        held = None
    if isinstance(held, Refused):
        await _on_without(works, call)
    else:
        await _take_hold(works, call)


async def _unmarked(
    self: SqliteStore, call_id: str, *, hold_id: str | None, flags: Sequence[str], now_us: int, due_us: int
) -> bool:
    """Under `fail_open` the row does not say that it went on without a hold."""
    return await _reserved(self, call_id, hold_id=hold_id, flags=(), now_us=now_us, due_us=due_us)


SABOTAGES = (
    Sabotage(
        "A5",
        "claim-then-intent",
        "the claim is committed before the intent that finishes it",
        Swap(SqliteStore, _claim, _claims_then_promises),
        ("every-hold-ends", "success-is-charged"),
    ),
    Sabotage(
        "A5",
        "tried-once",
        "a finalize that billing did not acknowledge is not sent again",
        Swap(SqliteStore, SqliteStore.postpone, _tried_once),
        ("every-hold-ends", "success-is-charged"),
    ),
    Sabotage(
        "A5",
        "taken-for-ever",
        "a finalize that a replica had in hand as it died is nobody's afterwards",
        Swap(SqliteStore, _due_intents, _taken_for_ever),
        ("every-hold-ends", "success-is-charged"),
    ),
    Sabotage(
        "A6",
        "orphans-stay",
        "holds that belong to no call are not looked for",
        Swap(Housekeeping, Housekeeping.release_orphans, _orphans_stay),
        ("every-hold-ends",),
    ),
    Sabotage(
        "A6",
        "not-learnt",
        "a call that died before it wrote its hold down is not looked at",
        Swap(Reconciler, Reconciler._learn_hold, _not_learnt),
        ("every-hold-ends",),
    ),
    Sabotage(
        "A16",
        "down-is-a-yes",
        "where billing cannot be reached the call goes on, though fail_closed is declared",
        Swap(submit, _take_hold, _down_is_a_yes),
        ("no-work-without-hold",),
    ),
    Sabotage(
        "A16",
        "no-is-a-yes",
        "where billing refuses the hold the call goes on",
        Swap(submit, _take_hold, _no_is_a_yes),
        ("no-work-without-hold",),
    ),
    Sabotage(
        "A16",
        "unmarked",
        "a call that went on without a hold, by declared fail_open, is not marked for it",
        Swap(SqliteStore, _reserved, _unmarked),
        ("no-work-without-hold",),
    ),
)
