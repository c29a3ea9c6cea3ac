"""The read API: for the admin's key only, page by page, as the store has it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from refgate.admin import TABLES
from refgate.store.chats import SqliteChats
from refgate.store.database import Database
from refgate.store.requests import SqliteRequests
from tests.refgate.chats_kit import chat_attempt, new_chat
from tests.refgate.edge_kit import World, code, played
from tests.refgate.ledger_kit import connect
from tests.refgate.requestlog_kit import debug_row, request_row

FIELDS = {
    "accounts": "account granted_nanos available_nanos held_nanos settled_nanos budget_nanos",
    "calls": "call_id account provider state outcome reason task_id hold_id hold_nanos amount_nanos flags "
    "idempotency_key late_of created_us updated_us",
    "attempts": "attempt_id call_id provider op method path status failure started_us ended_us",
    "holds": "hold_id key account call_id amount_nanos state captured_nanos opened_us",
    "entries": "entry_id txn_id book account amount_nanos call_id kind at_us",
    "intents": "intent_id call_id amount_nanos reason key attempts next_us done_us stuck",
    "chats": "call_id account caller protocol model stream state outcome reason status backend "
    "upstream_model served_model hold_id hold_nanos amount_nanos price_from_us usage_source input cache_read "
    "cache_write_5m cache_write_1h input_audio output output_audio reasoning web_searches flags cache "
    "attempts created_us first_token_us ended_us",
    "chat_attempts": "attempt_id call_id number backend pool lane model served_model status failure "
    "ambiguous retry_after_us usage_source input cache_read cache_write_5m cache_write_1h input_audio output "
    "output_audio reasoning web_searches cost_nanos price_from_us started_us first_token_us ended_us",
    "requests": "request_id at_us caller account protocol model stream outcome code status backend attempts "
    "amount_nanos cache duration_us",
    "debug": "debug_id request_id at_us what backend status headers body cut",
}


@pytest.mark.parametrize("key", [None, "x", "canary-caller-alice", "canary-admi", "canary-adminn"])
def test_only_the_admin_reads(tmp_path: Path, key: str | None) -> None:
    """Callers may not, and a wrong key is told nothing; not even which tables there are."""

    async def story(world: World) -> None:
        for table in (*TABLES, "secrets"):
            answer = await world.admin(f"/admin/{table}", key=key)
            assert (answer.status, code(answer)) == (401, "unauthorized")

    played(tmp_path, story)


def test_every_table_has_its_fields(tmp_path: Path) -> None:
    """What the checks rely on is there, and nothing else; bodies and headers only in the debug log."""

    async def story(world: World) -> None:
        await world.submit(key="k")
        await asyncio.sleep(25)
        await world.poll()
        await asyncio.sleep(1)
        database = Database(lambda: connect(world.path))
        chats = SqliteChats(database)
        assert await chats.admit(new_chat()) is None and await chats.begin(chat_attempt(), lease_until_us=1)
        await SqliteRequests(database).keep([request_row(), debug_row()])
        database.close()
        assert set(FIELDS) == set(TABLES)
        for table, fields in FIELDS.items():
            rows = await world.rows(table)
            assert rows and all([*row] == fields.split() for row in rows), table

    played(tmp_path, story)


def test_pages_follow_each_other(tmp_path: Path) -> None:
    """`after` is the `next` of the page before; the last page says so, and nothing is told twice."""

    async def story(world: World) -> None:
        for _ in range(5):
            await world.submit()
        seen: list[str] = []
        after = ""
        for _ in range(3):
            answer = json.loads((await world.admin(f"/admin/calls?limit=2{after}")).body)
            seen += [row["call_id"] for row in answer["rows"]]
            after = f"&after={answer['next']}"
        assert answer["next"] is None and len(answer["rows"]) == 1
        assert seen == [row["call_id"] for row in await world.rows("calls")] and len(set(seen)) == 5

    played(tmp_path, story)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=1e3"])
def test_a_page_has_a_ceiling(tmp_path: Path, query: str) -> None:
    """A page of everything is refused, not cut."""

    async def story(world: World) -> None:
        answer = await world.admin(f"/admin/calls?{query}")
        assert (answer.status, code(answer)) == (400, "bad_request")

    played(tmp_path, story)


def test_an_unknown_table_names_the_known(tmp_path: Path) -> None:
    """404 with what there is."""

    async def story(world: World) -> None:
        answer = await world.admin("/admin/keys")
        assert (answer.status, code(answer)) == (404, "not_found") and b"attempts" in answer.body
        assert (await world.admin("/admin/calls?after=nope")).status == 200

    played(tmp_path, story)
