"""Acts on a stream of a chat: cut, broken, stalled or written otherwise; on the wire and in the journal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fakes.wire import ProtocolBroken, ReadFailed, ReadTimeout
from tests.fakes.chat_asks import EVENTS, PATH, ask, words
from tests.fakes.chat_stage import KEY_HEADERS, ChatStage, chat_body, with_chat

# --- the honest stream, for comparison ------------------------------------------------------------


def test_what_is_due_at_one_instant_is_one_write() -> None:
    """Role and first word together, each word at its time, and the last with finish and `[DONE]`."""
    heard, stage = ask()
    assert [at_us for at_us, _ in heard.chunks] == [100_000, 110_000, 120_000, 130_000, 140_000]
    assert (len(heard.data), stage.ended.events) == (EVENTS, EVENTS)
    assert words(heard) == ["[nonce:abc by p/1]", *words(heard)[1:]] and len(words(heard)) == 5
    assert stage.ended.text == "".join(words(heard))
    assert (stage.ended.delivered, stage.ended.complete) == (5, True)
    assert (stage.answered.complete, stage.answered.body_bytes) == (True, len(heard.body))


def test_another_seed_says_other_words_and_the_same_seed_the_same() -> None:
    """Nothing is left to anything but the seed."""

    async def main(stage: ChatStage) -> bytes:
        return (await stage.listen(PATH, chat_body(stream=True))).body

    bodies = [with_chat(main, seed=seed) for seed in (1, 1, 2)]
    assert bodies[0] == bodies[1] != bodies[2]


# --- the work is done and its answer suffers ------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_cut_by_bytes(how: str) -> None:
    """So many bytes and no more; events that were cut are made and billed, and not delivered."""
    whole = ask()[0].body
    place = whole.index(b"data:", 10) + 5  # inside the first word, the second event
    heard, stage = ask({"cut": {"after_bytes": place, "how": how}})
    assert heard.body == whole[:place]
    assert isinstance(heard.error, ReadFailed if how == "reset" else ProtocolBroken)
    ended = stage.ended
    assert (ended.output_text, ended.delivered, ended.events, ended.complete) == (1, 0, 1, False)
    assert (stage.answered.body_bytes, stage.answered.complete) == (place, False)


def test_a_declared_length_beyond_the_stream() -> None:
    """Every event is handed over, and then the server can only hang up."""
    whole = ask()[0].body
    heard, stage = ask({"answer_headers": {"set": {"content-length": "100000"}}})
    assert heard.body == whole
    assert isinstance(heard.error, ProtocolBroken)
    assert (stage.ended.delivered, stage.ended.complete) == (5, True)
    assert (stage.answered.body_bytes, stage.answered.complete) == (len(whole), False)


@pytest.mark.parametrize("length", [0, 10, 300])
def test_a_declared_length_within_the_stream(length: int) -> None:
    """No more than so many bytes go out, and to a careless client that is a clean end."""
    whole = ask()[0].body
    heard, stage = ask({"answer_headers": {"set": {"content-length": str(length)}}})
    assert (heard.body, heard.error) == (whole[:length], None)
    assert (stage.ended.complete, stage.answered.complete) == (False, False)


def test_a_declared_length_that_is_the_streams() -> None:
    """Nothing happens."""
    whole = ask()[0].body
    heard, stage = ask({"answer_headers": {"set": {"content-length": str(len(whole))}}})
    assert (heard.body, heard.error) == (whole, None)
    assert (stage.ended.complete, stage.answered.complete) == (True, True)


def test_a_cut_of_an_answer_in_one_piece() -> None:
    """All of it is billed."""
    heard, stage = ask({"cut": {"fraction": "0.5"}}, stream=False)
    assert isinstance(heard.error, ProtocolBroken)
    assert (stage.ended.output_text, stage.ended.complete, stage.ended.text) == (5, False, "")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_stream_cut_after_some_words(how: str) -> None:
    """Everything before the place arrives, at its time; then the connection breaks."""
    heard, stage = ask({"cut_stream": {"after_words": 2, "how": how}})
    assert words(heard) == words(ask()[0])[:2]
    assert isinstance(heard.error, ReadFailed if how == "reset" else ProtocolBroken)
    assert (stage.ended.output_text, stage.ended.delivered, stage.ended.complete) == (2, 2, False)
    assert stage.answered.body_bytes == len(heard.body)
    assert stage.played() == [("cut_stream", True)]


def test_a_stream_cut_inside_a_letter() -> None:
    """The last byte on the wire is the first of two."""
    heard, stage = ask({"cut_stream": {"after_events": 0, "in_character": True}})
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        heard.body.decode()
    assert heard.body.endswith(b" na" + "ï".encode()[:1])
    assert (stage.ended.output_text, stage.ended.delivered) == (3, 2)


@pytest.mark.parametrize(
    ("billed", "output", "cost"), [("emitted", 2, 18_000), ("all", 5, 30_000), ("nothing", 2, 0)]
)
def test_who_pays_for_half_a_stream_is_the_act_s_to_say(billed: str, output: int, cost: int) -> None:
    """What was emitted, all of it, or nothing."""
    _, stage = ask({"truncated": {"after_words": 2, "billed": billed}})
    assert (stage.ended.output_text, stage.ended.cost_nanos) == (output, cost)
    assert stage.ended.billed is (billed != "nothing")


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_clean_end_too_early(after: int) -> None:
    """Nothing on the wire says that anything is missing; the journal does."""
    heard, stage = ask({"truncated": {"after_events": after}})
    assert (heard.error, len(heard.data)) == (None, after)
    assert (stage.answered.complete, stage.ended.complete, stage.ended.events) == (True, False, after)


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ("documented", {"error": {"message": "no", "type": "server_error", "param": None, "code": None}}),
        ("text", {"error": "no"}),
        ("event", {"message": "no", "type": "server_error"}),
        (
            "real",
            {
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
                "error": {"message": "no", "type": "server_error", "param": None, "code": None},
            },
        ),
    ],
)
@pytest.mark.parametrize("after", [0, 3])
def test_an_error_in_the_stream(shape: str, line: Any, after: int) -> None:
    """Under HTTP 200, in place of the next event, in each shape that is met; also as the very first."""
    heard, stage = ask({"stream_error": {"after_events": after, "shape": shape, "message": "no"}})
    assert (heard.status, len(heard.data), heard.data[-1]) == (200, after + 1, line)
    assert heard.names == (["error"] if shape == "event" else [])
    assert (stage.ended.complete, stage.ended.output_text) == (False, max(0, after - 1))
    assert heard.error is None


def test_an_error_in_the_stream_and_then_a_reset() -> None:
    """Both are seen, in this order."""
    heard, _ = ask({"stream_error": {"after_words": 1, "error": "rate", "then": "reset"}})
    assert heard.data[-1]["error"]["code"] == "rate_limit_exceeded"
    assert isinstance(heard.error, ReadFailed)


# --- a stream that goes on otherwise --------------------------------------------------------------


def test_a_stall_and_then_the_rest() -> None:
    """The words before it come in time, those after it late, none is lost."""
    heard, stage = ask({"stall": {"after_words": 2, "for": "30s"}})
    assert [at_us for at_us, _ in heard.chunks] == [100_000, 110_000, 30_120_000, 30_130_000, 30_140_000]
    assert stage.ended.complete and len(words(heard)) == 5


def test_a_stall_for_ever() -> None:
    """The client gives up; the provider sees it at once and bills what it had made."""
    heard, stage = ask({"stall": {"after_words": 2}}, timeout_us=60_000_000)
    assert isinstance(heard.error, ReadTimeout) and len(words(heard)) == 2
    assert (stage.ended.t_us, stage.ended.output_text, stage.ended.complete) == (60_110_000, 2, False)
    assert stage.answered.ended_by == "client"


def test_a_malformed_chunk_in_the_middle() -> None:
    """One line is no JSON; the others are whole."""
    heard, stage = ask({"malformed_chunk": {"after_words": 1}})
    assert [index for index, chunk in enumerate(heard.data) if isinstance(chunk, str)] == [2, EVENTS - 1]
    assert len(words(heard)) == 4 and stage.ended.complete
    assert stage.ended.text == "".join(words(heard))


def test_an_event_sent_again() -> None:
    """The same bytes, so many times more; made and billed once."""
    heard, stage = ask({"duplicated": {"after_words": 1, "times": 2}})
    assert words(heard)[1] == words(heard)[2] == words(heard)[3] and len(heard.data) == EVENTS + 2
    assert stage.ended.output_text == 5


def test_lawful_framing_changes_nothing_a_reader_should_see() -> None:
    """CRLF, comments, pings, no space after the colon, events split anywhere: the same data lines."""
    kinds = ["crlf", "comments", "pings", "no_space", "split"]
    plain, bent = ask()[0], ask({"framing": {"kinds": kinds, "bytes": 50}})[0]
    assert bent.data == plain.data
    assert bent.body != plain.body and bent.body.endswith(b"\r\n\r\n") and b": ping\r\n" in bent.body
    assert max(len(chunk) for _, chunk in bent.chunks) == 50


@pytest.mark.parametrize("kind", ["no_blank_line", "wrong_content_type", "no_done", "extra_done"])
def test_framing_that_breaks_readers(kind: str) -> None:
    """Each as it says."""
    heard, stage = ask({"framing": {"kinds": [kind]}})
    match kind:
        case "no_blank_line":
            assert b"\n\n" not in heard.body
        case "wrong_content_type":
            assert heard.header("content-type") == "application/json"
        case "no_done":
            assert heard.data[-1] != "[DONE]"
        case _:
            assert heard.data[-2:] == ["[DONE]", "[DONE]"]
    assert stage.ended.complete and len(words(heard)) == 5


def test_what_a_client_that_reads_nothing_never_took_was_not_handed_over() -> None:
    """The rest waits behind 30 000 unread words; its reader leaves, and the rest was never on the wire."""

    async def main(stage: ChatStage) -> ChatStage:
        call = stage.client.stream(
            "POST",
            f"http://p.test{PATH}",
            headers=KEY_HEADERS["openai"],
            body=json.dumps(chat_body(stream=True)).encode(),
        )
        async with call:
            await asyncio.sleep(5)
        await asyncio.sleep(1)
        return stage

    plan = {"words": 30_000, "words_per_event": 30_001, "between": "0s"}
    acts = [{"do": {"stall": {"after_events": 2, "for": "1s"}}}]
    stage = with_chat(main, acts=acts, plan=plan)
    assert (stage.ended.complete, stage.ended.events, stage.ended.usage_shown) == (False, 2, None)
    assert (stage.answered.complete, stage.answered.ended_by) == (False, "client")
    assert stage.answered.body_bytes < 200_000


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_its_server_refuses_to_write_has_ended_all_the_same(stream: bool) -> None:
    """The error goes to the server; the completion is no longer in progress, and stands in the journal."""

    async def main(stage: ChatStage) -> ChatStage:
        body = json.dumps(chat_body(stream=stream)).encode()

        asked = iter([{"type": "http.request", "body": body}])

        async def receive() -> dict[str, Any]:
            return next(asked, None) or await asyncio.get_running_loop().create_future()

        async def send(message: object) -> None:
            raise RuntimeError("not with me")

        headers = [(name.encode(), value.encode()) for name, value in KEY_HEADERS["openai"]]
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers}
        with pytest.raises(RuntimeError, match="not with me"):
            await stage.provider.app(scope, receive, send)
        return stage

    stage = with_chat(main)
    assert (stage.provider.running, stage.ended.complete, stage.ended.delivered) == (0, False, 0)
