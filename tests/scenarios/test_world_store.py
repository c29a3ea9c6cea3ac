"""A replica's store: real SQLite to whoever uses it, and to the world a place to count, fail and cut."""

import sqlite3
from contextlib import closing, nullcontext

import pytest

from fakes.time import Owner, PowerCut
from scenarios.world.database import CommitCut, Power, StoreLaw, connect, kept

IN_MEMORY = sqlite3.sqlite_version_info >= (3, 36)


class Bench:
    """One incarnation's connection, with what the world hears of it."""

    def __init__(self, store: str) -> None:
        self.path = store
        self.owner = Owner("gateway-0", 1, 1)
        self.commits = 0
        self.failed: list[str] = []
        self.cuts: list[CommitCut] = []
        self.laws: list[StoreLaw] = []
        self.power = Power(
            owner=self.owner,
            now_us=lambda: 50,
            cut=self.cut,
            committed=self.count,
            failed=self.failed.append,
            cuts=self.cuts,
            laws=self.laws,
        )
        self.cx = connect(self.path, self.power)
        self.cx.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")

    def count(self) -> int:
        self.commits += 1
        return self.commits

    def cut(self, cut: CommitCut) -> None:
        self.owner.alive = False
        self.power.drop()

    def law(self, **parts) -> StoreLaw:
        usual = {
            "error": "io",
            "on": "any",
            "from_us": 0,
            "until_us": 100,
            "count": None,
            "skip": 0,
            "chance": 1.0,
            "draw": lambda: 0.5,
        }
        law = StoreLaw(**{**usual, **parts})
        self.laws.append(law)
        return law

    def rows(self) -> list[int]:
        """As somebody else sees the store."""
        with closing(sqlite3.connect(self.path, uri=True)) as other:
            return [row[0] for row in other.execute("SELECT n FROM t ORDER BY n")]


@pytest.fixture(params=["file", "memory"])
def bench(tmp_path, request):
    path = tmp_path / "store.sqlite"
    with kept(str(path)) if request.param == "memory" else nullcontext(str(path)) as store:
        bench = Bench(store)
        yield bench
        bench.power.drop()
        assert path.exists() == (request.param == "file" or not IN_MEMORY)


def transaction(cx: sqlite3.Connection, number: int) -> None:
    cx.execute("BEGIN IMMEDIATE")
    cx.execute("INSERT INTO t VALUES (?)", (number,))
    cx.execute("COMMIT")


def test_commits_are_counted(bench):
    """However they are asked for; reads and rollbacks are none."""
    transaction(bench.cx, 1)
    bench.cx.execute("begin")
    bench.cx.cursor().executemany("INSERT INTO t VALUES (?)", [(2,), (3,)])
    bench.cx.commit()
    bench.cx.execute("  INSERT INTO t VALUES (4)")  # on its own, it commits itself
    bench.cx.execute("BEGIN")
    bench.cx.execute("INSERT INTO t VALUES (5)")
    bench.cx.rollback()
    with bench.cx:
        bench.cx.execute("BEGIN")
        bench.cx.execute("INSERT INTO t VALUES (6)")
    with pytest.raises(KeyError), bench.cx:
        bench.cx.execute("BEGIN")
        bench.cx.execute("INSERT INTO t VALUES (7)")
        raise KeyError
    assert [row[0] for row in bench.cx.execute("SELECT n FROM t")] == [1, 2, 3, 4, 6]
    assert bench.commits == 4


@pytest.mark.parametrize(("side", "rows"), [("before", [1]), ("after", [1, 2])])
def test_the_power_goes_at_a_commit(bench, side, rows):
    """The step that commits ends there; the file holds what was committed, and nothing else."""
    bench.cuts.append(CommitCut(2, side))
    transaction(bench.cx, 1)
    with pytest.raises(PowerCut):
        transaction(bench.cx, 2)
    assert bench.rows() == rows


@pytest.mark.parametrize(("side", "rows"), [("before", []), ("after", [1])])
@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1) RETURNING n"])
def test_the_power_goes_at_a_single_statement(bench, sql, side, rows):
    """A write outside a transaction is one of its own: it is all there, or not at all."""
    bench.cuts.append(CommitCut(1, side))
    with pytest.raises(PowerCut):
        bench.cx.execute(sql)
    assert bench.rows() == rows


@pytest.mark.parametrize("on", ["begin", "commit"])
def test_a_single_statement_fails_where_it_begins_and_where_it_commits(bench, on):
    """For it the two are one place."""
    bench.law(on=on, error="locked")
    with pytest.raises(sqlite3.OperationalError):
        bench.cx.execute("INSERT INTO t VALUES (1)")
    assert bench.rows() == []


def test_the_dead_reach_nothing(bench):
    """Whatever a dead owner's code still tries, through whatever door."""
    cursor = bench.cx.cursor()
    bench.cx.execute("BEGIN")
    bench.cx.execute("INSERT INTO t VALUES (9)")
    bench.cut(CommitCut(1, "before"))
    for attempt in (
        lambda: bench.cx.execute("COMMIT"),
        lambda: bench.cx.executemany("INSERT INTO t VALUES (?)", [(1,)]),
        lambda: cursor.execute("SELECT 1"),
        lambda: bench.cx.commit(),
        lambda: bench.cx.rollback(),
        lambda: connect(bench.path, bench.power),
    ):
        with pytest.raises(PowerCut):
            attempt()
    bench.cx.close()
    assert bench.rows() == []


def test_a_locked_store_keeps_the_transaction(bench):
    """SQLite's own words and codes; the transaction is still open, and can be rolled back."""
    bench.law(error="locked", on="commit", count=1)
    bench.cx.execute("BEGIN")
    bench.cx.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="database is locked") as failed:
        bench.cx.execute("COMMIT")
    assert (failed.value.sqlite_errorcode, failed.value.sqlite_errorname) == (5, "SQLITE_BUSY")
    assert bench.cx.in_transaction
    bench.cx.execute("COMMIT")
    assert bench.rows() == [1] and bench.failed == ["locked"] and bench.commits == 1


@pytest.mark.parametrize("error", ["full", "io"])
def test_a_failing_disk_ends_the_transaction(bench, error):
    """As SQLite itself does."""
    bench.law(error=error, on="commit")
    with pytest.raises(sqlite3.OperationalError):
        transaction(bench.cx, 1)
    assert not bench.cx.in_transaction and bench.rows() == []


def test_errors_have_their_window_their_place_and_their_chance(bench):
    """Outside any of them nothing happens."""
    late = bench.law(from_us=60)
    elsewhere = bench.law(on="begin")
    unlikely = bench.law(chance=0.4)
    bench.cx.execute("SELECT n FROM t")
    assert (late.seen, elsewhere.seen, unlikely.seen, unlikely.met) == (0, 0, 1, 0)
    bench.laws.clear()
    likely = bench.law(chance=0.6, skip=1, count=1)
    bench.cx.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(sqlite3.OperationalError):
        bench.cx.execute("INSERT INTO t VALUES (3)")
    bench.cx.execute("INSERT INTO t VALUES (4)")
    assert (likely.seen, likely.met) == (3, 1)


def test_scripts_are_refused(bench):
    """They commit whatever was open, which nobody would count."""
    with pytest.raises(sqlite3.NotSupportedError, match="executescript"):
        bench.cx.executescript("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.NotSupportedError, match="executescript"):
        bench.cx.cursor().executescript("INSERT INTO t VALUES (1)")


def test_a_store_is_kept_while_nobody_has_it_open(tmp_path):
    """As a file is; and the next one of the same name begins empty."""
    with kept(str(tmp_path / "a")) as store:
        bench = Bench(store)
        transaction(bench.cx, 1)
        bench.power.drop()
        assert bench.rows() == [1]
    if IN_MEMORY:
        with kept(str(tmp_path / "a")) as store, closing(sqlite3.connect(store, uri=True)) as cx:
            assert cx.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_an_older_sqlite_keeps_a_file(tmp_path, monkeypatch):
    """Its connections could not share a memory."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 35, 5))
    with kept(str(tmp_path / "a")) as store:
        assert store == str(tmp_path / "a")
