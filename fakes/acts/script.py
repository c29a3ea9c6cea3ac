"""Scripts: when and whom an act meets, as a file says it.

An act matches by time window, by what the request is, by a seeded draw, and by count. For one request
the first act of a category that matches plays, in file order; acts on headers and on tasks compose. How
that is played, and what a draw depends on, is in `fakes.acts.player`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from fakes.acts.answers import Latency
from fakes.acts.play import BillingOp, ChatOp, Strict, TaskOp
from fakes.acts.vocabulary import BillingDo, ChatDo, Do, ProviderDo
from fakes.durations import DurationUs

__all__ = [
    "NO_ACTS",
    "Act",
    "BillingAct",
    "BillingMatch",
    "ChatAct",
    "ChatMatch",
    "Match",
    "ProviderAct",
    "Script",
    "StageName",
    "TaskMatch",
]

StageName = Literal["queued", "running", "succeeded", "failed", "cancelled", "ended"]


class Match(Strict):
    """What a request must be; `path`, `nonce`, `key`, `account` and `task` may hold `*` and `?`.

    `key` is the idempotency key the request carries; `stage` the true stage of the task it is about.
    Each kind of service says what its requests can be: an act for another kind's would never play.
    """

    op: str | None = None
    method: str | None = None
    path: str | None = None
    nonce: str | None = None
    key: str | None = None
    account: str | None = None
    task: str | None = None
    stage: StageName | None = None


class TaskMatch(Match):
    """What a request to a task provider must be."""

    op: TaskOp | None = None


class BillingMatch(Match):
    """What a request to the billing service must be."""

    op: BillingOp | None = None


class ChatMatch(Match):
    """What a chat must be; `model`, which may hold `*` and `?`, and `stream` are what it asks for."""

    op: ChatOp | None = None
    model: str | None = None
    stream: bool | None = None


class Act(Strict):
    """When and whom an act meets; what it does is in `do`.

    `from` and `until` count from the start of the service. `skip` lets the first n matching requests
    pass, `count` ends the act after it played n times, `per: identity` counts for each nonce or task
    apart. `chance` is the probability that a matching request is met.
    """

    from_us: DurationUs = Field(default=0, alias="from")
    until_us: DurationUs | None = Field(default=None, alias="until")
    skip: int = Field(default=0, ge=0)
    count: int | None = Field(default=None, ge=1)
    per: Literal["all", "identity"] = "all"
    match: Match = Match()
    chance: float | None = Field(default=None, ge=0, le=1)

    @property
    @abstractmethod
    def does(self) -> Do: ...

    @model_validator(mode="after")
    def _makes_sense(self) -> Act:
        if self.until_us is not None and self.until_us <= self.from_us:
            raise ValueError("until must lie after from")
        play, op = self.does.play, self.match.op
        if op is not None and op not in play.ops:
            raise ValueError(f"{self.does.name} never meets op {op}: it meets {', '.join(sorted(play.ops))}")
        if isinstance(play, Latency) and play.ramp_to is not None and self.until_us is None:
            raise ValueError("latency with ramp_to needs until: the end of the ramp")
        return self


class ProviderAct(Act):
    """An act of a task provider."""

    match: TaskMatch = TaskMatch()
    do: ProviderDo

    @property
    def does(self) -> Do:
        return self.do


class ChatAct(Act):
    """An act of a provider of language models."""

    match: ChatMatch = ChatMatch()
    do: ChatDo

    @property
    def does(self) -> Do:
        return self.do


class BillingAct(Act):
    """An act of the billing service."""

    match: BillingMatch = BillingMatch()
    do: BillingDo

    @property
    def does(self) -> Do:
        return self.do


@dataclass(frozen=True, slots=True)
class Script:
    """The acts of one service, in file order."""

    acts: tuple[Act, ...] = ()

    @classmethod
    def for_provider(cls, acts: Iterable[Mapping[str, Any]]) -> Script:
        return cls(tuple(ProviderAct.model_validate(act) for act in acts))

    @classmethod
    def for_chat(cls, acts: Iterable[Mapping[str, Any]]) -> Script:
        return cls(tuple(ChatAct.model_validate(act) for act in acts))

    @classmethod
    def for_billing(cls, acts: Iterable[Mapping[str, Any]]) -> Script:
        return cls(tuple(BillingAct.model_validate(act) for act in acts))


NO_ACTS = Script()
