"""Clients that send raw requests, one after another, and do nothing about the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from fakes.time import SimLoop
from scenarios.clients.arrivals import arrivals_of, caller_headers, lower, sleep
from scenarios.clients.client import Client, Order
from scenarios.model.scenario import HttpRequest, HttpTraffic, Scenario

__all__ = ["PROXY", "Raw"]

PROXY = "/api/proxy"


class Raw:
    """The clients of one world that send what no other client would."""

    def __init__(
        self, scenario: Scenario, *, config: Mapping[str, Any], client: Client, loop: SimLoop
    ) -> None:
        self._scenario = scenario
        self._config = config
        self._client = client
        self._loop = loop

    async def play(self, name: str, block: HttpTraffic) -> None:
        """One block of traffic, to its end."""
        async with asyncio.TaskGroup() as group, aclosing(arrivals_of(name, block, self._loop)) as arrivals:
            async for who, turns in arrivals:
                group.create_task(self._one_client(who, block, turns), name=who)

    async def _one_client(self, who: str, block: HttpTraffic, turns: int) -> None:
        for turn in range(turns):
            if turn:
                await sleep(block.pause)
            call = self._client.new_call()
            for request in block.requests:
                await sleep(request.wait)
                await self._client.send(call, self._order(who, block, request))

    def _order(self, who: str, block: HttpTraffic, request: HttpRequest) -> Order:
        headers = {**lower(block.headers), **lower(request.headers)}
        if request.filler is not None:
            body = b"x" * request.filler
        elif request.text is not None:
            body = request.text.encode()
        else:
            body = b"" if request.json_body is None else json.dumps(request.json_body).encode()
        return Order(
            who=who,
            op="other",
            method=request.method,
            path=request.path,
            account=block.account or "",
            headers=caller_headers(
                self._config, block.account, headers, is_json=request.json_body is not None
            ),
            body=body,
            provider=_provider_in(request.path, self._scenario),
            timeout_us=block.timeout,
            leaves_after_us=block.leaves_after,
        )


def _provider_in(path: str, scenario: Scenario) -> str | None:
    name = path.removeprefix(f"{PROXY}/").partition("/")[0] if path.startswith(f"{PROXY}/") else ""
    return name if name in scenario.providers else None
