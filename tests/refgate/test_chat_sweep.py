"""Abandoned chat calls: each is settled once, by what is known of it, and its hold ends."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fakes.time import SimLoop, current_loop, run_virtual
from refgate.chat.records import AttemptEnd, ChatEnd, ChatOutcome, Metering
from refgate.chat.sweep import ChatLost, ChatSweep, verdict
from refgate.config.chat import Chat
from refgate.dialects.spoken import Usage
from refgate.events import Event, Failed
from refgate.ledger.books import Grant
from refgate.ledger.cadence import Cadence
from refgate.price_list import parse_price_list
from refgate.requestlog.rows import RequestRow
from refgate.store.chats import SqliteChats
from refgate.store.database import Database
from tests.refgate import edge_kit
from tests.refgate.chats_kit import ChatFile, attempt_end, chat_attempt, new_chat, served
from tests.refgate.ledger_kit import connect
from tests.refgate.ledger_kit import drive_together as drive

S = 1_000_000
PRICES = parse_price_list(
    {"gpt-4o-mini": [{"input": "1", "output": "2"}, {"from": "2026-06-01", "input": "3", "output": "4"}]}
)
JUNE_US = 1_780_272_000 * S
GRANT = 1_000_000
EAST = {"backend": "east", "model": "gpt-4o-mini"}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ChatFile]:
    made = ChatFile(tmp_path / "chats.sqlite", {"alice": Grant(GRANT)})
    yield made
    made.assert_conserved()
    made.close()


async def left_lying(chats: SqliteChats, call_id: str = "c1", attempts: int = 1, **changes: Any) -> None:
    told = {"hold_nanos": 90_000, "prompt_tokens": 12, "lease_until_us": 30 * S, **changes}
    assert await chats.admit(new_chat(call_id, **told)) is None
    for number in range(1, attempts + 1):
        ended = attempt_end(call_id, number - 1, failure="server", status=500) if number > 1 else None
        assert await chats.begin(
            chat_attempt(call_id, number), ended=ended, lease_until_us=told["lease_until_us"]
        )


def judged(
    file: ChatFile, chat: Chat, attempts: int = 1, prices: Any = PRICES, **changes: Any
) -> tuple[ChatEnd, AttemptEnd | None]:
    """How a call with so many attempts ends."""
    chats = file.replica()
    drive(left_lying(chats, attempts=attempts, **changes))
    (call,) = drive(chats.abandoned(now_us=10**15, lease_until_us=10**15 + 1, limit=9))
    return verdict(prices, chat, call, now_us=7)


@pytest.mark.parametrize("policy", ["estimate", "hold", "zero"])
def test_what_was_never_sent_costs_nothing(file: ChatFile, policy: Any) -> None:
    """Whatever the policy: no backend heard of it."""
    end, attempt = judged(file, Chat(missing_usage=policy), attempts=0)
    assert (end.outcome, end.reason, end.amount_nanos) == (ChatOutcome.LOST, "not_sent", 0)
    assert (end.flags, end.backend, end.metering, attempt) == (("no_verdict",), None, Metering(), None)


@pytest.mark.parametrize(
    ("policy", "nanos", "source", "usage"),
    [
        ("estimate", 12_000, "estimated", Usage(input=12)),
        ("hold", 90_000, "hold", Usage()),
        ("zero", 0, "zero", Usage()),
    ],
)
def test_what_was_sent_costs_what_is_declared(
    file: ChatFile, policy: Any, nanos: int, source: str, usage: Usage
) -> None:
    """An estimate is of what went in; the row and its attempt say which policy it was."""
    end, attempt = judged(file, Chat(missing_usage=policy))
    assert (end.outcome, end.reason, end.amount_nanos) == (ChatOutcome.LOST, "no_verdict", nanos)
    assert end.flags[0] == "no_verdict" and "usage_missing" in end.flags
    assert ("usage_estimated" in end.flags) == (policy == "estimate")
    assert (end.metering.source, end.metering.usage, end.metering.cost_nanos) == (source, usage, nanos)
    assert (end.backend, end.upstream_model) == ("east", "gpt-4o-mini")
    assert attempt == AttemptEnd("c1-a1", None, "lost", True, None, end.metering, 7)


def test_the_price_is_that_of_the_attempt_that_was_lost(file: ChatFile) -> None:
    """Of its model, when it began: not of the day of the sweep, nor of the call's."""
    chats = file.replica()
    drive(left_lying(chats, attempts=0))
    drive(chats.begin(chat_attempt(started_us=JUNE_US), lease_until_us=1))
    (call,) = drive(chats.abandoned(now_us=JUNE_US, lease_until_us=JUNE_US + 1, limit=9))
    end, _ = verdict(PRICES, Chat(), call, now_us=JUNE_US)
    assert (end.amount_nanos, end.metering.price_from_us) == (36_000, JUNE_US)


@pytest.mark.parametrize("ambiguous", [False, True])
def test_a_call_that_waited_for_its_next_try_costs_nothing(file: ChatFile, ambiguous: bool) -> None:
    """Nobody had served it; what a backend without a verdict may bill for it is flagged."""
    chats = file.replica()
    drive(left_lying(chats))
    drive(chats.rest("c1", attempt_end("c1", failure="timeout", ambiguous=ambiguous)))
    (call,) = drive(chats.abandoned(now_us=10**15, lease_until_us=10**15 + 1, limit=9))
    end, attempt = verdict(PRICES, Chat(), call, now_us=7)
    assert (end.outcome, end.reason, end.amount_nanos) == (ChatOutcome.LOST, "not_served", 0)
    assert (end.flags, attempt) == (("unbilled_work",) if ambiguous else (), None)


def test_the_declared_cap_holds_here_too(file: ChatFile) -> None:
    """An estimate above the hold is cut, and flagged, where that is declared."""
    end, _ = judged(file, Chat(usage_above_hold="cap_at_hold"), hold_nanos=5)
    assert (end.amount_nanos, "hold_capped" in end.flags) == (5, True)


def test_a_model_without_a_price_is_flagged(file: ChatFile) -> None:
    """It was let in under `unpriced_model: zero`."""
    end, _ = judged(file, Chat(unpriced_model="zero"), prices=parse_price_list({}))
    assert (end.amount_nanos, "unpriced" in end.flags) == (0, True)


@dataclass
class World:
    """Replicas that sweep one file in virtual time."""

    file: ChatFile
    loop: SimLoop
    events: list[Event] = field(default_factory=list)
    noted: list[RequestRow] = field(default_factory=list)
    away: bool = False
    chance: random.Random = field(default_factory=lambda: random.Random("sweeps"))

    def sweep(self, *, at_once: int = 16) -> ChatSweep:
        chats = self.file.replica(self._fault)
        made = ChatSweep(
            chats,
            chat=Chat(),
            prices=PRICES,
            cadence=Cadence(every_us=5 * S, lease_us=30 * S, at_once=at_once),
            clock=lambda: self.loop.now_us,
            chance=self.chance,
            emit=self.events.append,
            note=self.noted.append,
        )
        made.start()
        return made

    def _fault(self, sql: str, side: str) -> None:
        if self.away and side == "before" and (sql == "COMMIT" or sql.startswith("SELECT")):
            raise sqlite3.OperationalError("database is locked")

    def lost(self) -> list[str]:
        return [event.call_id for event in self.events if isinstance(event, ChatLost)]


def played(file: ChatFile, story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(World(file, current_loop()))

    run_virtual(main)


def test_abandoned_calls_are_settled_when_their_lease_is_over(file: ChatFile) -> None:
    """Not before; and a call that ended in time is left as it is."""

    async def story(world: World) -> None:
        chats = file.replica()
        await left_lying(chats, "c1")
        await left_lying(chats, "c2", attempts=0)
        await left_lying(chats, "c3")
        assert await chats.settle("c3", served(300), attempt=attempt_end("c3"), now_us=1)
        sweep = world.sweep()
        await asyncio.sleep(29)
        assert world.lost() == []
        await asyncio.sleep(6)
        assert world.lost() == ["c1", "c2"]
        assert file.account() == (GRANT - 12_300, 0, 12_300)
        rows = {row["call_id"]: row for row in file.page("chats")}
        assert [rows[one]["outcome"] for one in ("c1", "c2", "c3")] == ["lost", "lost", "served"]
        assert rows["c1"]["ended_us"] >= 30 * S
        assert [(row.request_id, row.outcome, row.amount_nanos) for row in world.noted] == [
            ("c1", "lost", 12_000),
            ("c2", "lost", 0),
        ]
        assert {(row.caller, row.protocol, row.stream) for row in world.noted} == {
            ("alice-key", "openai_chat", True)
        }
        (attempt,) = [row for row in file.page("chat_attempts") if row["call_id"] == "c1"]
        assert (attempt["failure"], attempt["ended_us"]) == ("lost", rows["c1"]["ended_us"])
        await sweep.stop(within_us=S)

    played(file, story)


def test_replicas_settle_each_call_once(file: ChatFile) -> None:
    """However many sweep, and whenever the call's own hand comes back."""

    async def story(world: World) -> None:
        chats = file.replica()
        for number in range(40):
            await left_lying(chats, f"c{number}", hold_nanos=20_000)
        sweeps = [world.sweep(at_once=3) for _ in range(3)]
        await asyncio.sleep(40)
        assert sorted(world.lost()) == sorted(f"c{number}" for number in range(40))
        assert not await chats.settle("c7", served(999), attempt=attempt_end("c7"), now_us=1)
        assert file.account() == (GRANT - 480_000, 0, 480_000)
        for sweep in sweeps:
            await sweep.stop(within_us=S)

    played(file, story)


def test_a_store_that_is_away_is_waited_for(file: ChatFile) -> None:
    """Nothing is lost, and nothing is settled twice, when it is back."""

    async def story(world: World) -> None:
        await left_lying(file.replica(), lease_until_us=1)
        sweep = world.sweep()
        world.away = True
        await asyncio.sleep(20)
        assert world.lost() == [] and any(isinstance(event, Failed) for event in world.events)
        world.away = False
        await asyncio.sleep(60)
        assert world.lost() == ["c1"]
        assert file.account() == (GRANT - 12_000, 0, 12_000)
        await sweep.stop(within_us=S)

    played(file, story)


def test_one_call_that_cannot_be_settled_keeps_no_other_waiting(
    file: ChatFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back when its lease is over; the rest of the round goes on."""
    real = SqliteChats.settle

    async def settle(self: SqliteChats, call_id: str, end: ChatEnd, **told: Any) -> bool:
        if call_id == "c1":
            raise ValueError("not foreseen")
        return await real(self, call_id, end, **told)

    monkeypatch.setattr(SqliteChats, "settle", settle)

    async def story(world: World) -> None:
        chats = file.replica()
        await left_lying(chats, "c1", lease_until_us=1)
        await left_lying(chats, "c2", lease_until_us=1)
        sweep = world.sweep()
        await asyncio.sleep(6)
        assert world.lost() == ["c2"]
        assert [(event.where, event.call_id) for event in world.events if isinstance(event, Failed)] == [
            ("chat-sweep", "c1")
        ]
        monkeypatch.undo()
        await asyncio.sleep(60)
        assert world.lost() == ["c2", "c1"]
        await sweep.stop(within_us=S)

    played(file, story)


def test_a_gateway_with_models_sweeps(tmp_path: Path) -> None:
    """It takes over what another replica left, and stops with the gateway."""
    models = {
        "backends": {
            "east": {"dialect": "openai", "base_url": "http://east.test/v1", "key": {"env": "RH_KEY"}}
        },
        "models": {"small": {"pools": [{"name": "main", "backends": [EAST]}]}},
        "prices": {"gpt-4o-mini": {"input": "1", "output": "2"}},
    }

    async def story(world: edge_kit.World) -> None:
        database = Database(lambda: connect(world.path))
        await left_lying(SqliteChats(database), lease_until_us=world.loop.wall_us() + 20 * S)
        database.close()
        await asyncio.sleep(30)
        (row,) = await world.rows("chats")
        assert (row["outcome"], row["amount_nanos"], row["flags"][0]) == ("lost", 12_000, "no_verdict")
        (hold,) = await world.rows("holds")
        assert (hold["state"], hold["captured_nanos"]) == ("finalized", 12_000)

    edge_kit.played(tmp_path, story, replicas=2, **models)
