"""What a flow hands back to the edge: an answer with what the gateway adds to it."""

from __future__ import annotations

from starlette.responses import Response

from refgate.answer import Answer
from refgate.errors import Refusal, envelope

__all__ = ["refused", "respond"]


def respond(answer: Answer, *, call_id: str | None, replayed: bool = False) -> Response:
    """The answer on the wire; its length and encoding are those of the bytes that are sent."""
    response = Response(answer.body, answer.status)
    pairs = [*answer.headers]
    if call_id is not None:
        pairs.append(("x-proxy-call-id", call_id))
    if replayed:
        pairs.append(("x-idempotent-replay", "true"))
    response.raw_headers.extend((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
    return response


def refused(refusal: Refusal) -> Response:
    return respond(envelope(refusal), call_id=refusal.call_id)
