"""What tokens cost by a configuration's price table, as the checks compute it: a second opinion.

Parsed from the plain mapping as exact fractions, brought to one divisor, and rounded once, half up, to a
nano-dollar. A class of tokens without a price of its own costs what it is a part of; a tier's prices hold for
the whole request once more tokens than its edge went in; a price is in force from its day on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from math import lcm
from types import MappingProxyType
from typing import Any

__all__ = ["Counts", "Prices", "Tariff"]

Counts = Mapping[str, int]
"""Tokens by class; no token is in two classes. A class that is not named has none."""

_INPUT = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio")
_OUTPUT = ("output", "output_audio", "reasoning")
_CLASSES = (*_INPUT, *_OUTPUT)

_PART_OF = MappingProxyType(
    {
        "cache_read": "input",
        "cache_write_5m": "input",
        "cache_write_1h": "cache_write_5m",
        "input_audio": "input",
        "output_audio": "output",
        "reasoning": "output",
    }
)
_MICRO_NANOS = 1_000  # a dollar per million tokens is so many nano-dollars a token
_NANOS = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tariff:
    """One model's prices from one day on: of a token of each class, by tier, and fees. All are whole numbers
    of one part in `parts` of a nano-dollar."""

    from_us: int
    parts: int
    rates: tuple[tuple[int, Mapping[str, int]], ...]  # (above so many tokens in, price of each class)
    request: int
    web_search: int

    def cost_nanos(self, counts: Counts, *, web_searches: int = 0) -> int:
        """What these tokens cost."""
        went_in = sum(counts.get(name, 0) for name in _INPUT)
        rates = [rates for above, rates in self.rates if above == 0 or went_in > above][-1]
        exact = self.request + web_searches * self.web_search
        exact += sum(counts.get(name, 0) * rates[name] for name in _CLASSES)
        return (2 * exact + self.parts) // (2 * self.parts)

    def most_nanos(self, tokens_in: int, tokens_out: int) -> int:
        """The dearest that so many tokens can be, whatever their classes and the tier."""
        rates = [rates for _, rates in self.rates]
        dearest_in = max(one[name] for one in rates for name in _INPUT)
        dearest_out = max(one[name] for one in rates for name in _OUTPUT)
        exact = self.request + tokens_in * dearest_in + tokens_out * dearest_out
        return -(-exact // self.parts)

    def least_nanos(self, tokens_out: int) -> int:
        """The cheapest that so many tokens of text can be, whatever the tier."""
        cheapest = min(one["output"] for _, one in self.rates)
        return (self.request + tokens_out * cheapest) // self.parts


@dataclass(frozen=True, slots=True)
class Prices:
    """Every model's tariffs in order. `open_ended`: models that are not named may be priced all the same,
    from a table that is not read here."""

    models: Mapping[str, Sequence[Tariff]] = field(default_factory=dict)
    open_ended: bool = False

    def tariff(self, model: str | None, at_us: int) -> Tariff | None:
        """The one in force at a wall time; None where there is none."""
        found = [one for one in self.models.get(model or "", ()) if one.from_us <= at_us]
        return found[-1] if found else None

    @classmethod
    def read(cls, table: Mapping[str, Any], *, open_ended: bool = False) -> Prices:
        return cls({model: _tariffs(written) for model, written in table.items()}, open_ended)


def _tariffs(written: Any) -> tuple[Tariff, ...]:
    return tuple(map(_tariff, written if isinstance(written, list) else [written]))


def _tariff(written: Mapping[str, Any]) -> Tariff:
    named = _named(written)
    rates = [(0, _filled(named))]
    for tier in written.get("tiers") or ():
        named = {**named, **_named(tier)}
        rates.append((int(tier["above"]), _filled(named)))
    fees = [Fraction(str(written.get(fee, 0))) * _NANOS for fee in ("request", "web_search")]
    parts = lcm(*(one.denominator for one in [*fees, *(one for _, tier in rates for one in tier.values())]))
    whole = tuple((above, {name: int(one * parts) for name, one in tier.items()}) for above, tier in rates)
    return Tariff(_from_us(written.get("from")), parts, whole, *(int(fee * parts) for fee in fees))


def _named(written: Mapping[str, Any]) -> dict[str, Fraction]:
    """In nano-dollars a token."""
    given = {name: written[name] for name in _CLASSES if written.get(name) is not None}
    return {name: Fraction(str(dollars)) * _MICRO_NANOS for name, dollars in given.items()}


def _filled(named: Mapping[str, Fraction]) -> Mapping[str, Fraction]:
    rates = dict(named)
    for name, whole in _PART_OF.items():
        rates.setdefault(name, rates[whole])
    return rates


def _from_us(day: Any) -> int:
    if day is None:
        return 0
    text = day.isoformat() if isinstance(day, date) else str(day)
    at = datetime.fromisoformat(text)
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
