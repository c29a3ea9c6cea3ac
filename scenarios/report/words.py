"""Facts in words: one short line each, for reports and timelines.

Secrets in a simulation are canaries, so nothing needs hiding; bodies are cut, because nobody reads them.
"""

from __future__ import annotations

from dataclasses import fields

from fakes.journal import (
    ActPlayed,
    Answered,
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
from scenarios.history import (
    AppFailed,
    Calm,
    Crashed,
    Ended,
    Escaped,
    GatewayLogged,
    Got,
    Heard,
    Left,
    LinkChanged,
    Observed,
    Resources,
    Restarted,
    Sent,
    StartFailed,
    Stopped,
    StoreFaulted,
    Unapplied,
)
from scenarios.outcomes import ERROR_HEADER, REPLAY_HEADER, header
from scenarios.units import amount_text

__all__ = ["at", "seconds", "words"]

_BODY_MAX = 100
_PLAIN_MAX = 160


def seconds(us: int) -> str:
    """12345000 -> `12.345s`; hours are told apart."""
    hours, rest = divmod(us, 3_600_000_000)
    text = f"{rest / 1_000_000:.3f}s"
    return f"{hours}h {text}" if hours else text


def at(fact: Fact) -> str:
    """When and where, for the left margin."""
    return f"{seconds(fact.t_us):>12}  {fact.at}"


def words(fact: Fact) -> str:
    """What happened, in words."""
    match fact:
        case Sent():
            key = f", key {fact.key}" if fact.key else ""
            return f"call {fact.call}.{fact.attempt}: {fact.op} {fact.method} {fact.path} to {fact.to}{key}"
        case Got():
            return f"call {fact.call}.{fact.attempt}: {fact.op} → {_answer(fact)}"
        case Left():
            return f"call {fact.call}.{fact.attempt}: left before the end of the answer to its {fact.op}"
        case Heard():
            return f"call {fact.call}: heard {_heard(fact)}"
        case Received():
            about = " ".join(part for part in (fact.nonce, fact.task_id) if part)
            return f"received #{fact.seq} {fact.op} {fact.method} {fact.path} {about}".rstrip()
        case Answered():
            how = "" if fact.complete else f", cut by {fact.ended_by} after {fact.body_bytes} bytes"
            status = fact.status if fact.status is not None else "nothing"
            return f"answered #{fact.seq} with {status}{how}"
        case ActPlayed():
            return f"act {fact.act} met #{fact.seq}{'' if fact.applied else ' and could not take effect'}"
        case TaskAccepted() | TaskRejected() | TaskEnded():
            return _task(fact)
        case ChatAccepted() | ChatRefused() | ChatEnded():
            return _chat(fact)
        case BillingReserved() | BillingFinalized() | BillingRefused():
            return _billing(fact)
        case Observed():
            last = "last reading" if fact.final else "reading"
            return f"{last} of {fact.what}: {len(fact.rows)} rows"
        case GatewayLogged():
            return f"logged {fact.text}"
        case _:
            return _world(fact)


def _answer(got: Got) -> str:
    if got.status is None:
        return f"{got.error} ({got.outcome})"
    if got.error is not None:
        return f"{got.status}, then {got.error} ({got.outcome}) after {len(got.body)} bytes"
    extra = [got.outcome]
    if (code := header(got.headers, ERROR_HEADER)) is not None:
        extra.append(code)
    if header(got.headers, REPLAY_HEADER) == "true":
        extra.append("replayed")
    return f"{got.status} ({', '.join(extra)}) {_cut(got.body)}".rstrip()


def _heard(fact: Heard) -> str:
    error = f" ({fact.error})" if fact.error is not None else ""
    end = f", ended by {fact.finish}" if fact.finish is not None else ""
    voice = f" through the SDK of {fact.via}" if fact.via != "plain" else ""
    return f"{fact.outcome}{error}, {fact.tokens} events with content{end}{voice}: {_cut(fact.text.encode())}"


def _chat(fact: ChatAccepted | ChatRefused | ChatEnded) -> str:
    match fact:
        case ChatAccepted():
            kind = "a stream" if fact.stream else "an answer"
            return (
                f"began #{fact.seq} for {fact.nonce}: {kind} of {fact.model}, {fact.running} at work before"
            )
        case ChatRefused():
            return f"refused #{fact.seq} of {fact.nonce} for {fact.model}: {fact.reason}"
        case ChatEnded():
            how = "to its end" if fact.complete else f"broken off, {fact.delivered} tokens handed over"
            tokens = (
                f"input {fact.input_uncached}, cache {fact.cache_read} + {fact.cache_write_5m}"
                f" + {fact.cache_write_1h}, output {fact.output_text} + {fact.output_reasoning}"
            )
            return (
                f"#{fact.seq} for {fact.nonce} {how}: {tokens}, {fact.model} bills "
                f"{amount_text(fact.cost_nanos)}, shows {fact.usage_shown}"
            )


def _task(fact: TaskAccepted | TaskRejected | TaskEnded) -> str:
    match fact:
        case TaskAccepted():
            return f"accepted task {fact.task_id} for {fact.nonce} (#{fact.seq})"
        case TaskRejected():
            return f"refused the work of {fact.nonce} (#{fact.seq}): {fact.reason}"
        case TaskEnded():
            how = "succeeded" if fact.success else "failed"
            cost = amount_text(fact.cost_nanos)
            return f"task {fact.task_id} {how}: {fact.units} units, costs {cost}, shows {fact.usage_shown}"


def _billing(fact: BillingReserved | BillingFinalized | BillingRefused) -> str:
    match fact:
        case BillingReserved():
            amount = amount_text(fact.amount_nanos)
            return f"reserved {amount} of {fact.account} as {fact.hold_id} for {fact.call_id}"
        case BillingFinalized():
            amount = amount_text(fact.amount_nanos)
            return f"finalized {fact.hold_id} of {fact.account} at {amount} ({fact.reason})"
        case BillingRefused():
            return f"refused {fact.op} under {fact.key}: {fact.why}"


def _world(fact: Fact) -> str:
    match fact:
        case Crashed():
            return f"lost its power ({fact.where})"
        case Restarted():
            return f"is back, incarnation {fact.incarnation}"
        case Stopped():
            return f"stopped {'cleanly' if fact.clean else 'with requests in hand'}"
        case StartFailed():
            return f"did not start: {fact.error}"
        case StoreFaulted():
            return f"its store failed: {fact.error}"
        case LinkChanged():
            return f"the link did it: {fact.what}"
        case Unapplied():
            return f"never came: {fact.fault}"
        case Calm():
            return "all faults are over"
        case Resources():
            held = f"{fact.tasks} tasks, {fact.exchanges} exchanges, {fact.connections} connections"
            return f"{fact.phase}: {held}"
        case Escaped():
            return f"reached for {fact.host}, outside the world"
        case AppFailed():
            return f"let an exception out: {fact.error}"
        case Ended():
            return "the run ended" if fact.trouble is None else f"the run ended badly: {fact.trouble}"
        case _:
            return _plainly(fact)


def _plainly(fact: Fact) -> str:
    """A kind of fact that has no words of its own: its name, and what it says."""
    said = (
        f"{field.name} {getattr(fact, field.name)}"
        for field in fields(fact)
        if field.name not in ("t_us", "at")
    )
    text = f"{fact.kind}: {', '.join(said)}".replace("\n", " ")
    return text if len(text) <= _PLAIN_MAX else f"{text[:_PLAIN_MAX]}…"


def _cut(body: bytes) -> str:
    text = body[:_BODY_MAX].decode("utf-8", "replace").replace("\n", " ")
    return f"{text}…" if len(body) > _BODY_MAX else text
