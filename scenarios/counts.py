"""What happened in a run, counted by name: the words that a scenario's `counts` and `reached` may use.

Clients: `sent`, `ok`, `fail`, `info`, `left`, `lost` (no answer), `retried`, `replay`, `status_429` …, and
the gateway's own codes as they are (`in_flight` …). Providers and billing: `submitted`, `polled`, `fetched`,
`task_accepted`, `task_rejected`, `task_succeeded`, `task_failed`, `reserved`, `finalized`,
`billing_refused`, and every act by its name (`rate_limited` …). The timeline: `crash`, `crash_await`,
`crash_commit`, `restart`, `stop`, `store_fault`, `unapplied`, `start_failed`, `escaped`, and every link fault
by its name (`reset_after` …). The gateway's last word on its calls: `call_success`, `call_failed` …,
`reason_*`, `flag_*`, `state_*`, `late`. Probes count in `probe_ok` alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from fakes.journal import (
    ActPlayed,
    BillingFinalized,
    BillingRefused,
    BillingReserved,
    Fact,
    Received,
    TaskAccepted,
    TaskEnded,
    TaskRejected,
)
from scenarios.gateways import PROBE
from scenarios.history import (
    Crashed,
    Escaped,
    Got,
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
from scenarios.outcomes import ERROR_HEADER, REPLAY_HEADER, header

__all__ = ["calls_at_the_end", "count"]

_PLAIN: Mapping[type[Fact], str] = {
    TaskAccepted: "task_accepted",
    TaskRejected: "task_rejected",
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
    for row in calls_at_the_end(history):
        counted.update(_row_names(row))
    return counted


def calls_at_the_end(history: History) -> tuple[Mapping[str, Any], ...]:
    """The gateway's last word on its calls, probes left out."""
    last = [fact for fact in history.of(Observed) if fact.what == "calls" and fact.final]
    return tuple(row for row in last[-1].rows if row.get("account") != PROBE) if last else ()


def _of_probe(fact: Fact, nonces: set[str | None]) -> bool:
    nonce = getattr(fact, "nonce", None)
    return (nonce is not None and nonce in nonces) or getattr(fact, "account", None) == PROBE


def _names(fact: Fact) -> Iterator[str]:
    match fact:
        case Sent():
            yield "sent"
            if fact.attempt > 1 and fact.op == "submit":
                yield "retried"
        case Got():
            yield fact.outcome
            yield f"status_{fact.status}" if fact.status is not None else "lost"
            code = header(fact.headers, ERROR_HEADER)
            if code is not None:
                yield code
            if header(fact.headers, REPLAY_HEADER) == "true":
                yield "replay"
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
