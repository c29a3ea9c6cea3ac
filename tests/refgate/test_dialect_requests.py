"""Requests from each caller's protocol to each provider's: what goes out, word for word, and what may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refgate.dialects import call_ids
from refgate.dialects.canonical import Malformed, Protocol, Untranslatable
from refgate.dialects.carriage import FIELDS, table
from refgate.dialects.gemini.signatures import cover, uncover
from refgate.dialects.json_text import parse_object
from refgate.dialects.registry import provider_path, read_request, write_request

CHAT, RESPONSES, CLAUDE, GEMINI = (
    Protocol.OPENAI_CHAT,
    Protocol.OPENAI_RESPONSES,
    Protocol.ANTHROPIC,
    Protocol.GEMINI,
)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PIXEL = "iVBORw0KGgo="


def sent(source: Protocol, target: Protocol, body: dict[str, Any] | str) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    request = read_request(source, parse_object(text.encode()), model="m", stream=True)
    out: dict[str, Any] = json.loads(
        write_request(request, source, target, "theirs", max_tokens_default=4096)
    )
    return out


def text_of(source: Protocol, target: Protocol, body: str) -> str:
    request = read_request(source, parse_object(body.encode()))
    return write_request(request, source, target, "theirs", max_tokens_default=4096).decode()


CHAT_TALK: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ],
        },
        {
            "role": "assistant",
            "content": "let me see",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "w", "arguments": '{"city":"Ulm"}'},
                },
                {"id": "call_2", "type": "function", "function": {"name": "w", "arguments": ""}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "sun"}]},
        {"role": "user", "content": "and now?"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "w", "description": "weather", "parameters": SCHEMA}}
    ],
    "tool_choice": "required",
    "max_completion_tokens": 50,
    "temperature": 0.7,
    "stop": "END",
    "stream": True,
}

CLAUDE_TALK: dict[str, Any] = {
    "model": "m",
    "max_tokens": 50,
    "system": "be brief",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "call_1", "name": "w", "input": {"city": "Ulm"}},
                {"type": "tool_use", "id": "call_2", "name": "w", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_1",
                    "content": [{"type": "text", "text": "rain"}],
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [{"type": "text", "text": "sun"}],
                },
                {"type": "text", "text": "and now?"},
            ],
        },
    ],
    "tools": [{"name": "w", "input_schema": SCHEMA, "description": "weather"}],
    "tool_choice": {"type": "any"},
    "temperature": 0.7,
    "stop_sequences": ["END"],
    "stream": True,
}

RESPONSES_TALK: dict[str, Any] = {
    "model": "m",
    "instructions": "be brief",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "what is this?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
            ],
        },
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "let me see", "annotations": []}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "w", "arguments": '{"city":"Ulm"}'},
        {"type": "function_call", "call_id": "call_2", "name": "w", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"type": "function_call_output", "call_id": "call_2", "output": "sun"},
        {"role": "user", "content": "and now?"},
    ],
    "tools": [{"type": "function", "name": "w", "description": "weather", "parameters": SCHEMA}],
    "tool_choice": "required",
    "max_output_tokens": 50,
    "temperature": 0.7,
    "stream": True,
    "store": False,
}

GEMINI_TALK: dict[str, Any] = {
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "what is this?"},
                {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "let me see"},
                {"functionCall": {"name": "w", "args": {"city": "Ulm"}, "id": "call_1"}},
                {"functionCall": {"name": "w", "args": {}, "id": "call_2"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "w", "response": {"output": "rain"}, "id": "call_1"}},
                {"functionResponse": {"name": "w", "response": {"output": "sun"}, "id": "call_2"}},
                {"text": "and now?"},
            ],
        },
    ],
    "systemInstruction": {"parts": [{"text": "be brief"}]},
    "tools": [
        {"functionDeclarations": [{"name": "w", "parametersJsonSchema": SCHEMA, "description": "weather"}]}
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "generationConfig": {"maxOutputTokens": 50, "temperature": 0.7, "stopSequences": ["END"]},
}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def test_one_talk_reaches_every_provider_in_its_own_words() -> None:
    """Text, pictures, calls and their results, tools, sampling: from three callers to three providers."""
    assert sent(CHAT, CLAUDE, CHAT_TALK) == {**CLAUDE_TALK, "model": "theirs"}
    assert sent(CHAT, GEMINI, CHAT_TALK) == GEMINI_TALK
    assert sent(CLAUDE, GEMINI, CLAUDE_TALK) == GEMINI_TALK
    shown = sent(CLAUDE, CHAT, CLAUDE_TALK)
    expected = json.loads(json.dumps(CHAT_TALK))
    expected["model"] = "theirs"
    expected["stop"] = ["END"]
    expected["stream_options"] = {"include_usage": True}
    expected["messages"][2]["tool_calls"][1]["function"]["arguments"] = "{}"
    expected["messages"][4]["content"] = "sun"
    assert shown == expected
    assert sent(RESPONSES, CHAT, RESPONSES_TALK) == without(expected, "stop")
    assert sent(RESPONSES, CLAUDE, RESPONSES_TALK) == without(
        {**CLAUDE_TALK, "model": "theirs"}, "stop_sequences"
    )
    assert sent(GEMINI, CHAT, GEMINI_TALK) == expected
    assert sent(GEMINI, CLAUDE, GEMINI_TALK) == {**CLAUDE_TALK, "model": "theirs"}


def test_numbers_go_out_as_they_came() -> None:
    """No float touches them; also inside a tool's schema and a call's arguments."""
    body = (
        '{"model":"m","max_tokens":5,"temperature":0.1000000000000000055511151231257827,'
        '"messages":[{"role":"user","content":"x"}],"tools":[{"name":"t",'
        '"input_schema":{"type":"object","maximum":1.10,"minimum":12345678901234567890123}}]}'
    )
    shown = text_of(CLAUDE, CHAT, body)
    for number in ("0.1000000000000000055511151231257827", "1.10", "12345678901234567890123"):
        assert number in shown


HELLO = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("target", "fields", "expected"),
    [
        (CLAUDE, {}, {"max_tokens": 4096}),
        (CLAUDE, {"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        (CLAUDE, {"safety_identifier": "u1"}, {"metadata": {"user_id": "u1"}}),
        (CLAUDE, {"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}),
        (CLAUDE, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        (
            CLAUDE,
            {"parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            CLAUDE,
            {"tool_choice": {"type": "function", "function": {"name": "t"}}},
            {"tool_choice": {"type": "tool", "name": "t"}},
        ),
        (CLAUDE, {"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        (
            CLAUDE,
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        (GEMINI, {"seed": 7, "top_p": 0.5}, {"generationConfig": {"seed": 7, "topP": 0.5}}),
        (
            GEMINI,
            {"reasoning_effort": "low"},
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}},
        ),
        (
            GEMINI,
            {"reasoning_effort": "none"},
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        ),
        (
            GEMINI,
            {"response_format": {"type": "json_object"}},
            {"generationConfig": {"responseMimeType": "application/json"}},
        ),
        (
            GEMINI,
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
        ),
        (
            GEMINI,
            {"tool_choice": {"type": "function", "function": {"name": "t"}}},
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["t"]}}},
        ),
    ],
)
def test_a_chat_callers_wishes_have_words_elsewhere(
    target: Protocol, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    """One field at a time."""
    shown = sent(CHAT, target, {**HELLO, **fields})
    assert {name: shown.get(name) for name in expected} == expected


ASK: dict[str, Any] = {**HELLO, "max_tokens": 5000}


@pytest.mark.parametrize(
    ("target", "fields", "expected"),
    [
        (
            GEMINI,
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True}},
        ),
        (
            GEMINI,
            {"thinking": {"type": "adaptive"}},
            {"thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}},
        ),
        (GEMINI, {"top_k": 5}, {"topK": 5}),
        (CHAT, {"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        (CHAT, {"output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        (CHAT, {"metadata": {"user_id": "u1"}}, {"user": "u1"}),
        (
            CHAT,
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
    ],
)
def test_an_anthropic_callers_wishes_have_words_elsewhere(
    target: Protocol, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    """One field at a time."""
    shown = sent(CLAUDE, target, {**ASK, **fields})
    shown = shown.get("generationConfig", shown)
    assert {name: shown.get(name) for name in expected} == expected


def test_a_failed_tools_result_says_so_everywhere() -> None:
    """OpenAI has no word for it: the text goes inside an object that says `error`."""
    body = {
        "model": "m",
        "max_tokens": 5,
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "w", "input": {}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True}],
            },
        ],
    }
    assert sent(CLAUDE, CHAT, body)["messages"][-1]["content"] == '{"error":"no"}'
    response = sent(CLAUDE, GEMINI, body)["contents"][-1]["parts"][0]["functionResponse"]["response"]
    assert response == {"error": "no"}


def test_a_calls_signature_comes_back_to_the_provider_that_made_it() -> None:
    """It travels in the caller's id, and is taken off for everybody else."""
    shown = call_ids.join("gen_c1_0", "sig+/=ü")
    assert call_ids.split(shown) == ("gen_c1_0", "sig+/=ü")
    assert shown.replace("_", "").replace("-", "").isalnum()
    call = {"id": shown, "type": "function", "function": {"name": "w", "arguments": "{}"}}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": shown, "content": "rain"},
        ],
    }
    contents = sent(CHAT, GEMINI, body)["contents"]
    assert contents[1]["parts"] == [
        {"functionCall": {"name": "w", "args": {}}, "thoughtSignature": "sig+/=ü"}
    ]
    assert contents[2]["parts"] == [{"functionResponse": {"name": "w", "response": {"output": "rain"}}}]
    claude = sent(CHAT, CLAUDE, body)["messages"]
    assert claude[1]["content"][0]["id"] == claude[2]["content"][0]["tool_use_id"] == "gen_c1_0"
    for odd in ("call_1", "a__sig__!", "a__sig__"):
        assert call_ids.split(odd)[0] in (odd, "a")


@pytest.mark.parametrize("odd", ["half \ud83d", "\x00", "ü"])
def test_a_mark_of_any_letters_comes_back(odd: str) -> None:
    """JSON may hold half a letter; what a provider signed with is told to the caller all the same."""
    assert call_ids.split(call_ids.join("c", odd)) == ("c", odd)
    assert uncover(cover(odd, None)) == (odd, None) and uncover(cover(None, odd)) == (None, odd)


@pytest.mark.parametrize(
    ("source", "target", "fields", "field"),
    [
        (CHAT, CLAUDE, {"n": 2}, "n"),
        (CHAT, CLAUDE, {"seed": 1}, "seed"),
        (CHAT, CLAUDE, {"logprobs": True}, "logprobs"),
        (CHAT, CLAUDE, {"logit_bias": {"5": 1}}, "logit_bias"),
        (CHAT, CLAUDE, {"temperature": 1.5}, "temperature"),
        (CHAT, CLAUDE, {"response_format": {"type": "json_object"}}, "response_format"),
        (CHAT, CLAUDE, {"reasoning_effort": "minimal"}, "reasoning_effort"),
        (CHAT, CLAUDE, {"store": True}, "store"),
        (CHAT, CLAUDE, {"metadata": {"a": "b"}}, "metadata"),
        (CHAT, CLAUDE, {"brand_new": 1}, "brand_new"),
        (CHAT, CLAUDE, {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        (CHAT, CLAUDE, {"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "messages[0].name"),
        (
            CHAT,
            CLAUDE,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "new": 1}]}]},
            "messages[0].content[0].new",
        ),
        (
            CHAT,
            CLAUDE,
            {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]},
            "messages[1]",
        ),
        (CHAT, GEMINI, {"verbosity": "low"}, "verbosity"),
        (CHAT, GEMINI, {"user": "u"}, "user"),
        (CHAT, GEMINI, {"parallel_tool_calls": False}, "parallel_tool_calls"),
        (CHAT, GEMINI, {"reasoning_effort": "max"}, "reasoning_effort"),
        (
            CHAT,
            GEMINI,
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://h/x.png"}}],
                    }
                ]
            },
            "messages[0]",
        ),
        (CLAUDE, CHAT, {"top_k": 5}, "top_k"),
        (CLAUDE, CHAT, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking"),
        (CLAUDE, CHAT, {"cache_control": {"type": "ephemeral"}}, "cache_control"),
        (CLAUDE, CHAT, {"container": "c"}, "container"),
        (CLAUDE, CHAT, {"inference_geo": "eu"}, "inference_geo"),
        (CLAUDE, CHAT, {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools[0].type"),
        (
            CLAUDE,
            CHAT,
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
            "system[0].cache_control",
        ),
        (
            CLAUDE,
            CHAT,
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "thinking", "thinking": "t", "signature": "s"}],
                    }
                ]
            },
            "messages[0]",
        ),
        (RESPONSES, CHAT, {"previous_response_id": "r"}, "previous_response_id"),
        (RESPONSES, CHAT, {"background": True}, "background"),
        (RESPONSES, CHAT, {"store": True}, "store"),
        (RESPONSES, CHAT, {"tools": [{"type": "web_search"}]}, "tools[0].type"),
        (RESPONSES, CHAT, {"input": [{"type": "item_reference", "id": "i"}]}, "input[0].type"),
        (RESPONSES, CHAT, {"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        (RESPONSES, GEMINI, {"text": {"verbosity": "low"}}, "text"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(
    source: Protocol, target: Protocol, fields: dict[str, Any], field: str
) -> None:
    """In the caller's own words, before anything is sent; never dropped."""
    base = {RESPONSES: {"model": "m", "input": "x"}, CLAUDE: ASK}.get(source, HELLO)
    with pytest.raises(Untranslatable) as refused:
        sent(source, target, {**base, **fields})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("source", "fields", "field"),
    [
        (CHAT, {"model": None}, "model"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": "x"}, "messages"),
        (CHAT, {"messages": [7]}, "messages[0]"),
        (CHAT, {"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
        (CHAT, {"temperature": "hot"}, "temperature"),
        (CHAT, {"max_tokens": 0}, "max_tokens"),
        (CHAT, {"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        (CHAT, {"stream": 1}, "stream"),
        (CHAT, {"stop": [1]}, "stop"),
        (CHAT, {"tool_choice": "maybe"}, "tool_choice"),
        (CHAT, {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (CLAUDE, {"max_tokens": None}, "max_tokens"),
        (CLAUDE, {"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        (RESPONSES, {"input": None}, "input"),
        (RESPONSES, {"input": []}, "input"),
    ],
)
def test_what_breaks_its_own_protocol_is_refused_too(
    source: Protocol, fields: dict[str, Any], field: str
) -> None:
    """With the field's name."""
    base = {RESPONSES: {"model": "m", "input": "x"}, CLAUDE: ASK}.get(source, HELLO)
    with pytest.raises(Malformed) as refused:
        sent(source, GEMINI, {**base, **fields})
    assert refused.value.field == field


def test_anthropic_without_a_limit_needs_the_routes_own() -> None:
    """A caller of another protocol may leave it out; somebody must say one."""
    request = read_request(CHAT, dict(HELLO))
    with pytest.raises(Untranslatable, match="max_completion_tokens"):
        write_request(request, CHAT, CLAUDE, "theirs")


def test_an_empty_text_is_not_sent_where_it_would_be_refused() -> None:
    """Chat callers put one beside their tool calls; it says nothing."""
    call = {"id": "c", "type": "function", "function": {"name": "w", "arguments": "{}"}}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": ""},
        ],
    }
    _, said, result = sent(CHAT, CLAUDE, body)["messages"]
    assert [block["type"] for block in said["content"]] == ["tool_use"]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": []}]
    assert len(sent(CHAT, GEMINI, body)["contents"][1]["parts"]) == 1
    with pytest.raises(Untranslatable, match="empty"):
        sent(CHAT, CLAUDE, {"model": "m", "messages": [{"role": "user", "content": ""}]})


def test_every_provider_has_its_path() -> None:
    """A model's name cannot leave its segment."""
    assert provider_path(CHAT, "m", stream=True) == "/chat/completions"
    assert provider_path(CLAUDE, "m", stream=True) == "/messages"
    assert provider_path(GEMINI, "m", stream=False) == "/models/m:generateContent"
    assert provider_path(GEMINI, "m", stream=True) == "/models/m:streamGenerateContent?alt=sse"
    assert provider_path(GEMINI, "../x?y", stream=False) == "/models/..%2Fx%3Fy:generateContent"


def test_the_table_names_every_field() -> None:
    """For each caller and provider: carried, or refused with a reason."""
    for source in (CHAT, RESPONSES, CLAUDE, GEMINI):
        for target in (CHAT, CLAUDE, GEMINI):
            rows = table(source, target)
            assert rows.keys() == FIELDS[source].keys()
            assert rows["model"] is None
    assert table(CHAT, CLAUDE)["seed"] is not None
    assert table(CHAT, GEMINI)["seed"] is None
