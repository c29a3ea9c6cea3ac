"""Who speaks what: the one place that knows every protocol's readers and writers.

A flow asks here, with the caller's protocol and the provider's. Like protocols pass bytes (`passing`), and
use the readers to watch them; unlike ones go by way of the canonical request and answer.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from typing import Protocol as Structural

from refgate.dialects import embeddings
from refgate.dialects.anthropic import answer as anthropic_answer
from refgate.dialects.anthropic import outgoing as anthropic_outgoing
from refgate.dialects.anthropic import reading as anthropic_reading
from refgate.dialects.anthropic import request as anthropic_request
from refgate.dialects.anthropic import writing as anthropic_writing
from refgate.dialects.canonical import Protocol, Request, Untranslatable
from refgate.dialects.carriage import named, refuse_gaps
from refgate.dialects.faults import broken, failed
from refgate.dialects.gemini import answer as gemini_answer
from refgate.dialects.gemini import outgoing as gemini_outgoing
from refgate.dialects.gemini import reading as gemini_reading
from refgate.dialects.gemini import request as gemini_request
from refgate.dialects.gemini import writing as gemini_writing
from refgate.dialects.json_text import dumps, loads
from refgate.dialects.openai_chat import answer as chat_answer
from refgate.dialects.openai_chat import outgoing as chat_outgoing
from refgate.dialects.openai_chat import reading as chat_reading
from refgate.dialects.openai_chat import request as chat_request
from refgate.dialects.openai_chat import writing as chat_writing
from refgate.dialects.responses import answer as responses_answer
from refgate.dialects.responses import reading as responses_reading
from refgate.dialects.responses import request as responses_request
from refgate.dialects.responses import writing as responses_writing
from refgate.dialects.spoken import Answer, Broke, Event, Fault, Unmetered
from refgate.dialects.watch import Watch

__all__ = [
    "Spoken",
    "StreamWriter",
    "provider_path",
    "read_answer",
    "read_request",
    "stream_reader",
    "stream_writer",
    "write_answer",
    "write_request",
]


class StreamWriter(Structural):
    """Tells one stream to a caller; `Done` and `Broke` end it."""

    def write(self, event: Event) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an answer to a caller is made with, besides what the provider said.

    `id` and the time are the gateway's; `model` is the name the caller asked for; `asked` its body.
    """

    id: str
    model: str
    created_s: int
    asked: Mapping[str, Any]
    include_usage: bool = False


def read_request(
    protocol: Protocol, body: dict[str, Any], *, model: str = "", stream: bool = False
) -> Request:
    """A chat caller's body. Raises Malformed, or Untranslatable for what no other protocol can say.

    `model` and `stream` are what a Gemini caller's path says (`gemini.calling`); other bodies say so inside.
    """
    match protocol:
        case Protocol.OPENAI_CHAT:
            request = chat_request.read_request(body)
        case Protocol.OPENAI_RESPONSES:
            request = responses_request.read_request(body)
        case Protocol.ANTHROPIC:
            request = anthropic_request.read_request(body)
        case Protocol.GEMINI:
            return gemini_request.read_request(body, model=model, stream=stream)
        case _:
            raise ValueError(f"no chat caller speaks {protocol}")
    return replace(request, sent=tuple(name for name, value in body.items() if value is not None))


def write_request(
    request: Request,
    source: Protocol,
    target: Protocol,
    model: str,
    *,
    max_tokens_default: int | None = None,
) -> bytes:
    """The body for a provider that speaks `target`. Raises Untranslatable, in the words of `source`."""
    refuse_gaps(request, source, target)
    try:
        match target:
            case Protocol.OPENAI_CHAT:
                body = chat_outgoing.write_request(request, model)
            case Protocol.ANTHROPIC:
                body = anthropic_outgoing.write_request(request, model, max_tokens_default=max_tokens_default)
            case Protocol.GEMINI:
                body = gemini_outgoing.write_request(request)
            case _:
                raise ValueError(f"nothing is translated to {target}")
    except Untranslatable as refused:  # the writers know the request's attributes, not the caller's fields
        raise Untranslatable(named(refused.field, request, source), refused.why) from refused
    return dumps(body).encode()


def provider_path(target: Protocol, model: str, *, stream: bool) -> str:
    """What follows the version segment of a provider's base URL."""
    match target:
        case Protocol.OPENAI_CHAT:
            return "/chat/completions"
        case Protocol.OPENAI_RESPONSES:
            return "/responses"
        case Protocol.OPENAI_EMBEDDINGS:
            return "/embeddings"
        case Protocol.ANTHROPIC:
            return "/messages"
        case Protocol.GEMINI:
            return gemini_outgoing.path(model, stream=stream)


def read_answer(target: Protocol, body: bytes, *, call_prefix: str) -> Answer | Broke:
    """A provider's 2xx body. What is not JSON (a proxy's page, half an answer) is no answer."""
    try:
        document = loads(body.removeprefix(BOM_UTF8).decode())
    except ValueError:
        return failed(broken("the answer is not JSON"), Unmetered())
    match target:
        case Protocol.OPENAI_CHAT:
            return chat_answer.read_answer(document)
        case Protocol.OPENAI_RESPONSES:
            return responses_answer.read_answer(document)
        case Protocol.OPENAI_EMBEDDINGS:
            return embeddings.read_answer(document)
        case Protocol.ANTHROPIC:
            return anthropic_answer.read_answer(document)
        case Protocol.GEMINI:
            return gemini_answer.read_answer(document, call_prefix=call_prefix)


def stream_reader(target: Protocol, *, call_prefix: str) -> Watch:
    """A fresh reader for one stream of a provider."""
    match target:
        case Protocol.OPENAI_CHAT:
            return chat_reading.StreamReader()
        case Protocol.OPENAI_RESPONSES:
            return responses_reading.StreamReader()
        case Protocol.ANTHROPIC:
            return anthropic_reading.StreamReader()
        case Protocol.GEMINI:
            return gemini_reading.StreamReader(call_prefix=call_prefix)
        case Protocol.OPENAI_EMBEDDINGS:
            raise ValueError("embeddings do not stream")


def write_answer(source: Protocol, answer: Answer, spoken: Spoken) -> bytes | Fault:
    """The caller's body. A Fault where the caller's protocol cannot show what the model said."""
    body: dict[str, Any] | Fault
    match source:
        case Protocol.OPENAI_CHAT:
            body = chat_answer.write_answer(
                answer, id=spoken.id, model=spoken.model, created_s=spoken.created_s
            )
        case Protocol.OPENAI_RESPONSES:
            body = responses_answer.write_answer(
                answer, id=spoken.id, model=spoken.model, created_s=spoken.created_s, asked=spoken.asked
            )
        case Protocol.ANTHROPIC:
            body = anthropic_answer.write_answer(answer, id=spoken.id, model=spoken.model)
        case Protocol.GEMINI:
            aloud = gemini_request.shows_thoughts(spoken.asked)
            body = gemini_writing.write_answer(answer, id=spoken.id, model=spoken.model, thoughts=aloud)
        case _:
            raise ValueError(f"no chat caller speaks {source}")
    return body if isinstance(body, Fault) else dumps(body).encode()


def stream_writer(source: Protocol, spoken: Spoken) -> StreamWriter:
    """A fresh writer for one stream to a caller."""
    match source:
        case Protocol.OPENAI_CHAT:
            return chat_writing.StreamWriter(
                id=spoken.id,
                model=spoken.model,
                created_s=spoken.created_s,
                include_usage=spoken.include_usage,
            )
        case Protocol.OPENAI_RESPONSES:
            return responses_writing.StreamWriter(
                id=spoken.id, model=spoken.model, created_s=spoken.created_s, asked=spoken.asked
            )
        case Protocol.ANTHROPIC:
            return anthropic_writing.StreamWriter(id=spoken.id, model=spoken.model)
        case Protocol.GEMINI:
            aloud = gemini_request.shows_thoughts(spoken.asked)
            return gemini_writing.StreamWriter(id=spoken.id, model=spoken.model, thoughts=aloud)
        case _:
            raise ValueError(f"no chat caller speaks {source}")
