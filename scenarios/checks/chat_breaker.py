"""Backends that failed too often in a row: left alone for a while, then tried by one call at a time.

When a breaker opened is computed from the attempts of one process, and only where there is no doubt: from
failures that began after the last success had ended. What happens in doubt is nobody's fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scenarios.checks.chat_health import UNKNOWN, Health, Known
from scenarios.checks.chat_parts import Attempt
from scenarios.checks.finding import Tally
from scenarios.declared.chat import DeclaredChat

__all__ = ["judge_breakers"]

_CLOCK_US = 1_000  # a timer is due at a whole millisecond
_NEVER_US = 1 << 62
_TRIPS = frozenset(
    {"broken", "no_money", "overloaded", "server", "timeout", "truncated", "unauthorized", "unreachable"}
)
_SOUND = frozenset({None, "bad_request", "content_filter", "context_overflow"})
"""Ends that show a backend well: it served, or what it refused was its caller's own doing."""


@dataclass(frozen=True, slots=True)
class _Open:
    """From when on a breaker is surely not closed, and until when. `first`: since when is known exactly."""

    since_us: int
    because: Attempt
    first: bool
    until_us: int


def judge_breakers(health: Health, chat: DeclaredChat, tally: Tally) -> None:
    """Part of cooldown-respected."""
    for backend, known in health.backends():
        others = [one for who in health.knowing(UNKNOWN, backend) for one in who.attempts]
        for opened in _openings(known, others, chat.breaker_failures):
            _judge(backend, known, opened, chat, tally)


def _openings(known: Known, others: list[Attempt], failures_max: int) -> Iterator[_Open]:
    both = [(one, True) for one in known.attempts] + [(one, False) for one in others]
    ends = [(one.ended_us, one, own) for one, own in both if one.ended_us is not None]
    ends.sort(key=lambda end: (end[0], end[1].row["failure"] in _SOUND))
    sure = loose = 0
    well_us, opened, first = -1, None, True
    for ended_us, attempt, own in ends:
        if attempt.row["failure"] in _SOUND:
            if opened is not None:
                yield _Open(*opened, until_us=ended_us)
            sure, loose, well_us, opened = 0, 0, ended_us, None
        elif attempt.row["failure"] in _TRIPS and opened is None:
            loose += 1
            sure += own and attempt.started_us > well_us
            if sure >= failures_max:
                opened = (ended_us, attempt, first and sure == loose)
                first = False
    if opened is not None:
        yield _Open(*opened, until_us=_NEVER_US)


def _judge(backend: str, known: Known, opened: _Open, chat: DeclaredChat, tally: Tally) -> None:
    probe: Attempt | None = None
    busy_us = opened.since_us + chat.breaker_open_us if opened.first else 0
    for attempt in known.attempts:
        if attempt.emergency or not opened.since_us < attempt.started_us <= opened.until_us:
            continue
        if not tally.keeps(attempt.started_us >= busy_us - _CLOCK_US):
            tally.breach(
                f"{backend} had failed {chat.breaker_failures} times in a row, and was called "
                + ("while it was to be left alone" if probe is None else "while another call was trying it"),
                opened.because.fact,
                None if probe is None else probe.fact,
                attempt.fact,
            )
        probe = attempt
        ended_us = _NEVER_US if attempt.ended_us is None else attempt.ended_us
        busy_us = min(ended_us, attempt.started_us + chat.breaker_lease_us)
