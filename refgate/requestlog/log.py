"""The request log and the debug log: noted at once in the spool, moved to the store in batches.

Noting waits for nothing and fails for nothing: a row is in the spool when it returns. A loop moves rows to
the store, one transaction a batch, and takes them from the spool once that is committed; a row that comes
twice, after a crash between the two, is known by its id. With the store away, rows wait, also for the next
incarnation. In a full spool the oldest debug rows make room; a request that finds none is told of by an
event.

What callers and providers said goes in redacted, and a body cut. Knows nothing of how a call is answered.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace

from refgate.config.chat import RequestLog as Rule
from refgate.events import Event, Failed
from refgate.ledger.events import careful
from refgate.ledger.loop import Loop
from refgate.policy.backoff import Backoff
from refgate.ports import Spool, SpoolFull, StoreUnavailable
from refgate.redaction import Redaction
from refgate.requestlog.events import DebugGivenUp, LogLeft, LogPostponed, LogUnreadable, RequestUnlogged
from refgate.requestlog.rows import DebugRow, LogStore, RequestRow, Row, is_debug, packed, unpacked

__all__ = ["RequestLog", "Tape"]

_TEXT_MAX = 256  # characters of one field; a caller may ask for a model of any name
_AWAY_MAX_US = 10_000_000  # the longest rest while the store is away
_STOPPING_LOOK_US = 100_000
_SWEEP_US = 600_000_000
_SWEEP_ROWS = 500


class Tape:
    """The beginning of a message that comes in pieces, as much of it as the debug log looks at."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self.whole = True

    def feed(self, piece: bytes) -> None:
        room = self._most - self._size
        if len(piece) > room:
            piece, self.whole = piece[:room], False
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)


class RequestLog:
    """One replica's. `note` and `debug` are for between `start` and `stop`."""

    def __init__(
        self,
        store: LogStore,
        spool: Callable[[], Spool],
        redaction: Redaction,
        rule: Rule,
        *,
        clock: Callable[[], int],
        ids: Callable[[str], str],
        chance: random.Random,
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._open = spool
        self._redaction = redaction
        self._rule = rule
        self._clock = clock
        self._ids = ids
        self._chance = chance
        self._emit = careful(emit)
        self._backoff = Backoff(rule.every_us, max(_AWAY_MAX_US, rule.every_us))
        self._loop = Loop("request log", self._step, clock=clock, emit=emit)
        self._spool: Spool | None = None
        self._waiting = 0  # rows in the spool
        self._debugs = 0  # of these, those that may be given up
        self._in_hand = 0  # of these, the oldest, which the store is being told of
        self._due_us = 0  # when what waits is moved at the latest
        self._rest_until_us = 0  # not before then: the store was away
        self._tries = 0
        self._sweep_us = 0

    @property
    def debugs(self) -> bool:
        """Whether messages are kept at all."""
        return self._rule.body > 0

    def tape(self) -> Tape | None:
        """For a message that comes in pieces; None where messages are not kept."""
        return Tape(self._redaction.reach(self._rule.body)) if self.debugs else None

    # Noting.

    def note(self, row: RequestRow, *, presented: str | None = None) -> None:
        """One row for a request that is over. `presented` is the key it came with, known or not."""
        redaction = self._redaction.plus(presented)
        # What a caller may choose freely; the rest are names and words of the configuration, and numbers.
        model, account = _fit(redaction.text, row.model), _fit(redaction.known, row.account)
        shown = (
            row
            if (model, account) == (row.model, row.account)
            else replace(row, model=model, account=account)
        )
        if not self._append(packed(shown)):
            self._emit(
                RequestUnlogged(
                    t_us=self._clock(),
                    request_id=shown.request_id,
                    outcome=shown.outcome,
                    status=shown.status,
                    amount_nanos=shown.amount_nanos,
                )
            )

    def debug(
        self,
        request_id: str,
        what: str,
        *,
        backend: str | None = None,
        status: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | Tape = b"",
        presented: str | None = None,
    ) -> None:
        """One message of a request, where messages are kept."""
        if not self.debugs:
            return
        redaction = self._redaction.plus(presented)
        raw, whole = (body.body, body.whole) if isinstance(body, Tape) else (body, True)
        text, cut = redaction.body(raw, most=self._rule.body, whole=whole)
        row = DebugRow(
            debug_id=self._ids("debug"),
            request_id=request_id,
            at_us=self._clock(),
            what=what,
            backend=backend,
            status=status,
            headers=json.dumps(redaction.headers(headers)),
            body=text,
            cut=cut,
        )
        if not self._append(packed(row)):
            self._emit(DebugGivenUp(t_us=self._clock(), count=1))

    def _append(self, record: bytes) -> bool:
        if self._spool is None:
            return False
        try:
            try:
                self._spool.append(record)
            except SpoolFull:
                self._make_room(self._spool, len(record))
                self._spool.append(record)
        except SpoolFull:
            return False
        self._waiting += 1
        self._debugs += is_debug(record)
        if self._waiting == 1:
            self._due_us = self._clock() + self._rule.every_us
        if self._waiting in (1, self._rule.batch):
            self._loop.wake()
        return True

    def _make_room(self, spool: Spool, needed: int) -> None:
        """Gives up the oldest debug rows, an eighth of the spool at once: it is written anew each time."""
        if not self._debugs:
            return
        records = spool.read()
        goal = max(2 * needed, sum(map(len, records)) // 8)
        kept, freed = records[: self._in_hand], 0
        for record in records[self._in_hand :]:
            if freed < goal and is_debug(record):
                freed += len(record)
            else:
                kept.append(record)
        if given_up := len(records) - len(kept):
            spool.replace(kept)
            self._waiting -= given_up
            self._debugs -= given_up
            self._emit(DebugGivenUp(t_us=self._clock(), count=given_up))

    # Moving.

    def start(self) -> None:
        """Opens the spool; what an incarnation before left in it is moved first."""
        self._spool = self._open()
        records = self._spool.read()
        self._waiting, self._debugs = len(records), sum(map(is_debug, records))
        self._due_us = self._clock()
        self._sweep_us = self._due_us + self._sweep_every_us
        self._loop.start()

    async def stop(self, *, within_us: int) -> None:
        """Moves what waits, for as long as it may; what is left waits for the next incarnation."""
        until_us = self._clock() + within_us
        await self._loop.stop(within_us=within_us)
        spool, self._in_hand = self._spool, 0
        if spool is None:
            return
        while self._waiting and self._clock() < until_us:
            try:
                await self._move(spool)
                await asyncio.sleep(0)
            except StoreUnavailable:
                await asyncio.sleep(min(_STOPPING_LOOK_US, until_us - self._clock()) / 1e6)
            except Exception as bug:
                self._emit(Failed(t_us=self._clock(), where="request log", what=type(bug).__name__))
                break
        if self._waiting:
            self._emit(LogLeft(t_us=self._clock(), count=self._waiting))
        self._spool = None
        spool.close()

    async def _step(self) -> int:
        """Moves one batch if it is time to; answers how long there is nothing to do."""
        assert self._spool is not None
        now_us = self._clock()
        if self._waiting and now_us >= self._next_us(now_us):
            try:
                await self._move(self._spool)
            except StoreUnavailable as away:
                self._tries += 1
                self._rest_until_us = now_us + self._backoff.delay_us(self._tries, self._chance)
                self._emit(LogPostponed(t_us=now_us, waiting=self._waiting, error=str(away)))
            else:
                self._tries = 0
                self._due_us = self._clock() + self._rule.every_us
        if now_us >= self._sweep_us:
            await self._sweep(now_us)
        now_us = self._clock()
        next_us = min(self._next_us(now_us), self._sweep_us) if self._waiting else self._sweep_us
        return max(next_us - now_us, 0)

    def _next_us(self, now_us: int) -> int:
        return max(now_us if self._waiting >= self._rule.batch else self._due_us, self._rest_until_us)

    async def _move(self, spool: Spool) -> None:
        records = spool.read()[: self._rule.batch]
        rows: list[Row] = [row for record in records if (row := unpacked(record)) is not None]
        self._in_hand = len(records)
        try:
            if rows:
                await self._store.keep(rows)
        finally:
            self._in_hand = 0
        spool.drop(len(records))
        self._waiting -= len(records)
        self._debugs -= sum(map(is_debug, records))
        if len(rows) < len(records):
            self._emit(LogUnreadable(t_us=self._clock(), count=len(records) - len(rows)))

    @property
    def _sweep_every_us(self) -> int:
        return max(min(self._rule.keep_us // 4, _SWEEP_US), 1_000_000)

    async def _sweep(self, now_us: int) -> None:
        """Forgets some of what is old, and comes back soon where there is more."""
        self._sweep_us = now_us + self._sweep_every_us
        try:
            gone = await self._store.forget(before_us=now_us - self._rule.keep_us, limit=_SWEEP_ROWS)
        except StoreUnavailable:
            return
        if gone == _SWEEP_ROWS:
            self._sweep_us = now_us + min(self._rule.every_us, self._sweep_every_us)


def _fit(redacted: Callable[[str], str], text: str | None) -> str | None:
    """Text as it may be written down: redacted, cut, and something that the store can hold."""
    if text is None:
        return None
    return redacted(text)[:_TEXT_MAX].encode("utf-8", "replace").decode()
