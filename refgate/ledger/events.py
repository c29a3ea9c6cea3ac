"""What the deliverer and the reconciler did, as facts for the sink. See `refgate.events`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from refgate.events import Event

__all__ = ["Delivered", "OrphanReleased", "Overdue", "Postponed", "Stuck", "Swept", "careful"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Event):
    """Billing acknowledged the finalize of a call. Flag `unbillable`: it refused to open a hold for it."""

    kind: ClassVar[str] = "delivered"
    call_id: str
    intent_id: str
    amount_nanos: int
    tries: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed(Event):
    """A finalize got no verdict from billing, and will be sent again under the same key."""

    kind: ClassVar[str] = "postponed"
    level: ClassVar[str] = "warning"
    call_id: str
    intent_id: str
    tries: int
    error: str
    next_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck(Event):
    """Billing contradicts the ledger's decision. Somebody has to look; it is sent again, rarely."""

    kind: ClassVar[str] = "stuck"
    level: ClassVar[str] = "error"
    call_id: str
    intent_id: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept(Event):
    """The sweep found a call that nobody was attending to, in `state`, and left it in `now`."""

    kind: ClassVar[str] = "swept"
    call_id: str
    state: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue(Event):
    """A call is past its deadline without a verdict, and the declared policy is to keep asking."""

    kind: ClassVar[str] = "overdue"
    level: ClassVar[str] = "warning"
    call_id: str
    state: str
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanReleased(Event):
    """A hold that belonged to no living call was given back. `code` is set where billing said no."""

    kind: ClassVar[str] = "orphan-released"
    level: ClassVar[str] = "warning"
    hold_id: str
    call_id: str
    code: str | None = None


def careful(emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """The same sink, which can no longer stop the work: a log that cannot be written loses a line only."""

    def tell(event: Event) -> None:
        try:
            emit(event)
        except Exception:
            return  # there is nobody left to tell

    return tell
