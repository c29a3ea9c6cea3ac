"""Gemini generateContent and streamGenerateContent, v1 and v1beta.

The prompt figure includes what is cached, the candidates' figure leaves thoughts out, and every chunk of a
stream carries usage so far. How long to wait stands in the body of a 429. A blocked prompt is an answer,
under 200 and without candidates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote

from fakes.asgi import Reply, Request, json_reply
from fakes.chat.asked import Asked
from fakes.chat.completion import Part, grouped
from fakes.chat.dialect import ChatDialect, Emitted, Event, Refusal, View, Words, data_line
from fakes.chat.gemini_request import read_prompt
from fakes.chat.gemini_words import GEMINI_WORDS, error_document
from fakes.chat.tokens import Tokens
from fakes.chat.usage import UsageForm
from fakes.journal import Headers
from fakes.json_text import json_bytes, parsed

__all__ = ["Gemini"]

_PATH = re.compile(r"/v1(?:beta)?/models/([^/:]+):(generateContent|streamGenerateContent|countTokens)")
_MODELS = re.compile(r"/v1(?:beta)?/models(?:/([^/:]+))?")
_FINISH = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "refusal": "STOP",
    "content_filter": "SAFETY",
}


class Gemini(ChatDialect):
    """`POST /{v1|v1beta}/models/{model}:generateContent` and its like; `GET /{v1|v1beta}/models`."""

    name: ClassVar[str] = "gemini"
    usage_form: ClassVar = UsageForm("totalTokenCount", "promptTokenCount", ("cachedContentTokenCount",))
    places: ClassVar = frozenset({"late", "early", "with_finish", "every_event", "twice"})
    words: ClassVar[Mapping[str, Words]] = GEMINI_WORDS
    by_status: ClassVar[Mapping[int, str]] = {504: "timeout", 529: "overloaded"}
    near: ClassVar[Mapping[str, str]] = {**ChatDialect.near, "money": "spend_limit"}

    # --- the request ---

    def read(self, request: Request) -> Asked | None:
        if request.method == "GET" and (listed := _MODELS.fullmatch(request.path)):
            if self._key(request) is None:
                return None
            name = listed.group(1)
            return Asked(op="models", model=unquote(name) if name else None)
        called = _PATH.fullmatch(request.path)
        if called is None or request.method != "POST":
            return None
        model, verb = unquote(called.group(1)), called.group(2)
        return read_prompt(
            request,
            model=model,
            op="count" if verb == "countTokens" else "chat",
            stream=verb == "streamGenerateContent",
            as_array=request.query_fields.get("alt") != "sse",
        )

    def unauthorised(self, request: Request, key: str) -> str | None:
        given = self._key(request)
        if given is None:
            return "no_key"
        return None if given == key else "bad_key"

    def _key(self, request: Request) -> str | None:
        return request.header("x-goog-api-key") or request.query_fields.get("key")

    # --- refusals ---

    def problem(self, words: Words, refusal: Refusal) -> Reply:
        return json_reply(words.status, error_document(words, refusal.kind, refusal.wait_us), refusal.headers)

    def wait_headers(self, wait_us: int) -> Headers:
        return ()

    def error_event(self, words: Words, shape: str, number: int, view: View) -> bytes:
        document = error_document(words, "", None)
        if view.asked.as_array:
            return (b"[" if number == 0 else b",\r\n") + json_bytes(document, ascii=False) + b"]"
        match shape:
            case "real":  # not an event at all: the bare body of an error, over several lines
                text = json_bytes(document, ascii=False).decode()
                return text.replace('{"error":', '{\n  "error": ').removesuffix("}").encode() + b"\n}\n"
            case "text":
                return data_line({"error": words.message})
            case "event":
                return b"event: error\n" + data_line(document["error"])
            case _:
                return data_line(document)

    # --- answers ---

    def usage(self, tokens: Tokens) -> dict[str, Any]:
        candidates = tokens.output_text + tokens.output_audio
        usage: dict[str, Any] = {
            "promptTokenCount": tokens.input_total,
            **({"candidatesTokenCount": candidates} if candidates else {}),  # protobuf leaves a zero out
            "totalTokenCount": tokens.input_total + candidates + tokens.output_reasoning,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": tokens.input_total - tokens.input_audio}
            ],
        }
        if tokens.input_audio:
            usage["promptTokensDetails"].append({"modality": "AUDIO", "tokenCount": tokens.input_audio})
        if tokens.cache_read:
            usage["cachedContentTokenCount"] = tokens.cache_read
        if tokens.output_reasoning:
            usage["thoughtsTokenCount"] = tokens.output_reasoning
        return usage

    def whole(self, view: View) -> tuple[dict[str, Any], str | None]:
        usage = self.usage_field(view, view.tokens, "usageMetadata")
        if view.completion.blocked:
            document: dict[str, Any] = {"promptFeedback": {"blockReason": "SAFETY"}}
        else:
            candidates = [
                self._candidate(view, index, [_part(part) for part in parts if part.kind != "reasoning"])
                | self._finish(view)
                for index, parts in enumerate(view.completion.choices)
            ]
            document = _candidates(view, candidates)
        return document | usage | self._frame(view), _shown(usage)

    def events(self, view: View) -> Sequence[Event]:
        events = list(self._events(view))
        if not view.asked.as_array:
            return events
        for number, event in enumerate(events):
            document = event.data.removeprefix(b"data: ").rstrip()
            event.data = (b",\r\n" if number else b"[") + document
        return [*events, Event(b"]")]

    def _events(self, view: View) -> Iterator[Event]:
        emitted = Emitted(view.tokens)
        kind = view.usage
        if view.completion.blocked:
            document, blocked = self.whole(view)
            yield Event(data_line(document), usage=blocked)
            return
        thoughts = view.tokens.output_reasoning
        emitted.add(reasoning=thoughts)
        for part in view.completion.parts:
            if part.kind == "reasoning":
                continue
            # A call comes as one piece, whole.
            pieces = [part.pieces] if part.kind == "call" else grouped(part.pieces, view.pieces)
            for group in pieces:
                said = Part(part.kind, group, part.name, part.id)
                emitted.add(text=len(group))
                shows = kind not in ("with_finish", "late", "missing")
                event = self._chunk(view, [_part(said)], {}, emitted.so_far if shows else None)
                event.output_text, event.output_reasoning, thoughts = len(group), thoughts, 0
                event.text = said.text if part.kind != "call" else ""
                yield event
        tokens = view.tokens
        if view.no_finish != "missing":
            last = None if kind in ("late", "early") else tokens
            event = self._chunk(view, [{"text": ""}], self._finish(view), last)
            event.output_reasoning = thoughts  # all of it, where nothing was said
            yield event
        for _ in range({"late": 1, "twice": 2}.get(kind, 0)):
            usage = self.usage_field(view, tokens, "usageMetadata")
            yield Event(data_line(usage | self._frame(view)), usage=_shown(usage))

    def _chunk(
        self, view: View, parts: list[dict[str, Any]], finish: dict[str, Any], tokens: Tokens | None
    ) -> Event:
        usage = {} if tokens is None else self.usage_field(view, tokens, "usageMetadata")
        document = _candidates(view, [self._candidate(view, 0, parts) | finish])
        return Event(data_line(document | usage | self._frame(view)), usage=_shown(usage))

    def _candidate(self, view: View, index: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {"role": "model"}
        if view.odd != "null_content":
            content["parts"] = [part for part in parts if part]
        return {"content": content, "index": index}

    def _finish(self, view: View) -> dict[str, Any]:
        match view.no_finish:
            case "missing":
                return {}
            case "null":
                return {"finishReason": None}
            case "unknown":
                return {"finishReason": "BECAUSE"}
            case _:
                spoken = (part for parts in view.completion.choices for part in parts)
                malformed = any(part.kind == "call" and not _part(part) for part in spoken)
                usual = _FINISH[view.completion.finish]
                return {"finishReason": "MALFORMED_FUNCTION_CALL" if malformed else usual}

    def _frame(self, view: View) -> dict[str, Any]:
        return {"modelVersion": view.model, "responseId": view.id}

    def stream_type(self, asked: Asked) -> str:
        return "application/json; charset=UTF-8" if asked.as_array else "text/event-stream"

    def counted(self, tokens: int) -> dict[str, Any]:
        return {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}

    def model_entry(self, name: str, created_s: int) -> dict[str, Any]:
        verbs = ["generateContent", "countTokens"]
        return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": verbs}

    def models(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"models": list(entries)}


def _candidates(view: View, candidates: list[dict[str, Any]]) -> dict[str, Any]:
    return {"candidates": [] if view.odd == "empty_choices" else candidates}


def _part(part: Part) -> dict[str, Any]:
    """One part of the content; empty for a call whose arguments cannot be read, which is not shown."""
    if part.kind != "call":
        return {"text": part.text}
    arguments = parsed(part.text.encode()) if part.text else {}
    return {} if arguments is None else {"functionCall": {"name": part.name, "args": arguments}}


def _shown(usage: dict[str, Any]) -> str | None:
    return json_bytes(usage["usageMetadata"]).decode() if usage.get("usageMetadata") else None
