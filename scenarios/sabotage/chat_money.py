"""What chats cost: B2 streams that cost nothing · B15 somebody else's price · C10 answers without figures."""

from __future__ import annotations

from dataclasses import replace

from refgate.chat import pricing, settling
from refgate.chat.exchange import Exchange
from refgate.chat.pricing import Charge, Worked
from refgate.chat.records import AttemptEnd, ChatEnd, Metering
from refgate.chat.relay import Relay
from refgate.chat.result import Result
from refgate.chat.settling import Ending
from refgate.chat.works import Call, ChatWorks
from refgate.config.chat import Chat
from refgate.dialects.spoken import Unmetered
from refgate.price_list import PriceList
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_charge = settling._charge
_streamed = Exchange._streamed
_unreported = pricing._unreported
_written = settling.written


def _whole_ones_only(works: ChatWorks, call: Call, ending: Ending) -> Charge | None:
    """Figures are in the body of an answer, and a stream has none."""
    return None if call.asked.stream else _charge(works, call, ending)


def _without_figures(self: Exchange, relay: Relay) -> Result:
    """Nobody looks for the figures of a stream: all of them are estimated."""
    return replace(_streamed(self, relay), usage=Unmetered())


def _of_the_first(works: ChatWorks, call: Call, ending: Ending) -> Charge | None:
    """The price is looked up as the call begins, for the backend that it is meant for."""
    made, last = _charge(works, call, ending), ending.last
    if made is None or last is None:
        return made
    first = next(iter(call.places.values()))
    worked = Worked(
        usage=last.result.usage,
        served_model=first,
        upstream_model=first,
        started_us=last.attempt.started_us,
        prompt=call.asked.prompt_tokens,
        seen=last.result.seen,
        whole=last.result.failure is None,
    )
    return pricing.charge(works.prices, works.settings.chat, worked, hold_nanos=call.hold_nanos)


def _of_the_end(works: ChatWorks, call: Call, ending: Ending) -> Charge | None:
    """The price is looked up when there is something to charge for."""
    last = ending.last
    if last is None:
        return None
    late = replace(last, attempt=replace(last.attempt, started_us=last.ended_us))
    return _charge(works, call, replace(ending, last=late))


async def _named_for_the_first(works: ChatWorks, call: Call, end: ChatEnd, over: AttemptEnd | None) -> None:
    """The row names the backend that the call was meant for."""
    if end.backend is not None:
        (_, backend), model = next(iter(call.places.items()))
        end = replace(end, backend=backend, upstream_model=model)
    await _written(works, call, end, over)


def _nothing(prices: PriceList, chat: Chat, worked: Worked, held_nanos: int) -> Charge:
    """No figures, no cost."""
    return Charge(0, Metering(served_model=worked.served_model or None))


def _unmarked(prices: PriceList, chat: Chat, worked: Worked, held_nanos: int) -> Charge:
    """An estimate is a figure like any other."""
    made = _unreported(prices, chat, worked, held_nanos)
    return replace(made, flags=(), metering=replace(made.metering, source="reported"))


SABOTAGES = (
    Sabotage(
        "B2",
        "whole-ones-only",
        "a streamed call costs nothing",
        Swap(settling, _charge, _whole_ones_only),
        ("cost-equals-tokens-times-price", "success-is-charged"),
    ),
    Sabotage(
        "B2",
        "without-figures",
        "the figures of a stream are not read: it is charged by an estimate",
        Swap(Exchange, _streamed, _without_figures),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "B15",
        "of-the-first",
        "a call costs what the backend would have that it was meant for, whoever served it",
        Swap(settling, _charge, _of_the_first),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "B15",
        "of-the-end",
        "a call costs what was in force when it ended, not when its answer was begun",
        Swap(settling, _charge, _of_the_end),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "B15",
        "named-for-the-first",
        "a call's row names the backend that it was meant for, whoever served it",
        Swap(settling, _written, _named_for_the_first),
        ("fallback-in-order",),
    ),
    Sabotage(
        "C10",
        "nothing",
        "an answer without figures is booked at 0",
        Swap(pricing, _unreported, _nothing),
        ("cost-equals-tokens-times-price",),
    ),
    Sabotage(
        "C10",
        "unmarked",
        "an estimate is booked as if the backend had said it",
        Swap(pricing, _unreported, _unmarked),
        ("cost-equals-tokens-times-price",),
    ),
)
