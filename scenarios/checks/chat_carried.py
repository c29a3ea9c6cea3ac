"""Whether a question can be put in the words of another vendor's protocol, where that is beyond doubt."""

from __future__ import annotations

from scenarios.checks.chat_parts import ChatCall
from scenarios.checks.chat_view import protocol_of
from scenarios.checks.reading import read_json
from scenarios.declared.chat import Backend

__all__ = ["can_be_carried"]

_PLAIN = frozenset(
    {
        "contents",
        "input",
        "max_output_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "stream",
        "system",
    }
)
"""What every protocol has a word for."""


def can_be_carried(call: ChatCall, backend: Backend | None) -> bool:
    """Whether the question can surely be put in the backend's own protocol."""
    if call.exchange is None or backend is None:
        return False
    if protocol_of(call.exchange).startswith(backend.dialect):
        return True
    if call.exchange.sent.op == "other":
        return False  # as somebody wrote it: it need make no sense in any other words
    asked = read_json(call.exchange.sent.body)
    return isinstance(asked, dict) and set(asked) <= _PLAIN
