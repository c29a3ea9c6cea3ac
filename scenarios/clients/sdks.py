"""Callers that use a vendor's own SDK: unmodified, with its own retries, over the simulated wire.

What the SDK made of its exchanges is the call's one `Heard`. Imported only where a scenario wants it, and
before its run: the SDKs are an extra, and take their time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import httpx2
import openai

from fakes.time import SimLoop, SimulationError
from fakes.wire import Wire
from scenarios.clients.chats import Question
from scenarios.clients.client import Client
from scenarios.clients.said import READERS, Said, error_in, shown
from scenarios.clients.sdk_line import Line
from scenarios.history import Heard

__all__ = ["Sdks"]

_BASE = "http://gateway.test"
_WHOLE_MAX_S = 3_600.0
# What the SDKs say of the machine would make histories of one.
_PINNED = {
    "accept-encoding": "identity",
    "X-Stainless-OS": "Linux",
    "X-Stainless-Arch": "x64",
    "X-Stainless-Runtime": "CPython",
    "X-Stainless-Runtime-Version": "3.11",
}
_OWN = frozenset({"authorization", "x-api-key", "content-type", "anthropic-version"})


class Sdks:
    """Every caller of one world that uses an SDK."""

    def __init__(self, *, client: Client, wire: Wire, loop: SimLoop) -> None:
        self._client = client
        self._wire = wire
        self._loop = loop

    async def ask(self, question: Question) -> Heard:
        """One call of an SDK, and what came of it."""
        block, said = question.block, Said()
        leaves_us = block.leaves_after
        within_s = _WHOLE_MAX_S if leaves_us is None else leaves_us / 1_000_000
        line = Line(question, client=self._client, wire=self._wire, loop=self._loop)
        outcome, error, status = "lost", None, None
        async with httpx2.AsyncClient(transport=line) as http:
            try:
                async with asyncio.timeout(within_s) as patience:
                    left = await self._asked(question, http, said)
                outcome, error = ("left", None) if left else _ended(question, said)
            except SimulationError:
                raise  # the run itself is in trouble
            except Exception as broken:
                status = getattr(broken, "status_code", None)
                gone = patience.expired() and leaves_us is not None
                outcome, error = _told(broken, status) if not gone else ("left", None)
        return self._heard(question, said, line, outcome=outcome, error=error, status=status)

    async def _asked(self, question: Question, http: httpx2.AsyncClient, said: Said) -> bool:
        """The call itself, read into `said`; answers whether the caller left on its own."""
        block, reader = question.block, READERS[question.block.protocol]
        answer = await self._create(question, http)
        if not question.stream:
            document = answer.model_dump(mode="json", exclude_unset=True)
            said.told = error_in(document)
            reader.whole(said, document)
            if said.words or said.calls or said.tokens:
                said.tokens, said.first_us = 1, self._loop.now_us
            return False
        async with answer:
            async for event in answer:
                document = event.model_dump(mode="json", exclude_unset=True)
                said.told = error_in(document)  # some errors are events like any other to the SDK
                if said.told is not None:
                    break
                if not reader.event(said, document):
                    continue
                said.tokens += 1
                if said.first_us is None:
                    said.first_us = self._loop.now_us
                if said.tokens == block.leaves_after_tokens:
                    return True
        return False

    async def _create(self, question: Question, http: httpx2.AsyncClient) -> Any:
        """The SDK's method for the protocol; what it has no parameter for goes beside its own fields."""
        block, fields = question.block, dict(question.fields)
        key = next(value for name, value in question.order.headers if name in ("authorization", "x-api-key"))
        given: dict[str, Any] = {
            "api_key": key.removeprefix("Bearer "),
            "http_client": http,
            "max_retries": block.sdk_retries,
            "timeout": block.timeout / 1_000_000,
            "default_headers": {
                **_PINNED,
                **{name: value for name, value in question.order.headers if name not in _OWN},
            },
        }
        model = fields.pop("model", block.model)
        more = {"model": model, "stream": fields.pop("stream", False), "extra_body": fields}
        if block.via == "anthropic":
            messages = fields.pop("messages", [])
            limit = fields.pop("max_tokens", 1)
            sdk = anthropic.AsyncAnthropic(base_url=_BASE, **given)
            return await sdk.messages.create(messages=messages, max_tokens=limit, **more)
        client = openai.AsyncOpenAI(base_url=f"{_BASE}/v1", **given)
        match block.protocol:
            case "openai_chat":
                return await client.chat.completions.create(messages=fields.pop("messages", []), **more)
            case "openai_responses":
                return await client.responses.create(input=fields.pop("input", ""), **more)
            case _:
                del more["stream"]
                return await client.embeddings.create(input=fields.pop("input", ""), **more)

    def _heard(
        self,
        question: Question,
        said: Said,
        line: Line,
        *,
        outcome: str,
        error: str | None,
        status: int | None,
    ) -> Heard:
        listening = line.last.listening if line.last is not None else None
        block = question.block
        return Heard(
            t_us=self._loop.now_us,
            at=question.order.who,
            call=question.call.number,
            attempt=question.call.attempts,
            via=block.via,
            protocol=block.protocol,
            model=block.model,
            stream=question.stream,
            outcome=outcome,
            error=error,
            status=status if status is not None or listening is None else listening.ear.status,
            text=said.text,
            finish=said.finish,
            usage=shown(said.usage),
            tokens=said.tokens,
            first_us=said.first_us,
            complete=outcome == "ok",
            calls=said.tool_calls,
            named=said.named,
            call_id=listening.call_id if listening is not None else None,
            longest_us=listening.longest_us if listening is not None else 0,
        )


def _ended(question: Question, said: Said) -> tuple[str, str | None]:
    """What an answer comes to that the SDK handed over without an error of its own. It ends a stream of
    chat completions at `[DONE]` and at the end of the body alike, and shows neither."""
    protocol, reader = question.block.protocol, READERS[question.block.protocol]
    if said.told is not None:
        return "error", said.told
    closed = not question.stream or protocol == "openai_chat" or said.ended
    finished = not reader.has_finish or (bool(said.closed) and said.open <= said.closed)
    return ("ok", None) if closed and finished and said.odd is None else ("lost", said.odd or "unfinished")


def _told(broken: Exception, status: object) -> tuple[str, str]:
    """An error that an answer told, or an answer that got lost; by the SDK's class."""
    silent = (openai.APIConnectionError, anthropic.APIConnectionError)
    told = isinstance(broken, openai.APIError | anthropic.APIError) and not isinstance(broken, silent)
    return "error" if told or status is not None else "lost", type(broken).__name__
