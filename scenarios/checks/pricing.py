"""What a task must cost, computed again from what the provider showed and what is declared.

Exact fractions, rounded once, half up, to a nano-dollar. A number that is no usable number (missing, not
plain decimal text, negative, beyond the declared bound) costs what the declared policy says, and the row
is flagged. Where a reading could honestly go either way, both amounts are right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from fakes.journal import Answered
from scenarios.checks.parts import Task, header
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.declared.providers import Provider, Query, Usage

__all__ = ["Due", "Told", "due", "hold_declared", "price", "told_of"]

_NANOS = 10**9
_PLAIN = re.compile(r"-?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?", re.ASCII)
_EXPONENT_MAX = 40
_FAILED_LOOK_UPS = frozenset({400, 406, 410, 413, 415, 422})  # they say that the work failed
_DIGITS_MAX = 30  # beyond it a gateway may honestly refuse the number as too precise


@dataclass(frozen=True, slots=True)
class Due:
    """The amounts that are right, in nano-dollars; `flagged`: those that the row must flag; `why`."""

    amounts: frozenset[int]
    flagged: frozenset[int] = frozenset()
    why: str = ""

    def __or__(self, other: Due) -> Due:
        why = self.why if self.why == other.why else f"{self.why}, or {other.why}"
        both = self.amounts | other.amounts
        plain = (self.amounts - self.flagged) | (other.amounts - other.flagged)
        return Due(both, both - plain, why)


Told = tuple[bool, str | None]
"""Success or failure, and with success the text in the usage place."""

_FREE = Due(frozenset({0}), why="the task failed")


def _half_up(exact: Fraction) -> int:
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def price(shown: str | None, usage: Usage) -> int | None:
    """The exact amount for what the answer showed; None where that is no usable number."""
    if usage.flat_nanos is not None:
        return usage.flat_nanos
    if shown is None or not _PLAIN.fullmatch(shown):
        return None
    number = Decimal(shown)
    if number < 0 or (number and number.adjusted() > _EXPONENT_MAX):
        return None
    if number and number.adjusted() < -_EXPONENT_MAX:
        return 0
    nanos = _half_up(Fraction(number) * usage.unit_price * _NANOS)
    return None if usage.max_nanos is not None and nanos > usage.max_nanos else nanos


def _capped(nanos: int, hold_nanos: int, declared: Declared) -> Due:
    if nanos > hold_nanos and declared.usage_above_hold == "cap_at_hold":
        only = frozenset({hold_nanos})
        return Due(only, only, "usage above the hold, capped at the hold by policy")
    return Due(frozenset({nanos}), why="units × price")


def _by_policy(usage: Usage, hold_nanos: int, declared: Declared) -> Due:
    policy = declared.missing_usage
    nanos = {"zero": 0, "estimate": usage.estimate_nanos}.get(policy, hold_nanos)
    amount = hold_nanos if nanos is None else nanos
    if declared.usage_above_hold == "cap_at_hold":
        amount = min(amount, hold_nanos)
    return Due(frozenset({amount}), frozenset({amount}), f"no usable usage, policy {policy}")


def _success(shown: str | None, usage: Usage, hold_nanos: int, declared: Declared) -> Due:
    nanos = price(shown, usage)
    if nanos is None:
        return _by_policy(usage, hold_nanos, declared)
    found = _capped(nanos, hold_nanos, declared)
    if usage.flat_nanos is None and shown is not None and len(shown) > _DIGITS_MAX:
        found |= _by_policy(usage, hold_nanos, declared)
    return found


def _usages_for(task: Task, provider: Provider) -> Iterable[Usage]:
    """The usage rules under which the task may have been priced: those of the requests about it."""
    asked = {(one.received.method, one.received.path) for one in task.asked}
    found = [provider.query_for(method, path) for method, path in sorted(asked)]
    return [query.usage for query in found if query is not None] or provider.usages


def told_of(task: Task, provider: Provider) -> frozenset[Told]:
    """Every end that the provider's whole answers told of this task, as the declared routes read them.

    Where usage is fetched from a place of its own, a poll tells that the work is over, and only that place
    what it was; it may stay unread until the deadline, and then there is no usage.
    """
    fetched = any(usage.fetched for usage in provider.usages)
    told: set[Told] = set()
    over = looked_up = False
    for served in task.asked:
        answered = served.answered
        if answered is None or not answered.complete or answered.status is None:
            continue
        query = provider.query_for(served.received.method, served.received.path)
        if query is not None:
            success = _says_success(answered, query)
            if success is not None and not (success and fetched):
                told.add((success, _shown(answered, [query.usage]) if success else None))
            over = over or success is True
        elif fetched and answered.status // 100 == 2:
            looked_up = True
            told.add((True, _shown(answered, provider.usages)))
        elif fetched and answered.status in _FAILED_LOOK_UPS:
            told.add((False, None))
    if fetched and over and not looked_up:
        told.add((True, None))
    return frozenset(told)


def _shown(answered: Answered, usages: Iterable[Usage]) -> str | None:
    """The text in the usage place. Headers are those that went out, whatever befell them."""
    names = [one.header for one in usages if one.header is not None]
    return header(answered.headers, names[0].lower()) if names else answered.usage_shown


def _says_success(answered: Answered, query: Query) -> bool | None:
    """An error beside the word for success is a failure only where that place is declared."""
    if answered.shown == "error":
        return query.failure_when is None
    return {"success": True, "failure": False}.get(answered.shown or "")


def due(
    task: Task, hold_nanos: int, provider: Provider, declared: Declared, *, heard: bool | None = None
) -> Due | None:
    """What the task must cost; None where nothing told how it ended.

    Where the provider told two different ends, either may have been heard first: both are right, unless
    a caller was told which it was (`heard`: whether it was a success).
    """
    told = told_of(task, provider)
    if heard is not None and not any(usage.fetched for usage in provider.usages):
        told = frozenset(one for one in told if one[0] is heard) or told
    if not told and task.ended is not None:
        told = frozenset({(task.ended.success, task.ended.usage_shown)})
    found: Due | None = None
    for success, shown in sorted(told, key=str):
        for usage in _usages_for(task, provider):
            one = _success(shown, usage, hold_nanos, declared) if success else _FREE
            found = one if found is None else found | one
    return found


def hold_declared(view: View, nonce: str, provider: Provider) -> int | None:
    """What the configuration sets aside for the submit that carried this nonce."""
    for exchange in view.submits.get(nonce, ()):
        path = exchange.sent.path.partition("?")[0].removeprefix(f"/api/proxy/{provider.name}")
        route = provider.submit_for(exchange.sent.method, path)
        if route is not None:
            return route.hold_nanos
    return None
