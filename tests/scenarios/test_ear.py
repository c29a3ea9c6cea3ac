"""A client's ear is strict: any cutting of a lawful stream is heard alike; half an answer is no answer."""

import json

import pytest

from scenarios.clients.ear import Ear

EVENTS = "text/event-stream; charset=utf-8"


def chunk(**choice: object) -> bytes:
    return b"data: " + json.dumps({"model": "m", "choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


CHAT = (
    chunk(index=0, delta={"role": "assistant", "content": ""})
    + chunk(index=0, delta={"content": "naïve "})
    + chunk(index=0, delta={"content": "🌊"}, finish_reason=None)
    + chunk(index=0, delta={}, finish_reason="stop")
    + b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\n'
    + b"data: [DONE]\n\n"
)


def listen(*pieces: bytes, protocol: str = "openai_chat", kind: str = EVENTS, close: bool = True) -> Ear:
    ear = Ear(protocol, stream=True)
    ear.head(200, kind)
    for number, piece in enumerate(pieces):
        ear.hear(piece, number)
    if close:
        ear.close(len(pieces))
    return ear


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_any_cutting_is_heard_alike(size, newline):
    """Inside a letter, between the two bytes of a line's end: the words stay the same."""
    data = CHAT.replace(b"\n", newline)
    ear = listen(*(data[at : at + size] for at in range(0, len(data), size)))
    assert ear.outcome == ("ok", None) and ear.complete
    assert (ear.said.text, ear.said.tokens, ear.said.finish) == ("naïve 🌊", 2, "stop")
    assert ear.said.usage == {"prompt_tokens": 3}


def test_comments_and_unknown_fields_are_nothing():
    """As the standard has it."""
    ear = listen(b": ping\n\nid: 3\nretry: 5\n\n" + CHAT.replace(b"data: ", b"data:"))
    assert ear.outcome == ("ok", None) and ear.said.text == "naïve 🌊"


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        (b"data: [DONE]\n\n", "unfinished"),
        (chunk(index=0, delta={}, finish_reason="stop"), "unfinished"),
    ],
)
def test_an_end_that_is_missing_is_missed(gone, why):
    """Both of them: the reason, and the mark."""
    assert listen(CHAT.replace(gone, b"")).outcome == ("lost", why)


def test_an_event_without_its_blank_line_never_came():
    """What the body ends in is dropped, as the standard has it."""
    assert listen(CHAT.removesuffix(b"\n")).outcome == ("lost", "unfinished")


def test_nothing_counts_after_the_end():
    """Readers stop there."""
    ear = listen(CHAT + chunk(index=0, delta={"content": "more"}))
    assert ear.outcome == ("ok", None) and ear.said.text == "naïve 🌊"


def test_every_choice_needs_its_end():
    """One of two voices that breaks off is a broken answer."""
    other = chunk(index=1, delta={"content": "two"})
    assert listen(other + CHAT).outcome == ("lost", "unfinished")
    assert listen(other + chunk(index=1, delta={}, finish_reason="length") + CHAT).outcome == ("ok", None)


@pytest.mark.parametrize("event", [b"data: {broken\n\n", b"data: []\n\n", b"data: \xff\xff\n\n"])
def test_an_event_that_makes_no_sense_makes_the_answer_odd(event):
    """A reader cannot know what it missed."""
    assert listen(event + CHAT).outcome == ("lost", "unreadable")


def test_a_stream_that_says_it_is_something_else():
    """Is none, whatever is in it; an error in its place is one."""
    assert listen(CHAT, kind="application/json").outcome == ("lost", "not_a_stream")
    error = b'{"error": {"type": "server_error", "code": null, "message": "no"}}'
    assert listen(error, kind="application/json").outcome == ("error", "server_error")


@pytest.mark.parametrize(
    ("protocol", "told", "code"),
    [
        ("openai_chat", b'data: {"error": {"message": "no", "code": "overloaded"}}\n\n', "overloaded"),
        ("openai_chat", b'data: {"error": "text"}\n\n', "unnamed"),
        ("openai_chat", b'event: error\ndata: {"message": "no", "type": "server"}\n\n', "server"),
        ("openai_responses", b'data: {"type": "error", "code": "x", "message": "no"}\n\n', "x"),
        (
            "openai_responses",
            b'data: {"type": "response.failed", "response": {"error": {"code": "y"}}}\n\n',
            "y",
        ),
        (
            "anthropic",
            b'data: {"type": "error", "error": {"type": "overloaded_error"}}\n\n',
            "overloaded_error",
        ),
        ("gemini", b'data: {"error": {"code": 503, "status": "UNAVAILABLE"}}\n\n', "UNAVAILABLE"),
    ],
)
def test_an_error_within_a_stream_is_told(protocol, told, code):
    """In each protocol's shapes; whatever comes after it is not heard."""
    ear = listen(told + CHAT, protocol=protocol)
    assert ear.outcome == ("error", code) and not ear.complete and ear.said.text == ""


def test_a_stream_that_breaks_off_is_not_complete():
    """Its words are there all the same."""
    ear = listen(CHAT, close=False)
    assert not ear.complete and ear.heard_end and ear.said.text == "naïve 🌊"


def test_gemini_ends_with_a_reason_and_its_body():
    """There is no mark for the end of its stream."""
    said = {"candidates": [{"content": {"parts": [{"text": "hi"}, {"thought": True, "text": "hm"}]}}]}
    ends = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"totalTokenCount": 4}}
    first, last = (b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in (said, ends))
    whole = listen(first, last, protocol="gemini")
    assert whole.outcome == ("ok", None) and whole.said.text == "hi"
    assert whole.said.usage == {"totalTokenCount": 4}
    assert listen(first, protocol="gemini").outcome == ("lost", "unfinished")


def test_the_usage_of_anthropic_is_put_together():
    """The first event names the input, the last one the output: each figure is the last that was shown."""
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
    stop = {"type": "message_stop"}
    events = [b"data: " + json.dumps(one).encode() + b"\n\n" for one in (start, delta, stop)]
    ear = listen(*events, protocol="anthropic")
    assert ear.outcome == ("ok", None) and ear.said.usage == {"input_tokens": 9, "output_tokens": 7}
    assert listen(*events[:2], protocol="anthropic").outcome == ("lost", "unfinished")


@pytest.mark.parametrize(
    ("protocol", "document", "outcome"),
    [
        ("openai_chat", {"choices": []}, ("lost", "unfinished")),
        (
            "openai_chat",
            {"choices": [{"message": {"content": "x"}, "finish_reason": None}]},
            ("lost", "unfinished"),
        ),
        ("openai_chat", [], ("lost", "unreadable")),
        ("openai_responses", {"status": "completed", "output": []}, ("ok", None)),
        ("openai_responses", {"status": "in_progress", "output": []}, ("lost", "unfinished")),
        ("anthropic", {"content": [], "stop_reason": "end_turn"}, ("ok", None)),
        ("gemini", {"promptFeedback": {"blockReason": "SAFETY"}}, ("ok", None)),
        ("openai_embeddings", {"data": []}, ("lost", "empty")),
        ("openai_embeddings", {"data": [{"embedding": [0.5]}]}, ("ok", None)),
        ("openai_chat", {"error": {"code": "x"}, "choices": []}, ("error", "x")),
    ],
)
def test_an_answer_in_one_piece(protocol, document, outcome):
    """Is whole where it says why it ended, and an error where it holds one, whatever its status."""
    ear = Ear(protocol, stream=False)
    ear.head(200, "application/json")
    ear.hear(json.dumps(document).encode(), 1)
    ear.close(2)
    assert ear.outcome == outcome


def test_a_bad_status_is_an_error_whatever_its_body():
    """Also where nobody can read it."""
    ear = Ear("openai_chat", stream=True)
    ear.head(502, "text/html")
    ear.hear(b"<html>", 1)
    ear.close(2)
    assert ear.outcome == ("error", "unreadable")
