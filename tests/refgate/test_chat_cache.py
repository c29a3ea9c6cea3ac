"""Only whole answers to questions that want no chance are kept, each for its own tenant and question."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.chat.cache import Cache, Kept, may_be_kept
from refgate.config.chat import Cache as Rule
from refgate.dialects.assembly import assemble, events_of
from refgate.dialects.canonical import Protocol, Refusal, Text, Thinking, ToolCall
from refgate.dialects.registry import Spoken, stream_writer, write_answer
from refgate.dialects.spoken import (
    Answer,
    Began,
    Broke,
    CallBegan,
    Done,
    Event,
    Fault,
    FaultKind,
    Finish,
    OtherSaid,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
    Unmetered,
    Usage,
)

S = 1_000_000
CHAT = {"model": "small", "messages": [{"role": "user", "content": "say it"}], "temperature": 0}
RESPONSES = {"model": "small", "input": "say it", "temperature": 0}
MESSAGES = {**CHAT, "max_tokens": 9}
CONTENTS = {
    "contents": [{"role": "user", "parts": [{"text": "say it"}]}],
    "generationConfig": {"temperature": 0},
}
BODIES: dict[Protocol, dict[str, Any]] = {
    Protocol.OPENAI_CHAT: CHAT,
    Protocol.OPENAI_RESPONSES: RESPONSES,
    Protocol.ANTHROPIC: MESSAGES,
    Protocol.GEMINI: CONTENTS,
}
USAGE = Usage(input=7, output=3)
WHOLE = Answer("up-1", "gpt-4o-mini", (Text("said"),), Finish.STOP, USAGE)


def rule(**changes: Any) -> Rule:
    return Rule.model_validate(changes)


def kept(answer: Answer = WHOLE) -> Kept:
    return Kept(answer, 5_000)


def key(body: dict[str, Any], *, account: str = "alice", protocol: Protocol = Protocol.OPENAI_CHAT) -> Any:
    model = body.get("model", "small")
    return Cache(rule()).key_of(account=account, protocol=protocol, model=model, body=body)


@pytest.mark.parametrize("protocol", BODIES)
def test_the_form_of_the_telling_is_not_in_the_key(protocol: Protocol) -> None:
    """A stream's caller and a plain one share an answer, in every protocol a chat caller speaks."""
    body = BODIES[protocol]
    assert key(body, protocol=protocol) is not None
    if protocol is not Protocol.GEMINI:  # whose callers ask for a stream by the path
        assert key(body, protocol=protocol) == key({**body, "stream": True}, protocol=protocol)
    if protocol is Protocol.OPENAI_CHAT:
        told = {**body, "stream": True, "stream_options": {"include_usage": True}}
        assert key(body) == key(told)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": None},
        {"temperature": 1},
        {"temperature": Decimal("0.7")},
        {"logprobs": True},
        {"n": 2},
        {"store": True},
        {"x-unknown": 1},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}
            ]
        },
    ],
)
def test_what_is_not_for_the_cache_has_no_key(change: dict[str, Any]) -> None:
    """Sampled answers; what the canonical answer could not tell again; what is only pointed at."""
    assert key({**CHAT, **change}) is None


def test_a_seed_asks_for_the_same_answer() -> None:
    """The caller's own word for it, whatever the temperature."""
    body = {**CHAT, "temperature": Decimal("0.7"), "seed": 1}
    assert key(body) is not None
    assert key(body) != key({**body, "seed": 2})


def test_vectors_are_passed_by() -> None:
    """What an embeddings answer holds is not in the canonical one."""
    assert key({"model": "embed", "input": "x"}, protocol=Protocol.OPENAI_EMBEDDINGS) is None


def test_a_model_that_the_path_names_is_in_the_key() -> None:
    """Gemini's callers say it there, and not in the body."""
    keys = {
        Cache(rule()).key_of(account="alice", protocol=Protocol.GEMINI, model=model, body=CONTENTS)
        for model in ("small", "smart")
    }
    assert None not in keys and len(keys) == 2


CHANGES: list[tuple[str, st.SearchStrategy[Any]]] = [
    ("max_tokens", st.integers(1, 9999)),
    ("top_p", st.decimals("0.01", "1", places=2)),
    ("seed", st.integers(-100, 100)),
    ("presence_penalty", st.integers(-2, 2)),
    ("frequency_penalty", st.integers(-2, 2)),
    ("stop", st.lists(st.text(max_size=5), max_size=3)),
    ("user", st.text(max_size=8)),
    ("metadata", st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)),
    ("reasoning_effort", st.sampled_from(["low", "high"])),
    ("response_format", st.just({"type": "json_object"})),
    ("messages", st.text(max_size=8).map(lambda text: [{"role": "user", "content": text}])),
]
PARAMETERS = st.fixed_dictionaries({}, optional=dict(CHANGES))


@given(PARAMETERS, PARAMETERS)
def test_two_questions_share_a_key_only_where_they_are_one(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Whatever parameter differs, sampled or not, and whatever it is called."""
    first, second = {**CHAT, **one}, {**CHAT, **other}
    assert key(first) is not None
    assert (key(first) == key(second)) == (shown(first) == shown(second))


def shown(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, default=lambda number: f"decimal {number}")


NAMES = st.text(max_size=6)


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
def test_no_tenant_or_model_meets_another(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Account and model are parts of the key of their own: moving a letter from one to the other matters."""
    keys = [
        Cache(rule()).key_of(account=account, protocol=Protocol.OPENAI_CHAT, model=model, body=CHAT)
        for account, model in (one, other)
    ]
    assert None not in keys
    assert (keys[0] == keys[1]) == (one == other)


def test_protocols_do_not_meet() -> None:
    """One body may be a question in two protocols; its answers are told differently."""
    assert key(MESSAGES) != key(MESSAGES, protocol=Protocol.ANTHROPIC)


@given(st.permutations(list(MESSAGES)))
def test_the_order_of_members_does_not_matter(names: list[str]) -> None:
    """JSON objects have none."""
    assert key({name: MESSAGES[name] for name in names}) == key(copy.deepcopy(MESSAGES))


@pytest.mark.parametrize(
    "answer",
    [
        replace(WHOLE, finish=Finish.LENGTH),
        replace(WHOLE, finish=Finish.CONTENT_FILTER),
        replace(WHOLE, finish=Finish.REFUSAL),
        replace(WHOLE, finish=Finish.PAUSE),
        replace(WHOLE, parts=()),
        replace(WHOLE, parts=(Refusal("no"),)),
        replace(WHOLE, notes=("finish_missing",)),
        replace(WHOLE, parts=(ToolCall("call_1", "look", '{"at":'),), finish=Finish.TOOL_CALLS),
        replace(WHOLE, parts=(ToolCall("call_1", "look", "[]"),), finish=Finish.TOOL_CALLS),
        replace(WHOLE, others=("another choice",)),
        replace(WHOLE, usage=Unmetered()),
    ],
)
def test_what_is_not_whole_is_not_kept(answer: Answer) -> None:
    """Half an answer, or one that nobody knows the cost of, would be served again and again."""
    cache = Cache(rule())
    assert not may_be_kept(answer)
    assert not cache.put("k", kept(answer), 0)
    assert cache.get("k", 0) is None


def test_tool_calls_and_thoughts_are_kept() -> None:
    """They are as whole as words."""
    parts = (Thinking("hm", "sig"), Text("I call"), ToolCall("call_1", "look", '{"at":1}'))
    assert Cache(rule()).put("k", kept(replace(WHOLE, parts=parts, finish=Finish.TOOL_CALLS)), 0)


def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    """Being asked for does not make it younger; a clock that went back makes it unknown, not eternal."""
    cache = Cache(rule(ttl="10s"))
    cache.put("k", kept(), 5 * S)
    assert cache.get("k", 15 * S - 1) == kept()
    assert cache.get("k", 15 * S) is None
    assert len(cache) == 0
    cache.put("k", kept(), 5 * S)
    assert cache.get("k", 4 * S) is None


def test_the_least_lately_used_goes_first() -> None:
    """The number of entries is bounded, and what is asked for stays."""
    cache = Cache(rule(entries=2))
    for name in ("a", "b"):
        cache.put(name, kept(), 0)
    cache.get("a", 1)
    cache.put("c", kept(), 2)
    assert [name for name in "abc" if cache.get(name, 3)] == ["a", "c"]
    assert len(cache) == 2


def test_an_answer_larger_than_declared_is_not_kept() -> None:
    """Measured in bytes of what was said, whichever way it was told."""
    cache = Cache(rule(body="10B"))
    assert cache.put("k", kept(replace(WHOLE, parts=(Text("ä" * 5),))), 0)
    assert not cache.put("l", kept(replace(WHOLE, parts=(Text("ä" * 6),))), 0)


def test_a_hit_costs_what_is_declared() -> None:
    """Nothing, or what the first one to ask was charged."""
    assert Cache(rule()).cost_nanos(kept()) == 0
    assert Cache(rule(hit="full_price")).cost_nanos(kept()) == 5_000


def heard(events: list[Event], **changes: Any) -> Answer | None:
    hearing = Cache(rule(**changes)).heard()
    for event in events:
        hearing.take(event)
    return hearing.answer()


def test_a_stream_is_kept_once_it_is_over() -> None:
    """Put together it is the answer; before its end, broken or too large, it is none."""
    events = list(events_of(WHOLE))
    assert heard(events) == WHOLE
    assert heard(events[:-1]) is None
    assert heard([*events[:-1], Broke(Fault(FaultKind.SERVER, "x"), USAGE)]) is None
    assert heard(events, body="3B") is None


@pytest.mark.parametrize(
    "event",
    [
        TextSaid("abc"),
        ThoughtSaid("abc"),
        RefusalSaid("abc"),
        OtherSaid(1, "abc"),
        CallBegan(0, "call", "look"),
        CallBegan(0, "", ""),
        ThoughtSigned("abc"),
        ThoughtSigned(None, "abc"),
    ],
)
def test_a_stream_too_large_to_keep_is_let_go(event: Event) -> None:
    """Whatever it is that it says: what is heard for the cache is bounded by what the cache may keep."""
    long: list[Event] = [Began("i", "m"), *[event] * 2001, Done(Finish.STOP, USAGE, "m")]
    assert heard(long, body="2kB") is None


@pytest.mark.parametrize("protocol", BODIES)
def test_a_kept_answer_is_told_in_both_forms_under_the_callers_names(protocol: Protocol) -> None:
    """The stream assembled is the answer, with the id and the model's name of the one who asks now."""
    spoken = Spoken("call-2", "small", 1_700_000_000, BODIES[protocol], include_usage=True)
    body = write_answer(protocol, WHOLE, spoken)
    writer = stream_writer(protocol, spoken)
    stream = b"".join(writer.write(event) for event in events_of(WHOLE))
    assert isinstance(body, bytes)
    for told in (body, stream):
        assert b"said" in told and b'"small"' in told
        assert b"gpt-4o-mini" not in told and b"up-1" not in told
    assert assemble(events_of(WHOLE)) == WHOLE
