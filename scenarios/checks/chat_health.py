"""What a replica knows of its backends from its own attempts: refusals, failures, successes, in time.

Each replica keeps this for itself, and a new process knows nothing; so it is read here for each process.
How long a backend asks to be left alone is read from its answer by this module's own rules.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from fractions import Fraction

from fakes.journal import Answered
from scenarios.checks.chat_parts import Attempt
from scenarios.checks.chat_view import ChatView
from scenarios.checks.parts import by_name
from scenarios.declared import Declared
from scenarios.declared_chat import DeclaredChat
from scenarios.history import Crashed, History, Restarted, Stopped

__all__ = ["Health", "Known", "hint_us", "refused"]

_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_SECOND_US = 1_000_000
_SPREAD = Fraction(5, 4)  # what jitter may add to any of the times


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
    """Whether the backend answered that it is asked too much, and waiting would help."""
    work = attempt.work
    status = None if work is None or work.answered is None else work.answered.status
    return status == 429 and attempt.row["failure"] != "no_money"


@dataclass(slots=True)
class Known:
    """One backend as one process knows it, in order of the attempts' starts."""

    attempts: list[Attempt] = field(default_factory=list)
    starts_us: list[int] = field(default_factory=list)
    failed_us: list[int] = field(default_factory=list)  # when an attempt ended badly, in order
    served_us: list[int] = field(default_factory=list)

    def last_failure_us(self, before_us: int) -> int | None:
        at = bisect_right(self.failed_us, before_us)
        return self.failed_us[at - 1] if at else None

    def served_since(self, since_us: int, until_us: int) -> bool:
        return bisect_right(self.served_us, until_us) > bisect_left(self.served_us, since_us)

    def under_way(self, at_us: int) -> bool:
        """Whether an attempt that began before is not over; the last few are enough to look at."""
        at = bisect_right(self.starts_us, at_us)
        return any(
            one.ended_us is None or one.ended_us >= at_us for one in self.attempts[max(0, at - 64) : at]
        )


class Health:
    """`Health.of(history, declared)` gives the one that all checks share."""

    def __init__(self, history: History, declared: Declared, chat: DeclaredChat) -> None:
        view = ChatView.of(history, declared)
        self._begins_us: dict[str, list[int]] = defaultdict(list)
        for kind in (Restarted, Crashed, Stopped):
            for fact in history.of(kind):
                self._begins_us[fact.at].append(fact.t_us)
        for times in self._begins_us.values():
            times.sort()
        replicas = sorted({exchange.sent.to for exchange in view.exchanges})
        self._only = replicas[0] if len(replicas) == 1 else None
        self._view = view
        self.processes = max(1, len(replicas)) + view.restarts
        self.of_process: dict[tuple[str, str], Known] = defaultdict(Known)  # (process, backend)
        self.longest_us = self._longest_us(chat, declared.epoch_us)
        for attempt in view.attempts:
            process = self.process_of(attempt)
            if process is not None:
                known = self.of_process[process, attempt.backend]
                known.attempts.append(attempt)
                known.starts_us.append(attempt.started_us)
        for known in self.of_process.values():
            for attempt in known.attempts:
                over_us = attempt.ended_us
                if attempt.served and over_us is not None:
                    known.served_us.append(over_us)
                else:
                    known.failed_us.append(attempt.started_us + chat.whole_us if over_us is None else over_us)
            known.served_us.sort()
            known.failed_us.sort()

    @classmethod
    def of(cls, history: History, declared: Declared) -> Health:
        chat = declared.chat
        assert chat is not None
        return history.derived((cls, declared), lambda: cls(history, declared, chat))

    def process_of(self, attempt: Attempt) -> str | None:
        """The replica and its incarnation that made the attempt; None where that is not known."""
        call = self._view.calls.get(attempt.call_id)
        replica = self._only if call is None or call.exchange is None else call.exchange.sent.to
        if replica is None:
            return None
        return f"{replica}/{bisect_right(self._begins_us.get(replica, []), attempt.started_us)}"

    def backends(self) -> Iterator[tuple[str, Known]]:
        for (_, backend), known in self.of_process.items():
            yield backend, known

    def failures_us(self, backends: Collection[str]) -> list[int]:
        """When any process last saw these fail, in order."""
        return sorted(t for name, known in self.backends() if name in backends for t in known.failed_us)

    def probing(self, names: Collection[str], since_us: int, at_us: int) -> bool:
        """Whether somebody may just be trying one of these again: until it is served, others stay away."""
        found = [known for name, known in self.backends() if name in names]
        return any(one.under_way(at_us) and not one.served_since(since_us, at_us) for one in found)

    def _longest_us(self, chat: DeclaredChat, epoch_us: int) -> int:
        """No backend is kept away for longer after a failure, whatever was asked for and however drawn."""
        hints = [hint_us(one.work.answered, epoch_us) for one in self._view.attempts if one.work is not None]
        told = [int(one.row["retry_after_us"] or 0) for one in self._view.attempts]
        cooling = max([chat.cooldown_max_us, *hints, *told])
        return int((cooling + chat.breaker_open_us + chat.breaker_lease_us) * _SPREAD) + _SECOND_US
