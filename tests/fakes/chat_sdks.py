"""One call of a vendor's SDK against a provider of models, in virtual time, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx2
import openai
import pytest

from fakes.journal import Received
from fakes.wire import Httpx2Transport
from tests.fakes.chat_stage import ChatStage, with_chat

MESSAGES: Any = [{"role": "user", "content": "hi nonce:abc"}]
PLAN = {"words": 3, "first": "100ms", "between": "10ms", "prompt": 10}


@dataclass
class Ended:
    """What one call of an SDK came to, and when the provider saw its requests."""

    value: Any
    error: Exception | None
    at_us: list[int]
    stage: ChatStage

    @property
    def kind(self) -> str:
        return type(self.error).__name__

    @property
    def waits_us(self) -> list[int]:
        return [later - earlier for earlier, later in pairwise(self.at_us)]


def http(stage: ChatStage) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=Httpx2Transport(stage.wire, "client"))


def outcome(
    call: Callable[[ChatStage], Awaitable[Any]],
    *do: Any,
    vendors: str = "openai",
    seed: int = 0,
    until_s: float | None = None,
) -> Ended:
    """How one call ends under these acts; `until_s`: how long we watch it."""

    async def main(stage: ChatStage) -> Ended:
        value, error = None, None
        try:
            async with asyncio.timeout(until_s):
                value = await call(stage)
        except Exception as caught:
            error = caught
        at_us = [fact.t_us for fact in stage.facts(Received)]
        assert stage.wire.escapes == []
        return Ended(value, error, at_us, stage)

    return with_chat(main, vendors, acts=[{"do": one} for one in do], plan=PLAN, seed=seed)


@pytest.fixture(autouse=True, scope="module")
def platform_known() -> None:
    """openai asks the machine through a process what it is, once: before any run, which would refuse it."""
    openai.OpenAI(api_key="k", http_client=httpx2.Client(verify=False)).platform_headers()
