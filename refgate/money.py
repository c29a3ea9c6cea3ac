"""Exact amounts: integer nano-dollars (10⁻⁹ USD), from decimal text and JSON numbers, never floats.

A charge is units × unit price, exact until it is rounded once, half up, to a nano-dollar. What a
provider says it used is hostile until shown otherwise: anything but a plain, finite, non-negative
number within the declared bound is a `BadUsage`, and never an amount. Which amount a success without
usable usage costs is a declared policy, and not known here.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

__all__ = [
    "NANOS_MAX",
    "NANOS_PER_USD",
    "BadAmount",
    "BadUsage",
    "charge_nanos",
    "loads_exact",
    "parse_nanos",
    "parse_price",
]

NANOS_PER_USD = 10**9
NANOS_MAX = 10**18
"""A thousand million dollars: above any one amount, and a ninth of what a 64-bit integer holds."""

_CHARS_MAX = 64
_DIGITS_MAX = 40
_EXPONENT_MAX = 40  # bounds the powers of ten in a product; 1e-40 is far finer than any price
_PLAIN = re.compile(r"-?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)


class BadAmount(ValueError):
    """A configured amount or price that is not exact: the message says what to write instead."""


class BadUsage(Exception):
    """What the provider gave as usage is no usable number.

    `reason`: missing not_a_number not_finite negative too_large too_precise.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_nanos(value: object) -> int:
    """A configured dollar amount, such as "0.30", in nano-dollars. At most nine decimals, nothing lost."""
    nanos = Fraction(parse_price(value)) * NANOS_PER_USD
    if nanos.denominator != 1:
        raise BadAmount("more than nine decimals: the smallest amount is 0.000000001")
    if nanos > NANOS_MAX:
        raise BadAmount("more than 1000000000 dollars")
    return nanos.numerator


def parse_price(value: object) -> Decimal:
    """A configured price or amount in dollars: quoted decimal text or a whole number, zero or more."""
    if isinstance(value, float):
        raise BadAmount('a float is not exact: write the amount in quotes, such as "0.30"')
    try:
        number = _number(value)
    except BadUsage as bad:
        raise BadAmount(f'{bad.reason.replace("_", " ")}: write a decimal in quotes, such as "0.30"') from bad
    return number


def charge_nanos(units: object, *, unit_price: Decimal, max_nanos: int) -> int:
    """units × unit price, rounded once, half up. Raises BadUsage rather than guess, clip or wrap."""
    number, number_parts = _number(units).as_integer_ratio()
    price, price_parts = unit_price.as_integer_ratio()
    exact, parts = number * price * NANOS_PER_USD, number_parts * price_parts
    nanos = (2 * exact + parts) // (2 * parts)
    if nanos > max_nanos:
        raise BadUsage("too_large")
    return nanos


def loads_exact(text: str | bytes, *, once: bool = False) -> Any:
    """JSON with numbers kept as they were written. Raises ValueError for everything that is not JSON, and
    with `once` for objects in which a name is given twice.

    An integer of any length is JSON, though `int` refuses to read it: it comes out as a Decimal.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    try:
        return (_ONCE if once else _EXACT).decode(text)
    except RecursionError as deep:
        raise ValueError("nested too deeply") from deep


def _int(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _CHARS_MAX else _decimal(digits)


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return Decimal("NaN")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


_EXACT = json.JSONDecoder(parse_float=_decimal, parse_int=_int, parse_constant=Decimal)
_ONCE = json.JSONDecoder(
    parse_float=_decimal, parse_int=_int, parse_constant=Decimal, object_pairs_hook=_without_repeats
)


def _number(value: object) -> Decimal:
    """A finite number, zero or more, of bounded size; BadUsage for anything else."""
    if value is None:
        raise BadUsage("missing")
    if isinstance(value, str):
        value = _from_text(value)
    elif isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadUsage("not_a_number")
    if isinstance(value, int):
        if value.bit_length() > 4 * _DIGITS_MAX:
            raise BadUsage("negative" if value < 0 else "too_large")
        value = Decimal(value)
    if not value.is_finite():
        raise BadUsage("not_finite")
    if value < 0:
        raise BadUsage("negative")
    if value == 0:
        return Decimal(0)
    _, digits, exponent = value.as_tuple()
    if value.adjusted() > _DIGITS_MAX:
        raise BadUsage("too_large")
    if len(digits) > _DIGITS_MAX or not isinstance(exponent, int) or exponent < -_EXPONENT_MAX:
        raise BadUsage("too_precise")
    return value


def _from_text(text: str) -> Decimal:
    if text == "":
        raise BadUsage("missing")
    if len(text) > _CHARS_MAX:
        raise BadUsage("not_a_number")
    if _PLAIN.fullmatch(text) is None:
        lowered = text.lower().lstrip("+-")
        raise BadUsage("not_finite" if lowered in ("nan", "inf", "infinity") else "not_a_number")
    return Decimal(text)
