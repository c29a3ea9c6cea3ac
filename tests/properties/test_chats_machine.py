"""Chat calls against a plain model, under any order of hands, replicas, sweeps and cuts.

Two replicas share one file; before any step the power may be set to go at that step's commit, on either
side of it. After every step the file says what the model says, the money is where it was, only in other
books, and no call was charged twice. At the end a sweep settles what is left, and nothing is held.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from refgate.chat.records import ChatEnd, ChatOutcome
from refgate.ledger.books import Grant
from refgate.ledger.records import Refused
from refgate.store.chats import SqliteChats
from tests.refgate.chats_kit import ChatFile, attempt_end, chat_attempt, new_chat
from tests.refgate.ledger_kit import CommitFault, Cut
from tests.refgate.ledger_kit import drive_together as drive

ACCOUNTS = {"alice": Grant(1_000), "bob": Grant(700, budget_nanos=500)}
PICK = st.integers(min_value=0, max_value=10**6)
REPLICA = st.integers(min_value=0, max_value=1)
LEASE_US = 10


@dataclass
class ModelChat:
    account: str
    hold: int
    lease_until_us: int
    attempts: int = 0
    ended: set[int] = field(default_factory=set)  # the numbers of attempts whose end is on record
    amount: int | None = None


class ChatsMachine(RuleBasedStateMachine):
    """Each rule says what the model expects, plays it on a replica, and lets the model follow."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = ChatFile(Path(self.folder.name) / "chats.sqlite", ACCOUNTS)
        self.chats: dict[str, ModelChat] = {}
        self.now_us = 1_000
        self.armed: str | None = None
        self.fault_at: CommitFault | None = None
        self.replicas = [self._replica(), self._replica()]

    def _replica(self) -> SqliteChats:
        return self.file.replica(self._fault)

    def _fault(self, sql: str, side: str) -> None:
        if self.fault_at is not None:
            self.fault_at(sql, side)

    def _play(
        self, replica: int, work: Coroutine[Any, Any, Any], effect: Callable[[], None], expected: object
    ) -> None:
        """The model follows what the file must now say, whether or not anybody heard the answer."""
        armed, self.armed = self.armed, None
        if armed is not None:
            self.fault_at = CommitFault(1, armed)
        try:
            result = drive(work)
        except Cut:
            self.fault_at = None
            self.replicas[replica] = self._replica()
            if armed == "after":
                effect()
            return
        self.fault_at = None
        effect()
        assert result == expected, (result, expected)

    def _held(self, account: str) -> int:
        return sum(one.hold for one in self.chats.values() if one.account == account and one.amount is None)

    def _settled(self, account: str) -> int:
        return sum(one.amount or 0 for one in self.chats.values() if one.account == account)

    def _fits(self, account: str, amount: int) -> Refused | None:
        grant = ACCOUNTS[account]
        bound = self._settled(account) + self._held(account) + amount
        if bound > grant.granted_nanos:
            return Refused("insufficient_funds")
        over = grant.budget_nanos is not None and bound > grant.budget_nanos
        return Refused("over_budget") if over else None

    @rule(side=st.sampled_from(["before", "after"]))
    def power_goes_at_the_next_commit(self, side: str) -> None:
        self.armed = side

    @rule(us=st.integers(min_value=1, max_value=2 * LEASE_US))
    def time_passes(self, us: int) -> None:
        self.now_us += us

    @rule(
        replica=REPLICA,
        account=st.sampled_from(sorted(ACCOUNTS)),
        hold=st.integers(min_value=0, max_value=400),
    )
    def admit(self, replica: int, account: str, hold: int) -> None:
        call_id = f"c{len(self.chats) + self.now_us * 1_000}"
        lease_us = self.now_us + LEASE_US
        refused = self._fits(account, hold)

        def effect() -> None:
            if refused is None:
                self.chats[call_id] = ModelChat(account, hold, lease_us)

        new = new_chat(call_id, account=account, hold_nanos=hold, now_us=self.now_us, lease_until_us=lease_us)
        self._play(replica, self.replicas[replica].admit(new), effect, refused)

    def _pick(self, pick: int) -> tuple[str, ModelChat]:
        """Mostly an open call; any, where there is none."""
        opened = [call_id for call_id, one in self.chats.items() if one.amount is None]
        choices = opened if opened and pick % 4 else list(self.chats)
        call_id = choices[pick % len(choices)]
        return call_id, self.chats[call_id]

    @precondition(lambda self: self.chats)
    @rule(replica=REPLICA, pick=PICK)
    def begin(self, replica: int, pick: int) -> None:
        """The next attempt, with the end of the one before it."""
        call_id, chat = self._pick(pick)
        number, before = chat.attempts + 1, chat.attempts
        lease_us = self.now_us + LEASE_US

        def effect() -> None:
            if before:
                chat.ended.add(before)
            if chat.amount is None:
                chat.attempts, chat.lease_until_us = number, lease_us

        ended = attempt_end(call_id, before, failure="server") if before else None
        work = self.replicas[replica].begin(
            chat_attempt(call_id, number), ended=ended, lease_until_us=lease_us
        )
        self._play(replica, work, effect, chat.amount is None)

    @precondition(lambda self: self.chats)
    @rule(replica=REPLICA, pick=PICK, amount=st.integers(min_value=0, max_value=900))
    def settle(self, replica: int, pick: int, amount: int) -> None:
        """Any hand may come with any amount, above the hold as well: the first one's counts."""
        call_id, chat = self._pick(pick)
        self._settle(replica, call_id, chat, amount, ChatOutcome.SERVED)

    def _settle(self, replica: int, call_id: str, chat: ModelChat, amount: int, outcome: ChatOutcome) -> None:
        first, last = chat.amount is None, chat.attempts

        def effect() -> None:
            if last:
                chat.ended.add(last)
            if first:
                chat.amount = amount

        work = self.replicas[replica].settle(
            call_id,
            ChatEnd(outcome, "r", 200, amount),
            attempt=attempt_end(call_id, last) if last else None,
            now_us=self.now_us,
        )
        self._play(replica, work, effect, first)

    @rule(replica=REPLICA, pick=PICK, goes_on=st.booleans())
    def sweep(self, replica: int, pick: int, goes_on: bool) -> None:
        """Takes one abandoned call, and settles it unless it goes down as well."""
        over = [
            (chat.lease_until_us, position, call_id)
            for position, (call_id, chat) in enumerate(self.chats.items())
            if chat.amount is None and chat.lease_until_us <= self.now_us
        ]
        expected = min(over)[2] if over else None
        lease_us = self.now_us + LEASE_US

        def effect() -> None:
            if expected is not None:
                self.chats[expected].lease_until_us = lease_us

        async def work() -> str | None:
            found = await self.replicas[replica].abandoned(
                now_us=self.now_us, lease_until_us=lease_us, limit=1
            )
            for chat in found:
                model = self.chats[chat.call_id]
                assert (chat.attempts, chat.last is not None) == (model.attempts, model.attempts > 0)
                assert chat.last_ended == (model.attempts in model.ended)
            return found[0].call_id if found else None

        self._play(replica, work(), effect, expected)
        if goes_on and expected is not None:
            chat = self.chats[expected]
            self._settle(replica, expected, chat, pick % (chat.hold + 1), ChatOutcome.LOST)

    @invariant()
    def the_file_says_what_the_model_says(self) -> None:
        self.file.assert_conserved()
        rows = {row["call_id"]: row for row in self.file.page("chats")}
        assert {call_id: (row["attempts"], row["amount_nanos"]) for call_id, row in rows.items()} == {
            call_id: (chat.attempts, chat.amount) for call_id, chat in self.chats.items()
        }
        ended = {(row["call_id"], row["number"]): row["ended_us"] for row in self.file.page("chat_attempts")}
        assert {key: at is not None for key, at in ended.items()} == {
            (call_id, number): number in chat.ended
            for call_id, chat in self.chats.items()
            for number in range(1, chat.attempts + 1)
        }
        for account, grant in ACCOUNTS.items():
            held, settled = self._held(account), self._settled(account)
            assert self.file.account(account) == (grant.granted_nanos - held - settled, held, settled)

    def teardown(self) -> None:
        """Whatever was left lying is settled, each once, and nothing stays held."""
        self.armed = None
        self.now_us += LEASE_US
        while found := drive(
            self.replicas[0].abandoned(now_us=self.now_us, lease_until_us=self.now_us + 1, limit=2)
        ):
            for one in found:
                self._settle(1, one.call_id, self.chats[one.call_id], one.hold_nanos, ChatOutcome.LOST)
        self.the_file_says_what_the_model_says()
        assert all(self._held(account) == 0 for account in ACCOUNTS)
        self.file.close()
        self.folder.cleanup()


TestChats = ChatsMachine.TestCase
TestChats.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
