"""Whatever a provider sends, a reader ends once, raises nothing, and every caller gets a sound stream."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.dialects.canonical import Malformed, Protocol
from refgate.dialects.json_text import dumps, loads, parse_object
from refgate.dialects.registry import read_answer, write_answer
from refgate.dialects.spoken import Answer, Broke, Done, Fault
from refgate.dialects.sse import SseParser
from refgate.money import loads_exact
from tests.refgate.dialect_kit import CALLERS, SPOKEN, heard, told
from tests.refgate.test_dialect_answers import STREAMS, WHOLE

odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "index", "text", "error", "usage", "id"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every member of every object and list inside."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def spoiled(data: st.DataObject, value: Any) -> Any:
    """A copy with some of its members set to something else."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(value)
        if found:
            holder, key = data.draw(st.sampled_from(found))
            holder[key] = data.draw(odd)
    return value


def sound(protocol: Protocol, stream: bytes) -> None:
    parser = SseParser()
    frames = parser.feed(stream) + parser.close()
    for frame in frames:
        assert frame.closed
        if frame.data is not None and frame.data != "[DONE]":
            assert isinstance(json.loads(frame.data), dict)
    if protocol is Protocol.ANTHROPIC:
        kinds = [frame.event for frame in frames]
        assert kinds.count("content_block_start") - kinds.count("content_block_stop") in (0, 1)


@given(st.sampled_from(list(STREAMS)), st.data())
def test_a_spoiled_stream_ends_once_and_harms_no_caller(provider: Protocol, data: st.DataObject) -> None:
    """Wrong types anywhere in any event, events lost or out of order."""
    blocks = [block for block in STREAMS[provider].split(b"\n\n") if block]
    at = data.draw(st.integers(0, len(blocks) - 1))
    head, _, text = blocks[at].rpartition(b"data: ")
    if text != b"[DONE]":
        blocks[at] = head + b"data: " + json.dumps(spoiled(data, json.loads(text))).encode()
    if data.draw(st.booleans()):
        del blocks[data.draw(st.integers(0, len(blocks) - 1))]
    if data.draw(st.booleans()):
        blocks = data.draw(st.permutations(blocks))
    events = heard(provider, b"".join(block + b"\n\n" for block in blocks))
    ends = [event for event in events if isinstance(event, Done | Broke)]
    assert ends == events[-1:]
    for caller in CALLERS:
        sound(caller, told(caller, events))


@given(st.sampled_from([*WHOLE, Protocol.OPENAI_EMBEDDINGS]), st.data())
def test_a_spoiled_answer_is_an_answer_or_a_failure(provider: Protocol, data: st.DataObject) -> None:
    """Nothing in between, and each caller can be told."""
    body = spoiled(data, WHOLE.get(provider, {"data": [{}], "usage": {"prompt_tokens": 1}}))
    read = read_answer(provider, json.dumps(body).encode(), call_prefix="c")
    assert isinstance(read, Answer | Broke)
    if isinstance(read, Answer):
        for caller in CALLERS:
            written = write_answer(caller, read, SPOKEN)
            assert isinstance(written, Fault) or isinstance(json.loads(written), dict)


@given(st.sampled_from(list(STREAMS)), st.binary(max_size=300))
def test_any_bytes_are_a_broken_stream(provider: Protocol, stream: bytes) -> None:
    """A proxy's page, another protocol, noise."""
    assert isinstance(heard(provider, stream)[-1], Broke)


numbers = st.decimals(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(documents)
def test_json_comes_back_exactly(document: Any) -> None:
    """Numbers keep their digits, text its characters; also half a surrogate pair."""
    text = dumps(document)
    assert dumps(loads_exact(text)) == dumps(loads(text)) == text
    assert text.encode()


def test_json_keeps_numbers_as_they_were_written() -> None:
    """Neither rounded nor shortened."""
    text = '{"a":0.10,"b":1E+3,"c":123456789012345678901234567890,"d":[1.0]}'
    assert dumps(loads_exact(text)) == text
    assert dumps(Decimal("0.10")) == "0.10"
    for number in ("NaN", "Infinity"):
        with pytest.raises(ValueError, match="JSON"):
            dumps(Decimal(number))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"7"])
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    """Whatever it is instead."""
    with pytest.raises(Malformed):
        parse_object(body)
