"""Idempotency: one effect and one answer for each key, and one verdict for each task.

A key belongs to an account and a provider, for as long as it is declared to be kept. What a request is, is
its method, path and body; the same again is a repeat, anything else under the key is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fakes.journal import Headers
from scenarios.checks.books import Books
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.labels import label_in
from scenarios.checks.parts import CallRow, Exchange, Served, Task
from scenarios.checks.verdicts import Verdicts
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["CHECKS", "Key", "one_effect_per_key", "same_answer_per_key", "verdict_stays"]

_NOT_ANSWERS = frozenset(
    {
        "account_forbidden",
        "bad_path",
        "bad_request",
        "billing_unavailable",
        "body_too_large",
        "draining",
        "in_flight",
        "insufficient_funds",
        "internal",
        "key_reused",
        "not_found",
        "outcome_unknown",
        "overloaded",
        "provider_unknown",
        "store_unavailable",
        "unauthorized",
    }
)
"""Own answers that do not bind a key: a repeat may get another one."""

_OF_THE_HOP = frozenset(
    {"connection", "content-length", "date", "server", "transfer-encoding", "x-idempotent-replay"}
)
_SETTLED_US = 10_000_000  # how long a look that began before the verdict may still be under way

Key = tuple[str, str, str]


def _kept(exchanges: Sequence[Exchange], declared: Declared) -> list[Exchange]:
    """The exchanges under a key while it is certain that the first one's key is still kept."""
    until_us = exchanges[0].sent.t_us + declared.key_keep_us
    return [exchange for exchange in exchanges if exchange.sent.t_us <= until_us]


def _fingerprint(exchange: Exchange) -> tuple[str, str, bytes]:
    return (exchange.sent.method, exchange.sent.path, exchange.sent.body)


@check("one-effect-per-key", "idempotency")
def one_effect_per_key(history: History, declared: Declared, tally: Tally) -> None:
    """Under one key, whatever the concurrency, crashes and replicas, at most one submit reaches the
    provider, one call with one hold stands for it, and one charge is made. An unknown submit is sent again
    only where that is declared, under the same label."""
    view, books = View.of(history, declared), Books.of(history, declared)
    rows: dict[Key, list[CallRow]] = {}
    for call in view.calls.values():
        if call.key is not None and call.state != "rejected" and call.late_of is None:
            rows.setdefault((call.account, call.provider, call.key), []).append(call)
    for key, all_exchanges in view.keyed.items():
        exchanges = _kept(all_exchanges, declared)
        served = list(_submissions(exchanges, key, view, declared))
        calls = rows.get(key, []) if len(exchanges) == len(all_exchanges) else []
        if len(exchanges) > 1:
            tally.saw()
        again = [served[0].received, served[-1].received] if served else []
        if len(served) > 1 and not _under_one_label(served, key, declared):
            tally.breach(
                f"{len(served)} submits under key {key[2]} of {key[0]} reached {key[1]}",
                *again,
                *(exchange.sent for exchange in exchanges),
            )
        if len(calls) > 1:
            tally.breach(
                f"{len(calls)} calls stand for key {key[2]} of {key[0]}: "
                + ", ".join(call.call_id for call in calls),
                *(call.fact for call in calls),
            )
        for call in calls:
            holds = books.holds_of.get(call.call_id, ())
            if len(holds) > 1:
                tally.breach(
                    f"{len(holds)} holds were taken for call {call.call_id} under key {key[2]}",
                    *(hold.fact for hold in holds),
                )


def _submissions(exchanges: Sequence[Exchange], key: Key, view: View, declared: Declared) -> Iterator[Served]:
    """The submits that reached the provider on behalf of these exchanges, while the key was kept."""
    until_us = exchanges[0].sent.t_us + declared.key_keep_us
    for nonce in {exchange.nonce: None for exchange in exchanges if exchange.nonce is not None}:
        for served in view.submissions.get(nonce, ()):
            if served.received.at == key[1] and served.received.t_us <= until_us:
                yield served


def _under_one_label(served: Iterable[Served], key: Key, declared: Declared) -> bool:
    """Whether they are one submit sent again, where that is declared."""
    provider = declared.providers.get(key[1])
    if provider is None or provider.resolve != "resend":
        return False
    labels = {label_in(one, provider) for one in served}
    return len(labels) == 1 and None not in labels


@check("same-answer-per-key", "idempotency")
def same_answer_per_key(history: History, declared: Declared, tally: Tally) -> None:
    """Each repeat under a key gets the first answer: the same status, body and declared headers, marked as
    a replay. Another body under the key is refused and reaches nobody."""
    view = View.of(history, declared)
    for key, all_exchanges in view.keyed.items():
        exchanges = _kept(all_exchanges, declared)
        bound = sorted(
            (exchange for exchange in exchanges if _binds(exchange)), key=lambda one: one.ended_us or 0
        )
        for exchange in bound[1:]:
            tally.saw()
            difference = _difference(bound[0], exchange)
            if difference is not None:
                tally.breach(
                    f"key {key[2]} of {key[0]} was answered twice, with another {difference}",
                    bound[0].got,
                    exchange.got,
                    exchange.sent,
                )
        fresh = [exchange for exchange in bound if not _is_replay(exchange)]
        if len(fresh) > 1 and declared.in_flight == "conflict":
            tally.breach(
                f"{len(fresh)} answers under key {key[2]} of {key[0]} are not marked as replays",
                *(exchange.got for exchange in fresh),
            )
        _other_bodies(key, exchanges, view, tally)


def _binds(exchange: Exchange) -> bool:
    return exchange.answered is not None and exchange.own_code not in _NOT_ANSWERS


def _is_replay(exchange: Exchange) -> bool:
    return exchange.says.get("x-idempotent-replay") == "true"


def _lasting(headers: Headers) -> list[tuple[str, str]]:
    """The headers that a repeat must show again."""
    return sorted((name.lower(), value) for name, value in headers if name.lower() not in _OF_THE_HOP)


def _difference(first: Exchange, other: Exchange) -> str | None:
    assert first.got is not None and other.got is not None
    if first.got.status != other.got.status:
        return f"status: {first.got.status}, then {other.got.status}"
    if first.got.body != other.got.body:
        return "body"
    before, after = _lasting(first.got.headers), _lasting(other.got.headers)
    if before != after:
        names = {name for name, _ in set(before) ^ set(after)}
        return f"header: {', '.join(sorted(names))}"
    return None


def _other_bodies(key: Key, exchanges: Sequence[Exchange], view: View, tally: Tally) -> None:
    """Of the different requests under one key, at most one may have had an effect."""
    by_print: dict[tuple[str, str, bytes], list[Exchange]] = {}
    for exchange in exchanges:
        by_print.setdefault(_fingerprint(exchange), []).append(exchange)
    if len(by_print) < 2:
        return
    tally.saw()
    with_effect = []
    for group in by_print.values():
        answered = next((exchange for exchange in group if _binds(exchange)), None)
        nonces = {exchange.nonce for exchange in group}
        nonces -= {one.nonce for others in by_print.values() if others is not group for one in others}
        reached = [
            served
            for nonce in sorted(nonce for nonce in nonces if nonce is not None)
            for served in view.submissions.get(nonce, ())
        ]
        if answered is not None or reached:
            with_effect.append((answered, group[0], reached))
    if len(with_effect) > 1:
        answered, exchange, reached = with_effect[1]
        status = "" if answered is None or answered.got is None else f" and answered {answered.got.status}"
        tally.breach(
            f"key {key[2]} of {key[0]} stands for one body, and another one under it was carried on{status}",
            with_effect[0][1].sent,
            exchange.sent,
            None if answered is None else answered.got,
            *(served.received for served in reached),
        )


@check("verdict-stays", "idempotency")
def verdict_stays(history: History, declared: Declared, tally: Tally) -> None:
    """Once a poll has told a caller how a task ended, every later poll tells the same, byte for byte; the
    provider is not asked about it again, as long as answers are declared to be kept; and the record says the
    same."""
    view, verdicts = View.of(history, declared), Verdicts.of(history, declared)
    polls: dict[tuple[str, str], list[Exchange]] = {}
    for exchange in view.exchanges:
        if exchange.op == "poll" and exchange.task_id is not None:
            polls.setdefault((exchange.sent.provider or "", exchange.task_id), []).append(exchange)
    calls = {(call.provider, call.task_id): call for call in view.calls.values()}
    for key, told in verdicts.told.items():
        tasks, provider = view.tasks_called(*key), declared.providers.get(key[0])
        if len(tasks) != 1 or provider is None or any(usage.fetched for usage in provider.usages):
            continue
        first = told[0].exchange
        assert first.got is not None
        until_us = _answer_kept_until_us(tasks[0], first, declared)
        tally.saw()
        for exchange in polls.get(key, ()):
            got = exchange.answered
            if got is None or exchange.own_code is not None or exchange.sent.t_us <= first.got.t_us:
                continue
            if got.t_us > until_us:
                continue
            difference = _difference(first, exchange)
            if difference is not None:
                tally.breach(
                    f"a caller was told how task {key[1]} ended, and a later poll was answered with another "
                    f"{difference}",
                    first.got,
                    exchange.sent,
                    got,
                )
        since_us = first.got.t_us + _SETTLED_US
        late = [one for one in tasks[0].asked if since_us < one.received.t_us <= until_us]
        if late:
            tally.breach(
                f"a caller was told how task {key[1]} ended, and {key[0]} was asked about it again",
                first.got,
                late[0].received,
            )
        call = calls.get(key)
        said = {"success": True, "failed": False}.get((call.outcome or "") if call else "")
        if said is not None and call is not None and said is not told[0].success:
            tally.breach(
                f"a caller was told of the {'success' if told[0].success else 'failure'} of task {key[1]}, "
                f"and the record says {call.outcome}",
                first.got,
                call.fact,
            )


def _answer_kept_until_us(task: Task, first: Exchange, declared: Declared) -> int:
    """Until when the terminal answer is kept for certain: counted from the end of the work, for the sweep
    may have heard of it long before a caller asked."""
    told_us = first.ended_us or 0
    ended_us = told_us if task.ended is None else min(told_us, task.ended.t_us)
    return ended_us + declared.key_keep_us


CHECKS: tuple[Check, ...] = (one_effect_per_key, same_answer_per_key, verdict_stays)
