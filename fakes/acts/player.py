"""Which act meets which request: a script at work.

For one request the first act of a category that matches plays; acts on headers and on tasks compose.
Acts that did not come to play are not used up. A draw depends on (seed, service, identity of the
request, its op, the how-many-th request of that identity it is, the act's place in the script) and on
nothing else: one more request of somebody else changes no one's fate. Counts, quotas and concurrency
are by nature shared; `per: identity` counts each nonce or task apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from fakes.acts.answers import Concurrency, Error, Latency, Quota, Refuse
from fakes.acts.play import Category, Play
from fakes.acts.script import Act, ChatMatch, Match, Script
from fakes.acts.tasks import Disagreeing, Expired, NotFoundYet, StatusGoesBackwards
from fakes.chance import chance

__all__ = ["Occasion", "Player", "Playing"]

_GRID_US = 1_000
_ENDS = ("succeeded", "failed", "cancelled")


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
    model: str | None = None
    stream: bool | None = None
    task_id: str | None = None
    stage: str | None = None
    task_age_us: int | None = None
    since_end_us: int | None = None  # of the task, where it has ended
    tasks_running: int = 0
    applied: bool = False  # what is asked for was done before, under the same key


@dataclass(frozen=True, slots=True)
class Playing:
    """An act that plays on this occasion."""

    name: str
    play: Play
    draw: float  # a second draw, for whatever the act leaves to chance

    @property
    def delay_us(self) -> int:
        """How late the answer is, where the act is a latency."""
        play = self.play
        return play.by + _on_grid(self.draw * play.jitter) if isinstance(play, Latency) else 0


def _on_grid(us: float) -> int:
    return int(us) // _GRID_US * _GRID_US


@dataclass(frozen=True, slots=True)
class _Line:
    """One act of the script, with its place and what it does."""

    index: int
    act: Act
    name: str
    play: Play


class Player:
    """Plays one script for one service, and keeps count."""

    def __init__(self, script: Script, *, seed: int, owner: str) -> None:
        self._seed = seed
        self._owner = owner
        self._lines: dict[Category, list[_Line]] = {category: [] for category in Category}
        for index, act in enumerate(script.acts):
            line = _Line(index, act, act.does.name, act.does.play)
            self._lines[line.play.category].append(line)
        self.idle = not script.acts
        self._attempts: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[int, str], int] = {}
        self._played: dict[tuple[int, str], int] = {}
        self._in_window: dict[int, tuple[int, int]] = {}  # act -> the window it is in, requests so far

    def attempt(self, identity: str, op: str) -> int:
        """The how-many-th request of this identity and op this one is, from 1. Asking counts."""
        if self.idle:
            return 1  # Nobody would draw: nothing to remember.
        self._attempts[identity, op] = number = self._attempts.get((identity, op), 0) + 1
        return number

    def end(self) -> None:
        """The script is over: no act plays any more. What acts made of tasks stays true of them."""
        self.idle = True
        for lines in self._lines.values():
            lines.clear()

    def first(self, category: Category, occasion: Occasion) -> Playing | None:
        """The first act of the category that plays; the others are not used up."""
        for line in self._lines[category]:
            if self._plays(line, occasion):
                return self._playing(line, occasion)
        return None

    def every(self, category: Category, occasion: Occasion) -> list[Playing]:
        """Every act of the category that plays, in file order."""
        lines = self._lines[category]
        return [self._playing(line, occasion) for line in lines if self._plays(line, occasion)]

    def each_kind(self, category: Category, occasion: Occasion) -> dict[type[Play], Playing]:
        """The first act of each kind that plays; a second of the same kind is not used up."""
        chosen: dict[type[Play], Playing] = {}
        for line in self._lines[category]:
            kind = type(line.play)
            if kind not in chosen and self._plays(line, occasion):
                chosen[kind] = self._playing(line, occasion)
        return chosen

    def _playing(self, line: _Line, occasion: Occasion) -> Playing:
        play = _ramped(line.act, line.play, occasion)
        return Playing(line.name, play, self._draw(line, occasion, "within"))

    def _draw(self, line: _Line, occasion: Occasion, what: str) -> float:
        identity, op, attempt = occasion.identity, occasion.op, occasion.attempt
        return chance(self._seed, self._owner, identity, op, attempt, line.index, what)

    def _plays(self, line: _Line, occasion: Occasion) -> bool:
        act, play = line.act, line.play
        if occasion.since_us < act.from_us or (
            act.until_us is not None and occasion.since_us >= act.until_us
        ):
            return False
        if occasion.op not in play.ops or not _matches(act.match, occasion) or not _fits(play, occasion):
            return False
        if isinstance(play, Quota) and not self._over_quota(line, play, occasion):
            return False
        counter = (line.index, occasion.identity if act.per == "identity" else "")
        if act.skip:
            self._seen[counter] = seen = self._seen.get(counter, 0) + 1
            if seen <= act.skip:
                return False
        if act.count is not None and self._played.get(counter, 0) >= act.count:
            return False
        if act.chance is not None and self._draw(line, occasion, "whether") >= act.chance:
            return False
        if act.count is not None:
            self._played[counter] = self._played.get(counter, 0) + 1
        return True

    def _over_quota(self, line: _Line, quota: Quota, occasion: Occasion) -> bool:
        window = (occasion.since_us - line.act.from_us) // max(1, quota.per)
        last, used = self._in_window.get(line.index, (window, 0))
        used = used + 1 if last == window else 1
        self._in_window[line.index] = (window, used)
        return used > quota.limit


def _ramped(act: Act, play: Play, occasion: Occasion) -> Play:
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
            return occasion.stage in _ENDS
        case Concurrency(limit=limit):
            return occasion.tasks_running >= limit
        case Refuse() | Error(status=402):
            return not occasion.applied  # a yes that was given under a key is not taken back
        case _:
            return True


def _matches(match: Match, occasion: Occasion) -> bool:
    if match.op is not None and match.op != occasion.op:
        return False
    if match.method is not None and match.method.upper() != occasion.method:
        return False
    if isinstance(match, ChatMatch) and not _matches_chat(match, occasion):
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
    return all(_fits_glob(pattern, value) for pattern, value in globs)


def _matches_chat(match: ChatMatch, occasion: Occasion) -> bool:
    if match.stream is not None and match.stream != occasion.stream:
        return False
    return _fits_glob(match.model, occasion.model)


def _fits_glob(pattern: str | None, value: str | None) -> bool:
    return pattern is None or (value is not None and fnmatchcase(value, pattern))


def _at_stage(wanted: str, stage: str | None) -> bool:
    return stage in _ENDS if wanted == "ended" else stage == wanted
