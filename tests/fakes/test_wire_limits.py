"""What bounds a call: time-outs, the connections of a link, the buffers; and the counts that show leaks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.time import current_loop, run_virtual
from fakes.wire import (
    ConnectTimeout,
    DirectClient,
    Fixed,
    Jitter,
    Latency,
    Percentiles,
    PoolTimeout,
    ReadTimeout,
    Receive,
    Scope,
    Send,
    Timeouts,
    Wire,
    WireError,
    WriteFailed,
    WriteTimeout,
)

URL = "http://a.test/"


def after(seconds: float, gap: float = 0) -> Any:
    """An app that answers after a while: a head, then after `gap` the body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(seconds)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if gap:
            await asyncio.sleep(gap)
        await send({"type": "http.response.body", "body": b"ok"})

    return app


@pytest.mark.parametrize(("seconds", "gap"), [(5, 0), (0.2, 5)])
def test_the_read_time_out_strikes_to_the_millisecond(seconds: float, gap: float) -> None:
    """Counted from the last thing that arrived, before the head and within the body alike."""

    async def main() -> int:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", after(seconds, gap))
        with pytest.raises(ReadTimeout, match="within 1234 ms"):
            await DirectClient(wire, "client").request("GET", URL, timeouts=Timeouts(read_us=1_234_000))
        return loop.now_us

    assert run_virtual(main) == 1_234_000 + (200_000 if gap else 0)


def test_a_stream_that_keeps_coming_is_never_late() -> None:
    """The time-out is for silence, not for the whole answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await asyncio.sleep(0.9)
            await send({"type": "http.response.body", "body": b".", "more_body": True})
        await send({"type": "http.response.body"})

    async def main() -> tuple[int, int]:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        answer = await DirectClient(wire, "client").request("GET", URL, timeouts=Timeouts(read_us=1_000_000))
        return len(answer.body), current_loop().now_us

    assert run_virtual(main) == (20, 18_000_000)


@pytest.mark.parametrize(("limit_us", "in_time"), [(299_000, False), (300_000, True), (None, True)])
def test_the_connect_time_out(limit_us: int | None, in_time: bool) -> None:
    """Taking a connection up costs nothing by default, and what the link says where it does."""

    async def main() -> int:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", after(0))
        wire.link("client", "a.test").connect = Fixed(300_000)
        try:
            await DirectClient(wire, "client").request("GET", URL, timeouts=Timeouts(connect_us=limit_us))
        except ConnectTimeout:
            assert not in_time
        else:
            assert in_time
        assert wire.open_exchanges() == 0
        return loop.now_us

    assert run_virtual(main) == (300_000 if in_time else 299_000)


def test_the_write_time_out() -> None:
    """An app that does not read holds a large request up; a small one fits the buffers and does not wait."""

    async def main() -> int:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", after(10))
        client = DirectClient(wire, "client")
        await client.request("POST", URL, body=bytes(60_000), timeouts=Timeouts(write_us=1_000_000))
        began = loop.now_us
        with pytest.raises(WriteTimeout):
            await client.request("POST", URL, body=bytes(200_000), timeouts=Timeouts(write_us=1_000_000))
        return loop.now_us - began

    assert run_virtual(main) == 1_000_000


def test_a_reset_in_the_middle_of_a_request() -> None:
    """The client that is still sending sees its writing fail."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(1)
        await send({"type": "fakes.wire.reset"})

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        with pytest.raises(WriteFailed):
            await DirectClient(wire, "client").request("POST", URL, body=bytes(1_000_000))

    run_virtual(main)


def test_an_early_answer_ends_the_sending() -> None:
    """A refusal of a large body is read, although the body was never taken."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"too much"})

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        answer = await DirectClient(wire, "client").request("POST", URL, body=bytes(1_000_000))
        assert (answer.status, answer.body) == (413, b"too much")
        assert wire.open_exchanges() == 0

    run_virtual(main)


def test_an_early_answer_ends_a_streamed_upload() -> None:
    """The generator of the pieces is closed, not drained."""
    made: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"too much"})

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for n in range(1_000):
                made.append(n)
                yield bytes(10_000)
                await asyncio.sleep(0.001)
        finally:
            made.append(-1)

    async def main() -> int:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        return (await DirectClient(wire, "client").request("POST", URL, body=pieces())).status

    assert run_virtual(main) == 413
    assert len(made) < 5 and made[-1] == -1


def test_each_stage_has_its_own_time_out() -> None:
    """A long wait for a connection does not lend its patience to the reading that follows."""

    async def main() -> int:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", after(5))
        wire.link("client", "a.test").connections_max = 1
        client = DirectClient(wire, "client")
        first = asyncio.create_task(client.request("GET", URL))
        await asyncio.sleep(0)
        with pytest.raises(ReadTimeout):
            await client.request("GET", URL, timeouts=Timeouts(pool_us=60_000_000, read_us=1_000_000))
        await first
        return loop.now_us

    assert run_virtual(main) == 6_000_000


def test_connections_are_counted_and_waited_for_in_turn() -> None:
    """Never more than the link allows; whoever came first goes first."""

    began: list[tuple[int, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began.append((current_loop().now_us, scope["path"]))
        await after(1)(scope, receive, send)

    async def main() -> int:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        link = wire.link("client", "a.test")
        link.connections_max = 2
        client = DirectClient(wire, "client")
        async with asyncio.TaskGroup() as group:
            for n in range(5):
                group.create_task(client.request("GET", f"{URL}{n}"))
        counts = link.counts()
        assert (counts.opened, counts.completed, counts.open, counts.waiting) == (5, 5, 0, 0)
        return counts.open_most

    assert run_virtual(main) == 2
    assert began == [(0, "/0"), (0, "/1"), (1_000_000, "/2"), (1_000_000, "/3"), (2_000_000, "/4")]


def test_the_pool_time_out() -> None:
    """Whoever waits too long for a connection leaves the queue, and takes none along."""

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", after(5))
        link = wire.link("client", "a.test")
        link.connections_max = 1
        client = DirectClient(wire, "client")
        first = asyncio.create_task(client.request("GET", URL))
        await asyncio.sleep(0)
        with pytest.raises(PoolTimeout):
            await client.request("GET", URL, timeouts=Timeouts(pool_us=700_000))
        assert (loop.now_us, link.counts().open, link.counts().waiting) == (700_000, 1, 0)
        await first
        assert (await client.request("GET", URL)).status == 200

    run_virtual(main)


def test_a_client_cancelled_as_its_connection_comes_free_passes_it_on() -> None:
    """The connection it was just given is not lost with it."""

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", after(1))
        wire.link("client", "a.test").connections_max = 1
        client = DirectClient(wire, "client")
        calls = [asyncio.create_task(client.request("GET", URL)) for _ in range(3)]
        await calls[0]
        calls[1].cancel()
        assert (await calls[2]).status == 200
        await asyncio.sleep(5)
        assert (wire.link("client", "a.test").counts().open, wire.open_exchanges()) == (0, 0)

    run_virtual(main)


def test_an_answer_nobody_reads_holds_its_app_up() -> None:
    """The app may run ahead by the buffer and one message, no further; it goes on as the client reads."""
    sent: list[int] = []
    chunk = bytes(10_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(100):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent.append(n)
        await send({"type": "http.response.body"})

    async def main() -> int:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        async with DirectClient(wire, "client").stream("GET", URL) as answer:
            await asyncio.sleep(10)
            assert len(sent) == 7
            size = 0
            async for chunk in answer.chunks():
                size += len(chunk)
            return size

    assert run_virtual(main) == 1_000_000


def test_an_app_held_up_is_let_go_when_its_client_leaves() -> None:
    """Back-pressure ends with the client, not with the run."""
    returned: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
        returned.append(current_loop().now_us)

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", app)
        async with DirectClient(wire, "client").stream("GET", URL):
            await asyncio.sleep(3)
        await asyncio.sleep(1)
        assert wire.open_exchanges() == 0

    run_virtual(main)
    assert returned == [3_000_000]


def test_an_answer_beyond_the_ceiling_of_a_client_is_refused() -> None:
    """A client never collects more than it was made for."""

    async def main() -> None:
        wire = Wire(current_loop())

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": bytes(11)})

        wire.attach("a.test", app)
        with pytest.raises(WireError, match="more than 10 bytes"):
            await DirectClient(wire, "client", body_max=10).request("GET", URL)
        await asyncio.sleep(0)
        assert wire.open_exchanges() == 0

    run_virtual(main)


def test_a_leak_is_visible() -> None:
    """A stream that is neither read nor left stays in the counts, by link and by end."""

    async def main() -> None:
        wire = Wire(current_loop())
        wire.attach("a.test", after(0))
        wire.attach("b.test", after(0))
        held = DirectClient(wire, "gateway-0").stream("GET", URL)
        await held.__aenter__()
        await DirectClient(wire, "client").request("GET", "http://b.test/")
        await asyncio.sleep(60)
        assert wire.open_exchanges() == 1
        assert (wire.open_exchanges(src="gateway-0"), wire.open_exchanges(dst="b.test")) == (1, 0)
        assert [(link.src, link.dst, link.counts().open) for link in wire.links()] == [
            ("gateway-0", "a.test", 1),
            ("client", "b.test", 0),
        ]
        await held.__aexit__(None, None, None)
        assert wire.open_exchanges() == 0

    run_virtual(main)


@pytest.mark.parametrize(
    ("latency", "draw", "us"),
    [
        (Fixed(7), 0.9, 7),
        (Jitter(10, 19), 0.0, 10),
        (Jitter(10, 19), 0.999, 19),
        (Percentiles(((50, 200), (99, 2_000))), 0.1, 200),
        (Percentiles(((50, 200), (99, 2_000))), 0.745, 1_100),
        (Percentiles(((50, 200), (99, 2_000))), 0.995, 2_000),
        (Percentiles(((0, 0), (100, 1_000))), 0.25, 250),
    ],
)
def test_a_latency_turns_a_draw_into_microseconds(latency: Latency, draw: float, us: int) -> None:
    """Fixed, even, or along the line through the percentiles."""
    assert latency.of(draw) == us


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Fixed(-1),
        lambda: Jitter(2, 1),
        lambda: Percentiles(()),
        lambda: Percentiles(((99, 1), (50, 2))),
        lambda: Percentiles(((50, 2), (99, 1))),
        lambda: Percentiles(((50, 1), (101, 2))),
    ],
)
def test_a_latency_that_cannot_be_is_refused(wrong: Any) -> None:
    """Impossible figures raise where they are written."""
    with pytest.raises(ValueError):
        wrong()


def test_taking_a_connection_up_may_vary() -> None:
    """Drawn for the exchange, as a message's latency is."""

    async def main() -> int:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", after(0))
        wire.link("client", "a.test").connect = Jitter(10_000, 50_000)
        await DirectClient(wire, "client").request("GET", URL)
        return loop.now_us

    times = {run_virtual(main, seed=seed) for seed in range(5)}
    assert len(times) > 1 and all(10_000 <= us <= 51_000 for us in times)
