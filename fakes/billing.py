"""The remote billing service: reserve, finalize, look up, over HTTP, and with a script of acts.

A change is applied whole before its answer goes out, so an answer can be lost and its effect stays:
that is what its keys are for. It knows accounts and holds, and nothing of calls or providers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from fakes.acts.player import Occasion, Playing
from fakes.acts.script import NO_ACTS, Script
from fakes.acts.stagehand import Stagehand
from fakes.asgi import App, Reply, Request, json_reply
from fakes.books import Balance, Books, Hold, Refusal
from fakes.durations import EPOCH_US
from fakes.front import Front, Outcome, Seen, Wait
from fakes.journal import BillingFinalized, BillingRefused, BillingReserved, Headers, Journal

__all__ = ["PAGE_MAX", "BillingService"]

PAGE_MAX = 500
"""The most holds one page lists."""

_AMOUNT_MAX = 10**18
_DIGITS_MAX = 18
_STATUS = {
    "insufficient_funds": 402,
    "unknown_account": 404,
    "unknown_hold": 404,
    "not_found": 404,
    "conflict": 409,
    "already_finalized": 409,
    "bad_request": 400,
    "unauthorized": 401,
    "unavailable": 503,
    "internal": 500,
}
# The refusals that acts ask for by their general name, in the words of this service.
_WORDS = {
    "insufficient_balance": "insufficient_funds",
    "bad_key": "unauthorized",
    "permission": "forbidden",
    "parameters": "bad_request",
    "too_large": "bad_request",
    "task_not_found": "not_found",
    "rate": "rate_limited",
    "server": "internal",
}


class BillingService:
    """One billing service: serve `app`, read the journal, ask `statement` for the balances."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Callable[[], int],
        accounts: Mapping[str, int],
        script: Script = NO_ACTS,
        seed: int = 0,
        key: str = "canary-billing",
        name: str = "billing",
        epoch_us: int = EPOCH_US,
    ) -> None:
        self.name = name
        self.key = key
        self._journal = journal
        self._clock = clock
        self._epoch_us = epoch_us
        self._books = Books(accounts)
        self._stagehand = Stagehand(name, script, journal=journal, seed=seed, clock=clock, epoch_us=epoch_us)
        self.app: App = Front(name, self, journal=journal, clock=clock)

    def statement(self) -> dict[str, Balance]:
        """Every account: granted = available + held + settled."""
        return self._books.statement()

    def holds(self) -> list[Mapping[str, Any]]:
        """Every hold, as the look-up shows it."""
        return [_shown(hold) for hold in self._books.holds]

    def calm(self) -> None:
        """From now on the service behaves: its script is over."""
        self._stagehand.player.end()

    # --- what the front asks ---

    def see(self, request: Request) -> Seen:
        fields = request.fields
        op = {"/reserve": "reserve", "/finalize": "finalize"}.get(request.path, "other")
        if request.path == "/holds" or request.path.startswith("/holds/"):
            op = "look_up"
        key = _text(fields, "key")
        identity = key or f"{request.method} {request.path}?{request.query}"
        return Seen(
            op=op,
            key=key,
            account=_text(fields, "account"),
            identity=identity,
            attempt=self._stagehand.player.attempt(identity, op),
        )

    def wait(self, request: Request, seen: Seen) -> Wait:
        return self._stagehand.wait(request, self._occasion(request, seen))

    def decide(self, request: Request, seen: Seen, *, can_break: bool) -> Outcome:
        if request.header("authorization") != f"Bearer {self.key}":
            return Outcome(self._refuse(seen, "unauthorized"))
        return self._stagehand.outcome(
            request,
            self._occasion(request, seen),
            self,
            can_break=can_break,
            work=lambda: Outcome(self._work(request, seen)),
            undone=lambda playing: self._undone(seen, playing),
        )

    def refusal(
        self,
        kind: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        headers: Headers = (),
    ) -> Reply:
        """A refusal in this service's shape."""
        error = _WORDS.get(kind, kind)
        document = {"error": code or error} | ({"message": message} if message else {})
        return json_reply(status or _STATUS.get(error, 500), document, headers)

    # --- the work ---

    def _work(self, request: Request, seen: Seen) -> Reply:
        try:
            match request.method, seen.op:
                case "POST", "reserve":
                    return self._reserve(request.fields)
                case "POST", "finalize":
                    return self._finalize(request.fields)
                case "GET", "look_up":
                    return self._look_up(request)
                case _:
                    raise Refusal("not_found")
        except Refusal as refusal:
            return self._refuse(seen, refusal.why)

    def _reserve(self, fields: Mapping[str, Any]) -> Reply:
        hold, new = self._books.reserve(
            key=_needed(fields, "key"),
            account=_needed(fields, "account"),
            amount_nanos=_amount(fields),
            call_id=_needed(fields, "call_id"),
            provider=_text(fields, "provider") or "",
            now_us=self._epoch_us + self._clock(),
        )
        if new:
            self._journal.record(
                BillingReserved(
                    t_us=self._clock(),
                    at=self.name,
                    hold_id=hold.hold_id,
                    key=hold.key,
                    account=hold.account,
                    call_id=hold.call_id,
                    amount_nanos=hold.amount_nanos,
                )
            )
        return json_reply(200, {"hold_id": hold.hold_id, "amount_nanos": hold.amount_nanos})

    def _finalize(self, fields: Mapping[str, Any]) -> Reply:
        key, amount_nanos = _needed(fields, "key"), _amount(fields)
        reason = _text(fields, "reason") or ""
        hold, new = self._books.finalize(
            key=key, hold_id=_needed(fields, "hold_id"), amount_nanos=amount_nanos
        )
        if new:
            self._journal.record(
                BillingFinalized(
                    t_us=self._clock(),
                    at=self.name,
                    hold_id=hold.hold_id,
                    key=key,
                    account=hold.account,
                    amount_nanos=amount_nanos,
                    reason=reason,
                )
            )
        return json_reply(200, {"applied": True})

    def _look_up(self, request: Request) -> Reply:
        query = request.query_fields
        if request.path.startswith("/holds/"):
            hold = self._books.hold(unquote(request.path.removeprefix("/holds/")))
            if hold is None:
                raise Refusal("not_found")
            return json_reply(200, _shown(hold))
        if "key" in query:
            hold = self._books.hold_under(query["key"])
            return json_reply(200, {"holds": [_shown(hold)] if hold else [], "next": None})
        state, after, limit = query.get("state"), query.get("after"), query.get("limit", "100")
        good_cursor = after is None or (after.startswith("hold-") and _is_number(after[5:]))
        if state not in (None, "open", "finalized") or not good_cursor or not _is_number(limit):
            raise Refusal("bad_request")
        holds, cursor = self._books.page(state=state, after=after, limit=max(1, min(int(limit), PAGE_MAX)))
        return json_reply(200, {"holds": [_shown(hold) for hold in holds], "next": cursor})

    # --- small parts ---

    def _occasion(self, request: Request, seen: Seen) -> Occasion:
        held = seen.op == "reserve" and seen.key is not None and self._books.hold_under(seen.key) is not None
        return self._stagehand.occasion(request, seen, applied=held)

    def _undone(self, seen: Seen, playing: Playing) -> None:
        if seen.op in ("reserve", "finalize"):
            self._note_refusal(seen, f"act:{playing.name}")

    def _refuse(self, seen: Seen, why: str) -> Reply:
        self._note_refusal(seen, why)
        return self.refusal(why)

    def _note_refusal(self, seen: Seen, why: str) -> None:
        self._journal.record(
            BillingRefused(t_us=self._clock(), at=self.name, op=seen.op, key=seen.key or "", why=why)
        )


def _shown(hold: Hold) -> dict[str, Any]:
    return {
        "hold_id": hold.hold_id,
        "key": hold.key,
        "account": hold.account,
        "call_id": hold.call_id,
        "amount_nanos": hold.amount_nanos,
        "state": hold.state,
        "captured_nanos": hold.captured_nanos,
        "opened_us": hold.opened_us,
    }


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _DIGITS_MAX


def _needed(fields: Mapping[str, Any], name: str) -> str:
    value = _text(fields, name)
    if not value:
        raise Refusal("bad_request")
    return value


def _amount(fields: Mapping[str, Any]) -> int:
    value = fields.get("amount_nanos")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _AMOUNT_MAX:
        raise Refusal("bad_request")
    return value
