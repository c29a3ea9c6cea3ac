"""What a check answers: holds, broken with its proof, untested, or that the check itself failed.

A breach is one plain sentence and the facts that prove it. `Tally` is how a check counts what it judged
and collects breaches on its one way through the history. Knows no promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from fakes.journal import Fact

if TYPE_CHECKING:
    from scenarios.declared.gateway import Declared
    from scenarios.history import History

__all__ = ["Breach", "Check", "Finding", "Function", "Tally", "Verdict", "check"]

_BREACHES_MAX = 20
_FACTS_MAX = 12


class Verdict(StrEnum):
    HOLDS = "holds"
    BROKEN = "broken"
    UNTESTED = "untested"  # the scenario never reached what the check judges: not a pass
    ERROR = "error"  # the check raised: a broken check, not a pass


@dataclass(frozen=True, slots=True)
class Breach:
    """One way in which the promise was broken: what a person should read, and the proof."""

    sentence: str
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer about one history. `judged`: how many things it looked at; `breaches`: the first
    few; `broken`: how many there were."""

    check: str
    verdict: Verdict
    sentence: str
    judged: int = 0
    broken: int = 0
    breaches: tuple[Breach, ...] = ()

    @property
    def evidence(self) -> tuple[Fact, ...]:
        """The facts that prove the first breach."""
        return self.breaches[0].facts if self.breaches else ()


Function = Callable[["History", "Declared"], Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: its name, its theme, its public statement, and the function that judges it.

    `of_chats`: without a model there is nothing that it could judge.
    """

    name: str
    theme: str
    statement: str
    function: Function
    of_chats: bool = False


def check(
    name: str, theme: str, *, of_chats: bool = False
) -> Callable[[Callable[[History, Declared, Tally], None]], Check]:
    """Makes a check of a function that walks a history with a `Tally`; its docstring is the statement."""

    def made(walk: Callable[[History, Declared, Tally], None]) -> Check:
        def function(history: History, declared: Declared) -> Finding:
            tally = Tally(name)
            walk(history, declared, tally)
            return tally.finding()

        return Check(name, theme, " ".join((walk.__doc__ or "").split()), function, of_chats)

    return made


@dataclass(slots=True)
class Tally:
    """What one check has judged so far, and what it found broken."""

    name: str
    judged: int = 0
    broken: int = 0
    breaches: list[Breach] = field(default_factory=list)

    def saw(self, count: int = 1) -> None:
        """So many more things were judged."""
        self.judged += count

    def breach(self, sentence: str, *facts: Fact | None) -> None:
        """The promise is broken here. Facts that are not there (None) are left out."""
        self.broken += 1
        if len(self.breaches) < _BREACHES_MAX:
            proof = tuple(fact for fact in facts if fact is not None)[:_FACTS_MAX]
            self.breaches.append(Breach(sentence, proof))

    def keeps(self, kept: bool) -> bool:
        """Judges one thing: `if not tally.keeps(...): tally.breach(...)`."""
        self.judged += 1
        return kept

    def finding(self) -> Finding:
        if self.broken:
            more = f" (and {self.broken - 1} more)" if self.broken > 1 else ""
            sentence = self.breaches[0].sentence + more
            return Finding(
                self.name, Verdict.BROKEN, sentence, self.judged, self.broken, tuple(self.breaches)
            )
        if self.judged:
            return Finding(self.name, Verdict.HOLDS, f"{self.judged} judged", self.judged)
        return Finding(self.name, Verdict.UNTESTED, "the history never reached what this judges")
