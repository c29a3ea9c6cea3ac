"""A scenario's own expectations, held against one history. Invariants are judged elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from scenarios.counts import count
from scenarios.gateways import PROBE
from scenarios.history import CHAT_OPS, Got, Heard, History, Observed, Sent
from scenarios.model.scenario import Expect
from scenarios.units import amount_text, parse_claim

__all__ = ["Expectation", "expectations"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation and what was seen instead, or as well."""

    what: str
    holds: bool
    seen: str


def expectations(expect: Expect, history: History) -> tuple[Expectation, ...]:
    """Each thing that the scenario expects, in the order of the file."""
    return tuple(_all(expect, history))


def _all(expect: Expect, history: History) -> Iterator[Expectation]:
    settled = _settled(history)
    if isinstance(expect.charged, int):
        total = sum(settled.values())
        what = f"charged {amount_text(expect.charged)} in all"
        yield Expectation(what, total == expect.charged, f"{amount_text(total)} was charged")
    elif expect.charged is not None:
        for account, nanos in expect.charged.items():
            seen = settled.get(account, 0)
            what = f"charged {amount_text(nanos)} to {account}"
            yield Expectation(what, seen == nanos, f"{amount_text(seen)} was charged")
    if expect.served is not None:
        ok, all_calls = _served(history)
        share = Fraction(ok, all_calls) if all_calls else Fraction(0)
        holds = bool(all_calls) and parse_claim(expect.served).holds(
            share if "%" in str(expect.served) else ok
        )
        yield Expectation(f"served {expect.served}", holds, f"{ok} of {all_calls} calls ended ok")
    counted: Counter[str] = count(history) if expect.counts or expect.reached else Counter()
    for name, claim in expect.counts.items():
        yield Expectation(f"{name} {claim}", parse_claim(claim).holds(counted[name]), f"{counted[name]} seen")
    for name in expect.reached:
        yield Expectation(f"{name} at least once", counted[name] > 0, f"{counted[name]} seen")


def _settled(history: History) -> dict[str, int]:
    """What each account was charged, by the last reading: billing's own books where there are any."""
    last = [fact for fact in history.of(Observed) if fact.what == "accounts" and fact.final]
    own = [fact for fact in last if not fact.at.startswith("gateway-")] or last
    rows = own[-1].rows if own else ()
    return {row["account"]: row["settled_nanos"] for row in rows if row["account"] != PROBE}


def _served(history: History) -> tuple[int, int]:
    """Calls that were served, of all that clients made: tasks of which some submit was answered ok, and
    chats whose client has heard the whole answer."""
    sent = [one for one in history.of(Sent) if one.account != PROBE]
    submitted = {one.call for one in sent if one.op == "submit"}
    asked = {one.call for one in sent if one.op in CHAT_OPS}
    ok = {got.call for got in history.of(Got) if got.op == "submit" and got.outcome == "ok"}
    heard = {one.call for one in history.of(Heard) if one.outcome == "ok"}
    return len(ok & submitted) + len(heard & asked), len(submitted) + len(asked)
