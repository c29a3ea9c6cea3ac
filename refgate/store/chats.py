"""The `ChatStore` on SQLite: chat calls and their money, each method one transaction.

A call's row and its hold are written together, and so are its end, its last attempt's end, the capture and
the release: no moment shows one without the other. The end is written only where the row is still open, so
of any number of hands exactly one charges the call. This is on every call's way, so statements are few, and
an index holds open calls only.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from refgate.chat.records import AttemptEnd, ChatAttempt, ChatEnd, Metering, NewChat, OpenChat
from refgate.ledger.keys import chat_hold_key, finalize_key
from refgate.ledger.records import Hold, Refused
from refgate.money import NANOS_MAX
from refgate.store.database import Database
from refgate.store.postings import finalize_hold, open_hold, set_aside
from refgate.store.rows import text

__all__ = ["SqliteChats"]

_CLASSES = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "output",
    "output_audio",
    "reasoning",
    "web_searches",
)
_counts: Callable[[Any], tuple[int, ...]] = attrgetter(*_CLASSES)
_METERING = ", ".join(f"{name} = ?" for name in ("usage_source", "price_from_us", "served_model", *_CLASSES))

_INSERT = (
    "INSERT INTO chats (call_id, account, caller, protocol, model, stream, state, hold_id, hold_nanos,"
    " prompt_tokens, attempts, last_attempt, created_us, lease_us)"
    " VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?, ?, ?, ?)"
)
_BEGIN = "UPDATE chats SET attempts = ?, last_attempt = ?, lease_us = ? WHERE call_id = ? AND state = 'open'"
_ATTEMPT = (
    "INSERT INTO chat_attempts (attempt_id, call_id, number, backend, pool, lane, model, started_us)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_ATTEMPT_END = (
    "UPDATE chat_attempts SET status = ?, failure = ?, ambiguous = ?, retry_after_us = ?, first_token_us = ?,"
    f" ended_us = ?, cost_nanos = ?, {_METERING} WHERE attempt_id = ?"
)
_END = (
    "UPDATE chats SET state = 'ended', lease_us = NULL, outcome = ?, reason = ?, status = ?, backend = ?,"
    " upstream_model = ?, amount_nanos = ?, flags = ?, cache = ?, first_token_us = ?, ended_us = ?,"
    f" {_METERING} WHERE call_id = ? AND state = 'open' RETURNING account, hold_id, hold_nanos"
)
_DOUBT = "UPDATE chats SET doubtful = 1 WHERE call_id = ?"
_ABANDONED = (
    "SELECT c.call_id, c.account, c.caller, c.protocol, c.model, c.stream, c.hold_nanos, c.prompt_tokens,"
    " c.created_us, c.attempts,"
    " c.doubtful,"
    " a.attempt_id, a.call_id, a.number, a.backend, a.pool, a.lane, a.model, a.started_us, a.ended_us"
    " FROM chats c LEFT JOIN chat_attempts a ON a.attempt_id = c.last_attempt"
    " WHERE c.lease_us <= ? ORDER BY c.lease_us, c.seq LIMIT ?"
)


class SqliteChats:
    """See `chat.records.ChatStore` for what each method promises. Shares the store's `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, new: NewChat, first: ChatAttempt | None = None) -> Refused | None:
        hold = Hold(
            f"{new.call_id}.hold",
            chat_hold_key(new.call_id),
            new.account,
            new.call_id,
            new.hold_nanos,
            "open",
            0,
            new.now_us,
        )

        def write(cx: sqlite3.Connection) -> Refused | None:
            refused = set_aside(cx, new.account, new.hold_nanos)
            if refused is None:
                cx.execute(_INSERT, _new_row(new, hold.hold_id, first))
                open_hold(cx, hold, provider="chat")
                if first is not None:
                    cx.execute(_ATTEMPT, _attempt_row(first))
            return refused

        return await self._database.together(write)

    async def begin(
        self, attempt: ChatAttempt, *, ended: AttemptEnd | None = None, lease_until_us: int
    ) -> bool:
        def write(cx: sqlite3.Connection) -> bool:
            if ended is not None:
                _set_aside(cx, attempt.call_id, ended)
            values = (attempt.number, attempt.attempt_id, lease_until_us, attempt.call_id)
            if cx.execute(_BEGIN, values).rowcount == 0:
                return False
            cx.execute(_ATTEMPT, _attempt_row(attempt))
            return True

        return await self._database.together(write)

    async def rest(self, call_id: str, ended: AttemptEnd) -> None:
        def write(cx: sqlite3.Connection) -> None:
            _set_aside(cx, call_id, ended)

        await self._database.together(write)

    async def settle(self, call_id: str, end: ChatEnd, *, attempt: AttemptEnd | None, now_us: int) -> bool:
        if not 0 <= end.amount_nanos <= NANOS_MAX:
            raise ValueError("a charge is between 0 and NANOS_MAX")

        def write(cx: sqlite3.Connection) -> bool:
            if attempt is not None:
                _end_attempt(cx, attempt)
            # All of it is fetched: a statement that is not finished would stand in the way of the commit.
            ended = cx.execute(_END, (*_end_row(end, now_us), call_id)).fetchall()
            if not ended:
                return False
            ((account, hold_id, hold_nanos),) = ended
            finalized = finalize_hold(
                cx,
                hold_id=hold_id,
                account=account,
                call_id=call_id,
                held_nanos=hold_nanos,
                amount_nanos=end.amount_nanos,
                key=finalize_key(call_id),
                reason=end.reason,
                now_us=now_us,
            )
            assert finalized, "the hold of an open call is open: they begin and end together"
            return True

        return await self._database.together(write)

    async def abandoned(self, *, now_us: int, lease_until_us: int, limit: int) -> Sequence[OpenChat]:
        with self._database.read() as cx:
            if cx.execute("SELECT 1 FROM chats WHERE lease_us <= ? LIMIT 1", (now_us,)).fetchone() is None:
                return ()  # looked before locking: an idle replica writes nothing
        with self._database.write() as cx:
            found = [_open_of(row) for row in cx.execute(_ABANDONED, (now_us, limit)).fetchall()]
            for chat in found:
                cx.execute("UPDATE chats SET lease_us = ? WHERE call_id = ?", (lease_until_us, chat.call_id))
            return found


def _set_aside(cx: sqlite3.Connection, call_id: str, ended: AttemptEnd) -> None:
    """An attempt that did not serve."""
    _end_attempt(cx, ended)
    if ended.ambiguous:
        cx.execute(_DOUBT, (call_id,))


def _end_attempt(cx: sqlite3.Connection, end: AttemptEnd) -> None:
    cx.execute(
        _ATTEMPT_END,
        (
            end.status,
            end.failure,
            end.ambiguous,
            end.retry_after_us,
            end.first_token_us,
            end.ended_us,
            end.metering.cost_nanos,
            *_metering_row(end.metering),
            end.attempt_id,
        ),
    )


def _new_row(new: NewChat, hold_id: str, first: ChatAttempt | None) -> tuple[object, ...]:
    return (
        new.call_id,
        new.account,
        new.caller,
        new.protocol,
        text(new.model),
        new.stream,
        hold_id,
        new.hold_nanos,
        new.prompt_tokens,
        0 if first is None else first.number,
        None if first is None else first.attempt_id,
        new.now_us,
        new.lease_until_us,
    )


def _attempt_row(attempt: ChatAttempt) -> tuple[object, ...]:
    return (
        attempt.attempt_id,
        attempt.call_id,
        attempt.number,
        attempt.backend,
        attempt.pool,
        attempt.lane,
        attempt.model,
        attempt.started_us,
    )


def _metering_row(metering: Metering) -> tuple[object, ...]:
    """The values of `_METERING`."""
    return (metering.source, metering.price_from_us, text(metering.served_model), *_counts(metering.usage))


def _end_row(end: ChatEnd, now_us: int) -> tuple[object, ...]:
    return (
        end.outcome.value,
        text(end.reason),
        end.status,
        end.backend,
        end.upstream_model,
        end.amount_nanos,
        json.dumps(list(dict.fromkeys(end.flags))),
        end.cache,
        end.first_token_us,
        now_us,
        *_metering_row(end.metering),
    )


def _open_of(row: Sequence[Any]) -> OpenChat:
    """From the columns of `_ABANDONED`: the call's, its last attempt's, and when that ended."""
    (call_id, account, caller, protocol, model, stream, hold_nanos, prompt_tokens, created_us, attempts,
     doubtful, *last, last_ended_us) = row  # fmt: skip
    return OpenChat(
        call_id=call_id,
        account=account,
        caller=caller,
        protocol=protocol,
        model=model,
        stream=bool(stream),
        hold_nanos=hold_nanos,
        prompt_tokens=prompt_tokens,
        created_us=created_us,
        attempts=attempts,
        last=None if last[0] is None else ChatAttempt(*last),
        last_ended=last_ended_us is not None,
        doubtful=bool(doubtful),
    )
