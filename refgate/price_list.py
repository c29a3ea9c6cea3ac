"""Which price was in force for a model at an instant, and how prices are written down.

    small: {input: "2.50", cache_read: "1.25", output: "10"}          # dollars per million tokens
    large:
      - {input: "2", output: "12"}
      - from: "2026-06-01"
        input: "1.25"
        output: "10"
        tiers: [{above: 200000, input: "2.50", output: "15"}]

A model without a price, or before its first one, is `Unpriced`: a value, for what is then done is a
declared policy. Looking up changes nothing. Does not know where the mapping comes from.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from refgate.dialects.spoken import Usage
from refgate.money import BadAmount, parse_price
from refgate.prices import Price, Rates, Tier

__all__ = ["BadPrice", "Cost", "PriceList", "Unpriced", "parse_price_list"]

_RATES = tuple(Rates.__dataclass_fields__)
_FEES = ("request", "web_search")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadPrice(ValueError):
    """A price list that cannot be read: the message says where, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """There is no price. `why`: unknown_model, or not_yet where its first price comes later."""

    model: str
    why: str


@dataclass(frozen=True, slots=True)
class Cost:
    """An exact charge, and since when the price that made it has been in force: both go on the row."""

    nanos: int
    price_from_us: int


@dataclass(frozen=True, slots=True)
class PriceList:
    """For each model its prices with the instants they begin at, in order."""

    models: Mapping[str, tuple[tuple[int, Price], ...]]

    def price(self, model: str, at_us: int) -> tuple[int, Price] | Unpriced:
        """The price in force, and since when."""
        dated = self.models.get(model)
        if dated is None:
            return Unpriced(model, "unknown_model")
        at = bisect_right(dated, at_us, key=lambda one: one[0])
        return dated[at - 1] if at else Unpriced(model, "not_yet")

    def cost_nanos(self, model: str, usage: Usage, at_us: int) -> Cost | Unpriced:
        """What the usage costs at the price in force then. Raises BadUsage."""
        found = self.price(model, at_us)
        return found if isinstance(found, Unpriced) else Cost(found[1].cost_nanos(usage), found[0])

    def hold_nanos(
        self,
        model: str,
        at_us: int,
        *,
        input_tokens: int,
        output_tokens: int,
        web_searches: int = 0,
        until_us: int = 0,
    ) -> Cost | Unpriced:
        """No answer within these bounds costs more, at whatever price is in force before `until_us`. Raises
        BadUsage."""
        found = self.price(model, at_us)
        coming = [one for one in self.models.get(model, ()) if at_us < one[0] < until_us]
        if isinstance(found, Unpriced) and not coming:
            return found
        prices = coming if isinstance(found, Unpriced) else [found, *coming]
        held = [
            Cost(
                price.hold_nanos(
                    input_tokens=input_tokens, output_tokens=output_tokens, web_searches=web_searches
                ),
                from_us,
            )
            for from_us, price in prices
        ]
        return max(held, key=lambda cost: cost.nanos)


def parse_price_list(value: Any) -> PriceList:
    """Reads plain mappings, as the module's head shows them. Raises BadPrice."""
    models = {}
    for model, written in _mapping(value, "prices").items():
        one_or_more = written if isinstance(written, list) else [written]
        dated = [_dated(one, f"{model}[{n}]") for n, one in enumerate(one_or_more)]
        begins = [begin for begin, _ in dated]
        if not dated or any(low >= high for low, high in pairwise(begins)):
            raise BadPrice(f"{model}: one price or more, each from a later day than the one before")
        models[model] = tuple(dated)
    return PriceList(models)


def _dated(value: Any, where: str) -> tuple[int, Price]:
    written = _mapping(value, where)
    _known(written, ("from", "tiers", *_FEES, *_RATES), where)
    tiers = written.get("tiers", [])
    if not isinstance(tiers, list):
        raise BadPrice(f"{where}.tiers: a list")
    try:
        price = Price(
            _rates(written, where),
            tuple(_tier(one, f"{where}.tiers[{n}]") for n, one in enumerate(tiers)),
            *(_amount(written.get(name, 0), f"{where}.{name}") for name in _FEES),
        )
    except BadPrice:
        raise
    except ValueError as bad:
        raise BadPrice(f"{where}: {bad}") from bad
    return _from_us(written.get("from"), f"{where}.from"), price


def _tier(value: Any, where: str) -> Tier:
    written = _mapping(value, where)
    _known(written, ("above", *_RATES), where)
    above = written.get("above")
    if not isinstance(above, int) or isinstance(above, bool):
        raise BadPrice(f"{where}.above: a whole number of tokens")
    return Tier(above, _rates(written, where))


def _rates(written: Mapping[str, Any], where: str) -> Rates:
    return Rates(
        **{
            name: _amount(written[name], f"{where}.{name}")
            for name in _RATES
            if written.get(name) is not None
        }
    )


def _amount(value: Any, where: str) -> Decimal:
    try:
        return parse_price(value)
    except BadAmount as bad:
        raise BadPrice(f"{where}: {bad}") from bad


def _from_us(value: Any, where: str) -> int:
    """A day or an instant, UTC unless it says otherwise. None is "always"."""
    if value is None:
        return 0
    try:
        at = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else value)
    except (TypeError, ValueError) as bad:
        raise BadPrice(f'{where}: a day or an instant, such as "2026-01-31"') from bad
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise BadPrice(f"{where}: a mapping of names")
    return value


def _known(written: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    strange = sorted(set(written) - set(names))
    if strange:
        raise BadPrice(f"{where}: unknown {', '.join(strange)}; known are {', '.join(names)}")
