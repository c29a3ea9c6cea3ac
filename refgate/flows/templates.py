"""Requests that the gateway makes of its own accord: a declared template, filled in for one call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from refgate import headers
from refgate.config.providers import Provider
from refgate.flows.memo import captured, headers_of
from refgate.ledger.records import Call
from refgate.paths import fill, fill_plain
from refgate.upstream import Outgoing

__all__ = ["request_of"]

_JSON = ("content-type", "application/json")


def request_of(
    provider: Provider, call: Call, method: str, path: str, json_body: Mapping[str, Any] | None = None
) -> tuple[Outgoing, str]:
    """The request, and its path without the query string. `{label}` is the call's id."""
    values = {**captured(call.captures), "submit_path": call.submit_path, "label": call.call_id}
    if call.task_id is not None:
        values["task_id"] = call.task_id
    filled = fill(path, values)
    crossing = headers.to_provider(
        _without_body(headers_of(call.captures)), extra=provider.headers.request, auth=provider.auth.header
    )
    body = b""
    if json_body is not None:
        crossing = (*crossing, _JSON)
        body = json.dumps(_filled(json_body, values)).encode()
    out = Outgoing(method, provider.base_url + filled, (*crossing, provider.auth.pair()), body)
    return out, filled.partition("?")[0]


def _without_body(pairs: headers.Pairs) -> headers.Pairs:
    # What the submit said of its own body and wanted of its own answer is not true of this request.
    return tuple(pair for pair in pairs if pair[0] not in ("content-type", "accept", "prefer"))


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case str():
            return fill_plain(value, values)
        case dict():
            return {name: _filled(inner, values) for name, inner in value.items()}
        case list():
            return [_filled(inner, values) for inner in value]
        case _:
            return value
