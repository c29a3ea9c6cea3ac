"""Usage as each caller's protocol reports it: the other way round from `usage`.

Reading back what is written here gives the same token classes, as far as the protocol has a name for them.
"""

from __future__ import annotations

from typing import Any

from refgate.dialects.spoken import Metered, Usage

__all__ = ["write_anthropic", "write_gemini", "write_openai_chat", "write_responses"]


def write_openai_chat(metered: Metered) -> dict[str, Any] | None:
    """None where nothing is known: a figure that was made up would look like the provider's own."""
    if not isinstance(metered, Usage):
        return None
    written = metered.cache_write_5m + metered.cache_write_1h
    of_prompt = {"cached_tokens": metered.cache_read, "audio_tokens": metered.input_audio}
    if written:
        of_prompt["cache_write_tokens"] = written
    return {
        "prompt_tokens": metered.prompt,
        "completion_tokens": metered.completion,
        "total_tokens": metered.prompt + metered.completion,
        "prompt_tokens_details": of_prompt,
        "completion_tokens_details": {
            "reasoning_tokens": metered.reasoning,
            "audio_tokens": metered.output_audio,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def write_responses(metered: Metered) -> dict[str, Any] | None:
    if not isinstance(metered, Usage):
        return None
    return {
        "input_tokens": metered.prompt,
        "input_tokens_details": {
            "cached_tokens": metered.cache_read,
            "cache_write_tokens": metered.cache_write_5m + metered.cache_write_1h,
        },
        "output_tokens": metered.completion,
        "output_tokens_details": {"reasoning_tokens": metered.reasoning},
        "total_tokens": metered.prompt + metered.completion,
    }


def write_anthropic(metered: Metered) -> dict[str, Any]:
    """The protocol demands figures: where nothing is known they are 0."""
    usage = metered if isinstance(metered, Usage) else Usage()
    text: dict[str, Any] = {
        "input_tokens": usage.input + usage.input_audio,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.completion,
        "server_tool_use": None,
        "service_tier": "standard",
    }
    if usage.reasoning:
        text["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return text


def write_gemini(metered: Metered) -> dict[str, Any] | None:
    """None where nothing is known. What is thought stands beside the candidates, and both make the total."""
    if not isinstance(metered, Usage):
        return None
    usage: dict[str, Any] = {
        "promptTokenCount": metered.prompt,
        "candidatesTokenCount": metered.completion - metered.reasoning,
        "totalTokenCount": metered.prompt + metered.completion,
    }
    if metered.cache_read:
        usage["cachedContentTokenCount"] = metered.cache_read
    if metered.reasoning:
        usage["thoughtsTokenCount"] = metered.reasoning
    if metered.input_audio:
        usage["promptTokensDetails"] = _split(metered.prompt, metered.input_audio)
    if metered.output_audio:
        visible = metered.completion - metered.reasoning
        usage["candidatesTokensDetails"] = _split(visible, metered.output_audio)
    return usage


def _split(all_tokens: int, audio: int) -> list[dict[str, Any]]:
    return [
        {"modality": "TEXT", "tokenCount": all_tokens - audio},
        {"modality": "AUDIO", "tokenCount": audio},
    ]
