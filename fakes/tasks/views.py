"""A task as an answer shows it: the truth, or what an act makes of it for one poll."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from fakes.acts.play import Play
from fakes.acts.tasks import Disagreeing, StatusGoesBackwards, UnknownStatus
from fakes.tasks.dialect import Dialect, View
from fakes.tasks.work import Stage, Work

__all__ = ["bent", "true_view"]


def true_view(work: Work, dialect: Dialect, *, now_us: int, epoch_us: int, request_id: str) -> View:
    """What an honest answer shows now; its wall times are the epoch plus the service's own time."""
    stage = work.stage(now_us)
    error = dialect.words_for(work.reason or "task_failed") if stage is Stage.FAILED else None
    if error and work.under_success_word:
        stage = Stage.SUCCEEDED
    return View(
        task_id=work.task_id,
        stage=stage,
        word=None,
        error=error,
        output_url=_url(work) if stage is Stage.SUCCEEDED and error is None and work.output else None,
        usage=work.usage,
        label=work.label,
        path=work.path,
        input=work.input,
        base_url=work.base_url,
        accepted_us=epoch_us + work.accepted_us,
        started_us=epoch_us + work.starts_us,
        ended_us=epoch_us + work.ends_us if work.ends_us is not None and stage.ended else None,
        now_us=epoch_us + now_us,
        request_id=request_id,
    )


def bent(view: View, play: Play, work: Work, dialect: Dialect) -> View:
    """What an act shows in place of the truth."""
    match play:
        case StatusGoesBackwards():
            before = Stage.RUNNING if view.stage.ended else Stage.QUEUED
            return replace(view, stage=before, error=None, output_url=None, ended_us=None)
        case UnknownStatus(word=word):
            return replace(view, word=word, error=None, output_url=None)
        case Disagreeing() if view.verdict == "success":
            failed = dialect.words_for("task_failed")
            return replace(view, stage=Stage.FAILED, error=failed, output_url=None)
        case Disagreeing():
            return replace(view, stage=Stage.SUCCEEDED, error=None, output_url=_url(work))
        case _:
            return view


def _url(work: Work) -> str:
    """Carries the nonce of the request, so that a result shown to another caller is seen."""
    name = quote(work.nonce or "none", safe="", errors="surrogatepass")  # a nonce may be any text
    return f"https://files.test/{work.task_id}/{name}.mp4"
