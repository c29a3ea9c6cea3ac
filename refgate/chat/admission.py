"""Whether a call may begin: where it may go at a known price, and whether its account bears its hold.

Before its row is opened a call has had no effect; from then on it has its hold.
"""

from __future__ import annotations

from refgate.chat.arrival import Denied
from refgate.chat.pricing import hold_nanos, priced
from refgate.chat.records import ChatAttempt, NewChat
from refgate.chat.telling import STORE_AWAY
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.spoken import Fault, FaultKind
from refgate.errors import Code
from refgate.events import ChatOpened
from refgate.ledger.records import Refused
from refgate.money import BadUsage
from refgate.ports import StoreUnavailable

__all__ = ["admissible", "open_row"]

_WHY = {
    "insufficient_funds": "the account has too little left for what this call may cost",
    "over_budget": "the account's budget leaves no room for what this call may cost",
    "account_unknown": "billing knows no such account",
}


def admissible(works: ChatWorks, call: Call) -> None:
    """Where the call may go, and the most that it may cost there. Raises Denied."""
    asked = call.asked
    places = asked.outbox.places
    if works.settings.chat.unpriced_model == "refuse":
        at_us = call.created_us
        places = {at: model for at, model in places.items() if priced(works.prices, model, at_us)}
        if not places:
            unpriced = Fault(FaultKind.FORBIDDEN, "this model has no price in force, and may not be used")
            raise Denied(unpriced, code="model_unpriced", param="model")
    call.places = places
    try:
        call.hold_nanos = hold_nanos(
            works.prices,
            places.values(),
            input_tokens=asked.input_bound,
            output_tokens=asked.output_bound,
            web_searches=asked.searches_bound,
            at_us=call.created_us,
            until_us=call.deadline_us,
        )
    except BadUsage:
        beyond = Fault(FaultKind.BAD_REQUEST, "nobody could pay for so many tokens")
        raise Denied(beyond, code=Code.BAD_REQUEST.value) from None


async def open_row(works: ChatWorks, call: Call, first: ChatAttempt | None = None) -> None:
    """The row and the hold, and the row of the first attempt where it goes out at once.

    Raises Denied where the account does not bear the hold, or where it cannot be written down.
    """
    asked = call.asked
    new = NewChat(
        call_id=call.call_id,
        account=asked.visitor.account,
        caller=asked.visitor.caller,
        protocol=asked.protocol.value,
        model=asked.plain.model,
        stream=asked.stream,
        hold_nanos=call.hold_nanos,
        prompt_tokens=asked.prompt_tokens,
        now_us=call.created_us,
        lease_until_us=call.lease_us,
    )
    try:
        refused = await works.store.admit(new, first)
    except StoreUnavailable:
        raise Denied(STORE_AWAY, code=Code.STORE_UNAVAILABLE.value) from None
    if refused is not None:
        raise _denied(refused)
    call.opened = True
    works.base.emit(
        ChatOpened(
            t_us=call.created_us,
            call_id=call.call_id,
            account=new.account,
            model=new.model,
            hold_nanos=new.hold_nanos,
        )
    )


def _denied(refused: Refused) -> Denied:
    why = _WHY.get(refused.code, "billing refused the hold for this call")
    kind = FaultKind.FORBIDDEN if refused.code == "account_unknown" else FaultKind.NO_MONEY
    return Denied(Fault(kind, why), code=refused.code)
