"""One chat request, whatever protocol it came in, as plain frozen values.

A reader of a protocol makes a `Request`; a writer turns it into another protocol's body. What neither can
say is refused with the name of the caller's field, before anything is sent: `Untranslatable` where another
provider could have taken it, `Malformed` where nobody could. Numbers stay as they were written (`int` or
`Decimal`), so that 0.7 goes out as 0.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

__all__ = [
    "Document",
    "Format",
    "Malformed",
    "Media",
    "Message",
    "Number",
    "Part",
    "Protocol",
    "Refusal",
    "Request",
    "Text",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "Untranslatable",
]

Number = int | Decimal
"""A number of a request, exactly as the caller wrote it."""

Document = Any
"""A JSON value with exact numbers, such as a tool's schema."""


class Protocol(StrEnum):
    """A wire protocol. Callers and providers speak any."""

    OPENAI_CHAT = "openai_chat"
    OPENAI_RESPONSES = "openai_responses"
    OPENAI_EMBEDDINGS = "openai_embeddings"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"


class Malformed(Exception):
    """The caller's request breaks its own protocol at `field`. `why` is safe to show."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class Untranslatable(Exception):
    """The request is sound, but `field` cannot be said in the provider's protocol."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a document or a sound: either `data` (base64 text) with its type, or a `url`."""

    kind: Literal["image", "document", "audio"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    detail: str | None = None  # how closely an image is to be looked at
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a model thought aloud. `signature` lets its own provider trust it when it comes back."""

    text: str
    signature: str | None = None
    redacted: str | None = None  # thought that only the provider can read; `text` is empty then


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model's own words for why it will not answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for. `arguments` is JSON text, as the model wrote it.

    `signature` is a provider's private mark on the call; it travels in the caller's id (`call_ids`).
    """

    id: str
    name: str
    arguments: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    parts: tuple[Text | Media, ...]
    is_error: bool = False


Part = Text | Media | Thinking | Refusal | ToolCall | ToolResult
"""One piece of a message; also of an answer (save media and tool results)."""


@dataclass(frozen=True, slots=True)
class Message:
    """`where` names the caller's field, for refusals; it is no part of what is said."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]
    where: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; `schema` is JSON Schema of its arguments."""

    name: str
    description: str | None
    schema: Document
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """The shape the answer must have: any JSON object, or one that fits `schema`."""

    kind: Literal["json_object", "json_schema"]
    schema: Document = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One chat call. A field that the caller did not send has its default; `carriage` says, for each
    field and provider protocol, whether it is carried or refused.
    """

    model: str
    messages: tuple[Message, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: Number | None = None
    presence_penalty: Number | None = None
    format: Format | None = None
    effort: str | None = None  # how hard to reason: none minimal low medium high xhigh max
    thinking_tokens: int | None = None  # a budget for thinking aloud
    thinking_adaptive: bool | None = None  # think aloud, as much as the model finds good
    verbosity: str | None = None
    user: str | None = None  # the end user's id, for the provider's abuse checks
    stream: bool = False
    include_usage: bool = False  # a chat caller's wish to see usage at the end of a stream
    sent: tuple[str, ...] = ()  # names of the caller's top-level fields, for refusals in its own words
