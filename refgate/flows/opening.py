"""How a submit begins: its row and its key, atomically; or what the key already stands for.

One caller of any number under one key gets the row; the others get its answer, or are told to wait.
"""

from __future__ import annotations

import asyncio
import hashlib

from refgate.errors import Code, Refusal
from refgate.flows.arrival import Asked
from refgate.flows.works import Works
from refgate.ledger.records import Fresh, InFlight, KeyReused, NewCall, Opened, Replay
from refgate.ledger.states import Outcome, State

__all__ = ["fingerprint", "open_call"]

_LOOK_US = 200_000
_ENDED = frozenset({State.FINALIZING, State.FINALIZED, State.REJECTED})


def fingerprint(asked: Asked) -> str:
    """A digest of what makes two submits the same: method, path, query and body."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (asked.method.encode(), asked.path.text.encode(), asked.query.encode(), asked.body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


async def open_call(works: Works, new: NewCall) -> Fresh | Replay:
    """The row of a new call, or the answer to replay. Raises Refusal for anything between."""
    opened = await works.store.open_call(new)
    if works.settings.idempotency.in_flight == "attach":
        opened = await _attached(works, new, opened)
    match opened:
        case Fresh() | Replay():
            return opened
        case KeyReused(call_id):
            raise Refusal(Code.KEY_REUSED, "this key came with another request before", call_id)
        case InFlight(call_id, state) if state in _ENDED:
            raise await _ended(works, call_id)
        case InFlight(call_id):
            raise Refusal(
                Code.IN_FLIGHT,
                "the first call under this key has no answer yet",
                call_id,
                works.retry_after_s,
            )


async def _attached(works: Works, new: NewCall, opened: Opened) -> Opened:
    """Waits, within the declared time, until the first call has its answer or has given the key back."""
    looks = works.settings.idempotency.wait_us // _LOOK_US
    while isinstance(opened, InFlight) and opened.state not in _ENDED and looks > 0:
        looks -= 1
        await asyncio.sleep(_LOOK_US / 1e6)
        opened = await works.store.open_call(new)
    return opened


async def _ended(works: Works, call_id: str) -> Refusal:
    """What a repeat is told when the first call ended without an answer of the provider's."""
    call = await works.store.call(call_id)
    if call is not None and call.outcome is Outcome.UNREACHED:
        return Refusal(Code.UPSTREAM_UNREACHABLE, "the call ended before it reached the provider", call_id)
    return Refusal(Code.OUTCOME_UNKNOWN, "the call ended without an answer of the provider's", call_id)
