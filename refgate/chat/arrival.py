"""What stands between the wire and a chat call: who asks, for which account, for which model, with what body.

`arrive` lists the stages in order; each ends the call with `Denied` or lets it on; what every kind of
call refuses alike is a `Refusal`. Nothing here reaches a backend or the store, and what is refused here has
had no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from refgate.chat.outgoing import Outbox, outbox
from refgate.chat.routes import Op, Route
from refgate.chat.tokens import pointed_at, prompt_tokens, searches
from refgate.config.models import Model
from refgate.config.settings import Caller, Settings
from refgate.dialects.canonical import Malformed, Protocol, Untranslatable
from refgate.dialects.error_bodies import fault_of
from refgate.dialects.gemini.calling import called
from refgate.dialects.json_text import parse_object
from refgate.dialects.passing import Asked as Plain
from refgate.dialects.passing import ask
from refgate.dialects.spoken import Fault, FaultKind
from refgate.errors import Code, Refusal
from refgate.knock import Knock, account_of, bearer, body_of

__all__ = ["Asked", "Denied", "Visitor", "arrive", "denied", "presented", "visitor"]

_QUERY_MAX = 4096
_KEY_HEADERS = ("x-api-key", "x-goog-api-key")

_KINDS = {
    Code.BAD_REQUEST: FaultKind.BAD_REQUEST,
    Code.UNAUTHORIZED: FaultKind.UNAUTHORIZED,
    Code.ACCOUNT_FORBIDDEN: FaultKind.FORBIDDEN,
    Code.BODY_TOO_LARGE: FaultKind.TOO_LARGE,
    Code.INSUFFICIENT_FUNDS: FaultKind.NO_MONEY,
    Code.DRAINING: FaultKind.OVERLOADED,
    Code.OVERLOADED: FaultKind.OVERLOADED,
    Code.STORE_UNAVAILABLE: FaultKind.OVERLOADED,
}


class Denied(Exception):
    """Ends a call in the gateway's own name. `code` is its reason for whoever operates it."""

    def __init__(self, fault: Fault, *, code: str, param: str | None = None) -> None:
        super().__init__(code)
        self.fault = fault
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and on whose account."""

    caller: str
    account: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that may go on: every part of it checked, and what would be sent for it ready to be written."""

    visitor: Visitor
    protocol: Protocol
    plain: Plain
    model: str  # the declared one; `plain.model` is the name that the caller uses for it
    declared: Model
    body: bytes
    document: Mapping[str, Any]
    outbox: Outbox
    prompt_tokens: int  # an estimate
    input_bound: int
    output_bound: int
    searches_bound: int

    @property
    def stream(self) -> bool:
        """Vectors come in one piece, whatever is asked."""
        return self.plain.stream and self.protocol is not Protocol.OPENAI_EMBEDDINGS


async def arrive(settings: Settings, route: Route, knock: Knock, who: Visitor) -> Asked:
    """The stages that every call passes before its flow; `visitor` was the first."""
    body = await body_of(settings, knock)
    try:
        document = parse_object(body)
        plain = _plain(route, knock, document)
        model, declared = _model(settings, route, plain)
        ready = outbox(settings, route.protocol, body, document, plain, declared)
    except (Malformed, Untranslatable) as refused:
        code = "untranslatable" if isinstance(refused, Untranslatable) else "malformed"
        raise Denied(fault_of(refused), code=code, param=refused.field) from None
    return Asked(
        visitor=who,
        protocol=route.protocol,
        plain=plain,
        model=model,
        declared=declared,
        body=body,
        document=document,
        outbox=ready,
        prompt_tokens=prompt_tokens(document),
        input_bound=len(body) + pointed_at(body, document),
        output_bound=(plain.max_tokens or declared.output_max) * plain.choices,
        searches_bound=searches(document),
    )


def denied(refusal: Refusal) -> Denied:
    """The gateway's own refusal, as chat callers are told of it."""
    kind = _KINDS.get(refusal.code, FaultKind.INTERNAL)
    again_us = None if refusal.retry_after_s is None else refusal.retry_after_s * 1_000_000
    return Denied(Fault(kind, refusal.message, retry_after_us=again_us), code=refusal.code.value)


def visitor(settings: Settings, knock: Knock) -> Visitor:
    """Who asks. The key is in one of three headers, and never in the address, which gets written down."""
    if _asked_in(knock.raw_query, "key") is not None:
        raise _bad("the key belongs in a header, not in the address")
    name, caller = _identity(settings, knock)
    return Visitor(name, account_of(caller, knock))


def presented(knock: Knock) -> str | None:
    """The first key that a request brings, for those who must never write it down."""
    for name, value in knock.headers:
        if name == "authorization" and (token := bearer(value)) is not None:
            return token
        if name in _KEY_HEADERS:
            return value
    return None


def _identity(settings: Settings, knock: Knock) -> tuple[str, Caller]:
    given = {bearer(knock.header("authorization")), *(knock.header(name) for name in _KEY_HEADERS)} - {None}
    found: tuple[str, Caller] | None = None
    for name, caller in settings.callers.items():
        # Every caller is compared, so that the time taken does not tell how far the search came.
        if len(given) == 1 and all(one is not None and caller.key.matches(one) for one in given):
            found = name, caller
    if found is None:
        why = "the key is missing or not known" if len(given) < 2 else "there are several keys, not the same"
        raise Denied(Fault(FaultKind.UNAUTHORIZED, why), code=Code.UNAUTHORIZED.value)
    return found


def _plain(route: Route, knock: Knock, document: dict[str, Any]) -> Plain:
    if route.protocol is not Protocol.GEMINI:
        return ask(route.protocol, document)
    path = called(route.name or "", _asked_in(knock.raw_query, "alt"))
    return ask(route.protocol, document, model=path.model, stream=path.stream)


def _model(settings: Settings, route: Route, plain: Plain) -> tuple[str, Model]:
    """The model that the name stands for. One of another kind is not there for this route."""
    name = settings.model_names.get(plain.model)
    kind = "embeddings" if route.op is Op.EMBED else "chat"
    if name is None or settings.models[name].kind != kind:
        unknown = Fault(FaultKind.NOT_FOUND, "there is no such model here")
        raise Denied(unknown, code="model_unknown", param="model")
    return name, settings.models[name]


def _asked_in(raw_query: bytes, name: str) -> str | None:
    """The last value of that name in an address's query."""
    pairs = parse_qsl(raw_query[:_QUERY_MAX].decode("latin-1"), keep_blank_values=True)
    return next((value for one, value in reversed(pairs) if one == name), None)


def _bad(why: str) -> Denied:
    return Denied(Fault(FaultKind.BAD_REQUEST, why), code=Code.BAD_REQUEST.value)
