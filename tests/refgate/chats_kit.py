"""What the tests of chat rows share: rows in their simplest form, and a ledger to hold their money."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refgate.chat.records import AttemptEnd, ChatAttempt, ChatEnd, ChatOutcome, Metering, NewChat
from refgate.dialects.spoken import Usage
from refgate.ledger.books import Books, Grant
from refgate.store.chats import SqliteChats
from refgate.store.sqlite import SqliteStore
from tests.refgate.ledger_kit import File, drive

USAGE = Usage(input=7, cache_read=6, cache_write_5m=5, cache_write_1h=4, input_audio=3, output=20,
              output_audio=2, reasoning=11, web_searches=1)  # fmt: skip
METERING = Metering(USAGE, "reported", 300, 17, "gpt-4o-mini-2024-07-18")


def new_chat(call_id: str = "c1", **changes: Any) -> NewChat:
    fields: Mapping[str, Any] = {
        "call_id": call_id,
        "account": "alice",
        "caller": "alice-key",
        "protocol": "openai_chat",
        "model": "small",
        "stream": True,
        "hold_nanos": 400,
        "prompt_tokens": 12,
        "now_us": 1_000,
        "lease_until_us": 31_000,
    }
    return NewChat(**{**fields, **changes})


def chat_attempt(call_id: str = "c1", number: int = 1, **changes: Any) -> ChatAttempt:
    fields: Mapping[str, Any] = {
        "attempt_id": f"{call_id}-a{number}",
        "call_id": call_id,
        "number": number,
        "backend": "east",
        "pool": "main",
        "lane": "pool",
        "model": "gpt-4o-mini",
        "started_us": 2_000,
    }
    return ChatAttempt(**{**fields, **changes})


def attempt_end(call_id: str = "c1", number: int = 1, **changes: Any) -> AttemptEnd:
    fields: Mapping[str, Any] = {
        "attempt_id": f"{call_id}-a{number}",
        "status": 200,
        "failure": None,
        "ambiguous": False,
        "retry_after_us": None,
        "metering": METERING,
        "ended_us": 4_000,
        "first_token_us": 3_000,
    }
    return AttemptEnd(**{**fields, **changes})


def served(amount_nanos: int = 300, **changes: Any) -> ChatEnd:
    fields: Mapping[str, Any] = {
        "outcome": ChatOutcome.SERVED,
        "reason": "served",
        "status": 200,
        "amount_nanos": amount_nanos,
        "backend": "east",
        "upstream_model": "gpt-4o-mini",
        "metering": METERING,
        "first_token_us": 3_000,
    }
    return ChatEnd(**{**fields, **changes})


class ChatFile:
    """One store file with accounts, and as many replicas as are asked for."""

    def __init__(self, path: Path, accounts: Mapping[str, Grant]) -> None:
        self.file = File(path)
        self.accounts = accounts
        self.reader = self.file.store()

    def replica(self, fault: Callable[[str, str], None] | None = None) -> SqliteChats:
        database = self.file.database(fault)
        Books(database, clock=lambda: 1, ids=str).open_accounts(self.accounts)
        return SqliteChats(database)

    def store(self, fault: Callable[[str, str], None] | None = None) -> SqliteStore:
        return self.file.store(fault)

    def page(self, table: str) -> Sequence[Mapping[str, Any]]:
        """The whole table, as the read API has it."""
        return drive(self.reader.page(table, after=None, limit=100_000))

    def account(self, name: str = "alice") -> tuple[int, int, int]:
        """Available, held, settled."""
        ((available, held, settled),) = self.file.rows(
            f"SELECT available_nanos, held_nanos, settled_nanos FROM accounts WHERE account = '{name}'"
        )
        return available, held, settled

    def assert_conserved(self) -> None:
        """What anybody can check with SQL alone: entries balance and say what the books say; an open call has
        an open hold, and an ended one was charged by its row."""
        assert (
            self.file.rows("SELECT txn_id FROM entries GROUP BY txn_id HAVING sum(amount_nanos) != 0") == []
        )
        for book in ("available", "held", "settled"):
            differing = (
                f"SELECT account FROM accounts a WHERE {book}_nanos != coalesce((SELECT sum(amount_nanos)"
                f" FROM entries e WHERE e.account = a.account AND e.book = '{book}'), 0)"
            )
            assert self.file.rows(differing) == []
        unlike = (
            "SELECT c.call_id FROM chats c LEFT JOIN holds h ON h.hold_id = c.hold_id"
            " WHERE h.hold_id IS NULL OR h.call_id != c.call_id OR h.amount_nanos != c.hold_nanos"
            " OR (c.state = 'open') != (h.state = 'open')"
            " OR c.state = 'ended' AND h.captured_nanos != c.amount_nanos"
        )
        assert self.file.rows(unlike) == []
        assert self.file.rows("SELECT count(*) FROM holds") == self.file.rows("SELECT count(*) FROM chats")

    def close(self) -> None:
        self.reader.close()
        self.file.close()
