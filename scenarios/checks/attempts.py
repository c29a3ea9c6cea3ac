"""Attempts: what reached a provider, what the record says of it, and what must not have reached it.

Bounded to what is sent for one submit; which backend is tried when, is for routes that have several.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote

from fakes.journal import Fact
from scenarios.checks.chat_attempts import attempts_of_record, refused_unheard, sent_once
from scenarios.checks.chat_view import is_chat
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.labels import label_in
from scenarios.checks.parts import Exchange, Row, Served, rows
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import Crashed, Got, History, Observed, Stopped, StoreFaulted

__all__ = ["CHECKS", "Where", "attempts_recorded", "no_double_generation", "refused_reaches_nobody"]

Where = tuple[str, str, str]  # provider, method, path

_READING_US = 5_000_000  # the tables are read one after the other; what is younger may be missing

_NO_CONNECTION = frozenset({"connect", "connect_timeout"})

_REFUSALS = frozenset(
    {
        "account_forbidden",
        "bad_path",
        "bad_request",
        "billing_unavailable",
        "body_too_large",
        "insufficient_funds",
        "key_reused",
        "provider_unknown",
        "unauthorized",
    }
)
"""Own answers that are given before the provider is touched."""

_OF_A_BODY = frozenset({"bad_request", "context_overflow"})
"""Own answers about what is in a body: one that is too long is not read for it."""


@check("attempts-recorded", "routing")
def attempts_recorded(history: History, declared: Declared, tally: Tally) -> None:
    """Every request that a provider received is an attempt of the gateway's record, a time-out and a reset
    no less than an answer; a recorded status is one that the provider answered, and no attempt stays
    without its end. An attempt of a chat names the backend, the model and the tokens that really were."""
    attempts_of_record(history, declared, tally)
    view = View.of(history, declared)
    readings = [one for one in history.of(Observed) if one.final and one.what == "attempts"]
    if not readings:
        return
    read_us = readings[0].t_us
    kept: dict[Where, list[tuple[Row, Observed]]] = defaultdict(list)
    for row, reading in rows(history, "attempts"):
        kept[str(row["provider"]), str(row["method"]), _path(str(row["path"]))].append((row, reading))
    seen: dict[Where, list[Served]] = defaultdict(list)
    answered: Counter[tuple[Where, int | None]] = Counter()
    for served in view.served:
        received = served.received
        where = (received.at, received.method, _path(received.path))
        if received.at in declared.providers and received.t_us <= read_us - _READING_US:
            seen[where].append(served)
        if served.answered is not None:
            answered[where, served.answered.status] += 1
    for where, group in seen.items():
        # One that found no connection is no request that was received: it stands for nobody else's.
        made = [row for row, _ in kept.get(where, ()) if row["failure"] not in _NO_CONNECTION]
        if not tally.keeps(len(made) >= len(group)):
            tally.breach(
                f"{where[0]} received {len(group)} × {where[1]} {where[2]}, and {len(made)} are recorded",
                *(served.received for served in group),
            )
    for where, recorded in kept.items():
        _judge_statuses(where, recorded, answered, tally)
    if not any(history.of(kind) for kind in (Crashed, Stopped, StoreFaulted)):
        _judge_ends(kept, read_us - declared.total_us + declared.epoch_us, tally)


def _judge_statuses(
    where: Where,
    recorded: Sequence[tuple[Row, Observed]],
    answered: Mapping[tuple[Where, int | None], int],
    tally: Tally,
) -> None:
    for status, count in Counter(row["status"] for row, _ in recorded if row["status"] is not None).items():
        given = answered.get((where, status), 0)
        if not tally.keeps(count <= given):
            tally.breach(
                f"{count} attempts {where[1]} {where[2]} at {where[0]} are recorded as {status}, and {given} "
                "were answered so",
                *(replace(reading, rows=(row,)) for row, reading in recorded if row["status"] == status),
            )


def _judge_ends(kept: Mapping[Where, Sequence[tuple[Row, Observed]]], young_us: int, tally: Tally) -> None:
    """Where nothing was cut off, an attempt that is not young has ended."""
    for where, recorded in kept.items():
        for row, reading in recorded:
            ended = row["status"] is not None or row["failure"] is not None
            if not ended and int(row["started_us"]) <= young_us:
                tally.breach(
                    f"attempt {row['attempt_id']} at {where[0]} has neither a status nor a failure",
                    replace(reading, rows=(row,)),
                )


def _path(path: str) -> str:
    return unquote(path.partition("?")[0])


@check("no-double-generation", "routing")
def no_double_generation(history: History, declared: Declared, tally: Tally) -> None:
    """A submit that a provider may have taken on is sent again only where that is declared, and then under
    the same label; every request of a client makes at most one. So does a chat, unless its policy allows
    another."""
    sent_once(history, declared, tally)
    view = View.of(history, declared)
    for nonce, submissions in view.submissions.items():
        asked = view.submits.get(nonce, [])
        provider = declared.providers.get(submissions[0].received.at)
        if provider is None or not asked:
            continue
        uncertain = any(one.answered is None or not one.answered.complete for one in submissions)
        if len(submissions) > 1 or uncertain or any(one.answered is None for one in asked):
            tally.saw()
        labels = {label_in(one, provider) for one in submissions} if provider.resolve == "resend" else {None}
        made = len(submissions) if None in labels else len(labels)
        if made > len(asked):
            tally.breach(
                f"{made} submits reached {provider.name} for {len(asked)} that a client sent",
                *(exchange.sent for exchange in asked),
                *(one.received for one in submissions),
            )


@check("refused-reaches-nobody", "routing")
def refused_reaches_nobody(history: History, declared: Declared, tally: Tally) -> None:
    """What the gateway refuses in its own name never reaches a provider: a body over the limit is answered
    413, and a submit refused for its size, its caller, its key or its account is heard by nobody."""
    refused_unheard(history, declared, tally)
    view = View.of(history, declared)
    for nonce, exchanges in view.submits.items():
        refused = [exchange for exchange in exchanges if _refused(exchange)]
        if refused and len(refused) == len(exchanges):
            served = view.submissions.get(nonce, [])
            if not tally.keeps(not served):
                tally.breach(
                    f"a submit was refused ({refused[0].own_code}), and {served[0].received.at} received it",
                    refused[0].sent,
                    refused[0].got,
                    served[0].received,
                )
    for exchange in view.exchanges:
        got = exchange.answered
        if got is None or len(exchange.sent.body) <= declared.request_body_max:
            continue
        early = exchange.own_code is not None and got.status is not None and got.status < 500
        if is_chat(exchange) and got.status == 400:
            early = exchange.own_code not in _OF_A_BODY
        draining = exchange.own_code == "draining" or _said_by_a_draining_one(exchange, got, history)
        if not tally.keeps(got.status == 413 or early or draining):
            tally.breach(
                f"a body of {len(exchange.sent.body)} bytes, over the limit of {declared.request_body_max}, "
                f"was answered {got.status}",
                exchange.sent,
                got,
            )


def _said_by_a_draining_one(exchange: Exchange, got: Got, history: History) -> bool:
    """A chat is told so in its own protocol, which has no word for it, by one that went down afterwards."""
    if not is_chat(exchange) or (got.status, exchange.own_code) != (503, "overloaded"):
        return False
    downs: list[Fact] = [*history.of(Stopped), *history.of(Crashed)]
    return any(down.at == exchange.sent.to and down.t_us >= got.t_us for down in downs)


def _refused(exchange: Exchange) -> bool:
    return exchange.answered is not None and exchange.own_code in _REFUSALS


CHECKS: tuple[Check, ...] = (attempts_recorded, no_double_generation, refused_reaches_nobody)
