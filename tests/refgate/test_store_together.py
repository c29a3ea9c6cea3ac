"""Writes that share a commit stand alone all the same."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from fakes.time import run_virtual
from refgate.ports import StoreUnavailable
from refgate.store.database import Database, open_database


class Watched:
    """A database on a file, and how often it committed."""

    def __init__(self, path: Path) -> None:
        self.commits = 0
        self.failing = 0
        self.database = Database(lambda: self._open(path))

    def _open(self, path: Path) -> sqlite3.Connection:
        cx = open_database(path)
        cx.set_trace_callback(self._seen)
        return cx

    def _seen(self, sql: str) -> None:
        self.commits += sql == "COMMIT"

    async def mark(self, name: str) -> str:
        def write(cx: sqlite3.Connection) -> str:
            cx.execute("INSERT INTO marks VALUES (?)", (name,))
            if self.failing:
                self.failing -= 1
                raise sqlite3.OperationalError("disk I/O error")
            return name.upper()

        return await self.database.together(write)

    @property
    def marks(self) -> set[str]:
        with self.database.read() as cx:
            return {name for (name,) in cx.execute("SELECT name FROM marks")}


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    one = Watched(tmp_path / "store.sqlite")
    with one.database.single() as cx:
        cx.execute("CREATE TABLE marks (name TEXT PRIMARY KEY)")
    one.commits = 0  # what follows counts none of the tables' making
    return one


def test_those_that_are_asked_for_at_one_moment_share_a_commit(watched: Watched) -> None:
    """Three writers, one commit, and each hears of its own."""

    async def main() -> list[str]:
        return await asyncio.gather(*(watched.mark(name) for name in "abc"))

    assert run_virtual(main) == ["A", "B", "C"]
    assert (watched.marks, watched.commits) == ({"a", "b", "c"}, 1)


def test_one_that_fails_undoes_itself_only(watched: Watched) -> None:
    """A row that is there already, and a defect: the others are kept."""

    async def main() -> list[object]:
        await watched.mark("b")
        return list(await asyncio.gather(*(watched.mark(name) for name in "abc"), return_exceptions=True))

    told = run_virtual(main)
    assert [told[0], type(told[1]), told[2]] == ["A", StoreUnavailable, "C"]
    assert watched.marks == {"a", "b", "c"}


def test_a_store_that_fails_for_a_moment_is_asked_again_for_each(watched: Watched) -> None:
    """What failed once for all of them is tried for each alone, and kept once."""

    async def main() -> list[str]:
        watched.failing = 1
        return await asyncio.gather(*(watched.mark(name) for name in "abc"))

    assert run_virtual(main) == ["A", "B", "C"]
    assert watched.marks == {"a", "b", "c"}


@pytest.mark.parametrize("gone", [0, 1])
def test_who_leaves_takes_nobody_along(watched: Watched, gone: int) -> None:
    """One of two is cancelled before the commit: both are written, and the other hears of it."""

    async def main() -> list[object]:
        tasks = [asyncio.create_task(watched.mark(name)) for name in "ab"]
        await asyncio.sleep(0)
        tasks[gone].cancel()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    told = run_virtual(main)
    assert isinstance(told[gone], asyncio.CancelledError)
    assert told[1 - gone] == "AB"[1 - gone]
    assert watched.marks == {"a", "b"}


def test_a_store_that_is_closed_says_so_to_each(watched: Watched) -> None:
    async def main() -> list[object]:
        watched.database.close()
        return list(await asyncio.gather(*(watched.mark(name) for name in "ab"), return_exceptions=True))

    assert [type(one) for one in run_virtual(main)] == [StoreUnavailable, StoreUnavailable]
