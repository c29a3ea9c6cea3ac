"""How one vendor of models speaks: which request means what, and how answers and errors are worded.

A dialect is pure. It reads a request into an `Asked`; it words a `View` as one body or as the events of a
stream, and a refusal as a `Reply`. When an event is due, whether it arrives, and what it really cost are
none of its business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fakes.acts.chats import ChatUsageShown
from fakes.asgi import Reply, Request
from fakes.chat.asked import Asked
from fakes.chat.buckets import Level
from fakes.chat.completion import Completion
from fakes.chat.tokens import Tokens
from fakes.chat.usage import UsageForm, bent_usage, missing
from fakes.journal import Headers
from fakes.json_text import json_bytes

__all__ = [
    "ChatDialect",
    "Emitted",
    "Event",
    "Refusal",
    "View",
    "Words",
    "data_line",
    "data_lines",
    "named_event",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Words:
    """How a vendor words one refusal."""

    status: int
    type: str
    code: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is to be refused, with whatever an act puts in place of the usual words."""

    kind: str
    request_id: str
    status: int | None = None
    code: str | None = None
    message: str | None = None
    headers: Headers = ()
    wait_us: int | None = None  # told in the body, where the vendor does that


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A completion as an answer is to show it, true or bent. `pieces`: how many go into one event."""

    asked: Asked
    completion: Completion
    model: str
    id: str
    created_s: int
    usage: ChatUsageShown = "exact"
    odd: str | None = None
    no_finish: str | None = None
    pieces: int = 1
    obfuscation: bool = False
    vectors: Sequence[Sequence[float]] = ()

    @property
    def tokens(self) -> Tokens:
        return self.completion.tokens


@dataclass(slots=True)
class Event:
    """One event of a stream as it goes out, and what of the completion it brings.

    `lead` events come with the status line, before any token. `at_us` is when it is due, after the
    request was taken on.
    """

    data: bytes
    text: str = ""
    output_text: int = 0
    output_reasoning: int = 0
    lead: bool = False
    usage: str | None = None
    at_us: int = 0
    whole: bool = True  # False where the stream is cut inside it


@dataclass(slots=True)
class Emitted:
    """The tokens of the events so far: what a cumulative usage counts."""

    tokens: Tokens
    output_text: int = 0
    output_reasoning: int = 0

    def add(self, *, text: int = 0, reasoning: int = 0) -> None:
        self.output_text += text
        self.output_reasoning += reasoning

    @property
    def so_far(self) -> Tokens:
        given = self.tokens.by_class()
        return Tokens(
            **given
            | {
                "output_text": self.output_text,
                "output_reasoning": self.output_reasoning,
                "output_audio": 0,
            }
        )


class ChatDialect(ABC):
    """One protocol of one vendor. Subclasses fill the tables and word the answers."""

    name: ClassVar[str]
    words: ClassVar[Mapping[str, Words]]
    by_status: ClassVar[Mapping[int, str]] = {}
    usage_form: ClassVar[UsageForm]
    places: ClassVar[frozenset[str]] = frozenset()  # where in a stream its usage can be put
    empty_first: ClassVar[bool] = False  # whether a stream of it can begin with a chunk of no choices
    # The reasons a dialect has no words of its own for are told in those of a near one.
    near: ClassVar[Mapping[str, str]] = {
        "content_filter": "parameters",
        "copyright": "content_filter",
        "disabled": "permission",
        "model_not_found": "not_found",
        "money": "insufficient_balance",
        "no_key": "bad_key",
        "no_route": "not_found",
        "not_json": "parameters",
        "overloaded": "unavailable",
        "parallel": "rate",
        "real_person": "content_filter",
        "region": "permission",
        "sensitive_input": "content_filter",
        "sensitive_output": "content_filter",
        "spend_limit": "insufficient_balance",
        "task_not_found": "not_found",
        "timeout": "server",
        "tokens": "rate",
        "too_large": "parameters",
        "too_long": "parameters",
        "transient": "unavailable",
        "unavailable": "server",
    }

    @abstractmethod
    def read(self, request: Request) -> Asked | None:
        """What the request asks for; None where its path is not of this protocol."""

    @abstractmethod
    def unauthorised(self, request: Request, key: str) -> str | None:
        """The refusal a request without the right key meets, or None."""

    @abstractmethod
    def problem(self, words: Words, refusal: Refusal) -> Reply:
        """A refusal, wrapped."""

    @abstractmethod
    def whole(self, view: View) -> tuple[dict[str, Any], str | None]:
        """The answer in one piece, and the usage it shows."""

    @abstractmethod
    def usage(self, tokens: Tokens) -> dict[str, Any]:
        """The usage of so many tokens, in the vendor's own terms."""

    def answer_headers(
        self, request_id: str, levels: Mapping[str, Level], wall_us: int, took_us: int
    ) -> Headers:
        """What every answer carries: the id of the request, how the rate limits stand, how long it took."""
        return ()

    def wait_headers(self, wait_us: int) -> Headers:
        """The vendor's own way to say how long to wait, where it is in the headers."""
        return (("retry-after", str(seconds(wait_us))),)

    def ping(self) -> bytes:
        return b": ping\n\n"

    def events(self, view: View) -> Sequence[Event]:
        """The honest stream, but for what the view bends; empty where the protocol never streams."""
        return ()

    def error_event(self, words: Words, shape: str, number: int, view: View) -> bytes:
        """An error in the middle of a stream; `number` is its place among the events."""
        return b""

    def model_entry(self, name: str, created_s: int) -> dict[str, Any]:
        """One model in a listing, where the protocol has one."""
        return {}

    def models(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The listing of these entries."""
        return {}

    def counted(self, tokens: int) -> dict[str, Any]:
        """The answer to a request to count tokens, where the protocol has one."""
        return {}

    def stream_type(self, asked: Asked) -> str:
        return "text/event-stream; charset=utf-8"

    def blocks_by_refusal(self) -> bool:
        """Whether a filtered prompt is an HTTP error here, and not an answer that is billed."""
        return False

    def words_for(self, kind: str, status: int | None = None) -> Words:
        if kind == "server" and status is not None:
            kind = self.by_status.get(status, kind)
        while kind not in self.words:
            kind = self.near.get(kind, "server")
        return self.words[kind]

    def refuse(self, refusal: Refusal) -> Reply:
        """A refusal of this kind in the vendor's words, with what is given put in their place."""
        usual = self.words_for(refusal.kind, refusal.status)
        words = Words(
            refusal.status or usual.status,
            usual.type,
            refusal.code or usual.code,
            refusal.message or usual.message,
        )
        return self.problem(words, refusal)

    def usage_field(self, view: View, tokens: Tokens, key: str = "usage") -> dict[str, Any]:
        """The usage under its key, as the view shows it; empty where there is none."""
        if missing(view.usage):
            return {}
        return {key: bent_usage(self.usage(tokens), view.usage, self.usage_form)}


def data_line(document: object) -> bytes:
    return b"data: " + json_bytes(document, ascii=False) + b"\n\n"


def data_lines(begin: dict[str, Any]) -> Callable[[dict[str, Any]], bytes]:
    """`data_line` for documents that all begin with the same fields: it is given the others."""
    head = b"data: " + json_bytes(begin, ascii=False)[:-1] + b","
    return lambda others: head + json_bytes(others, ascii=False)[1:] + b"\n\n"


def named_event(name: str, document: object) -> bytes:
    return b"event: " + name.encode() + b"\n" + data_line(document)


def seconds(us: int) -> int:
    """Whole seconds, rounded up: never too early."""
    return -(-us // 1_000_000)
