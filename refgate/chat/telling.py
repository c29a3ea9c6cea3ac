"""What a caller is told, in its own protocol: an answer, a stream's head, or why there is none.

Says which failures of a backend are the caller's business: what a backend holds against the gateway's own
credential or its money is not. Knows no time and no state.
"""

from __future__ import annotations

from refgate.answer import Answer
from refgate.dialects.canonical import Protocol
from refgate.dialects.error_bodies import error_answer, stream_error
from refgate.dialects.spoken import Fault, FaultKind
from refgate.headers import Pairs
from refgate.policy.answers import Failure, Stop

__all__ = ["JSON", "STORE_AWAY", "STREAM", "always", "broken_off", "masked", "refusal", "stopped"]

JSON: Pairs = (("content-type", "application/json"),)
STREAM: Pairs = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
STORE_AWAY = Fault(FaultKind.OVERLOADED, "the store cannot be reached", retry_after_us=1_000_000)
_NO_RETRY = ("x-should-retry", "false")
_NOT_THE_CALLERS = frozenset({FaultKind.UNAUTHORIZED, FaultKind.FORBIDDEN, FaultKind.NO_MONEY})
_BAD_GATEWAY = frozenset({FaultKind.BROKEN, FaultKind.TRUNCATED, FaultKind.UNREACHABLE})


def always(protocol: Protocol, call_id: str) -> Pairs:
    """The headers of every answer to a call."""
    pairs = (("x-request-id", call_id), ("x-proxy-call-id", call_id))
    return (*pairs, ("request-id", call_id)) if protocol is Protocol.ANTHROPIC else pairs


def masked(fault: Fault) -> Fault:
    """A backend's failure as it may be shown."""
    if fault.kind in _NOT_THE_CALLERS:
        return Fault(FaultKind.BROKEN, "the backend does not take this gateway's requests")
    return fault


def stopped(stop: Stop, last: Failure | None) -> Fault:
    """Why a call ends without an answer. What it was that failed last is kept where it says more."""
    match stop.why:
        case "exhausted":
            message = "every backend for this model is busy, cooling or failing"
            if last is not None:
                message += f", the last with {masked(last.fault).kind.value}"
            return Fault(FaultKind.EXHAUSTED, message, retry_after_us=stop.retry_after_us)
        case "deadline":
            return Fault(FaultKind.TIMEOUT, "no backend answered within the time of the call")
        case "attempts":
            return _spent(last)
        case _:
            assert last is not None  # only a failure ends a call so
            return masked(last.fault)


def _spent(last: Failure | None) -> Fault:
    """Every try was used up. Whatever the last cause, a gateway says that what is behind it failed."""
    if last is None:
        return Fault(FaultKind.BROKEN, "every attempt failed")
    fault = masked(last.fault)
    kind = fault.kind if fault.kind in _BAD_GATEWAY else FaultKind.BROKEN
    said = f": {fault.message}" if fault.message else ""
    return Fault(kind, f"every attempt failed, the last with {fault.kind.value}{said}")


def refusal(
    protocol: Protocol, fault: Fault, *, call_id: str, param: str | None = None, retry: bool = True
) -> Answer:
    """An error as a whole answer. Without `retry` an SDK is told not to try again by itself."""
    made = error_answer(protocol, fault, param=param, request_id=call_id)
    if retry or _NO_RETRY in made.headers:
        return made
    return Answer(made.status, (*made.headers, _NO_RETRY), made.body)


def broken_off(protocol: Protocol, fault: Fault) -> bytes:
    """The end of a stream whose own teller is gone."""
    return stream_error(protocol, fault)
