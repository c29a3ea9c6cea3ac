"""What a call sets aside, and what it costs in the end: tokens × price, or the declared policy, flagged.

A hold is the most that any backend the call may go to could cost. A charge is the served attempt's tokens at
the price that was in force when that attempt began, of the model that served. Figures that no answer can
have are none: then `missing_usage` decides. Pure; the price list is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from refgate.chat.records import Metering
from refgate.config.chat import Chat
from refgate.dialects.spoken import Metered, Unmetered, Usage
from refgate.money import BadUsage
from refgate.price_list import Cost, PriceList, Unpriced

__all__ = ["Charge", "Worked", "charge", "hold_nanos", "priced"]


@dataclass(frozen=True, slots=True)
class Worked:
    """An attempt that did work: what it is charged by. `seen` are the output tokens that came, `prompt` the
    estimate of those that went in; both count only where nothing better is known. `whole` is False for an
    answer that was called off: its figures, if there are any, were not its last.
    """

    usage: Metered
    served_model: str  # as the backend named it; may be empty
    upstream_model: str  # as it was asked for
    started_us: int
    prompt: int
    seen: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Charge:
    """`flags`: usage_missing usage_invalid usage_estimated hold_capped unpriced."""

    amount_nanos: int
    metering: Metering
    flags: tuple[str, ...] = ()


def hold_nanos(
    prices: PriceList,
    models: Iterable[str],
    *,
    input_tokens: int,
    output_tokens: int,
    web_searches: int,
    at_us: int,
    until_us: int,
) -> int:
    """No answer of one of these models within these bounds costs more, at whatever price its attempt begins:
    a price may change while a call waits. Raises BadUsage beyond all bounds."""
    held = 0
    for model in set(models):
        cost = prices.hold_nanos(
            model,
            at_us,
            until_us=until_us,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            web_searches=web_searches,
        )
        if isinstance(cost, Cost):
            held = max(held, cost.nanos)
    return held


def priced(prices: PriceList, model: str, at_us: int) -> bool:
    return not isinstance(prices.price(model, at_us), Unpriced)


def charge(prices: PriceList, chat: Chat, worked: Worked, *, hold_nanos: int) -> Charge:
    """What the work costs its caller."""
    made = _reported(prices, worked) or _unreported(prices, chat, worked, hold_nanos)
    if chat.usage_above_hold == "cap_at_hold" and made.amount_nanos > hold_nanos:
        return Charge(hold_nanos, made.metering, (*made.flags, "hold_capped"))
    return made


def _reported(prices: PriceList, worked: Worked) -> Charge | None:
    if not worked.whole or not isinstance(_believed(worked), Usage):
        return None
    assert isinstance(worked.usage, Usage)
    try:
        return _costed(prices, worked, worked.usage, "reported")
    except BadUsage:
        return None


def _believed(worked: Worked) -> Metered:
    """The figures, unless they say that nothing went in, or nothing came out where something did."""
    usage = worked.usage
    if isinstance(usage, Usage) and (usage.prompt == 0 or (usage.completion == 0 and worked.seen > 0)):
        return Unmetered("implausible")
    return usage


def _unreported(prices: PriceList, chat: Chat, worked: Worked, held_nanos: int) -> Charge:
    flags: tuple[str, ...] = ()
    if worked.whole:
        missing = isinstance(worked.usage, Unmetered) and worked.usage.reason == "missing"
        flags = ("usage_missing" if missing else "usage_invalid",)
    policy = chat.missing_usage if worked.whole else "estimate"
    match policy:
        case "hold":
            return Charge(held_nanos, Metering(Usage(), "hold", held_nanos, None, _named(worked)), flags)
        case "zero":
            return Charge(0, Metering(Usage(), "zero", 0, None, _named(worked)), flags)
        case "estimate":
            made = _costed(prices, worked, _estimated(worked), "estimated")
            return Charge(made.amount_nanos, made.metering, (*flags, "usage_estimated", *made.flags))
    assert_never(policy)


def _estimated(worked: Worked) -> Usage:
    """By what was seen. An answer that was called off may have said what went in: that much is known."""
    known = worked.usage
    if not worked.whole and isinstance(known, Usage) and known.prompt > 0:
        return Usage(
            input=known.input,
            cache_read=known.cache_read,
            cache_write_5m=known.cache_write_5m,
            cache_write_1h=known.cache_write_1h,
            input_audio=known.input_audio,
            output=max(known.completion, worked.seen),
        )
    return Usage(input=worked.prompt, output=worked.seen)


def _costed(prices: PriceList, worked: Worked, usage: Usage, source: str) -> Charge:
    """At the price of the model that served; of the one that was asked for, where that one has none."""
    for model in (worked.served_model, worked.upstream_model):
        cost = prices.cost_nanos(model, usage, worked.started_us)
        if isinstance(cost, Cost):
            metering = Metering(usage, source, cost.nanos, cost.price_from_us, _named(worked))
            return Charge(cost.nanos, metering)
    return Charge(0, Metering(usage, source, 0, None, _named(worked)), ("unpriced",))


def _named(worked: Worked) -> str | None:
    return worked.served_model or None
