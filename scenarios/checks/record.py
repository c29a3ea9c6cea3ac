"""Record: that two runs of one scenario and seed leave one and the same history."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from scenarios.checks.finding import Breach, Check, Finding, Tally, Verdict, check
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["CHECKS", "deterministic", "same_history"]


@check("deterministic", "record")
def deterministic(history: History, declared: Declared, tally: Tally) -> None:
    """The same scenario and seed give the same history, line by line, in another process with another hash
    seed. Judged by whoever ran both (`same_history`): one history alone cannot tell."""


def same_history(first: Iterable[str], second: Iterable[str]) -> Finding:
    """The finding of `deterministic` on the lines of two runs; the sentence shows where they part."""
    count = 0
    for count, (one, other) in enumerate(zip_longest(first, second), start=1):
        if one != other:
            sentence = f"the runs part at line {count}: {one or 'the end'} — {other or 'the end'}"
            return Finding(deterministic.name, Verdict.BROKEN, sentence, count, 1, (Breach(sentence),))
    if count == 0:
        return Finding(deterministic.name, Verdict.UNTESTED, "both histories are empty")
    return Finding(deterministic.name, Verdict.HOLDS, f"{count} lines are equal", count)


CHECKS: tuple[Check, ...] = (deterministic,)
