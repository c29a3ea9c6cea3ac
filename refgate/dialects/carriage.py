"""What of a caller's request reaches a provider of another protocol, and what is refused: the whole table.

`FIELDS` says what each top-level field of a caller's protocol means (attributes of `Request`), or why no
other protocol can carry it. `GAPS` says which attributes a provider's protocol has no words for. Fields
that neither table knows are refused as unknown. Between like protocols none of this applies: bytes pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from refgate.dialects.canonical import Protocol, Request, Untranslatable

__all__ = ["FIELDS", "GAPS", "Meaning", "named", "refuse_gaps", "refused", "table"]

_OWN = "belongs to this protocol alone"
_ONE_CHOICE = "only one choice can be carried over"
_NOT_KEPT = "the gateway's other providers keep nothing for later"
_CACHE = "prompt caching is asked for in each provider's own way"
_TIER = "service tiers are each provider's own"
_LEGACY = "is deprecated: use tools"

Meaning = tuple[str, ...] | str
"""Attributes of `Request`, or why the field is refused. A refused field may say what is so anyway."""

_CHAT: dict[str, Meaning] = {
    "model": ("model",),
    "messages": ("messages", "system"),
    "stream": ("stream",),
    "stream_options": ("include_usage",),
    "max_completion_tokens": ("max_tokens",),
    "max_tokens": ("max_tokens",),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "stop": ("stop",),
    "seed": ("seed",),
    "frequency_penalty": ("frequency_penalty",),
    "presence_penalty": ("presence_penalty",),
    "tools": ("tools",),
    "tool_choice": ("tool_choice",),
    "parallel_tool_calls": ("parallel_tools",),
    "response_format": ("format",),
    "reasoning_effort": ("effort",),
    "verbosity": ("verbosity",),
    "user": ("user",),
    "safety_identifier": ("user",),
    "n": _ONE_CHOICE,
    "logprobs": "log probabilities cannot be carried over",
    "top_logprobs": "log probabilities cannot be carried over",
    "logit_bias": "token numbers mean nothing to another provider",
    "modalities": "only text can be asked for",
    "audio": "only text can be asked for",
    "prediction": _OWN,
    "web_search_options": _OWN,
    "moderation": _OWN,
    "store": _NOT_KEPT,
    "metadata": _NOT_KEPT,
    "service_tier": _TIER,
    "prompt_cache_key": _CACHE,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
    "functions": _LEGACY,
    "function_call": _LEGACY,
}

_RESPONSES: dict[str, Meaning] = {
    "model": ("model",),
    "input": ("messages", "system"),
    "instructions": ("system",),
    "stream": ("stream",),
    "max_output_tokens": ("max_tokens",),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "tools": ("tools",),
    "tool_choice": ("tool_choice",),
    "parallel_tool_calls": ("parallel_tools",),
    "reasoning": ("effort",),
    "text": ("format", "verbosity"),
    "user": ("user",),
    "safety_identifier": ("user",),
    "stream_options": _OWN,
    "include": _OWN,
    "truncation": "the gateway cuts no conversation",
    "store": _NOT_KEPT,
    "metadata": _NOT_KEPT,
    "previous_response_id": _NOT_KEPT,
    "conversation": _NOT_KEPT,
    "background": "background work is not carried",
    "background_options": "background work is not carried",
    "prompt": _NOT_KEPT,
    "max_tool_calls": _OWN,
    "top_logprobs": "log probabilities cannot be carried over",
    "service_tier": _TIER,
    "prompt_cache_key": _CACHE,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
    "context_management": _OWN,
    "access_programs": _OWN,
    "image": _OWN,
    "moderation": _OWN,
}

_ANTHROPIC: dict[str, Meaning] = {
    "model": ("model",),
    "messages": ("messages",),
    "system": ("system",),
    "stream": ("stream",),
    "max_tokens": ("max_tokens",),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "stop_sequences": ("stop",),
    "tools": ("tools",),
    "tool_choice": ("tool_choice", "parallel_tools"),
    "output_config": ("format", "effort"),
    "thinking": ("thinking_tokens", "thinking_adaptive", "effort"),
    "metadata": ("user",),
    "cache_control": _CACHE,
    "container": _NOT_KEPT,
    "service_tier": _TIER,
    "speed": _TIER,
    "inference_geo": "where an answer is made is for the gateway's operator to choose",
    "diagnostics": _OWN,
    "user_profile_id": _OWN,
    "workspace_id": _OWN,
}

_SHAPE = "only text can be asked for"
_GEMINI: dict[str, Meaning] = {
    "model": ("model",),  # in the path, as the wish for a stream
    "contents": ("messages",),
    "systemInstruction": ("system",),
    "tools": ("tools",),
    "toolConfig": ("tool_choice",),
    "safetySettings": "what is filtered is each provider's own",
    "cachedContent": _CACHE,
    "labels": _NOT_KEPT,
    "store": _NOT_KEPT,
    "continuationToken": _NOT_KEPT,
    "serviceTier": _TIER,
    "generationConfig.maxOutputTokens": ("max_tokens",),
    "generationConfig.temperature": ("temperature",),
    "generationConfig.topP": ("top_p",),
    "generationConfig.topK": ("top_k",),
    "generationConfig.stopSequences": ("stop",),
    "generationConfig.seed": ("seed",),
    "generationConfig.frequencyPenalty": ("frequency_penalty",),
    "generationConfig.presencePenalty": ("presence_penalty",),
    "generationConfig.thinkingConfig": ("thinking_tokens", "thinking_adaptive", "effort"),
    "generationConfig.responseMimeType": ("format",),
    "generationConfig.responseSchema": ("format",),
    "generationConfig.responseJsonSchema": ("format",),
    "generationConfig.candidateCount": _ONE_CHOICE,
    "generationConfig.responseLogprobs": "log probabilities cannot be carried over",
    "generationConfig.logprobs": "log probabilities cannot be carried over",
    "generationConfig.responseModalities": _SHAPE,
    "generationConfig.responseFormat": _SHAPE,
    "generationConfig.speechConfig": _SHAPE,
    "generationConfig.imageConfig": _SHAPE,
    "generationConfig.mediaResolution": _OWN,
    "generationConfig.audioTimestamp": _OWN,
    "generationConfig.audioTranscriptionConfig": _OWN,
    "generationConfig.translationConfig": _OWN,
    "generationConfig.enableAffectiveDialog": _OWN,
    "generationConfig.enableEnhancedCivicAnswers": _OWN,
    "generationConfig.routingConfig": "which model answers is for the gateway to choose",
    "generationConfig.modelSelectionConfig": "which model answers is for the gateway to choose",
}

FIELDS: Mapping[Protocol, Mapping[str, Meaning]] = {
    Protocol.OPENAI_CHAT: _CHAT,
    Protocol.OPENAI_RESPONSES: _RESPONSES,
    Protocol.ANTHROPIC: _ANTHROPIC,
    Protocol.GEMINI: _GEMINI,
}
"""What each caller's field means. Inside messages and tools the readers refuse what they cannot name.

Gemini's sampling fields stand in an object of their own: here their names are the way to them.
"""

GAPS: Mapping[Protocol, Mapping[str, str]] = {
    Protocol.OPENAI_CHAT: {
        "top_k": "OpenAI's protocol has no top_k",
        "thinking_tokens": "OpenAI's protocol has no budget for thinking: ask for an effort",
        "thinking_adaptive": "OpenAI's protocol shows no thinking",
    },
    Protocol.ANTHROPIC: {
        "seed": "Anthropic's protocol has no seed",
        "frequency_penalty": "Anthropic's protocol has no penalties",
        "presence_penalty": "Anthropic's protocol has no penalties",
        "verbosity": "Anthropic's protocol has no verbosity",
    },
    Protocol.GEMINI: {
        "verbosity": "Gemini's protocol has no verbosity",
        "user": "Gemini's protocol has no place for an end user's id",
    },
}
"""Attributes of `Request` that a provider's protocol cannot say. Some are carried for some values only:
the writers refuse the others (an effort the provider does not know, a temperature above its scale).
"""


def refused(source: Protocol) -> dict[str, str]:
    """The refused fields of a caller's protocol, and why."""
    return {name: why for name, why in FIELDS[source].items() if isinstance(why, str)}


def table(source: Protocol, target: Protocol) -> dict[str, str | None]:
    """Each field of the caller's protocol: None where it is carried to `target`, else why it is refused."""
    gaps = GAPS.get(target, {})
    rows: dict[str, str | None] = {}
    for name, meaning in FIELDS[source].items():
        if isinstance(meaning, str):
            rows[name] = meaning
        else:
            missing = [gaps[attribute] for attribute in meaning if attribute in gaps]
            rows[name] = missing[0] if len(missing) == len(meaning) else None
    return rows


def refuse_gaps(request: Request, source: Protocol, target: Protocol) -> None:
    """Raises Untranslatable, in the caller's words, for what `target` has no words for."""
    for attribute, why in GAPS.get(target, {}).items():
        if getattr(request, attribute) != _DEFAULTS[attribute]:
            raise Untranslatable(named(attribute, request, source), why)


def named(attribute: str, request: Request, source: Protocol) -> str:
    """The caller's field that an attribute of its request came from; anything else names itself."""
    names = [
        name
        for name, meaning in FIELDS[source].items()
        if not isinstance(meaning, str) and attribute in meaning
    ]
    return next((name for name in names if name in request.sent), names[0] if names else attribute)


_DEFAULTS = {one.name: one.default for one in fields(Request)}
