"""Secrets and reach: where planted keys turn up, and which hosts are spoken to.

Every secret of a world is a canary, text that begins with `canary-`. Where one may be is a short list;
everything else is a leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fakes.journal import Fact, Received
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.parts import Exchange
from scenarios.checks.verdicts import upstream_path
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import AppFailed, Escaped, GatewayLogged, Got, History, Observed, Sent

__all__ = ["CHECKS", "canaries_contained", "egress_allow_listed"]

_MARK = "canary-"
_CANARY = re.compile(r"canary-[A-Za-z0-9_.-]*[A-Za-z0-9]")
_OF_FAILURES = frozenset(
    {"internal", "outcome_unknown", "upstream_broken", "upstream_timeout", "upstream_unreachable"}
)
_QUERY_MIN = 4  # a shorter query proves nothing where it is found


@check("canaries-contained", "secrets")
def canaries_contained(history: History, declared: Declared, tally: Tally) -> None:
    """Keys of callers, providers, billing and the operator appear only where they belong: the provider's in
    its own auth header, billing's at billing. Never in an answer, in another host's request, in a log or in
    the record; and the gateway's own errors tell nothing of a provider's address or of the request to it."""
    given = _given_by_callers(history)
    tally.saw(len(history.of(Received)) + len(history.of(Got)))
    for received in history.of(Received):
        for canary, place in _in_request(received):
            if not _belongs(canary, place, received, declared) and not (canary in given and place == "body"):
                tally.breach(f"{canary} was sent to {received.at}, in its {place}", received)
    for got in history.of(Got):
        if b"canary-" in got.body or _MARK in "\n".join(map(": ".join, got.headers)):
            _judge_text(got, _text(got), "an answer to a client", given, tally)
    for logged in history.of(GatewayLogged):
        if _MARK in logged.text or _MARK in logged.event:
            _judge_text(logged, f"{logged.event} {logged.text}", "a log", given, tally)
    for failed in history.of(AppFailed):
        _judge_text(failed, failed.error, "an error text", given, tally)
    for observed in history.of(Observed):
        for row in observed.rows if observed.at != "billing" else ():
            if _MARK in "\n".join(map(str, row.values())):
                for name, value in row.items():
                    _judge_text(observed, str(value), f"the record ({observed.what}.{name})", given, tally)
    for exchange in View.of(history, declared).exchanges:
        if exchange.own_code in _OF_FAILURES:
            _judge_failure(exchange, declared, tally)


def _given_by_callers(history: History) -> frozenset[str]:
    """Canaries that a caller wrote into a path or body of his own: they are his to send."""
    found: set[str] = set()
    for sent in history.of(Sent):
        if _MARK in sent.path or b"canary-" in sent.body:
            found.update(_CANARY.findall(sent.path), _CANARY.findall(sent.body.decode("latin-1")))
    return frozenset(found)


def _in_request(received: Received) -> Iterator[tuple[str, str]]:
    for name, value in received.headers:
        if _MARK in value or _MARK in name:
            place = f"header {name.lower()}"
            for canary in _CANARY.findall(f"{name} {value}"):
                yield canary, place
    if _MARK in received.path or _MARK in received.query:
        yield from ((canary, "path") for canary in _CANARY.findall(f"{received.path}?{received.query}"))
    if b"canary-" in received.body:
        yield from ((canary, "body") for canary in _CANARY.findall(received.body.decode("latin-1")))


def _belongs(canary: str, place: str, received: Received, declared: Declared) -> bool:
    if received.at == "billing":
        return canary == "canary-billing" and place == "header authorization"
    own = f"canary-provider-{received.at}"
    backend = None if declared.chat is None else declared.chat.backends.get(received.at)
    if backend is not None:
        return canary == own and place == f"header {backend.key_header}"
    provider = declared.providers.get(received.at)
    return provider is not None and canary == own and place == f"header {provider.auth_header}"


def _text(got: Got) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in got.headers)
    return f"{headers}\n{got.body.decode('latin-1')}"


def _judge_text(fact: Fact, text: str, where: str, given: frozenset[str], tally: Tally) -> None:
    if _MARK in text:
        for canary in _CANARY.findall(text):
            if canary not in given:
                tally.breach(f"{canary} appears in {where}", fact)


def _judge_failure(exchange: Exchange, declared: Declared, tally: Tally) -> None:
    """The gateway's own word on a failure must not be somebody else's exception text."""
    got = exchange.got
    if got is None:
        return
    provider = declared.providers.get(exchange.sent.provider or "")
    body = got.body.decode("latin-1")
    tells = ["http://", "https://"]
    if provider is not None:
        path = upstream_path(exchange, provider.name)
        tells += [provider.host, path] if len(path) > _QUERY_MIN else [provider.host]
    query = exchange.sent.path.partition("?")[2]
    if len(query) >= _QUERY_MIN:
        tells.append(query)
    tally.saw()
    for text in tells:
        if text and text in body:
            tally.breach(f"an error of the gateway tells the caller {text!r}", exchange.sent, got)
            return


@check("egress-allow-listed", "secrets")
def egress_allow_listed(history: History, declared: Declared, tally: Tally) -> None:
    """No connection goes to a host that is not configured."""
    known = {*declared.providers, *(() if declared.chat is None else declared.chat.backends)}
    tally.saw(sum(1 for received in history.of(Received) if received.at in known))
    for escaped in history.of(Escaped):
        tally.saw()
        tally.breach(f"{escaped.at} tried to reach {escaped.host}", escaped)


CHECKS: tuple[Check, ...] = (canaries_contained, egress_allow_listed)
