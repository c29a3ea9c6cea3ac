"""What the clients of models do in a drawn scenario: calls in every protocol, by every SDK.

A few calls a block. Bodies hold what a protocol knows and what only some vendors have words for; raw requests
are malformed in the ways that people's are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hypothesis.strategies import DrawFn

from scenarios.generate.chat_gateway import ChatKnown
from scenarios.generate.plain import Plain, Word, either, fields, lists_of, seldom, sometimes, spans, whole
from scenarios.generate.traffic import arrivals

__all__ = ["draw_chat_traffic"]

_BLOCKS_MAX = 3

_WAY = either(
    ("plain", "openai_chat"),
    ("plain", "anthropic"),
    ("plain", "openai_responses"),
    ("plain", "gemini"),
    ("plain", "openai_chat"),
    ("plain", "openai_embeddings"),
    ("openai", "openai_chat"),
    ("anthropic", "anthropic"),
    ("openai", "openai_responses"),
    ("openai", "openai_embeddings"),
)
_FIELDS: Mapping[str, tuple[Plain, ...]] = MappingProxyType(
    {
        "openai_chat": (
            {"stream_options": {"include_usage": True}},
            {"n": 2},
            {"temperature": 0, "seed": 7},
            {"stop": ["x"]},
            {"logit_bias": {"50256": -100}},
            {"response_format": {"type": "json_object"}},
            {"reasoning_effort": "low"},
            {"max_tokens": -1},
            {"user": "canary-caller-alice"},
        ),
        "openai_responses": (
            {"store": False},
            {"instructions": "be brief"},
            {"background": True},
            {"reasoning": {"effort": "low"}},
            {"previous_response_id": "resp_1"},
        ),
        "anthropic": (
            {"system": "be brief"},
            {"temperature": 1},
            {"top_k": 5},
            {"stop_sequences": ["x"]},
            {"thinking": {"type": "enabled", "budget_tokens": 1_024}},
            {"max_tokens": 0},
        ),
        "gemini": (
            {"systemInstruction": {"parts": [{"text": "be brief"}]}},
            {"generationConfig": {"topK": 5}},
            {"generationConfig": {"candidateCount": 2}},
            {"generationConfig": {"stopSequences": ["x"], "seed": 7}},
        ),
        "openai_embeddings": ({"dimensions": 4}, {"encoding_format": "base64"}, {"user": "somebody"}),
    }
)
"""What a request may say beside the usual."""

_MANNER = fields(
    words=seldom(either(200, 1)),
    max_tokens=seldom(either(5, 1, 200, 100_000)),
    leaves_after=seldom(either("300ms", "1s", "5ms", "10s")),
    timeout=seldom(spans(1_000, 90_000, by_ms=1_000)),
    headers=seldom(
        either(
            {"cookie": "a=b"},
            {"accept-encoding": "gzip, br"},
            {"anthropic-version": "2023-01-01"},
            {"x-request-id": "mine"},
            {"x-api-key": "theirs"},
        )
    ),
)
_SHOWN = fields(tools=sometimes(either(True)), image=seldom(either(True)))
_STREAM = either("never", "always", "half")
_ENOUGH = either(None, None, None, 3, 1, 10)
_RETRY = sometimes(
    fields(
        attempts=sometimes(whole(2, 5)),
        on=sometimes(either(["lost"], [429, 502, 503, 504, 529, "lost"], [500, 503])),
        wait=sometimes(spans(0, 10_000, by_ms=250)),
    )
)
_SDK_RETRIES = sometimes(either(0, 1, 4))
_ACCOUNT = either("alice", "bob")
_THREAD = fields(thread=seldom(either("alice", "bob", "nobody")))
_TEAM_THREAD = fields(thread=sometimes(either("team-red", "alice", "bob", "team-blue")))
_STRAY = seldom(either("nobody-has-it", "embed"))
_ALIKE, _SELDOM_ALIKE = either(False, True), either(*[False] * 7, True)
_AGAIN = fields(times=whole(2, 4), pause=sometimes(spans(0, 10_000, by_ms=500)))
_WITH_FIELDS: Mapping[str, Word] = MappingProxyType(
    {protocol: seldom(either(*bodies)) for protocol, bodies in _FIELDS.items()}
)

_COLD: Plain = {"temperature": 0}
_CERTAIN: Mapping[str, Word] = MappingProxyType(
    {
        "openai_chat": either(_COLD, None, {"seed": 7}),
        "openai_responses": either(_COLD, None),
        "anthropic": either(_COLD, None),
        "gemini": either({"generationConfig": _COLD}, None),
        "openai_embeddings": either(None),
    }
)
"""How a request says that it wants no chance in its answer."""


def draw_chat_traffic(draw: DrawFn, gateway: ChatKnown) -> list[Plain]:
    """One block at least, and the first of them chats."""
    chats, raw = _chats(gateway), _raw(gateway)
    kinds = either(chats, chats, raw)
    first = chats(draw)
    more: list[Plain] = draw(lists_of(lambda draw: kinds(draw)(draw), most=_BLOCKS_MAX - 1))
    return [first, *more]


def _chats(gateway: ChatKnown) -> Word:
    named, thread = either(*gateway.asked), _TEAM_THREAD if gateway.known.teams else _THREAD
    alike = _ALIKE if gateway.cached else _SELDOM_ALIKE

    def word(draw: DrawFn) -> Plain:
        via, protocol = _WAY(draw)
        asked = "embed" if protocol == "openai_embeddings" else named(draw)
        block: Plain = {"send": "chat", "account": _ACCOUNT(draw), "model": _STRAY(draw) or asked}
        block |= {} if via == "plain" else {"via": via}
        block |= {} if protocol == "openai_chat" else {"protocol": protocol}
        if protocol != "openai_embeddings":
            block |= {**_streamed(draw), **_SHOWN(draw)}
        again = alike(draw)
        block |= {**({"same": True, **_AGAIN(draw)} if again else arrivals(draw))}
        block |= {**thread(draw), **_MANNER(draw)}
        more = {
            "body": (_CERTAIN[protocol](draw) if again else None) or _WITH_FIELDS[protocol](draw),
            "retry": _RETRY(draw) if via == "plain" else None,
            "sdk_retries": None if via == "plain" else _SDK_RETRIES(draw),
        }
        return {**block, **{name: value for name, value in more.items() if value is not None}}

    return word


def _streamed(draw: DrawFn) -> Plain:
    stream = _STREAM(draw)
    if stream == "never":
        return {}
    enough = _ENOUGH(draw)
    return {"stream": stream, **({} if enough is None else {"leaves_after_tokens": enough})}


# Raw requests.

_CHAT, _MESSAGES, _RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
_HI = [{"role": "user", "content": "hi"}]
_PARTS = [{"parts": [{"text": "hi"}]}]
_REQUESTS: tuple[Plain, ...] = (
    {"path": "/v1/models"},
    {"path": "/v1/models/{model}"},
    {"path": "/v1/models/none"},
    {"path": "/v1beta/models"},
    {"path": _CHAT},
    {"method": "POST", "path": _CHAT, "text": '{"model": '},
    {"method": "POST", "path": _CHAT, "json": [1, 2]},
    {"method": "POST", "path": _MESSAGES, "text": ""},
    {"method": "POST", "path": _RESPONSES, "json": {"input": "hi"}},
    {"method": "POST", "path": _CHAT, "json": {"model": "{model}"}},
    {"method": "POST", "path": _CHAT, "json": {"model": "{model}", "messages": _HI}},
    {"method": "POST", "path": _CHAT, "json": {"model": "{model}", "messages": _HI, "stream": True}},
    {"method": "POST", "path": _CHAT, "json": {"model": "{model}", "messages": []}},
    {"method": "POST", "path": _CHAT, "json": {"model": 7, "messages": _HI}},
    {"method": "POST", "path": _CHAT, "json": {"model": "{model}", "messages": _HI, "n": 2**64}},
    {"method": "POST", "path": _CHAT, "json": {"model": "{model}", "messages": _HI, "max_tokens": 2**63}},
    {"method": "POST", "path": f"{_CHAT}?key=canary-caller-alice", "json": {"model": "{model}"}},
    {"method": "POST", "path": _MESSAGES, "json": {"model": "{model}", "max_tokens": 5, "messages": _HI}},
    {"method": "POST", "path": _MESSAGES, "json": {"model": "{model}", "messages": _HI}},
    {"method": "POST", "path": _RESPONSES, "json": {"model": "{model}", "input": "hi"}},
    {"method": "POST", "path": "/v1/embeddings", "json": {"model": "embed", "input": ["a", "b"]}},
    {"method": "POST", "path": "/v1/embeddings", "json": {"model": "embed"}},
    {"method": "POST", "path": "/v1/embeddings", "json": {"model": "{model}", "input": "hi"}},
    {"method": "POST", "path": "/v1beta/models/{model}:generateContent", "json": {"contents": _PARTS}},
    {"method": "POST", "path": "/v1beta/models/{model}:streamGenerateContent", "json": {"contents": _PARTS}},
    {"method": "POST", "path": "/v1beta/models/none:generateContent", "json": {"contents": _PARTS}},
    {"method": "POST", "path": "/v1beta/models/{model}:countTokens", "json": {"contents": _PARTS}},
    {"method": "POST", "path": _CHAT, "filler": "3KiB"},
    {"method": "POST", "path": _CHAT, "filler": "1025KiB"},
    {"method": "DELETE", "path": "/v1/models/{model}"},
)
_HEADERS: tuple[Mapping[str, str], ...] = (
    {"authorization": "Bearer wrong"},
    {"authorization": "Bearer canary-provider-east"},
    {"authorization": ""},
    {"x-api-key": "canary-caller-bob"},
    {"x-goog-api-key": "canary-caller-alice"},
    {"x-thread-id": "bob"},
    {"x-thread-id": "nobody"},
    {"content-type": "text/plain"},
    {"content-encoding": "gzip"},
    {"expect": "100-continue"},
)
_WHO = either("bob", "alice", None)
_LEAVING = fields(leaves_after=seldom(spans(1, 10_000)))
_EXTRA = fields(headers=seldom(either(*_HEADERS)), wait=seldom(spans(0, 10_000, by_ms=100)))
_REQUEST = either(*_REQUESTS)


def _raw(gateway: ChatKnown) -> Word:
    named = either(*gateway.asked)

    def request(draw: DrawFn) -> Plain:
        return {**_about(_REQUEST(draw), named(draw)), **_EXTRA(draw)}

    requests = lists_of(request, least=1, most=4)

    def word(draw: DrawFn) -> Plain:
        account = _WHO(draw)
        return {
            "send": "http",
            **({"account": account} if account is not None else {}),
            **arrivals(draw),
            **_LEAVING(draw),
            "requests": draw(requests),
        }

    return word


def _about(request: Plain, model: str) -> Plain:
    """The request with a model's name in its places."""
    found = {**request, "path": request["path"].replace("{model}", model)}
    body = request.get("json")
    if isinstance(body, dict) and body.get("model") == "{model}":
        found["json"] = {**body, "model": model}
    return found
