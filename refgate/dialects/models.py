"""`GET /v1/models`: the names a caller may ask for, in the shape its SDK lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from refgate.dialects.canonical import Protocol
from refgate.dialects.json_text import dumps

__all__ = ["write_model", "write_models"]


def write_models(protocol: Protocol, names: Sequence[str], *, created_s: int) -> bytes:
    """One page that holds them all; `created_s` is the gateway's word for all of them."""
    listed = [_model(protocol, name, created_s) for name in names]
    page: Mapping[str, object]
    if protocol is Protocol.GEMINI:
        page = {"models": listed}
    elif protocol is Protocol.ANTHROPIC:
        page = {
            "data": listed,
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
    else:
        page = {"object": "list", "data": listed}
    return dumps(page).encode()


def write_model(protocol: Protocol, name: str, *, created_s: int) -> bytes:
    """One of them, as the page has it."""
    return dumps(_model(protocol, name, created_s)).encode()


def _model(protocol: Protocol, name: str, created_s: int) -> Mapping[str, object]:
    if protocol is Protocol.GEMINI:
        verbs = ["generateContent"]
        return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": verbs}
    if protocol is Protocol.ANTHROPIC:
        created = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": "model", "id": name, "display_name": name, "created_at": created}
    return {"id": name, "object": "model", "created": created_s, "owned_by": "refgate"}
