"""A stream on its way: the same bytes out, however the bytes come in; bounded before, in and after it."""

import json
from pathlib import Path

import pytest

from fakes.time import run_virtual
from fakes.wire import DirectClient
from refgate.chat.relay import Relay
from refgate.dialects.canonical import Protocol
from refgate.dialects.registry import Spoken, provider_path, read_request, write_request
from refgate.dialects.spoken import Broke, Done, FaultKind
from tests.refgate.chat_kit import ChatWorld, ask, said

VENDORS = {"east": Protocol.OPENAI_CHAT, "rome": Protocol.ANTHROPIC, "tokyo": Protocol.GEMINI}
BASES = {"east": "/v1", "rome": "/v1", "tokyo": "/v1beta"}
MODELS = {"east": "gpt-4o-mini", "rome": "claude-haiku-4-5", "tokyo": "gemini-2.5-flash"}
SPOKEN = Spoken(id="c1", model="small", created_s=1, asked={}, include_usage=True)


def stream_of(vendor: str) -> bytes:
    """What a vendor streams: letters of several bytes included."""

    async def main() -> bytes:
        world = ChatWorld(Path())  # no gateway is started, and no store
        _, body = ask("openai_chat", stream=True, stream_options={"include_usage": True})
        target = VENDORS[vendor]
        request = read_request(Protocol.OPENAI_CHAT, json.loads(json.dumps(body)))
        out = write_request(request, Protocol.OPENAI_CHAT, target, MODELS[vendor], max_tokens_default=100)
        path = provider_path(target, MODELS[vendor], stream=True)
        key = f"canary-provider-{vendor}"
        headers = [("authorization", f"Bearer {key}"), ("x-api-key", key), ("x-goog-api-key", key)]
        headers.append(("anthropic-version", "2023-06-01"))
        url = f"http://{vendor}.test{BASES[vendor]}{path}"
        answer = await DirectClient(world.wire, "g").request("POST", url, headers=headers, body=out)
        assert answer.status == 200, answer
        return answer.body

    return run_virtual(main)


def relayed(target: Protocol, source: Protocol, chunks: list[bytes]) -> tuple[bytes, Relay]:
    relay = Relay(target, source, SPOKEN, secret="canary-provider", heard=None)
    out = b""
    for chunk in chunks:
        relay.feed(chunk)
        if relay.ended is not None:
            break
        if relay.spoke:
            out += relay.take()
    relay.end()
    return out + relay.take() + relay.closing(), relay


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("source", [Protocol.OPENAI_CHAT, Protocol.ANTHROPIC, Protocol.GEMINI])
def test_any_chunking_gives_the_same_bytes(vendor: str, source: Protocol) -> None:
    """Byte by byte, in odd pieces, or all at once: inside letters, lines and events."""
    whole, target = stream_of(vendor), VENDORS[vendor]
    once, relay = relayed(target, source, [whole])
    assert isinstance(relay.ended, Done)
    assert said(source.value, once) == said(target.value, whole) != ""
    for size in (1, 7, 50):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert relayed(target, source, pieces)[0] == once


def test_nothing_is_said_before_the_first_token() -> None:
    """The head of a stream, pings and comments included, waits for a word."""
    relay = Relay(Protocol.ANTHROPIC, Protocol.ANTHROPIC, SPOKEN, secret="k", heard=None)
    relay.feed(b': hello\n\nevent: ping\ndata: {"type": "ping"}\n\n')
    assert not relay.spoke and not relay.lively and relay.ended is None


def test_an_endless_beginning_is_no_stream() -> None:
    """Bytes without a word are held up to a ceiling only."""
    relay = Relay(Protocol.OPENAI_CHAT, Protocol.OPENAI_CHAT, SPOKEN, secret="k", heard=None)
    for _ in range(200):
        relay.feed(b": " + b"x" * 10_000 + b"\n\n")
    assert isinstance(relay.ended, Broke) and relay.ended.fault.kind is FaultKind.BROKEN


def test_an_endless_farewell_ends() -> None:
    """What follows an answer's own end is looked at up to a ceiling, and the answer stands."""
    relay = Relay(Protocol.OPENAI_CHAT, Protocol.OPENAI_CHAT, SPOKEN, secret="k", heard=None)
    choice = {"index": 0, "delta": {"content": "word"}, "finish_reason": "stop"}
    relay.feed(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\ndata: [DONE]\n\n")
    for _ in range(200):
        if relay.ended is None:
            relay.feed(b": " + b"x" * 10_000 + b"\n\n")
    assert isinstance(relay.ended, Done)


@pytest.mark.parametrize("source", [Protocol.ANTHROPIC, Protocol.GEMINI, Protocol.OPENAI_RESPONSES])
def test_a_stream_in_other_words_may_not_be_endless(source: Protocol) -> None:
    """What its writer has to keep until the end, as all that follows a tool call, is kept up to a ceiling."""
    relay = Relay(Protocol.OPENAI_CHAT, source, SPOKEN, secret="k", heard=None)
    call = {"index": 0, "id": "c", "function": {"name": "look", "arguments": "{}"}}
    first, then = (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
        for delta in ({"tool_calls": [call]}, {"content": "word " * 1000})
    )
    relay.feed(first)
    for _ in range(2000):
        relay.feed(then)
        relay.take()
    assert isinstance(relay.ended, Broke) and relay.ended.fault.kind is FaultKind.BROKEN


def test_a_whole_answer_to_the_wish_for_a_stream_is_told_as_one() -> None:
    """From a backend that does not stream."""
    body = json.dumps(
        {
            "id": "c",
            "model": "m",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
    ).encode()
    out, relay = relayed(Protocol.OPENAI_CHAT, Protocol.OPENAI_CHAT, [body[:9], body[9:]])
    assert isinstance(relay.ended, Done)
    assert said("openai_chat", out) == "hi" and out.endswith(b"data: [DONE]\n\n")
