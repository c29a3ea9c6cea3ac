"""The read API: accounts, calls, chats, what they tried, held and moved, page by page."""

from __future__ import annotations

import json
import re

from starlette.requests import Request
from starlette.responses import Response

from refgate.answer import Answer
from refgate.errors import Code, Refusal
from refgate.flows.answers import respond
from refgate.gateway import Gateway
from refgate.knock import bearer

__all__ = ["TABLES", "page"]

TABLES = (
    *("accounts", "calls", "attempts", "holds", "entries", "intents"),
    *("chats", "chat_attempts", "requests", "debug"),
)

_LIMIT = 100
_LIMIT_MAX = 1000


async def page(gateway: Gateway, request: Request) -> Response:
    """One page of one table. Raises Refusal."""
    token = bearer(request.headers.get("authorization"))
    if token is None or not gateway.settings.admin.key.matches(token):
        raise Refusal(Code.UNAUTHORIZED, "the Authorization header does not carry the admin key")
    table = request.path_params["table"]
    if table not in TABLES:
        raise Refusal(Code.NOT_FOUND, f"there is no such table: one of {', '.join(TABLES)}")
    limit = _limit(request)
    after = request.query_params.get("after")
    rows = await gateway.store.page(table, after=after, limit=limit)
    following = str(next(iter(rows[-1].values()))) if len(rows) == limit else None
    shown = {"rows": [*map(dict, rows)], "next": following}
    body = json.dumps(shown, separators=(",", ":")).encode()
    return respond(Answer(200, (("content-type", "application/json"),), body), call_id=None)


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_LIMIT))
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= _LIMIT_MAX:
        raise Refusal(Code.BAD_REQUEST, f"limit is a number from 1 to {_LIMIT_MAX}")
    return int(text)
