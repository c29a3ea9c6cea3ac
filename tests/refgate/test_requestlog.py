"""Each request leaves one row, whatever happens to the store, the replica or the spool on the way (C3)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.time import current_loop, run_virtual
from refgate.config.chat import RequestLog as Rule
from refgate.events import Event
from refgate.redaction import MASK, Redaction
from refgate.requestlog.events import DebugGivenUp, LogLeft, LogPostponed, LogUnreadable, RequestUnlogged
from refgate.requestlog.log import RequestLog, Tape
from refgate.requestlog.rows import DebugRow, RequestRow, is_debug, packed, unpacked
from refgate.store.requests import SqliteRequests
from refgate.store.schema import APPLICATION_ID, MIGRATIONS
from refgate.store.sqlite import SqliteStore
from scenarios.reference import ListSpool
from tests.refgate.ledger_kit import CommitFault, Cut, File
from tests.refgate.requestlog_kit import debug_row, request_row

SECRET = "canary-provider-east"
MINUTE = 60_000_000


class World:
    """One store file, one spool, and incarnations of one replica's log."""

    def __init__(self, path: Path, *, most: int) -> None:
        self.file = File(path / "store.sqlite")
        self.records: list[bytes] = []
        self.events: list[Event] = []
        self.away = False
        self.most = most
        self.loop = current_loop()
        self._ids = 0

    def log(self, *, fault: Callable[[str, str], None] | None = None, **rule: Any) -> RequestLog:
        def failing(sql: str, side: str) -> None:
            if self.away:
                raise sqlite3.OperationalError("database is locked")
            if fault is not None:
                fault(sql, side)

        return RequestLog(
            SqliteRequests(self.file.database(failing)),
            lambda: ListSpool(self.records, most=self.most),
            Redaction([SECRET]),
            Rule.model_validate(rule),
            clock=self.loop.wall_us,
            ids=self._id,
            chance=random.Random(1),
            emit=self.events.append,
        )

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids}"

    @property
    def now(self) -> int:
        return self.loop.wall_us()

    def requests(self) -> list[str]:
        return [row[0] for row in self.file.rows("SELECT request_id FROM requests ORDER BY seq")]

    def debugs(self) -> list[tuple[Any, ...]]:
        return self.file.rows("SELECT request_id, what, status, headers, body, cut FROM debug ORDER BY seq")

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def played(path: Path, story: Callable[[World], Awaitable[None]], *, most: int = 1 << 20) -> World:
    async def main() -> World:
        world = World(path, most=most)
        await story(world)
        world.file.close()
        return world

    return run_virtual(main)


def ids(count: int, first: int = 1) -> list[str]:
    return [f"c-{number}" for number in range(first, first + count)]


async def noted(log: RequestLog, names: list[str], **changes: Any) -> None:
    for name in names:
        log.note(request_row(name, **changes))
        await asyncio.sleep(0)


def test_a_row_is_in_the_store_soon(tmp_path: Path) -> None:
    """Not at once, which would cost a commit for each request, but `every` so often."""

    async def story(world: World) -> None:
        log = world.log(every="2s")
        log.start()
        await noted(log, ids(3))
        await asyncio.sleep(1.9)
        assert world.file.rows("SELECT count(*) FROM sqlite_master WHERE name = 'requests'") == [(0,)]
        await asyncio.sleep(0.2)
        assert world.requests() == ids(3)
        assert world.records == []
        await log.stop(within_us=MINUTE)

    played(tmp_path, story)


def test_a_full_batch_does_not_wait(tmp_path: Path) -> None:
    """A busy replica's spool stays small; batches follow each other without a pause."""

    async def story(world: World) -> None:
        log = world.log(every="10s", batch=5)
        log.start()
        await noted(log, ids(14))
        await asyncio.sleep(0.1)
        assert world.requests() == ids(10)
        await asyncio.sleep(10)
        assert world.requests() == ids(14)
        await log.stop(within_us=MINUTE)

    played(tmp_path, story)


def test_an_idle_log_does_nothing(tmp_path: Path) -> None:
    """No turn of the loop each second, for nothing."""

    async def story(world: World) -> None:
        log = world.log(every="1s")
        log.start()
        await asyncio.sleep(1)
        before = world.loop.steps
        await asyncio.sleep(599)
        assert world.loop.steps - before < 10
        await log.stop(within_us=MINUTE)

    played(tmp_path, story)


def test_a_stop_flushes(tmp_path: Path) -> None:
    """What was noted a moment before is in the store when the replica has ended."""

    async def story(world: World) -> None:
        log = world.log(batch=4, every="1h")
        log.start()
        await noted(log, ids(11))
        await log.stop(within_us=5_000_000)
        assert world.requests() == ids(11)
        assert world.records == [] and world.events == []

    played(tmp_path, story)


def test_while_the_store_is_away_rows_wait(tmp_path: Path) -> None:
    """Tried again, more and more rarely, and told of; soon after it is back all is there, once."""

    async def story(world: World) -> None:
        log = world.log(batch=5)
        log.start()
        world.away = True
        await noted(log, ids(30))
        await asyncio.sleep(300)
        assert len(world.records) == 30
        assert 8 <= len(world.told(LogPostponed)) <= 60
        assert world.told(LogPostponed)[-1].waiting == 30
        world.away = False
        await asyncio.sleep(12)
        assert world.requests() == ids(30)
        assert world.records == []
        await log.stop(within_us=MINUTE)

    played(tmp_path, story)


def test_many_requests_do_not_hasten_the_tries(tmp_path: Path) -> None:
    """A store that is away is not asked again for each batch that comes."""

    async def story(world: World) -> None:
        log = world.log(batch=2)
        log.start()
        world.away = True
        for first in range(0, 600, 2):
            await noted(log, ids(2, first))
            await asyncio.sleep(0.2)
        assert len(world.told(LogPostponed)) < 20
        world.away = False
        await log.stop(within_us=MINUTE)
        assert len(world.requests()) == 600

    played(tmp_path, story)


def test_a_stop_waits_for_a_store_that_comes_back_in_time(tmp_path: Path) -> None:
    """Within what it may take."""

    async def story(world: World) -> None:
        log = world.log()
        log.start()
        world.away = True
        await noted(log, ids(3))
        stopping = asyncio.create_task(log.stop(within_us=5_000_000))
        await asyncio.sleep(3)
        world.away = False
        await stopping
        assert world.requests() == ids(3)

    played(tmp_path, story)


def test_what_a_stop_cannot_write_the_next_incarnation_does(tmp_path: Path) -> None:
    """The stop is bounded, the rows are not lost."""

    async def story(world: World) -> None:
        log = world.log()
        log.start()
        world.away = True
        await noted(log, ids(3))
        before = world.now
        await log.stop(within_us=5_000_000)
        assert 4_900_000 <= world.now - before <= 5_200_000
        assert [left.count for left in world.told(LogLeft)] == [3]
        world.away = False
        heir = world.log()
        heir.start()
        await asyncio.sleep(0.1)
        assert world.requests() == ids(3)
        await heir.stop(within_us=MINUTE)

    played(tmp_path, story)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("commit", [1, 2, 3, 4])
def test_a_power_cut_at_any_commit_loses_and_doubles_nothing(tmp_path: Path, commit: int, side: str) -> None:
    """Between the commit and the spool's forgetting the row comes again, and is known."""

    async def story(world: World) -> None:
        fault = CommitFault(commit, side)
        owner = world.loop.owner("g0")

        def cut(sql: str, when: str) -> None:
            try:
                fault(sql, when)
            except Cut:
                world.loop.cut(owner)
                raise

        log = world.log(batch=2, fault=cut)

        async def life() -> None:
            log.start()
            for name in ids(5):
                log.note(request_row(name))

        world.loop.spawn(owner, life(), name="life")
        await asyncio.sleep(10)
        assert not owner.alive
        heir = world.log()
        heir.start()
        await noted(heir, ids(2, 6))
        await asyncio.sleep(10)
        assert world.requests() == ids(7)
        assert world.records == []
        await heir.stop(within_us=MINUTE)

    played(tmp_path, story)


@pytest.mark.parametrize("order", [("served", "lost"), ("lost", "served")])
def test_the_sweeps_word_on_a_lost_call_stands(tmp_path: Path, order: tuple[str, str]) -> None:
    """Its replica had noted an end that it did not come to write down; who asked, only that note says."""

    async def story(world: World) -> None:
        for outcome in order:
            log = world.log()
            log.start()
            if outcome == "lost":
                row = request_row(caller=None, outcome="lost", code="no_verdict", amount_nanos=7, status=0)
            else:
                row = request_row(outcome=outcome, amount_nanos=5)
            log.note(row)
            log.note(row)
            await log.stop(within_us=MINUTE)
        (kept,) = world.file.rows("SELECT outcome, code, amount_nanos, account FROM requests")
        assert kept == ("lost", "no_verdict", 7, "alice")
        ((caller, status),) = world.file.rows("SELECT caller, status FROM requests")
        assert (caller, status) == (("alice", 200) if order[0] == "served" else (None, 0))

    played(tmp_path, story)


def test_noting_fails_for_nothing_once_the_log_has_ended(tmp_path: Path) -> None:
    """A request that outlives the stop is told of as an event."""

    async def story(world: World) -> None:
        log = world.log()
        log.start()
        await log.stop(within_us=MINUTE)
        log.note(request_row("late", status=504))
        (told,) = world.told(RequestUnlogged)
        assert (told.request_id, told.status) == ("late", 504)

    played(tmp_path, story)


def test_in_a_full_spool_the_oldest_debug_rows_go_first(tmp_path: Path) -> None:
    """Requests are kept for as long as there is one debug row to give up, and what goes is counted."""

    async def story(world: World) -> None:
        log = world.log(body="1KiB")
        log.start()
        world.away = True
        for number in range(40):
            log.debug(f"c-{number}", "request", body=b"x" * 500)
            log.note(request_row(f"c-{number}"))
        assert world.told(RequestUnlogged) == []
        given_up = sum(told.count for told in world.told(DebugGivenUp))
        world.away = False
        await log.stop(within_us=MINUTE)
        assert world.requests() == ids(40, 0)
        left = [row[0] for row in world.debugs()]
        assert left == ids(40, 0)[given_up:] and 0 < given_up < 40

    played(tmp_path, story, most=20_000)


def test_a_spool_full_of_requests_loses_none_in_silence(tmp_path: Path) -> None:
    """What has no row has an event that says what the row would have said."""

    async def story(world: World) -> None:
        log = world.log(body="1KiB")
        log.start()
        world.away = True
        for name in ids(40):
            log.note(request_row(name))
        log.debug("c-1", "request", body=b"x" * 1000)
        lost = [told.request_id for told in world.told(RequestUnlogged)]
        assert [told.count for told in world.told(DebugGivenUp)] == [1]
        world.away = False
        await log.stop(within_us=MINUTE)
        assert lost and world.requests() + lost == ids(40)

    played(tmp_path, story, most=3_000)


def test_records_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    """Another version may have left them; they do not stand in the way of those that are."""

    async def story(world: World) -> None:
        world.records += [b"", b"[]", b'["visit", 1]', b'["request", 1]', b"\xff"]
        world.records += [
            packed(request_row("c-0", status=None)),
            packed(request_row("c-0", model=["a", "b"])),
        ]
        world.records.append(packed(request_row("c-1")))
        log = world.log()
        log.start()
        await asyncio.sleep(0.1)
        assert world.requests() == ["c-1"] and world.records == []
        assert [told.count for told in world.told(LogUnreadable)] == [7]
        await log.stop(within_us=MINUTE)

    played(tmp_path, story)


def test_rows_are_kept_for_their_time(tmp_path: Path) -> None:
    """Old ones are dropped, some at a time, from the oldest on."""

    async def story(world: World) -> None:
        log = world.log(keep="40s", body="1KiB", batch=700)
        log.start()
        for name in ids(1200):
            log.note(request_row(name, at_us=world.now))
        log.debug("c-1", "request", body=b"x")
        await asyncio.sleep(35)
        log.note(request_row("later", at_us=world.now))
        await asyncio.sleep(2)
        assert len(world.requests()) == 1201
        await asyncio.sleep(20)
        assert world.requests() == ["later"] and world.debugs() == []
        await asyncio.sleep(40)
        assert world.requests() == []
        await log.stop(within_us=MINUTE)

    played(tmp_path, story)


def test_a_page_goes_on_from_a_row_that_is_gone(tmp_path: Path) -> None:
    """Whoever reads the log page by page does not take its sweep for its end."""

    async def story(world: World) -> None:
        log = world.log(keep="40s")
        log.start()
        for name in ids(3):
            log.note(request_row(name, at_us=world.now))
        await asyncio.sleep(35)
        for name in ids(3, 4):
            log.note(request_row(name, at_us=world.now))
        await asyncio.sleep(30)
        assert world.requests() == ids(3, 4)
        store = SqliteStore(world.file.database())
        page = await store.page("requests", after="c-2", limit=2)
        assert [row["request_id"] for row in page] == ["c-4", "c-5"]
        page = await store.page("requests", after="c-5", limit=2)
        assert [row["request_id"] for row in page] == ["c-6"]
        await log.stop(within_us=MINUTE)

    played(tmp_path, story)


def test_a_file_of_the_version_before_gets_its_logs(tmp_path: Path) -> None:
    """And keeps what it has."""

    async def story(world: World) -> None:
        cx = sqlite3.connect(world.file.path, isolation_level=None)
        for step in MIGRATIONS[:2]:
            for statement in step:
                cx.execute(statement)
        cx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        cx.execute("PRAGMA user_version = 2")
        cx.execute("INSERT INTO accounts VALUES (1, 'alice', 5, 5, 0, 0, NULL)")
        cx.close()
        log = world.log()
        log.start()
        log.note(request_row())
        await log.stop(within_us=MINUTE)
        assert world.requests() == ["c-1"]
        assert world.file.rows("SELECT account FROM accounts") == [("alice",)]

    played(tmp_path, story)


def test_what_is_noted_is_redacted_and_fits(tmp_path: Path) -> None:
    """A caller may ask for a model of any name: a key, half a character, a whole book."""

    async def story(world: World) -> None:
        log = world.log()
        log.start()
        log.note(request_row("c-1", model=f"small-{SECRET}"))
        log.note(
            request_row("c-2", model="presented-key-x", account="presented-key"), presented="presented-key"
        )
        log.note(request_row("c-3", model="\ud800"))
        log.note(request_row("c-4", model="x" * 1_000_000))
        await log.stop(within_us=MINUTE)
        rows = world.file.rows("SELECT model, account FROM requests ORDER BY seq")
        assert [row[0] for row in rows[:3]] == [f"small-{MASK}", f"{MASK}-x", "?"]
        assert rows[1][1] == MASK and len(rows[3][0]) == 256

    played(tmp_path, story)


def test_messages_are_kept_where_that_is_declared(tmp_path: Path) -> None:
    """Headers in order, credentials masked, the body cut; and nothing at all by default."""

    async def story(world: World) -> None:
        log = world.log(body="20B")
        log.start()
        log.debug(
            "c-1",
            "upstream_answer",
            backend="east",
            status=200,
            headers=[("X-B", "2"), ("Authorization", f"Bearer {SECRET}"), ("x-a", SECRET)],
            body=f"you said {SECRET}, and more".encode(),
            presented="unknown-key",
        )
        tape = log.tape()
        assert tape is not None
        for piece in (b"you unknown-", b"key!", b" are known"):
            tape.feed(piece)
        log.debug("c-1", "answer", body=tape, presented="unknown-key")
        await log.stop(within_us=MINUTE)
        assert world.debugs() == [
            (
                "c-1",
                "upstream_answer",
                200,
                f'[["authorization", "{MASK}"], ["x-a", "{MASK}"], ["x-b", "2"]]',
                f"you said {MASK},",
                1,
            ),
            ("c-1", "answer", None, "[]", f"you {MASK}! are "[:20], 1),
        ]
        silent = world.log()
        assert not silent.debugs and silent.tape() is None
        silent.debug("c-2", "request", body=b"x")
        assert world.events == []

    played(tmp_path, story)


@given(st.lists(st.binary(max_size=30), max_size=10), st.integers(1, 100))
def test_a_tape_holds_the_beginning(pieces: list[bytes], most: int) -> None:
    """So much of it and no more, and it says whether that is all."""
    tape = Tape(most)
    for piece in pieces:
        tape.feed(piece)
    said = b"".join(pieces)
    assert tape.body == said[:most]
    assert tape.whole == (len(said) <= most)


TEXT = st.text(max_size=12) | st.none()
REQUESTS = st.builds(
    RequestRow, st.text(), st.integers(), TEXT, TEXT, TEXT, TEXT, st.booleans(), st.text(), TEXT,
    st.integers(), TEXT, st.integers(), st.integers(), TEXT, st.integers(),
)  # fmt: skip
DEBUGS = st.builds(
    DebugRow, st.text(), st.text(), st.integers(), st.text(), TEXT, st.integers() | st.none(), st.text(),
    st.text(), st.booleans(),
)  # fmt: skip


@given(REQUESTS | DEBUGS)
def test_a_row_survives_the_spool(row: RequestRow | DebugRow) -> None:
    """Whatever it says."""
    assert unpacked(packed(row)) == row
    assert is_debug(packed(row)) == isinstance(row, DebugRow)


@given(st.binary(max_size=60))
def test_no_record_is_read_in_anger(record: bytes) -> None:
    """Bytes of another kind are no row, and no error."""
    assert unpacked(record) is None
    assert debug_row() == unpacked(packed(debug_row()))
