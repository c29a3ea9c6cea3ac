"""What a raw socket sees of each act is what the act declares, and what the journal says was handed over."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from fakes.acts.script import Script
from fakes.asgi import GARBAGE
from fakes.journal import Answered, Journal, TaskAccepted
from fakes.server import serve
from fakes.tasks import TaskProvider

BODY = b'{"nonce":"n"}'
REQUEST = (
    b"POST /openapi/v2/model HTTP/1.1\r\nhost: p.test\r\nauthorization: Bearer canary-provider-p\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


@dataclass
class OnTheWire:
    """All bytes that came, how the connection ended, and the fake's own record."""

    bytes: bytes
    ending: str  # end | reset | open
    answered: Answered | None
    accepted: int

    @property
    def head(self) -> bytes:
        return self.bytes.partition(b"\r\n\r\n")[0].lower()

    @property
    def body(self) -> bytes:
        return self.bytes.partition(b"\r\n\r\n")[2]


async def read_all(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    got = b""
    try:
        async with asyncio.timeout(0.15):
            while piece := await reader.read(65_536):
                got += piece
            return got, "end"
    except ConnectionResetError:
        return got, "reset"
    except TimeoutError:
        return got, "open"


async def seen_of(do: dict[str, Any]) -> OnTheWire:
    """One submit over a real socket, met by one act."""
    loop, journal = asyncio.get_running_loop(), Journal()
    provider = TaskProvider(
        "p",
        "runninghub",
        journal=journal,
        clock=lambda: int(loop.time() * 1_000_000),
        script=Script.for_provider([{"do": do}]),
    )
    async with serve(provider.app) as served:
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(REQUEST)
        got, ending = await read_all(reader)
        writer.close()
        await asyncio.sleep(0.02)  # the server hears of it
        assert served.app_errors == []
    answered = next(journal.of(Answered), None)
    return OnTheWire(got, ending, answered, len(list(journal.of(TaskAccepted))))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("do", "status", "accepted"),
    [
        ({"set_cookie": {}}, 200, 1),
        ({"error": {"status": 500}}, 500, 0),
        ({"rate_limited": {"retry_after": "2s"}}, 429, 0),
        ({"rejected": {"reason": "real_person"}}, 200, 0),
        ({"odd_body": {"kind": "html", "status": 502}}, 502, 0),
        ({"odd_body": {"kind": "empty"}}, 200, 0),
        ({"odd_body": {"kind": "null"}}, 200, 0),
        ({"accepted_and_lost": {"how": "error", "status": 524}}, 524, 1),
        ({"accepted_and_lost": {"how": "invalid_json"}}, 200, 1),
        ({"compressed": {"encoding": "gzip"}}, 200, 1),
        ({"bloated": {"bytes": 300_000}}, 200, 1),
        ({"answer_headers": {"set": {"content-encoding": "gzip"}}}, 200, 1),
        ({"latency": {"by": "50ms"}}, 200, 1),
    ],
)
async def test_a_whole_answer(do: dict[str, Any], status: int, accepted: int) -> None:
    """Its status, every byte of its body, and a connection that stays open."""
    seen = await seen_of(do)
    assert seen.answered is not None
    assert seen.head.startswith(b"http/1.1 %d" % status)
    assert (seen.ending, seen.answered.ended_by) == ("open", "server")
    assert (len(seen.body), seen.answered.body_bytes) == (seen.answered.body_bytes, len(seen.body))
    assert (seen.answered.complete, seen.accepted) == (True, accepted)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("do", "wire", "ending", "accepted"),
    [
        ({"drop": {}}, b"", "end", 0),
        ({"reset": {}}, b"", "reset", 0),
        ({"garbage": {}}, GARBAGE, "end", 0),
        ({"never_answers": {}}, b"", "open", 0),
        ({"accepted_and_lost": {"how": "reset"}}, b"", "reset", 1),
        ({"accepted_and_lost": {"how": "close"}}, b"", "end", 1),
        ({"accepted_and_lost": {"how": "never_answers"}}, b"", "open", 1),
    ],
)
async def test_no_answer_at_all(do: dict[str, Any], wire: bytes, ending: str, accepted: int) -> None:
    """Not a byte of HTTP; whether the work was done is another matter."""
    seen = await seen_of(do)
    assert (seen.bytes, seen.ending, seen.accepted) == (wire, ending, accepted)
    assert seen.answered is not None
    assert (seen.answered.status, seen.answered.body_bytes, seen.answered.complete) == (None, 0, False)


@pytest.mark.asyncio
@pytest.mark.parametrize(("how", "ending"), [("close", "end"), ("reset", "reset")])
@pytest.mark.parametrize("at", [0, 1, 50])
async def test_a_cut_answer(how: str, ending: str, at: int) -> None:
    """Exactly the bytes before the cut arrive, under a length that promised more."""
    seen = await seen_of({"cut": {"after_bytes": at, "how": how}})
    assert seen.answered is not None
    assert (len(seen.body), seen.ending) == (at, ending)
    assert (seen.answered.body_bytes, seen.answered.complete) == (at, False)
    assert seen.accepted == 1


@pytest.mark.asyncio
async def test_a_length_that_lies() -> None:
    """Too great: the connection ends early. Too small: half a document that looks whole."""
    great = await seen_of({"answer_headers": {"set": {"content-length": "5000"}}})
    assert (great.ending, json.loads(great.body)["status"]) == ("end", "RUNNING")
    small = await seen_of({"answer_headers": {"set": {"content-length": "20"}}})
    assert (small.ending, len(small.body)) == ("open", 20)
    for seen in (great, small):
        assert seen.answered is not None
        assert (seen.answered.complete, seen.accepted) == (False, 1)
