"""`GET /v1/models`: the names a caller may ask for, in the shape its SDK lists them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from refgate.dialects.canonical import Protocol
from refgate.dialects.json_text import dumps

__all__ = ["write_models"]


def write_models(protocol: Protocol, names: Sequence[str], *, created_s: int) -> bytes:
    """One page that holds them all; `created_s` is the gateway's word for all of them."""
    if protocol is Protocol.GEMINI:
        verbs = ["generateContent"]
        listed = [
            {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": verbs}
            for name in names
        ]
        return dumps({"models": listed}).encode()
    if protocol is Protocol.ANTHROPIC:
        created = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return dumps(
            {
                "data": [
                    {"type": "model", "id": name, "display_name": name, "created_at": created}
                    for name in names
                ],
                "has_more": False,
                "first_id": names[0] if names else None,
                "last_id": names[-1] if names else None,
            }
        ).encode()
    return dumps(
        {
            "object": "list",
            "data": [
                {"id": name, "object": "model", "created": created_s, "owned_by": "refgate"} for name in names
            ],
        }
    ).encode()
