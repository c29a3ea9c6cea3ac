"""OpenAI chat completions: one chunk a line, usage in a chunk of its own, `[DONE]` at the end.

The prompt figure includes cached and written tokens, the completion figure includes reasoning; reasoning
itself is never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, ClassVar

from fakes.asgi import Request
from fakes.chance import chance
from fakes.chat.asked import Asked, Prompt, at_least_one, fields_of, items_of, model_named, nonce_in
from fakes.chat.completion import Part, grouped
from fakes.chat.dialect import Emitted, Event, View, data_lines
from fakes.chat.openai import OpenAI, read_content
from fakes.chat.tokens import Tokens
from fakes.chat.usage import UsageForm
from fakes.json_text import json_bytes

__all__ = ["OpenAIChat", "openai_models"]

_CHOICES_MAX = 16
_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "refusal": "stop",
    "content_filter": "content_filter",
}


class OpenAIChat(OpenAI):
    """`POST /v1/chat/completions`, and `GET /v1/models`."""

    name: ClassVar[str] = "openai_chat"
    usage_form: ClassVar = UsageForm(
        "total_tokens", "prompt_tokens", ("prompt_tokens_details", "cached_tokens")
    )
    empty_first: ClassVar[bool] = True
    places: ClassVar = frozenset({"late", "early", "with_finish", "every_event", "twice"})

    # --- the request ---

    def read(self, request: Request) -> Asked | None:
        if request.path != "/v1/chat/completions" or request.method != "POST":
            return openai_models(request)
        fields = request.fields
        prompt = Prompt()
        refused, about = _wrong(request, fields, prompt)
        tools = [fields_of(tool).get("function") for tool in items_of(fields.get("tools"))]
        for tool in tools:
            prompt.text(json_bytes(tool).decode())
        offered = tuple(str(fields_of(tool).get("name", "")) for tool in tools)
        limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
        options = fields_of(fields.get("stream_options"))
        metadata = fields_of(fields.get("metadata"))
        model = fields.get("model")
        return Asked(
            op="chat",
            model=model if isinstance(model, str) else None,
            stream=fields.get("stream") is True,
            prompt=prompt,
            nonce=nonce_in(prompt, metadata.get("nonce"), fields.get("nonce")),
            tokens_max=limit if isinstance(limit, int) else None,
            choices=fields.get("n") or 1 if refused is None else 1,
            tools=offered,
            tool_forced=_forced(fields.get("tool_choice")),
            include_usage=options.get("include_usage") is True,
            obfuscated=options.get("include_obfuscation") is not False,
            refused=refused,
            about=about,
        )

    # --- the answer in one piece ---

    def usage(self, tokens: Tokens) -> dict[str, Any]:
        prompt, completion = tokens.input_total, tokens.output_total
        details = {"cached_tokens": tokens.cache_read, "audio_tokens": tokens.input_audio}
        if tokens.cache_write:  # only recent models write caches at a price, and say so
            details["cache_write_tokens"] = tokens.cache_write
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": details,
            "completion_tokens_details": {
                "reasoning_tokens": tokens.output_reasoning,
                "audio_tokens": tokens.output_audio,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def whole(self, view: View) -> tuple[dict[str, Any], str | None]:
        choices = [
            {
                "index": index,
                "message": _message(parts, null=view.odd == "null_content"),
                "logprobs": None,
                **_finish(view),
            }
            for index, parts in enumerate(view.completion.choices)
        ]
        usage = self.usage_field(view, view.tokens)
        document = _frame(view, "chat.completion") | {
            "choices": [] if view.odd == "empty_choices" else choices
        }
        return document | usage, _shown(usage)

    # --- the stream ---

    def events(self, view: View) -> Sequence[Event]:
        emitted = Emitted(view.tokens)
        kind, wanted = view.usage, view.asked.include_usage
        every = kind == "every_event"
        hidden: dict[str, Any] = {"usage": None} if wanted and not every else {}
        events: list[Event] = []
        line = data_lines(_frame(view, "chat.completion.chunk"))

        def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> Event:
            if usage is None:
                usage = self.usage_field(view, emitted.so_far) if every else hidden
            choices = [] if view.odd == "empty_choices" else choices
            document: dict[str, Any] = {"choices": choices, **usage}
            if view.obfuscation and view.asked.obfuscated:
                document["obfuscation"] = _padding(view.id, len(events))
            return Event(line(document), usage=_shown(usage))

        if view.odd == "empty_first":
            events.append(chunk([]))
        reasoning = view.tokens.output_reasoning
        emitted.add(reasoning=reasoning)
        for index in range(len(view.completion.choices)):
            opening = {"role": "assistant", "content": "", "refusal": None}
            event = chunk([_delta(index, opening)])
            event.output_reasoning, reasoning = reasoning, 0  # thought of before the first word
            events.append(event)
        for index, delta, text, count in _interleaved(view):
            emitted.add(text=count)
            event = chunk([_delta(index, delta)])
            event.text, event.output_text = text, count
            events.append(event)
        true = self.usage_field(view, view.tokens)
        if kind == "early":
            events.append(chunk([], true))
        if view.no_finish != "missing":
            for index in range(len(view.completion.choices)):
                last = _delta(index, {}) | _finish(view)
                events.append(chunk([last], true if kind == "with_finish" else None))
        if kind == "twice" or (wanted and kind not in ("late", "early", "with_finish", "missing")):
            events += [chunk([], true) for _ in range(2 if kind == "twice" else 1)]
        events.append(Event(b"data: [DONE]\n\n"))
        if kind == "late":
            events.append(chunk([], true))
        return events


def openai_models(request: Request) -> Asked | None:
    """`GET /v1/models`, unless its headers say that it is another vendor's."""
    if request.method != "GET" or not (
        request.path == "/v1/models" or request.path.startswith("/v1/models/")
    ):
        return None
    if request.header("anthropic-version") or request.header("x-goog-api-key"):
        return None
    return Asked(op="models", model=model_named(request.path))


def _wrong(request: Request, fields: dict[str, Any], prompt: Prompt) -> tuple[str | None, str | None]:
    """Reads the messages; the refusal a senseless request meets, and what it is about."""
    messages = fields.get("messages")
    if not isinstance(request.json, dict):
        return "not_json", None
    if not isinstance(fields.get("model"), str):
        return "parameters", "you must provide a model parameter"
    if not isinstance(messages, list) or not messages:
        return "parameters", "Missing required parameter: 'messages'."
    for number, message in enumerate(messages):
        given = fields_of(message)
        texts = read_content(given.get("content"), prompt)
        if texts is None or not isinstance(given.get("role"), str):
            return "parameters", f"Invalid value: 'messages[{number}].content'."
        for call in items_of(given.get("tool_calls")):
            texts.append(str(fields_of(fields_of(call).get("function")).get("arguments", "")))
        prompt.message(given["role"], *texts)
    count = fields.get("n")
    if count is not None and not (at_least_one(count) and count <= _CHOICES_MAX):
        return "parameters", f"Invalid 'n': from 1 to {_CHOICES_MAX}."
    for name in ("max_completion_tokens", "max_tokens"):
        if fields.get(name) is not None and not at_least_one(fields[name]):
            return "parameters", f"Invalid '{name}': integer below minimum value. Expected a value >= 1."
    if not isinstance(fields.get("tools") or [], list):
        return "parameters", "Invalid type for 'tools': expected an array of objects."
    if "stream_options" in fields and fields["stream_options"] is not None and not fields.get("stream"):
        return "parameters", "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    return None, None


def _forced(choice: object) -> str | None:
    match choice:
        case "required":
            return "*"
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case _:
            return None


def _frame(view: View, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{view.id}",
        "object": kind,
        "created": view.created_s,
        "model": view.model,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def _finish(view: View) -> dict[str, Any]:
    match view.no_finish:
        case "missing":
            return {}
        case "null":
            return {"finish_reason": None}
        case "unknown":
            return {"finish_reason": "because"}
        case _:
            return {"finish_reason": _FINISH[view.completion.finish]}


def _message(parts: Sequence[Part], *, null: bool) -> dict[str, Any]:
    texts = [part.text for part in parts if part.kind == "text"]
    refusals = [part.text for part in parts if part.kind == "refusal"]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts and not null else None,
        "refusal": "".join(refusals) if refusals else None,
        "annotations": [],
    }
    if calls := [_call(part) for part in parts if part.kind == "call"]:
        message["tool_calls"] = calls
    return message


def _call(part: Part) -> dict[str, Any]:
    return {
        "id": f"call_{part.id}",
        "type": "function",
        "function": {"name": part.name, "arguments": part.text},
    }


def _delta(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _interleaved(view: View) -> Iterator[tuple[int, dict[str, Any], str, int]]:
    """Every choice's next delta in turn: (index, delta, words, tokens)."""
    voices = [_deltas(view, parts) for parts in view.completion.choices]
    for turn in zip_longest(*voices):
        for index, said in enumerate(turn):
            if said is not None:
                yield (index, *said)


def _deltas(view: View, parts: Sequence[Part]) -> Iterator[tuple[dict[str, Any], str, int]]:
    calls = 0
    for part in parts:
        if part.kind == "call":
            opening = {"name": part.name, "arguments": ""}
            call = {"index": calls, "id": f"call_{part.id}", "type": "function", "function": opening}
            yield {"tool_calls": [call]}, "", 0
        for pieces in grouped(part.pieces, view.pieces):
            text = "".join(pieces)
            if part.kind == "call":
                more = {"index": calls, "function": {"arguments": text}}
                yield {"tool_calls": [more]}, "", len(pieces)
            elif part.kind == "refusal":
                yield {"refusal": text}, text, len(pieces)
            elif part.kind == "text":
                yield {"content": None if view.odd == "null_content" else text}, text, len(pieces)
        calls += part.kind == "call"


def _padding(id: str, number: int) -> str:
    """Some letters of no meaning, so that a chunk's length tells nothing of its words."""
    return "x" * (1 + int(chance(0, id, number) * 12))


def _shown(usage: dict[str, Any]) -> str | None:
    return json_bytes(usage["usage"]).decode() if usage.get("usage") else None
