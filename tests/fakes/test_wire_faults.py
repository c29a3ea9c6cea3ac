"""Each fault a link can play, as the client, the app and the network's own record see it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from fakes.time import current_loop, run_virtual
from fakes.wire import (
    Answer,
    Blackhole,
    ConnectFailed,
    ConnectTimeout,
    DirectClient,
    FaultKind,
    Fixed,
    HalfClose,
    LinkFault,
    ProtocolBroken,
    ReadFailed,
    ReadTimeout,
    Receive,
    Refuse,
    ResetAfter,
    ResetBefore,
    ResetDuring,
    Scope,
    Send,
    Timeouts,
    Trickle,
    Wire,
    WireError,
)

URL = "http://a.test/"
BODY = b"0123456789"


@dataclass
class Seen:
    """What one call showed, from every side."""

    answer: Answer | None = None
    error: WireError | None = None
    at_us: int = 0
    read: bytes = b""
    reached: int = 0
    told: list[str] = field(default_factory=list)
    sent_all: int = 0
    played: list[str] = field(default_factory=list)
    left_open: int = -1


def play(
    kind: FaultKind, *, timeouts: Timeouts | None = None, body: bytes = BODY, latency_us: int = 10_000
) -> Seen:
    """One POST against an app that reads the request, answers in two halves, and listens to the end."""
    seen = Seen()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.reached += 1
        message = await receive()
        seen.told.append(message["type"])
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        half = len(body) // 2
        await send({"type": "http.response.body", "body": body[:half], "more_body": True})
        await send({"type": "http.response.body", "body": body[half:]})
        seen.sent_all += 1
        seen.told.append((await receive())["type"])

    async def main() -> None:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", app)
        link = wire.link("client", "a.test")
        link.latency = Fixed(latency_us)
        link.add_fault(LinkFault(kind))
        client = DirectClient(wire, "client")
        try:
            async with client.stream("POST", URL, body=b"x", timeouts=timeouts) as answer:
                async for chunk in answer.chunks():
                    seen.read += chunk
                seen.answer = Answer(answer.status, answer.headers, seen.read)
        except WireError as error:
            seen.error = error
        seen.at_us = loop.now_us
        await asyncio.sleep(1)
        seen.played = [played.fault for played in wire.faults_played]
        seen.left_open = wire.open_exchanges()
        assert wire.app_errors == []

    run_virtual(main)
    return seen


def test_refused() -> None:
    """The app is never touched."""
    seen = play(Refuse())
    assert isinstance(seen.error, ConnectFailed)
    assert (seen.reached, seen.played, seen.left_open) == (0, ["refuse"], 0)


def test_reset_before_the_request() -> None:
    """The client saw its bytes go and a reset come; the app saw nothing."""
    seen = play(ResetBefore())
    assert isinstance(seen.error, ReadFailed)
    assert (seen.reached, seen.at_us, seen.left_open) == (0, 10_000, 0)


@pytest.mark.parametrize("passing", [0, 1, 5, 7])
def test_reset_during_the_answer(passing: int) -> None:
    """Exactly so many bytes arrive, then a reset; the app learns that the client is gone."""
    seen = play(ResetDuring(after_bytes=passing))
    assert isinstance(seen.error, ReadFailed)
    assert (seen.read, seen.played) == (BODY[:passing], ["reset_during"])
    assert (seen.told, seen.left_open) == (["http.request", "http.disconnect"], 0)


def test_reset_beyond_the_answer_does_not_happen() -> None:
    """A shorter answer passes unharmed, and the record does not claim otherwise."""
    seen = play(ResetDuring(after_bytes=11))
    assert (seen.error, seen.read, seen.played) == (None, BODY, [])


def test_reset_after_the_answer() -> None:
    """The app wrote all of it and believes it sent; the client has not one byte."""
    seen = play(ResetAfter())
    assert isinstance(seen.error, ReadFailed)
    assert (seen.answer, seen.read, seen.sent_all) == (None, b"", 1)
    assert (seen.at_us, seen.played, seen.left_open) == (70_000, ["reset_after"], 0)


def test_blackhole_at_connect() -> None:
    """Nobody takes the connection up: the connect time-out, to the millisecond, and an app untouched."""
    seen = play(Blackhole("connect"), timeouts=Timeouts(connect_us=1_500_000))
    assert isinstance(seen.error, ConnectTimeout)
    assert (seen.at_us, seen.reached, seen.left_open) == (1_500_000, 0, 0)


def test_blackhole_of_the_request() -> None:
    """The request is lost on its way: silence, and an app untouched."""
    seen = play(Blackhole("request"), timeouts=Timeouts(read_us=2_000_000))
    assert isinstance(seen.error, ReadTimeout)
    assert (seen.at_us, seen.reached, seen.left_open) == (2_000_000, 0, 0)


def test_blackhole_of_the_answer() -> None:
    """The app does its work and answers in full; the client hears nothing of it."""
    seen = play(Blackhole("answer"), timeouts=Timeouts(read_us=2_000_000))
    assert isinstance(seen.error, ReadTimeout)
    assert (seen.at_us, seen.reached, seen.sent_all, seen.left_open) == (2_000_000, 1, 1, 0)
    assert seen.played == ["blackhole"]


def test_trickle() -> None:
    """Ten bytes at four a second take two and a half seconds, however the app sent them."""
    seen = play(Trickle(bytes_per_s=4))
    assert (seen.read, seen.error) == (BODY, None)
    assert seen.at_us == 70_000 + 2_500_000


def test_trickle_outlasts_no_read_time_out() -> None:
    """Bytes keep coming, so a read time-out longer than the gap between two never strikes."""
    seen = play(Trickle(bytes_per_s=4), timeouts=Timeouts(read_us=300_000))
    assert (seen.read, seen.error) == (BODY, None)


def test_a_fast_trickle_is_exact() -> None:
    """The rate holds over a large body, with at most ten arrivals a second."""
    seen = play(Trickle(bytes_per_s=1_000), body=bytes(5_000), latency_us=0)
    assert (len(seen.read), seen.at_us) == (5_000, 50_000 + 5_000_000)


def test_half_closed_client() -> None:
    """uvicorn takes a client that closed its sending half for one that left; so does the app here."""
    seen = play(HalfClose())
    assert isinstance(seen.error, ProtocolBroken)
    assert (seen.told[-1], seen.read, seen.left_open) == ("http.disconnect", b"", 0)


def plain(seen: list[int]) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(current_loop().now_us)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    return app


def outcomes(fault: LinkFault, *, calls: int = 10, every_s: float = 1, seed: int = 0, others: int = 0) -> str:
    """One letter a call: `.` answered, `x` not. `others`: calls of another client in between."""

    async def main() -> str:
        wire = Wire(current_loop())
        wire.attach("a.test", plain([]))
        wire.link("client", "a.test").add_fault(fault)
        letters = ""
        for _ in range(calls):
            for _ in range(others):
                await DirectClient(wire, "other").request("GET", URL)
            try:
                await DirectClient(wire, "client").request("GET", URL)
                letters += "."
            except ConnectFailed:
                letters += "x"
            await asyncio.sleep(every_s)
        return letters

    return run_virtual(main, seed=seed)


def test_a_fault_has_a_window() -> None:
    """From its first instant to just before its last."""
    assert outcomes(LinkFault(Refuse(), from_us=2_000_000, until_us=5_000_000)) == "..xxx....."


def test_a_fault_skips_and_counts() -> None:
    """It lets so many pass, then meets so many."""
    assert outcomes(LinkFault(Refuse(), skip=3, count=2)) == "...xx....."


def test_a_likely_fault_is_drawn_for_the_exchange() -> None:
    """The draw depends on the seed and on which exchange of the link it is, not on other traffic."""
    drawn = outcomes(LinkFault(Refuse(), probability=0.5), calls=30)
    assert 5 < drawn.count("x") < 25
    assert outcomes(LinkFault(Refuse(), probability=0.5), calls=30, others=3) == drawn
    assert outcomes(LinkFault(Refuse(), probability=0.5), calls=30, seed=1) != drawn


def test_faults_of_different_kinds_meet_one_exchange_together() -> None:
    """A trickle and a reset compose: the reset waits for its bytes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": BODY})

    async def main() -> tuple[int, bytes]:
        loop = current_loop()
        wire = Wire(loop)
        wire.attach("a.test", app)
        wire.link("client", "a.test").add_fault(LinkFault(Trickle(1)))
        wire.link("client", "a.test").add_fault(LinkFault(ResetDuring(3)))
        read = b""
        with pytest.raises(ReadFailed):
            async with DirectClient(wire, "client").stream("GET", URL) as answer:
                async for chunk in answer.chunks():
                    read += chunk
        return loop.now_us, read

    assert run_virtual(main) == (3_000_000, BODY[:3])


@pytest.mark.parametrize(
    "wrong", [lambda: Trickle(0), lambda: ResetDuring(-1), lambda: LinkFault(Refuse(), probability=2)]
)
def test_a_fault_that_cannot_be_is_refused(wrong: Any) -> None:
    """Impossible figures raise where they are written."""
    with pytest.raises(ValueError):
        wrong()
