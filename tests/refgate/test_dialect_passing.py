"""Between like protocols bytes pass: only the declared rewrites touch them, whatever else they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.dialects.canonical import Malformed, Protocol, Untranslatable
from refgate.dialects.json_edit import member, remove, replace, set_members
from refgate.dialects.passing import Asked, StreamPasser, ask, pass_answer, pass_request
from refgate.dialects.spoken import Done, Usage
from refgate.dialects.sse import SseParser
from tests.refgate.dialect_kit import heard, sse

CHAT, CLAUDE = Protocol.OPENAI_CHAT, Protocol.ANTHROPIC


def passed(protocol: Protocol, *chunks: bytes, include_usage: bool = True) -> bytes:
    parser = SseParser()
    passer = StreamPasser(protocol, "asked", include_usage=include_usage)
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)] + parser.close()
    return b"".join(passer.write(frame) for frame in frames)


def test_a_request_keeps_every_byte_but_the_models_name() -> None:
    """Order, spaces, digits, escapes and fields that nobody knows."""
    body = (
        b'{ "new" :\t[1.50, 1e3, 123456789012345678901234567890],\n "model" : "gr\\u00fcn\xc3\xbc", "n":1 }'
    )
    assert pass_request(CHAT, body, "gpt-x") == body.replace(b'"gr\\u00fcn\xc3\xbc"', b'"gpt-x"')


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"model":"m","stream":true}',
            b'{"model":"x","stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_obfuscation":false},"model":"m"}',
            b'{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true},"model":"x"}',
        ),
        (
            b'{"stream":true,"stream_options":{ "include_usage" : false },"model":"m"}',
            b'{"stream":true,"stream_options":{ "include_usage" : true },"model":"x"}',
        ),
        (
            b'{"stream":true,"stream_options":null,"model":"m"}',
            b'{"stream":true,"stream_options":{"include_usage":true},"model":"x"}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_usage":true},"model":"m"}',
            b'{"stream":true,"stream_options":{"include_usage":true},"model":"x"}',
        ),
        (b'{"model":"m","stream":false}', b'{"model":"x","stream":false}'),
    ],
)
def test_a_chat_stream_always_asks_for_usage(body: bytes, expected: bytes) -> None:
    """Also where the caller did not; else streams would be free."""
    assert pass_request(CHAT, body, "x") == expected


def test_a_byte_order_mark_is_no_obstacle() -> None:
    """Some callers write one."""
    mark = b"\xef\xbb\xbf"
    assert pass_request(CHAT, mark + b'{"model":"m"}', "x") == mark + b'{"model":"x"}'
    assert pass_answer(mark + b'{"model":"m"}', "x") == mark + b'{"model":"x"}'


def test_other_protocols_need_no_such_wish() -> None:
    """Anthropic and Responses streams tell their usage anyway."""
    body = b'{"model":"m","stream":true,"max_tokens":5}'
    assert pass_request(CLAUDE, body, "x") == b'{"model":"x","stream":true,"max_tokens":5}'
    assert pass_request(CLAUDE, b'{"model":"x"}', "x") == b'{"model":"x"}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"model":7}',
        b"{}",
        b'{"model":"a","model":"b"}',
        b'{"model":"a","n":2,"n":1}',
        b'{"model":"a","stream":"yes"}',
        b'{"model":"a","max_tokens":-5}',
        b'{"model":"a","n":18446744073709551615}',
        b'{"model":"a","n":1.5}',
        b'{"model":"a\xff"}',
        b'{"model":"a","x":' + b"[" * 100_000,
    ],
)
def test_what_could_be_read_in_two_ways_goes_nowhere(body: bytes) -> None:
    """Twice the same member, numbers that overflow, text that is none."""
    with pytest.raises(Malformed):
        pass_request(CHAT, body, "x")


def test_what_must_be_known_of_a_request_is_known() -> None:
    """For reserving money before anything is sent."""
    assert ask(CHAT, {"model": "m", "n": 3, "max_tokens": 7}) == Asked("m", False, False, 7, 3)
    assert ask(CLAUDE, {"model": "m", "max_tokens": 7, "stream": True}) == Asked("m", True, True, 7)
    assert ask(Protocol.OPENAI_RESPONSES, {"model": "m", "max_output_tokens": 7}) == Asked(
        "m", False, True, 7
    )
    with pytest.raises(Untranslatable, match="background"):
        pass_request(Protocol.OPENAI_RESPONSES, b'{"model":"m","background":true}', "x")


def test_an_answer_names_the_model_that_was_asked_for() -> None:
    """And is otherwise untouched; what is no object is wholly so."""
    body = b'{"id":"c", "model":"gpt-x-2026",\n"usage":{"model":"inner"}, "n":1.0}'
    assert pass_answer(body, "asked") == body.replace(b"gpt-x-2026", b"asked")
    for odd in (b"", b"<html>", b"[1]", b"\xff", b'{"model":7}', b'{"a":1}', b'{"model":"a","model":"b"}'):
        assert pass_answer(odd, "asked") == odd


HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}
SAID = {**HEAD, "choices": [{"index": 0, "delta": {"content": "grün"}, "finish_reason": None}]}
STOP = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
BILL = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}


def test_the_usage_chunk_stays_behind_if_nobody_asked() -> None:
    """The caller's stream is what it would be without the gateway's wish for usage."""
    stream = sse(
        {**SAID, "usage": None}, {**STOP, "usage": None}, {**HEAD, "choices": [], "usage": BILL}, done=True
    )
    plain = sse(SAID, STOP, done=True).replace(b"gpt-x", b"asked")
    assert json.loads(passed(CHAT, stream, include_usage=False)[6:].split(b"\n")[0]) == {
        **SAID,
        "model": "asked",
    }
    assert passed(CHAT, stream, include_usage=False) == plain
    assert passed(CHAT, stream) == stream.replace(b"gpt-x", b"asked")
    (*_, done) = heard(CHAT, stream)
    assert isinstance(done, Done)
    assert done.usage == Usage(input=5, output=9)


def test_usage_beside_a_finish_is_taken_out_and_the_finish_is_not() -> None:
    """A backend that puts both in one chunk."""
    shown = passed(CHAT, sse({**STOP, "usage": BILL}), include_usage=False)
    assert json.loads(shown[6:]) == {**STOP, "model": "asked"}


def test_everything_else_in_a_stream_passes_as_it_is() -> None:
    """Comments, ids, unknown events, odd spacing, errors, garbage; a frame that was cut does not."""
    stream = (
        b': keep-alive\r\n\r\nid: 7\nevent:  odd\ndata:{"model" :  "gpt-x","new":1.50}\n\n'
        b"data: [DONE]\n\ndata: not json\n\ndata: {broken\n\n: end\n\n"
    )
    assert passed(CHAT, stream) == stream.replace(b"gpt-x", b"asked")
    assert passed(CHAT, stream + b'data: {"model"') == stream.replace(b"gpt-x", b"asked")


@pytest.mark.parametrize(
    "data",
    [
        '{"model":"gpt-x","a":1}',
        '{ "a" : 1 , "model" : "gpt-x" , "b" : {"c":"}"} }',
        '{"a":{"model":"inner"},"model":"gpt-x"}',
        '{"a":[{"model":"inner"}]}',
        '{"a":"\\"model\\":\\"x\\"","model":"gpt-x"}',
        '{"a":"model","model":"gpt-x"}',
        '{"model":"g\\"x"}',
        '{"model":null}',
        '{"mod\\u0065l":"gpt-x"}',
        '{"model":"gpt-x","usage":null}',
        '{"usage":null,"model":"gpt-x"}',
        '{"usage":null}',
        '{"model":"gpt-x","a":{"usage":null}}',
        '{"model":"gpt-x","us\\u0061ge":null}',
        '{"model":"gpt-x", "usage" : null }',
    ],
)
def test_only_the_outer_members_are_touched(data: str) -> None:
    """However a chunk is laid out: the model renamed, the usage gone, all else as it was."""
    expected = {name: value for name, value in json.loads(data).items() if name != "usage"}
    if isinstance(expected.get("model"), str):
        expected["model"] = "asked"
    shown = passed(CHAT, f"data: {data}\n\n".encode(), include_usage=False)
    assert json.loads(shown.removeprefix(b"data: ")) == expected
    assert shown.endswith(b"\n\n")


def test_a_message_names_the_model_in_its_first_event_only() -> None:
    """Anthropic nests it."""
    message = {"id": "m", "model": "claude-x", "usage": {"input_tokens": 1, "output_tokens": 1}}
    stream = sse({"type": "message_start", "message": message}, {"type": "message_stop"}, named=True)
    assert passed(CLAUDE, stream) == stream.replace(b"claude-x", b"asked")


def test_a_response_names_the_model_in_every_event_that_holds_one() -> None:
    """Responses nests it too."""
    stream = sse(
        {"type": "response.created", "response": {"id": "r", "model": "gpt-x"}},
        {"type": "response.output_text.delta", "delta": '"model":"gpt-x"'},
        named=True,
    )
    assert passed(Protocol.OPENAI_RESPONSES, stream) == stream.replace(
        b'"model": "gpt-x"', b'"model": "asked"'
    )


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"data: ", b"{", b'"model"', b":", b'"a"', b"}", b"\n", b"\n\n", b","])).map(
        b"".join
    )
)
def test_any_bytes_pass(stream: bytes) -> None:
    """Nothing raises; what holds no model passes byte for byte, as far as it is whole frames."""
    shown = passed(CHAT, stream)
    if b"model" not in stream:
        assert stream.startswith(shown)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=4), json_values, max_size=4),
    st.text(max_size=4),
    json_values,
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_edits_do_to_the_text_what_they_say(
    value: dict[str, Any], name: str, new: Any, indent: int | None, ascii_only: bool
) -> None:
    """Set, replace and remove agree with the same done to the parsed value."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert json.loads(set_members(text, {name: new})) == {**value, name: new}
    assert json.loads(replace(text, (name,), new)) == ({**value, name: new} if name in value else value)
    assert json.loads(remove(text, name)) == {key: one for key, one in value.items() if key != name}
    span = member(text, (name,))
    assert (span is None) == (name not in value)
    if span is not None:
        assert json.loads(text[span[0] : span[1]]) == value[name]


TAILS = [
    '"choices":[{"delta":{"content":"a"}}]}',
    '"choices":[],"usage":null}',
    '"choices":[{"delta":{"content":"usage"}}],"usage":null}',
    '"usage":null,"choices":[]}',
    '"choices":[],"usage":{"prompt_tokens":1}}',
    '"choices":[{"delta":{"usage":null}}]}',
    '"us\\u0061ge":null}',
    '"choices":[{"delta":{"content":"\\"model\\":\\"x\\""}}],"usage":null}',
    '"inner":{"model":"other"},"usage":null}',
    '"model":"twice"}',
    '"usage" : null }',
    "broken",
]


@given(st.lists(st.sampled_from(TAILS), min_size=2, max_size=6), st.booleans(), st.booleans())
def test_a_chunk_passes_as_it_would_alone(tails: list[str], usage: bool, named: bool) -> None:
    """What was learned from the chunks before changes nothing but the time it takes."""
    head = "event: chunk\n" if named else ""
    frames = [f'{head}data: {{"id":"c","model":"gpt-x",{tail}\n\n'.encode() for tail in tails]
    alone = [passed(CHAT, frame, include_usage=usage) for frame in frames]
    assert passed(CHAT, b"".join(frames), include_usage=usage) == b"".join(alone)


def test_what_was_asked_need_not_be_read_again() -> None:
    """The same bytes go out."""
    body = b'{"model":"m","stream":true}'
    asked = ask(CHAT, json.loads(body))
    assert pass_request(CHAT, body, "x", asked=asked) == pass_request(CHAT, body, "x")
