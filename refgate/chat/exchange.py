"""One attempt: one request to one backend, its answer read whole or handed on as it comes.

Each phase of it has its own time: the head of the answer, the first token, the pause between tokens; the
call's deadline is over all of them, and a caller who leaves ends it by the declared policy. The head of a
stream goes to the caller with the first token: before, a failure is nobody's business but the plan's.

Nothing here decides where a call goes next, nor what anything costs, and nothing is written down. Whether a
failure is ambiguous is said here, since only here it is known how far things had come: it is where bytes
were sent and no verdict came back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

from refgate.chat.backends import Drains
from refgate.chat.cache import Heard
from refgate.chat.patience import Patience, Phase
from refgate.chat.relay import Relay
from refgate.chat.result import Aim, Result, cut, late
from refgate.chat.tokens import Tally
from refgate.chat.voice import Voice
from refgate.config.settings import Settings
from refgate.dialects.faults import broken, classify
from refgate.dialects.passing import pass_answer
from refgate.dialects.registry import read_answer, write_answer
from refgate.dialects.spoken import Broke, Done, Fault, FaultKind
from refgate.policy.answers import Failure
from refgate.requestlog.log import Tape
from refgate.scrub import scrub
from refgate.upstream import Failure as Fell
from refgate.upstream import Phases, Stream, Upstream

__all__ = ["Exchange"]

_ERROR_MAX = 64 * 1024
_MESSAGE_MAX = 2_000  # characters of what a backend says of a failure; of a word it has for it
_WORD_MAX = 100
_MODEL_MAX = 256  # of a model's name
_TAIL_US = 1_000_000  # for figures and farewells after an answer's own end
_NO_VERDICT = frozenset({408, 504, 524})
_DOUBTFUL = frozenset({FaultKind.BROKEN, FaultKind.TRUNCATED, FaultKind.TIMEOUT})


class Exchange:
    """Run once. Afterwards, `closing` is the end of a stream."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        drains: Drains,
        clock: Callable[[], int],
        voice: Voice,
        aim: Aim,
        *,
        left_us: int,
        heard: Heard | None = None,
        tape: Tape | None = None,
    ) -> None:
        self._settings = settings
        self._times = settings.chat.timeouts
        self._upstream = upstream
        self._drains = drains
        self._clock = clock
        self._voice = voice
        self._aim = aim
        self._heard = heard
        self._tape = tape
        self._secret = aim.backend.key.reveal()
        self._patience = Patience(whole_us=left_us)
        self._draining = False
        self.reply: Stream | None = None  # as far as one came
        self._relay: Relay | None = None
        self._first_token_us: int | None = None

    async def run(self) -> Result:
        """Never raises, save what ends this process or a defect."""
        self._voice.on_leave(self._caller_left)
        try:
            async with self._patience:
                result = await self._exchanged()
        except TimeoutError:
            result = self._ran_out()
        finally:
            self._voice.on_leave(None)
            if self._draining:
                self._drains.leave()
        return replace(result, model=self._masked(result.model, _MODEL_MAX))  # it is written down

    def closing(self, fault: Fault | None) -> bytes:
        """The last bytes of a stream: its own end, or this error in its place."""
        assert self._relay is not None
        return self._relay.closing(fault)

    # --- what ends it from outside ---

    def _caller_left(self) -> None:
        """Read on to the figures, if that is declared and there is room, for so long; else end it now."""
        chat = self._settings.chat
        if chat.client_leaves == "drain" and self._drains.enter():
            self._draining = True
            self._patience.leave(within_us=chat.drain.within_us)
        else:
            self._patience.leave(within_us=0)

    def _ran_out(self) -> Result:
        """Some time is over. Where the caller did not take what it was told, it is the caller who is gone."""
        called_off = self._voice.speaking or self._patience.over is Phase.LEFT
        if self._voice.speaking:
            self._voice.leave()
        return replace(self._so_far(), called_off=called_off)

    def _so_far(self) -> Result:
        reply, relay = self.reply, self._relay
        if relay is not None:
            relay.end(None if self._patience.over is Phase.TAIL else late())
            return self._streamed(relay)
        if reply is not None and not _is_fine(reply.status):
            return self._classified(reply, b"")
        return Result(None if reply is None else reply.status, self._failed(late(), ambiguous=True))

    # --- the exchange ---

    async def _exchanged(self) -> Result:
        self._patience.phase(Phase.HEADERS, self._times.headers_us)
        reply = await self._upstream.open(self._aim.out, phases=self._phases())
        if isinstance(reply, Fell):
            return Result(None, self._fell(reply))
        self.reply = reply
        try:
            if not _is_fine(reply.status):
                self._patience.phase(Phase.BETWEEN_TOKENS, self._times.between_tokens_us)
                body, _ = await self._read(reply, _ERROR_MAX)
                return self._classified(reply, body)
            return await (self._passed_on(reply) if self._aim.stream else self._whole(reply))
        finally:
            await reply.aclose()

    def _phases(self) -> Phases:
        """Only what happens inside the transport: the rest of the time is kept here, and only here, since a
        second timer moved at every piece would double what keeping it costs."""
        times = self._times
        return Phases(times.connect_us, None, None, times.connect_us, times.whole_us)

    def _classified(self, reply: Stream, body: bytes) -> Result:
        """A verdict, where it is the backend's own."""
        fault = classify(reply.status, reply.headers, body, now_us=self._clock())
        return Result(reply.status, self._failed(fault, ambiguous=reply.status in _NO_VERDICT))

    async def _whole(self, reply: Stream) -> Result:
        self._patience.phase(Phase.FIRST_TOKEN, self._times.first_token_us)
        body, complete = await self._read(reply, self._settings.limits.answer_body)
        if reply.failure is not None:
            return Result(reply.status, self._fell(reply.failure))
        if not complete:
            return Result(reply.status, self._failed(broken("the answer is too large"), ambiguous=True))
        aim = self._aim
        said = read_answer(aim.target, body, call_prefix=aim.spoken.id)
        if isinstance(said, Broke):
            return Result(reply.status, self._broke(said), said.usage, said.model)
        told: bytes | Fault
        if aim.target is aim.source:
            told = pass_answer(body, aim.spoken.model, protocol=aim.source)
        else:
            told = write_answer(aim.source, said, aim.spoken)
        tally = Tally()
        tally.take_whole(said)
        if isinstance(told, Fault):  # the work is done, and cannot be told
            return Result(
                reply.status, self._failed(told, ambiguous=True), said.usage, said.model, tally.tokens
            )
        shown = scrub(told, self._secret)
        return Result(reply.status, None, said.usage, said.model, tally.tokens, shown, said, self._clock())

    async def _passed_on(self, reply: Stream) -> Result:
        aim, patience = self._aim, self._patience
        patience.phase(Phase.FIRST_TOKEN, self._times.first_token_us)
        relay = self._relay = Relay(
            aim.target, aim.source, aim.spoken, secret=self._secret, heard=self._heard
        )
        tail = False
        async with aclosing(reply.chunks()) as chunks:
            async for chunk in chunks:
                if self._tape is not None:
                    self._tape.feed(chunk)
                relay.feed(chunk)
                if relay.ended is not None:
                    break
                if relay.spoke:
                    await self._say(relay.take())
                if relay.over:
                    if not tail:  # once: however slowly it drips, it may not last for longer
                        patience.phase(Phase.TAIL, _TAIL_US)
                    tail = True
                elif relay.spoke and relay.lively:
                    patience.phase(Phase.BETWEEN_TOKENS, self._times.between_tokens_us)
        relay.end(None if reply.failure is None else cut(reply.failure))
        if isinstance(relay.ended, Done) and relay.spoke:
            await self._say(relay.take())
        return self._streamed(relay)

    async def _read(self, reply: Stream, most: int) -> tuple[bytes, bool]:
        """At most so much of a body, and whether that is all of it."""
        parts: list[bytes] = []
        size = 0
        async with aclosing(reply.chunks()) as chunks:
            async for chunk in chunks:
                if self._tape is not None:
                    self._tape.feed(chunk)
                size += len(chunk)
                parts.append(chunk)
                if size > most:
                    return b"".join(parts)[:most], False
        return b"".join(parts), True

    async def _say(self, data: bytes) -> None:
        """To the caller, its head first. It may take as long to take it as the backend to say it."""
        voice = self._voice
        if self._first_token_us is None:
            self._first_token_us = self._clock()
            await voice.begin(self._aim.head)
        await voice.say(data)

    def _streamed(self, relay: Relay) -> Result:
        ended = relay.ended
        assert ended is not None and self.reply is not None
        failure = self._broke(ended) if isinstance(ended, Broke) else None
        answer = self._heard.answer() if self._heard is not None else None
        return Result(
            self.reply.status,
            failure,
            ended.usage,
            ended.model,
            relay.tally.tokens,
            answer=answer,
            first_token_us=self._first_token_us,
        )

    # --- failures ---

    def _broke(self, said: Broke) -> Failure:
        return self._failed(said.fault, ambiguous=said.fault.kind in _DOUBTFUL)

    def _fell(self, fell: Fell) -> Failure:
        return self._failed(cut(fell), ambiguous=fell.ambiguous)

    def _failed(self, fault: Fault, *, ambiguous: bool) -> Failure:
        """What a backend says goes further only without its key: some quote what they were sent."""
        shown = replace(
            fault,
            message=self._masked(fault.message, _MESSAGE_MAX),
            type=None if fault.type is None else self._masked(fault.type, _WORD_MAX),
            code=None if fault.code is None else self._masked(fault.code, _WORD_MAX),
        )
        return Failure(shown, ambiguous, heard=self._voice.begun, left=self._voice.left)

    def _masked(self, said: str, most: int) -> str:
        """Cut last, so that no half of the key is left that nobody would recognise."""
        return scrub(said.encode("utf-8", "replace"), self._secret).decode()[:most]


def _is_fine(status: int) -> bool:
    return 200 <= status < 300
