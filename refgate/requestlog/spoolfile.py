"""The spool as a file beside the store: what a replica has not told the store yet survives the replica.

Kept over a crash of the process, or its end by force: a record is handed to the operating system before
`append` returns. It is not waited for until it is on the disk, so that a loss of power may take what was
appended in the last seconds; what a crash left half written is left out, with all that follows it.

The file is a list of frames: records, and how many of the oldest are gone. It is written anew when more
than half of it is gone. One process owns it; which one is settled by a lock (`open_spool`).
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from struct import Struct

from refgate.ports import SpoolFull, SpoolUnusable

__all__ = ["SPOOL_MAX", "SpoolFile", "open_spool"]

SPOOL_MAX = 64 * 1024 * 1024
"""Bytes that a spool may hold: some 150 000 requests, or a store that is away for a good while."""

_SPOOLS_MAX = 64
_MAGIC = b"refgate spool 1\n"
_FRAME = Struct(">BII")  # what it is, its length, its checksum
_RECORD, _GONE = 1, 2
_COUNT = Struct(">I")


def open_spool(store: Path, *, most: int = SPOOL_MAX) -> SpoolFile:
    """This process's spool: the first one beside the store that no other process has.

    What processes that are gone left in theirs is taken over, so that it waits for nobody's return.
    """
    mine: SpoolFile | None = None
    for number in range(_SPOOLS_MAX):
        path = store.with_name(f"{store.name}.spool-{number}")
        if mine is not None and not path.exists():
            continue
        lock = _lock(path)
        if lock is None:
            continue
        if mine is None:
            mine = SpoolFile(path, most=most, lock=lock)
        else:
            _take_over(SpoolFile(path, most=most, lock=lock), mine)
    if mine is None:
        raise SpoolUnusable(f"{_SPOOLS_MAX} processes have a spool beside {store} already")
    return mine


def _take_over(left: SpoolFile, mine: SpoolFile) -> None:
    moved = 0
    try:
        for record in left.read():
            mine.append(record)
            moved += 1
    except SpoolFull:
        pass  # the rest stays where it is, for a later start
    left.drop(moved)
    left.close()


def _lock(path: Path) -> int | None:
    """Held by this process until it is closed, or the process ends in whatever way."""
    try:
        fd = _open(path.with_name(path.name + ".lock"))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
    except OSError as failure:
        raise SpoolUnusable(f"the spool {path}: {type(failure).__name__}") from failure
    return fd


class SpoolFile:
    """A `Spool`. `most` bounds the bytes of the records that are there, and twice it those of the file."""

    def __init__(self, path: Path, *, most: int = SPOOL_MAX, lock: int | None = None) -> None:
        self._path = path
        self._lock = lock  # held for as long as the spool is open
        self._most = most
        self._records: deque[bytes] = deque()
        self._size = 0  # of the records that are there
        try:
            self._fd = _open(path)
            self._length = self._recover()
        except OSError as failure:
            raise SpoolUnusable(f"the spool {path}: {type(failure).__name__}") from failure

    def append(self, record: bytes) -> None:
        if self._size + len(record) + _FRAME.size > self._most:
            raise SpoolFull
        try:
            self._write(_frame(_RECORD, record))
        except OSError as failure:  # the disk is full, or worse
            raise SpoolFull from failure
        self._records.append(record)
        self._size += len(record) + _FRAME.size

    def read(self) -> list[bytes]:
        return list(self._records)

    def drop(self, count: int) -> None:
        count = min(count, len(self._records))
        for _ in range(count):
            self._size -= len(self._records.popleft()) + _FRAME.size
        try:
            if not self._records:
                os.ftruncate(self._fd, len(_MAGIC))
                self._length = len(_MAGIC)
                return
            self._write(_frame(_GONE, _COUNT.pack(count)))
            if self._length > len(_MAGIC) + 2 * max(self._size, self._most // 64):
                self._rewrite(self._records)
        except OSError:
            return  # after a crash they are there again: whoever reads knows what it has had

    def replace(self, records: Sequence[bytes]) -> None:
        try:
            self._rewrite(records)
        except OSError as failure:
            raise SpoolFull from failure
        self._records = deque(records)
        self._size = sum(len(record) + _FRAME.size for record in records)

    def close(self) -> None:
        os.close(self._fd)
        if self._lock is not None:
            os.close(self._lock)

    def _write(self, data: bytes) -> None:
        """All of it at the end of the file, or nothing."""
        try:
            written = os.pwrite(self._fd, data, self._length)
            if written != len(data):
                raise OSError("short write")
        except OSError:
            os.ftruncate(self._fd, self._length)
            raise
        self._length += len(data)

    def _rewrite(self, records: Iterable[bytes]) -> None:
        beside = self._path.with_name(self._path.name + ".new")
        data = _MAGIC + b"".join(_frame(_RECORD, record) for record in records)
        beside.unlink(missing_ok=True)
        fd = _open(beside)
        try:
            _write_all(fd, data)
            os.fsync(fd)  # or a loss of power could leave the new name with nothing in it
            beside.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._length = fd, len(data)

    def _recover(self) -> int:
        """Reads what is there; answers where it ends, and cuts off what is torn."""
        size = os.fstat(self._fd).st_size
        data = memoryview(_read_all(self._fd, size))
        if bytes(data[: len(_MAGIC)]) != _MAGIC[: len(data)]:
            raise SpoolUnusable(f"{self._path} is not a spool")
        if len(data) < len(_MAGIC):
            _write_all(self._fd, _MAGIC)
            return len(_MAGIC)
        at = len(_MAGIC)
        while (frame := _frame_at(data, at)) is not None:
            kind, body = frame
            if kind == _RECORD:
                self._records.append(body)
            else:
                gone = _COUNT.unpack(body)[0]
                self._records = deque(islice(self._records, gone, None))
            at += _FRAME.size + len(body)
        os.ftruncate(self._fd, at)
        self._size = sum(len(record) + _FRAME.size for record in self._records)
        return at


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # it holds what callers said: the owner's alone


def _frame(kind: int, body: bytes) -> bytes:
    return _FRAME.pack(kind, len(body), zlib.crc32(body, kind)) + body


def _frame_at(data: memoryview, at: int) -> tuple[int, bytes] | None:
    """The frame that begins there, if all of it is there."""
    if at + _FRAME.size > len(data):
        return None
    kind, length, checksum = _FRAME.unpack_from(data, at)
    body = bytes(data[at + _FRAME.size : at + _FRAME.size + length])
    if len(body) != length or zlib.crc32(body, kind) != checksum:
        return None
    if kind != _RECORD and (kind != _GONE or length != _COUNT.size):
        return None
    return kind, body


def _read_all(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    at = 0
    while at < size and (part := os.pread(fd, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _write_all(fd: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(fd, data[at:], at)
