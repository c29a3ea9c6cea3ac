"""What was seen in one run: the fakes' facts and the world's own, in the order they happened.

The world adds what clients sent and received, what the timeline did (crashes, links, store faults)
and what the gateway's read API said. Nothing here looks inside the gateway, and nothing here judges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from fakes.journal import Fact, Headers, Journal, line

__all__ = [
    "CHAT_OPS",
    "AppFailed",
    "Calm",
    "Crashed",
    "Ended",
    "Escaped",
    "GatewayLogged",
    "Got",
    "Heard",
    "History",
    "Left",
    "LinkChanged",
    "Observed",
    "Resources",
    "Restarted",
    "Sent",
    "StartFailed",
    "Stopped",
    "StoreFaulted",
    "Unapplied",
]


CHAT_OPS = frozenset({"chat", "embed"})
"""What clients ask of models, and pay for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Fact):
    """A client sent a request. `call` numbers logical calls of the whole run; a retry or a repeat
    under the same key is a new `attempt` of the same call; a poll belongs to the call it asks about.

    Of chats every request that a client, or the SDK it uses, sends again is an attempt of its call."""

    kind: ClassVar[str] = "sent"
    call: int
    attempt: int
    op: str  # submit | poll | result | other | probe (tasks); chat | embed | models (and probe) of models
    to: str  # gateway-0 …
    method: str
    path: str
    headers: Headers
    body: bytes
    account: str
    provider: str | None = None
    key: str | None = None
    nonce: str | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Got(Fact):
    """How that request ended for the client. `outcome`: ok (2xx) | fail (refused, known to have no
    further effect) | info (not known: it may have been served and billed)."""

    kind: ClassVar[str] = "got"
    call: int
    attempt: int
    op: str
    outcome: str
    status: int | None  # None: no answer, see `error`; with an `error`, what came of a stream that broke
    headers: Headers = ()
    body: bytes = b""
    error: str | None = None  # class name of the wire error
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Fact):
    """What a client made of a chat in the end: one for each logical call, after its last attempt.

    Read by the client's own parser (`via` plain) or by the vendor's SDK, never by the gateway's code.
    `outcome`: ok (the whole answer, with its honest end) | error (told so, by a status or within the
    stream) | left (the client went away) | lost (no end, an end of half an answer, or no sense in it).
    """

    kind: ClassVar[str] = "heard"
    call: int
    attempt: int  # the last one
    via: str  # plain | openai | anthropic
    protocol: str
    model: str  # as asked for
    stream: bool  # as asked for
    outcome: str
    error: str | None  # the SDK's class of error; plain: the wire error's, the error's code, or what is odd
    status: int | None  # None: no answer began
    text: str  # the words that were heard, of all choices in order of arrival; a refusal's as well
    finish: str | None  # in the protocol's own word
    usage: str | None  # the last that was shown, as it was, as JSON with sorted keys; None: none, or null
    tokens: int  # events with content; of an answer in one piece 1 where it has any
    first_us: int | None  # when the first of them came, by the clock of `t_us`
    complete: bool  # the protocol's end was heard (and the body's): nothing is missing that was meant to come
    calls: tuple[tuple[str, str], ...] = ()  # tool calls: name, and arguments as they came
    named: str | None = None  # the model that the answer names
    call_id: str | None = None  # as the last answer's headers name the call
    longest_us: int = 0  # the longest silence of its last attempt: from the request on, between two arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class Left(Fact):
    """A client went away before its answer was complete."""

    kind: ClassVar[str] = "left"
    call: int
    attempt: int
    op: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed(Fact):
    """Power cut of a replica. `where`: `time`, `await 17`, `commit 4 before` …"""

    kind: ClassVar[str] = "crashed"
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Fact):
    """A replica was asked to stop gracefully; `clean` says whether it ended within its time."""

    kind: ClassVar[str] = "stopped"
    clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Fact):
    kind: ClassVar[str] = "restarted"
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed(Fact):
    """A replica's process ended before it listened; its supervisor starts it again."""

    kind: ClassVar[str] = "start-failed"
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unapplied(Fact):
    """A fault of the timeline never took effect: its place did not come before the calm."""

    kind: ClassVar[str] = "unapplied"
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged(Fact):
    """A fault met an exchange on a link, or a link's law changed."""

    kind: ClassVar[str] = "link-changed"
    src: str
    dst: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFaulted(Fact):
    """A statement of a replica's store failed as the timeline asked."""

    kind: ClassVar[str] = "store-faulted"
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm(Fact):
    """All faults are over; from here on promises of liveness count."""

    kind: ClassVar[str] = "calm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed(Fact):
    """Rows that the gateway's read API (or, at `billing`, the billing fake's books) gave.
    `what`: accounts calls attempts holds entries intents, and where there are models chats chat_attempts
    requests debug; `final` marks the reading after settling."""

    kind: ClassVar[str] = "observed"
    what: str
    final: bool
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(Fact):
    """`phase`: baseline (before traffic) | final (after settling). Counts per replica."""

    kind: ClassVar[str] = "resources"
    phase: str
    tasks: int
    exchanges: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLogged(Fact):
    """One event that the gateway handed to its sink, as it would be logged."""

    kind: ClassVar[str] = "logged"
    event: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Escaped(Fact):
    """Somebody tried to reach a host that is not in the world."""

    kind: ClassVar[str] = "escaped"
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFailed(Fact):
    """An app let an exception out, as a server would log it."""

    kind: ClassVar[str] = "app-failed"
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Fact):
    """The run is over. `trouble`: deadlock, livelock, a ceiling … with its text, or None."""

    kind: ClassVar[str] = "ended"
    trouble: str | None


_F = TypeVar("_F", bound=Fact)
_T = TypeVar("_T")


class History:
    """One run's facts, with indices made once and shared by all checks."""

    def __init__(self, journal: Journal) -> None:
        self._facts = tuple(journal)
        self._by_kind: dict[type[Fact], tuple[Fact, ...]] = {}
        self._derived: dict[object, Any] = {}

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def of(self, kind: type[_F]) -> tuple[_F, ...]:
        """All facts of exactly this kind, in order."""
        if not self._by_kind:
            grouped: dict[type[Fact], list[Fact]] = {}
            for fact in self._facts:
                grouped.setdefault(type(fact), []).append(fact)
            self._by_kind = {one: tuple(facts) for one, facts in grouped.items()}
        return self._by_kind.get(kind, ())  # type: ignore[return-value]  # grouped by exactly that type

    def where(self, kind: type[_F], test: Callable[[_F], bool]) -> tuple[_F, ...]:
        return tuple(fact for fact in self.of(kind) if test(fact))

    def derived(self, key: object, make: Callable[[], _T]) -> _T:
        """What `make` gives, made once for this key: an index that several checks share."""
        if key not in self._derived:
            self._derived[key] = make()
        made: _T = self._derived[key]
        return made

    def lines(self) -> Iterator[str]:
        return map(line, self._facts)

    def digest(self) -> str:
        """Equal for equal histories, in any process."""
        running = hashlib.blake2b(digest_size=16)
        for text in self.lines():
            running.update(text.encode())
            running.update(b"\n")
        return running.hexdigest()
