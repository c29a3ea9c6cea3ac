"""A billing service over HTTP, as a `Billing`.

Only a well-formed yes or no of the service is a verdict. Everything else (no answer, a 5xx, a 401 for
our own key, a body that does not parse) is BillingUnreachable: what was asked may or may not have been
applied, and is asked again under the same key. No message here quotes the service or the key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from refgate.answer import Answer
from refgate.ledger.records import Hold, HoldPage, Refused
from refgate.money import NANOS_MAX, loads_exact
from refgate.ports import BillingUnreachable

__all__ = ["Exchange", "RemoteBilling"]

_TEXT_MAX = 512  # ids, keys and reasons: longer ones are cut before they are sent, refused as they come

_REFUSALS: Mapping[int, Mapping[str, str]] = {
    402: {"insufficient_funds": "insufficient_funds", "over_budget": "over_budget"},
    404: {
        "account_unknown": "account_unknown",
        "unknown_account": "account_unknown",
        "hold_unknown": "hold_unknown",
        "unknown_hold": "hold_unknown",
    },
}
"""Status → the service's word → ours. A 404 without a word is a wrong address, and no verdict."""


class Exchange(Protocol):
    """One request. Bounded in time and size by whoever provides it; None where no whole answer came."""

    async def __call__(
        self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> Answer | None: ...


class RemoteBilling:
    """`url` is the service's base address. `account`, `call_id` and keys go out as they are given."""

    def __init__(self, exchange: Exchange, *, url: str, key: str) -> None:
        self._exchange = exchange
        self._url = url.rstrip("/")
        self._headers = (
            ("authorization", f"Bearer {key}"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
        )

    async def reserve(
        self, *, key: str, account: str, amount_nanos: int, call_id: str, provider: str
    ) -> Hold | Refused:
        asked = {
            "key": key,
            "account": account,
            "amount_nanos": amount_nanos,
            "call_id": call_id,
            "provider": provider,
        }
        said = await self._ask("POST", "/reserve", asked)
        if isinstance(said, Refused):
            return said
        if _amount(said, "amount_nanos") != amount_nanos:
            raise BillingUnreachable("the service holds another amount than it was asked to")
        # When it was opened is the service's to know; nothing here asks it of a fresh hold.
        return Hold(_text(said, "hold_id"), key, account, call_id, amount_nanos, "open", 0, opened_us=0)

    async def finalize(self, *, key: str, hold_id: str, amount_nanos: int, reason: str) -> Refused | None:
        asked = {
            "key": key,
            "hold_id": hold_id,
            "amount_nanos": amount_nanos,
            "reason": reason[:_TEXT_MAX],
        }
        said = await self._ask("POST", "/finalize", asked)
        if isinstance(said, Refused):
            return said
        if said.get("applied") is not True:
            raise BillingUnreachable("the service did not say that it applied the finalize")
        return None

    async def open_holds(self, *, opened_before_us: int, after: str | None, limit: int) -> HoldPage:
        query = {"state": "open", "limit": str(limit)} | ({} if after is None else {"after": after})
        said = await self._ask("GET", f"/holds?{urlencode(query, quote_via=quote)}", None)
        if isinstance(said, Refused):
            raise BillingUnreachable("the service does not list holds")
        rows = said.get("holds")
        if not isinstance(rows, list) or len(rows) > limit:
            raise BillingUnreachable("the service lists holds in no known form")
        holds = (_hold(row) for row in rows)
        following = None if said.get("next") is None else _text(said, "next")
        return HoldPage(
            tuple(hold for hold in holds if hold and hold.opened_us < opened_before_us), following
        )

    async def _ask(self, method: str, path: str, asked: Mapping[str, Any] | None) -> dict[str, Any] | Refused:
        body = b"" if asked is None else json.dumps(asked).encode()
        answer = await self._exchange(method, self._url + path, self._headers, body)
        if answer is None:
            raise BillingUnreachable("no answer")
        said = _document(answer.body)
        if answer.status == 200:
            return said
        if answer.status == 409:
            return Refused("conflict")
        word = said.get("error")
        if answer.status in _REFUSALS and isinstance(word, str) and word in _REFUSALS[answer.status]:
            return Refused(_REFUSALS[answer.status][word])
        if answer.status == 402:
            return Refused("insufficient_funds")
        raise BillingUnreachable(f"status {answer.status}")


def _document(body: bytes) -> dict[str, Any]:
    """A JSON object; an empty one for anything else, in which whatever is looked for is missing."""
    try:
        said = loads_exact(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _hold(row: object) -> Hold | None:
    """None for a row that none of our reserves can have made: others may share the service."""
    if not isinstance(row, dict):
        return None
    try:
        return Hold(
            hold_id=_text(row, "hold_id"),
            key=_text(row, "key"),
            account=_text(row, "account"),
            call_id=_text(row, "call_id"),
            amount_nanos=_amount(row, "amount_nanos"),
            state=_text(row, "state"),
            captured_nanos=_amount(row, "captured_nanos"),
            opened_us=_amount(row, "opened_us"),
        )
    except BillingUnreachable:
        return None


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT_MAX or not value.isprintable():
        raise BillingUnreachable(f"the service's answer has no usable {name}")
    return value


def _amount(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NANOS_MAX * 9:
        raise BillingUnreachable(f"the service's answer has no usable {name}")
    return value
