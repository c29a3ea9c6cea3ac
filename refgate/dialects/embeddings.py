"""OpenAI embeddings: an answer read for its usage.

Requests and vectors pass between like protocols (`passing`), as the caller asked for them.
"""

from __future__ import annotations

from typing import Any

from refgate.dialects.faults import broken, failed, fault_in_body
from refgate.dialects.json_text import as_map, as_text
from refgate.dialects.spoken import Answer, Broke, Finish
from refgate.dialects.usage import read_embeddings

__all__ = ["read_answer"]


def read_answer(body: Any) -> Answer | Broke:
    """What an embeddings answer cost; its vectors are not looked at."""
    usage = read_embeddings(as_map(body).get("usage"))
    fault = fault_in_body(body)
    if fault is not None:
        return failed(fault, usage)
    if not isinstance(body.get("data"), list) or not body["data"]:
        return failed(broken("the answer has no data"), usage)
    return Answer("", as_text(body.get("model")), (), Finish.STOP, usage)
