"""How many commits a second the ledger makes on a real file, as it would when served."""

from __future__ import annotations

import asyncio
import tempfile
from itertools import count
from pathlib import Path
from time import perf_counter

from refgate.ledger.books import Books, Grant
from refgate.ledger.records import Hold
from refgate.store.database import Database, open_database

__all__ = ["commits_per_second"]


async def _pairs(books: Books, number: int) -> None:
    for index in range(number):
        hold = await books.reserve(
            key=f"k{index}", account="a", amount_nanos=1_000, call_id=f"c{index}", provider="p"
        )
        assert isinstance(hold, Hold)
        await books.finalize(key=f"f{index}", hold_id=hold.hold_id, amount_nanos=500, reason="success")


def commits_per_second(pairs: int) -> float:
    """Holds taken and finalized, one commit each, with full durability (WAL, synchronous=FULL)."""
    with tempfile.TemporaryDirectory(prefix="refgate-bench-") as folder:
        database = Database(lambda: open_database(Path(folder) / "ledger.sqlite"))
        numbers = count(1)
        books = Books(database, clock=lambda: 0, ids=lambda prefix: f"{prefix}{next(numbers)}")
        books.open_accounts({"a": Grant(10**15, None)})
        started = perf_counter()
        asyncio.run(_pairs(books, pairs))
        took = perf_counter() - started
        database.close()
    return 2 * pairs / took
