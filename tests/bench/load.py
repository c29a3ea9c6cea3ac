"""Callers that cost as little as they can: a process of its own that asks, measures and tells.

`python -m tests.bench.load` reads orders, one JSON object a line, and answers each with one. A caller asks
again as soon as it has its answer, on one kept connection. Every answer is checked; one that is not what it
should be ends the bench.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

__all__ = ["Heard", "Order", "carry_out"]

_PROMPT = "Tell me in a few words what the quick brown fox did to the lazy dog, and why. " * 10
_KEY = "canary-caller-alice"


@dataclass(frozen=True)
class Order:
    """Ask this port for `seconds`, `callers` at once, streams or whole answers."""

    port: int
    callers: int
    stream: bool
    seconds: float


@dataclass(frozen=True)
class Heard:
    """Figures of all answers of one order; times in microseconds."""

    answers: int
    wall_s: float
    p50_us: float
    p99_us: float
    first_p50_us: float  # until the first bytes of the answer's body


def _request(port: int, stream: bool) -> bytes:
    wish = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": _PROMPT}]
    body = json.dumps({"model": "small", "messages": messages, "max_tokens": 100, **wish}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {_KEY}\r\n"
        f"content-type: application/json\r\naccept: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Caller(asyncio.Protocol):
    def __init__(self, request: bytes, stream: bool, until_ns: int, done: asyncio.Future[None]) -> None:
        self._request = request
        self._mark = b"data:" if stream else b"{"
        self._last = b"data: [DONE]" if stream else b'"usage"'
        self._until_ns = until_ns
        self._done = done
        self._buffer = b""
        self._asked_ns = 0
        self._first_ns = 0
        self._transport: Any = None
        self.took_ns: list[int] = []
        self.first_ns: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"cut after {self._buffer[:500]!r}"))

    def _ask(self) -> None:
        self._buffer = b""
        self._first_ns = 0
        self._asked_ns = perf_counter_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        now_ns = perf_counter_ns()
        if not self._first_ns and self._mark in body:
            self._first_ns = now_ns
        if not _whole(head, body):
            return
        if not head.startswith(b"HTTP/1.1 200") or self._last not in body:
            self._done.set_exception(AssertionError(f"not an answer: {self._buffer[:500]!r}"))
            return
        self.took_ns.append(now_ns - self._asked_ns)
        self.first_ns.append(self._first_ns - self._asked_ns)
        if now_ns < self._until_ns:
            self._ask()
        else:
            self._done.set_result(None)
            self._transport.close()


def _whole(head: bytes, body: bytes) -> bool:
    length = head.lower().partition(b"content-length:")[2]
    if length:
        return len(body) >= int(length.split(b"\r\n", 1)[0])
    return body.endswith(b"0\r\n\r\n")


async def carry_out(order: Order) -> Heard:
    """All callers at once, until their time is over."""
    loop = asyncio.get_running_loop()
    request = _request(order.port, order.stream)
    started_ns = perf_counter_ns()
    until_ns = started_ns + int(order.seconds * 1e9)
    callers: list[_Caller] = []
    ends: list[asyncio.Future[None]] = []
    for _ in range(order.callers):
        end: asyncio.Future[None] = loop.create_future()
        caller = _Caller(request, order.stream, until_ns, end)
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", order.port)  # type: ignore[misc]
        callers.append(caller)
        ends.append(end)
    await asyncio.gather(*ends)
    took = sorted(ns / 1000 for caller in callers for ns in caller.took_ns)
    first = [ns / 1000 for caller in callers for ns in caller.first_ns]
    return Heard(
        answers=len(took),
        wall_s=(perf_counter_ns() - started_ns) / 1e9,
        p50_us=statistics.median(took),
        p99_us=took[min(len(took) - 1, len(took) * 99 // 100)],
        first_p50_us=statistics.median(first),
    )


def _main() -> None:
    for line in sys.stdin:
        heard = asyncio.run(carry_out(Order(**json.loads(line))))
        print(json.dumps(heard.__dict__))
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
