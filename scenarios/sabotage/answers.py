"""What callers are handed: A13 headers that are not true · A14 bodies made up · A17 the text of failures ·
A18 tasks of others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from refgate import headers
from refgate.answer import Answer
from refgate.config.providers import Provider
from refgate.config.settings import Caller
from refgate.errors import Code, Refusal
from refgate.flows import passthrough, query
from refgate.flows.arrival import Asked
from refgate.flows.tasks import owned
from refgate.flows.works import Works
from refgate.headers import Pairs, to_caller
from refgate.ledger.records import Call
from refgate.upstream import Failure, Outgoing, Phases, Upstream
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_handed_on = Works.handed_on
_ask = Upstream.ask


def _with(*names: str) -> Callable[..., Pairs]:
    """The provider's headers of these names cross too."""

    def to_caller_with(given: Iterable[tuple[str, str]], *, extra: Sequence[str]) -> Pairs:
        pairs = tuple((name.lower(), value) for name, value in given)
        return (*to_caller(pairs, extra=extra), *(pair for pair in pairs if pair[0] in names))

    return to_caller_with


def _with_what_the_connection_names(given: Iterable[tuple[str, str]], *, extra: Sequence[str]) -> Pairs:
    """Hop-by-hop headers cross: `connection`, and those that it names."""
    pairs = tuple((name.lower(), value) for name, value in given)
    named = [
        token.strip().lower() for name, value in pairs if name == "connection" for token in value.split(",")
    ]
    hop = ("connection", "keep-alive", "proxy-authenticate", "upgrade", *named)
    return (*to_caller(pairs, extra=extra), *(pair for pair in pairs if pair[0] in hop))


def _objects_only(self: Works, provider: Provider, reply: Answer) -> Answer:
    """A 2xx that is not a JSON object is handed on as an empty one."""
    answer = _handed_on(self, provider, reply)
    try:
        is_object = isinstance(json.loads(answer.body), dict)
    except ValueError:
        is_object = True  # nobody replaced what could not be parsed
    return answer if is_object or answer.status >= 300 else replace(answer, body=b"{}")


async def _raises_with_text(
    self: Upstream, out: Outgoing, *, phases: Phases, body_max: int
) -> Answer | Failure:
    """A failure is an exception that travels up to the edge, where its text becomes the answer."""
    reply = await _ask(self, out, phases=phases, body_max=body_max)
    if isinstance(reply, Failure):
        raise Refusal(Code.UPSTREAM_BROKEN, f"{reply.kind.value}: {out.method} {out.url}")
    return reply


async def _anybodys(works: Works, asked: Asked, task_id: str) -> Call:
    """Whoever knows a task's id may ask about it."""
    call = await works.store.by_task(asked.name, task_id)
    if call is None:
        raise Refusal(Code.TASK_NOT_FOUND, "there is no such task")
    return call


def _any_account(self: Caller, account: str) -> bool:
    """Whoever names an account may use it."""
    return True


SABOTAGES = (
    Sabotage(
        "A13",
        "content-length",
        "the length of the body that the provider sent is handed on, not that of the body that is",
        Swap(headers, to_caller, _with("content-length")),
        ("headers-clean",),
    ),
    Sabotage(
        "A13",
        "content-encoding",
        "the encoding that was taken off is still named",
        Swap(headers, to_caller, _with("content-encoding")),
        ("headers-clean",),
    ),
    Sabotage(
        "A13",
        "set-cookie",
        "the provider's cookies are handed to callers",
        Swap(headers, to_caller, _with("set-cookie")),
        ("headers-clean",),
    ),
    Sabotage(
        "A13",
        "hop-by-hop",
        "hop-by-hop headers are handed on, with those that Connection names",
        Swap(headers, to_caller, _with_what_the_connection_names),
        ("headers-clean",),
    ),
    Sabotage(
        "A13",
        "transfer-encoding",
        "the way in which the provider's bytes came is named for those that go on",
        Swap(headers, to_caller, _with("transfer-encoding")),
        ("headers-clean",),
    ),
    Sabotage(
        "A14",
        "objects-only",
        "a 2xx answer that is no JSON object is replaced by {}",
        Swap(Works, _handed_on, _objects_only),
        ("bytes-intact",),
    ),
    Sabotage(
        "A17",
        "told-in-full",
        "the text of an upstream failure, its URL included, is the message of the answer",
        Swap(Upstream, _ask, _raises_with_text),
        ("canaries-contained",),
    ),
    Sabotage(
        "A18",
        "anybodys-status",
        "a poll does not ask whose task it is",
        Swap(query, owned, _anybodys),
        ("tenants-apart",),
    ),
    Sabotage(
        "A18",
        "anybodys-result",
        "a look at a result does not ask whose task it is",
        Swap(passthrough, owned, _anybodys),
        ("tenants-apart",),
    ),
    Sabotage(
        "A18",
        "anybodys-account",
        "whose account a request names is not asked: a caller reads, and bills, any of them",
        Swap(Caller, Caller.may_use, _any_account),
        ("tenants-apart",),
    ),
)
