"""Where completions are made: composed, timed, bent by the acts, told, and billed when they end.

The studio keeps count of what is in progress and writes down what was taken on and how it ended. Who is
let in, it leaves to the provider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import blake2b

from fakes.acts.chats import (
    AnswerLeak,
    Billed,
    BrokenToolCall,
    ChatTakes,
    ChatUsage,
    Completes,
    ContentFilter,
    Framing,
    NoFinish,
    OddAnswer,
    StreamError,
)
from fakes.asgi import Reply, Request, Sent
from fakes.chance import chance
from fakes.chat.asked import Asked
from fakes.chat.bending import Stream, bend, reframed
from fakes.chat.chosen import Chosen
from fakes.chat.completion import Completion, Speaker, composed
from fakes.chat.dialect import ChatDialect, View
from fakes.chat.performance import Told, Whole, tell_stream, tell_whole
from fakes.chat.plan import ChatPlan, ModelPlan
from fakes.chat.timing import Pace, paced, timed
from fakes.chat.tokens import Tokens
from fakes.chat.usage import PLACES
from fakes.chat.work import Work
from fakes.front import Audience, Outcome
from fakes.journal import Headers, Journal
from fakes.json_text import json_bytes

__all__ = ["Studio"]

_WORDLESS = ("empty_choices", "null_content")
"""The odd answers that leave the words out."""


class Studio:
    """The completions of one provider."""

    def __init__(
        self,
        name: str,
        plan: ChatPlan,
        *,
        journal: Journal,
        clock: Callable[[], int],
        seed: int,
        epoch_us: int,
    ) -> None:
        self._name = name
        self._plan = plan
        self._journal = journal
        self._clock = clock
        self._seed = seed
        self._epoch_us = epoch_us
        self._undecided: dict[int, Work] = {}
        self._last_nonce: str | None = None
        self.running = 0

    # --- what is said ---

    def compose(self, request: Request, asked: Asked, chosen: Chosen) -> Completion:
        """The completion of this request, as acts and plan have it; an embedding says nothing."""
        leak = chosen.play(AnswerLeak)
        leaks = leak is not None and self._last_nonce is not None
        chosen.took_effect(leak, leaks)
        speaker = Speaker(self._name, request.seq, self._seed, self._last_nonce if leaks else asked.nonce)
        self._last_nonce = asked.nonce or self._last_nonce
        if asked.op == "embed":
            return Completion(((),), "stop", Tokens(input_uncached=asked.prompt.tokens))
        completes, filtered, broken = (
            chosen.play(Completes),
            chosen.play(ContentFilter),
            chosen.play(BrokenToolCall),
        )
        completion = composed(
            asked, self._plan, speaker, completes=completes, filtered=filtered, broken=broken
        )
        chosen.took_effect(completes)
        chosen.took_effect(filtered)
        calls = any(part.kind == "call" for choice in completion.choices for part in choice)
        chosen.took_effect(broken, calls)
        return completion

    def begin(
        self,
        request: Request,
        dialect: ChatDialect,
        asked: Asked,
        model: ModelPlan,
        completion: Completion,
        chosen: Chosen,
        headers: Callable[[int], Headers],
    ) -> Outcome:
        """Takes the request on: from here the work runs, and is billed by what it generates."""
        takes = chosen.play(ChatTakes)
        chosen.took_effect(takes)
        draw = chance(self._seed, self._name, request.seq, "first")
        pace = paced(self._plan, takes, running=self.running, draw=draw)
        view = self._view(request, dialect, asked, model, completion, chosen)
        if asked.stream:
            outcome, work = self._streamed(
                request, dialect, view, model, pace, chosen, headers(pace.headers_us)
            )
        else:
            outcome, work = self._in_one_piece(request, dialect, view, model, pace, headers)
        self._journal.record(work.accepted(self._clock(), self._name, dialect.name, self.running))
        self.running += 1
        self._undecided[work.seq] = work
        return outcome

    def answered(self, seq: int, outcome: Outcome) -> Outcome:
        """The outcome as it is to be performed: work whose answer an act lost takes its time all the same."""
        work = self._undecided.pop(seq, None)
        if work is None or outcome.perform is not None:
            return outcome
        whole = Whole(work.takes_us, 0, "", None, honest=False)
        work = replace(work, billed="all", runs_on=True)
        return replace(outcome, perform=partial(self._tell_whole, work, whole))

    # --- how it is told ---

    def _view(
        self,
        request: Request,
        dialect: ChatDialect,
        asked: Asked,
        model: ModelPlan,
        completion: Completion,
        chosen: Chosen,
    ) -> View:
        usage, odd, finish = chosen.play(ChatUsage), chosen.play(OddAnswer), chosen.play(NoFinish)
        shown = usage.shown if usage is not None and self._can_show(usage, dialect, asked) else "exact"
        chosen.took_effect(usage, usage is not None and shown == usage.shown)
        wrong = odd.shows if odd is not None else None
        chosen.took_effect(odd, wrong != "empty_first" or (asked.stream and dialect.empty_first))
        chosen.took_effect(finish)
        digest = blake2b(f"{self._seed}/{self._name}/{request.seq}".encode(), digest_size=12).hexdigest()
        return View(
            asked=asked,
            completion=completion,
            model="another-model" if wrong == "wrong_model" else model.served_as or asked.model or "",
            id="0" if wrong == "wrong_id" else digest,
            created_s=(self._epoch_us + self._clock()) // 1_000_000,
            usage=shown,
            odd=wrong,
            no_finish=finish.shows if finish is not None else None,
            pieces=self._plan.words_per_event,
            obfuscation=self._plan.obfuscation,
            vectors=self._vectors(request, asked) if asked.op == "embed" else (),
        )

    def _can_show(self, usage: ChatUsage, dialect: ChatDialect, asked: Asked) -> bool:
        if usage.shown in PLACES:
            return asked.stream and usage.shown in dialect.places
        form = dialect.usage_form
        if usage.shown == "wrong_total":
            return form.total is not None
        return usage.shown != "cached_above_prompt" or form.cached is not None

    def _vectors(self, request: Request, asked: Asked) -> list[list[float]]:
        """Directions drawn for these inputs: the same request gives the same vectors."""
        of = blake2b(request.body, digest_size=8).hexdigest()
        size = asked.dimensions or self._plan.embedding_dimensions
        return [
            [2 * chance(self._seed, of, index, number) - 1 for number in range(size)]
            for index in range(asked.inputs)
        ]

    def _streamed(
        self,
        request: Request,
        dialect: ChatDialect,
        view: View,
        model: ModelPlan,
        pace: Pace,
        chosen: Chosen,
        headers: Headers,
    ) -> tuple[Outcome, Work]:
        stream = Stream(timed(dialect.events(view), pace))
        if view.odd in _WORDLESS:
            for event in stream.events:
                event.text = ""
        lasts_us = stream.events[-1].at_us

        def error(play: StreamError, place: int) -> bytes:
            words = dialect.words_for(play.error)
            words = replace(words, message=play.message or words.message)
            return dialect.error_event(words, play.shape, place, view)

        chosen.effective += bend(stream, chosen.in_stream(), error)
        content_type = dialect.stream_type(view.asked)
        framing = chosen.play(Framing)
        if framing is not None:
            reframed(stream, framing, dialect.ping())
            chosen.took_effect(framing)
            if "wrong_content_type" in framing.kinds:
                content_type = "application/json"
        body = b"".join(event.data for event in stream.events)
        work = self._work(request, view, model, stream.billed, lasts_us, self._plan.left_stream == "runs_on")
        reply = Reply(200, body, (("content-type", content_type), *headers), chunked=True)
        return Outcome(reply, perform=partial(self._tell_stream, work, stream, pace.headers_us)), work

    def _in_one_piece(
        self,
        request: Request,
        dialect: ChatDialect,
        view: View,
        model: ModelPlan,
        pace: Pace,
        headers: Callable[[int], Headers],
    ) -> tuple[Outcome, Work]:
        document, usage = dialect.whole(view)
        tokens = view.tokens
        takes_us = pace.token_us(tokens.output_text + tokens.output_reasoning)
        spoken = [part for choice in view.completion.choices for part in choice]
        said = () if view.odd in _WORDLESS else ("text", "refusal")
        text = "".join(part.text for part in spoken if part.kind in said)
        whole = Whole(takes_us, tokens.output_total, text, usage)
        work = self._work(request, view, model, None, takes_us, self._plan.left_whole == "runs_on")
        body = json_bytes(document, ascii=False)
        reply = Reply(200, body, (("content-type", "application/json"), *headers(takes_us)))
        return Outcome(reply, perform=partial(self._tell_whole, work, whole)), work

    async def _tell_stream(
        self, work: Work, stream: Stream, headers_us: int, outcome: Outcome, audience: Audience
    ) -> Sent:
        ended = partial(self._ended, work)
        return await tell_stream(
            outcome, audience, stream, headers_us=headers_us, runs_on=work.runs_on, ended=ended
        )

    async def _tell_whole(self, work: Work, whole: Whole, outcome: Outcome, audience: Audience) -> Sent:
        ended = partial(self._ended, work)
        return await tell_whole(outcome, audience, whole, runs_on=work.runs_on, ended=ended)

    # --- what is written down ---

    def _work(
        self,
        request: Request,
        view: View,
        model: ModelPlan,
        billed: Billed | None,
        takes_us: int,
        runs_on: bool,
    ) -> Work:
        asked = view.asked
        return Work(
            seq=request.seq,
            asked=asked,
            served=model.served_as or asked.model or "",
            model=model,
            tokens=view.tokens,
            billed=billed,
            takes_us=takes_us,
            runs_on=runs_on,
        )

    def _ended(self, work: Work, told: Told) -> None:
        self.running -= 1
        self._journal.record(work.ended(self._clock(), self._name, told))
