"""Usage figures, as each protocol reports them, in disjoint token classes; what is not sound is Unmetered.

OpenAI's prompt includes cached tokens, Anthropic's input does not; Gemini's candidates leave thoughts out;
some OpenAI-like providers count reasoning beside the completion and not in it (told by the total). A
figure is a whole number from 0 to TOKENS_MAX or it is none: hostile numbers never become an amount.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from refgate.dialects.spoken import Metered, Unmetered, Usage
from refgate.money import BadUsage

__all__ = [
    "TOKENS_MAX",
    "later",
    "read_anthropic",
    "read_embeddings",
    "read_gemini",
    "read_openai_chat",
    "read_responses",
]

TOKENS_MAX = 10**9
"""More than any call can use."""


def read_openai_chat(value: Any) -> Metered:
    """`usage` of a chat completion or of a stream's chunk."""
    return _guarded(value, _openai_chat)


def read_responses(value: Any) -> Metered:
    """`usage` of a Responses object."""
    return _guarded(value, _responses)


def read_anthropic(value: Any) -> Metered:
    """`usage` of a message; for a stream, of all its usage objects laid over each other."""
    return _guarded(value, _anthropic)


def read_gemini(value: Any) -> Metered:
    """`usageMetadata` of an answer or of a stream's last chunk that has it."""
    return _guarded(value, _gemini)


def read_embeddings(value: Any) -> Metered:
    """`usage` of an embeddings answer: nothing comes out but vectors."""
    return _guarded(value, _embeddings)


def later(before: Metered | None, now: Metered) -> Metered:
    """Of two reports in one stream, the one that stands: the later, for all reports are cumulative.

    Counts do not fall. Where they do, the larger report stands and is flagged; where the later one is
    not sound, nothing is known for certain.
    """
    if not isinstance(before, Usage) or not isinstance(now, Usage):
        return now
    if now.prompt < before.prompt or now.completion < before.completion:
        if "usage_fell" in before.flags:
            return before
        return _flagged(before, "usage_fell")
    return _flagged(now, "usage_fell") if "usage_fell" in before.flags else now


def _flagged(usage: Usage, flag: str) -> Usage:
    return Usage(
        usage.input,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.input_audio,
        usage.output,
        usage.output_audio,
        usage.reasoning,
        usage.web_searches,
        (*usage.flags, flag),
    )


def _guarded(value: Any, read: Any) -> Metered:
    if value is None:
        return Unmetered("missing")
    if not isinstance(value, dict):
        return Unmetered("not_an_object")
    try:
        usage: Usage = read(value)
    except BadUsage as bad:
        return Unmetered(bad.reason)
    return usage


def _count(value: Any) -> int:
    """A token count. Raises BadUsage."""
    if value is None:
        raise BadUsage("missing")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadUsage("not_a_number")
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise BadUsage("not_finite")
        if value < 0:
            raise BadUsage("negative")
        if value > TOKENS_MAX:
            raise BadUsage("too_large")
        if value != value.to_integral_value():
            raise BadUsage("not_whole")
    if value < 0:
        raise BadUsage("negative")
    if value > TOKENS_MAX:
        raise BadUsage("too_large")
    return int(value)


def _optional(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return 0 if value is None else _count(value)


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = usage.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadUsage("not_an_object")
    return value


def _of_prompt(prompt: int, cached: int, written: int, audio: int) -> tuple[int, int, tuple[str, ...]]:
    """Uncached text and uncached audio of an inclusive prompt count.

    Cached sound is in both subsets, and nothing says how much: where they overlap, the cache has it.
    """
    if cached + written > prompt:
        raise BadUsage("cached_above_prompt")
    if audio > prompt:
        raise BadUsage("audio_above_prompt")
    rest = prompt - cached - written
    if audio > rest:
        return 0, rest, ("audio_overlaps_cache",)
    return rest - audio, audio, ()


def _openai_chat(usage: Mapping[str, Any]) -> Usage:
    prompt = _count(usage.get("prompt_tokens"))
    completion = _count(usage.get("completion_tokens"))
    of_prompt = _details(usage, "prompt_tokens_details")
    of_completion = _details(usage, "completion_tokens_details")
    cached = _optional(of_prompt, "cached_tokens")
    written = _optional(of_prompt, "cache_write_tokens")
    audio_in = _optional(of_prompt, "audio_tokens")
    audio_out = _optional(of_completion, "audio_tokens")
    reasoning = _optional(of_completion, "reasoning_tokens")
    flags: tuple[str, ...] = ()
    if usage.get("total_tokens") is not None:
        total = _count(usage["total_tokens"])
        if total != prompt + completion:
            if total != prompt + completion + reasoning:
                raise BadUsage("total_is_not_the_sum")
            completion += reasoning  # counted beside the completion: the total says so
            flags = ("reasoning_beside_completion",)
    if reasoning + audio_out > completion:
        raise BadUsage("details_above_completion")
    text, audio_in, more = _of_prompt(prompt, cached, written, audio_in)
    return Usage(
        input=text,
        cache_read=cached,
        cache_write_5m=written,
        input_audio=audio_in,
        output=completion - audio_out,
        output_audio=audio_out,
        reasoning=reasoning,
        flags=(*flags, *more),
    )


def _responses(usage: Mapping[str, Any]) -> Usage:
    prompt = _count(usage.get("input_tokens"))
    completion = _count(usage.get("output_tokens"))
    of_prompt = _details(usage, "input_tokens_details")
    cached = _optional(of_prompt, "cached_tokens")
    written = _optional(of_prompt, "cache_write_tokens")
    lasting = _optional(_details(of_prompt, "cache_write_tokens_details"), "ttl_12h_tokens")
    reasoning = _optional(_details(usage, "output_tokens_details"), "reasoning_tokens")
    if usage.get("total_tokens") is not None and _count(usage["total_tokens"]) != prompt + completion:
        raise BadUsage("total_is_not_the_sum")
    if reasoning > completion:
        raise BadUsage("details_above_completion")
    if lasting > written:
        raise BadUsage("cache_split")
    text, _, _ = _of_prompt(prompt, cached, written, 0)
    return Usage(
        input=text,
        cache_read=cached,
        cache_write_5m=written - lasting,
        cache_write_1h=lasting,
        output=completion,
        reasoning=reasoning,
    )


def _anthropic(usage: Mapping[str, Any]) -> Usage:
    written = _optional(usage, "cache_creation_input_tokens")
    split = _details(usage, "cache_creation")
    flags: tuple[str, ...] = ()
    if split:
        short = _optional(split, "ephemeral_5m_input_tokens")
        lasting = _optional(split, "ephemeral_1h_input_tokens")
        if usage.get("cache_creation_input_tokens") is not None and short + lasting != written:
            raise BadUsage("cache_split")
    else:
        short, lasting = written, 0
        flags = ("cache_split_unknown",) if written else ()
    output = _count(usage.get("output_tokens"))
    reasoning = _optional(_details(usage, "output_tokens_details"), "thinking_tokens")
    if reasoning > output:
        raise BadUsage("details_above_completion")
    return Usage(
        input=_count(usage.get("input_tokens")),
        cache_read=_optional(usage, "cache_read_input_tokens"),
        cache_write_5m=short,
        cache_write_1h=lasting,
        output=output,
        reasoning=reasoning,
        web_searches=_optional(_details(usage, "server_tool_use"), "web_search_requests"),
        flags=flags,
    )


def _modality(usage: Mapping[str, Any], name: str, modality: str) -> int:
    value = usage.get(name)
    if value is None:
        return 0
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadUsage("not_a_list")
    return sum(_optional(one, "tokenCount") for one in value if one.get("modality") == modality)


def _gemini(usage: Mapping[str, Any]) -> Usage:
    prompt = _count(usage.get("promptTokenCount"))
    cached = _optional(usage, "cachedContentTokenCount")
    visible = _optional(usage, "candidatesTokenCount")
    thoughts = _optional(usage, "thoughtsTokenCount")
    tools = _optional(usage, "toolUsePromptTokenCount")
    total = prompt + visible + thoughts + tools
    if usage.get("totalTokenCount") is not None and _count(usage["totalTokenCount"]) != total:
        raise BadUsage("total_is_not_the_sum")
    audio_in = _modality(usage, "promptTokensDetails", "AUDIO")
    audio_in = max(0, audio_in - _modality(usage, "cacheTokensDetails", "AUDIO"))
    audio_out = _modality(usage, "candidatesTokensDetails", "AUDIO")
    if audio_out > visible:
        raise BadUsage("details_above_completion")
    text, audio_in, flags = _of_prompt(prompt, cached, 0, audio_in)
    if _modality(usage, "candidatesTokensDetails", "IMAGE"):
        flags = (*flags, "image_output")
    return Usage(
        input=text + tools,
        cache_read=cached,
        input_audio=audio_in,
        output=visible - audio_out + thoughts,
        output_audio=audio_out,
        reasoning=thoughts,
        flags=flags,
    )


def _embeddings(usage: Mapping[str, Any]) -> Usage:
    prompt = _count(usage.get("prompt_tokens"))
    if usage.get("total_tokens") is not None and _count(usage["total_tokens"]) != prompt:
        raise BadUsage("total_is_not_the_sum")
    return Usage(input=prompt)
