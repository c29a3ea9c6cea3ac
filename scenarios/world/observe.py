"""What can be read from outside: the gateway's read API, page by page, and the billing service's books.

Readings become `Observed` facts. Readings on the way are few and may fail; the last one may not. Whether
everything has come to rest is read here too: every call ended, nothing left to deliver.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from fakes.billing import BillingService
from fakes.journal import Journal
from fakes.time import SimLoop
from fakes.wire import DirectClient, Timeouts, Wire, WireError
from scenarios.gateways import CANARY_ADMIN
from scenarios.history import Observed
from scenarios.world.replica import Replica

__all__ = ["CHAT_TABLES", "TABLES", "Observer", "Unreadable"]

TABLES = ("accounts", "calls", "attempts", "holds", "entries", "intents")
CHAT_TABLES = ("chats", "chat_attempts", "requests", "debug")
"""What is read as well where the gateway serves models."""

_LIMIT = 500
_PAGES_MAX = 10_000
_READINGS_MAX = 64
_READING_FIRST_S = 1.0
_READING_GROWTH = 1.3
_FINAL_TRIES = 20
_ENDED = frozenset({"finalized", "rejected"})
_TIMEOUTS = Timeouts(connect_us=5_000_000, read_us=30_000_000)


def _is_done(intent: Mapping[str, Any]) -> bool:
    return intent["done_us"] is not None


def _has_ended(call: Mapping[str, Any]) -> bool:
    return call["state"] in _ENDED


def _chat_has_ended(chat: Mapping[str, Any]) -> bool:
    return bool(chat["state"] == "ended")


class Unreadable(RuntimeError):
    """The read API did not answer as it must."""


class Observer:
    """Reads one world. It asks the first replica that listens. `chats`: the gateway serves models."""

    def __init__(
        self,
        *,
        loop: SimLoop,
        wire: Wire,
        journal: Journal,
        replicas: Sequence[Replica],
        billing: BillingService | None,
        chats: bool,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._replicas = replicas
        self._billing = billing
        self._chats = chats
        self._direct = DirectClient(wire, "observer")
        self._over: dict[str, str] = {}  # table → the last of its first rows that are all over

    async def watch_accounts(self) -> None:
        """Read the accounts now and then, ever more rarely, until cancelled or enough is seen."""
        pause_s = _READING_FIRST_S
        for _ in range(_READINGS_MAX):
            await asyncio.sleep(pause_s)
            pause_s *= _READING_GROWTH
            try:
                await self.accounts(final=False)
            except Unreadable:
                continue  # Under faults a reading may fail; the one after the settling may not.

    async def accounts(self, *, final: bool) -> None:
        if self._billing is not None:
            balances = self._billing.statement()
            rows = tuple(
                {"account": name, **{f"{part}_nanos": nanos for part, nanos in asdict(balance).items()}}
                for name, balance in balances.items()
            )
            self._record(self._billing.name, "accounts", rows, final=final)
        self._record(*await self._read("accounts"), final=final)

    async def everything(self) -> None:
        """The last reading: every table, and billing's own books."""
        await self.accounts(final=True)
        for table in (*TABLES[1:], *(CHAT_TABLES if self._chats else ())):
            self._record(*await self._read(table), final=True)
        if self._billing is not None:
            self._record(self._billing.name, "holds", tuple(self._billing.holds()), final=True)

    async def at_rest(self) -> bool:
        """Whether every call and chat has ended, every intent is delivered and no hold is open."""
        try:
            rest = await self._rests("intents", _is_done) and await self._rests("calls", _has_ended)
            rest = rest and (not self._chats or await self._rests("chats", _chat_has_ended))
        except Unreadable:
            return False
        return rest and (
            self._billing is None or all(hold["state"] != "open" for hold in self._billing.holds())
        )

    async def _rests(self, table: str, over: Callable[[Mapping[str, Any]], bool]) -> bool:
        """Whether every row is over. What is over stays so, and is not read again."""
        _, _, rows = await self._read(table, after=self._over.get(table, ""))
        for row in rows:
            if not over(row):
                return False
            self._over[table] = str(next(iter(row.values())))
        return True

    def _record(self, at: str, what: str, rows: tuple[Mapping[str, Any], ...], *, final: bool) -> None:
        self._journal.record(Observed(t_us=self._loop.now_us, at=at, what=what, final=final, rows=rows))

    async def _read(self, table: str, *, after: str = "") -> tuple[str, str, tuple[Mapping[str, Any], ...]]:
        """Who answered, the table, and its rows after that one. Tries again while replicas come and go."""
        trouble = "no replica listens"
        for _ in range(_FINAL_TRIES):
            replica = next((one for one in self._replicas if one.up), None)
            if replica is not None:
                try:
                    return replica.name, table, await self._pages(replica, table, after)
                except (WireError, Unreadable) as broken:
                    trouble = f"{table}: {type(broken).__name__} {broken}"
            await asyncio.sleep(1)
        raise Unreadable(trouble)

    async def _pages(self, replica: Replica, table: str, after: str) -> tuple[Mapping[str, Any], ...]:
        rows: list[Mapping[str, Any]] = []
        for _ in range(_PAGES_MAX):
            cursor = f"&after={quote(after, safe='')}" if after else ""
            answer = await self._direct.request(
                "GET",
                f"http://{replica.host}/admin/{table}?limit={_LIMIT}{cursor}",
                headers=(("authorization", f"Bearer {CANARY_ADMIN}"),),
                timeouts=_TIMEOUTS,
            )
            if answer.status != 200:
                raise Unreadable(f"status {answer.status}")
            page = json.loads(answer.body)
            rows += page["rows"]
            if page["next"] is None:
                return tuple(rows)
            after = page["next"]
        raise Unreadable(f"more than {_PAGES_MAX} pages")
