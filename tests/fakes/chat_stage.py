"""One provider of models on the simulated wire with one client: what the tests of chats play on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fakes.acts.script import Script
from fakes.chat import ChatPlan, ChatProvider
from fakes.journal import ActPlayed, Answered, ChatAccepted, ChatEnded, ChatRefused, Fact, Journal
from fakes.time import current_loop, run_virtual
from fakes.wire import Answer, DirectClient, Fixed, Timeouts, Wire, WireError

T = TypeVar("T")
F = TypeVar("F", bound=Fact)
KEY = "canary-provider-p"

KEY_HEADERS = {
    "openai": (("authorization", f"Bearer {KEY}"),),
    "anthropic": (("x-api-key", KEY), ("anthropic-version", "2026-10-21")),
    "gemini": (("x-goog-api-key", KEY),),
}
PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:generateContent",
    "gemini_stream": "/v1beta/models/m:streamGenerateContent?alt=sse",
}


@dataclass
class Heard:
    """What a client saw of one answer: each chunk with its instant, and how it ended."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: list[tuple[int, bytes]]
    error: WireError | None
    ended_us: int

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.chunks)

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[Any]:
        """The JSON of each data line; `[DONE]` and what is no JSON as text."""
        lines = [line[5:].strip() for line in self.text.splitlines() if line.startswith("data:")]
        return [_parsed(line) for line in lines]

    @property
    def names(self) -> list[str]:
        return [line[6:].strip() for line in self.text.splitlines() if line.startswith("event:")]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


class ChatStage:
    """A wire without latency, a journal, one provider at p.test, one client."""

    def __init__(self) -> None:
        self.loop = current_loop()
        self.wire = Wire(self.loop)
        self.wire.link("client", "p.test").latency = Fixed(0)
        self.wire.link("p.test", "client").latency = Fixed(0)
        self.client = DirectClient(self.wire, "client")
        self.journal = Journal()
        self.provider: ChatProvider

    @property
    def now_us(self) -> int:
        return self.loop.now_us

    async def call(
        self,
        path: str,
        body: object = None,
        *,
        method: str = "POST",
        vendor: str = "openai",
        headers: Iterable[tuple[str, str]] = (),
        timeout_us: int | None = None,
    ) -> Answer:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        timeouts = Timeouts(connect_us=None, read_us=timeout_us, write_us=None, pool_us=None)
        return await self.client.request(
            method,
            f"http://p.test{path}",
            headers=(*KEY_HEADERS[vendor], *headers),
            body=sent,
            timeouts=timeouts,
        )

    async def listen(
        self,
        path: str,
        body: object,
        *,
        vendor: str = "openai",
        leave_after: int | None = None,
        timeout_us: int | None = 3_600_000_000,
    ) -> Heard:
        """Reads an answer as it comes; leaves after so many chunks, where that is given."""
        timeouts = Timeouts(connect_us=None, read_us=timeout_us, write_us=None, pool_us=None)
        heard = Heard(0, (), [], None, 0)
        try:
            async with self.client.stream(
                "POST",
                f"http://p.test{path}",
                headers=KEY_HEADERS[vendor],
                body=json.dumps(body).encode(),
                timeouts=timeouts,
            ) as answer:
                heard.status, heard.headers = answer.status, answer.headers
                async for chunk in answer.chunks():
                    heard.chunks.append((self.now_us, chunk))
                    if len(heard.chunks) == leave_after:
                        break
        except WireError as error:
            heard.error = error
        heard.ended_us = self.now_us
        await asyncio.sleep(0)  # the provider writes down how it ended
        return heard

    def facts(self, kind: type[F]) -> list[F]:
        return list(self.journal.of(kind))

    def played(self) -> list[tuple[str, bool]]:
        return [(fact.act, fact.applied) for fact in self.facts(ActPlayed)]

    @property
    def ended(self) -> ChatEnded:
        (fact,) = self.facts(ChatEnded)
        return fact

    @property
    def accepted(self) -> ChatAccepted:
        (fact,) = self.facts(ChatAccepted)
        return fact

    @property
    def refused(self) -> ChatRefused:
        (fact,) = self.facts(ChatRefused)
        return fact

    @property
    def answered(self) -> Answered:
        (fact,) = self.facts(Answered)
        return fact


def with_chat(
    main: Callable[[ChatStage], Awaitable[T]],
    dialects: str | Iterable[str] = "openai",
    *,
    acts: Iterable[Mapping[str, Any]] = (),
    plan: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> T:
    """Runs `main` in virtual time against one provider at p.test."""

    async def play() -> T:
        stage = ChatStage()
        stage.provider = ChatProvider(
            "p",
            dialects=dialects,
            journal=stage.journal,
            clock=lambda: stage.now_us,
            script=Script.for_chat(acts),
            plan=ChatPlan.model_validate(plan or {}),
            seed=seed,
        )
        stage.wire.attach("p.test", stage.provider.app)
        answer = await main(stage)
        assert stage.wire.app_errors == []
        return answer

    return run_virtual(play)


def chat_body(vendor: str = "openai", text: str = "hi nonce:abc", **more: Any) -> dict[str, Any]:
    """The smallest request of a protocol."""
    match vendor:
        case "openai":
            return {"model": "m", "messages": [{"role": "user", "content": text}], **more}
        case "responses":
            return {"model": "m", "input": text, **more}
        case "anthropic":
            return {"model": "m", "max_tokens": 999, "messages": [{"role": "user", "content": text}], **more}
        case _:
            return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}
