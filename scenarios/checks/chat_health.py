"""What a replica knows of its backends from its own attempts: refusals, failures, successes, in time.

Each replica keeps this for itself, and a new process knows nothing; so it is read here for each process.
How long a backend asks to be left alone is read from its answer by this module's own rules.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from fractions import Fraction

from fakes.journal import Answered
from scenarios.checks.chat_parts import Attempt, ChatCall
from scenarios.checks.chat_view import ChatView
from scenarios.checks.parts import by_name
from scenarios.declared.chat import DeclaredChat
from scenarios.declared.gateway import Declared
from scenarios.history import Crashed, History, Restarted, Stopped

__all__ = ["UNKNOWN", "Health", "Known", "hint_us", "refused"]

_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_SECOND_US = 1_000_000
_SPREAD = 4  # jitter may add one part in so many
_LAST = 64
UNKNOWN = "?"
"""The process of an attempt of which nobody can tell whose it was."""


def hint_us(answered: Answered | None, epoch_us: int) -> int:
    """How long the headers of an answer ask for, from then on; 0 where they do not."""
    if answered is None:
        return 0
    says = by_name(answered.headers)
    for name, unit_us in (("retry-after-ms", 1_000), ("retry-after", _SECOND_US)):
        text = says.get(name, "").strip()
        if _NUMBER.fullmatch(text):
            return int(Fraction(text) * unit_us)
    try:
        when = parsedate_to_datetime(says.get("retry-after", ""))
    except (ValueError, TypeError, IndexError):
        return 0
    return max(0, int(when.timestamp()) * _SECOND_US - epoch_us - answered.t_us)


def refused(attempt: Attempt) -> bool:
    """Whether the backend answered that it is asked too much, waiting would help, and the gateway heard it:
    an answer may be lost on its way, or come when nobody waits for it any more."""
    work = attempt.work
    if attempt.row["status"] is None:
        return False
    status = None if work is None or work.answered is None else work.answered.status
    return status == 429 and attempt.row["failure"] != "no_money"


@dataclass(slots=True)
class Known:
    """One backend as one process knows it, in order of the attempts' starts."""

    attempts: list[Attempt] = field(default_factory=list)
    starts_us: list[int] = field(default_factory=list)
    failed_us: list[int] = field(default_factory=list)  # when an attempt ended badly, in order
    free_us: list[int] = field(default_factory=list)  # by when each of these, and all before, are forgiven
    served_us: list[int] = field(default_factory=list)

    def last_failure_us(self, before_us: int) -> int | None:
        at = bisect_right(self.failed_us, before_us)
        return self.failed_us[at - 1] if at else None

    def forgiven_us(self, before_us: int) -> int:
        """By when everything that went wrong before no longer keeps calls away, however it was drawn."""
        at = bisect_right(self.failed_us, before_us)
        return self.free_us[at - 1] if at else 0

    def served_since(self, since_us: int, until_us: int) -> bool:
        return bisect_right(self.served_us, until_us) > bisect_left(self.served_us, since_us)

    def under_way(self, at_us: int, since_us: int = 0) -> bool:
        """Whether an attempt that began before, and since then, is not over; the last few are enough to look
        at."""
        at = bisect_right(self.starts_us, at_us)
        last = self.attempts[max(0, at - _LAST) : at]
        return any(
            one.started_us >= since_us and (one.ended_us is None or one.ended_us >= at_us) for one in last
        )

    def learn(self, chat: DeclaredChat, epoch_us: int, *, others: Sequence[Attempt], of_one: bool) -> None:
        """From the attempts, when all are there; `of_one` where one process surely made them. So it may have
        made `others`: their failures may have made a row longer, their successes need not have ended it."""
        for attempt in self.attempts:
            if attempt.served and attempt.ended_us is not None:
                self.served_us.append(attempt.ended_us)
        self.served_us.sort()
        served = [(one.started_us, _over_us(one, chat)) for one in self.attempts if one.served and of_one]
        bad = [(_over_us(one, chat), True, one) for one in self.attempts if _is_bad(one)]
        bad += [(_over_us(one, chat), False, one) for one in others if _is_bad(one)]
        in_a_row, last_us, free_us = 0, None, 0
        for over_us, own, attempt in sorted(bad, key=lambda one: one[:2]):
            # Only a success of an attempt that began since the last failure surely makes it the first again.
            since = len(served) if last_us is None else bisect_left(served, (last_us,))
            begun = served[since : bisect_left(served, (attempt.started_us,))]
            fresh = any(ended_us < over_us for _, ended_us in begun)  # at one instant either may be first
            in_a_row, last_us = 1 if fresh else in_a_row + 1, over_us
            if not own:
                continue
            free_us = max(free_us, over_us + _kept_away_us(attempt, in_a_row, chat, epoch_us))
            self.failed_us.append(over_us)
            self.free_us.append(free_us)


def _is_bad(attempt: Attempt) -> bool:
    """One that was called off tells nothing of the backend."""
    return not attempt.served and attempt.row["failure"] != "left"


def _over_us(attempt: Attempt, chat: DeclaredChat) -> int:
    return attempt.started_us + chat.whole_us if attempt.ended_us is None else attempt.ended_us


def _kept_away_us(attempt: Attempt, in_a_row: int, chat: DeclaredChat, epoch_us: int) -> int:
    """The longest that a failure may keep calls away: a grown cooldown, a hint, a breaker."""
    asked_us = hint_us(None if attempt.work is None else attempt.work.answered, epoch_us)
    asked_us = max(asked_us, int(attempt.row["retry_after_us"] or 0))
    grown_us = min(chat.cooldown_first_us << min(in_a_row - 1, 32), chat.cooldown_max_us)
    cooling_us = max(grown_us, asked_us)
    cooling_us += min(cooling_us, chat.cooldown_max_us) // _SPREAD
    opened_us = chat.breaker_open_us + chat.breaker_open_us // _SPREAD
    return max(cooling_us, opened_us if in_a_row >= chat.breaker_failures else 0) + _SECOND_US


class Health:
    """`Health.of(history, declared)` gives the one that all checks share."""

    def __init__(self, history: History, declared: Declared, chat: DeclaredChat) -> None:
        view = ChatView.of(history, declared)
        self._ended_us: dict[str, list[int]] = defaultdict(list)  # of each replica's processes
        for kind in (Restarted, Crashed, Stopped):
            for fact in history.of(kind):
                self._ended_us[fact.at].append(fact.t_us)
        for times in self._ended_us.values():
            times.sort()
        replicas = sorted({exchange.sent.to for exchange in view.exchanges})
        self._only = replicas[0] if len(replicas) == 1 else None
        self._view = view
        self._of_process: dict[tuple[str, str], Known] = {}
        for attempt in view.attempts:
            key = (self.process_of(attempt), attempt.backend)
            known = self._of_process.setdefault(key, Known())
            known.attempts.append(attempt)
            known.starts_us.append(attempt.started_us)
        for (process, backend), known in self._of_process.items():
            others = self._maybe_of(process, backend)
            known.learn(chat, declared.epoch_us, others=others, of_one=process != UNKNOWN)

    @classmethod
    def of(cls, history: History, declared: Declared) -> Health:
        chat = declared.chat
        assert chat is not None
        return history.derived((cls, declared), lambda: cls(history, declared, chat))

    def process_of(self, attempt: Attempt) -> str:
        """The replica and its incarnation that made the attempt."""
        call = self._view.calls.get(attempt.call_id)
        return UNKNOWN if call is None else self.process_at(call, attempt.started_us)

    def process_at(self, call: ChatCall, at_us: int) -> str:
        """The one that had the call at that time; UNKNOWN where nobody can tell."""
        replica = self._only if call.exchange is None else call.exchange.sent.to
        return UNKNOWN if replica is None else f"{replica}/{bisect_right(self._ended_us[replica], at_us)}"

    def backends(self) -> Iterator[tuple[str, Known]]:
        """Each backend as each process knows it."""
        for (process, backend), known in self._of_process.items():
            if process != UNKNOWN:
                yield backend, known

    def _maybe_of(self, process: str, backend: str) -> list[Attempt]:
        """Attempts that this process may have made besides its own."""
        return [
            attempt
            for (who, at), known in self._of_process.items()
            if at == backend and who != process and UNKNOWN in (who, process)
            for attempt in known.attempts
        ]

    def knowing(self, process: str, backend: str) -> Iterator[Known]:
        """What this process knows of the backend, and what nobody knows of whom it is."""
        for who in (process, UNKNOWN):
            if (known := self._of_process.get((who, backend))) is not None:
                yield known
