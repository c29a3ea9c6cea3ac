"""The idempotency keys that billing sees, each a function of what it is for.

A key made afresh for each sending would let billing apply one decision twice; these are the same on
every retry, replica and restart.
"""

__all__ = ["chat_hold_key", "finalize_key", "is_reserve_key", "orphan_key", "reserve_key", "reserve_less_key"]


def reserve_key(call_id: str) -> str:
    """For the hold of a call."""
    return f"reserve:{call_id}"


def reserve_less_key(call_id: str) -> str:
    """For a hold of the final amount alone, where the configured hold was refused after the fact."""
    return f"reserve-less:{call_id}"


def chat_hold_key(call_id: str) -> str:
    """For the hold of a chat call: opened and ended in the transactions that open and end its row, so that no
    sweep of orphans has anything to do with it.
    """
    return f"chat:{call_id}"


def finalize_key(call_id: str) -> str:
    """For the one finalize of a call."""
    return f"finalize:{call_id}"


def orphan_key(hold_id: str) -> str:
    """For the release of a hold that belongs to no living call."""
    return f"orphan:{hold_id}"


def is_reserve_key(key: str, call_id: str) -> bool:
    """Whether this gateway made the key: a billing service may serve others, whose holds are not ours."""
    return key in (reserve_key(call_id), reserve_less_key(call_id))
