"""What was spooled is there after a crash, whatever was being written when it came."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.ports import SpoolFull, SpoolUnusable
from refgate.requestlog.spoolfile import SpoolFile, open_spool

RECORDS = st.lists(st.binary(max_size=40), max_size=12)
DEEDS = st.lists(
    st.one_of(
        st.binary(max_size=300).map(lambda record: ("append", record)),
        st.integers(0, 6).map(lambda count: ("drop", count)),
        st.integers(1, 4).map(lambda nth: ("thin", nth)),
        st.just(("crash", None)),
    ),
    max_size=40,
)


@contextmanager
def opened(path: Path, *, most: int = 10_000) -> Iterator[SpoolFile]:
    spool = SpoolFile(path, most=most)
    try:
        yield spool
    finally:
        spool.close()


def read(path: Path) -> list[bytes]:
    with opened(path) as spool:
        return spool.read()


@given(DEEDS)
def test_it_is_a_list_that_outlives_its_process(deeds: list[tuple[str, object]]) -> None:
    """Any bytes, in any order of appending, dropping, thinning out and crashing; never too large."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool, there = SpoolFile(path, most=2_000), list[bytes]()
        for deed, value in deeds:
            if isinstance(value, bytes):
                try:
                    spool.append(value)
                    there.append(value)
                except SpoolFull:
                    assert sum(len(record) + 9 for record in [*there, value]) > 2_000
            elif isinstance(value, int) and deed == "drop":
                spool.drop(value)
                del there[:value]
            elif isinstance(value, int):
                there = there[::value]
                spool.replace(there)
            else:
                spool.close()  # writes nothing: what is there is there
                spool = SpoolFile(path, most=2_000)
            assert spool.read() == there
            assert path.stat().st_size <= 16 + 2 * 2_000 + 13
        spool.close()
        assert read(path) == there


@given(RECORDS, st.binary(min_size=1, max_size=40), st.data())
def test_a_torn_end_takes_nothing_but_itself(records: list[bytes], last: bytes, data: st.DataObject) -> None:
    """Cut anywhere in the last record, it is as if that had not been appended; and the spool goes on."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        with opened(path) as spool:
            for record in records:
                spool.append(record)
            before = path.stat().st_size
            spool.append(last)
        os.truncate(path, data.draw(st.integers(before, path.stat().st_size - 1)))
        with opened(path) as spool:
            assert spool.read() == records
            spool.append(b"after")
        assert read(path) == [*records, b"after"]


@given(RECORDS, st.binary(max_size=40))
def test_garbage_at_the_end_is_left_out(records: list[bytes], garbage: bytes) -> None:
    """As a disk may hold after a loss of power: what is not whole is not believed."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        with opened(path) as spool:
            for record in records:
                spool.append(record)
        with path.open("ab") as file:
            file.write(b"\x00" + garbage)
        assert read(path) == records


@given(st.integers(0, 16))
def test_a_file_torn_at_its_beginning_is_an_empty_spool(size: int) -> None:
    """The process may have died as it made the file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        with opened(path):
            pass
        os.truncate(path, size)
        with opened(path) as spool:
            spool.append(b"x")
        assert read(path) == [b"x"]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """It is refused, and stays as it is."""
    path = tmp_path / "spool"
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(SpoolUnusable, match="is not a spool"):
        SpoolFile(path)
    assert path.read_bytes() == b"SQLite format 3\0"


def test_a_place_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    """At start, and in words."""
    with pytest.raises(SpoolUnusable, match="FileNotFoundError"):
        SpoolFile(tmp_path / "nowhere" / "spool")
    with pytest.raises(SpoolUnusable, match="FileNotFoundError"):
        open_spool(tmp_path / "nowhere" / "store.sqlite")


def test_it_is_the_owners_alone(tmp_path: Path) -> None:
    """It holds what callers said."""
    open_spool(tmp_path / "store.sqlite").close()
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_a_disk_that_fails_is_a_full_spool(tmp_path: Path) -> None:
    """Nothing of the record stays, and what was dropped may be there again after a crash."""
    path = tmp_path / "spool"
    spool = SpoolFile(path)
    spool.append(b"one")
    spool.append(b"two")
    read_only = os.open(path, os.O_RDONLY)
    os.dup2(read_only, spool._fd)
    os.close(read_only)
    with pytest.raises(SpoolFull):
        spool.append(b"three")
    with pytest.raises(SpoolFull):
        spool.replace(_Unwritable())
    spool.drop(1)
    assert spool.read() == [b"two"]
    spool.drop(1)
    assert spool.read() == []
    spool.close()
    assert read(path) == [b"one", b"two"]


class _Unwritable(list[bytes]):
    """Records that fail as they are written."""

    def __iter__(self) -> Iterator[bytes]:
        raise OSError("no space left")


def test_each_process_has_its_own(tmp_path: Path) -> None:
    """Whoever starts takes the first that nobody holds, and with it what was left in others."""
    store = tmp_path / "store.sqlite"
    first, second = open_spool(store), open_spool(store)
    first.append(b"of the first")
    second.append(b"of the second")
    second.close()
    third = open_spool(store)
    assert (first.read(), third.read()) == ([b"of the first"], [b"of the second"])
    first.close()
    third.close()
    heir = open_spool(store)
    assert heir.read() == [b"of the first", b"of the second"]
    heir.close()


def test_what_does_not_fit_stays_where_it_was_left(tmp_path: Path) -> None:
    """It waits for a later start."""
    store = tmp_path / "store.sqlite"
    first, second = open_spool(store, most=100), open_spool(store, most=100)
    first.append(b"a" * 60)
    second.append(b"b" * 20)
    second.append(b"c" * 60)
    first.close()
    second.close()
    heir = open_spool(store, most=100)
    assert heir.read() == [b"a" * 60, b"b" * 20]
    rest = open_spool(store, most=100)
    assert rest.read() == [b"c" * 60]
    heir.close()
    rest.close()


def test_a_process_ended_by_force_loses_nothing(tmp_path: Path) -> None:
    """Its records are there, and its lock is not."""
    store = tmp_path / "store.sqlite"
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from refgate.requestlog.spoolfile import open_spool\n"
        "spool = open_spool(Path(sys.argv[1])); spool.append(b'one'); spool.append(b'two')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(store)], check=False)
    assert ended.returncode == -9
    spool = open_spool(store)
    assert spool.read() == [b"one", b"two"]
    spool.close()
