"""A provider of language models: dialects, a script of acts, and the truth in the journal.

Any number of protocols on one host, over the same scripted completions and with one bill per request. A
request is taken on or refused at one instant; its answer then takes its time, and the bill is written
when it ends, by what was really generated.

The nonce of a request is `metadata.nonce` (OpenAI), `metadata.user_id: nonce:…` (Anthropic), a `nonce`
beside the other fields, or else `nonce:abc123` in the text of its last user message; the answer's words
begin with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from fakes.acts.chats import ContentFilter
from fakes.acts.play import Category
from fakes.acts.player import Occasion
from fakes.acts.script import NO_ACTS, Script
from fakes.acts.stagehand import Stagehand
from fakes.asgi import App, Request, json_reply
from fakes.chat.asked import Asked
from fakes.chat.buckets import Meter
from fakes.chat.chosen import Chosen
from fakes.chat.completion import Completion
from fakes.chat.dialect import ChatDialect
from fakes.chat.dialects import dialects_named
from fakes.chat.plan import ChatPlan, ModelPlan
from fakes.chat.refusing import ChatShape, instead_of_chat
from fakes.chat.studio import Studio
from fakes.durations import EPOCH_US
from fakes.front import Front, Outcome, Seen, Wait
from fakes.journal import ChatRefused, Headers, Journal

__all__ = ["ChatProvider"]

_USUAL = ChatPlan()


@dataclass(frozen=True, slots=True)
class _Heard:
    """One request as it was understood. Without `asked` it is of no protocol spoken here."""

    dialect: ChatDialect
    asked: Asked | None


class ChatProvider:
    """A provider on one host: serve `app`, read the journal. `key` is what requests must carry."""

    def __init__(
        self,
        name: str,
        *,
        dialects: str | Iterable[str],
        journal: Journal,
        clock: Callable[[], int],
        script: Script = NO_ACTS,
        seed: int = 0,
        plan: ChatPlan = _USUAL,
        key: str | None = None,
        epoch_us: int = EPOCH_US,
    ) -> None:
        self.name = name
        self.dialects = dialects_named(dialects)
        self.key = f"canary-provider-{name}" if key is None else key
        self._plan = plan
        self._journal = journal
        self._clock = clock
        self._epoch_us = epoch_us
        self._stagehand = Stagehand(name, script, journal=journal, seed=seed, clock=clock, epoch_us=epoch_us)
        self._studio = Studio(name, plan, journal=journal, clock=clock, seed=seed, epoch_us=epoch_us)
        self._meter = Meter(plan.limits, clock=clock, seed=seed, owner=name)
        self._meters = {
            entry: Meter(model.limits, clock=clock, seed=seed, owner=f"{name}/{entry}")
            for entry, model in plan.models.items()
            if model.limits is not None
        }
        self._heard: dict[int, _Heard] = {}  # between the arrival of a request and its decision
        self.app: App = Front(name, self, journal=journal, clock=clock)

    @property
    def running(self) -> int:
        """How many completions are in progress."""
        return self._studio.running

    def calm(self) -> None:
        """From now on the provider behaves: its script is over."""
        self._stagehand.player.end()

    # --- what the front asks ---

    def see(self, request: Request) -> Seen:
        heard = self._heard[request.seq] = self._hear(request)
        asked = heard.asked or Asked(op="other")
        identity = asked.nonce or f"{request.method} {request.path}"
        return Seen(
            op=asked.op,
            nonce=asked.nonce,
            key=request.header("idempotency-key"),
            model=asked.model,
            stream=asked.stream,
            identity=identity,
            attempt=self._stagehand.player.attempt(identity, asked.op),
        )

    def wait(self, request: Request, seen: Seen) -> Wait:
        return self._stagehand.wait(request, self._occasion(request, seen))

    def decide(self, request: Request, seen: Seen, *, can_break: bool) -> Outcome:
        heard = self._heard.pop(request.seq)
        shape = ChatShape(heard.dialect, self._request_id(request), partial(self._always, request, heard))
        kind = heard.dialect.unauthorised(request, self.key)
        if kind is not None:
            return self._refused(request, heard, kind, shape)
        occasion = self._occasion(request, seen)
        outcome = self._stagehand.outcome(
            request,
            occasion,
            shape,
            can_break=can_break,
            work=lambda: self._work(request, heard, occasion, shape, can_break),
            undone=lambda playing: self._note_refusal(
                request, heard, getattr(playing.play, "reason", None) or playing.name
            ),
            instead=instead_of_chat(shape),
        )
        return self._studio.answered(request.seq, outcome)

    # --- the work ---

    def _work(
        self,
        request: Request,
        heard: _Heard,
        occasion: Occasion,
        shape: ChatShape,
        can_break: bool,
    ) -> Outcome:
        asked = heard.asked
        if asked is None or request.body_too_large or asked.refused is not None:
            kind = "no_route" if asked is None else "too_large" if request.body_too_large else asked.refused
            return self._refused(request, heard, kind or "parameters", shape, asked.about if asked else None)
        found = self._plan.model(asked.model) if asked.model is not None else None
        if asked.op == "models" and asked.model is None:
            names = (name for name in self._plan.models if not set("*?[") & set(name))
            entries = [heard.dialect.model_entry(name, self._created_s) for name in names]
            return Outcome(json_reply(200, heard.dialect.models(entries), shape.always(0)))
        if asked.model is None or found is None:
            about = f"The model `{asked.model}` does not exist or you do not have access to it."
            return self._refused(request, heard, "model_not_found", shape, about)
        if asked.op == "models":
            entry = heard.dialect.model_entry(asked.model, self._created_s)
            return Outcome(json_reply(200, entry, shape.always(0)))
        if asked.op == "count":
            return Outcome(json_reply(200, heard.dialect.counted(asked.prompt.tokens), shape.always(0)))
        return self._complete(request, heard, asked, found, occasion, shape, can_break)

    def _complete(
        self,
        request: Request,
        heard: _Heard,
        asked: Asked,
        found: tuple[str, ModelPlan],
        occasion: Occasion,
        shape: ChatShape,
        can_break: bool,
    ) -> Outcome:
        dialect, (entry, model) = heard.dialect, found
        playing = self._stagehand.player.each_kind(Category.TASK, occasion)
        chosen = Chosen(playing, can_break)
        filtered = chosen.play(ContentFilter)
        if filtered is not None and filtered.side == "input" and dialect.blocks_by_refusal():
            self._stagehand.note(request, playing[ContentFilter])
            return self._refused(request, heard, "content_filter", shape)
        completion = self._studio.compose(request, asked, chosen)
        refused = self._no_room(completion, entry, model, shape)
        if refused is not None:
            kind, outcome = refused
            self._note_refusal(request, heard, kind)
            return outcome
        outcome = self._studio.begin(request, dialect, asked, model, completion, chosen, shape.always)
        for one in chosen:
            self._stagehand.note(request, one, applied=one.play in chosen.effective)
        return outcome

    def _no_room(
        self, completion: Completion, entry: str, model: ModelPlan, shape: ChatShape
    ) -> tuple[str, Outcome] | None:
        """The refusal of a prompt that is too long, or of a request beyond a rate limit."""
        tokens = completion.tokens
        if tokens.input_total > model.context:
            about = (
                f"prompt is too long: {tokens.input_total} tokens > {model.context} maximum"
                " (this model's maximum context length)"
            )
            return "too_long", Outcome(shape.refusal("too_long", message=about))
        meter = self._meters.get(entry, self._meter)
        short = meter.take(input_tokens=tokens.input_total, output_tokens=tokens.output_total)
        if short is None:
            return None
        kind = "rate" if short.bucket == "requests" else "tokens"
        return kind, Outcome(shape.limited(kind, short.wait_us))

    # --- small parts ---

    def _hear(self, request: Request) -> _Heard:
        for dialect in self.dialects:
            if (asked := dialect.read(request)) is not None:
                return _Heard(dialect, asked)
        return _Heard(self.dialects[0], None)

    def _occasion(self, request: Request, seen: Seen) -> Occasion:
        return self._stagehand.occasion(request, seen, tasks_running=self._studio.running)

    def _always(self, request: Request, heard: _Heard, took_us: int) -> Headers:
        found = self._plan.model(heard.asked.model) if heard.asked and heard.asked.model else None
        meter = self._meters.get(found[0], self._meter) if found else self._meter
        wall_us = self._epoch_us + self._clock()
        return heard.dialect.answer_headers(self._request_id(request), meter.levels(), wall_us, took_us)

    def _request_id(self, request: Request) -> str:
        return f"req_{self.name}-{request.seq:08d}"

    @property
    def _created_s(self) -> int:
        """When models were made: before anything happened here."""
        return self._epoch_us // 1_000_000

    def _refused(
        self, request: Request, heard: _Heard, kind: str, shape: ChatShape, message: str | None = None
    ) -> Outcome:
        self._note_refusal(request, heard, kind)
        return Outcome(shape.refusal(kind, message=message))

    def _note_refusal(self, request: Request, heard: _Heard, reason: str) -> None:
        asked = heard.asked
        if asked is None or asked.op not in ("chat", "embed"):
            return
        self._journal.record(
            ChatRefused(
                t_us=self._clock(),
                at=self.name,
                seq=request.seq,
                nonce=asked.nonce,
                model=asked.model,
                dialect=heard.dialect.name,
                reason=reason,
            )
        )
