"""Which act meets which request.

A script is a list of acts in file order. For one request the first act of a category that matches
plays; acts on headers and on tasks compose. An act matches by time window, by what the request is,
by a seeded draw, and by count. Acts that did not come to play are not used up.

The draw depends on (seed, provider, identity of the request, its op, the how-many-th request of
that identity it is, the act's place in the script) and on nothing else: one more request of somebody
else changes no one's fate. Counts, quotas and concurrency are by nature shared; `per: identity`
counts each nonce or task apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field, model_validator

from fakes.acts import BillingDo, Do, ProviderDo
from fakes.answer_acts import Concurrency, Latency, Quota
from fakes.chance import chance
from fakes.durations import DurationUs
from fakes.play import Category, Op, Play, Strict
from fakes.task_acts import Disagreeing, Expired, NotFoundYet, StatusGoesBackwards

__all__ = [
    "NO_ACTS",
    "Act",
    "BillingAct",
    "Match",
    "Occasion",
    "Player",
    "Playing",
    "ProviderAct",
    "Script",
    "StageName",
]

StageName = Literal["queued", "running", "succeeded", "failed", "cancelled", "ended"]
_GRID_US = 1_000


class Match(Strict):
    """What a request must be; `path`, `nonce`, `key`, `account` and `task` may hold `*` and `?`.

    `key` is the idempotency key the request carries; `stage` the true stage of the task it is about.
    """

    op: Op | None = None
    method: str | None = None
    path: str | None = None
    nonce: str | None = None
    key: str | None = None
    account: str | None = None
    task: str | None = None
    stage: StageName | None = None


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
    def does(self) -> Do:
        raise NotImplementedError

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

    do: ProviderDo

    @property
    def does(self) -> Do:
        return self.do


class BillingAct(Act):
    """An act of the billing service."""

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
    def for_billing(cls, acts: Iterable[Mapping[str, Any]]) -> Script:
        return cls(tuple(BillingAct.model_validate(act) for act in acts))


NO_ACTS = Script()


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What a script may know of one request. `since_us`: time since the service started."""

    since_us: int
    op: str
    method: str
    path: str
    identity: str
    attempt: int
    nonce: str | None = None
    key: str | None = None
    account: str | None = None
    task_id: str | None = None
    stage: str | None = None
    task_age_us: int | None = None
    since_end_us: int | None = None  # of the task, where it has ended
    tasks_running: int = 0


@dataclass(frozen=True, slots=True)
class Playing:
    """An act that plays on this occasion."""

    name: str
    act: Act
    play: Play
    draw: float  # a second draw, for whatever the act leaves to chance

    @property
    def delay_us(self) -> int:
        """How late the answer is, where the act is a latency."""
        play = self.play
        return play.by + _on_grid(self.draw * play.jitter) if isinstance(play, Latency) else 0


def _on_grid(us: float) -> int:
    return int(us) // _GRID_US * _GRID_US


class Player:
    """Plays one script for one service, and keeps count."""

    def __init__(self, script: Script, *, seed: int, owner: str) -> None:
        self._seed = seed
        self._owner = owner
        self._by_category: dict[Category, list[tuple[int, Act]]] = {category: [] for category in Category}
        for index, act in enumerate(script.acts):
            self._by_category[act.does.play.category].append((index, act))
        self._attempts: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[int, str], int] = {}
        self._played: dict[tuple[int, str], int] = {}
        self._in_window: dict[int, tuple[int, int]] = {}  # act -> the window it is in, requests so far

    def attempt(self, identity: str, op: str) -> int:
        """The how-many-th request of this identity and op this one is, from 1. Asking counts."""
        if not any(self._by_category.values()):
            return 1  # Nobody would draw: nothing to remember.
        self._attempts[identity, op] = number = self._attempts.get((identity, op), 0) + 1
        return number

    def end(self) -> None:
        """The script is over: no act plays any more. What acts made of tasks stays true of them."""
        for acts in self._by_category.values():
            acts.clear()

    def first(self, category: Category, occasion: Occasion) -> Playing | None:
        """The first act of the category that plays; the others are not used up."""
        for index, act in self._by_category[category]:
            if self._plays(index, act, occasion):
                return self._playing(index, act, occasion)
        return None

    def every(self, category: Category, occasion: Occasion) -> list[Playing]:
        """Every act of the category that plays, in file order."""
        return [
            self._playing(index, act, occasion)
            for index, act in self._by_category[category]
            if self._plays(index, act, occasion)
        ]

    def each_kind(self, category: Category, occasion: Occasion) -> dict[type[Play], Playing]:
        """The first act of each kind that plays; a second of the same kind is not used up."""
        chosen: dict[type[Play], Playing] = {}
        for index, act in self._by_category[category]:
            kind = type(act.does.play)
            if kind not in chosen and self._plays(index, act, occasion):
                chosen[kind] = self._playing(index, act, occasion)
        return chosen

    def _playing(self, index: int, act: Act, occasion: Occasion) -> Playing:
        return Playing(act.does.name, act, _ramped(act, occasion), self._draw(index, occasion, "within"))

    def _draw(self, index: int, occasion: Occasion, what: str) -> float:
        return chance(self._seed, self._owner, occasion.identity, occasion.op, occasion.attempt, index, what)

    def _plays(self, index: int, act: Act, occasion: Occasion) -> bool:
        play = act.does.play
        if occasion.since_us < act.from_us or (
            act.until_us is not None and occasion.since_us >= act.until_us
        ):
            return False
        if occasion.op not in play.ops or not _matches(act.match, occasion) or not _fits(play, occasion):
            return False
        if isinstance(play, Quota) and not self._over_quota(index, act, play, occasion):
            return False
        counter = (index, occasion.identity if act.per == "identity" else "")
        if act.skip:
            self._seen[counter] = seen = self._seen.get(counter, 0) + 1
            if seen <= act.skip:
                return False
        if act.count is not None and self._played.get(counter, 0) >= act.count:
            return False
        if act.chance is not None and self._draw(index, occasion, "whether") >= act.chance:
            return False
        if act.count is not None:
            self._played[counter] = self._played.get(counter, 0) + 1
        return True

    def _over_quota(self, index: int, act: Act, quota: Quota, occasion: Occasion) -> bool:
        window = (occasion.since_us - act.from_us) // max(1, quota.per)
        last, used = self._in_window.get(index, (window, 0))
        used = used + 1 if last == window else 1
        self._in_window[index] = (window, used)
        return used > quota.limit


def _ramped(act: Act, occasion: Occasion) -> Play:
    play = act.does.play
    if not isinstance(play, Latency) or play.ramp_to is None or act.until_us is None:
        return play
    grown = (play.ramp_to - play.by) * (occasion.since_us - act.from_us) // (act.until_us - act.from_us)
    return play.model_copy(update={"by": play.by + grown // _GRID_US * _GRID_US})


def _fits(play: Play, occasion: Occasion) -> bool:
    """Whether the state of the world lets the act say anything at all."""
    match play:
        case NotFoundYet(for_us=for_us):
            age = occasion.task_age_us
            return occasion.op == "find" or (age is not None and (for_us is None or age < for_us))
        case Expired(after=after):
            return occasion.since_end_us is not None and occasion.since_end_us >= after
        case StatusGoesBackwards():
            return occasion.stage not in (None, "queued")
        case Disagreeing():
            return occasion.stage in ("succeeded", "failed", "cancelled")
        case Concurrency(limit=limit):
            return occasion.tasks_running >= limit
        case _:
            return True


def _matches(match: Match, occasion: Occasion) -> bool:
    if match.op is not None and match.op != occasion.op:
        return False
    if match.method is not None and match.method.upper() != occasion.method:
        return False
    if match.stage is not None and not _at_stage(match.stage, occasion.stage):
        return False
    globs = (
        (match.path, occasion.path),
        (match.nonce, occasion.nonce),
        (match.key, occasion.key),
        (match.account, occasion.account),
        (match.task, occasion.task_id),
    )
    return all(
        pattern is None or (value is not None and fnmatchcase(value, pattern)) for pattern, value in globs
    )


def _at_stage(wanted: str, stage: str | None) -> bool:
    return stage in ("succeeded", "failed", "cancelled") if wanted == "ended" else stage == wanted
