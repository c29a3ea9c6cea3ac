"""What is declared of chat calls: attempts, waits, times, what a crash or a missing figure costs, the cache.

One set of policies for all models. They are given on as the values that the pure policies take, so that
nobody reads the same field in two ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refgate.config.models import Model
from refgate.config.problems import at
from refgate.config.values import Duration, Price, Size, SizeOrNone, Strict
from refgate.policy import backoff as waiting
from refgate.policy.breaker import BreakerRule
from refgate.policy.cooldown import CooldownRule
from refgate.policy.declared import Policy
from refgate.policy.rate import Window, lane_limit

__all__ = [
    "Backoff",
    "Breaker",
    "Cache",
    "Chat",
    "ChatTimeouts",
    "Cooldown",
    "Drain",
    "Emergency",
    "PrimaryWait",
    "RequestLog",
    "check_chat",
]

_MS = 1_000
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_DAY = 86_400 * _SECOND

_Count = Annotated[int, Field(ge=1, le=100_000)]


def _grows(first_us: int, max_us: int) -> None:
    if first_us > max_us:
        raise ValueError("first is longer than max")


class Backoff(Strict):
    """The rest between two rounds over the backends: the first, and the ceiling on its growth."""

    first_us: Duration = Field(default=250 * _MS, alias="first")
    max_us: Duration = Field(default=8 * _SECOND, alias="max")

    @model_validator(mode="after")
    def _grows(self) -> Self:
        _grows(self.first_us, self.max_us)
        return self


class PrimaryWait(Strict):
    """How often, and how long at most, a call waits for a primary pool that is not free."""

    times: Annotated[int, Field(ge=0, le=100)] = 0
    wait_us: Duration = Field(default=2 * _SECOND, alias="wait")


class Emergency(Strict):
    """The way past cooldowns and breakers when nothing is free: calls of one call, and the lane's rate."""

    calls: Annotated[int, Field(ge=1, le=100)] = 1
    rpm: _Count = 60
    fraction: Price = Decimal("0.1")

    @model_validator(mode="after")
    def _is_a_part(self) -> Self:
        if not 0 < self.fraction <= 1:
            raise ValueError('fraction is above 0 and at most 1, such as "0.1"')
        return self


class Cooldown(Strict):
    """How long a backend is left alone that asked for it, where it does not say so itself."""

    first_us: Duration = Field(default=5 * _SECOND, alias="first")
    max_us: Duration = Field(default=2 * _MINUTE, alias="max")

    @model_validator(mode="after")
    def _grows(self) -> Self:
        _grows(self.first_us, self.max_us)
        return self

    def rule(self) -> CooldownRule:
        return CooldownRule(self.first_us, self.max_us)


class Breaker(Strict):
    """Failures in a row that open it, how long it stays so, and how long a probe keeps others away."""

    failures: _Count = 5
    open_us: Duration = Field(default=30 * _SECOND, alias="open")
    lease_us: Duration = Field(default=30 * _SECOND, alias="lease")

    def rule(self) -> BreakerRule:
        return BreakerRule(self.open_us, self.lease_us, self.failures)


class ChatTimeouts(Strict):
    """How long each phase of one attempt may take; `whole` is the call's deadline, all attempts together."""

    connect_us: Duration = Field(default=5 * _SECOND, alias="connect")
    headers_us: Duration = Field(default=60 * _SECOND, alias="headers")
    first_token_us: Duration = Field(default=60 * _SECOND, alias="first_token")
    between_tokens_us: Duration = Field(default=30 * _SECOND, alias="between_tokens")
    whole_us: Duration = Field(default=5 * _MINUTE, alias="whole")


class Drain(Strict):
    """Streams whose callers left: how many are read on to their figures at once, and for how long each."""

    streams: _Count = 64
    within_us: Duration = Field(default=60 * _SECOND, alias="within")


class Chat(Strict):
    """The policies of all chat calls."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    backoff: Backoff = Backoff()
    primary_wait: PrimaryWait = PrimaryWait()
    emergency: Emergency = Emergency()
    cooldown: Cooldown = Cooldown()
    breaker: Breaker = Breaker()
    timeouts: ChatTimeouts = ChatTimeouts()
    drain: Drain = Drain()
    ambiguous: Literal["retry_if_idempotent", "never_retry", "always_retry"] = "retry_if_idempotent"
    client_leaves: Literal["drain", "abort"] = "drain"
    missing_usage: Literal["estimate", "hold", "zero"] = "estimate"
    unpriced_model: Literal["refuse", "zero"] = "refuse"
    usage_above_hold: Literal["charge_actual", "cap_at_hold"] = "charge_actual"
    all_open: Literal["emergency", "refuse"] = "emergency"

    def policy(self) -> Policy:
        """What a plan is made with."""
        return Policy(
            attempts_max=self.attempts,
            backoff=waiting.Backoff(self.backoff.first_us, self.backoff.max_us),
            primary_waits_max=self.primary_wait.times,
            primary_wait_us=self.primary_wait.wait_us,
            all_open=self.all_open,
            emergency_max=self.emergency.calls,
            ambiguous=self.ambiguous,
        )

    def lane(self) -> Window | None:
        """A new emergency lane, for one model; None where none is declared."""
        if self.all_open == "refuse":
            return None
        return Window(lane_limit(self.emergency.rpm, Fraction(self.emergency.fraction)))


class Cache(Strict):
    """Complete answers, kept for the same question: how long, how many, how large, and what a hit costs."""

    ttl_us: Duration = Field(default=5 * _MINUTE, alias="ttl")
    entries: _Count = 1000
    body: Size = 256 * 1024
    hit: Literal["free", "full_price"] = "free"


class RequestLog(Strict):
    """A row for each request. With a `body` above 0 the debug log is on, and bodies are cut at that size.

    Rows are written `batch` at a time, or `every` so often; they are kept for `keep`.
    """

    body: SizeOrNone = 0
    batch: _Count = 100
    every_us: Duration = Field(default=_SECOND, alias="every")
    keep_us: Duration = Field(default=7 * _DAY, alias="keep")


def check_chat(chat: Chat, models: Mapping[str, Model]) -> None:
    """Whether what is declared of chat calls can have an effect on these models."""
    if chat.primary_wait.times and not any(pool.primary for one in models.values() for pool in one.pools):
        raise at(("chat", "primary_wait"), "there is no pool with primary: true to wait for")
