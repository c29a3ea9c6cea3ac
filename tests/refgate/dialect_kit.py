"""What the tests of the dialects share: a reader fed with bytes, and answers to tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
from google import genai
from google.genai import types
from hypothesis import strategies as st

from refgate.dialects.assembly import assemble, merged
from refgate.dialects.canonical import Part, Protocol, Refusal, Text, Thinking, ToolCall
from refgate.dialects.registry import Spoken, stream_reader, stream_writer
from refgate.dialects.spoken import Answer, Broke, Event, Finish, Unmetered, Usage
from refgate.dialects.sse import SseParser

CALLERS = (Protocol.OPENAI_CHAT, Protocol.OPENAI_RESPONSES, Protocol.ANTHROPIC, Protocol.GEMINI)
PROVIDERS = (Protocol.OPENAI_CHAT, Protocol.ANTHROPIC, Protocol.GEMINI)

ALOUD = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
SPOKEN = Spoken("id1", "asked-model", 1_795_000_000, {"model": "asked-model", **ALOUD}, include_usage=True)


def google(handler: Callable[[httpx2.Request], httpx2.Response]) -> genai.Client:
    """The vendor's SDK, with its requests answered here."""
    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    return genai.Client(
        api_key="k", http_options=types.HttpOptions(base_url="http://h", httpx_client=http, timeout=5000)
    )


def sse(*events: Any, named: bool = False, done: bool = False) -> bytes:
    """A provider's stream, written by hand and not by the package under test."""
    text = ""
    for event in events:
        if named:
            text += f"event: {event['type']}\n"
        text += f"data: {json.dumps(event)}\n\n"
    return (text + ("data: [DONE]\n\n" if done else "")).encode()


def heard(protocol: Protocol, *chunks: bytes) -> list[Event]:
    """What a reader makes of a provider's bytes."""
    parser = SseParser()
    reader = stream_reader(protocol, call_prefix="c1")
    events: list[Event] = []
    for chunk in chunks:
        for frame in parser.feed(chunk):
            events += reader.feed(frame)
    for frame in parser.close():
        events += reader.feed(frame)
    return events + reader.end()


def told(protocol: Protocol, events: list[Event], spoken: Spoken = SPOKEN) -> bytes:
    """What a caller of that protocol gets."""
    writer = stream_writer(protocol, spoken)
    return b"".join(writer.write(event) for event in events)


def assembled(protocol: Protocol, *chunks: bytes) -> Answer | Broke:
    return assemble(heard(protocol, *chunks))


counts = st.integers(0, 10**6)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Figures that every protocol has words for."""
    output = draw(counts)
    return Usage(
        input=draw(counts),
        cache_read=draw(counts),
        output=output,
        reasoning=draw(st.integers(0, output)),
    )


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
objects = st.dictionaries(
    words, st.one_of(st.integers(-(2**60), 2**60), words, st.booleans(), st.none()), max_size=3
)


@st.composite
def answers(draw: st.DrawFn, *, thinking: bool = False) -> Answer:
    """Whole answers: text or a refusal, then calls; each as a provider could have given it."""
    parts: list[Part] = []
    if thinking and draw(st.booleans()):
        parts.append(Thinking(draw(words), draw(st.none() | names)))
    refused = draw(st.booleans())
    if draw(st.booleans()):
        parts.append(Refusal(draw(words)) if refused else Text(draw(words)))
    calls = draw(st.lists(st.tuples(names, objects), max_size=3))
    for number, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
        parts.append(ToolCall(f"call_{number}", name, text))
    finish = draw(st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.CONTENT_FILTER]))
    if finish is Finish.STOP and calls:
        finish = Finish.TOOL_CALLS
    elif finish is Finish.STOP and any(isinstance(part, Refusal) for part in parts):
        finish = Finish.REFUSAL
    usage = draw(usages() | st.just(Unmetered("missing")))
    return Answer("id1", "asked-model", merged(parts), finish, usage)
