"""What is written down of requests: C3 rows that are lost · C5 bodies cut, and then called broken ·
C8 secrets that are not known as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from refgate import gateway
from refgate.chat import arrival
from refgate.config.chat import RequestLog as Rule
from refgate.config.settings import Settings
from refgate.events import Event
from refgate.knock import Knock, body_of
from refgate.ports import Spool, StoreUnavailable
from refgate.redaction import MASK, Redaction
from refgate.requestlog.log import RequestLog
from refgate.requestlog.rows import LogStore
from scenarios.sabotage.swap import Sabotage, Swap

__all__ = ["SABOTAGES"]

_move = RequestLog._move
_ALL = 1 << 40


@dataclass(slots=True)
class _Memory:
    """A spool that is a list of this process."""

    records: list[bytes] = field(default_factory=list)

    def append(self, record: bytes) -> None:
        self.records.append(record)

    def read(self) -> list[bytes]:
        return list(self.records)

    def drop(self, count: int) -> None:
        del self.records[:count]

    def replace(self, records: Sequence[bytes]) -> None:
        self.records[:] = records

    def close(self) -> None:
        """With the process it is gone."""


class _InMemory(RequestLog):
    """Rows wait for their batch in the process alone."""

    def __init__(
        self,
        store: LogStore,
        spool: Callable[[], Spool],
        redaction: Redaction,
        rule: Rule,
        *,
        clock: Callable[[], int],
        ids: Callable[[str], str],
        chance: Random,
        emit: Callable[[Event], None],
    ) -> None:
        super().__init__(store, _Memory, redaction, rule, clock=clock, ids=ids, chance=chance, emit=emit)


class _StoppedAtOnce(_InMemory):
    """And whoever stops the process stops the log first."""

    async def stop(self, *, within_us: int) -> None:
        await self._loop.stop(within_us=within_us)
        self._spool = None


async def _tried_once(self: RequestLog, spool: Spool) -> None:
    """A batch that the store does not take is no longer anybody's."""
    count = len(spool.read()[: self._rule.batch])
    try:
        await _move(self, spool)
    except StoreUnavailable:
        spool.drop(count)
        self._waiting -= count


async def _cut(settings: Settings, knock: Knock) -> bytes:
    """Of a body that is too long, as much as may be is read, and taken for all of it."""
    whole = await knock.body(_ALL)
    return (whole or b"")[: settings.limits.request_body]


def _authorization_only(self: Redaction, given: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Of all headers one is a secret."""
    masked = ((name.lower(), MASK if name.lower() == "authorization" else value) for name, value in given)
    return tuple(sorted(masked))


def _headers_only(self: Redaction, text: str) -> str:
    """Bodies are not looked at, nor addresses."""
    return text


SABOTAGES = (
    Sabotage(
        "C3",
        "in-memory",
        "rows of the request log wait for their batch in memory alone",
        Swap(gateway, RequestLog, _InMemory),
        ("requests-logged",),
    ),
    Sabotage(
        "C3",
        "stopped-at-once",
        "a replica that stops leaves what waits in its memory unwritten",
        Swap(gateway, RequestLog, _StoppedAtOnce),
        ("requests-logged",),
    ),
    Sabotage(
        "C3",
        "tried-once",
        "rows that the store does not take at once are dropped",
        Swap(RequestLog, _move, _tried_once),
        ("requests-logged",),
    ),
    Sabotage(
        "C5",
        "cut",
        "a body that is too long is cut at the limit, and what is left is called broken",
        Swap(arrival, body_of, _cut),
        ("refused-reaches-nobody",),
    ),
    Sabotage(
        "C8",
        "authorization-only",
        "only Authorization is masked: the vendors' own key headers and cookies are written down",
        Swap(Redaction, Redaction.headers, _authorization_only),
        ("canaries-contained",),
    ),
    Sabotage(
        "C8",
        "headers-only",
        "keys in bodies and addresses are written down",
        Swap(Redaction, Redaction.known, _headers_only),
        ("canaries-contained",),
    ),
)
