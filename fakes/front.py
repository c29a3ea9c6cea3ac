"""The front of a fake service: an ASGI application that journals what it received and what it answered.

The service behind it decides, at one instant and without waiting; the front reads, waits and writes.
So a request's effect is whole or absent, however its answer fares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fakes.asgi import (
    WHOLE,
    Ending,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    Sent,
    breakable,
    deliver,
    lifespan,
    stays,
    take,
    without_body,
)
from fakes.journal import Answered, Journal, Received, digest

__all__ = ["Audience", "Front", "Outcome", "Seen", "Service", "Wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a service reads off a request before it decides anything."""

    op: str
    nonce: str | None = None
    task_id: str | None = None
    key: str | None = None
    account: str | None = None
    model: str | None = None
    stream: bool | None = None
    identity: str = ""  # whose request it is, for draws and counts
    attempt: int = 1  # the how-many-th of this identity and op


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait before the work, and between the work and the answer."""

    before_us: int = 0
    after_us: int = 0


@dataclass(frozen=True, slots=True)
class Audience:
    """The client's side of an exchange as the answer finds it.

    `here`: it had not left before the work; `wait_us`: what lies between the work and the answer.
    """

    here: bool
    wait_us: int
    receive: Receive
    send: Send


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer a service decided on, what befalls it on its way, and what it says of a task.

    An answer that takes its time, or whose end is itself a fact, brings its own `perform`, which
    is handed the outcome as it became.
    """

    reply: Reply
    ending: Ending = WHOLE
    shown: str | None = None  # success | failure | error | other
    usage_shown: str | None = None
    perform: Callable[[Outcome, Audience], Awaitable[Sent]] | None = None

    def with_reply(self, reply: Reply) -> Outcome:
        return Outcome(reply, self.ending, self.shown, self.usage_shown, self.perform)


class Service(Protocol):
    """What stands behind a front. All three are asked in this order, for each request once."""

    def see(self, request: Request) -> Seen: ...

    def wait(self, request: Request, seen: Seen) -> Wait: ...

    def decide(self, request: Request, seen: Seen, *, can_break: bool) -> Outcome: ...


class Front:
    """One service on one host: call it as an ASGI application."""

    def __init__(self, name: str, service: Service, *, journal: Journal, clock: Callable[[], int]) -> None:
        self._name = name
        self._service = service
        self._journal = journal
        self._clock = clock
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        request = await take(scope, receive, seq=self._next, clock=self._clock)
        if request is None:
            return
        seen = self._service.see(request)
        self._received(request, seen)
        wait = self._service.wait(request, seen)
        here = wait.before_us <= 0 or await self._before_work(receive, wait.before_us)
        outcome = self._service.decide(request, seen, can_break=breakable(scope))
        reply = without_body(outcome.reply) if request.method == "HEAD" else outcome.reply
        if outcome.perform is not None:
            sent = await outcome.perform(outcome, Audience(here, wait.after_us, receive, send))
        elif not here or (wait.after_us > 0 and not await stays(receive, wait.after_us)):
            sent = Sent(None, (), 0, False, "client")
        else:
            sent = await deliver(reply, outcome.ending, receive, send)
        self._answered(request, outcome, sent, reply.body)

    async def _before_work(self, receive: Receive, wait_us: int) -> bool:
        """A client who leaves stops nothing: the work begins when it would have begun."""
        due_us = self._clock() + wait_us
        here = await stays(receive, wait_us)
        if not here:
            await asyncio.sleep(max(0, due_us - self._clock()) / 1_000_000)
        return here

    def _next(self) -> int:
        self._requests += 1
        return self._requests

    def _received(self, request: Request, seen: Seen) -> None:
        self._journal.record(
            Received(
                t_us=request.t_us,
                at=self._name,
                seq=request.seq,
                op=seen.op,
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
                nonce=seen.nonce,
                task_id=seen.task_id,
                key=seen.key,
            )
        )

    def _answered(self, request: Request, outcome: Outcome, sent: Sent, body: bytes) -> None:
        self._journal.record(
            Answered(
                t_us=self._clock(),
                at=self._name,
                seq=request.seq,
                status=sent.status,
                headers=sent.headers,
                body_bytes=sent.body_bytes,
                complete=sent.complete,
                ended_by=sent.ended_by,
                body_digest=(sent.body_digest or digest(body)) if sent.complete else None,
                shown=outcome.shown,
                usage_shown=outcome.usage_shown,
            )
        )
