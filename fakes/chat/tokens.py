"""What a completion uses and what that costs: disjoint classes of tokens, exact prices.

One canonical count per request; each vendor's usage is rendered from it, and the bill is made of it.
Prices are dollars per million tokens as decimal text. The product is exact and rounded once, half up, to
integer nano-dollars: no float comes near it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from math import lcm

from pydantic import Field

from fakes.acts.play import Strict, UnitsText

__all__ = ["Prices", "Tier", "Tokens", "cost_nanos"]

_NANOS = 1_000_000_000
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens by class; no token is in two of them."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    output_text: int = 0
    output_reasoning: int = 0
    output_audio: int = 0

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h

    @property
    def input_total(self) -> int:
        return self.input_uncached + self.cache_read + self.cache_write + self.input_audio

    @property
    def output_total(self) -> int:
        return self.output_text + self.output_reasoning + self.output_audio

    def by_class(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _CLASSES}


_CLASSES = tuple(field.name for field in fields(Tokens))


class Prices(Strict):
    """Dollars per million tokens; a class without a price of its own costs what its like costs.

    Cached reads and writes and audio go back to `input`, a one-hour write to the five-minute one,
    reasoning and audio out to `output`. `request` is a fee in dollars for each billed request.
    """

    input: UnitsText = "1"
    output: UnitsText = "4"
    cache_read: UnitsText | None = None
    cache_write_5m: UnitsText | None = None
    cache_write_1h: UnitsText | None = None
    input_audio: UnitsText | None = None
    reasoning: UnitsText | None = None
    output_audio: UnitsText | None = None
    request: UnitsText = "0"

    def per_million(self) -> dict[str, str]:
        """The price of each class of tokens."""
        write_5m = self.cache_write_5m or self.input
        return {
            "input_uncached": self.input,
            "cache_read": self.cache_read or self.input,
            "cache_write_5m": write_5m,
            "cache_write_1h": self.cache_write_1h or write_5m,
            "input_audio": self.input_audio or self.input,
            "output_text": self.output,
            "output_reasoning": self.reasoning or self.output,
            "output_audio": self.output_audio or self.output,
        }


class Tier(Strict):
    """Prices of a whole request whose input is strictly more than `above` tokens."""

    above: int = Field(ge=1)
    prices: Prices


def cost_nanos(tokens: Tokens, prices: Prices) -> int:
    """Exactly what these tokens cost, rounded once, half up, to whole nano-dollars."""
    parts, fee, rates = _in_parts(prices)
    exact = fee + sum(rates[name] * count for name, count in tokens.by_class().items())
    return (2 * exact + parts) // (2 * parts)


@lru_cache(maxsize=256)
def _in_parts(prices: Prices) -> tuple[int, int, dict[str, int]]:
    """The prices in parts of a nano-dollar so small that all are whole: how many make one, fee, classes."""
    fee = Fraction(prices.request) * _NANOS
    rates = {name: Fraction(price) * _NANOS / _MILLION for name, price in prices.per_million().items()}
    parts = lcm(fee.denominator, *(rate.denominator for rate in rates.values()))
    return parts, int(fee * parts), {name: int(rate * parts) for name, rate in rates.items()}
