"""Safeguards taken out one by one, for the promises that no hazard breaks, or none breaks for tasks."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Mapping
from dataclasses import replace

import httpx
from starlette.responses import Response
from starlette.types import Send

from refgate import gateway, upstream
from refgate.answer import Answer
from refgate.chat import settling
from refgate.chat.patience import Patience, Phase
from refgate.chat.pricing import Charge
from refgate.chat.records import ChatOutcome
from refgate.chat.settling import Ending
from refgate.chat.works import Call, ChatWorks
from refgate.errors import Refusal, envelope
from refgate.flows import answers, submit
from refgate.flows.answers import respond
from refgate.flows.arrival import Asked
from refgate.flows.passthrough import Forwarded
from refgate.ledger.records import Attempt, Verdict
from refgate.ledger.states import Outcome
from refgate.store import postings
from refgate.store.sqlite import SqliteStore
from refgate.upstream import Failure, FailureKind, Outgoing, Phases, Stream, Upstream
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["BROKEN", "sabotage"]

_enter = postings.enter
_claim = SqliteStore.claim
_ask = Upstream.ask
_relay = Forwarded._relay
_charge = settling._charge
_phase = Patience.phase
_HOUR_US = 3_600_000_000
_CENT = 10_000_000
_ANSWERS = itertools.count()


def _one_side_only(
    cx: sqlite3.Connection,
    txn_id: str,
    account: str,
    kind: str,
    by: Mapping[str, int],
    *,
    call_id: str | None,
    now_us: int,
) -> None:
    _enter(cx, txn_id, account, kind, dict(list(by.items())[:1]), call_id=call_id, now_us=now_us)


_ALWAYS_ROOM = (
    "UPDATE accounts SET available_nanos = available_nanos - ?, held_nanos = held_nanos + ? WHERE account = ?"
    " AND ? >= 0 AND ? >= 0"
)

# Whoever has a hold open gets no second one.
_ONE_AT_A_TIME = f"{postings._HOLD} AND held_nanos = 0"


async def _failures_cost(
    self: SqliteStore,
    call_id: str,
    verdict: Verdict,
    *,
    intent_id: str,
    attempt: Attempt | None = None,
    now_us: int,
) -> bool:
    if verdict.outcome is Outcome.FAILED:
        verdict = replace(verdict, amount_nanos=_CENT)
    return await _claim(self, call_id, verdict, intent_id=intent_id, attempt=attempt, now_us=now_us)


async def _not_opened(self: SqliteStore, attempt: Attempt) -> None:
    """The row is to be written when the answer is there."""


async def _sent_again(self: Upstream, out: Outgoing, *, phases: Phases, body_max: int) -> Answer | Failure:
    """A second try for whatever had no answer, a submit too."""
    reply = await _ask(self, out, phases=phases, body_max=body_max)
    return await _ask(self, out, phases=phases, body_max=body_max) if isinstance(reply, Failure) else reply


async def _patient(self: Upstream, out: Outgoing, *, phases: Phases, body_max: int) -> Answer | Failure:
    for_ever = Phases(_HOUR_US, _HOUR_US, _HOUR_US, _HOUR_US, _HOUR_US)
    return await _ask(self, out, phases=for_ever, body_max=body_max)


class _Resentful(Upstream):
    """A breaker that never closes again."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(transport)
        self._hurt = False

    async def ask(self, out: Outgoing, *, phases: Phases, body_max: int) -> Answer | Failure:
        if self._hurt:
            return Failure(FailureKind.CONNECT)
        reply = await super().ask(out, phases=phases, body_max=body_max)
        self._hurt = isinstance(reply, Failure)
        return reply


async def _left_open(response: httpx.Response) -> None:
    """Whoever asked has what he wanted."""


async def _ended_as_whole(self: Forwarded, stream: Stream, send: Send) -> None:
    await _relay(self, stream, send)
    if stream.failure is not None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _joined_without_a_slash(self: Asked) -> Outgoing:
    """The path as it would be written after a base address that ends in a slash; this one does not."""
    url = self.provider.base_url + self.path.text.lstrip("/")
    return Outgoing(self.method, url, (*self.headers, self.provider.auth.pair()), self.body)


def _numbered(answer: Answer, *, call_id: str | None, replayed: bool = False) -> Response:
    """The number of the answer since the process began: nothing in the world decides it."""
    answer = replace(answer, headers=(*answer.headers, ("x-request-id", str(next(_ANSWERS)))))
    return respond(answer, call_id=call_id, replayed=replayed)


def _in_no_envelope(refusal: Refusal) -> Answer:
    return replace(envelope(refusal), body=refusal.message.encode())


def _streams_cost_more(works: ChatWorks, call: Call, ending: Ending) -> Charge | None:
    made = _charge(works, call, ending)
    if made is None or not call.asked.stream:
        return made
    return replace(made, amount_nanos=2 * made.amount_nanos)


def _who_leaves_pays_nothing(works: ChatWorks, call: Call, ending: Ending) -> Charge | None:
    return None if ending.outcome is ChatOutcome.LEFT else _charge(works, call, ending)


def _twice_as_patient(self: Patience, phase: Phase, us: int) -> None:
    _phase(self, phase, 2 * us)


BROKEN = {
    "money-is-conserved": Swap(postings, _enter, _one_side_only),
    "budget-never-exceeded": Swap(postings, postings._HOLD, _ALWAYS_ROOM),
    "no-phantom-refusal": Swap(postings, postings._HOLD, _ONE_AT_A_TIME),
    "failure-is-free": Swap(SqliteStore, _claim, _failures_cost),
    "attempts-recorded": Swap(SqliteStore, SqliteStore.attempt_opened, _not_opened),
    "no-double-generation": Swap(Upstream, _ask, _sent_again),
    "answers-in-time": Swap(Upstream, _ask, _patient),
    "alive-afterwards": Swap(gateway, Upstream, _Resentful),
    "resources-return": Swap(upstream, upstream._close, _left_open),
    "no-truncated-success": Swap(Forwarded, _relay, _ended_as_whole),
    "egress-allow-listed": Swap(Asked, Asked.outgoing, _joined_without_a_slash),
    "error-mapped": Swap(answers, envelope, _in_no_envelope),
    "stream-parity": Swap(settling, _charge, _streams_cost_more),
    "disconnect-policy-kept": Swap(settling, _charge, _who_leaves_pays_nothing),
    "config-is-live": Swap(Patience, _phase, _twice_as_patient),
    "deterministic": Swap(submit, respond, _numbered),
}
"""Promise → the safeguard that keeps it, taken out."""


def sabotage(promise: str) -> Sabotage:
    """In the form in which it is hunted."""
    return Sabotage("-", promise, f"{promise} is not kept", BROKEN[promise], (promise,))
