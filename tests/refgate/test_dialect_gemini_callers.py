"""What a Gemini caller says in its own ways: two spellings, its own schemas, calls without ids, thoughts."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from google.genai import types
from pydantic import BaseModel

from refgate.dialects.canonical import Malformed, Text, Thinking, ToolCall, Untranslatable
from refgate.dialects.gemini.calling import Called, called
from refgate.dialects.gemini.contents import read_contents
from refgate.dialects.gemini.schemas import json_schema
from refgate.dialects.json_text import parse_object
from refgate.dialects.passing import Asked, ask, pass_answer, pass_request
from refgate.dialects.registry import Spoken, read_request, stream_writer, write_answer
from refgate.dialects.spoken import (
    Answer,
    CallBegan,
    CallSaid,
    Done,
    Finish,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
    Unmetered,
    Usage,
)
from tests.refgate.dialect_kit import ALOUD, SPOKEN, google, sse, told
from tests.refgate.test_dialect_passing import passed
from tests.refgate.test_dialect_requests import CHAT, CLAUDE, GEMINI, PIXEL, SCHEMA, sent

HELLO: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}


def talk(*contents: tuple[str, list[Any]]) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": parts} for role, parts in contents]}


def config(**fields: Any) -> dict[str, Any]:
    return {**HELLO, "generationConfig": fields}


@pytest.mark.parametrize(
    ("call", "alt", "expected"),
    [
        ("m:generateContent", None, Called("m", False)),
        ("m:generateContent", "json", Called("m", False)),
        ("m:streamGenerateContent", "sse", Called("m", True)),
        ("openai/gpt:latest:generateContent", None, Called("openai/gpt:latest", False)),
    ],
)
def test_the_path_says_model_and_kind(call: str, alt: str | None, expected: Called) -> None:
    """A model's name may hold colons and slashes: the last colon stands before the verb."""
    assert called(call, alt) == expected


def test_other_verbs_and_other_shapes_are_refused() -> None:
    """What has no such call is malformed; a stream as a JSON array is a wish that is not carried."""
    for call in ("m:countTokens", "m", ":generateContent", ""):
        with pytest.raises(Malformed):
            called(call, None)
    for alt in (None, "json", "media"):
        with pytest.raises(Untranslatable, match="alt=sse"):
            called("m:streamGenerateContent", alt)
    with pytest.raises(Untranslatable, match="alt"):
        called("m:generateContent", "sse")


def test_what_must_be_known_of_a_request_is_known() -> None:
    """In either spelling; the model stands in the path alone."""
    body = {"generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}}
    assert ask(GEMINI, body, model="m", stream=True) == Asked("m", True, True, 7, 2)
    assert (
        ask(GEMINI, {"generation_config": {"max_output_tokens": Decimal("7.0")}}, model="m").max_tokens == 7
    )
    assert ask(GEMINI, {}, model="m") == Asked("m", False, True, None, 1)
    for odd in (
        {"model": "other"},
        {"generationConfig": {}, "generation_config": {"maxOutputTokens": 1}},
        {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 2}},
        {"generationConfig": {"maxOutputTokens": 1.5}},
        {"generationConfig": {"candidateCount": 129}},
        {"generationConfig": 7},
    ):
        with pytest.raises(Malformed):
            ask(GEMINI, odd, model="m")
    with pytest.raises(Malformed):
        ask(GEMINI, {})


def test_a_request_passes_as_it_is() -> None:
    """Every byte; unless what bounds the answer could be read in two ways."""
    body = b'{ "contents":[ ], "generation_config" : {"maxOutputTokens":7}, "new":1.50 }'
    assert pass_request(GEMINI, body, "theirs") is body
    for odd in (
        b'{"contents":[],"contents":[]}',
        b'{"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9}}',
        b'{"generation_config":{"candidateCount":1,"candidateCount":9}}',
        b'{"model":"models/x"}',
    ):
        with pytest.raises(Malformed):
            pass_request(GEMINI, odd, "theirs")


def test_an_answer_names_the_model_that_was_asked_for() -> None:
    """Whole and in each chunk; a member of that name inside a call's arguments is not the model."""
    body = b'{"candidates":[], "modelVersion" : "served","responseId":"r"}'
    renamed = body.replace(b"served", b"asked")
    assert pass_answer(body, "asked", protocol=GEMINI) == renamed
    assert pass_answer(b'{"model":"own"}', "asked", protocol=GEMINI) == b'{"model":"own"}'
    assert passed(GEMINI, b"data: " + body + b"\n\n") == b"data: " + renamed + b"\n\n"
    for data in (
        '{"modelVersion":"served","candidates":[{"content":{}}]}',
        '{"candidates":[{"args":{"modelVersion":"inner","a":"b"}}],"modelVersion":"served"}',
        '{"candidates":[{"args":{"modelVersion":"inner","a":"b"}}]}',
        '{"model\\u0056ersion":"served"}',
        '{"modelVersion":"ser\\"ved","responseId":"r"}',
        '{"candidates":[{"text":"\\"modelVersion\\":\\"x\\"}"}],"modelVersion":"served" }',
    ):
        expected = json.loads(data)
        if "modelVersion" in expected:
            expected["modelVersion"] = "asked"
        shown = passed(GEMINI, f"data: {data}\n\n".encode())
        assert json.loads(shown.removeprefix(b"data: ")) == expected


class Person(BaseModel):
    name: str
    age: int | None = None


def weather(city: str, days: int = 3) -> str:
    """The weather of a city."""
    return city * days


def test_what_the_sdk_sends_is_carried() -> None:
    """With its mixed spellings, its base64 for URLs, its whole numbers with a point, its schemas."""
    seen: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.content)
        return httpx2.Response(200, json={"candidates": [{"finishReason": "STOP"}]})

    google(handler).models.generate_content(
        model="m",
        contents=["hi", types.Part.from_bytes(data=b"\xfb\xff\xfe3", mime_type="image/png")],
        config=types.GenerateContentConfig(
            top_k=5,
            system_instruction="be brief",
            response_schema=Person,
            response_mime_type="application/json",
            thinking_config=types.ThinkingConfig(thinking_budget=1024, include_thoughts=True),
            tools=[weather],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            max_output_tokens=4000,
        ),
    )
    shown = sent(GEMINI, CLAUDE, seen[0].decode())
    assert (shown["top_k"], shown["max_tokens"]) == (5, 4000)
    assert "_" in seen[0].decode()
    assert shown["system"] in ("be brief", [{"type": "text", "text": "be brief"}])
    (text, picture) = shown["messages"][0]["content"]
    assert text == {"type": "text", "text": "hi"}
    assert picture["source"] == {"type": "base64", "media_type": "image/png", "data": "+//+Mw=="}
    assert shown["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    schema = shown["output_config"]["format"]["schema"]
    assert schema["properties"]["age"]["type"] == ["integer", "null"]
    assert (schema["type"], schema["required"]) == ("object", ["name"])
    (tool,) = shown["tools"]
    assert tool["input_schema"]["properties"]["days"] == {"type": "integer", "default": 3}
    assert tool["description"].startswith("The weather of a city.\nGives back JSON of this schema: ")


def test_a_schema_of_its_own_form_becomes_json_schema() -> None:
    """In either spelling: nothing of it is lost."""
    assert json_schema(
        {
            "type": "OBJECT",
            "property_ordering": ["b", "a"],
            "properties": {
                "a": {"type": "ARRAY", "items": {"type": "STRING", "max_length": "5"}, "minItems": 1},
                "b": {"type": "STRING", "enum": ["x"], "nullable": True, "example": "x"},
                "c": {"any_of": [{"type": "NUMBER"}], "nullable": True, "description": None},
            },
            "additional_properties": False,
            "required": ["a"],
        },
        "s",
    ) == {
        "type": "object",
        "properties": {
            "b": {"type": ["string", "null"], "enum": ["x", None], "examples": ["x"]},
            "a": {"type": "array", "minItems": 1, "items": {"type": "string", "maxLength": 5}},
            "c": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    refs = {"$defs": {"p": {"type": "INTEGER"}}, "$ref": "#/$defs/p", "additionalProperties": {"ref": "x"}}
    assert json_schema(refs, "s") == {
        "$defs": {"p": {"type": "integer"}},
        "$ref": "#/$defs/p",
        "additionalProperties": {"$ref": "x"},
    }
    assert list(
        json_schema({"properties": {"a": {}, "b": {}}, "propertyOrdering": ["b"]}, "s")["properties"]
    ) == [
        "b",
        "a",
    ]


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"properties": {"a": {"oneOf": []}}}, "s.properties.a.oneOf"),
        ({"type": "ROBOT"}, "s.type"),
        ({"minItems": -1}, "s.minItems"),
        ({"minItems": 1, "min_items": 2}, "s.min_items"),
        ({"enum": "x"}, "s.enum"),
        ({"items": [1]}, "s.items"),
        (7, "s"),
    ],
)
def test_a_schema_that_cannot_be_said_is_refused_by_its_place(schema: Any, field: str) -> None:
    """Also far inside; and however deep, without harm."""
    with pytest.raises((Malformed, Untranslatable)) as refused:
        json_schema(schema, "s")
    assert refused.value.field == field


def test_a_schema_has_a_depth() -> None:
    """Nobody needs more; a stack has an end."""
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"items": deep}
    with pytest.raises(Malformed, match="deep"):
        json_schema(deep, "s")


def test_calls_and_results_without_ids_find_each_other() -> None:
    """By name, in order; with the same ids on both sides for a protocol that wants them."""
    body = talk(
        ("user", [{"text": "x"}]),
        (
            "model",
            [
                {"functionCall": {"name": "w", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "v"}},
                {"functionCall": {"name": "w", "id": "own"}},
            ],
        ),
        (
            "function",
            [
                {"functionResponse": {"name": "v", "response": {"result": 5}}},
                {"functionResponse": {"name": "w", "response": {"error": "no"}}},
                {"functionResponse": {"name": "w", "id": "own", "response": {"output": {"deep": [1]}}}},
            ],
        ),
    )
    _, asked, answered = sent(GEMINI, CLAUDE, body)["messages"]
    assert [block["id"] for block in asked["content"]] == ["gen_0", "gen_1", "own"]
    assert [block["tool_use_id"] for block in answered["content"]] == ["gen_1", "gen_0", "own"]
    assert [block["content"][0]["text"] for block in answered["content"]] == [
        '{"result":5}',
        "no",
        '{"deep":[1]}',
    ]
    assert [block.get("is_error") for block in answered["content"]] == [None, True, None]
    for odd in ({"name": "u", "response": {}}, {"name": "w", "id": "other", "response": {}}):
        with pytest.raises(Malformed, match="no call"):
            sent(GEMINI, CHAT, talk(("user", [{"functionResponse": odd}])))


@pytest.mark.parametrize(
    ("calling", "expected"),
    [
        ({"mode": "AUTO"}, "auto"),
        ({}, "auto"),
        ({"mode": "NONE"}, "none"),
        ({"mode": "ANY"}, "required"),
        ({"mode": "ANY", "allowedFunctionNames": ["w", "v"]}, "required"),
        (
            {"mode": "ANY", "allowed_function_names": ["w"]},
            {"type": "function", "function": {"name": "w"}},
        ),
    ],
)
def test_which_function_must_be_called_is_carried(calling: Any, expected: Any) -> None:
    """One by name, any of them, or none."""
    tools = [{"functionDeclarations": [{"name": "w", "parameters": {"type": "OBJECT"}}, {"name": "v"}]}]
    shown = sent(GEMINI, CHAT, {**HELLO, "tools": tools, "toolConfig": {"functionCallingConfig": calling}})
    assert shown["tool_choice"] == expected
    assert shown["tools"][0]["function"] == {"name": "w", "parameters": {"type": "object"}}


def test_validated_calls_are_strict() -> None:
    """Elsewhere the tools themselves say so."""
    body = {
        **HELLO,
        "tools": [{"functionDeclarations": [{"name": "w", "parametersJsonSchema": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
    }
    shown = sent(GEMINI, CHAT, body)
    assert (shown["tool_choice"], shown["tools"][0]["function"]["strict"]) == ("auto", True)


@pytest.mark.parametrize(
    ("thinking", "target", "expected"),
    [
        ({"thinkingBudget": 0}, CHAT, {"reasoning_effort": "none"}),
        ({"thinkingLevel": "LOW"}, CHAT, {"reasoning_effort": "low"}),
        ({"thinking_level": "high", "includeThoughts": False}, CHAT, {"reasoning_effort": "high"}),
        ({"thinkingBudget": 2000}, CLAUDE, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ({"includeThoughts": True}, CLAUDE, {"thinking": {"type": "adaptive"}}),
        ({"thinkingBudget": -1}, CLAUDE, {"thinking": {"type": "adaptive"}}),
    ],
)
def test_how_to_think_is_carried(thinking: Any, target: Any, expected: Any) -> None:
    """A budget, a level, or as much as is good."""
    shown = sent(GEMINI, target, config(thinkingConfig=thinking, maxOutputTokens=5000))
    assert {name: shown.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("part", "target", "expected"),
    [
        (
            {"inlineData": {"mimeType": "audio/mpeg", "data": "YQ=="}},
            CHAT,
            {"type": "input_audio", "input_audio": {"data": "YQ==", "format": "mp3"}},
        ),
        (
            {"inline_data": {"mime_type": "application/pdf", "data": "YQ", "display_name": "a.pdf"}},
            CHAT,
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,YQ==", "filename": "a.pdf"}},
        ),
        (
            {"fileData": {"mimeType": "image/png", "fileUri": "https://h/x.png"}},
            CLAUDE,
            {"type": "image", "source": {"type": "url", "url": "https://h/x.png"}},
        ),
    ],
)
def test_media_are_carried(part: Any, target: Any, expected: Any) -> None:
    """Inside the request or at an address."""
    shown = sent(GEMINI, target, talk(("user", [part])))
    assert shown["messages"][0]["content"] == [expected]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (config(responseMimeType="text/x.enum"), "generationConfig.responseMimeType"),
        (config(topK=5), "generationConfig.topK"),
        (config(thinkingConfig={"includeThoughts": True}), "generationConfig.thinkingConfig"),
        (
            config(thinkingConfig={"thinkingBudget": 5, "includeThoughts": False}),
            "generationConfig.thinkingConfig.includeThoughts",
        ),
        (config(brandNew=1), "generationConfig.brandNew"),
        ({**HELLO, "tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        ({**HELLO, "toolConfig": {"retrievalConfig": {"languageCode": "de"}}}, "toolConfig.retrievalConfig"),
        (
            {
                **HELLO,
                "tools": [{"functionDeclarations": [{"name": n} for n in "abc"]}],
                "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}},
            },
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (talk(("user", [{"executableCode": {"code": "x"}}])), "contents[0].parts[0].executableCode"),
        (talk(("user", [{"text": "x", "videoMetadata": {}}])), "contents[0].parts[0].videoMetadata"),
        (
            talk(("user", [{"inlineData": {"mimeType": "video/mp4", "data": "YQ=="}}])),
            "contents[0].parts[0].inlineData.mimeType",
        ),
        (
            talk(("user", [{"inlineData": {"mimeType": "image/png", "data": PIXEL, "displayName": "n"}}])),
            "contents[0].parts[0].inlineData.displayName",
        ),
        (
            talk(
                ("user", [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1/files/a"}}])
            ),
            "contents[0].parts[0].fileData.fileUri",
        ),
        (
            talk(("user", [{"fileData": {"mimeType": "image/png", "fileUri": "gs://b/a"}}])),
            "contents[0].parts[0].fileData.fileUri",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(body: dict[str, Any], field: str) -> None:
    """In the caller's own words, before anything is sent."""
    with pytest.raises(Untranslatable) as refused:
        sent(GEMINI, CHAT, body)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "contents"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        (talk(("user", [{}])), "contents[0].parts[0].text"),
        (talk(("user", [{"text": "a", "inlineData": {}}])), "contents[0].parts[0].text"),
        (talk(("user", [{"inlineData": {"data": "YQ=="}}])), "contents[0].parts[0].inlineData.mimeType"),
        ({**HELLO, "systemInstruction": {"parts": [{"thought": True, "text": "x"}]}}, "systemInstruction"),
        (config(stopSequences=[1]), "generationConfig.stopSequences"),
        (config(responseSchema={}), "generationConfig.responseSchema"),
        (config(responseSchema={}, responseJsonSchema={}), "generationConfig.responseSchema"),
        (config(thinkingConfig={"thinkingBudget": -2}), "generationConfig.thinkingConfig.thinkingBudget"),
        (config(thinkingConfig={"thinkingLevel": "DEEP"}), "generationConfig.thinkingConfig.thinkingLevel"),
        (
            config(thinkingConfig={"thinkingLevel": "LOW", "thinkingBudget": 5}),
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        (config(seed=1.5), "generationConfig.seed"),
        (config(topK=1, top_k=1), "generationConfig.topK"),
        ({**HELLO, "system_instruction": {}, "systemInstruction": {}}, "systemInstruction"),
        (
            {**HELLO, "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": [1]}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (
            {**HELLO, "tools": [{"functionDeclarations": [{"name": "w", "parametersJsonSchema": [1]}]}]},
            "tools[0].functionDeclarations[0].parametersJsonSchema",
        ),
        (
            {
                **HELLO,
                "tools": [
                    {"functionDeclarations": [{"name": "w", "parameters": {}, "parametersJsonSchema": {}}]}
                ],
            },
            "tools[0].functionDeclarations[0].parameters",
        ),
    ],
)
def test_what_breaks_the_protocol_is_refused_too(body: dict[str, Any], field: str) -> None:
    """With the field's name."""
    with pytest.raises(Malformed) as refused:
        sent(GEMINI, CHAT, body)
    assert refused.value.field.startswith(field)


def test_another_providers_thought_goes_out_and_comes_back_whole() -> None:
    """Its signature travels as Gemini's own would; pieces of a streamed thought become one again."""
    events = [
        ThoughtSaid("hm"),
        ThoughtSaid("m"),
        ThoughtSigned("sig+/=ü"),
        ThoughtSigned(None, "hidden"),
        TextSaid("yes"),
        Done(Finish.STOP, Unmetered(), "m"),
    ]
    chunks = [json.loads(line[6:]) for line in told(GEMINI, list(events)).decode().splitlines() if line]
    parts = [part for one in chunks for part in one["candidates"][0]["content"]["parts"]]
    (message,) = read_contents([{"role": "model", "parts": parts}])
    assert message.parts == (Thinking("hmm", "sig+/=ü"), Thinking("", None, "hidden"), Text("yes"))
    whole = Answer("i", "m", message.parts, Finish.STOP, Unmetered())
    written = write_answer(GEMINI, whole, SPOKEN)
    assert isinstance(written, bytes)
    again = read_contents([json.loads(written)["candidates"][0]["content"]])
    assert again[0].parts == message.parts
    foreign = {"text": "t", "thought": True, "thoughtSignature": "c2ln"}
    assert read_contents([{"role": "model", "parts": [foreign]}])[0].parts == (Thinking("t"),)


def test_nobody_hears_thoughts_that_were_not_asked_for() -> None:
    """Gemini's callers say so in their request."""
    events = [ThoughtSaid("hm"), ThoughtSigned("s"), TextSaid("yes"), Done(Finish.STOP, Unmetered(), "m")]
    for asked, shows in (
        ({}, False),
        (ALOUD, True),
        (config(thinking_config={"thinking_budget": 5}), True),
        (config(thinkingConfig={"thinkingBudget": 0}), False),
        (config(thinkingConfig={"thinkingLevel": "LOW"}), False),
    ):
        spoken = Spoken("i", "m", 0, asked)
        writer = stream_writer(GEMINI, spoken)
        stream = b"".join(writer.write(event) for event in events)
        answer = Answer("i", "m", (Thinking("hm", "s"), Text("yes")), Finish.STOP, Unmetered())
        body = write_answer(GEMINI, answer, spoken)
        assert isinstance(body, bytes)
        assert (b"hm" in stream, b"hm" in body) == (shows, shows)
        assert b"usageMetadata" not in stream + body


def test_a_call_that_cannot_be_shown_ends_the_answer_as_the_vendor_would() -> None:
    """Nobody takes garbled arguments for none; what was said before stands, and the bill."""
    for garbled in ('{"a', "[1]"):
        parts = (Text("a"), ToolCall("c", "w", garbled))
        answer = Answer("i", "m", parts, Finish.TOOL_CALLS, Usage(input=1, output=2))
        body = write_answer(GEMINI, answer, SPOKEN)
        assert isinstance(body, bytes)
        events = [TextSaid("a"), CallBegan(0, "c", "w"), CallSaid(0, garbled)]
        stream = told(GEMINI, [*events, Done(Finish.TOOL_CALLS, answer.usage, "m")])
        last = json.loads(stream.split(b"\n\n")[-2][6:])
        for ended in (json.loads(body), last):
            assert ended["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"
            assert ended["usageMetadata"]["totalTokenCount"] == 3
        assert b"functionCall" not in body + stream


def test_a_refusal_is_text_that_ends_with_safety() -> None:
    """Gemini has no other word for it."""
    stream = told(GEMINI, [RefusalSaid("no"), Done(Finish.REFUSAL, Unmetered(), "m")])
    assert b'{"text":"no"}' in stream
    assert b'"finishReason":"SAFETY"' in stream


def test_sound_has_its_own_figures() -> None:
    """Split by modality, as the vendor does."""
    usage = Usage(input=10, input_audio=5, output=7, output_audio=3, reasoning=2)
    written = write_answer(GEMINI, Answer("i", "m", (), Finish.STOP, usage), SPOKEN)
    assert isinstance(written, bytes)
    figures = json.loads(written)["usageMetadata"]
    assert figures["promptTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 10},
        {"modality": "AUDIO", "tokenCount": 5},
    ]
    assert figures["candidatesTokensDetails"][1] == {"modality": "AUDIO", "tokenCount": 3}
    assert (figures["candidatesTokenCount"], figures["totalTokenCount"]) == (8, 25)


def test_a_stream_of_events_has_no_other_end_than_its_last_chunk() -> None:
    """No `[DONE]`, no name of an event."""
    stream = told(GEMINI, [TextSaid("a"), Done(Finish.LENGTH, Usage(input=1), "m")])
    assert stream == sse(
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}, "index": 0}],
            "modelVersion": "asked-model",
            "responseId": "id1",
        },
        {
            "candidates": [
                {"content": {"role": "model", "parts": []}, "finishReason": "MAX_TOKENS", "index": 0}
            ],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 0, "totalTokenCount": 1},
            "modelVersion": "asked-model",
            "responseId": "id1",
        },
    ).replace(b'": ', b'":').replace(b", ", b",")


def test_the_model_and_the_stream_come_from_the_path() -> None:
    """And reach the provider as its own request says them."""
    request = read_request(GEMINI, parse_object(json.dumps(HELLO).encode()), model="m", stream=True)
    assert (request.model, request.stream, request.include_usage) == ("m", True, True)
    assert sent(GEMINI, CHAT, HELLO) == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
