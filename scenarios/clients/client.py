"""One request as a client sends it: chosen replica, sent, waited for, recorded.

Every client of a world sends through here, so every request leaves a `Sent` and then a `Got` or a `Left`.
It keeps no cookie, follows nothing and retries nothing; that is for the traffic to want.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, Protocol

from fakes.journal import Headers, Journal
from fakes.time import SimLoop
from fakes.wire import DirectClient, Wire, WireError
from scenarios.history import Got, Left, Sent
from scenarios.outcomes import header, outcome_of

__all__ = ["Call", "Client", "Ended", "Listener", "Order"]

_ANSWER_MAX = 64 * 1024 * 1024


class Call:
    """One logical call: what it is known by, and how many requests were made for it."""

    __slots__ = ("attempts", "key", "nonce", "number")

    def __init__(self, number: int, key: str | None) -> None:
        self.number = number
        self.nonce = f"n{number:05d}"
        self.key = key
        self.attempts = 0

    def attempt(self) -> int:
        self.attempts += 1
        return self.attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request to be sent for a call. `who` names the client in the history."""

    who: str
    op: str
    method: str
    path: str
    account: str
    headers: Headers = ()
    body: bytes = b""
    provider: str | None = None
    task_id: str | None = None
    timeout_us: int
    leaves_after_us: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `left`: the client did not wait for the end."""

    outcome: str
    status: int | None = None
    headers: Headers = ()
    body: bytes = b""
    left: bool = False
    broken: str | None = None  # the class of the wire error that ended it

    @property
    def lost(self) -> bool:
        """No whole answer came, though the client waited for one."""
        return self.broken is not None

    @property
    def retry_after_us(self) -> int:
        """What the answer asks for; dates and other forms count as nothing."""
        text = header(self.headers, "retry-after") or ""
        return int(text) * 1_000_000 if text.isascii() and text.isdigit() and len(text) < 6 else 0


class Listener(Protocol):
    """Who hears an answer as it comes. `hear` answers whether that was enough, and the client leaves."""

    def head(self, status: int, headers: Headers) -> None: ...

    def hear(self, chunk: bytes) -> bool: ...


class Client:
    """All clients of one world: they share a link end, and the rule by which a replica is chosen."""

    def __init__(
        self,
        *,
        loop: SimLoop,
        wire: Wire,
        journal: Journal,
        replicas: Sequence[str],
        balance: Literal["round_robin", "random", "sticky"],
    ) -> None:
        self._direct = DirectClient(wire, "client", body_max=_ANSWER_MAX)
        self._loop = loop
        self._journal = journal
        self._replicas = tuple(replicas)
        self._balance = balance
        self._draw: random.Random = loop.streams.get("balance")
        self._turn = count()
        self._numbers = count(1)

    def new_call(self, key: str | None = None) -> Call:
        return Call(next(self._numbers), key)

    def _replica(self, call: Call) -> str:
        match self._balance:
            case "round_robin":
                index = next(self._turn)
            case "random":
                index = self._draw.randrange(len(self._replicas))
            case "sticky":
                index = call.number
        return self._replicas[index % len(self._replicas)]

    def sets_out(self, call: Call, order: Order) -> tuple[int, str]:
        """One more request for the call, about to be sent: which attempt it is, and to which replica."""
        attempt = call.attempt()
        to = self._replica(call)
        self._journal.record(
            Sent(
                t_us=self._loop.now_us,
                at=order.who,
                call=call.number,
                attempt=attempt,
                op=order.op,
                to=to,
                method=order.method,
                path=order.path,
                headers=order.headers,
                body=order.body,
                account=order.account,
                provider=order.provider,
                key=call.key if order.op in ("submit", "probe") else None,
                nonce=call.nonce,
                task_id=order.task_id,
            )
        )
        return attempt, to

    async def send(self, call: Call, order: Order) -> Ended:
        """Send one request, and wait for its end as long as the client bears."""
        attempt, to = self.sets_out(call, order)
        patience_us, leaves = _patience(order)
        try:
            async with asyncio.timeout(patience_us / 1_000_000):
                answer = await self._direct.request(
                    order.method, f"http://{to}.test{order.path}", headers=order.headers, body=order.body
                )
        except TimeoutError:
            if leaves:
                return self.left(call, attempt, order)
            return self.got(call, attempt, order, error="ReadTimeout")
        except WireError as broken:
            return self.got(call, attempt, order, error=type(broken).__name__)
        return self.got(call, attempt, order, status=answer.status, headers=answer.headers, body=answer.body)

    async def listen(self, call: Call, order: Order, listener: Listener) -> Ended:
        """Send one request, and hear its answer as it comes; a listener that has enough leaves."""
        attempt, to = self.sets_out(call, order)
        patience_us, leaves = _patience(order)
        status: int | None = None
        headers: Headers = ()
        parts: list[bytes] = []
        size = 0
        error: str | None = None
        answer = self._direct.stream(
            order.method, f"http://{to}.test{order.path}", headers=order.headers, body=order.body
        )
        try:
            async with asyncio.timeout(patience_us / 1_000_000), answer:
                status, headers = answer.status, answer.headers
                listener.head(status, headers)
                async for chunk in answer.chunks():
                    parts.append(chunk)
                    size += len(chunk)
                    if size > _ANSWER_MAX:
                        raise WireError(f"the answer has more than {_ANSWER_MAX} bytes")
                    if listener.hear(chunk):
                        return self.left(call, attempt, order, status=status, headers=headers)
        except TimeoutError:
            if leaves:
                return self.left(call, attempt, order, status=status, headers=headers)
            error = "ReadTimeout"
        except WireError as broken:
            error = type(broken).__name__
        body = b"".join(parts)
        return self.got(call, attempt, order, status=status, headers=headers, body=body, error=error)

    def left(
        self, call: Call, attempt: int, order: Order, *, status: int | None = None, headers: Headers = ()
    ) -> Ended:
        """Write down that the client went away before the end."""
        self._journal.record(
            Left(t_us=self._loop.now_us, at=order.who, call=call.number, attempt=attempt, op=order.op)
        )
        return Ended("info", status, headers, left=True)

    def got(
        self,
        call: Call,
        attempt: int,
        order: Order,
        *,
        status: int | None = None,
        headers: Headers = (),
        body: bytes = b"",
        error: str | None = None,
    ) -> Ended:
        """Write down how the request ended; with an `error` what came of its answer is not the whole."""
        outcome = outcome_of(status, error=error, headers=headers)
        self._journal.record(
            Got(
                t_us=self._loop.now_us,
                at=order.who,
                call=call.number,
                attempt=attempt,
                op=order.op,
                outcome=outcome,
                status=status,
                headers=headers,
                body=body,
                error=error,
                complete=error is None,
            )
        )
        return Ended(outcome, status, headers, body, broken=error)


def _patience(order: Order) -> tuple[int, bool]:
    """How long this client waits, and whether it then leaves of its own will."""
    leaves_us = order.leaves_after_us
    if leaves_us is not None and leaves_us < order.timeout_us:
        return leaves_us, True
    return order.timeout_us, False
