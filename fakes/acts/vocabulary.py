"""The vocabulary of misbehaviour: every act by its name in a scenario file.

`do: {rate_limited: {retry_after: 30s}}` names exactly one act with its parameters. What each act is
stands in `fakes.acts.answers`, `fakes.acts.tasks` and `fakes.acts.chats`; when and whom it meets, in
`fakes.acts.script`.
"""

from __future__ import annotations

from pydantic import model_validator

from fakes.acts.answers import (
    AcceptedAndLost,
    AnswerHeaders,
    AppliedButAnswerLost,
    Bloated,
    Compressed,
    Concurrency,
    Cut,
    Down,
    Drop,
    Error,
    Garbage,
    Latency,
    NeverAnswers,
    NotReady,
    OddBody,
    Quota,
    RateLimited,
    Refuse,
    Rejected,
    Reset,
    SetCookie,
)
from fakes.acts.chats import (
    AnswerLeak,
    BrokenToolCall,
    ChatRateLimited,
    ChatTakes,
    ChatUsage,
    Completes,
    ContentFilter,
    CutStream,
    Duplicated,
    ErrorIn200,
    Framing,
    MalformedChunk,
    NoFinish,
    OddAnswer,
    Stall,
    StreamError,
    Truncated,
)
from fakes.acts.play import Play, Strict
from fakes.acts.tasks import (
    AcceptedTwice,
    Disagreeing,
    Expired,
    Idempotency,
    NotFoundYet,
    SameTaskId,
    StatusGoesBackwards,
    TaskCosts,
    TaskEndsWithError,
    TaskFails,
    TaskNeverEnds,
    TaskTakes,
    TaskWithoutOutput,
    UnknownStatus,
    Usage,
)

__all__ = ["BillingDo", "ChatDo", "Do", "ProviderDo"]


class Do(Strict):
    """Names exactly one act: `do: {rate_limited: {retry_after: 30s}}`."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Do:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(
                f"do names exactly one act, and here {', '.join(named) or 'none'}; "
                "an act without parameters is written `name: {}`"
            )
        return self

    @property
    def name(self) -> str:
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def play(self) -> Play:
        play = getattr(self, self.name)
        assert isinstance(play, Play)
        return play


class _AnyProviderDo(Do):
    """The acts of any provider, on its answers."""

    error: Error | None = None
    rate_limited: RateLimited | None = None
    quota: Quota | None = None
    concurrency: Concurrency | None = None
    rejected: Rejected | None = None
    not_ready: NotReady | None = None
    odd_body: OddBody | None = None
    never_answers: NeverAnswers | None = None
    drop: Drop | None = None
    reset: Reset | None = None
    garbage: Garbage | None = None
    accepted_and_lost: AcceptedAndLost | None = None
    cut: Cut | None = None
    latency: Latency | None = None
    answer_headers: AnswerHeaders | None = None
    set_cookie: SetCookie | None = None
    compressed: Compressed | None = None
    bloated: Bloated | None = None


class ProviderDo(_AnyProviderDo):
    """The acts of a task provider."""

    not_found_yet: NotFoundYet | None = None
    expired: Expired | None = None
    status_goes_backwards: StatusGoesBackwards | None = None
    unknown_status: UnknownStatus | None = None
    disagreeing: Disagreeing | None = None
    task_fails: TaskFails | None = None
    task_takes: TaskTakes | None = None
    task_never_ends: TaskNeverEnds | None = None
    task_without_output: TaskWithoutOutput | None = None
    task_ends_with_error: TaskEndsWithError | None = None
    task_costs: TaskCosts | None = None
    usage: Usage | None = None
    idempotency: Idempotency | None = None
    accepted_twice: AcceptedTwice | None = None
    same_task_id: SameTaskId | None = None


class ChatDo(_AnyProviderDo):
    """The acts of a provider of language models."""

    rate_limited: ChatRateLimited | None = None
    error_in_200: ErrorIn200 | None = None
    completes: Completes | None = None
    takes: ChatTakes | None = None
    content_filter: ContentFilter | None = None
    stream_error: StreamError | None = None
    stall: Stall | None = None
    truncated: Truncated | None = None
    cut_stream: CutStream | None = None
    malformed_chunk: MalformedChunk | None = None
    duplicated: Duplicated | None = None
    framing: Framing | None = None
    usage: ChatUsage | None = None
    no_finish: NoFinish | None = None
    odd_answer: OddAnswer | None = None
    broken_tool_call: BrokenToolCall | None = None
    answer_leak: AnswerLeak | None = None


class BillingDo(Do):
    """The acts of the billing service."""

    down: Down | None = None
    refuse: Refuse | None = None
    error: Error | None = None
    odd_body: OddBody | None = None
    never_answers: NeverAnswers | None = None
    drop: Drop | None = None
    reset: Reset | None = None
    garbage: Garbage | None = None
    applied_but_answer_lost: AppliedButAnswerLost | None = None
    cut: Cut | None = None
    latency: Latency | None = None
