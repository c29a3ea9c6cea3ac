"""What a chat must cost, computed again from what the backend generated, what it told, and what is declared.

A vendor that has no word for a class of tokens tells it as part of another: the price is that of what could
be told. Figures that are missing, or not those of the work, are not to be believed, and those by which
nothing went in need not be: then the declared policy says what is charged, and the row is flagged. An
estimate cannot be exact; it is bounded by the hold and by the work on one side, and by the words that were
handed on on the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fakes.journal import ChatEnded
from scenarios.checks.chat_parts import Attempt, Work
from scenarios.declared.chat import DeclaredChat
from scenarios.declared.prices import Counts, Tariff

__all__ = ["ChatDue", "believable", "due_for", "least_nanos", "tariffs_for", "told_counts", "work_nanos"]

_PLACES = MappingProxyType(
    {
        "openai_chat": ("prompt_tokens", ("completion_tokens",), "total_tokens", "prompt_tokens_details"),
        "openai_responses": ("input_tokens", ("output_tokens",), "total_tokens", "input_tokens_details"),
        "openai_embeddings": ("prompt_tokens", (), "total_tokens", ""),
        "anthropic": ("input_tokens", ("output_tokens",), "", ""),
        "gemini": ("promptTokenCount", ("candidatesTokenCount", "thoughtsTokenCount"), "totalTokenCount", ""),
    }
)
"""Where a protocol has its input, its outputs, their sum, and the parts of the input."""

_WORDS_A_TOKEN = 4  # an estimate from the words may be off by so much to the caller's good


@dataclass(frozen=True, slots=True)
class ChatDue:
    """The amounts that are right. `exact` ones need no flag; `flagged` ones need one; an estimate, flagged
    too, lies within `between`."""

    exact: frozenset[int]
    flagged: frozenset[int] = frozenset()
    between: tuple[int, int] | None = None
    why: str = "tokens × price"

    def allows(self, nanos: int, *, flagged: bool) -> bool:
        if nanos in self.exact:
            return True
        if not flagged:
            return False
        return nanos in self.flagged or (
            self.between is not None and self.between[0] <= nanos <= self.between[1]
        )


def told_counts(ended: ChatEnded, dialect: str) -> Counts:
    """What was generated, in the classes that the protocol has words for."""
    written, text = ended.cache_write_5m + ended.cache_write_1h, ended.input_uncached
    counts = {
        "input": text,
        "cache_read": ended.cache_read,
        "cache_write_5m": written,
        "input_audio": ended.input_audio,
        "output": ended.output_text,
        "output_audio": ended.output_audio,
        "reasoning": ended.output_reasoning,
    }
    if dialect == "anthropic":
        return {
            **counts,
            "input": text + ended.input_audio,
            "input_audio": 0,
            "cache_write_5m": ended.cache_write_5m,
            "cache_write_1h": ended.cache_write_1h,
            "output": ended.output_text + ended.output_audio,
            "output_audio": 0,
        }
    if dialect == "openai_responses":
        audio = {"input": text + ended.input_audio, "output": ended.output_text + ended.output_audio}
        return {**counts, **audio, "input_audio": 0, "output_audio": 0}
    if dialect == "gemini":
        silent = {"output": ended.output_text + ended.output_audio, "output_audio": 0}
        return {**counts, **silent, "input": text + written, "cache_write_5m": 0}
    if dialect == "openai_embeddings":
        return {"input": text + ended.cache_read + written + ended.input_audio}
    return counts


def believable(ended: ChatEnded, dialect: str) -> bool:
    """Whether the usage that was handed over is that of the work."""
    shown = _shown(ended)
    places = _PLACES.get(dialect)
    if shown is None or places is None:
        return False
    name_in, names_out, total, details = places
    counts = told_counts(ended, dialect)
    came_out = _came_out(counts)
    went_in = sum(counts.values()) - came_out
    if dialect == "anthropic":
        went_in = counts["input"]
        if shown.get("cache_read_input_tokens", 0) != counts["cache_read"]:
            return False
    if details and (shown.get(details) or {}).get("cached_tokens", 0) != counts["cache_read"]:
        return False
    if dialect == "gemini" and shown.get("cachedContentTokenCount", 0) != counts["cache_read"]:
        return False
    outs = [shown.get(name, 0) for name in names_out]
    figures = [shown.get(name_in), *outs]
    if not all(type(one) in (int, float) for one in figures):
        return False
    right = shown[name_in] == went_in and sum(outs) == came_out
    return right and (not total or shown.get(total) == went_in + came_out)


def _came_out(counts: Counts) -> int:
    return sum(counts.get(name, 0) for name in ("output", "output_audio", "reasoning"))


def _shown(ended: ChatEnded) -> Mapping[str, Any] | None:
    try:
        found = json.loads(ended.usage_shown or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def tariffs_for(work: Work, attempt: Attempt, chat: DeclaredChat, epoch_us: int) -> list[Tariff]:
    """The prices that may hold for this work: of the model that served, and where that has none, of the one
    that was asked for. An answer may name a model of its own, and is then believed."""
    at_us = attempt.started_us + epoch_us
    served = work.ended.model if work.ended is not None else None
    names = [served, str(attempt.row["model"])]
    found = next((one for name in names if (one := chat.prices.tariff(name, at_us)) is not None), None)
    tariffs = [] if found is None else [found]
    if any("odd" in act for act in work.acts):
        named = chat.prices.tariff(attempt.row.get("served_model"), at_us)
        asked = chat.prices.tariff(str(attempt.row["model"]), at_us)
        tariffs += [one for one in (named, asked) if one is not None and one not in tariffs]
    return tariffs


def due_for(
    work: Work, attempt: Attempt, hold_nanos: int, chat: DeclaredChat, epoch_us: int
) -> ChatDue | None:
    """What a served work must cost; None where nobody can tell."""
    if work.ended is None or work.accepted is None:
        return None
    tariffs = tariffs_for(work, attempt, chat, epoch_us)
    if not tariffs:
        free = frozenset({0})
        return None if chat.prices.open_ended else ChatDue(frozenset(), free, why="no price, policy zero")
    told = told_counts(work.ended, work.accepted.dialect)
    right = frozenset(one.cost_nanos(told) for one in tariffs)
    capped = _capped(right, hold_nanos, chat)
    in_doubt = sum(told.values()) <= _came_out(told) or _by_chance(work)
    if work.whole and not in_doubt and believable(work.ended, work.accepted.dialect):
        if capped != right:
            return ChatDue(
                frozenset(nanos for nanos in right if nanos <= hold_nanos),
                capped,
                why="usage above the hold, capped at the hold by policy",
            )
        return ChatDue(right)
    policy = chat.missing_usage
    flagged = set(capped)
    if work.ended.usage_shown is not None:
        flagged.add(tariffs[0].cost_nanos({}))  # a claim of nothing at all may be believed
    between: tuple[int, int] | None = None
    if policy == "estimate" or not work.whole:
        most = max(hold_nanos, *right)
        between = (least_nanos(work, tariffs[0]), hold_nanos if _caps(chat) else most)
    if policy == "hold":
        flagged.add(hold_nanos)
    if policy == "zero":
        flagged.add(0)
    exact = right if right == capped else frozenset[int]()
    return ChatDue(exact, frozenset(flagged), between, f"usage not to be believed, policy {policy}")


def _by_chance(work: Work) -> bool:
    """Whether the figures that a stream of Anthropic's begins with, one token out, are those of its end, too,
    and that end never came."""
    assert work.accepted is not None
    told_at_its_start = work.accepted.dialect == "anthropic" and work.accepted.stream
    return told_at_its_start and any("no_finish" in act for act in work.acts)


def _caps(chat: DeclaredChat) -> bool:
    return chat.usage_above_hold == "cap_at_hold"


def _capped(amounts: frozenset[int], hold_nanos: int, chat: DeclaredChat) -> frozenset[int]:
    return frozenset(min(one, hold_nanos) for one in amounts) if _caps(chat) else amounts


def least_nanos(work: Work, tariff: Tariff) -> int:
    """What the words alone cost that the provider handed over, by the most careful count of them."""
    if work.ended is None or not work.ended.text:
        return 0
    return tariff.least_nanos(len(work.ended.text.split())) // _WORDS_A_TOKEN


def work_nanos(work: Work, attempt: Attempt, chat: DeclaredChat, epoch_us: int) -> int | None:
    """What all that was generated costs, at the configured price; None where it has none."""
    if work.ended is None or work.accepted is None:
        return None
    tariffs = tariffs_for(work, attempt, chat, epoch_us)
    told = told_counts(work.ended, work.accepted.dialect)
    return max((one.cost_nanos(told) for one in tariffs), default=None)
