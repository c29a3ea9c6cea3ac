"""Tenants: whose answer an answer is, and who may ask about a task."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from fnmatch import fnmatchcase

from scenarios.checks.chat_reach import chat_tenants
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.parts import Exchange, Task
from scenarios.checks.reading import first_at, read_json
from scenarios.checks.verdicts import upstream_path
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["CHECKS", "tenants_apart"]

_CALLER = "Bearer canary-caller-"
_NONCE = re.compile(rb'"nonce"\s*:\s*"([^"\\]{1,200})"')


@check("tenants-apart", "secrets")
def tenants_apart(history: History, declared: Declared, tally: Tally) -> None:
    """An answer belongs to its own request, and a caller acts for its own accounts only. A task is shown to
    the account that submitted it and to nobody else: for others it does not exist, and the provider is not
    asked on their behalf; a made-up task id is not asked about at all."""
    chat_tenants(history, declared, tally)
    view = View.of(history, declared)
    tokens = _tokens(view)
    asking: dict[tuple[str, str], list[Exchange]] = defaultdict(list)
    for exchange in view.exchanges:
        if exchange.task_id is not None:
            asking[exchange.sent.provider or "", exchange.task_id].append(exchange)
    for exchange in view.exchanges:
        got = exchange.answered
        if got is None:
            continue
        _judge_account(exchange, declared, tally)
        if exchange.op == "submit" and exchange.own_code is None:
            _judge_submit(exchange, view, declared, tally)
        for found in _NONCE.findall(got.body):
            nonce = found.decode("latin-1")
            owner = view.account_of.get(nonce)
            if owner is not None and not tally.keeps(_same(exchange, owner, tokens.get(nonce))):
                tally.breach(f"{exchange.account} was shown {nonce}, a nonce of {owner}", exchange.sent, got)
    for (name, task_id), exchanges in asking.items():
        tasks = view.tasks_called(name, task_id)
        if len(tasks) == 1 and tasks[0].nonce is not None and tasks[0].account is not None:
            token = tokens.get(tasks[0].nonce)
            own: list[Exchange] = []
            foreign: list[Exchange] = []
            for exchange in exchanges:
                (own if _same(exchange, tasks[0].account, token) else foreign).append(exchange)
            for exchange in foreign:
                _judge_foreign(exchange, tasks[0], tally)
            if foreign:
                _judge_touched(foreign, own, tasks[0], declared, tally)
    for served in view.served:
        received = served.received
        if received.op not in ("poll", "result") or not received.task_id:
            continue
        if received.at in declared.providers and not view.tasks_called(received.at, received.task_id):
            tally.saw()
            tally.breach(f"{received.at} was asked about {received.task_id}, which is no task", received)


def _tokens(view: View) -> dict[str, str | None]:
    """Nonce → the credential of the caller who sent it."""
    return {nonce: group[0].asks.get("authorization") for nonce, group in view.submits.items()}


def _same(exchange: Exchange, account: str, token: str | None) -> bool:
    """Whether the request acts for this account, or comes from the very caller who does."""
    return exchange.account == account or exchange.asks.get("authorization") == token


def _judge_account(exchange: Exchange, declared: Declared, tally: Tally) -> None:
    """A caller who names an account that is not declared as its own is refused; `/readyz` and the like ask
    nobody who he is."""
    if not exchange.sent.path.startswith("/api/proxy/"):
        return
    got, named = exchange.answered, exchange.asks.get("x-thread-id")
    token = exchange.asks.get("authorization", "")
    own = declared.callers.get(token.removeprefix(_CALLER)) if token.startswith(_CALLER) else None
    if got is None or named is None or own is None or any(fnmatchcase(named, one) for one in own):
        return
    if not tally.keeps(exchange.own_code is not None and got.status is not None and got.status >= 400):
        caller = token.removeprefix(_CALLER)
        tally.breach(
            f"{caller} was answered {got.status} for {named}, no account of its own", exchange.sent, got
        )


def _judge_submit(exchange: Exchange, view: View, declared: Declared, tally: Tally) -> None:
    provider = declared.providers.get(exchange.sent.provider or "")
    if provider is None or exchange.got is None or exchange.nonce is None:
        return
    route = provider.submit_for(exchange.sent.method, upstream_path(exchange, provider.name))
    if route is None or route.task_id is None:
        return
    task_id = first_at(route.task_id, read_json(exchange.got.body))
    tasks = view.tasks_called(provider.name, task_id) if isinstance(task_id, str) else ()
    if len(tasks) == 1 and not tally.keeps(tasks[0].nonce in (None, exchange.nonce)):
        tally.breach(
            f"the submit of {exchange.nonce} was answered with task {task_id}, which is {tasks[0].nonce}'s",
            exchange.sent,
            exchange.got,
            tasks[0].accepted,
        )


def _judge_foreign(exchange: Exchange, task: Task, tally: Tally) -> None:
    got = exchange.answered
    if got is None:
        return
    if not tally.keeps(exchange.own_code is not None and got.status is not None and got.status >= 400):
        tally.breach(
            f"{exchange.account} was answered {got.status} about task {task.task_id} of {task.account}",
            task.accepted,
            exchange.sent,
            got,
        )


def _judge_touched(
    foreign: list[Exchange], own: list[Exchange], task: Task, declared: Declared, tally: Tally
) -> None:
    """The provider was asked while only a stranger was asking, and too early for the sweeper."""
    asked_us = [one.received.t_us for one in task.asked]
    quiet_until_us = task.accepted.t_us + declared.poll_after_us // 2
    spans_us = sorted((one.sent.t_us, one.ended_us or one.sent.t_us + declared.total_us) for one in own)
    starts_us = [since_us for since_us, _ in spans_us]
    longest_us = max((until_us - since_us for since_us, until_us in spans_us), default=0) + declared.total_us
    for exchange in foreign:
        since_us, until_us = exchange.sent.t_us, exchange.ended_us
        if until_us is None or until_us >= quiet_until_us:
            continue
        near = slice(bisect_left(starts_us, since_us - longest_us), bisect_right(starts_us, until_us))
        if starts_us[near]:
            continue  # the owner may have been the one who asked
        if bisect_left(asked_us, since_us) < bisect_right(asked_us, until_us):
            first = task.asked[bisect_left(asked_us, since_us)]
            tally.breach(
                f"{task.provider} was asked about task {task.task_id} on behalf of {exchange.account}",
                exchange.sent,
                first.received,
            )


CHECKS: tuple[Check, ...] = (tenants_apart,)
