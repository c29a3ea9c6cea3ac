"""What a person sees: a line per file, the proof of what is broken, and a summary at the end.

Only what is broken is told at length. On a terminal there is a progress bar and colour; elsewhere plain
lines, so that a log stays readable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fakes.journal import Fact
from scenarios.checks import Finding, Verdict
from scenarios.report.summary import FileSum, Sum
from scenarios.report.words import at, seconds, words
from scenarios.sweep import Played

__all__ = ["Printer"]

_FACTS_MAX = 8
_BREACHES_MAX = 3
_OTHERS_SHOWN_MAX = 12


class Printer:
    """Prints runs as they come, and what they came to."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._progress: Progress | None = None

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[None]:
        """A bar while the block runs, on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            self._progress = bar
            bar.add_task(what, total=total)
            try:
                yield
            finally:
                self._progress = None

    def step(self) -> None:
        """One more run is done."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])

    def file(self, one: FileSum) -> None:
        """The line of one file."""
        mark = "[red]✗[/]" if one.failed else "[green]✓[/]"
        text = f"{_runs(one.runs)}, {one.requests} requests, {seconds(one.virtual_us)} simulated"
        wall = f"{one.wall_s:.2f}s"
        name = escape(one.name)
        self.console.print(f"{mark} [bold]{name:<40}[/] {text:<55} {wall:>8}")

    def failure(
        self,
        played: Played,
        *,
        again: str,
        others: Sequence[tuple[Played, str]] = (),
        held: int | None = None,
    ) -> None:
        """One failed run at length; `others` of its file with their commands; `held`: runs that hold."""
        label = f" · {played.label}" if played.label else ""
        self.console.rule(f"[red]{escape(played.name)} · seed {played.seed}{escape(label)}[/]", align="left")
        if played.refused is not None:
            self.console.print(f"  [red]not played[/]: {escape(played.refused)}")
        for finding in (*played.broken, *played.faulty_checks):
            self._finding(finding)
        for one in played.unmet:
            self.console.print(f"  [red]expected[/] {escape(one.what)}: {escape(one.seen)}")
        for text in played.unapplied:
            self.console.print(f"  [yellow]note[/] {escape(text)}")
        if again:
            self.console.print(f"  again: [bold]{escape(again)}[/]")
        for other, command in others[:_OTHERS_SHOWN_MAX]:
            what = _why(other)
            where = f"seed {other.seed}{f' · {other.label}' if other.label else ''}"
            self.console.print(f"  besides: {escape(where)}: {escape(what)}: {escape(command)}")
        if len(others) > _OTHERS_SHOWN_MAX:
            self.console.print(f"  besides: {len(others) - _OTHERS_SHOWN_MAX} more failed")
        if held:
            self.console.print(f"  besides: {_runs(held)} of this file {'holds' if held == 1 else 'hold'}")

    def note(self, text: str) -> None:
        """Something worth knowing that breaks nothing."""
        self.console.print(f"[dim]{escape(text)}[/]")

    def verdict(self, word: str, name: str, seed: int) -> None:
        """The last line of a replay."""
        colour = "red" if word == "FAILED" else "green"
        self.console.print(f"[{colour}]{word}[/] {escape(name)} · seed {seed}")

    def timeline(self, history: Iterable[Fact]) -> None:
        """Every fact, in words, in order."""
        for fact in history:
            self.console.print(f"[dim]{escape(at(fact)):<28}[/] {escape(words(fact))}")

    def _finding(self, finding: Finding) -> None:
        self.console.print(f"  [red]{finding.verdict.value}[/] [bold]{finding.check}[/]")
        for breach in finding.breaches[:_BREACHES_MAX]:
            self.console.print(f"    {escape(breach.sentence)}")
            for fact in breach.facts[:_FACTS_MAX]:
                self.console.print(f"      [dim]{escape(at(fact))}[/]  {escape(words(fact))}")
        if not finding.breaches:
            self.console.print(f"    {escape(finding.sentence)}")
        elif finding.broken > _BREACHES_MAX:
            self.console.print(f"    and {finding.broken - _BREACHES_MAX} more")

    def summary(self, total: Sum, wall_s: float) -> None:
        """What it all came to."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("invariant", "holds", "untested", "broken"):
            table.add_column(column, justify="left" if column == "invariant" else "right")
        for check, seen in total.verdicts.items():
            broken = seen[Verdict.BROKEN] + seen[Verdict.ERROR]
            style = "red" if broken else "yellow" if not seen[Verdict.HOLDS] else ""
            cells = (str(seen[Verdict.HOLDS]), str(seen[Verdict.UNTESTED]), str(broken))
            table.add_row(check, *cells, style=style)
        self.console.print(table)
        failed = len(total.failed)
        files = "file" if len(total.files) == 1 else "files"
        speed = total.virtual_us / 1e6 / wall_s if wall_s else 0
        verdict = (
            f"[red]{failed} of {_runs(total.runs)} failed[/]"
            if failed
            else f"[green]{_runs(total.runs)} {'holds' if total.runs == 1 else 'hold'}[/]"
        )
        self.console.print(
            f"{verdict} · {len(total.files)} {files} · {total.requests} requests · "
            f"{seconds(total.virtual_us)} simulated in {wall_s:.1f}s ({speed:,.0f} : 1)"
        )
        if total.never_tested:
            self.console.print(f"[yellow]untested in every run[/]: {', '.join(total.never_tested)}")


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"


def _why(failed: Played) -> str:
    """What one more failed run failed of, in a word for each."""
    if failed.refused is not None:
        return "not played"
    names = [one.check for one in (*failed.broken, *failed.faulty_checks)]
    return ", ".join([*names, *(["its expectations"] if failed.unmet else [])])
