"""Small histories told fact by fact: what an honest gateway and its world would leave, for tests to bend."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from fakes.journal import (
    Answered,
    BillingFinalized,
    BillingReserved,
    Fact,
    Journal,
    Received,
    TaskAccepted,
    TaskEnded,
    digest,
)
from scenarios.checks import Check, Finding, all_checks
from scenarios.declared.gateway import Declared
from scenarios.history import Calm, Ended, Got, History, Observed, Resources, Sent

SECOND = 1_000_000
CONFIG: dict[str, Any] = {
    "callers": {"alice": {"accounts": ["alice"]}, "bob": {"accounts": ["bob"]}},
    "billing": {
        "kind": "embedded",
        "accounts": {"alice": {"grant": "10.00", "budget": "5.00"}, "bob": {"grant": "10.00"}},
    },
    "policies": {"task_without_verdict": "release", "missing_usage": "hold"},
    "limits": {"request_body": "1KiB"},
    "reconcile": {"verdict_within": "10m"},
    "providers": {
        "rh": {
            "base_url": "http://rh.test",
            "auth": {"header": "Authorization", "value": "Bearer {key}", "key": {"env": "RH_KEY"}},
            "hold": "0.50",
            "submit": [{"match": "POST /v2/**", "hold": "0.30", "task_id": "$.taskId"}],
            "query": [
                {
                    "match": "POST /v2/query",
                    "task_id": {"body": "$.taskId"},
                    "status": "$.status",
                    "success": ["SUCCESS"],
                    "failure": ["FAILED"],
                    "usage": {"path": "$.usage", "unit_price": "1", "max": "5.00", "estimate": "0.20"},
                }
            ],
        }
    },
}
CENT = 10_000_000
HOLD = 30 * CENT


def config(**parts: Any) -> dict[str, Any]:
    """The usual configuration with some parts merged over it."""
    merged = dict(CONFIG)
    for name, part in parts.items():
        merged[name] = {**CONFIG.get(name, {}), **part}
    return merged


def provider(**parts: Any) -> dict[str, Any]:
    """A `providers` part: the usual provider with some settings replaced."""
    return {"rh": {**CONFIG["providers"]["rh"], **parts}}


@dataclass
class Story:
    """Facts in order, and the rows of the gateway's tables; `history()` seals it with calm and readings."""

    declared: Declared = field(default_factory=lambda: Declared.read(CONFIG))
    facts: list[Fact] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    holds: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    now_us: int = 0
    settle_us: int = 3600 * SECOND
    calm: bool = True
    read: bool = True

    @property
    def remote(self) -> bool:
        return self.declared.billing == "remote"

    def tick(self, us: int = 10_000) -> int:
        self.now_us += us
        return self.now_us

    def add(self, fact: Fact) -> Any:
        self.facts.append(fact)
        return fact

    # Clients.

    def sent(self, number: int, attempt: int = 1, op: str = "submit", **over: Any) -> Sent:
        shown: dict[str, Any] = {
            "t_us": self.tick(),
            "at": f"client {number}",
            "call": number,
            "attempt": attempt,
            "op": op,
            "to": "gateway-0",
            "method": "POST",
            "path": "/api/proxy/rh/v2/query" if op == "poll" else "/api/proxy/rh/v2/video",
            "headers": (("authorization", "Bearer canary-caller-alice"),),
            "body": b'{"nonce":"n%d"}' % number,
            "account": "alice",
            "provider": "rh",
            "nonce": f"n{number}",
        }
        return self.add(Sent(**{**shown, **over}))

    def got(self, sent: Sent, status: int | None = 200, body: bytes = b"{}", **over: Any) -> Got:
        outcome = "info" if status is None else "ok" if status < 300 else "fail"
        shown: dict[str, Any] = {
            "t_us": self.tick(),
            "at": sent.at,
            "call": sent.call,
            "attempt": sent.attempt,
            "op": sent.op,
            "outcome": outcome,
            "status": status,
            "headers": (("content-type", "application/json"), ("content-length", str(len(body)))),
            "body": body,
            "error": "ReadFailed" if status is None else None,
            "complete": status is not None,
        }
        return self.add(Got(**{**shown, **over}))

    def refused(self, sent: Sent, code: str, status: int, **over: Any) -> Got:
        """The gateway's own answer."""
        body = b'{"error":{"code":"%s","message":"no"}}' % code.encode()
        own = (("content-type", "application/json"), ("x-refgate-error", code))
        return self.got(sent, status, over.pop("body", body), **{"headers": own, **over})

    # The provider.

    def seq(self, at: str = "rh") -> int:
        return 1 + sum(isinstance(fact, Received) and fact.at == at for fact in self.facts)

    def received(self, op: str = "submit", **over: Any) -> Received:
        shown: dict[str, Any] = {
            "t_us": self.tick(),
            "at": "rh",
            "seq": self.seq(over.get("at", "rh")),
            "op": op,
            "method": "POST",
            "path": "/v2/query" if op == "poll" else "/v2/video",
            "query": "",
            "headers": (("authorization", "Bearer canary-provider-rh"), ("host", "rh.test")),
            "body": b"{}",
        }
        return self.add(Received(**{**shown, **over}))

    def answered(self, received: Received, body: bytes = b"{}", status: int = 200, **over: Any) -> Answered:
        shown: dict[str, Any] = {
            "t_us": self.tick(),
            "at": received.at,
            "seq": received.seq,
            "status": status,
            "headers": (("content-type", "application/json"),),
            "body_bytes": len(body),
            "complete": True,
            "ended_by": "server",
            "body_digest": digest(body),
        }
        return self.add(Answered(**{**shown, **over}))

    def ended(self, task: str = "t1", success: bool = True, units: str = "0.25", **over: Any) -> TaskEnded:
        shown: dict[str, Any] = {
            "t_us": self.tick(10 * SECOND),
            "at": "rh",
            "task_id": task,
            "success": success,
            "units": units,
            "cost_nanos": 25 * CENT if success else 0,
            "usage_shown": units if success else None,
        }
        return self.add(TaskEnded(**{**shown, **over}))

    # The gateway's record and billing's books.

    def row(self, number: int = 1, **over: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "call_id": f"c{number}",
            "account": "alice",
            "provider": "rh",
            "state": "finalized",
            "outcome": "success",
            "reason": "success",
            "task_id": f"t{number}",
            "hold_id": f"h{number}",
            "hold_nanos": HOLD,
            "amount_nanos": 25 * CENT,
            "flags": [],
            "idempotency_key": None,
            "late_of": None,
            "created_us": self.now_us,
            "updated_us": self.now_us + 11 * SECOND,
        }
        self.calls.append({**shown, **over})
        return self.calls[-1]

    def attempt(self, received: Received, status: int | None = 200, **over: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "attempt_id": f"a{len(self.attempts) + 1}",
            "call_id": "c1",
            "provider": received.at,
            "op": received.op,
            "method": received.method,
            "path": received.path,
            "status": status,
            "failure": None,
            "started_us": received.t_us,
            "ended_us": received.t_us,
        }
        self.attempts.append({**shown, **over})
        return self.attempts[-1]

    def reserve(self, number: int = 1, nanos: int = HOLD, account: str = "alice", call: str = "") -> None:
        call, at_us = call or f"c{number}", self.tick()
        if self.remote:
            self.add(
                BillingReserved(
                    t_us=at_us,
                    at="billing",
                    hold_id=f"h{number}",
                    key=f"{call}:reserve",
                    account=account,
                    call_id=call,
                    amount_nanos=nanos,
                )
            )
            return
        self.holds.append(
            {
                "hold_id": f"h{number}",
                "key": f"{call}:reserve",
                "account": account,
                "call_id": call,
                "amount_nanos": nanos,
                "state": "open",
                "captured_nanos": 0,
                "opened_us": at_us,
            }
        )
        self._enter(f"hold:h{number}", account, call, "hold", available=-nanos, held=nanos)

    def finalize(
        self, number: int = 1, nanos: int = 25 * CENT, account: str = "alice", again: str = ""
    ) -> None:
        at_us = self.tick()
        if self.remote:
            self.add(
                BillingFinalized(
                    t_us=at_us,
                    at="billing",
                    hold_id=f"h{number}",
                    key=f"c{number}:finalize{again}",
                    account=account,
                    amount_nanos=nanos,
                    reason="success",
                )
            )
            return
        hold = next(hold for hold in self.holds if hold["hold_id"] == f"h{number}")
        hold["state"], hold["captured_nanos"] = "finalized", nanos
        held = hold["amount_nanos"]
        txn = f"finalize:h{number}{again}"
        self._enter(
            txn, account, hold["call_id"], "capture", held=-held, settled=nanos, available=held - nanos
        )

    def _enter(self, txn: str, account: str, call: str | None, kind: str, **books: int) -> None:
        self.entries += [
            {
                "entry_id": f"{txn}/{book}",
                "txn_id": txn,
                "book": book,
                "account": account,
                "amount_nanos": nanos,
                "call_id": call,
                "kind": kind,
                "at_us": self.now_us,
            }
            for book, nanos in books.items()
            if nanos
        ]

    def accounts(self) -> list[dict[str, Any]]:
        granted = {name: one.granted_nanos for name, one in self.declared.accounts.items()}
        rows = []
        for account, nanos in granted.items():
            found = {"available": nanos, "held": 0, "settled": 0}
            for entry in self.entries:
                if entry["account"] == account and entry["kind"] != "grant":
                    found[entry["book"]] += entry["amount_nanos"]
            columns = {f"{book}_nanos": amount for book, amount in found.items()}
            rows.append({"account": account, "granted_nanos": nanos, **columns, "budget_nanos": None})
        return rows

    # Whole stories.

    def submit(self, number: int = 1, **over: Any) -> tuple[Sent, Received]:
        """A submit that the provider takes on as t<number>, answered to its client."""
        sent = self.sent(number, **over)
        self.reserve(number, account=sent.account)
        received = self.received(nonce=sent.nonce, body=sent.body)
        self.accepted(received, f"t{number}")
        body = b'{"taskId":"t%d"}' % number
        self.answered(received, body)
        self.attempt(received, call_id=f"c{number}")
        self.got(sent, 200, body, headers=self.named(number, body))
        return sent, received

    def named(self, number: int, body: bytes) -> tuple[tuple[str, str], ...]:
        return (
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("x-proxy-call-id", f"c{number}"),
        )

    def accepted(self, received: Received, task: str) -> TaskAccepted:
        return self.add(
            TaskAccepted(
                t_us=self.tick(),
                at=received.at,
                seq=received.seq,
                task_id=task,
                nonce=received.nonce,
                key=received.key,
            )
        )

    def poll(self, number: int, status: str = "SUCCESS", attempt: int = 2, **over: Any) -> Got:
        """A client's poll that the provider answers."""
        body = b'{"taskId":"t%d","status":"%s","usage":"0.25"}' % (number, status.encode())
        sent = self.sent(number, attempt, "poll", task_id=f"t{number}", body=b"{}", **over)
        received = self.received("poll", task_id=f"t{number}")
        shown = {"SUCCESS": "success", "FAILED": "failure"}.get(status, "other")
        usage = "0.25" if shown == "success" else None
        self.answered(received, body, shown=shown, usage_shown=usage)
        self.attempt(received, call_id=f"c{number}")
        return self.got(sent, 200, body)

    def whole(self, number: int = 1, **over: Any) -> "Story":
        """A call from its submit to its charge."""
        self.submit(number, **over)
        self.row(number, idempotency_key=over.get("key"), account=over.get("account", "alice"))
        self.ended(f"t{number}")
        self.poll(number)
        self.finalize(number, account=over.get("account", "alice"))
        return self

    def history(self) -> History:
        """Sealed: calm, a time to settle, the final readings, the end."""
        journal = Journal()
        for fact in self.facts:
            journal.record(fact)
        end_us = self.now_us
        if self.calm:
            journal.record(Calm(t_us=end_us, at="world"))
            end_us += self.settle_us
        if self.read:
            for what, rows in self.tables().items():
                fact = Observed(t_us=end_us, at="gateway-0", what=what, final=True, rows=tuple(rows))
                journal.record(fact)
        for phase in ("baseline", "final"):
            counts = {"tasks": 3, "exchanges": 0, "connections": 0}
            journal.record(Resources(t_us=end_us, at="gateway-0", phase=phase, **counts))
        journal.record(Ended(t_us=end_us, at="world", trouble=None))
        return History(journal)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """What the read API would give last."""
        tables = {"calls": self.calls, "attempts": self.attempts}
        if not self.remote:
            tables |= {"accounts": self.accounts(), "holds": self.holds, "entries": self._all_entries()}
        return tables

    def _all_entries(self) -> list[dict[str, Any]]:
        grants = Story(self.declared)
        for account, one in self.declared.accounts.items():
            nanos = one.granted_nanos
            grants._enter(f"grant:{account}", account, None, "grant", granted=-nanos, available=nanos)
        return grants.entries + self.entries


@pytest.fixture
def story() -> Callable[..., Story]:
    """`story(billing="remote", policies={...})`: an empty story under that configuration."""

    def told(*, billing: str = "embedded", **parts: Any) -> Story:
        if billing == "remote":
            parts["billing"] = {"kind": "remote", "accounts": {}}
            grants = {"alice": 500 * CENT, "bob": 1000 * CENT}
            return Story(Declared.read(config(**parts), grants=grants))
        return Story(Declared.read(config(**parts)))

    return told


@pytest.fixture
def judged() -> Callable[[str, Story], Finding]:
    """One check's finding about a story."""
    checks: dict[str, Check] = {check.name: check for check in all_checks()}

    def find(name: str, told: Story) -> Finding:
        return checks[name].function(told.history(), told.declared)

    return find
