"""The scripted completion: text, tool calls, reasoning or a refusal, token by token, for any vendor.

A piece is one token. The first of a text names the request (`[nonce:abc by p/12]`: its nonce, the
provider, its number), so that whose words a caller got is seen, and from whom; the words after it are
drawn, and hold letters of more than one byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fakes.acts.chats import BrokenToolCall, Completes, ContentFilter, Finish
from fakes.chance import chance
from fakes.chat.asked import Asked
from fakes.chat.plan import ChatPlan
from fakes.chat.tokens import Tokens
from fakes.json_text import json_bytes

__all__ = ["Completion", "Part", "Speaker", "composed", "grouped"]

_WORDS = (
    *(
        "river",
        "café",
        "stone",
        "over",
        "naïve",
        "light",
        "東京",
        "runs",
        "slowly",
        "über",
        "grain",
        "window",
    ),
    *(
        "window",
        "Ωmega",
        "field",
        "salt",
        "quiet",
        "north",
        "jalapeño",
        "copper",
        "seven",
        "dawn",
        "🌊",
        "paper",
    ),
)
_USUAL = Completes()
_ARGUMENT_PIECE = 6  # letters of a tool call that make one token


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of an answer. A tool call has a name and an id, and its arguments for pieces."""

    kind: Literal["reasoning", "text", "refusal", "call"]
    pieces: tuple[str, ...]
    name: str = ""
    id: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model really said, one list of parts for each choice, and the tokens that took.

    `blocked`: the prompt met a filter, and nothing was said.
    """

    choices: tuple[tuple[Part, ...], ...]
    finish: Finish
    tokens: Tokens
    blocked: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.choices[0]


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks, and in answer to what: what a text's first piece and its draws are made of."""

    name: str
    seq: int
    seed: int
    nonce: str | None

    @property
    def tag(self) -> str:
        by = f"by {self.name}/{self.seq}"
        return f"[nonce:{self.nonce} {by}]" if self.nonce else f"[{by}]"

    def words(self, choice: int, count: int) -> Iterator[str]:
        """So many words: from a place and in steps that are drawn, so that two draws are enough."""
        first, step = (chance(self.seed, self.name, self.seq, what, choice) for what in ("first", "step"))
        place, stride = int(first * len(_WORDS)), 1 + int(step * (len(_WORDS) - 1))
        for number in range(count):
            # Every text has a letter of two bytes, near its beginning.
            yield " naïve" if number == 1 else f" {_WORDS[(place + number * stride) % len(_WORDS)]}"


def composed(
    asked: Asked,
    plan: ChatPlan,
    speaker: Speaker,
    *,
    completes: Completes | None = None,
    filtered: ContentFilter | None = None,
    broken: BrokenToolCall | None = None,
) -> Completion:
    """The completion of this request, as the acts have it and else the plan."""
    says = completes or _USUAL
    blocked = filtered is not None and filtered.side == "input"
    reasoning = plan.reasoning if says.reasoning is None else says.reasoning
    choices: list[tuple[Part, ...]] = []
    cut = False
    for choice in range(asked.choices):
        parts = () if blocked else tuple(_parts(asked, plan, speaker, says, broken, choice, reasoning))
        if filtered is not None and not blocked:
            parts = tuple(_half(parts))
        kept = tuple(_within(parts, asked.tokens_max))
        cut = cut or kept != parts
        choices.append(kept)
    finish = _finish(choices[0], says, cut, filtered is not None)
    return Completion(tuple(choices), finish, _tokens(asked, plan, says, choices), blocked)


def _parts(
    asked: Asked,
    plan: ChatPlan,
    speaker: Speaker,
    says: Completes,
    broken: BrokenToolCall | None,
    choice: int,
    reasoning: int,
) -> Iterator[Part]:
    if reasoning:
        yield Part("reasoning", tuple(f" step-{n}" if n else "step-0" for n in range(reasoning)))
    if says.refusal is not None:
        yield Part("refusal", (speaker.tag, *re.findall(r"\s*\S+", f" {says.refusal}")))
        return
    calls = says.calls if says.calls is not None else int(asked.tool_forced is not None)
    calls = calls if asked.tools else 0
    if says.text is not None:
        yield Part("text", (speaker.tag, *re.findall(r"\s*\S+", f" {says.text}")))
    elif not calls or says.words is not None:
        words = plan.words if says.words is None else says.words
        yield Part("text", (speaker.tag, *speaker.words(choice, words)))
    for number in range(calls):
        forced = asked.tool_forced if asked.tool_forced in asked.tools else None
        name = forced or asked.tools[number % len(asked.tools)]
        yield _call(name, number, choice, speaker, broken)


def _call(name: str, number: int, choice: int, speaker: Speaker, broken: BrokenToolCall | None) -> Part:
    arguments = json_bytes({"nonce": speaker.nonce, "by": f"{speaker.name}/{speaker.seq}"}).decode()
    match broken:
        case BrokenToolCall(shows="not_json"):
            arguments = arguments[:-3]
        case BrokenToolCall(shows="empty"):
            arguments = ""
        case BrokenToolCall(shows="not_offered"):
            name = "tool_nobody_offered"
        case _:
            pass
    pieces = re.findall(rf"(?s).{{1,{_ARGUMENT_PIECE}}}", arguments)
    return Part("call", tuple(pieces), name, f"{speaker.seq}x{choice}x{number}")


def _half(parts: Iterable[Part]) -> Iterator[Part]:
    """What was said before a filter on the output stepped in: the first half of the text."""
    for part in parts:
        if part.kind != "call":
            yield Part(part.kind, part.pieces[: -(-len(part.pieces) // 2)])


def _within(parts: Iterable[Part], tokens_max: int | None) -> Iterator[Part]:
    left = tokens_max
    for part in parts:
        if left is None or len(part.pieces) <= left:
            yield part
            left = None if left is None else left - len(part.pieces)
        else:
            if left:
                yield Part(part.kind, part.pieces[:left], part.name, part.id)
            return


def _finish(parts: tuple[Part, ...], says: Completes, cut: bool, filtered: bool) -> Finish:
    if filtered:
        return "content_filter"
    if says.finish is not None:
        return says.finish
    if cut:
        return "length"
    kinds = {part.kind for part in parts}
    if "refusal" in kinds:
        return "refusal"
    return "tool_calls" if "call" in kinds else "stop"


def _tokens(asked: Asked, plan: ChatPlan, says: Completes, choices: list[tuple[Part, ...]]) -> Tokens:
    total = next(n for n in (says.prompt, plan.prompt, asked.prompt.tokens) if n is not None)
    left = total
    parts: dict[str, int] = {}
    for name, usual in (
        ("cache_read", plan.cache_read),
        ("cache_write_5m", plan.cache_write_5m),
        ("cache_write_1h", plan.cache_write_1h),
        ("input_audio", 0),
    ):
        given = getattr(says, name)
        parts[name] = min(left, usual if given is None else given)  # a short prompt has no more to cache
        left -= parts[name]
    spoken = [part for choice in choices for part in choice]
    return Tokens(
        input_uncached=left,
        output_text=sum(len(part.pieces) for part in spoken if part.kind != "reasoning"),
        output_reasoning=sum(len(part.pieces) for part in spoken if part.kind == "reasoning"),
        output_audio=says.output_audio or 0,
        **parts,
    )


def grouped(pieces: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    """The pieces of one event after another."""
    for start in range(0, len(pieces), size):
        yield pieces[start : start + size]
