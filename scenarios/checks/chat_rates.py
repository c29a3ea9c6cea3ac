"""How much is sent: what a backend is promised not to exceed, and the emergency lane."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable

from scenarios.checks.chat_health import UNKNOWN, Health, Known
from scenarios.checks.chat_parts import Attempt
from scenarios.checks.chat_pricing import believable, told_counts
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Check, Tally, check
from scenarios.declared.chat import Backend
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["CHECKS", "rate_within_limit"]

_MINUTE_US = 60_000_000


@check("rate-within-limit", "routing", of_chats=True)
def rate_within_limit(history: History, declared: Declared, tally: Tally) -> None:
    """In no minute does a process send a backend more calls than its declared rate, nor any call once what
    the minute's calls have used reaches its declared tokens; nor more calls for a model through the
    emergency lane than that lets through."""
    chat = declared.chat
    if chat is None:
        return
    health = Health.of(history, declared)
    for name, known in health.backends():
        backend = chat.backends.get(name)
        if backend is not None and backend.rpm is not None:
            _judge_window(f"{name} was sent", known.attempts, backend.rpm, tally)
        if backend is not None and backend.tpm is not None:
            _judge_tokens(known, backend, tally)
    view = ChatView.of(history, declared)
    lanes: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in view.attempts:
        process, call = health.process_of(attempt), view.calls.get(attempt.call_id)
        model = None if call is None else chat.models.get(call.model)
        if attempt.emergency and process != UNKNOWN and model is not None:
            lanes[process, model.name].append(attempt)
    for (_, called), attempts in lanes.items():
        what = f"the emergency lane of {called} let through"
        _judge_window(what, attempts, chat.emergency_a_minute, tally)


def _judge_window(what: str, attempts: Iterable[Attempt], limit: int, tally: Tally) -> None:
    window: deque[Attempt] = deque()
    for attempt in attempts:
        window.append(attempt)
        while window[0].started_us <= attempt.started_us - _MINUTE_US:
            window.popleft()
        if not tally.keeps(len(window) <= limit):
            facts = (window[0].fact, attempt.fact)
            tally.breach(f"{what} {len(window)} calls within a minute, and {limit} are declared", *facts)


def _judge_tokens(known: Known, backend: Backend, tally: Tally) -> None:
    """Calls admitted although what earlier ones of the minute are known to have used is all there is."""
    assert backend.tpm is not None
    for number, attempt in enumerate(known.attempts):
        since = bisect_right(known.starts_us, attempt.started_us - _MINUTE_US)
        before = known.attempts[since:number]
        used = [
            _used(one) for one in before if one.ended_us is not None and one.ended_us < attempt.started_us
        ]
        if not tally.keeps(sum(used) < backend.tpm or max(used, default=0) >= backend.tpm):
            tally.breach(
                f"{backend.name} was called after {sum(used)} tokens within a minute, and {backend.tpm} are "
                "declared",
                attempt.fact,
                *(one.fact for one in before),
            )


def _used(attempt: Attempt) -> int:
    """The tokens that the process surely knows of."""
    work = attempt.work
    if work is None or work.ended is None or work.accepted is None or not attempt.served:
        return 0
    if attempt.row["usage_source"] != "reported" or not believable(work.ended, work.accepted.dialect):
        return 0
    return sum(told_counts(work.ended, work.accepted.dialect).values())


CHECKS: tuple[Check, ...] = (rate_within_limit,)
