"""Many callers at once: that those who wait, rest or are told to come back do not all come in one instant,
nor later than they could.

Waits are spread by chance, so that a few may fall together and most of them cannot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from scenarios.checks.chat_carried import can_be_carried
from scenarios.checks.chat_health import UNKNOWN, Health
from scenarios.checks.chat_parts import Attempt, ChatCall
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Tally
from scenarios.checks.parts import header
from scenarios.declared.chat import DeclaredChat
from scenarios.declared.gateway import Declared

__all__ = ["judge_crowds"]

_CROWD = 4
_WAITED_US = 1_000_000  # who has waited for less may have come by itself
_RESTED_US = 200_000
_RESTING = frozenset({"overloaded", "rate_limited"})
"""Failures after which a backend is left alone for a time, whatever was before."""
_ROUNDED_US = 2_000_000  # seconds are whole, and the answer takes its way


def judge_crowds(
    view: ChatView, health: Health, chat: DeclaredChat, declared: Declared, tally: Tally
) -> None:
    """Part of traffic-returns. Where a store or a process was away, everything waited for that."""
    if view.cut_off:
        return
    waited: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    rests: dict[tuple[str, str, int], list[tuple[int, Attempt]]] = defaultdict(list)
    for call in view.calls.values():
        since_us: int | None = int(call.row["created_us"]) - declared.epoch_us
        for attempt in call.attempts:
            process = health.process_of(attempt)
            waited_us = 0 if since_us is None else attempt.started_us - since_us
            if waited_us >= _WAITED_US and process != UNKNOWN and not attempt.emergency:
                waited[process, attempt.backend].append(attempt)
            since_us = attempt.ended_us
        number = 0
        for before, after in pairwise(call.attempts):
            rest_us = 0 if before.ended_us is None else after.started_us - before.ended_us
            if rest_us >= _RESTED_US and not after.emergency:
                number += 1
                rests[health.process_of(after), call.model, number].append((rest_us, after))
        _judge_told(call, view, health, chat, tally)
    for (_, backend), attempts in waited.items():
        _judge_herd(
            f"came to {backend} in one instant", [(one.started_us, one) for one in attempts], 0, tally
        )
    for (_, model, _), gaps in rests.items():
        _judge_herd(f"for {model} rested for the very same time", gaps, 2, tally)


def _judge_herd(what: str, seen: list[tuple[int, Attempt]], parts: int, tally: Tally) -> None:
    """So many with the same figure are a herd; with `parts`, only if they are one part in so many."""
    if len(seen) < _CROWD:
        return
    figure, count = Counter(figure for figure, _ in seen).most_common(1)[0]
    if not tally.keeps(count < _CROWD or 0 < parts * count < len(seen)):
        tally.breach(f"{count} calls {what}", *(attempt.fact for its, attempt in seen if its == figure))


def _judge_told(call: ChatCall, view: ChatView, health: Health, chat: DeclaredChat, tally: Tally) -> None:
    """Who is told to come back is told when the first backend is free, at the latest."""
    exchange, model = call.exchange, chat.models.get(call.model)
    got = None if exchange is None else exchange.answered
    if exchange is None or got is None or model is None or exchange.own_code != "AllPoolsExhausted":
        return
    text = header(got.headers, "retry-after") or ""
    process = health.process_at(call, got.t_us)
    if process == UNKNOWN or not text.isdecimal():
        return
    free_us = []
    # Who failed this call for another reason rests from nothing: there is no time at which it comes back.
    awake = {one.backend for one in call.attempts if one.row["failure"] not in _RESTING}
    for name, _ in model.backends:
        backend = chat.backends.get(name)
        known = list(health.knowing(process, name))
        if backend is None or backend.rpm or backend.tpm or not chat.may_be_used(model, name, 0):
            continue
        if name in awake or not can_be_carried(call, backend):
            continue
        if any(True for _ in health.knowing(UNKNOWN, name)):
            return  # what may have been this process's own makes its times longer
        forgiven_us = max((one.forgiven_us(got.t_us) for one in known), default=0)
        if forgiven_us <= got.t_us:
            return  # somebody is just trying it
        if any(one.under_way(got.t_us) for one in known):
            forgiven_us = max(forgiven_us, got.t_us + chat.breaker_lease_us)
        free_us.append(forgiven_us)
    if free_us and not tally.keeps(int(text[:9]) * 1_000_000 <= min(free_us) - got.t_us + _ROUNDED_US):
        soonest_s = (min(free_us) - got.t_us) / 1e6
        tally.breach(
            f"the caller of call {call.call_id} was told to come back in {text} s, and the first backend is "
            f"free after {soonest_s:.1f} s",
            got,
            call.fact,
        )
