"""When clients begin, how long they wait, whether they ask again, and under which key they call.

What every kind of traffic shares. All waiting is in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fakes.journal import Headers
from fakes.time import SimLoop
from scenarios.clients.client import Ended
from scenarios.gateways import caller_of, canary_of_caller
from scenarios.model.traffic import Arrivals, Retry

__all__ = ["arrivals_of", "caller_headers", "lower", "sleep", "until", "wants_retry"]


async def arrivals_of(name: str, block: Arrivals, loop: SimLoop) -> AsyncGenerator[tuple[str, int], None]:
    """Who begins now, and how many turns it takes; the waiting between is done here."""
    draw = loop.streams.get(f"traffic/{name}")
    if block.rate is None or block.lasting is None:
        starts = sorted(
            (block.at + draw.randrange(block.spread + 1), number) for number in range(block.clients)
        )
        for at_us, number in starts:
            await until(at_us, loop)
            yield f"{name}.{number}", block.times
        return
    gap_us, passed_us, number = 1 / block.rate, 0.0, 0
    while True:
        if block.arrivals == "random":
            passed_us += draw.expovariate(float(block.rate))
        else:
            passed_us = float(gap_us * number)
        if passed_us >= block.lasting:
            return
        await until(block.at + int(passed_us), loop)
        yield f"{name}.{number}", 1
        number += 1


async def until(at_us: int, loop: SimLoop) -> None:
    if at_us > loop.now_us:
        await sleep(at_us - loop.now_us)


async def sleep(span_us: int) -> None:
    if span_us:
        await asyncio.sleep(span_us / 1_000_000)


def wants_retry(retry: Retry, ended: Ended) -> bool:
    """Whether a client that retries in this way sends its request again after this end."""
    if ended.left:
        return False
    return "lost" in retry.on if ended.lost else ended.status in retry.on


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def caller_headers(
    config: Mapping[str, Any],
    account: str | None,
    more: Mapping[str, str],
    *,
    thread: str | None = None,
    is_json: bool = False,
) -> Headers:
    """The headers of a caller who acts for this account; what the block says stands above them."""
    usual: dict[str, str] = {}
    if account is not None:
        caller = caller_of(config, account) or account  # a stranger calls in his own name
        usual["authorization"] = f"Bearer {canary_of_caller(caller)}"
        accounts = config.get("callers", {}).get(caller, {}).get("accounts", ())
        if thread is None and accounts and accounts[0] != account:
            thread = account
    if thread is not None:
        usual["x-thread-id"] = thread
    if is_json:
        usual["content-type"] = "application/json"
    return tuple({**usual, **more}.items())
