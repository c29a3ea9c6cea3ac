"""What a whole suite came to: counts per file and per invariant. Plain values for every form of report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from scenarios.checks import Finding, Verdict
from scenarios.sweep import Played

__all__ = ["FileSum", "Sum", "exit_code"]


def exit_code(failed: Iterable[Played]) -> int:
    """0: all holds. 1: something is broken. 2: a check failed itself, or the input is wrong."""
    found = list(failed)
    if any(played.broken or played.unmet for played in found):
        return 1
    return 2 if found else 0


@dataclass(slots=True)
class FileSum:
    """One scenario file: its runs."""

    name: str
    path: str | None
    runs: int = 0
    virtual_us: int = 0
    requests: int = 0
    wall_s: float = 0.0
    failed: list[Played] = field(default_factory=list)
    unapplied: int = 0

    def add(self, played: Played) -> None:
        self.runs += 1
        self.virtual_us += played.virtual_us
        self.requests += played.requests
        self.wall_s += played.wall_s
        self.unapplied += len(played.unapplied)
        if not played.holds:
            self.failed.append(played)


@dataclass(slots=True)
class Sum:
    """Everything that was played."""

    files: dict[str, FileSum] = field(default_factory=dict)
    verdicts: dict[str, Counter[Verdict]] = field(default_factory=dict)

    def add(self, played: Played) -> FileSum:
        key = played.path or played.name
        one = self.files.setdefault(key, FileSum(played.name, played.path))
        one.add(played)
        for finding in played.findings:
            self.verdicts.setdefault(finding.check, Counter())[finding.verdict] += 1
        return one

    def find(self, played: Played, finding: Finding) -> None:
        """One more finding about a run that was added before."""
        self.verdicts.setdefault(finding.check, Counter())[finding.verdict] += 1
        one = self.files[played.path or played.name]
        if finding.verdict is Verdict.BROKEN:
            run = (played.seed, played.label)
            one.failed = [item for item in one.failed if (item.seed, item.label) != run] + [played]

    @property
    def runs(self) -> int:
        return sum(one.runs for one in self.files.values())

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self.files.values())

    @property
    def virtual_us(self) -> int:
        return sum(one.virtual_us for one in self.files.values())

    @property
    def failed(self) -> list[Played]:
        return [played for one in self.files.values() for played in one.failed]

    @property
    def never_tested(self) -> list[str]:
        """Invariants that no run of all reached."""
        return [name for name, seen in self.verdicts.items() if set(seen) == {Verdict.UNTESTED}]

    def exit_code(self) -> int:
        return exit_code(self.failed)
