"""A task provider: one vendor's dialect, a script of acts, and the truth in the journal.

Time is given. A task's end is an instant computed when it is accepted, so nothing runs in between;
`settle(now)` writes down every end that has passed, with its own time, whether or not anybody polls.
Each request settles first, and whoever owns the provider settles once more at the end. A request is
decided at one instant: what it does is done whole, whatever becomes of its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fakes.acts.play import Category
from fakes.acts.player import Occasion, Playing
from fakes.acts.script import NO_ACTS, Script
from fakes.acts.stagehand import UNWATCHED, Stagehand
from fakes.acts.tasks import Expired, Idempotency, NotFoundYet, SameTaskId, TaskCosts
from fakes.asgi import App, Reply, Request, json_reply
from fakes.durations import EPOCH_US
from fakes.front import Front, Outcome, Seen, Wait
from fakes.journal import Headers, Journal, TaskRejected
from fakes.tasks.dialect import Asked, Dialect, View
from fakes.tasks.dialects import dialect_named
from fakes.tasks.plan import TaskPlan, cost_nanos
from fakes.tasks.views import bent, true_view
from fakes.tasks.work import Work
from fakes.tasks.workshop import Begun, Workshop

__all__ = ["TaskProvider"]

_ECHO = "/anything"
_USUAL = TaskPlan()


class TaskProvider:
    """A provider on one host: serve `app`, read the journal, call `settle` when the run is over.

    `key` is what requests must carry, in the vendor's own header. Whatever the vendor, `/anything/…`
    answers any method with what it was asked: a path without effect, for traffic that is only passed on.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect | str,
        *,
        journal: Journal,
        clock: Callable[[], int],
        script: Script = NO_ACTS,
        seed: int = 0,
        plan: TaskPlan = _USUAL,
        key: str | None = None,
        epoch_us: int = EPOCH_US,
    ) -> None:
        self.name = name
        self.dialect = dialect_named(dialect) if isinstance(dialect, str) else dialect
        self.key = f"canary-provider-{name}" if key is None else key
        _check_costs(script, plan)
        self._plan = plan
        self._journal = journal
        self._clock = clock
        self._epoch_us = epoch_us
        self._stagehand = Stagehand(name, script, journal=journal, seed=seed, clock=clock, epoch_us=epoch_us)
        self._workshop = Workshop(
            name,
            journal=journal,
            seed=seed,
            plan=plan,
            usage_type=self.dialect.usage_type,
            new_id=self.dialect.new_id,
        )
        self.app: App = Front(name, self, journal=journal, clock=clock)

    def settle(self, now_us: int | None = None) -> None:
        """Journals every task whose end has passed by `now_us` (by default: now)."""
        self._workshop.settle(self._clock() if now_us is None else now_us)

    def calm(self) -> None:
        """From now on the provider behaves: its script is over."""
        self._stagehand.player.end()

    # --- what the front asks ---

    def see(self, request: Request) -> Seen:
        asked = self._read(request)
        given = request.fields.get("nonce")
        nonce = given if isinstance(given, str) else None
        op = asked.op or "other"
        identity = asked.task_id or nonce or f"{request.method} {request.path}"
        return _Read(
            op=op,
            nonce=nonce,
            task_id=asked.task_id,
            key=request.header("idempotency-key"),
            identity=identity,
            attempt=self._stagehand.player.attempt(identity, op),
            asked=asked,
        )

    def wait(self, request: Request, seen: Seen) -> Wait:
        self.settle()
        return self._stagehand.wait(request, self._occasion(request, seen))

    def decide(self, request: Request, seen: Seen, *, can_break: bool) -> Outcome:
        assert isinstance(seen, _Read)  # as `see` made it
        self.settle()
        asked = seen.asked
        shape = _Shape(self.dialect, _request_id(self.name, request))
        refused = self.dialect.unauthorised(request, self.key, self._epoch_us + self._clock())
        if refused is not None:
            self._refused(request, seen, refused)
            return Outcome(shape.refusal(refused))
        occasion = self._occasion(request, seen)
        return self._stagehand.outcome(
            request,
            occasion,
            shape,
            can_break=can_break,
            work=lambda: self._work(request, seen, asked, occasion, shape),
            undone=lambda playing: self._refused(request, seen, _reason(playing)),
        )

    # --- the work ---

    def _work(self, request: Request, seen: Seen, asked: Asked, occasion: Occasion, shape: _Shape) -> Outcome:
        refused = "too_large" if request.body_too_large else asked.refused
        if refused is not None:
            self._refused(request, seen, refused)
            return Outcome(shape.refusal(refused))
        match asked.op:
            case "submit":
                return self._submit(request, seen, asked, occasion, shape)
            case "poll" | "result":
                return self._show(request, asked, occasion, shape)
            case "find":
                return self._find(request, asked, occasion, shape)
            case "cancel":
                return self._cancel(asked, shape)
            case "other":
                return Outcome(_echo(request, seen))
            case _:
                return Outcome(shape.refusal("no_route"))

    def _submit(
        self, request: Request, seen: Seen, asked: Asked, occasion: Occasion, shape: _Shape
    ) -> Outcome:
        if (repeated := self._repeated(request, seen, occasion, shape)) is not None:
            return Outcome(repeated)
        if self._workshop.full:
            self._refused(request, seen, "parallel")
            return Outcome(shape.refusal("parallel"))
        chosen = self._stagehand.player.each_kind(Category.TASK, occasion)
        for kind, playing in chosen.items():
            applied = kind is not SameTaskId or self._workshop.can_reuse_id()
            self._stagehand.note(request, playing, applied=applied)
        work = self._workshop.begin(request, seen, asked.label, chosen, self._clock())
        reply = self.dialect.accepted(self._view(work, shape))
        if seen.key is not None:
            self._workshop.remember(seen.key, Begun(request.body, reply))
        return Outcome(reply)

    def _repeated(self, request: Request, seen: Seen, occasion: Occasion, shape: _Shape) -> Reply | None:
        """The answer to an idempotency key that was seen before, or None where the work is to begin."""
        begun = self._workshop.begun_under(seen.key) if seen.key is not None else None
        if begun is None:
            return None
        mode = self._plan.idempotency
        playing = self._stagehand.player.first(Category.KEY, occasion)
        if playing is not None and isinstance(playing.play, Idempotency):
            mode = playing.play.mode
            self._stagehand.note(request, playing)
        if mode == "ignored":
            return None
        if mode == "honoured" and begun.body == request.body:
            return begun.reply
        refused = "conflict" if mode == "conflict" else "key_reused"
        self._refused(request, seen, refused)
        return shape.refusal(refused)

    def _show(self, request: Request, asked: Asked, occasion: Occasion, shape: _Shape) -> Outcome:
        work = self._workshop.get(asked.task_id)
        if work is None:
            return Outcome(self.dialect.not_found(asked.task_id or "", shape.request_id))
        view = self._view(work, shape)
        playing = self._stagehand.player.first(Category.VIEW, occasion)
        if playing is not None:
            self._stagehand.note(request, playing)
            if isinstance(playing.play, (NotFoundYet, Expired)):
                return Outcome(self.dialect.not_found(work.task_id, shape.request_id))
            view = bent(view, playing.play, work, self.dialect)
        reply = self.dialect.shown(view) if asked.op == "poll" else self.dialect.result(view)
        return Outcome(reply, shown=view.verdict, usage_shown=view.usage_shown)

    def _find(self, request: Request, asked: Asked, occasion: Occasion, shape: _Shape) -> Outcome:
        works = self._workshop.listed(asked.label)
        playing = self._stagehand.player.first(Category.VIEW, occasion)
        if playing is not None and isinstance(playing.play, NotFoundYet):
            self._stagehand.note(request, playing)
            young_us = playing.play.for_us
            now_us = self._clock()
            works = [work for work in works if young_us is not None and now_us - work.accepted_us >= young_us]
        views = [self._view(work, shape) for work in works]
        return Outcome(self.dialect.found(views, shape.request_id))

    def _cancel(self, asked: Asked, shape: _Shape) -> Outcome:
        work = self._workshop.get(asked.task_id)
        if work is None:
            return Outcome(self.dialect.not_found(asked.task_id or "", shape.request_id))
        in_time = self._workshop.cancel(work, self._clock())
        return Outcome(self.dialect.cancelled(self._view(work, shape), in_time=in_time))

    # --- small parts ---

    def _read(self, request: Request) -> Asked:
        if request.path == _ECHO or request.path.startswith(_ECHO + "/"):
            return Asked(op="other")
        return self.dialect.read(request)

    def _occasion(self, request: Request, seen: Seen) -> Occasion:
        if self._stagehand.player.idle:
            return UNWATCHED
        running = self._workshop.running
        work = self._workshop.get(seen.task_id)
        if work is None:
            return self._stagehand.occasion(request, seen, tasks_running=running)
        now_us = self._clock()
        stage = work.stage(now_us)
        return self._stagehand.occasion(
            request,
            seen,
            stage=stage.value,
            task_age_us=now_us - work.accepted_us,
            since_end_us=now_us - work.ends_us if stage.ended and work.ends_us is not None else None,
            tasks_running=running,
        )

    def _view(self, work: Work, shape: _Shape) -> View:
        return true_view(
            work, self.dialect, now_us=self._clock(), epoch_us=self._epoch_us, request_id=shape.request_id
        )

    def _refused(self, request: Request, seen: Seen, reason: str) -> None:
        if seen.op == "submit":
            self._journal.record(
                TaskRejected(
                    t_us=self._clock(), at=self.name, seq=request.seq, nonce=seen.nonce, reason=reason
                )
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read(Seen):
    """The same, with what the dialect makes of the request."""

    asked: Asked


@dataclass(frozen=True, slots=True)
class _Shape:
    """The dialect's refusals, for one request."""

    dialect: Dialect
    request_id: str

    def refusal(
        self,
        kind: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        headers: Headers = (),
    ) -> Reply:
        return self.dialect.refusal(
            kind, request_id=self.request_id, status=status, code=code, message=message, headers=headers
        )


def _request_id(name: str, request: Request) -> str:
    return f"{name}-{request.seq:08d}"


def _reason(playing: Playing) -> str:
    return getattr(playing.play, "reason", None) or playing.name


def _echo(request: Request, seen: Seen) -> Reply:
    """Shows what was asked and no header: a header may hold the key."""
    return json_reply(
        200,
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "nonce": seen.nonce,
            "body_bytes": len(request.body),
        },
    )


def _check_costs(script: Script, plan: TaskPlan) -> None:
    """Every act on units must come to whole nano-dollars at the plan's price: said now, not mid-run."""
    for act in script.acts:
        if isinstance(act.does.play, TaskCosts):
            cost_nanos(act.does.play.units, plan.unit_cost_nanos)
