"""The vendors' own SDKs, unmodified, on the simulated network: they judge the wire, not we.

Their back-off, time-outs and streams run in virtual time; classes and request counts are what they
were measured to be against a real server.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from fakes.time import current_loop, run_virtual
from fakes.wire import (
    Blackhole,
    Fixed,
    Httpx2Transport,
    LinkFault,
    Receive,
    Refuse,
    ResetDuring,
    Scope,
    Send,
    Wire,
)

Client = openai.AsyncOpenAI | anthropic.AsyncAnthropic


@dataclass(frozen=True)
class Reply:
    """One scripted answer: a JSON body, or events `gap_s` apart."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    events: tuple[bytes, ...] = ()
    gap_s: float = 0.0
    end: str = "whole"


@dataclass
class Vendor:
    """Plays its replies in order, then the last one again; keeps when each request came."""

    replies: list[Reply]
    at_us: list[int] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.at_us.append(current_loop().now_us)
        self.attempts.append(dict(scope["headers"]).get(b"x-stainless-retry-count", b"").decode())
        reply = self.replies[min(len(self.at_us), len(self.replies)) - 1]
        kind = b"text/event-stream" if reply.events else b"application/json"
        headers = [(b"content-type", kind), *((k.encode(), v.encode()) for k, v in reply.headers)]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for event in reply.events:
            await asyncio.sleep(reply.gap_s)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        if reply.end != "whole":
            await send({"type": reply.end})
        await send(
            {"type": "http.response.body", "body": b"" if reply.events else json.dumps(reply.body).encode()}
        )


def error(status: int, *headers: tuple[str, str]) -> Reply:
    body = {"type": "error", "error": {"type": "some_error", "message": "no", "code": None, "param": None}}
    return Reply(status, headers, body)


def openai_chunks(count: int) -> tuple[bytes, ...]:
    def chunk(delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        whole = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
        return b"data: " + json.dumps(whole).encode() + b"\n\n"

    words = [chunk({"content": f"{n} "}, None) for n in range(count - 1)]
    return (*words, chunk({}, "stop"), b"data: [DONE]\n\n")


def anthropic_events(count: int) -> tuple[bytes, ...]:
    def event(kind: str, **rest: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()

    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    deltas = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"{n} "})
        for n in range(count)
    ]
    return (
        event("message_start", message={**message, "stop_reason": None, "stop_sequence": None}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *deltas,
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage),
        event("message_stop"),
    )


def the_openai_sdk(wire: Wire, **given: Any) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(transport=Httpx2Transport(wire, "client"))
    return openai.AsyncOpenAI(api_key="k", base_url="http://vendor.test/v1", http_client=http, **given)


def the_anthropic_sdk(wire: Wire, **given: Any) -> anthropic.AsyncAnthropic:
    http = httpx2.AsyncClient(transport=Httpx2Transport(wire, "client"))
    return anthropic.AsyncAnthropic(api_key="k", base_url="http://vendor.test", http_client=http, **given)


async def ask(client: Client, *, stream: bool = False) -> Any:
    """The smallest call of either SDK; a stream is read to its end and its words are returned."""
    messages: Any = [{"role": "user", "content": "hi"}]
    if isinstance(client, openai.AsyncOpenAI):
        if not stream:
            return await client.chat.completions.create(model="m", messages=messages)
        chunks = await client.chat.completions.create(model="m", messages=messages, stream=True)
        return [chunk.choices[0].delta.content async for chunk in chunks if chunk.choices[0].delta.content]
    if not stream:
        return await client.messages.create(model="m", max_tokens=9, messages=messages)
    events = await client.messages.create(model="m", max_tokens=9, messages=messages, stream=True)
    return [event.delta.text async for event in events if event.type == "content_block_delta"]  # type: ignore[union-attr]


SDKS = [
    pytest.param(the_openai_sdk, openai, id="openai"),
    pytest.param(the_anthropic_sdk, anthropic, id="anthropic"),
]


@pytest.fixture(autouse=True, scope="module")
def platform_known() -> None:
    """openai asks the machine through a process what it is, once: before any run, which would refuse it."""
    openai.OpenAI(api_key="k", http_client=httpx2.Client(verify=False)).platform_headers()


def failing(
    make: Callable[..., Client], replies: list[Reply], *, seed: int = 0, **given: Any
) -> tuple[Any, Vendor]:
    """The error a call ends with (None if it ends well), and what the vendor saw."""
    vendor = Vendor(replies)

    async def main() -> Any:
        wire = Wire(current_loop())
        wire.attach("vendor.test", vendor.app)
        try:
            await ask(make(wire, **given))
        except Exception as caught:
            return caught
        finally:
            await asyncio.sleep(0)
            assert wire.escapes == []
        return None

    return run_virtual(main, seed=seed), vendor


@pytest.mark.parametrize(
    ("make", "events"),
    [
        pytest.param(the_openai_sdk, openai_chunks(51), id="openai"),
        pytest.param(the_anthropic_sdk, anthropic_events(50), id="anthropic"),
    ],
)
def test_three_refusals_then_a_stream(make: Callable[..., Client], events: tuple[bytes, ...]) -> None:
    """Retry-After: 20 is waited out to the millisecond each time; then fifty words, each at its own time."""
    limited = error(429, ("retry-after", "20"))
    vendor = Vendor([limited, limited, limited, Reply(events=events, gap_s=0.5)])

    async def main() -> tuple[int, list[str]]:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("vendor.test", vendor.app)
        wire.link("client", "vendor.test").latency = Fixed(25_000)
        words = await ask(make(wire, max_retries=3), stream=True)
        assert (wire.app_errors, wire.escapes) == ([], [])
        return loop.now_us, words

    ended_us, words = run_virtual(main)
    assert words == [f"{n} " for n in range(50)]
    # 25 ms there and 25 ms back, then 20 s, three times over.
    assert vendor.at_us == [25_000, 20_075_000, 40_125_000, 60_175_000]
    assert ended_us == 60_175_000 + len(events) * 500_000 + 25_000
    assert vendor.attempts == ["0", "1", "2", "3"]


OPENAI = {
    400: ("BadRequestError", 1),
    401: ("AuthenticationError", 1),
    402: ("APIStatusError", 1),
    403: ("PermissionDeniedError", 1),
    404: ("NotFoundError", 1),
    408: ("APIStatusError", 3),
    409: ("ConflictError", 3),
    413: ("APIStatusError", 1),
    422: ("UnprocessableEntityError", 1),
    429: ("RateLimitError", 3),
    500: ("InternalServerError", 3),
    502: ("InternalServerError", 3),
    503: ("InternalServerError", 3),
    529: ("InternalServerError", 3),
}
ANTHROPIC = {
    400: ("BadRequestError", 1),
    401: ("AuthenticationError", 1),
    402: ("PaymentRequiredError", 1),
    403: ("PermissionDeniedError", 1),
    404: ("NotFoundError", 1),
    408: ("RequestTimeoutError", 3),
    409: ("ConflictError", 3),
    413: ("ContentTooLargeError", 1),
    422: ("UnprocessableEntityError", 1),
    429: ("RateLimitError", 3),
    500: ("InternalServerError", 3),
    503: ("ServiceUnavailableError", 3),
    504: ("GatewayTimeoutError", 3),
    529: ("OverloadedError", 3),
}


@pytest.mark.parametrize(
    ("make", "status", "kind", "requests"),
    [(the_openai_sdk, status, *seen) for status, seen in OPENAI.items()]
    + [(the_anthropic_sdk, status, *seen) for status, seen in ANTHROPIC.items()],
)
def test_each_status_is_the_class_it_is_on_a_real_server(
    make: Callable[..., Client], status: int, kind: str, requests: int
) -> None:
    """The class that is raised, and how often the SDK asked before it gave up."""
    caught, vendor = failing(make, [error(status)])
    assert (type(caught).__name__, len(vendor.at_us)) == (kind, requests)
    assert caught.status_code == status


@pytest.mark.parametrize(("make", "library"), SDKS)
def test_a_stream_s_words_come_when_they_are_sent(make: Callable[..., Client], library: Any) -> None:
    """The first word is not held back for the last."""
    events = openai_chunks(4) if library is openai else anthropic_events(3)
    vendor = Vendor([Reply(events=events, gap_s=1)])

    async def main() -> list[int]:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("vendor.test", vendor.app)
        client: Any = make(wire)
        create = client.chat.completions.create if library is openai else client.messages.create
        chunks = await create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        times = [loop.now_us // 1_000_000 async for _ in chunks]
        assert wire.open_exchanges() == 0
        return times

    assert run_virtual(main) == ([1, 2, 3, 4] if library is openai else [1, 2, 3, 4, 5, 6, 7, 8])


@pytest.mark.parametrize("make", [the_openai_sdk, the_anthropic_sdk])
@pytest.mark.parametrize(
    ("header", "waits_us"), [(("retry-after-ms", "20"), 20_000), (("retry-after", "1"), 1_000_000)]
)
def test_a_retry_after_is_honoured(
    make: Callable[..., Client], header: tuple[str, str], waits_us: int
) -> None:
    """Milliseconds and seconds, both times."""
    caught, vendor = failing(make, [error(429, header)])
    assert (type(caught).__name__, vendor.at_us) == ("RateLimitError", [0, waits_us, 2 * waits_us])


@pytest.mark.parametrize("make", [the_openai_sdk, the_anthropic_sdk])
def test_a_retry_after_as_a_date_is_waited_for(make: Callable[..., Client]) -> None:
    """Until the date, on the clock of the run; once it has passed, the usual back-off."""
    caught, vendor = failing(make, [error(429, ("retry-after", "Mon, 05 Jan 2026 00:00:02 GMT"))])
    assert type(caught).__name__ == "RateLimitError"
    first, second, third = vendor.at_us
    assert (first, second) == (0, 2_000_000)
    assert 750_000 <= third - second <= 1_000_000


def test_a_long_retry_after_ends_one_sdk_and_holds_the_other() -> None:
    """openai gives up at once beyond two minutes; anthropic sleeps for as long as it was told."""
    long = error(429, ("retry-after", "300"))
    assert failing(the_openai_sdk, [long])[1].at_us == [0]
    assert failing(the_anthropic_sdk, [long])[1].at_us == [0, 300_000_000, 600_000_000]


@pytest.mark.parametrize("make", [the_openai_sdk, the_anthropic_sdk])
def test_the_back_off_without_a_hint_is_drawn_from_the_seed(make: Callable[..., Client]) -> None:
    """About half a second, then about one; the same for the same seed, another for another."""

    def pauses(seed: int) -> list[int]:
        at_us = failing(make, [error(500)], seed=seed)[1].at_us
        return [later - earlier for earlier, later in pairwise(at_us)]

    first, second = pauses(1)
    assert 375_000 <= first <= 500_000 and 750_000 <= second <= 1_000_000
    assert pauses(1) == [first, second] != pauses(2)


@pytest.mark.parametrize("make", [the_openai_sdk, the_anthropic_sdk])
@pytest.mark.parametrize(("flag", "status", "requests"), [("false", 429, 1), ("true", 400, 3)])
def test_x_should_retry_decides(make: Callable[..., Client], flag: str, status: int, requests: int) -> None:
    """The server's word goes before the status."""
    assert len(failing(make, [error(status, ("x-should-retry", flag))])[1].at_us) == requests


@pytest.mark.parametrize(("make", "library"), SDKS)
def test_a_refused_connection_and_a_silent_one(make: Callable[..., Client], library: Any) -> None:
    """Refused: a connection error after three tries. Silent: a time-out after each of them."""

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        vendor = Vendor([error(500)])
        wire.attach("vendor.test", vendor.app)
        link = wire.link("client", "vendor.test")
        link.add_fault(LinkFault(Refuse(), count=3))
        link.add_fault(LinkFault(Blackhole("request")))
        with pytest.raises(library.APIConnectionError) as refused:
            await ask(make(wire))
        assert type(refused.value) is library.APIConnectionError
        began = loop.now_us
        with pytest.raises(library.APITimeoutError):
            await ask(make(wire, timeout=5, max_retries=1))
        assert 10_375_000 <= loop.now_us - began <= 10_500_000
        assert (link.counts().opened, vendor.at_us, wire.open_exchanges()) == (5, [], 0)

    run_virtual(main)


@pytest.mark.parametrize(("make", "library"), SDKS)
@pytest.mark.parametrize(
    ("end", "raised"), [("fakes.wire.reset", True), ("fakes.wire.close", True), ("whole", False)]
)
def test_a_stream_that_ends_early(make: Callable[..., Client], library: Any, end: str, raised: bool) -> None:
    """A cut raises, and is not retried; a clean end without a finish raises nothing in either SDK."""
    events = openai_chunks(5)[:2] if library is openai else anthropic_events(5)[:4]
    vendor = Vendor([Reply(events=events, gap_s=0.1, end=end)])

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("vendor.test", vendor.app)
        if raised:
            with pytest.raises((library.APIConnectionError, httpx2.TransportError)):
                await ask(make(wire), stream=True)
        else:
            assert await ask(make(wire), stream=True) == ["0 ", "1 "]
        assert (len(vendor.at_us), wire.app_errors, wire.open_exchanges()) == (1, [], 0)

    run_virtual(main)


@pytest.mark.parametrize(("make", "library"), SDKS)
def test_a_reset_in_the_middle_of_a_stream(make: Callable[..., Client], library: Any) -> None:
    """The link's own fault, met by an SDK."""
    events = openai_chunks(50) if library is openai else anthropic_events(50)
    vendor = Vendor([Reply(events=events, gap_s=0.1)])

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("vendor.test", vendor.app)
        wire.link("client", "vendor.test").add_fault(LinkFault(ResetDuring(after_bytes=1_000)))
        with pytest.raises((library.APIConnectionError, httpx2.TransportError)):
            await ask(make(wire), stream=True)
        await asyncio.sleep(10)  # The app sends on without asking whether anyone is there.
        assert (len(vendor.at_us), wire.open_exchanges()) == (1, 0)

    run_virtual(main)
