"""Where chats go: backends left alone, fallbacks and their order, and the way back."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from scenarios.checks.chat_breaker import judge_breakers
from scenarios.checks.chat_carried import can_be_carried
from scenarios.checks.chat_crowds import judge_crowds
from scenarios.checks.chat_health import UNKNOWN, Health, Known, hint_us, refused
from scenarios.checks.chat_parts import Attempt, ChatCall
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Check, Tally, check
from scenarios.declared.chat import Backend, DeclaredChat, Model
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["CHECKS", "cooldown_respected", "fallback_in_order", "traffic_returns"]

_GO_ON = frozenset({"overloaded", "rate_limited", "server", "unreachable"})
"""Failures that another backend need not share."""

_NOT_ON = frozenset({"deadline", "left", "store_unavailable", "taken_over"})
_LATE_US = 1_000_000  # so close to its deadline a call may end
_CLOCK_US = 1_000  # a timer is due at a whole millisecond


@check("cooldown-respected", "routing", of_chats=True)
def cooldown_respected(history: History, declared: Declared, tally: Tally) -> None:
    """After a refusal for too many requests a process leaves the backend alone for at least as long as it
    was asked to, and at least the declared time, which grows with refusals in a row; so it does after any
    error that asks for a pause. A backend that failed so often in a row that its breaker opened is left
    alone likewise, and then tried by one call at a time. The emergency lane alone goes past that."""
    if declared.chat is None:
        return
    health = Health.of(history, declared)
    judge_breakers(health, declared.chat, tally)
    for backend, known in health.backends():
        _judge_cooldown(backend, known, declared.chat, declared.epoch_us, tally)


def _judge_cooldown(backend: str, known: Known, chat: DeclaredChat, epoch_us: int, tally: Tally) -> None:
    refusals = [one for one in known.attempts if _asks_for_a_pause(one, epoch_us)]
    refusals.sort(key=lambda one: one.ended_us or 0)
    ends: list[int] = []  # when each became known
    until: list[tuple[int, Attempt]] = []  # how long all so far keep calls away
    in_a_row, last_us = 0, None
    for one in refusals:
        over_us = one.ended_us or 0
        if last_us is None or known.served_since(last_us, over_us):
            in_a_row = 0
        if refused(one) and (last_us is None or one.started_us > last_us):
            in_a_row, last_us = in_a_row + 1, over_us
        asked_us = hint_us(None if one.work is None else one.work.answered, epoch_us)
        told_us = one.work.answered.t_us if one.work is not None and one.work.answered is not None else 0
        grown_us = min(chat.cooldown_first_us << min(max(in_a_row - 1, 0), 32), chat.cooldown_max_us)
        grown_us *= refused(one)
        free_us = max(over_us + grown_us, told_us + asked_us)
        if until and until[-1][0] >= free_us:
            free_us, one = until[-1]
        ends.append(over_us)
        until.append((free_us, one))
    for attempt in known.attempts if ends else ():
        at = bisect_left(ends, attempt.started_us)  # what came at the same instant may have come later
        if not at or attempt.emergency:
            continue
        free_us, because = until[at - 1]
        if not tally.keeps(attempt.started_us >= free_us - _CLOCK_US):
            tally.breach(
                f"{backend} was called {(free_us - attempt.started_us) / 1e6:.3f} s before the end of its "
                "cooldown",
                None if because.work is None else because.work.answered,
                because.fact,
                attempt.fact,
            )


def _asks_for_a_pause(attempt: Attempt, epoch_us: int) -> bool:
    """A 429, and any server error that says how long; not where its caller had left by then."""
    answered = None if attempt.work is None else attempt.work.answered
    if attempt.ended_us is None or answered is None or attempt.row["failure"] == "left":
        return False
    if attempt.row["status"] is None:
        return False  # the answer was lost on its way
    return refused(attempt) or ((answered.status or 0) >= 500 and hint_us(answered, epoch_us) > 0)


@check("fallback-in-order", "routing", of_chats=True)
def fallback_in_order(history: History, declared: Declared, tally: Tally) -> None:
    """A pool serves only when no backend of an earlier one was eligible or untried in this call, and no
    backend is tried again right after it failed while another is eligible; nor is a call given up whose
    failure another backend may not share while one is eligible. The backend and model that a call's row
    names are those that served it."""
    chat = declared.chat
    if chat is None:
        return
    view, health = ChatView.of(history, declared), Health.of(history, declared)
    for call in view.calls.values():
        model = chat.models.get(call.model)
        if model is None:
            continue
        _judge_named(call, model, tally)
        _judge_end(call, model, health, declared, tally)
        for number, attempt in enumerate(call.attempts):
            tried = [one.backend for one in call.attempts[:number]]
            again = attempt.backend in tried[-1:]
            pools = model.pools if again else model.pools[: model.place(attempt.backend) or 0]
            better = [name for pool in pools for name in pool.backends if name not in tried]
            if not better or attempt.emergency:
                continue
            admitted_us = int(call.row["created_us"])  # where a call may go is seen once, as it begins
            free = [
                name
                for name in better
                if chat.may_be_used(model, name, admitted_us)
                and can_be_carried(call, chat.backends.get(name))
                and _surely_free(name, health.process_of(attempt), attempt.started_us, health, chat)
            ]
            if not tally.keeps(not free):
                tally.breach(
                    f"call {call.call_id} went to {attempt.backend}"
                    + (", which had just failed," if again else "")
                    + f" while {', '.join(free)}"
                    + ("" if again else " of an earlier pool")
                    + " was free, and nothing was wrong with it",
                    call.fact,
                    attempt.fact,
                )


def _judge_named(call: ChatCall, model: Model, tally: Tally) -> None:
    serving = call.serving
    if serving is None or call.hit:
        return
    asked = {upstream for name, upstream in model.backends if name == serving.backend}
    right = call.row["backend"] == serving.backend and call.row["upstream_model"] == serving.row["model"]
    if not tally.keeps(right and serving.row["model"] in asked):
        tally.breach(
            f"call {call.call_id} names {call.row['backend']} and {call.row['upstream_model']}; "
            f"{serving.backend} served it with {serving.row['model']}",
            call.fact,
            serving.fact,
        )


def _judge_end(call: ChatCall, model: Model, health: Health, declared: Declared, tally: Tally) -> None:
    """That a call which failed had nowhere else to go, though its caller had heard nothing."""
    chat, last = declared.chat, call.last
    if chat is None or last is None or last.ended_us is None or call.outcome not in ("failed", "broken"):
        return
    if call.outcome == "broken" and (
        last.work is None or last.work.ended is None or last.work.ended.delivered
    ):
        return
    tries = sum(1 for one in call.attempts if not one.emergency)
    if last.row["failure"] not in _GO_ON or last.row["ambiguous"] or tries >= chat.attempts_max:
        return
    deadline_us = int(call.row["created_us"]) - declared.epoch_us + chat.whole_us
    if call.row["reason"] in _NOT_ON or last.ended_us > deadline_us - _LATE_US:
        return
    tried = {one.backend for one in call.attempts}
    at_us, process = last.ended_us, health.process_of(last)
    left = [
        name
        for name, _ in model.backends
        if name not in tried
        and chat.may_be_used(model, name, int(call.row["created_us"]))
        and can_be_carried(call, chat.backends.get(name))
        and _surely_free(name, process, at_us, health, chat)
    ]
    if not tally.keeps(not left):
        tally.breach(
            f"call {call.call_id} was given up after {last.backend} failed ({last.row['failure']}), and "
            f"{', '.join(left)} was free",
            call.fact,
            last.fact,
        )


def _surely_free(name: str, process: str, at_us: int, health: Health, chat: DeclaredChat) -> bool:
    """Whether the process had no reason at all, by then, to keep away from this backend."""
    if process == UNKNOWN or _is_limited(chat.backends.get(name)):
        return False
    for known in health.knowing(process, name):
        failed_us = known.last_failure_us(at_us)
        if failed_us is None:
            continue
        if at_us <= known.forgiven_us(at_us):
            return False
        if not known.served_since(failed_us, at_us):
            return False  # its breaker may be half open, with somebody else's probe under way
    return True


@check("traffic-returns", "routing", of_chats=True)
def traffic_returns(history: History, declared: Declared, tally: Tally) -> None:
    """Once the failures of a model's first pool are as old as its cooldowns and breakers can last, calls go
    to it again, also where a probe hung or was called off. Those who wait or rest do not come back all in
    one instant, and who is told to come back is told the soonest that a backend is free."""
    chat = declared.chat
    if chat is None:
        return
    view, health = ChatView.of(history, declared), Health.of(history, declared)
    judge_crowds(view, health, chat, declared, tally)
    calls: dict[str, list[ChatCall]] = defaultdict(list)
    for call in view.calls.values():
        if not call.hit and call.row["outcome"] != "lost":
            calls[call.model].append(call)
    for name, model in chat.models.items():
        first = model.pools[0].backends
        if any(_is_limited(chat.backends.get(one)) for one in first):
            continue
        if not all(chat.may_be_used(model, one, 0) for one in first):
            continue
        for call in calls.get(name, ()):
            began_us = int(call.row["created_us"]) - declared.epoch_us
            process = health.process_at(call, began_us)
            if process == UNKNOWN or not _had_time(call):
                continue
            if not all(can_be_carried(call, chat.backends.get(one)) for one in first):
                continue
            known = [one for name_of in first for one in health.knowing(process, name_of)]
            failed_us = max((one.last_failure_us(began_us) or 0 for one in known), default=0)
            forgiven_us = max((one.forgiven_us(began_us) for one in known), default=0)
            if not failed_us or began_us <= forgiven_us or _probing(known, began_us, chat.breaker_lease_us):
                continue
            if not tally.keeps(bool(call.attempts) and call.attempts[0].backend in first):
                went = call.attempts[0].backend if call.attempts else "nobody"
                tally.breach(
                    f"{(began_us - failed_us) / 1e6:.0f} s after the last failure of "
                    f"{', '.join(first)} call {call.call_id} for {name} went to {went}",
                    call.fact,
                    *(one.fact for one in call.attempts[:1]),
                )


def _probing(known: Iterable[Known], at_us: int, lease_us: int) -> bool:
    """Whether somebody may just be trying one of these again: until it is served, others stay away, but not
    for longer than such a try has them do so."""
    since_us = at_us - lease_us - _CLOCK_US
    return any(
        one.under_way(at_us, since_us) and not one.served_since(one.last_failure_us(at_us) or 0, at_us)
        for one in known
    )


def _had_time(call: ChatCall) -> bool:
    """Whether the call got as far as choosing a backend: its caller did not leave before."""
    return bool(call.attempts) or call.row["outcome"] == "failed"


def _is_limited(backend: Backend | None) -> bool:
    return backend is None or backend.rpm is not None or backend.tpm is not None


CHECKS: tuple[Check, ...] = (cooldown_respected, traffic_returns, fallback_in_order)
