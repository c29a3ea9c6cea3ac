"""Pictures, documents, sounds, thoughts and refusals inside a conversation: carried, or refused by place."""

from __future__ import annotations

from typing import Any

import pytest

from refgate.dialects.canonical import Malformed, Protocol, Untranslatable
from tests.refgate.test_dialect_requests import CHAT, CLAUDE, GEMINI, RESPONSES, sent

B64 = "JVBERi0="
PDF = f"data:application/pdf;base64,{B64}"
LINK = "https://h/x.png"


def chat(*parts: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": role, "content": list(parts), **more}]}


def claude(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"model": "m", "max_tokens": 5, "messages": [{"role": role, "content": list(blocks)}]}


def responses(*parts: Any) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": list(parts)}]}


CHAT_PDF = {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}
CHAT_LINK = {"type": "image_url", "image_url": {"url": LINK}}
CHAT_SOUND = {"type": "input_audio", "input_audio": {"data": B64, "format": "wav"}}
CLAUDE_PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": B64},
    "title": "a.pdf",
}
CLAUDE_LINK = {"type": "image", "source": {"type": "url", "url": LINK}}
RESPONSES_PDF = {"type": "input_file", "file_data": PDF, "filename": "a.pdf"}
GEMINI_PDF = {"inlineData": {"mimeType": "application/pdf", "data": B64, "displayName": "a.pdf"}}


@pytest.mark.parametrize(
    ("source", "target", "body", "expected"),
    [
        (CHAT, CLAUDE, chat(CHAT_PDF), CLAUDE_PDF),
        (CHAT, CLAUDE, chat(CHAT_LINK), CLAUDE_LINK),
        (CHAT, GEMINI, chat(CHAT_PDF), GEMINI_PDF),
        (CHAT, GEMINI, chat(CHAT_SOUND), {"inlineData": {"mimeType": "audio/wav", "data": B64}}),
        (CLAUDE, CHAT, claude(CLAUDE_PDF), CHAT_PDF),
        (CLAUDE, CHAT, claude(CLAUDE_LINK), CHAT_LINK),
        (CLAUDE, GEMINI, claude(CLAUDE_PDF), GEMINI_PDF),
        (RESPONSES, CHAT, responses(RESPONSES_PDF), CHAT_PDF),
        (
            RESPONSES,
            CHAT,
            responses({"type": "input_image", "image_url": LINK, "detail": "low"}),
            {"type": "image_url", "image_url": {"url": LINK, "detail": "low"}},
        ),
        (
            RESPONSES,
            CLAUDE,
            responses({"type": "input_file", "file_url": LINK}),
            {"type": "document", "source": {"type": "url", "url": LINK}},
        ),
        (CHAT, CHAT, chat(CHAT_SOUND), CHAT_SOUND),
        (
            CLAUDE,
            GEMINI,
            claude({"type": "thinking", "thinking": "t"}, role="assistant"),
            {"text": "t", "thought": True},
        ),
        (
            CLAUDE,
            CLAUDE,
            claude({"type": "thinking", "thinking": "t", "signature": "s"}, role="assistant"),
            {"type": "thinking", "thinking": "t", "signature": "s"},
        ),
        (
            CLAUDE,
            CLAUDE,
            claude({"type": "redacted_thinking", "data": "d"}, role="assistant"),
            {"type": "redacted_thinking", "data": "d"},
        ),
        (
            CHAT,
            CHAT,
            chat({"type": "refusal", "refusal": "no"}, role="assistant"),
            {"type": "refusal", "refusal": "no"},
        ),
        (
            CHAT,
            CLAUDE,
            chat({"type": "refusal", "refusal": "no"}, role="assistant"),
            {"type": "text", "text": "no"},
        ),
    ],
)
def test_what_has_a_place_is_carried(
    source: Protocol, target: Protocol, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Inside the request or at an address, with its name."""
    shown = sent(source, target, body)
    message = shown["contents"][0] if target is GEMINI else shown["messages"][0]
    assert message["parts" if target is GEMINI else "content"] == [expected]


def test_a_refusal_beside_its_text_is_not_lost() -> None:
    """The field of its own that chat completions have."""
    shown = sent(CHAT, CLAUDE, chat({"type": "text", "text": "a"}, role="assistant", refusal="no"))
    assert [block["text"] for block in shown["messages"][0]["content"]] == ["a", "no"]


def test_neighbours_of_one_role_take_one_turn() -> None:
    """Where the protocol wants the roles to alternate."""
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}
    assert len(sent(CHAT, CLAUDE, body)["messages"]) == len(sent(CHAT, GEMINI, body)["contents"]) == 1
    assert len(sent(CHAT, CHAT, body)["messages"]) == 2


def test_instructions_keep_their_pieces() -> None:
    """Several at the start; in the middle only where the protocol takes them there."""
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": "x"},
        ],
    }
    assert sent(CHAT, CLAUDE, body)["system"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    middle = {
        "model": "m",
        "instructions": "a",
        "input": [
            {"role": "developer", "content": "b"},
            {"role": "user", "content": "x"},
            {"role": "developer", "content": "c"},
        ],
    }
    shown = sent(RESPONSES, CHAT, middle)["messages"]
    assert [message["role"] for message in shown] == ["system", "user", "system"]
    with pytest.raises(Untranslatable):
        sent(RESPONSES, CLAUDE, middle)


def test_reasoning_items_go_back_to_who_can_read_them() -> None:
    """With their seal, where the protocol has a place for it."""
    item = {
        "type": "reasoning",
        "id": "rs",
        "summary": [{"type": "summary_text", "text": "t"}],
        "encrypted_content": "s",
    }
    body = {
        "model": "m",
        "input": [{"role": "user", "content": "x"}, item, {"role": "assistant", "content": "y"}],
    }
    said = sent(RESPONSES, CLAUDE, body)["messages"][1]["content"]
    assert said == [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "y"}]
    for target in (CHAT, GEMINI):
        with pytest.raises(Untranslatable):
            sent(RESPONSES, target, body)


def result(*content: Any) -> dict[str, Any]:
    body = claude({"type": "tool_use", "id": "t", "name": "w", "input": {}}, role="assistant")
    body["messages"].append(
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": list(content)}]}
    )
    return body


@pytest.mark.parametrize(
    ("source", "target", "body"),
    [
        (CHAT, CLAUDE, chat(CHAT_SOUND)),
        (CHAT, CLAUDE, chat({"type": "image_url", "image_url": {"url": LINK, "detail": "high"}})),
        (CHAT, GEMINI, chat(CHAT_LINK)),
        (CHAT, CLAUDE, chat({"type": "file", "file": {"file_id": "f"}})),
        (CHAT, CLAUDE, chat({"type": "video", "video": {}})),
        (CLAUDE, CHAT, claude({"type": "image", "source": {"type": "file", "file_id": "f"}})),
        (CLAUDE, CHAT, claude({"type": "document", "source": {"type": "url", "url": LINK}})),
        (CLAUDE, CHAT, claude({"type": "search_result"})),
        (CLAUDE, CHAT, result(CLAUDE_LINK)),
        (CLAUDE, GEMINI, result(CLAUDE_PDF)),
        (RESPONSES, CHAT, responses({"type": "input_audio"})),
        (RESPONSES, CHAT, responses({"type": "input_file", "file_id": "f"})),
        (
            CLAUDE,
            CHAT,
            claude(
                {"type": "tool_use", "id": "t", "name": "w", "input": {}},
                {"type": "text", "text": "after"},
                role="assistant",
            ),
        ),
        (
            CLAUDE,
            CHAT,
            claude({"type": "text", "text": "before"}, {"type": "tool_result", "tool_use_id": "t"}),
        ),
        (CLAUDE, GEMINI, claude({"type": "tool_result", "tool_use_id": "nowhere", "content": "x"})),
    ],
)
def test_what_has_no_place_is_refused(source: Protocol, target: Protocol, body: dict[str, Any]) -> None:
    """A sound for a model without ears, a file that is kept elsewhere, an order another protocol forbids."""
    with pytest.raises(Untranslatable) as refused:
        sent(source, target, body)
    assert refused.value.field.startswith(("messages[", "input["))


@pytest.mark.parametrize(
    ("source", "body"),
    [
        (CHAT, chat({"type": "image_url", "image_url": {"url": "data:image/png,raw"}})),
        (CHAT, chat({"type": "image_url"})),
        (CHAT, chat({"type": "file", "file": {"file_data": LINK}})),
        (CHAT, chat({"type": "input_audio"})),
        (CHAT, chat({"type": "file"})),
        (CHAT, chat(CHAT_LINK, role="system")),
        (CHAT, chat(CHAT_LINK, role="assistant")),
        (CLAUDE, claude({"type": "image"})),
        (CLAUDE, result({"type": "tool_use", "id": "t", "name": "w", "input": {}})),
        (CLAUDE, {**claude(), "system": [CLAUDE_LINK]}),
        (RESPONSES, responses({"type": "input_file", "file_data": LINK})),
        (RESPONSES, {"model": "m", "input": [{"role": "developer", "content": "only"}]}),
    ],
)
def test_what_no_protocol_takes_is_malformed(source: Protocol, body: dict[str, Any]) -> None:
    """Named by its place too."""
    with pytest.raises(Malformed):
        sent(source, GEMINI, body)


@pytest.mark.parametrize("arguments", ["[1]", '{"half', "7"])
def test_a_garbled_call_in_the_talk_is_refused_where_arguments_are_objects(arguments: str) -> None:
    """It cannot be said in those protocols; chat completions carry it as text."""
    call = {"id": "c", "type": "function", "function": {"name": "w", "arguments": arguments}}
    body = {"model": "m", "messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    for target in (CLAUDE, GEMINI):
        with pytest.raises(Untranslatable, match="JSON object"):
            sent(CHAT, target, body)
    assert sent(CHAT, CHAT, body)["messages"][0]["tool_calls"][0] == call


@pytest.mark.parametrize("name", ["none", "required", "auto"])
def test_a_choice_of_tools_is_one_everywhere(name: str) -> None:
    """Three words in each protocol; and a strict tool holds Gemini to its schema."""
    words = {"none": ("none", "NONE"), "required": ("any", "ANY"), "auto": ("auto", "AUTO")}[name]
    body = {"model": "m", "input": "x", "tool_choice": name}
    assert sent(RESPONSES, CHAT, body)["tool_choice"] == name
    assert sent(RESPONSES, CLAUDE, body)["tool_choice"]["type"] == words[0]
    assert sent(RESPONSES, GEMINI, body)["toolConfig"]["functionCallingConfig"]["mode"] == words[1]
    strict = {"model": "m", "input": "x", "tools": [{"type": "function", "name": "w", "strict": True}]}
    assert sent(RESPONSES, GEMINI, strict)["toolConfig"]["functionCallingConfig"]["mode"] == "VALIDATED"
    assert sent(RESPONSES, CLAUDE, strict)["tools"][0]["strict"] is True
    named = {**strict, "tool_choice": {"type": "function", "name": "w"}}
    assert sent(RESPONSES, CHAT, named)["tool_choice"] == {"type": "function", "function": {"name": "w"}}


def test_a_shape_for_the_answer_is_carried() -> None:
    """From each caller that can ask for one."""
    schema = {"type": "object"}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True, "description": "d"}
    shown = sent(RESPONSES, CHAT, {"model": "m", "input": "x", "text": {"format": form}})["response_format"]
    assert shown["json_schema"] == {"name": "n", "schema": schema, "strict": True, "description": "d"}
    loose = {"model": "m", "input": "x", "text": {"format": {"type": "json_object"}}}
    assert sent(RESPONSES, CHAT, loose)["response_format"] == {"type": "json_object"}
    asked = {
        **claude({"type": "text", "text": "x"}),
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    assert sent(CLAUDE, CHAT, asked)["response_format"]["json_schema"]["schema"] == schema
    assert sent(CLAUDE, GEMINI, asked)["generationConfig"]["responseJsonSchema"] == schema
