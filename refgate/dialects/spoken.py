"""What a provider said: a whole answer, or a stream of events; its usage in disjoint token classes.

A stream's events end with exactly one `Done` or `Broke`. `stream assembled = whole answer` is a promise
(`assembly`). Whether a figure is to be believed is decided in `usage`; what it costs is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from refgate.dialects.canonical import Part

__all__ = [
    "Answer",
    "Began",
    "Broke",
    "CallBegan",
    "CallSaid",
    "Done",
    "Event",
    "Fault",
    "FaultKind",
    "Finish",
    "Metered",
    "OtherSaid",
    "RefusalSaid",
    "TextSaid",
    "ThoughtSaid",
    "ThoughtSigned",
    "Unmetered",
    "Usage",
]


class Finish(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. Every class but `reasoning` is disjoint from the others: their sum is all tokens.

    `reasoning` is the part of `output` that was thought. Cache writes without a known life span, or with
    a short one, are `cache_write_5m`; long ones (an hour and more) `cache_write_1h`. `flags` say what
    was odd about figures that are still usable.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    output: int = 0
    output_audio: int = 0
    reasoning: int = 0
    web_searches: int = 0
    flags: tuple[str, ...] = ()

    @property
    def prompt(self) -> int:
        """All tokens that went in."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.input_audio

    @property
    def completion(self) -> int:
        """All tokens that came out."""
        return self.output + self.output_audio


@dataclass(frozen=True, slots=True)
class Unmetered:
    """There are no figures to believe. `reason`: missing, or what was wrong with them."""

    reason: str = "missing"


Metered = Usage | Unmetered


class FaultKind(StrEnum):
    """What went wrong at a provider, or (from `TOO_LARGE` on) in the gateway's own name."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    CONTEXT_OVERFLOW = "context_overflow"
    CONTENT_FILTER = "content_filter"
    RATE_LIMITED = "rate_limited"
    NO_MONEY = "no_money"  # also where the provider dresses it as 429: waiting does not help
    OVERLOADED = "overloaded"
    SERVER = "server"
    TIMEOUT = "timeout"
    BROKEN = "broken"  # an answer that is none: not its schema, an error in a 200, garbage
    TRUNCATED = "truncated"  # the stream ended without its end
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"
    EXHAUSTED = "exhausted"  # every pool was tried
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure, classified. `message`, `type` and `code` are the provider's own, of any length: whoever
    shows them masks them first, and cuts them then. `status` is that of HTTP or, in a stream, the one that
    the error body stands for.
    """

    kind: FaultKind
    message: str
    status: int | None = None
    type: str | None = None
    code: str | None = None
    retry_after_us: int | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed elsewhere, or later. Ambiguity is not judged here."""
        return self.kind in _RETRYABLE

    @property
    def elsewhere(self) -> bool:
        """Whether it is about this backend's account: others may serve, and this one will not by waiting."""
        return self.kind in _ACCOUNT


_ACCOUNT = frozenset({FaultKind.UNAUTHORIZED, FaultKind.FORBIDDEN, FaultKind.NO_MONEY})
_RETRYABLE = frozenset(
    {
        FaultKind.RATE_LIMITED,
        FaultKind.OVERLOADED,
        FaultKind.SERVER,
        FaultKind.TIMEOUT,
        FaultKind.BROKEN,
        FaultKind.TRUNCATED,
        FaultKind.UNREACHABLE,
        FaultKind.CONFLICT,
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `others` are the texts of further choices, which only pass through.

    `notes` say what was missing or suspicious: finish_missing finish_unknown …
    """

    id: str
    model: str  # that served, in the provider's words: what prices the call
    parts: tuple[Part, ...]
    finish: Finish
    usage: Metered
    stop_sequence: str | None = None
    service_tier: str | None = None
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Began:
    """The first event of a sound stream; no token has been said yet."""

    id: str
    model: str


@dataclass(frozen=True, slots=True)
class TextSaid:
    text: str


@dataclass(frozen=True, slots=True)
class ThoughtSaid:
    text: str


@dataclass(frozen=True, slots=True)
class ThoughtSigned:
    """Ends the present thought; with `redacted`, a whole thought that only the provider can read."""

    signature: str | None
    redacted: str | None = None


@dataclass(frozen=True, slots=True)
class RefusalSaid:
    text: str


@dataclass(frozen=True, slots=True)
class CallBegan:
    """A tool call; `index` counts them from 0 in order of appearance."""

    index: int
    id: str
    name: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class CallSaid:
    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class OtherSaid:
    """A further choice spoke. Only where bytes pass through: nothing is translated with several."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The stream came to its proper end."""

    finish: Finish
    usage: Metered
    model: str
    stop_sequence: str | None = None
    service_tier: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Broke:
    """The stream failed. `usage` is what had been counted until then."""

    fault: Fault
    usage: Metered
    model: str = ""
    service_tier: str | None = None


Event = (
    Began
    | TextSaid
    | ThoughtSaid
    | ThoughtSigned
    | RefusalSaid
    | CallBegan
    | CallSaid
    | OtherSaid
    | Done
    | Broke
)
"""One thing a stream says."""
