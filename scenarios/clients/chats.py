"""What clients of models do: ask, listen, retry, leave; and what they made of the answers in the end.

Each logical call leaves one `Heard`, after its last attempt. Plain clients read with their own ear; a
vendor's SDK reads with its own (`scenarios.clients.sdks`, imported only where a scenario wants it). All
waiting is in virtual time and has an end. Outcomes are not judged here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fakes.journal import Headers, Journal
from fakes.time import SimLoop
from fakes.wire import Wire
from scenarios.clients.arrivals import arrivals_of, caller_headers, lower, sleep, wants_retry
from scenarios.clients.chat_wording import HEADERS, KEY_HEADERS, asks, path_of
from scenarios.clients.client import Call, Client, Ended, Order
from scenarios.clients.ear import Ear
from scenarios.clients.said import shown
from scenarios.gateways import PROBE
from scenarios.history import Heard
from scenarios.model.chat import ChatProtocol, ChatTraffic
from scenarios.outcomes import header

if TYPE_CHECKING:
    from scenarios.clients.sdks import Sdks

__all__ = ["CALL_ID_HEADER", "Chats", "Listening", "Question", "prepare"]

CALL_ID_HEADER = "x-proxy-call-id"
_PROBE_TRIES = 60
_PROBE_WAIT_US = 2_000_000
_PROBE_WAIT_MAX_US = 60_000_000


def prepare(traffic: Iterable[object]) -> None:
    """Import what this traffic needs of the vendors' SDKs: before its run, which shuts the doors they use."""
    if any(isinstance(block, ChatTraffic) and block.via != "plain" for block in traffic):
        import scenarios.clients.sdks  # noqa: F401  # for its own sake


@dataclass(frozen=True, slots=True)
class Question:
    """One logical call about to be made."""

    call: Call
    block: ChatTraffic
    order: Order
    stream: bool
    fields: Mapping[str, Any]


class Listening:
    """One attempt's answer as it comes: into the ear, with the longest silence, until enough was heard."""

    def __init__(self, question: Question, loop: SimLoop) -> None:
        self.ear = Ear(question.block.protocol, stream=question.stream)
        self.call_id: str | None = None
        self.longest_us = 0
        self._enough = question.block.leaves_after_tokens
        self._loop = loop
        self._last_us = loop.now_us

    def head(self, status: int, headers: Headers) -> None:
        self._arrives()
        self.ear.head(status, header(headers, "content-type"))
        self.call_id = header(headers, CALL_ID_HEADER)

    def hear(self, chunk: bytes) -> bool:
        self._arrives()
        self.ear.hear(chunk, self._loop.now_us)
        return self._enough is not None and self.ear.said.tokens >= self._enough

    def end(self) -> None:
        """The body came to its end."""
        self._arrives()
        self.ear.close(self._loop.now_us)

    def silence(self) -> None:
        """Nothing more came, and the client knows."""
        self._arrives()

    def _arrives(self) -> None:
        now_us = self._loop.now_us
        self.longest_us = max(self.longest_us, now_us - self._last_us)
        self._last_us = now_us


class Chats:
    """The clients of models in one world."""

    def __init__(
        self, config: Mapping[str, Any], *, client: Client, wire: Wire, loop: SimLoop, journal: Journal
    ) -> None:
        self._config = config
        self._client = client
        self._wire = wire
        self._loop = loop
        self._journal = journal
        self._sdks: Sdks | None = None
        self._asked: dict[str, list[tuple[int, bool, bool]]] = {}

    async def play(self, name: str, block: ChatTraffic) -> None:
        """One block of traffic, to its end."""
        turn = 0
        async with asyncio.TaskGroup() as group, aclosing(arrivals_of(name, block, self._loop)) as arrivals:
            async for who, turns in arrivals:
                group.create_task(self._one_client(who, block, turns, turn), name=who)
                turn += turns

    async def _one_client(self, who: str, block: ChatTraffic, turns: int, before: int) -> None:
        for turn in range(turns):
            if turn:
                await sleep(block.pause)
            stream = block.stream == "always" or (block.stream == "half" and (before + turn) % 2 == 1)
            question = self._question(who, block, stream=stream)
            if block.via == "plain":
                await self._plain(question)
            else:
                await self._by_sdk(question)

    async def probe(self, model: str) -> None:
        """One plain call for a model, by a caller of its own, again until it is served or time is up."""
        kind = self._config["models"][model].get("kind", "chat")
        protocol: ChatProtocol = "openai_embeddings" if kind == "embeddings" else "openai_chat"
        block = ChatTraffic(send="chat", account=PROBE, model=model, protocol=protocol)
        question = self._question(f"probe {model}", block, stream=False)
        question = replace(question, order=replace(question.order, op="probe"))
        for _ in range(_PROBE_TRIES):
            ended, listening = await self._attempt(question)
            if ended.outcome == "ok":
                break
            await sleep(min(max(_PROBE_WAIT_US, ended.retry_after_us), _PROBE_WAIT_MAX_US))
        self._heard(question, ended, listening)

    # A plain client.

    async def _plain(self, question: Question) -> None:
        ended, listening = await self._attempt(question)
        retry = question.block.retry
        wait_us = retry.wait if retry else 0
        for _ in range(retry.attempts - 1 if retry else 0):
            if retry is None or not wants_retry(retry, ended):
                break
            await sleep(max(wait_us, ended.retry_after_us))
            wait_us = min(2 * wait_us, retry.wait_max)
            ended, listening = await self._attempt(question)
        self._heard(question, ended, listening)

    async def _attempt(self, question: Question) -> tuple[Ended, Listening]:
        listening = Listening(question, self._loop)
        if question.stream:
            ended = await self._client.listen(question.call, question.order, listening)
        else:
            ended = await self._client.send(question.call, question.order)
            if ended.status is not None:
                listening.head(ended.status, ended.headers)
                listening.hear(ended.body)
        if ended.left or ended.lost:
            listening.silence()
        else:
            listening.end()
        return ended, listening

    def _heard(self, question: Question, ended: Ended, listening: Listening) -> None:
        ear = listening.ear
        if ended.left:
            outcome, error = "left", None
        elif ear.said.told is not None:
            outcome, error = ear.outcome
        elif ended.broken is not None:
            outcome, error = "lost", ended.broken
        else:
            outcome, error = ear.outcome
        said, block = ear.said, question.block
        self._journal.record(
            Heard(
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
                status=ear.status,
                text=said.text,
                finish=said.finish,
                usage=shown(said.usage),
                tokens=said.tokens,
                first_us=said.first_us,
                complete=ear.complete,
                calls=said.tool_calls,
                named=said.named,
                call_id=listening.call_id,
                longest_us=listening.longest_us,
            )
        )

    # A vendor's SDK.

    async def _by_sdk(self, question: Question) -> None:
        if self._sdks is None:
            from scenarios.clients.sdks import Sdks  # takes its time, and an extra: only where it is wanted

            self._sdks = Sdks(client=self._client, wire=self._wire, loop=self._loop)
        self._journal.record(await self._sdks.ask(question))

    # Wording.

    def _same(self, block: ChatTraffic) -> str:
        """The nonce of all calls for a model that ask the very same; further questions are numbered."""
        questions = self._asked.setdefault(block.model, [])
        asked = (block.words, block.tools, block.image)
        if asked not in questions:
            questions.append(asked)
        number = questions.index(asked)
        return f"same-{block.model}" + (f"-{number + 1}" if number else "")

    def _question(self, who: str, block: ChatTraffic, *, stream: bool) -> Question:
        call = self._client.new_call()
        if block.same:
            call.nonce = self._same(block)
        fields = asks(block, call.nonce, stream=stream)
        more = {**dict(HEADERS.get(block.protocol, ())), **lower(block.headers)}
        order = Order(
            who=who,
            op="embed" if block.protocol == "openai_embeddings" else "chat",
            method="POST",
            path=path_of(block.protocol, block.model, stream=stream),
            account=block.thread or block.account,
            headers=self._headers(block, more),
            body=json.dumps(fields, separators=(",", ":")).encode(),
            timeout_us=block.timeout,
            leaves_after_us=block.leaves_after,
        )
        return Question(call, block, order, stream, fields)

    def _headers(self, block: ChatTraffic, more: Mapping[str, str]) -> Headers:
        """The caller's headers, with its key where the protocol has it."""
        usual = caller_headers(self._config, block.account, more, thread=block.thread, is_json=True)
        place = KEY_HEADERS.get(block.protocol)
        if place is None or "authorization" in more:
            return usual
        return tuple(
            (place, value.removeprefix("Bearer ")) if name == "authorization" else (name, value)
            for name, value in usual
        )
