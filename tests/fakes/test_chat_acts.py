"""Every act on a chat: what the client sees on the wire, and what the journal says really happened.

Played on OpenAI's protocol; what a vendor words in its own way is in the tests of its dialect.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fakes.acts import ChatDo
from fakes.journal import ChatEnded
from fakes.play import Category, Play
from fakes.wire import ProtocolBroken, ReadFailed, ReadTimeout
from tests.fakes.chat_stage import PATHS, ChatStage, Heard, chat_body, with_chat

PATH = PATHS["openai"]
EVENTS = 8  # role, five words, finish, [DONE]
PLAN = {"words": 4, "first": "100ms", "between": "10ms", "prompt": 10}


def ask(
    *acts: Any, stream: bool = True, plan: Any = None, timeout_us: int = 3_600_000_000, **more: Any
) -> tuple[Heard, ChatStage]:
    """One chat met by these acts."""

    async def main(stage: ChatStage) -> tuple[Heard, ChatStage]:
        body = chat_body(stream=stream, **more)
        return await stage.listen(PATH, body, timeout_us=timeout_us), stage

    acts = tuple(act if "do" in act else {"do": act} for act in acts)
    return with_chat(main, acts=acts, plan=PLAN | (plan or {}))


def words(heard: Heard) -> list[str]:
    said = [chunk for chunk in heard.data if isinstance(chunk, dict) and chunk.get("choices")]
    return [text for chunk in said if (text := chunk["choices"][0].get("delta", {}).get("content"))]


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


# --- instead of the work --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "headers", "says"),
    [
        ("own", {"retry-after": "3", "retry-after-ms": "2500"}, True),
        ("seconds", {"retry-after": "3"}, False),
        ("fraction", {"retry-after": "2.500"}, False),
        ("date", {"retry-after": "Mon, 05 Jan 2026 00:00:03 GMT"}, False),
        ("ms", {"retry-after-ms": "2500"}, False),
        ("body", {}, True),
        ("none", {}, False),
    ],
)
def test_a_rate_limit_says_how_long_in_every_form(form: str, headers: dict[str, str], says: bool) -> None:
    """The vendor's own headers, each wild form alone, in the words only, or not at all."""
    heard, stage = ask({"rate_limited": {"retry_after": "2500ms", "form": form}})
    error = heard.json["error"]
    assert (heard.status, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")
    assert {name: value for name, value in heard.headers if name.startswith("retry")} == headers
    assert ("Please try again in 2.5s." in error["message"]) is says
    assert (stage.refused.reason, stage.played()) == ("rate_limited", [("rate_limited", True)])


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("tokens", "rate_limit_exceeded"),
        ("parallel", "rate_limit_exceeded"),
        ("money", "insufficient_quota"),
        ("spend_limit", "organization_spend_limit_exceeded"),
    ],
)
def test_not_every_429_is_a_rate_limit(why: str, code: str) -> None:
    """Money says no wait; the server's word on retrying stands where the act says so."""
    heard, _ = ask({"rate_limited": {"why": why, "retry_after": "5s", "should_retry": False}})
    assert (heard.status, heard.json["error"]["code"]) == (429, code)
    assert (heard.header("retry-after") is None) is (why in ("money", "spend_limit"))
    assert heard.header("x-should-retry") == "false"


def test_a_storm_passes() -> None:
    """Fail the first three, in a window of time, then answer."""

    async def main(stage: ChatStage) -> list[int]:
        return [(await stage.call(PATH, chat_body())).status for _ in range(5)]

    assert with_chat(main, acts=[{"count": 3, "do": {"rate_limited": {}}}]) == [429, 429, 429, 200, 200]


@pytest.mark.parametrize(
    ("do", "status", "kind"),
    [
        ({"error": {"status": 500}}, 500, "server_error"),
        ({"error": {"status": 503}}, 503, "service_unavailable_error"),
        ({"error": {"status": 529}}, 529, "service_unavailable_error"),
        ({"not_ready": {"retry_after": "5s"}}, 503, "service_unavailable_error"),
        ({"rejected": {"reason": "bad_key"}}, 401, "invalid_request_error"),
        ({"rejected": {"reason": "too_long"}}, 400, "invalid_request_error"),
        ({"rejected": {"reason": "sensitive_input"}}, 400, "invalid_request_error"),
        ({"rejected": {"reason": "insufficient_balance"}}, 429, "insufficient_quota"),
        ({"rejected": {"reason": "region"}}, 403, "request_forbidden"),
        ({"quota": {"limit": 0}}, 429, "requests"),
        ({"concurrency": {"limit": 0}}, 429, "requests"),
        ({"error_in_200": {"error": "overloaded"}}, 200, "service_unavailable_error"),
    ],
)
def test_a_refusal_has_the_vendor_s_shape_and_costs_nothing(do: Any, status: int, kind: str) -> None:
    """A status, or HTTP 200 with an error in it; also where a stream was asked for."""
    heard, stage = ask(do)
    assert (heard.status, heard.json["error"]["type"]) == (status, kind)
    assert heard.header("content-type") == "application/json"
    assert stage.refused.nonce == "abc" and not stage.facts(ChatEnded)


def test_an_html_page_in_place_of_an_answer() -> None:
    """HTTP 200 and a page, as a proxy gives it."""
    heard, _ = ask({"odd_body": {"kind": "html"}})
    assert (heard.status, heard.header("content-type")) == (200, "text/html")
    assert heard.text.startswith("<html>")


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ("drop", ProtocolBroken),
        ("reset", ReadFailed),
        ("garbage", ProtocolBroken),
        ("never_answers", ReadTimeout),
    ],
)
def test_a_connection_that_breaks_before_a_byte(act: str, error: type[Exception]) -> None:
    """Nothing was done and nothing is billed."""
    heard, stage = ask({act: {}}, timeout_us=60_000_000)
    assert isinstance(heard.error, error)
    assert stage.refused.reason == act and stage.provider.running == 0


# --- the work is done and its answer suffers ------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("how", "status"), [("reset", 0), ("error", 504), ("html", 200), ("empty", 200)])
def test_accepted_billed_and_lost(how: str, status: int, stream: bool) -> None:
    """It takes as long as the answer would have, and costs what it would have cost."""
    heard, stage = ask({"accepted_and_lost": {"how": how}}, stream=stream)
    assert heard.status == status and words(heard) == []
    assert heard.ended_us == 140_000 == stage.ended.t_us
    ended = stage.ended
    assert (ended.output_text, ended.billed, ended.delivered, ended.complete) == (5, True, 0, False)
    assert ended.cost_nanos == 10 * 1_000 + 5 * 4_000


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


# --- usage ----------------------------------------------------------------------------------------

WITH_USAGE = {"stream_options": {"include_usage": True}}


def usages(heard: Heard) -> list[Any]:
    return [chunk.get("usage", "no field") if isinstance(chunk, dict) else chunk for chunk in heard.data]


@pytest.mark.parametrize(
    ("shown", "last_four"),
    [
        ("exact", [None, None, 15, "[DONE]"]),
        ("missing", [None, None, None, "[DONE]"]),
        ("null", [None, None, None, "[DONE]"]),
        ("late", [None, None, "[DONE]", 15]),
        ("early", [None, 15, None, "[DONE]"]),
        ("with_finish", [None, None, 15, "[DONE]"]),
        ("every_event", [15, 15, 15, "[DONE]"]),
        ("twice", [None, 15, 15, "[DONE]"]),
        ("zero", [None, None, 0, "[DONE]"]),
        ("negative", [None, None, -15, "[DONE]"]),
        ("huge", [None, None, 2**63 - 1, "[DONE]"]),
        ("strings", [None, None, "15", "[DONE]"]),
        ("wrong_total", [None, None, 22, "[DONE]"]),
    ],
)
def test_what_a_stream_claims_to_have_used(shown: str, last_four: list[Any]) -> None:
    """Wherever it stands and whatever it says, the bill is the same."""
    heard, stage = ask({"usage": {"shown": shown}}, **WITH_USAGE)
    seen = [usage["total_tokens"] if isinstance(usage, dict) else usage for usage in usages(heard)[-4:]]
    assert seen == last_four
    ended = stage.ended
    assert (ended.input_uncached, ended.output_text, ended.cost_nanos) == (10, 5, 30_000)
    told = [usage for usage in usages(heard) if isinstance(usage, dict)]
    assert (json.loads(ended.usage_shown) if ended.usage_shown else None) == (told[-1] if told else None)
    assert stage.played() == [("usage", True)]


def test_cumulative_usage_grows_with_every_event() -> None:
    """As some servers send it, asked or not."""
    heard, _ = ask({"usage": {"shown": "every_event"}})
    totals = [usage["completion_tokens"] for usage in usages(heard)[:-1]]
    assert totals == [0, 1, 2, 3, 4, 5, 5]


def test_more_cached_than_there_was() -> None:
    """A part that is greater than the whole."""
    usage = ask({"usage": {"shown": "cached_above_prompt"}}, stream=False)[0].json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1_010 > usage["prompt_tokens"]


@pytest.mark.parametrize(
    ("shown", "usage"), [("missing", "no field"), ("null", None), ("floats", 15.0), ("strings", "15")]
)
def test_usage_of_an_answer_in_one_piece(shown: str, usage: Any) -> None:
    """The kinds without a place play here too."""
    seen = ask({"usage": {"shown": shown}}, stream=False)[0].json.get("usage", "no field")
    assert (seen["total_tokens"] if isinstance(seen, dict) else seen) == usage


# --- the answer itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("shows", ["missing", "null", "unknown"])
def test_no_honest_finish(shows: str, stream: bool) -> None:
    """Missing, null, or a word nobody knows."""
    heard, stage = ask({"no_finish": {"shows": shows}}, stream=stream)
    chunks = heard.data[:-1] if stream else [heard.json]
    seen = [chunk["choices"][0].get("finish_reason") for chunk in chunks]
    assert seen[-1] == ("because" if shows == "unknown" else None)
    assert (len(heard.data) == EVENTS - 1) is (stream and shows == "missing")
    assert stage.ended.complete


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("shows", ["empty_choices", "null_content", "wrong_model", "wrong_id"])
def test_an_answer_whose_frame_is_wrong(shows: str, stream: bool) -> None:
    """The truth stays in the journal."""
    heard, stage = ask({"odd_answer": {"shows": shows}}, stream=stream)
    answer = heard.data[1] if stream else heard.json
    match shows:
        case "empty_choices":
            assert answer["choices"] == []
        case "null_content":
            assert answer["choices"][0]["delta" if stream else "message"]["content"] is None
        case "wrong_model":
            assert answer["model"] == "another-model"
        case _:
            assert answer["id"] == "chatcmpl-0"
    assert (stage.ended.model, stage.ended.output_text) == ("m", 5)


TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}


@pytest.mark.parametrize(
    ("shows", "name", "arguments"),
    [
        ("not_json", "f", '{"nonce":"abc","by":"p/'),
        ("empty", "f", ""),
        ("not_offered", "tool_nobody_offered", '{"nonce":"abc","by":"p/1"}'),
    ],
)
def test_a_broken_tool_call(shows: str, name: str, arguments: str) -> None:
    """Arguments that cannot be read, or a tool that is not there."""
    heard, _ = ask({"broken_tool_call": {"shows": shows}}, stream=False, **TOOLS)
    (call,) = heard.json["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": name, "arguments": arguments}


def test_a_filter_on_the_output_stops_half_way_and_is_billed() -> None:
    """Finish `content_filter` after half the words."""
    heard, stage = ask({"content_filter": {"side": "output"}})
    assert heard.data[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert (len(words(heard)), stage.ended.output_text) == (3, 3)


def test_a_filter_on_the_input_is_an_error_here() -> None:
    """400, nothing done."""
    heard, stage = ask({"content_filter": {"side": "input"}})
    assert (heard.status, heard.json["error"]["code"]) == (400, "content_filter")
    assert (stage.refused.reason, stage.played()) == ("content_filter", [("content_filter", True)])


def test_one_caller_gets_another_s_words() -> None:
    """The nonce of the request before it is in the answer."""

    async def main(stage: ChatStage) -> str:
        await stage.call(PATH, chat_body(text="nonce:first"))
        return (await stage.call(PATH, chat_body(text="nonce:second"))).body.decode()

    assert "[nonce:first by p/2]" in with_chat(main, acts=[{"do": {"answer_leak": {}}}])


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_said_and_counted_is_an_act_too(stream: bool) -> None:
    """The words, the classes of tokens, the finish; the bill is by class."""
    figures = {"prompt": 100, "cache_read": 50, "cache_write_5m": 20, "cache_write_1h": 10, "reasoning": 3}
    heard, stage = ask({"completes": {"text": "yes no", "finish": "length", **figures}}, stream=stream)
    ended = stage.ended
    assert ended.text == "[nonce:abc by p/1] yes no" and '"finish_reason":"length"' in heard.text
    assert (ended.input_uncached, ended.cache_read, ended.cache_write_5m, ended.cache_write_1h) == (
        20,
        50,
        20,
        10,
    )
    assert (ended.output_text, ended.output_reasoning, heard.ended_us) == (3, 3, 150_000)


def test_how_long_a_completion_takes_is_an_act_too() -> None:
    """Its first token and the time between two."""
    heard, _ = ask({"takes": {"first": "5s", "between": "1s"}})
    assert [at_us for at_us, _ in heard.chunks] == [n * 1_000_000 for n in (5, 6, 7, 8, 9)]


def test_late_headers_and_encodings() -> None:
    """The acts on any answer compose with a stream: delay, cookie, headers, gzip event by event."""
    heard, stage = ask(
        {"latency": {"by": "1s"}},
        {"set_cookie": {}},
        {"answer_headers": {"set": {"x-extra": "1"}}},
        {"compressed": {}},
    )
    assert heard.chunks[0][0] == 1_100_000 and len(heard.chunks) == 5
    assert heard.header("set-cookie") == "session=abc; Path=/" and heard.header("x-extra") == "1"
    assert gzip.decompress(heard.body) == ask()[0].body
    assert stage.ended.complete and stage.ended.events == EVENTS


def test_a_bloated_stream_is_padded_at_its_end() -> None:
    """Spaces after the last event."""
    heard, _ = ask({"bloated": {"bytes": 5_000}})
    assert len(heard.body) == 5_000 and heard.body.rstrip().endswith(b"[DONE]")


# --- acts that cannot take effect -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "stream"),
    [
        ({"truncated": {"after_events": 99}}, True),
        ({"stall": {"after_words": 0}}, False),
        ({"stream_error": {"after_events": 0}}, False),
        ({"framing": {"kinds": ["crlf"]}}, False),
        ({"usage": {"shown": "late"}}, False),
        ({"broken_tool_call": {}}, True),
        ({"answer_leak": {}}, True),
    ],
)
def test_an_act_without_effect_says_so(do: Any, stream: bool) -> None:
    """A place that does not come, a stream that was not asked for, a call that is not made."""
    heard, stage = ask(do, stream=stream)
    assert stage.played() == [(next(iter(do)), False)]
    assert heard.status == 200 and stage.ended.complete


def test_acts_can_ask_for_model_and_stream() -> None:
    """A pattern of names, and whether a stream was asked for."""

    async def main(stage: ChatStage) -> list[int]:
        asked = [("a-1", False), ("a-1", True), ("b", True)]
        bodies = [chat_body(stream=stream) | {"model": model} for model, stream in asked]
        return [(await stage.call(PATH, body)).status for body in bodies]

    act = {"match": {"model": "a-*", "stream": True, "op": "chat"}, "do": {"error": {}}}
    assert with_chat(main, acts=[act]) == [200, 500, 200]


def test_every_act_of_chats_is_tested_here() -> None:
    """A new act without a test on the wire is seen."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in ChatDo.model_fields if f'"{name}"' not in text] == []


def test_every_act_of_chats_meets_chats() -> None:
    """None is there that no request could meet."""
    for field in ChatDo.model_fields.values():
        (kind,) = (one for one in field.annotation.__args__ if one is not type(None))  # type: ignore[union-attr]
        assert issubclass(kind, Play) and "chat" in kind.ops
        assert kind.category in (Category.ANSWER, Category.DELAY, Category.HEADERS, Category.TASK)
