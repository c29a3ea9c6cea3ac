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
from typing import Literal

from fakes.journal import Headers, Journal
from fakes.time import SimLoop
from fakes.wire import DirectClient, Wire, WireError
from scenarios.history import Got, Left, Sent
from scenarios.outcomes import header, outcome_of

__all__ = ["Call", "Client", "Ended", "Order"]

_ANSWER_MAX = 64 * 1024 * 1024


class Call:
    """One logical call: what it is known by, and how many requests were made for it."""

    __slots__ = ("_attempts", "key", "nonce", "number")

    def __init__(self, number: int, key: str | None) -> None:
        self.number = number
        self.nonce = f"n{number:05d}"
        self.key = key
        self._attempts = 0

    def attempt(self) -> int:
        self._attempts += 1
        return self._attempts


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

    @property
    def lost(self) -> bool:
        """No whole answer came, though the client waited for one."""
        return self.status is None and not self.left

    @property
    def retry_after_us(self) -> int:
        """What the answer asks for; dates and other forms count as nothing."""
        text = header(self.headers, "retry-after") or ""
        return int(text) * 1_000_000 if text.isascii() and text.isdigit() and len(text) < 6 else 0


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

    async def send(self, call: Call, order: Order) -> Ended:
        """Send one request, and wait for its end as long as the client bears."""
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
        leaves_us = order.leaves_after_us
        leaves = leaves_us is not None and leaves_us < order.timeout_us
        patience_us = leaves_us if leaves and leaves_us is not None else order.timeout_us
        try:
            async with asyncio.timeout(patience_us / 1_000_000):
                answer = await self._direct.request(
                    order.method, f"http://{to}.test{order.path}", headers=order.headers, body=order.body
                )
        except TimeoutError:
            if leaves:
                self._journal.record(
                    Left(t_us=self._loop.now_us, at=order.who, call=call.number, attempt=attempt, op=order.op)
                )
                return Ended("info", left=True)
            return self._got(call, attempt, order, error="ReadTimeout")
        except WireError as broken:
            return self._got(call, attempt, order, error=type(broken).__name__)
        return self._got(call, attempt, order, status=answer.status, headers=answer.headers, body=answer.body)

    def _got(
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
        return Ended(outcome, status, headers, body)
