"""The books of the billing service: accounts, holds, what was captured. Pure; money in nano-dollars.

Each key is applied once: the same request under it again gives the same answer, another one is a
conflict. A finalize may capture more than the hold, and an account may go into debt by it; a reserve
may not. Granted = available + held + settled, always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["HOLDS_MAX", "Balance", "Books", "Hold", "Refusal"]

HOLDS_MAX = 2_000_000
"""Beyond so many holds the service refuses to reserve."""


@dataclass(frozen=True, slots=True)
class Balance:
    """One account, in nano-dollars. `available` may be negative: that is debt."""

    granted: int
    available: int
    held: int
    settled: int


@dataclass(slots=True, kw_only=True)
class Hold:
    """Money set aside for one call, until it is finalized."""

    hold_id: str
    key: str
    account: str
    call_id: str
    provider: str
    amount_nanos: int
    opened_us: int
    state: str = "open"  # open | finalized
    captured_nanos: int = 0
    finalize_key: str | None = None


class Refusal(Exception):
    """The books say no; nothing was changed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Books:
    """What the service knows."""

    def __init__(self, grants: Mapping[str, int]) -> None:
        self._granted = dict(grants)
        self._held = dict.fromkeys(grants, 0)
        self._settled = dict.fromkeys(grants, 0)
        self._holds: list[Hold] = []
        self._by_key: dict[str, Hold] = {}
        self._by_id: dict[str, Hold] = {}
        self._finalized: dict[str, Hold] = {}

    def reserve(
        self, *, key: str, account: str, amount_nanos: int, call_id: str, provider: str, now_us: int
    ) -> tuple[Hold, bool]:
        """The hold under this key, and whether it is new."""
        if (hold := self._by_key.get(key)) is not None:
            if (hold.account, hold.amount_nanos, hold.call_id) != (account, amount_nanos, call_id):
                raise Refusal("conflict")
            return hold, False
        if account not in self._granted:
            raise Refusal("unknown_account")
        if amount_nanos > self.balance(account).available or len(self._holds) >= HOLDS_MAX:
            raise Refusal("insufficient_funds")
        hold = Hold(
            hold_id=f"hold-{len(self._holds) + 1:08d}",
            key=key,
            account=account,
            call_id=call_id,
            provider=provider,
            amount_nanos=amount_nanos,
            opened_us=now_us,
        )
        self._held[account] += amount_nanos
        self._holds.append(hold)
        self._by_key[key] = self._by_id[hold.hold_id] = hold
        return hold, True

    def finalize(self, *, key: str, hold_id: str, amount_nanos: int) -> tuple[Hold, bool]:
        """The finalized hold, and whether this made it so. Captures the amount, releases the rest."""
        if (used := self._finalized.get(key)) is not None:
            if (used.hold_id, used.captured_nanos) != (hold_id, amount_nanos):
                raise Refusal("conflict")
            return used, False
        hold = self._by_id.get(hold_id)
        if hold is None:
            raise Refusal("unknown_hold")
        if hold.state != "open":
            raise Refusal("already_finalized")
        hold.state, hold.captured_nanos, hold.finalize_key = "finalized", amount_nanos, key
        self._held[hold.account] -= hold.amount_nanos
        self._settled[hold.account] += amount_nanos
        self._finalized[key] = hold
        return hold, True

    def balance(self, account: str) -> Balance:
        granted, held, settled = self._granted[account], self._held[account], self._settled[account]
        return Balance(granted, granted - held - settled, held, settled)

    def statement(self) -> dict[str, Balance]:
        return {account: self.balance(account) for account in self._granted}

    @property
    def holds(self) -> tuple[Hold, ...]:
        return tuple(self._holds)

    def hold(self, hold_id: str) -> Hold | None:
        return self._by_id.get(hold_id)

    def hold_under(self, key: str) -> Hold | None:
        return self._by_key.get(key)

    def page(self, *, state: str | None, after: str | None, limit: int) -> tuple[list[Hold], str | None]:
        """Holds in order of opening, after the one named; and the cursor for the rest, if there is any."""
        start = int(after.removeprefix("hold-")) if after else 0
        found: list[Hold] = []
        for hold in self._holds[start:]:
            if state is None or hold.state == state:
                if len(found) == limit:
                    return found, found[-1].hold_id
                found.append(hold)
        return found, None
