"""Acts on chats: what becomes of a completion, how its stream goes, what its usage claims.

Beside the acts on any answer (`fakes.acts.answers`) these are what a provider of language models can do
to a caller. None of them changes the bill unless it says so: the truth stands in the journal.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from fakes.acts.answers import RateLimited
from fakes.acts.play import OPS_CHAT, Category, Play
from fakes.durations import DurationUs

__all__ = [
    "AnswerLeak",
    "Billed",
    "BrokenToolCall",
    "ChatRateLimited",
    "ChatTakes",
    "ChatUsage",
    "ChatUsageShown",
    "Completes",
    "ContentFilter",
    "CutStream",
    "Duplicated",
    "ErrorIn200",
    "ErrorKind",
    "Finish",
    "Framing",
    "FramingKind",
    "InStream",
    "LimitWhy",
    "MalformedChunk",
    "NoFinish",
    "OddAnswer",
    "Stall",
    "StreamEnder",
    "StreamError",
    "Truncated",
    "WaitForm",
]

Billed = Literal["emitted", "all", "nothing"]
ChatUsageShown = Literal[
    "exact",
    "missing",
    "null",
    "zero",
    "negative",
    "huge",
    "strings",
    "floats",
    "wrong_total",
    "cached_above_prompt",
    "late",
    "early",
    "with_finish",
    "every_event",
    "twice",
]
ErrorKind = Literal["overloaded", "server", "rate", "unavailable", "timeout", "content_filter", "too_long"]
Finish = Literal["stop", "length", "tool_calls", "refusal", "content_filter"]
FramingKind = Literal[
    "crlf",
    "comments",
    "pings",
    "split",
    "no_space",
    "no_blank_line",
    "no_event_line",
    "wrong_content_type",
    "no_done",
    "extra_done",
]
LimitWhy = Literal["rate", "tokens", "parallel", "money", "spend_limit"]
WaitForm = Literal["own", "seconds", "fraction", "date", "ms", "body", "none"]


# --- instead of the work ------------------------------------------------------------------------


class ChatRateLimited(RateLimited):
    """429. `own` is the vendor's own way to say how long (headers, or Gemini's `RetryInfo` in the body).

    `money` and `spend_limit` are the 429s that no waiting cures, and carry no wait of their own.
    """

    form: WaitForm = "own"  # type: ignore[assignment]  # more forms than a task provider has
    why: LimitWhy = "rate"  # type: ignore[assignment]  # more reasons too
    should_retry: bool | None = None


class ErrorIn200(Play):
    """HTTP 200 whose JSON body is the vendor's error object; a stream gets it in place of its events."""

    ops: ClassVar[frozenset[str]] = OPS_CHAT
    error: ErrorKind = "server"
    message: str | None = None


# --- what becomes of the completion ----------------------------------------------------------------


class _ChatPlay(Play):
    category: ClassVar[Category] = Category.TASK
    ops: ClassVar[frozenset[str]] = OPS_CHAT


class Completes(_ChatPlay):
    """The completion itself; what is left out is as the plan has it.

    `calls` is how many tool calls are made (of the tools offered, in turn); a `refusal` replaces the text.
    The token figures are exact: `prompt` is the whole input, of which the cached, written and audio
    tokens are parts.
    """

    text: str | None = None
    words: int | None = Field(default=None, ge=0, le=100_000)
    reasoning: int | None = Field(default=None, ge=0, le=100_000)
    calls: int | None = Field(default=None, ge=0, le=64)
    refusal: str | None = None
    finish: Finish | None = None
    prompt: int | None = Field(default=None, ge=0)
    cache_read: int | None = Field(default=None, ge=0)
    cache_write_5m: int | None = Field(default=None, ge=0)
    cache_write_1h: int | None = Field(default=None, ge=0)
    input_audio: int | None = Field(default=None, ge=0)
    output_audio: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_voice(self) -> Completes:
        if self.refusal is not None and (self.text is not None or self.calls):
            raise ValueError("a refusal stands in place of text and tool calls")
        parts = (self.cache_read, self.cache_write_5m, self.cache_write_1h, self.input_audio)
        if self.prompt is not None and sum(part or 0 for part in parts) > self.prompt:
            raise ValueError("the cached, written and audio tokens are parts of prompt, and exceed it")
        return self


class ChatTakes(_ChatPlay):
    """How long this completion takes to begin, and between two of its tokens."""

    first: DurationUs | None = None
    between: DurationUs | None = None
    jitter: DurationUs = 0


class ContentFilter(_ChatPlay):
    """The vendor's own filter, on the prompt or in the middle of the output, as each vendor tells it."""

    side: Literal["input", "output"] = "output"


class OddAnswer(_ChatPlay):
    """An answer whose frame is wrong: no choices, null for content, another model's name, another id.

    `empty_first` is a first chunk without choices before an honest stream, as Azure sends it.
    """

    shows: Literal["empty_choices", "empty_first", "null_content", "wrong_model", "wrong_id"]


class BrokenToolCall(_ChatPlay):
    """The tool calls of this answer are broken: arguments that are no JSON, or a tool nobody offered."""

    shows: Literal["not_json", "not_offered", "empty"] = "not_json"


class AnswerLeak(_ChatPlay):
    """The answer carries the nonce of the request before it: one caller sees another's words."""


class NoFinish(_ChatPlay):
    """The reason why the answer ended is missing (in a stream: its event), null, or an unknown word."""

    shows: Literal["missing", "null", "unknown"] = "missing"


class ChatUsage(_ChatPlay):
    """What the usage claims, whatever the truth; the kinds that name a place bend streams only.

    `late` is after the last event, `early` before the finish, `with_finish` on the finish event itself,
    `every_event` cumulative on each, `twice` the last one sent again.
    """

    shown: ChatUsageShown


# --- how the stream goes ---------------------------------------------------------------------------


class InStream(_ChatPlay):
    """Base of the acts at one place in a stream: after so many events, or after so many with words."""

    after_events: int | None = Field(default=None, ge=0)
    after_words: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_place(self) -> InStream:
        if (self.after_events is None) == (self.after_words is None):
            raise ValueError("say where in the stream: either after_events: 3 or after_words: 2")
        return self


class StreamEnder(InStream):
    """Base of those after which nothing honest follows. `billed`: what the vendor charges for."""

    billed: Billed = "emitted"


class StreamError(StreamEnder):
    """An error event after HTTP 200, then the end: as documented, as really seen, or in stranger shapes.

    `real` is the shape seen from the vendor where it differs from its documentation, `text` an error that
    is a plain string, `event` an `event: error` whose data has no error key, `failed` the terminal event
    of Responses. A vendor without the shape sends the documented one.
    """

    error: ErrorKind = "server"
    message: str | None = None
    shape: Literal["documented", "real", "text", "event", "failed"] = "documented"
    then: Literal["end", "close", "reset"] = "end"


class Stall(InStream):
    """Nothing comes for a while, and then the rest; without `for`, nothing comes any more."""

    for_us: DurationUs | None = Field(default=None, alias="for")


class Truncated(StreamEnder):
    """The stream ends cleanly, as if it were whole: the rest never comes."""


class CutStream(StreamEnder):
    """The connection is cut; with `in_character`, inside the next letter of more than one byte."""

    needs_wire: ClassVar[bool] = True
    how: Literal["close", "reset"] = "reset"
    in_character: bool = False


class MalformedChunk(InStream):
    """The event at this place is broken JSON; the stream goes on."""


class Duplicated(InStream):
    """The event at this place is sent again, `times` more."""

    times: int = Field(default=1, ge=1, le=1_000)


class Framing(_ChatPlay):
    """Other, mostly lawful, ways to write the same stream; several may be named.

    `split` hands each event over in pieces of `bytes`, a millisecond apart. The ones no reader can survive
    whole are `no_blank_line`, `no_event_line` and `wrong_content_type`.
    """

    kinds: Annotated[tuple[FramingKind, ...], Field(strict=False, min_length=1)]
    bytes: int = Field(default=50, ge=1)
