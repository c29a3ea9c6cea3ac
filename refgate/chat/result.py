"""What one attempt is given, and what it comes to; how a broken connection is told as a failure.

Values only. Whether a failure is ambiguous is for the exchange to say, which knows how far things had come.
"""

from __future__ import annotations

from dataclasses import dataclass

from refgate.chat.outgoing import spoken_to
from refgate.config.models import Backend
from refgate.dialects.canonical import Protocol
from refgate.dialects.registry import Spoken
from refgate.dialects.spoken import Answer, Fault, FaultKind, Metered, Unmetered, Usage
from refgate.headers import Pairs
from refgate.policy.answers import Failure
from refgate.upstream import Failure as Fell
from refgate.upstream import Outgoing

__all__ = ["Aim", "Result", "cut", "late"]

_NONE = Unmetered()


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the attempt goes, and in which words its answer is told."""

    backend: Backend
    out: Outgoing
    source: Protocol
    stream: bool
    spoken: Spoken
    head: Pairs  # of a stream

    @property
    def target(self) -> Protocol:
        return spoken_to(self.source, self.backend)


@dataclass(frozen=True, slots=True)
class Result:
    """How the attempt ended; without a `failure` it served. `seen` are the output tokens that came, `body` is
    what a caller of a whole answer gets, `answer` the canonical one where it is known. `called_off`: it was
    ended because of its caller, and says nothing of the backend.
    """

    status: int | None
    failure: Failure | None
    usage: Metered = _NONE
    model: str = ""
    seen: int = 0
    body: bytes = b""
    answer: Answer | None = None
    first_token_us: int | None = None
    called_off: bool = False

    @property
    def worked(self) -> bool:
        """Whether the backend may have done work that it bills."""
        return (
            self.failure is None or self.failure.ambiguous or self.seen > 0 or isinstance(self.usage, Usage)
        )


def late() -> Fault:
    """Some phase took too long."""
    return Fault(FaultKind.TIMEOUT, "the answer did not come in time")


def cut(fell: Fell) -> Fault:
    """A connection that was none, or broke."""
    if not fell.ambiguous:
        return Fault(FaultKind.UNREACHABLE, "the backend could not be reached")
    if fell.timed_out:
        return late()
    if fell.status is None:
        return Fault(FaultKind.UNREACHABLE, "the connection to the backend broke before its answer")
    return Fault(FaultKind.TRUNCATED, "the backend's answer ended before its end")
