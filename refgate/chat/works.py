"""What every chat call works with, and one call's own state. Nothing in here decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from refgate.chat.arrival import Asked
from refgate.chat.backends import Backends, Drains
from refgate.chat.cache import Cache
from refgate.chat.notes import Notes
from refgate.chat.outgoing import Place
from refgate.chat.records import AttemptEnd, ChatEnd, ChatStore
from refgate.chat.voice import Voice
from refgate.config.settings import Settings
from refgate.flows.works import Works
from refgate.headers import Pairs
from refgate.price_list import PriceList
from refgate.requestlog.log import RequestLog

__all__ = ["Call", "ChatWorks"]

_SETTLING_US = 30_000_000  # beside a call's own time: for its end to be written down


@dataclass(frozen=True, slots=True)
class ChatWorks:
    """Made once a start. `base` are the doors that all flows share."""

    base: Works
    store: ChatStore
    backends: Backends
    drains: Drains
    prices: PriceList
    cache: Cache | None
    log: RequestLog

    @property
    def settings(self) -> Settings:
        return self.base.settings

    def now_us(self) -> int:
        return self.base.clock()


@dataclass(slots=True)
class Call:
    """One call on its way. Owned by the one task that tells its story."""

    call_id: str
    asked: Asked
    voice: Voice
    notes: Notes
    created_us: int
    whole_us: int
    places: Mapping[Place, str] = field(default_factory=dict)  # where it may go, and its model's name there
    hold_nanos: int = 0
    opened: bool = False  # its row and its hold are written
    cache_key: str | None = None
    attempts: int = 0
    ended: AttemptEnd | None = None  # the last attempt's end, not written down yet
    doubtful: bool = False  # some attempt had no verdict: a retry could double the work
    unbilled: bool = False  # some attempt may be billed to the gateway, and is not to the caller
    end: ChatEnd | None = None  # as it was decided

    @property
    def deadline_us(self) -> int:
        return self.created_us + self.whole_us

    @property
    def marks(self) -> Pairs:
        """What every answer says of the cache, where it was asked."""
        return () if self.cache_key is None else (("x-cache", "MISS"),)

    @property
    def lease_us(self) -> int:
        """Until when the sweep keeps off."""
        return self.deadline_us + _SETTLING_US
