"""What a model's tokens cost, exactly: a price per token class, tiers, a fee per call; rounded once, half up.

Prices are dollars per million tokens, as providers list them. Inside they are whole numbers over one common
divisor, so that a sum is exact whatever the decimals. A class without a price of its own costs what it is a
part of: cached and written input as input, an hour's writes as short ones, reasoning as output, sound as
text. Tiers are cliffs: above so many tokens in, the whole request is at the tier's prices. Which price was
in force when, and what is done about a model without one, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from math import lcm
from operator import attrgetter, mul

from refgate.dialects.spoken import Usage
from refgate.money import NANOS_MAX, BadUsage

__all__ = ["TOKENS_PER_PRICE", "Price", "Rates", "Tier"]

TOKENS_PER_PRICE = 1_000_000

_PARENT = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "input_audio": "input",
    "output_audio": "output",
    "reasoning": "output",
}
"""What a class without its own price is priced as; parents of parents come first."""

_IN = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio")
_OUT = ("output", "output_audio", "reasoning")
_CLASSES = (*_IN, *_OUT)
_OUTPUT = _CLASSES.index("output")
_counts: Callable[[Usage], tuple[int, ...]] = attrgetter(*_CLASSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Dollars per million tokens of each class; None is "as what it is a part of"."""

    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    input_audio: Decimal | None = None
    output: Decimal | None = None
    output_audio: Decimal | None = None
    reasoning: Decimal | None = None

    def __post_init__(self) -> None:
        for name, rate in self.given().items():
            if not rate.is_finite() or rate < 0:
                raise ValueError(f"{name}: a price is a finite number, zero or more")

    def given(self) -> dict[str, Decimal]:
        """The classes that have a price of their own."""
        found = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {name: rate for name, rate in found if rate is not None}


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices for requests with more than `above` tokens in; what it does not name stays as below it."""

    above: int
    rates: Rates


@dataclass(frozen=True)
class Price:
    """One model's prices. `request` is dollars for each call, `web_search` for each search it made."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    request: Decimal = Decimal(0)
    web_search: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if not {"input", "output"} <= self.rates.given().keys():
            raise ValueError("a price names input and output at least")
        if any(not fee.is_finite() or fee < 0 for fee in (self.request, self.web_search)):
            raise ValueError("a fee is a finite number, zero or more")
        edges = [0, *(tier.above for tier in self.tiers)]
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError("tiers begin above zero, each above the one before")

    def cost_nanos(self, usage: Usage) -> int:
        """What the usage costs. Raises BadUsage for counts that no answer can have, and beyond all bounds."""
        counts = list(_counts(usage))
        if min(*counts, usage.web_searches) < 0:
            raise BadUsage("negative")
        if usage.reasoning > usage.output:
            raise BadUsage("details_above_completion")
        counts[_OUTPUT] -= usage.reasoning  # it is the part of the output that was thought
        exact = sum(map(mul, counts, self._rates_for(usage.prompt)))
        exact += self._fees + usage.web_searches * self._search
        return _bounded((2 * exact + self._parts) // (2 * self._parts))

    def hold_nanos(self, *, input_tokens: int, output_tokens: int, web_searches: int = 0) -> int:
        """No answer within these bounds costs more, whatever the classes its tokens fall into.

        A token of text is a byte or more, so the size of a request bounds the tokens of its text.
        """
        if min(input_tokens, output_tokens, web_searches) < 0:
            raise BadUsage("negative")
        exact = max(
            input_tokens * dearest_in + output_tokens * dearest_out
            for above, dearest_in, dearest_out in self._dearest
            if above is None or above < input_tokens
        )
        exact += self._fees + web_searches * self._search
        return _bounded(-(-exact // self._parts))

    def _rates_for(self, tokens_in: int) -> tuple[int, ...]:
        chosen = self._scaled[0][1]
        for above, rates in self._scaled[1:]:
            if above is not None and tokens_in > above:
                chosen = rates
        return chosen

    @cached_property
    def _tables(self) -> list[tuple[int | None, dict[str, Decimal]]]:
        """The prices of each tier, as far as they are named at it or below it."""
        named = accumulate(
            (tier.rates.given() for tier in self.tiers),
            lambda below, own: below | own,
            initial=self.rates.given(),
        )
        return list(zip((None, *(tier.above for tier in self.tiers)), map(_filled, named), strict=True))

    @cached_property
    def _parts(self) -> int:
        """The divisor: in so many parts of a nano-dollar every price is a whole number."""
        exact = [_nanos(rate, TOKENS_PER_PRICE) for _, rates in self._tables for rate in rates.values()]
        return lcm(*(one.denominator for one in [*exact, _nanos(self.request), _nanos(self.web_search)]))

    @cached_property
    def _scaled(self) -> list[tuple[int | None, tuple[int, ...]]]:
        """The rates of each tier as whole numbers, in the order of `_CLASSES`."""
        return [
            (above, tuple(int(_nanos(rates[name], TOKENS_PER_PRICE) * self._parts) for name in _CLASSES))
            for above, rates in self._tables
        ]

    @cached_property
    def _dearest(self) -> list[tuple[int | None, int, int]]:
        """The highest rates of each tier: of what goes in, and of what comes out."""
        return [(above, max(rates[: len(_IN)]), max(rates[len(_IN) :])) for above, rates in self._scaled]

    @cached_property
    def _fees(self) -> int:
        return int(_nanos(self.request) * self._parts)

    @cached_property
    def _search(self) -> int:
        return int(_nanos(self.web_search) * self._parts)


def _filled(named: dict[str, Decimal]) -> dict[str, Decimal]:
    rates = dict(named)
    for name, parent in _PARENT.items():
        rates.setdefault(name, rates[parent])
    return rates


def _nanos(dollars: Decimal, units: int = 1) -> Fraction:
    return Fraction(dollars) * 10**9 / units


def _bounded(nanos: int) -> int:
    if nanos > NANOS_MAX:
        raise BadUsage("too_large")
    return nanos
