"""When a hold must have ended, by what is declared and by what really became of the work behind it.

The one place that knows the deadlines of liveness: after calm, and after the truth could be known, the
sweeper and the deliverer have so long. A task that never ends, or an outcome that nobody can know, may
stay open as long as the declared policy says.
"""

from __future__ import annotations

from scenarios.checks.books import Hold
from scenarios.checks.parts import CallRow, Task
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared

__all__ = ["call_ends_by_us", "hold_ends_by_us"]


def hold_ends_by_us(hold: Hold, view: View, declared: Declared) -> int | None:
    """The latest time at which an honest gateway may still keep this hold open; None: for ever."""
    return call_ends_by_us(view.calls.get(hold.call_id), hold.opened_us, view, declared)


def call_ends_by_us(call: CallRow | None, opened_us: int, view: View, declared: Declared) -> int | None:
    """The latest time at which a call opened then may still be without its end; None: for ever."""
    if view.calm_us is None:
        return None
    if call is None or call.state not in ("new", "reserved", "submitting", "unknown", "running"):
        # A hold that its call never heard of is an orphan only once the call has ended.
        ended_us = 0 if call is None else int(call.row.get("updated_us", 0)) - declared.epoch_us
        return max(view.calm_us, opened_us, ended_us) + declared.delivers_within_us
    known_us: int | None = opened_us
    if call.state in ("unknown", "running"):
        known_us = _truth_known_us(call, view, declared)
        if known_us is None and declared.task_without_verdict == "release":
            known_us = opened_us + declared.verdict_within_us
    return None if known_us is None else max(view.calm_us, opened_us, known_us) + declared.ends_within_us


def _truth_known_us(call: CallRow, view: View, declared: Declared) -> int | None:
    """When a gateway that asks could know how the work ended; None where it cannot know at all."""
    if call.state == "running":
        task = view.task_of(call)
        return None if task is None or task.ended is None or not _answers(task, view) else task.ended.t_us
    provider = declared.providers.get(call.provider)
    if provider is None or provider.resolve == "none":
        return None
    if provider.resolve == "resend" and not _answers_again(call, view):
        return None
    tasks = [task for task in view.tasks_for(view.nonce_of(call.call_id)) if task.provider == call.provider]
    ended = [task.ended.t_us for task in tasks if task.ended is not None]
    return max(ended) if ended else None


def _answers(task: Task, view: View) -> bool:
    """Whether the provider would have told: nobody asked since it could, or somebody got an answer."""
    assert task.ended is not None
    since_us = max(task.ended.t_us, view.calm_us or 0)
    late = [one.answered for one in task.asked if one.received.t_us >= since_us]
    return not late or any(one is not None and one.complete and one.status == 200 for one in late)


def _answers_again(call: CallRow, view: View) -> bool:
    """Whether the provider, sent the submit again under its label, would tell of its task: one that only
    refuses the label as used (409) never does, and then nobody can know. The last answer says which: the
    one to the submit itself may have been told, and lost on its way."""
    since_us = view.calm_us or 0
    sent = view.submissions.get(view.nonce_of(call.call_id) or "", ())
    late = [one.answered for one in sent if one.received.t_us >= since_us]
    last = late[-1] if late else None
    return not late or (last is not None and last.complete and last.status is not None and last.status < 400)
