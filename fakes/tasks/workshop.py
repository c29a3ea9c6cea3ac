"""Where a provider's tasks are kept and their truth is written down.

Begins work as the plan and the acts say, finds it again by id, label or key, ends it on time. Knows no
wire and asks no clock: every method is told what time it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heappop, heappush
from typing import TypeVar

from fakes.acts.play import Play
from fakes.acts.player import Playing
from fakes.acts.tasks import (
    AcceptedTwice,
    SameTaskId,
    TaskCosts,
    TaskEndsWithError,
    TaskFails,
    TaskNeverEnds,
    TaskTakes,
    TaskWithoutOutput,
    Usage,
)
from fakes.asgi import Reply, Request
from fakes.front import Seen
from fakes.journal import Journal, TaskAccepted, TaskEnded
from fakes.tasks.plan import TaskPlan, cost_nanos
from fakes.tasks.work import UsageType, Work, shown_usage

__all__ = ["TASKS_MAX", "Begun", "Chosen", "Workshop"]

TASKS_MAX = 1_000_000
"""A provider that holds so many tasks takes no more."""

Chosen = Mapping[type[Play], Playing]
"""The acts that bend one task, by kind."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The first use of an idempotency key: what it began and what was answered."""

    body: bytes
    reply: Reply


_P = TypeVar("_P", bound=Play)


class Workshop:
    """The tasks of one provider."""

    def __init__(
        self,
        name: str,
        *,
        journal: Journal,
        seed: int,
        plan: TaskPlan,
        usage_type: UsageType,
        new_id: Callable[[bytes], str],
    ) -> None:
        self._name = name
        self._journal = journal
        self._seed = seed
        self._plan = plan
        self._usage_type = usage_type
        self._new_id = new_id
        self._works: list[Work] = []
        self._by_id: dict[str, Work] = {}
        self._by_label: dict[str, list[Work]] = {}
        self._begun_of_nonce: dict[str, int] = {}
        self._keys: dict[str, Begun] = {}
        self._ends: list[tuple[int, int]] = []  # (when, index of the work)
        self._open = 0

    @property
    def full(self) -> bool:
        return len(self._works) >= TASKS_MAX

    @property
    def running(self) -> int:
        """Tasks accepted and not ended, as of the last `settle`."""
        return self._open

    def get(self, task_id: str | None) -> Work | None:
        """The newest task of this id, or of this label."""
        if task_id is None:
            return None
        return self._by_id.get(task_id) or next(iter(reversed(self._by_label.get(task_id, ()))), None)

    def listed(self, label: str | None, *, limit: int = 30) -> list[Work]:
        """The newest tasks first; those of a label where one is given."""
        works = self._works if label is None else self._by_label.get(label, [])
        return works[: -limit - 1 : -1]

    def begun_under(self, key: str) -> Begun | None:
        return self._keys.get(key)

    def remember(self, key: str, begun: Begun) -> None:
        """The first use of a key is kept; later ones change nothing."""
        self._keys.setdefault(key, begun)

    def begin(self, request: Request, seen: Seen, label: str | None, chosen: Chosen, now_us: int) -> Work:
        """Accepts one request's work (and a second time, where an act says so); answers the first."""
        work = self._start(request, seen, label, chosen, now_us)
        if AcceptedTwice in chosen:
            self._start(
                request, seen, label, {k: v for k, v in chosen.items() if k is not SameTaskId}, now_us
            )
        return work

    def can_reuse_id(self) -> bool:
        return bool(self._works)

    def cancel(self, work: Work, now_us: int) -> bool:
        """Ends a task that has not ended: nothing is billed. False where it was too late."""
        if work.stage(now_us).ended:
            return False
        work.cancelled, work.success, work.billed, work.ends_us = True, False, False, now_us
        self._settle_one(work)
        return True

    def settle(self, now_us: int) -> None:
        """Writes down every end that has passed, at its own time, in order of time."""
        while self._ends and self._ends[0][0] <= now_us:
            work = self._works[heappop(self._ends)[1]]
            if not work.settled:
                self._settle_one(work)

    def _settle_one(self, work: Work) -> None:
        assert work.ends_us is not None
        work.settled = True
        self._open -= 1
        billed = work.success or work.billed
        self._journal.record(
            TaskEnded(
                t_us=work.ends_us,
                at=self._name,
                task_id=work.task_id,
                success=work.success,
                units=work.units if billed else "0",
                cost_nanos=work.cost_nanos if billed else 0,
                usage_shown=work.usage.text if work.success else None,
                seq=work.seq,
            )
        )

    def _start(self, request: Request, seen: Seen, label: str | None, chosen: Chosen, now_us: int) -> Work:
        starts_us, ends_us = self._times(chosen, now_us)
        fails = _play(chosen, TaskFails)
        under_success_word = TaskEndsWithError in chosen
        costs = _play(chosen, TaskCosts)
        units = costs.units if costs else self._plan.units
        work = Work(
            task_id=self._id_for(request, seen, chosen),
            seq=request.seq,
            nonce=seen.nonce,
            key=seen.key,
            label=label,
            path=request.path,
            input=request.fields,
            base_url=request.base_url,
            accepted_us=now_us,
            starts_us=starts_us,
            ends_us=ends_us,
            success=fails is None and not under_success_word and self._plan.outcome == "success",
            reason=fails.reason if fails else None,
            under_success_word=under_success_word,
            billed=fails is not None and fails.billed,
            units=units,
            cost_nanos=cost_nanos(units, self._plan.unit_cost_nanos),
            usage=shown_usage(_play(chosen, Usage), units, self._usage_type),
            output=TaskWithoutOutput not in chosen,
        )
        self._keep(work)
        return work

    def _times(self, chosen: Chosen, now_us: int) -> tuple[int, int | None]:
        takes_us, queued_us = self._plan.takes_us, self._plan.queued_us
        if (takes := _play(chosen, TaskTakes)) is not None:
            jitter_us = int(chosen[TaskTakes].draw * takes.jitter) // 1_000 * 1_000
            takes_us = takes.takes + jitter_us
            queued_us = queued_us if takes.queued is None else takes.queued
        starts_us = now_us + queued_us
        return starts_us, None if TaskNeverEnds in chosen else starts_us + takes_us

    def _id_for(self, request: Request, seen: Seen, chosen: Chosen) -> str:
        """Depends on the caller's nonce and not on who else asked meanwhile."""
        if SameTaskId in chosen and self._works:
            return self._works[-1].task_id
        identity = seen.nonce if seen.nonce is not None else f"#{request.seq}"
        self._begun_of_nonce[identity] = nth = self._begun_of_nonce.get(identity, 0) + 1
        named = f"{self._seed}\0{self._name}\0{identity}\0{nth}".encode("utf-8", "surrogatepass")
        return self._new_id(blake2b(named, digest_size=16).digest())

    def _keep(self, work: Work) -> None:
        self._by_id[work.task_id] = work
        if work.label is not None:
            self._by_label.setdefault(work.label, []).append(work)
        if work.ends_us is not None:
            heappush(self._ends, (work.ends_us, len(self._works)))
        self._works.append(work)
        self._open += 1
        self._journal.record(
            TaskAccepted(
                t_us=work.accepted_us,
                at=self._name,
                seq=work.seq,
                task_id=work.task_id,
                nonce=work.nonce,
                key=work.key,
            )
        )


def _play(chosen: Chosen, kind: type[_P]) -> _P | None:
    playing = chosen.get(kind)
    return playing.play if playing and isinstance(playing.play, kind) else None
