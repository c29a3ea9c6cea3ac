"""What happened in a run, counted by name: the words that a scenario's `counts` and `reached` may use.

Clients: `sent`, `ok`, `fail`, `info`, `left`, `lost` (no whole answer), `retried`, `replay`, `status_429` …,
and the gateway's own codes as they are (`in_flight` …). Chats, what their clients made of them: `chat_ok`,
`chat_error`, `chat_left`, `chat_lost`, and of these `streams`, `embeddings`, `by_openai`, `by_anthropic`,
`error_*`; and `cached`. Providers and billing: `submitted`, `polled`, `fetched`,
`task_accepted`, `task_rejected`, `task_succeeded`, `task_failed`, `reserved`, `finalized`,
`billing_refused`, `chat_accepted`, `chat_refused`, `chat_cut` (broken off before its end), and every act by
its name (`rate_limited` …). The timeline: `crash`, `crash_await`,
`crash_commit`, `restart`, `stop`, `store_fault`, `unapplied`, `start_failed`, `escaped`, and every link fault
by its name (`reset_after` …). The gateway's last word on its calls: `call_success`, `call_failed` …,
`reason_*`, `flag_*`, `state_*`, `late`; on chats `ended_*`, `reason_*`, `flag_*`, `usage_*` (its source),
`failover` (served by another backend than the first asked); on its attempts `attempts`, `emergency`,
`upstream_429` …, `fault_*`, `cooldown` (rate-limited: the backend cools down). Probes count in `probe_ok`
alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fakes.acts.vocabulary import BillingDo, ChatDo, ProviderDo
from fakes.journal import (
    ActPlayed,
    BillingFinalized,
    BillingRefused,
    BillingReserved,
    ChatAccepted,
    ChatEnded,
    ChatRefused,
    Fact,
    Received,
    TaskAccepted,
    TaskEnded,
    TaskRejected,
)
from scenarios.checks.chat_reach import CHAT_CODES
from scenarios.checks.errors import CODES
from scenarios.gateways import PROBE
from scenarios.history import (
    CHAT_OPS,
    Crashed,
    Escaped,
    Got,
    Heard,
    History,
    Left,
    LinkChanged,
    Observed,
    Restarted,
    Sent,
    StartFailed,
    Stopped,
    StoreFaulted,
    Unapplied,
)
from scenarios.model.faults import LinkDo
from scenarios.outcomes import CACHE_HEADER, ERROR_HEADER, REPLAY_HEADER, header

__all__ = ["COUNTED", "count", "counts"]

_PLAIN: Mapping[type[Fact], str] = {
    TaskAccepted: "task_accepted",
    TaskRejected: "task_rejected",
    ChatAccepted: "chat_accepted",
    ChatRefused: "chat_refused",
    BillingReserved: "reserved",
    BillingFinalized: "finalized",
    BillingRefused: "billing_refused",
    Restarted: "restart",
    Stopped: "stop",
    StoreFaulted: "store_fault",
    Unapplied: "unapplied",
    StartFailed: "start_failed",
    Escaped: "escaped",
    Left: "left",
}
_RECEIVED = {"submit": "submitted", "poll": "polled", "result": "fetched"}

COUNTED = frozenset(
    {
        *_PLAIN.values(),
        *_RECEIVED.values(),
        *("ok", "fail", "info", "lost", "sent", "retried", "replay", "cached", "probe_ok"),
        *("chat_ok", "chat_error", "chat_left", "chat_lost", "chat_cut", "streams", "embeddings"),
        *("by_openai", "by_anthropic", "task_succeeded", "task_failed"),
        *("crash", "crash_await", "crash_commit"),
        *("late", "failover", "attempts", "emergency", "cooldown"),
        *(name for do in (ProviderDo, ChatDo, BillingDo) for name in do.model_fields),
        *LinkDo.model_fields,
        *CODES,
        *CHAT_CODES,
    }
)
"""Every word that is counted, but for those that end in the gateway's own words."""

_OPEN = ("call", "ended", "error", "fault", "flag", "reason", "state", "usage")
_OPEN_WORD = re.compile(rf"(?:{'|'.join(_OPEN)})_.+|(?:status|upstream)_[1-5][0-9][0-9]")


def counts(name: str) -> bool:
    """Whether anything can be counted under this name."""
    return name in COUNTED or _OPEN_WORD.fullmatch(name) is not None


def count(history: History) -> Counter[str]:
    """How often each thing happened. What never happened counts 0."""
    probes = {sent.call for sent in history.of(Sent) if sent.account == PROBE}
    nonces = {sent.nonce for sent in history.of(Sent) if sent.account == PROBE}
    counted: Counter[str] = Counter()
    for fact in history:
        if getattr(fact, "call", None) in probes or _of_probe(fact, nonces):
            if isinstance(fact, Got) and fact.outcome == "ok":
                counted["probe_ok"] += 1
            continue
        counted.update(_names(fact))
    for row in _calls_at_the_end(history):
        counted.update(_row_names(row))
    _count_chats(history, counted)
    return counted


def _calls_at_the_end(history: History) -> tuple[Mapping[str, Any], ...]:
    """The gateway's last word on its calls, probes left out."""
    return tuple(row for row in _at_the_end(history, "calls") if row.get("account") != PROBE)


def _at_the_end(history: History, what: str) -> Sequence[Mapping[str, Any]]:
    last = [fact for fact in history.of(Observed) if fact.what == what and fact.final]
    return last[-1].rows if last else ()


def _count_chats(history: History, counted: Counter[str]) -> None:
    """The gateway's last word on its chats and on their attempts, probes left out."""
    chats = {row["call_id"]: row for row in _at_the_end(history, "chats") if row.get("account") != PROBE}
    first: dict[str, Any] = {}
    for attempt in _at_the_end(history, "chat_attempts"):
        if attempt["call_id"] in chats:
            if attempt.get("number") == 1:
                first[attempt["call_id"]] = attempt.get("backend")
            counted.update(_attempt_names(attempt))
    for call_id, row in chats.items():
        for column, prefix in (("outcome", "ended"), ("reason", "reason"), ("usage_source", "usage")):
            if row.get(column):
                counted[f"{prefix}_{row[column]}"] += 1
        counted.update(f"flag_{flag}" for flag in row.get("flags") or ())
        if row.get("backend") not in (None, first.get(call_id)):
            counted["failover"] += 1


def _attempt_names(row: Mapping[str, Any]) -> Iterator[str]:
    yield "attempts"
    if row.get("lane") == "emergency":
        yield "emergency"
    if row.get("status") is not None:
        yield f"upstream_{row['status']}"
    if row.get("failure"):
        yield f"fault_{row['failure']}"
        if row["failure"] == "rate_limited":
            yield "cooldown"


def _of_probe(fact: Fact, nonces: set[str | None]) -> bool:
    nonce = getattr(fact, "nonce", None)
    return (nonce is not None and nonce in nonces) or getattr(fact, "account", None) == PROBE


def _names(fact: Fact) -> Iterator[str]:
    match fact:
        case Sent():
            yield "sent"
            if fact.attempt > 1 and (fact.op == "submit" or fact.op in CHAT_OPS):
                yield "retried"
        case Got():
            yield fact.outcome
            yield f"status_{fact.status}" if fact.error is None else "lost"
            code = header(fact.headers, ERROR_HEADER)
            if code is not None:
                yield code
            if header(fact.headers, REPLAY_HEADER) == "true":
                yield "replay"
            if (header(fact.headers, CACHE_HEADER) or "").casefold() == "hit":
                yield "cached"
        case Heard():
            yield f"chat_{fact.outcome}"
            if fact.stream:
                yield "streams"
            if fact.protocol == "openai_embeddings":
                yield "embeddings"
            if fact.via != "plain":
                yield f"by_{fact.via}"
            if fact.error is not None:
                yield f"error_{fact.error}"
        case ChatEnded():
            if not fact.complete:
                yield "chat_cut"
        case Received() if fact.op in _RECEIVED:
            yield _RECEIVED[fact.op]
        case TaskEnded():
            yield "task_succeeded" if fact.success else "task_failed"
        case ActPlayed():
            if fact.applied:
                yield fact.act
        case LinkChanged():
            yield fact.what
        case Crashed():
            yield "crash"
            if not fact.where.startswith("time"):
                yield f"crash_{fact.where.split()[0]}"
        case _ if type(fact) in _PLAIN:
            yield _PLAIN[type(fact)]


def _row_names(row: Mapping[str, Any]) -> Iterator[str]:
    for column, prefix in (("outcome", "call"), ("reason", "reason"), ("state", "state")):
        if row.get(column):
            yield f"{prefix}_{row[column]}"
    yield from (f"flag_{flag}" for flag in row.get("flags") or ())
    if row.get("late_of"):
        yield "late"
