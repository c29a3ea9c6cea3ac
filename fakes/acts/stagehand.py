"""Lets the acts of a script befall the requests of one service, and writes down which did.

The same for providers and billing: choose the answer act; let it stand instead of the work or let the
work be done; dress the answer; cut it where an act says so. An act that this server cannot play is
noted as not applied, and the request is served as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable

from fakes.acts.answers import Latency
from fakes.acts.play import Category, Play
from fakes.acts.player import Occasion, Player, Playing
from fakes.acts.script import Script
from fakes.acts.staging import Shape, breaks_connections, cut_short, dressed, instead, lost
from fakes.asgi import Request
from fakes.front import Outcome, Seen, Wait
from fakes.journal import ActPlayed, Journal

__all__ = ["UNWATCHED", "Stagehand"]


UNWATCHED = Occasion(since_us=0, op="", method="", path="", identity="", attempt=1)
"""Stands for any occasion where there is no act to ask about it."""


class Stagehand:
    """One script at work in one service."""

    def __init__(
        self,
        name: str,
        script: Script,
        *,
        journal: Journal,
        seed: int,
        clock: Callable[[], int],
        epoch_us: int,
    ) -> None:
        self._name = name
        self._journal = journal
        self._clock = clock
        self._epoch_us = epoch_us
        self._started_us = clock()
        self.player = Player(script, seed=seed, owner=name)

    def occasion(
        self,
        request: Request,
        seen: Seen,
        *,
        stage: str | None = None,
        task_age_us: int | None = None,
        since_end_us: int | None = None,
        tasks_running: int = 0,
        applied: bool = False,
    ) -> Occasion:
        """What the script may know of this request, now."""
        if self.player.idle:
            return UNWATCHED
        return Occasion(
            since_us=self._clock() - self._started_us,
            op=seen.op,
            method=request.method,
            path=request.path,
            identity=seen.identity,
            attempt=seen.attempt,
            nonce=seen.nonce,
            key=seen.key,
            account=seen.account,
            model=seen.model,
            stream=seen.stream,
            task_id=seen.task_id,
            stage=stage,
            task_age_us=task_age_us,
            since_end_us=since_end_us,
            tasks_running=tasks_running,
            applied=applied,
        )

    def note(self, request: Request, playing: Playing, *, applied: bool = True) -> None:
        self._journal.record(
            ActPlayed(t_us=self._clock(), at=self._name, seq=request.seq, act=playing.name, applied=applied)
        )

    def wait(self, request: Request, occasion: Occasion) -> Wait:
        playing = self.player.first(Category.DELAY, occasion)
        if playing is None:
            return Wait()
        self.note(request, playing)
        late = isinstance(playing.play, Latency) and playing.play.when == "work"
        return Wait(before_us=playing.delay_us) if late else Wait(after_us=playing.delay_us)

    def outcome(
        self,
        request: Request,
        occasion: Occasion,
        shape: Shape,
        *,
        can_break: bool,
        work: Callable[[], Outcome],
        undone: Callable[[Playing], None],
        instead: Callable[[Play, Shape, int], Outcome | None] = instead,
    ) -> Outcome:
        """The outcome of a request: `work` does it, `undone` hears of the act that stood in its place.

        A service with acts of its own that stand in place of the work brings its own `instead`.
        """
        playing = self._answer_act(request, occasion, can_break)
        if playing is None:
            return self._dressed(request, occasion, work(), can_break)
        outcome = instead(playing.play, shape, self._epoch_us + self._clock())
        if outcome is not None:
            undone(playing)
        else:
            outcome = lost(playing.play, work())
        return cut_short(playing.play, self._dressed(request, occasion, outcome, can_break))

    def _answer_act(self, request: Request, occasion: Occasion, can_break: bool) -> Playing | None:
        playing = self.player.first(Category.ANSWER, occasion)
        if playing is None:
            return None
        applied = can_break or not breaks_connections(playing.play)
        self.note(request, playing, applied=applied)
        return playing if applied else None

    def _dressed(self, request: Request, occasion: Occasion, outcome: Outcome, can_break: bool) -> Outcome:
        if outcome.ending.how != "whole":
            return outcome
        plays = []
        for playing in self.player.every(Category.HEADERS, occasion):
            applied = can_break or not breaks_connections(playing.play)
            self.note(request, playing, applied=applied)
            if applied:
                plays.append(playing.play)
        return outcome.with_reply(dressed(outcome.reply, plays, nonce=occasion.nonce))
