"""The store file's tables, and the guard in front of them.

One file holds calls, keys, answers, attempts, intents, chats and their attempts, and the embedded ledger
(accounts, holds, entries). Amounts are integer nano-dollars, times integer microseconds. `due_us`, `next_us`,
`lease_us` and `ended_us` are null where nothing is due, so that their partial indexes hold open work only and
sweeping costs the same after a hundred thousand calls as after ten.

SQLite turns an integer that overflows into a float, and says nothing; the accounts' own checks refuse
that, and whatever else would not add up.

A file of another program, or of a newer refgate, is refused and left alone.
"""

import sqlite3

__all__ = ["APPLICATION_ID", "MIGRATIONS", "StoreUnusable", "is_current", "migrate", "touch"]

APPLICATION_ID = 0x72666774  # "rfgt": tells our file from any other SQLite file


class StoreUnusable(Exception):
    """The file is not a store that this version of refgate may open."""


_FIRST = (
    """
    CREATE TABLE calls (
      seq INTEGER PRIMARY KEY,
      call_id TEXT NOT NULL UNIQUE,
      account TEXT NOT NULL,
      provider TEXT NOT NULL,
      state TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      hold_nanos INTEGER NOT NULL CHECK (hold_nanos >= 0),
      route INTEGER NOT NULL,
      submit_path TEXT NOT NULL,
      captures TEXT NOT NULL,
      idempotency_key TEXT,
      key_bound TEXT,
      created_us INTEGER NOT NULL,
      updated_us INTEGER NOT NULL,
      due_us INTEGER,
      ended_us INTEGER,
      outcome TEXT,
      reason TEXT,
      task_id TEXT,
      hold_id TEXT,
      amount_nanos INTEGER CHECK (amount_nanos >= 0),
      flags TEXT NOT NULL DEFAULT '[]',
      late_of TEXT UNIQUE REFERENCES calls (call_id),
      tries INTEGER NOT NULL DEFAULT 0,
      body BLOB NOT NULL DEFAULT x''
    )
    """,
    # idempotency_key is the record of what the caller sent; key_bound is what it still protects.
    "CREATE UNIQUE INDEX calls_key ON calls (account, provider, key_bound) WHERE key_bound IS NOT NULL",
    "CREATE UNIQUE INDEX calls_task ON calls (provider, task_id) WHERE task_id IS NOT NULL",
    "CREATE INDEX calls_due ON calls (due_us) WHERE due_us IS NOT NULL",
    "CREATE INDEX calls_ended ON calls (ended_us) WHERE ended_us IS NOT NULL",
    """
    CREATE TABLE answers (
      seq INTEGER PRIMARY KEY,
      call_id TEXT NOT NULL REFERENCES calls (call_id),
      which TEXT NOT NULL,
      status INTEGER NOT NULL,
      headers TEXT NOT NULL,
      body BLOB NOT NULL,
      UNIQUE (call_id, which)
    )
    """,
    """
    CREATE TABLE attempts (
      seq INTEGER PRIMARY KEY,
      attempt_id TEXT NOT NULL UNIQUE,
      call_id TEXT,
      provider TEXT NOT NULL,
      op TEXT NOT NULL,
      method TEXT NOT NULL,
      path TEXT NOT NULL,
      status INTEGER,
      failure TEXT,
      started_us INTEGER NOT NULL,
      ended_us INTEGER
    )
    """,
    """
    CREATE TABLE intents (
      seq INTEGER PRIMARY KEY,
      intent_id TEXT NOT NULL UNIQUE,
      call_id TEXT NOT NULL UNIQUE REFERENCES calls (call_id),
      hold_id TEXT,
      hold_nanos INTEGER NOT NULL,
      amount_nanos INTEGER NOT NULL CHECK (amount_nanos >= 0),
      reason TEXT NOT NULL,
      key TEXT NOT NULL UNIQUE,
      tries INTEGER NOT NULL DEFAULT 0,
      created_us INTEGER NOT NULL,
      next_us INTEGER,
      done_us INTEGER,
      stuck INTEGER NOT NULL DEFAULT 0,
      error TEXT
    )
    """,
    "CREATE INDEX intents_due ON intents (next_us) WHERE next_us IS NOT NULL",
    """
    CREATE TABLE accounts (
      seq INTEGER PRIMARY KEY,
      account TEXT NOT NULL UNIQUE,
      granted_nanos INTEGER NOT NULL,
      available_nanos INTEGER NOT NULL,
      held_nanos INTEGER NOT NULL CHECK (held_nanos >= 0),
      settled_nanos INTEGER NOT NULL CHECK (settled_nanos >= 0),
      budget_nanos INTEGER,
      CHECK (granted_nanos = available_nanos + held_nanos + settled_nanos),
      CHECK (typeof(available_nanos) = 'integer' AND typeof(settled_nanos) = 'integer')
    )
    """,
    """
    CREATE TABLE holds (
      seq INTEGER PRIMARY KEY,
      hold_id TEXT NOT NULL UNIQUE,
      key TEXT NOT NULL UNIQUE,
      account TEXT NOT NULL REFERENCES accounts (account),
      call_id TEXT NOT NULL,
      provider TEXT NOT NULL,
      amount_nanos INTEGER NOT NULL CHECK (amount_nanos >= 0),
      state TEXT NOT NULL,
      captured_nanos INTEGER NOT NULL DEFAULT 0 CHECK (captured_nanos >= 0),
      opened_us INTEGER NOT NULL,
      finalize_key TEXT UNIQUE,
      reason TEXT
    )
    """,
    "CREATE INDEX holds_open ON holds (seq) WHERE state = 'open'",
    """
    CREATE TABLE entries (
      seq INTEGER PRIMARY KEY,
      entry_id TEXT NOT NULL UNIQUE,
      txn_id TEXT NOT NULL,
      book TEXT NOT NULL,
      account TEXT NOT NULL REFERENCES accounts (account),
      amount_nanos INTEGER NOT NULL,
      call_id TEXT,
      kind TEXT NOT NULL,
      at_us INTEGER NOT NULL
    )
    """,
)

_USAGE = """
      input INTEGER NOT NULL DEFAULT 0,
      cache_read INTEGER NOT NULL DEFAULT 0,
      cache_write_5m INTEGER NOT NULL DEFAULT 0,
      cache_write_1h INTEGER NOT NULL DEFAULT 0,
      input_audio INTEGER NOT NULL DEFAULT 0,
      output INTEGER NOT NULL DEFAULT 0,
      output_audio INTEGER NOT NULL DEFAULT 0,
      reasoning INTEGER NOT NULL DEFAULT 0,
      web_searches INTEGER NOT NULL DEFAULT 0,"""

_SECOND = (
    f"""
    CREATE TABLE chats (
      seq INTEGER PRIMARY KEY,
      call_id TEXT NOT NULL UNIQUE,
      account TEXT NOT NULL,
      caller TEXT NOT NULL,
      protocol TEXT NOT NULL,
      model TEXT NOT NULL,
      stream INTEGER NOT NULL,
      state TEXT NOT NULL,
      outcome TEXT,
      reason TEXT,
      status INTEGER,
      backend TEXT,
      upstream_model TEXT,
      served_model TEXT,
      hold_id TEXT NOT NULL,
      hold_nanos INTEGER NOT NULL CHECK (hold_nanos >= 0),
      amount_nanos INTEGER CHECK (amount_nanos >= 0),
      prompt_tokens INTEGER NOT NULL,
      price_from_us INTEGER,
      usage_source TEXT,{_USAGE}
      flags TEXT NOT NULL DEFAULT '[]',
      cache TEXT,
      attempts INTEGER NOT NULL DEFAULT 0,
      last_attempt TEXT,
      doubtful INTEGER NOT NULL DEFAULT 0,
      created_us INTEGER NOT NULL,
      first_token_us INTEGER,
      ended_us INTEGER,
      lease_us INTEGER,
      CHECK (state = 'open' AND lease_us IS NOT NULL
             OR state = 'ended' AND lease_us IS NULL AND outcome IS NOT NULL AND amount_nanos IS NOT NULL)
    )
    """,
    "CREATE INDEX chats_open ON chats (lease_us) WHERE lease_us IS NOT NULL",
    f"""
    CREATE TABLE chat_attempts (
      seq INTEGER PRIMARY KEY,
      attempt_id TEXT NOT NULL UNIQUE,
      call_id TEXT NOT NULL,
      number INTEGER NOT NULL,
      backend TEXT NOT NULL,
      pool TEXT NOT NULL,
      lane TEXT NOT NULL,
      model TEXT NOT NULL,
      served_model TEXT,
      status INTEGER,
      failure TEXT,
      ambiguous INTEGER NOT NULL DEFAULT 0,
      retry_after_us INTEGER,
      usage_source TEXT,{_USAGE}
      cost_nanos INTEGER,
      price_from_us INTEGER,
      started_us INTEGER NOT NULL,
      first_token_us INTEGER,
      ended_us INTEGER
    )
    """,
)

_THIRD = (
    """
    CREATE TABLE requests (
      seq INTEGER PRIMARY KEY,
      request_id TEXT NOT NULL UNIQUE,
      at_us INTEGER NOT NULL,
      caller TEXT,
      account TEXT,
      protocol TEXT,
      model TEXT,
      stream INTEGER NOT NULL,
      outcome TEXT NOT NULL,
      code TEXT,
      status INTEGER NOT NULL,
      backend TEXT,
      attempts INTEGER NOT NULL,
      amount_nanos INTEGER NOT NULL,
      cache TEXT,
      duration_us INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE debug (
      seq INTEGER PRIMARY KEY,
      debug_id TEXT NOT NULL UNIQUE,
      request_id TEXT NOT NULL,
      at_us INTEGER NOT NULL,
      what TEXT NOT NULL,
      backend TEXT,
      status INTEGER,
      headers TEXT NOT NULL,
      body TEXT NOT NULL,
      cut INTEGER NOT NULL
    )
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND, _THIRD)
"""Step n takes a file from version n to n + 1. A step that was released is never edited."""


def is_current(cx: sqlite3.Connection) -> bool:
    """Whether the file has exactly this version's tables."""
    return _pragma(cx, "application_id") == APPLICATION_ID and _pragma(cx, "user_version") == len(MIGRATIONS)


def migrate(cx: sqlite3.Connection) -> None:
    """Brings the file to this version inside the caller's write transaction.

    Two replicas may start on one new file: the second finds the work done.
    """
    version = _pragma(cx, "user_version")
    if _pragma(cx, "application_id") != APPLICATION_ID:
        if version > 0 or cx.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0:
            raise StoreUnusable("the store file belongs to another program")
        cx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if version > len(MIGRATIONS):
        raise StoreUnusable(f"the store file has version {version}; this refgate knows {len(MIGRATIONS)}")
    for step in MIGRATIONS[version:]:
        for statement in step:
            cx.execute(statement)
    touch(cx)


def touch(cx: sqlite3.Connection) -> None:
    """Writes this version's number down; where it is there already, that is a write which changes nothing."""
    cx.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _pragma(cx: sqlite3.Connection, name: str) -> int:
    return int(cx.execute(f"PRAGMA {name}").fetchone()[0])
