"""Nothing is dropped in silence: whatever a request holds is carried to the provider, or refused by name."""

from __future__ import annotations

import copy
import json
from typing import Any, get_type_hints

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from google.genai import types
from hypothesis import assume, given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from refgate.dialects.canonical import Malformed, Protocol, Untranslatable
from refgate.dialects.carriage import FIELDS, table
from refgate.dialects.gemini.calling import snake
from refgate.dialects.json_text import parse_object
from refgate.dialects.registry import read_request, write_request
from tests.refgate.dialect_kit import CALLERS, PROVIDERS
from tests.refgate.test_dialect_requests import CHAT_TALK, CLAUDE_TALK, GEMINI_TALK, RESPONSES_TALK

TALKS = {
    Protocol.OPENAI_CHAT: CHAT_TALK,
    Protocol.OPENAI_RESPONSES: RESPONSES_TALK,
    Protocol.ANTHROPIC: CLAUDE_TALK,
    Protocol.GEMINI: GEMINI_TALK,
}

# Places whose inside is the caller's own: it is carried whole, not looked at.
FREE = frozenset(
    {"parameters", "input_schema", "schema", "arguments", "args", "response", "parametersJsonSchema"}
)

# Fields with a value that each protocol takes, and that asks for something.
ASKING: dict[Protocol, dict[str, Any]] = {
    Protocol.OPENAI_CHAT: {
        "max_completion_tokens": 77,
        "max_tokens": 77,
        "temperature": 0.25,
        "top_p": 0.25,
        "stop": ["STOP"],
        "seed": 77,
        "frequency_penalty": 0.25,
        "presence_penalty": 0.25,
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}},
        },
        "reasoning_effort": "low",
        "verbosity": "low",
        "user": "u77",
        "safety_identifier": "u77",
        "n": 2,
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": {"1": 1},
        "modalities": ["text", "audio"],
        "audio": {"voice": "a"},
        "prediction": {"type": "content", "content": "x"},
        "web_search_options": {},
        "moderation": {"model": "m"},
        "store": True,
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "implicit"},
        "prompt_cache_retention": "24h",
        "functions": [{"name": "f"}],
        "function_call": "auto",
        "stream_options": {"include_obfuscation": True},
    },
    Protocol.OPENAI_RESPONSES: {
        "instructions": "other words",
        "max_output_tokens": 77,
        "temperature": 0.25,
        "top_p": 0.25,
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "user": "u77",
        "safety_identifier": "u77",
        "stream_options": {"include_obfuscation": True},
        "include": ["message.output_text.logprobs"],
        "truncation": "auto",
        "store": True,
        "metadata": {"a": "b"},
        "previous_response_id": "r",
        "conversation": "c",
        "background": True,
        "background_options": {"completion_window": "2h"},
        "prompt": {"id": "p"},
        "max_tool_calls": 2,
        "top_logprobs": 2,
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "implicit"},
        "prompt_cache_retention": "24h",
        "context_management": [{"type": "compaction"}],
        "access_programs": {"cyber": "standard"},
        "image": {"context_compression": "auto"},
        "moderation": {"model": "m"},
    },
    Protocol.ANTHROPIC: {
        "system": "other words",
        "max_tokens": 5077,
        "temperature": 0.25,
        "top_p": 0.25,
        "top_k": 7,
        "stop_sequences": ["STOP"],
        "tools": [],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "disabled"},
        "output_config": {"effort": "low"},
        "metadata": {"user_id": "u77"},
        "cache_control": {"type": "ephemeral"},
        "container": "c",
        "service_tier": "priority",
        "speed": "fast",
        "inference_geo": "eu",
        "diagnostics": {"previous_message_id": "m"},
        "user_profile_id": "p",
        "workspace_id": "w",
    },
    Protocol.GEMINI: {
        "systemInstruction": {"parts": [{"text": "other words"}]},
        "tools": [],
        "toolConfig": {"functionCallingConfig": {"mode": "NONE"}},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "c",
        "labels": {"a": "b"},
        "store": True,
        "continuationToken": "t",
        "serviceTier": "flex",
        "generationConfig.maxOutputTokens": 77,
        "generationConfig.temperature": 0.25,
        "generationConfig.topP": 0.25,
        "generationConfig.topK": 7,
        "generationConfig.stopSequences": ["STOP"],
        "generationConfig.seed": 77,
        "generationConfig.frequencyPenalty": 0.25,
        "generationConfig.presencePenalty": 0.25,
        "generationConfig.thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True},
        "generationConfig.responseMimeType": "application/json",
        "generationConfig.responseSchema": {"type": "OBJECT"},
        "generationConfig.responseJsonSchema": {"type": "object"},
        "generationConfig.candidateCount": 2,
        "generationConfig.responseLogprobs": True,
        "generationConfig.logprobs": 2,
        "generationConfig.responseModalities": ["AUDIO"],
        "generationConfig.responseFormat": [{"text": {}}],
        "generationConfig.speechConfig": {"languageCode": "de-DE"},
        "generationConfig.imageConfig": {"aspectRatio": "1:1"},
        "generationConfig.mediaResolution": "MEDIA_RESOLUTION_LOW",
        "generationConfig.audioTimestamp": True,
        "generationConfig.audioTranscriptionConfig": {"a": 1},
        "generationConfig.translationConfig": {"a": 1},
        "generationConfig.enableAffectiveDialog": True,
        "generationConfig.enableEnhancedCivicAnswers": True,
        "generationConfig.routingConfig": {"autoMode": {}},
        "generationConfig.modelSelectionConfig": {"a": 1},
    },
}


def sent(source: Protocol, target: Protocol, body: dict[str, Any]) -> Any:
    request = read_request(source, parse_object(json.dumps(body).encode()), model="m", stream=True)
    return json.loads(write_request(request, source, target, "theirs", max_tokens_default=4096))


def base(source: Protocol, name: str) -> dict[str, Any]:
    """The talk without what would contradict the field under test."""
    clash = {"max_tokens": "max_completion_tokens", "user": "safety_identifier"}.get(name)
    talk = {key: value for key, value in TALKS[source].items() if key not in (name, clash)}
    if name.startswith("generationConfig."):
        config = talk["generationConfig"].items()
        talk["generationConfig"] = {key: value for key, value in config if f"generationConfig.{key}" != name}
        if "thinking" in name:
            talk["generationConfig"] |= {"maxOutputTokens": 5000, "temperature": 1}
    return talk


def with_field(body: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    first, _, inner = name.partition(".")
    return {**body, first: {**body[first], inner: value} if inner else value}


@pytest.mark.parametrize("target", PROVIDERS)
@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source, fields in ASKING.items() for name in fields]
)
def test_every_field_is_carried_or_refused(source: Protocol, target: Protocol, name: str) -> None:
    """What the provider gets differs from what it gets without the field; or the caller hears of it."""
    if source is target:
        return  # bytes pass
    plain = base(source, name)
    asking = with_field(plain, name, ASKING[source][name])
    if "Schema" in name:
        asking["generationConfig"]["responseMimeType"] = "application/json"
    if name in ("tools", "max_tokens"):
        plain[name] = TALKS[source].get(name)  # one does without neither: the talk's own
    try:
        shown = sent(source, target, asking)
    except Untranslatable as refused:
        assert f"{refused.field}.".startswith((f"{name}.", f"{name}["))
        return
    assert table(source, target)[name] is None, f"{name} is refused in the table and went through"
    assert shown != sent(source, target, plain), f"{name} made no difference"


@pytest.mark.parametrize(
    ("source", "params"),
    [
        (Protocol.OPENAI_CHAT, CompletionCreateParamsStreaming),
        (Protocol.OPENAI_RESPONSES, ResponseCreateParamsStreaming),
        (Protocol.ANTHROPIC, MessageCreateParamsStreaming),
    ],
)
def test_the_table_knows_every_field_of_the_vendors_sdk(source: Protocol, params: type) -> None:
    """A field that the vendor adds shows here first; until then it is refused as unknown."""
    assert set(get_type_hints(params)) <= set(FIELDS[source]), set(get_type_hints(params)) - set(
        FIELDS[source]
    )


def test_the_table_knows_every_field_that_googles_sdk_sends() -> None:
    """The SDK says nothing of what it sends but in its own configuration, flat."""
    elsewhere = {
        "http_options",
        "should_return_http_response",
        "automatic_function_calling",
        "automatic_continuation",
    }
    refused_there = {"model_armor_config", "generation_output_config"}
    names = {*types.GenerateContentConfig.model_fields, *types.GenerationConfig.model_fields}
    known = {snake(name.removeprefix("generationConfig.")) for name in FIELDS[Protocol.GEMINI]}
    assert names - elsewhere - refused_there <= known, names - elsewhere - refused_there - known


def objects(value: Any) -> list[dict[str, Any]]:
    """Every object in the body whose members mean something to the protocol."""
    if isinstance(value, list):
        return [one for item in value for one in objects(item)]
    if not isinstance(value, dict):
        return []
    free = FREE | ({"input"} if value.get("type") == "tool_use" else set())
    return [value, *(one for key, item in value.items() if key not in free for one in objects(item))]


@given(
    st.sampled_from(CALLERS),
    st.sampled_from(PROVIDERS),
    st.data(),
    st.text(min_size=1, max_size=10),
    st.integers() | st.text() | st.booleans() | st.just({}) | st.just([]),
)
def test_an_unknown_member_anywhere_is_refused_by_its_name(
    source: Protocol, target: Protocol, data: st.DataObject, name: str, value: Any
) -> None:
    """In messages, parts, tools, choices: at any depth but inside the caller's own schemas and arguments."""
    assume(source is not target)
    body = copy.deepcopy(TALKS[source])
    known = {"id", "status", "type", "name", "role", "parts", "text", *FIELDS[source]}
    assume(name not in known)
    data.draw(st.sampled_from(objects(body)))[name] = value
    with pytest.raises(Untranslatable) as refused:
        sent(source, target, body)
    assert refused.value.field.endswith(name)


@given(
    st.sampled_from(CALLERS),
    st.sampled_from(PROVIDERS),
    st.data(),
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.text(max_size=3)
    | st.just([])
    | st.just({})
    | st.just([{}]),
)
def test_a_broken_request_is_refused_and_never_raises_otherwise(
    source: Protocol, target: Protocol, data: st.DataObject, value: Any
) -> None:
    """Any member of any object set to anything: an answer for the caller, not a stack trace."""
    body = copy.deepcopy(TALKS[source])
    place = data.draw(st.sampled_from(objects(body)))
    place[data.draw(st.sampled_from(sorted(place)))] = value
    try:
        sent(source, target, body)
    except (Malformed, Untranslatable) as refused:
        assert refused.field
        assert refused.why
