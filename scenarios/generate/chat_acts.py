"""Acts of providers of language models, of every kind in the vocabulary, and the plans they depart from.

What fits any answer is drawn as for providers of tasks; the rest has its own table here. All is small: a few
dozen words, seconds of silence, so that an answer is over within a run.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fakes.acts.chats import (
    Billed,
    BrokenToolCall,
    ChatUsageShown,
    ErrorKind,
    Finish,
    FramingKind,
    LimitWhy,
    NoFinish,
    OddAnswer,
    StreamError,
    WaitForm,
)
from fakes.acts.play import Play
from fakes.acts.vocabulary import ChatDo
from scenarios.generate.acts import PROVIDER_KINDS
from scenarios.generate.plain import Plain, Word, either, fields, nothing, seldom, sometimes, spans, whole
from scenarios.generate.scripts import OF_ANY, acts_of

__all__ = ["CHAT_KINDS", "SELF", "chat_acts", "draw_plan"]

SELF = "{self}"
"""Stands for the name of the provider that says it."""

_OPS = ("chat", "embed")
_TEXTS = (
    "yes",
    "",
    "naïve café",
    "\U0001f600 ok \U0001f44d",
    "[DONE]",
    "data: {}",
    "a\n\nevent: error\n",
    "\u2028 end",
)
_MESSAGES = (f"canary-provider-{SELF} is no key", "ü\n\ndata: x", "")


def _shown(play: type[Play], field: str) -> Word:
    return either(*typing.get_args(play.model_fields[field].annotation))


def _one_of(literal: Any) -> Word:
    return either(*typing.get_args(literal))


# Where in a stream.

_PLACE = either("after_words", "after_events")
_WHERE = either(0, 1, 2, 3, 5, 10, 30)


def _in_stream(**parts: Word) -> Word:
    rest = fields(**parts)
    return lambda draw: {_PLACE(draw): _WHERE(draw), **rest(draw)}


_BILLED = sometimes(_one_of(Billed))
_ERRORS = sometimes(_one_of(ErrorKind))


# What is completed.

_REFUSES = seldom(either("I cannot help with that."))
_SAYS = fields(
    text=seldom(either(*_TEXTS)),
    words=sometimes(either(1, 0, 5, 40)),
    calls=sometimes(whole(0, 3)),
)
_ENDS = fields(reasoning=seldom(either(1, 8, 30)), finish=seldom(_one_of(Finish)))
_PROMPT = sometimes(either(40, 1, 0, 201, 5_000))
_SOUND_OUT = fields(output_audio=seldom(either(1, 12)))
_CLASSES = ("cache_read", "cache_write_5m", "cache_write_1h", "input_audio")
_QUARTERS = fields(**{name: seldom(either(1, 0)) for name in _CLASSES})


def _completes(draw: DrawFn) -> Plain:
    refusal = _REFUSES(draw)
    found: Plain = {"refusal": refusal} if refusal is not None else _SAYS(draw)
    prompt, parts = _PROMPT(draw), _QUARTERS(draw)
    if prompt is not None:
        found |= {"prompt": prompt, **{name: part * prompt // 4 for name, part in parts.items()}}
    return {**found, **_ENDS(draw), **_SOUND_OUT(draw)}


_KINDS_OF_FRAMING = st.lists(
    st.sampled_from(typing.get_args(FramingKind)), min_size=1, max_size=3, unique=True
)
_PIECES = fields(bytes=sometimes(either(1, 7, 200)))


def _framing(draw: DrawFn) -> Plain:
    return {"kinds": draw(_KINDS_OF_FRAMING), **_PIECES(draw)}


_OWN: Mapping[str, Word] = MappingProxyType(
    {
        "rate_limited": fields(
            retry_after=sometimes(spans(1_000, 20_000, by_ms=500)),
            form=sometimes(_one_of(WaitForm)),
            why=seldom(_one_of(LimitWhy)),
            should_retry=seldom(either(False, True)),
        ),
        "error_in_200": fields(error=_ERRORS, message=seldom(either(*_MESSAGES))),
        "completes": _completes,
        "takes": fields(
            first=sometimes(spans(0, 30_000, by_ms=500)),
            between=sometimes(either("0us", "100ms", "1s", "4s")),
            jitter=seldom(spans(100, 2_000, by_ms=100)),
        ),
        "content_filter": fields(side=sometimes(either("input"))),
        "stream_error": _in_stream(
            error=_ERRORS,
            message=seldom(either(*_MESSAGES)),
            shape=sometimes(_shown(StreamError, "shape")),
            then=sometimes(_shown(StreamError, "then")),
            billed=_BILLED,
        ),
        "stall": _in_stream(for_=sometimes(spans(500, 30_000, by_ms=500))),
        "truncated": _in_stream(billed=_BILLED),
        "cut_stream": _in_stream(
            how=sometimes(either("close")), in_character=sometimes(either(True)), billed=_BILLED
        ),
        "malformed_chunk": _in_stream(),
        "duplicated": _in_stream(times=sometimes(either(2, 20))),
        "framing": _framing,
        "usage": fields(shown=_one_of(ChatUsageShown)),
        "no_finish": fields(shows=sometimes(_shown(NoFinish, "shows"))),
        "odd_answer": fields(shows=_shown(OddAnswer, "shows")),
        "broken_tool_call": fields(shows=sometimes(_shown(BrokenToolCall, "shows"))),
        "answer_leak": nothing,
    }
)

CHAT_KINDS: Mapping[str, Word] = MappingProxyType(
    {kind: _OWN[kind] if kind in _OWN else PROVIDER_KINDS[kind] for kind in ChatDo.model_fields}
)


def chat_acts(kinds: Collection[str]) -> Word:
    """One act of a provider of models, of one of these kinds."""
    return acts_of(ChatDo, CHAT_KINDS, kinds, lambda met: _matching(tuple(op for op in _OPS if op in met)))


@cache
def _matching(ops: tuple[str, ...]) -> Word:
    op_of = seldom(either(*ops))
    of_a_chat = fields(stream=seldom(either(True, False)), model=seldom(either("gpt-*", "*mini", "*")))

    def word(draw: DrawFn) -> Plain:
        op = op_of(draw)
        found: Plain = {} if op is None else {"op": op}
        return {**found, **OF_ANY(draw), **(of_a_chat(draw) if op != "embed" else {})}

    return word


# Plans. At its slowest an answer is within the shortest times that a gateway is drawn with.

_LIMITS = fields(
    rpm=sometimes(either(60, 5, 1, 600)),
    tpm=seldom(either(2_000, 200)),
    input_tpm=seldom(either(2_000, 200)),
    output_tpm=seldom(either(1_000, 100)),
    start=seldom(either("seeded")),
)
_FIRST = sometimes(either("0us", "50ms", "1s"))
_WITH_ITS_HEAD = seldom(either("50ms"))
_PLAN = fields(
    words=sometimes(either(3, 0, 12, 40)),
    reasoning=seldom(either(4, 20)),
    words_per_event=seldom(either(3, 100)),
    prompt=seldom(either(30, 1, 400)),
    cache_read=seldom(either(3, 20)),
    cache_write_5m=seldom(either(2, 20)),
    cache_write_1h=seldom(either(2)),
    first_jitter=seldom(either("200ms", "1s")),
    between=sometimes(either("0us", "5ms", "100ms")),
    load_factor=seldom(either("2", "3")),
    load_full=seldom(either(2)),
    left_stream=seldom(either("runs_on")),
    left_whole=seldom(either("stops")),
    obfuscation=seldom(either(True)),
    embedding_dimensions=seldom(either(1, 64)),
)
_LIMITED = seldom(lambda draw: _LIMITS(draw) or None)


def draw_plan(draw: DrawFn, models: Mapping[str, Any] | None) -> Plain:
    """The plan of a provider; `models`, where they are not the vendor's usual ones."""
    found: Plain = _PLAN(draw)
    first, limits = _FIRST(draw), _LIMITED(draw)
    if first is not None:
        found["first"] = first
    if first != "0us" and _WITH_ITS_HEAD(draw) is not None:
        found["headers"] = "50ms"
    return {**found, **({"limits": limits} if limits else {}), **({"models": models} if models else {})}
