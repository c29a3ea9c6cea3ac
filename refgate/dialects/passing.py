"""Between like protocols: bytes pass as they came, but for the declared rewrites; usage is still read.

The rewrites: in the request, the model's name and, for a chat stream, the wish for usage; in the answer,
the model is the name the caller asked for; of a stream, the usage chunk that the caller did not ask for
stays behind. Nothing else is touched, known to this gateway or not. Gemini's requests name the model in
their path alone: their bodies pass as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from refgate.dialects.canonical import Malformed, Protocol
from refgate.dialects.gemini.calling import GeminiFields, snake
from refgate.dialects.gemini.request import CONFIG
from refgate.dialects.json_edit import (
    AmbiguousMember,
    member,
    remove,
    replace,
    set_members,
    single_members,
)
from refgate.dialects.json_text import Fields, as_list, as_map, dumps, loads, parse_object
from refgate.dialects.sse import Frame, encode
from refgate.money import loads_exact

__all__ = ["Asked", "StreamPasser", "ask", "pass_answer", "pass_request"]

_MODEL_AT: dict[Protocol, tuple[tuple[str, ...], ...]] = {
    Protocol.OPENAI_CHAT: (("model",),),
    Protocol.OPENAI_RESPONSES: (("response", "model"),),
    Protocol.ANTHROPIC: (("message", "model"),),
    Protocol.GEMINI: (("modelVersion",),),
}
"""Where a stream's event names the model."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What must be known of every request, whichever way it goes. `max_tokens` bounds each choice."""

    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    choices: int = 1


def ask(protocol: Protocol, body: dict[str, Any], *, model: str | None = None, stream: bool = False) -> Asked:
    """Raises Malformed where the request does not even say this much, Untranslatable for background work.

    `model` and `stream` are what a Gemini caller's path says; other bodies say so inside.
    """
    if protocol is Protocol.GEMINI:
        return _ask_gemini(body, model, stream)
    top = Fields(body, "")
    named, streams = top.needed_text("model"), top.flag("stream") or False
    if protocol is Protocol.OPENAI_RESPONSES:
        top.neutral("background", False, why="background work is not carried")
        return Asked(named, streams, True, top.count("max_output_tokens", least=1))
    if protocol is not Protocol.OPENAI_CHAT:
        return Asked(named, streams, True, top.count("max_tokens", least=1))
    choices = _choices(top, "n")
    options = top.fields("stream_options")
    wants_usage = options is not None and (options.flag("include_usage") or False)
    limit = top.count("max_completion_tokens", least=1) or top.count("max_tokens", least=1)
    return Asked(named, streams, wants_usage, limit, choices)


def _ask_gemini(body: dict[str, Any], model: str | None, stream: bool) -> Asked:
    if not model:
        raise Malformed("model", "is required")
    top = GeminiFields(body, "")
    if top.any("model") is not None:
        raise Malformed("model", "stands in the path")
    config = top.fields(CONFIG) or GeminiFields({}, CONFIG)
    limit = config.count("maxOutputTokens", least=1)
    return Asked(model, stream, True, limit, _choices(config, "candidateCount"))


def _choices(fields: Fields, name: str) -> int:
    choices = fields.count(name, least=1) or 1
    if choices > _CHOICES_MAX:
        raise Malformed(fields.path(name), f"must be at most {_CHOICES_MAX}")
    return choices


_CHOICES_MAX = 128

# The shape that nearly every chunk has, told without reading it whole: nothing before the name opens an
# object or escapes a character, and nothing but the outer object can end with the text's last brace.
_MODEL_EARLY = re.compile(r'\{[^{\[\\]*"model"\s*:\s*(?="[^"\\]*")')
_VERSION_LATE = re.compile(r'"modelVersion"\s*:\s*("[^"\\]*")\s*(?:,\s*"[^"\\]*"\s*:\s*"[^"\\]*"\s*)*\}\s*\Z')
_NO_USAGE_LAST = b',"usage":null}\n\n'
_NO_USAGE_LATE = re.compile(r',\s*"usage"\s*:\s*null\s*\}\Z')


def pass_request(protocol: Protocol, body: bytes, model: str, *, asked: Asked | None = None) -> bytes:
    """The caller's bytes for a provider of the same protocol; `asked` is what `ask` says of them, where it
    was asked before. Raises Malformed.
    """
    asked = asked or ask(protocol, parse_object(body), model=model)
    text = body.decode()
    try:
        members = single_members(text)
        if protocol is Protocol.GEMINI:
            _check_config(text, members)
            return body
        begin, end = members["model"]
        edited = text[:begin] + dumps(model) + text[end:]
        if protocol is Protocol.OPENAI_CHAT and asked.stream and not asked.include_usage:
            edited = _with_usage(edited)
    except AmbiguousMember as twice:
        raise Malformed("body", str(twice)) from twice
    except RecursionError as deep:  # at the edge of what the reader before took
        raise Malformed("body", "is nested too deeply") from deep
    return body if edited == text else edited.encode()


def _check_config(text: str, members: dict[str, tuple[int, int]]) -> None:
    """What bounds the answer stands in here, and may be read in one way only."""
    for name in (CONFIG, snake(CONFIG)):
        begin, end = members.get(name, (0, 0))
        if text[begin:end].startswith("{"):
            single_members(text[begin:end])


def _with_usage(text: str) -> str:
    span = member(text, ("stream_options",))
    if span is None or text[span[0]] != "{":
        return set_members(text, {"stream_options": {"include_usage": True}})
    options = set_members(text[span[0] : span[1]], {"include_usage": True})
    return text[: span[0]] + options + text[span[1] :]


def pass_answer(body: bytes, model: str, *, protocol: Protocol | None = None) -> bytes:
    """A whole answer's bytes for the caller. What cannot be read passes as it is."""
    path = ("modelVersion",) if protocol is Protocol.GEMINI else ("model",)
    try:
        text = body.decode()
        early = _early(text) if path == ("model",) else None
        if early is not None:
            return (text[: early[0]] + dumps(model) + text[early[1] :]).encode()
        span = member(text, path)
        if span is None or not isinstance(loads_exact(text[span[0] : span[1]]), str):
            return body
        return replace(text, path, model).encode()
    except ValueError:
        return body


def _early(text: str) -> tuple[int, int] | None:
    """Where the model's name begins and ends, where that can be told from the first few members."""
    found = _MODEL_EARLY.match(text)
    if found is None or text.count('"model"') != 1:
        return None
    return found.end(), text.index('"', found.end() + 1) + 1


class StreamPasser:
    """A stream's frames for the caller; feed the same frames to the protocol's reader.

    The order of events is the provider's. A frame that was not closed is the provider's cut: it is held
    back, and the reader says what the caller is told instead.
    """

    def __init__(self, protocol: Protocol, model: str, *, include_usage: bool = True) -> None:
        self._protocol = protocol
        self._model = model
        self._shown = dumps(model)
        self._hides_usage = protocol is Protocol.OPENAI_CHAT and not include_usage
        self._usual: tuple[bytes, bytes] | None = None  # how this stream's chunks begin, and what for it

    def write(self, frame: Frame) -> bytes:
        if frame.data is None or not frame.closed:
            return frame.raw if frame.closed else b""
        if self._usual is not None and (usual := self._as_before(frame.raw, *self._usual)) is not None:
            return usual
        if not frame.data.startswith(("{", " ", "\t", "\n")):
            return frame.raw
        try:
            data = self._hidden(frame.data) if self._hides_usage else frame.data
            if data is None:
                return b""
            for path in _MODEL_AT.get(self._protocol, ()):
                data = self._renamed(data, path)
        except ValueError:
            return frame.raw
        if data == frame.data:
            return frame.raw
        return _resaid(frame, data)

    def _as_before(self, raw: bytes, begins: bytes, instead: bytes) -> bytes | None:
        """The frame, where it begins as others did, up to the model's name, and ends as usual; else None."""
        if not raw.startswith(begins) or raw.count(b'"model"') != 1:
            return None
        if self._hides_usage:
            if raw.endswith(_NO_USAGE_LAST) and raw.count(b'"usage"') == 1:
                return instead + raw[len(begins) : -len(_NO_USAGE_LAST)] + b"}\n\n"
            if b'"usage"' in raw or b"\\u" in raw:
                return None
        return instead + raw[len(begins) :]

    def _renamed(self, data: str, path: tuple[str, ...]) -> str:
        name = f'"{path[-1]}"'
        if name not in data and "\\u" not in data:
            return data
        late = _VERSION_LATE.search(data) if path == ("modelVersion",) and data.count(name) == 1 else None
        if late is not None:
            return data[: late.start(1)] + self._shown + data[late.end(1) :]
        early = _early(data) if path == ("model",) else None
        if early is not None:
            before = data[: early[0]]
            old, new = f"data: {data[: early[1]]}", f"data: {before}{self._shown}"
            self._usual = old.encode(), new.encode()
            return before + self._shown + data[early[1] :]
        span = member(data, path)
        if span is None or data[span[0]] != '"':
            return data
        return replace(data, path, self._model)

    def _hidden(self, data: str) -> str | None:
        """A chunk without the usage the caller did not ask for; None where nothing is left of it.

        Before the usage chunk, a stream that includes usage says `usage: null` on every chunk.
        """
        if '"usage"' not in data and "\\u" not in data:
            return data
        late = _NO_USAGE_LATE.search(data) if data.count('"usage"') == 1 else None
        if late is not None:
            return data[: late.start()] + "}"
        span = member(data, ("usage",))
        if span is None:
            return data
        chunk = as_map(loads(data))
        if chunk.get("usage") is not None and not as_list(chunk.get("choices")):
            return None
        return remove(data, "usage")


def _resaid(frame: Frame, data: str) -> bytes:
    """The frame's own bytes around the new data; a frame of several data lines is written anew."""
    old = (frame.data or "").encode()
    if "\n" not in (frame.data or "") and frame.raw.count(old) == 1:
        return frame.raw.replace(old, data.encode())
    return encode(data, event=frame.event)
