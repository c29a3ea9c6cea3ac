"""What is declared of one route of a provider: what it takes, where the task is named, what it costs.

Knows nothing of how routes lead to each other: that is checked in `providers`.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from refgate.config.values import (
    Amount,
    HeaderName,
    JsonPathText,
    Many,
    Price,
    RoutePattern,
    Strict,
    Template,
)
from refgate.paths import Pattern

__all__ = ["METHOD", "QueryRoute", "ResultRoute", "SubmitRoute", "TaskIdPlace", "Usage", "UsageFrom"]


METHOD = r"^[A-Z]+$"


class SubmitRoute(Strict):
    """A request that starts a task and is billed."""

    match: RoutePattern
    task_id: JsonPathText
    hold: Amount | None = None
    rejection: Many[JsonPathText] = ()


class TaskIdPlace(Strict):
    """Where a request names its task: in the body, a captured path segment, or the query string."""

    body: JsonPathText | None = None
    path: str | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.body, self.path, self.query)) != 1:
            raise ValueError("task_id is exactly one of body, path and query")
        return self


class Usage(Strict):
    """What a success costs: units found at `path` or in `header`, times a price; or a flat amount.

    usage that would cost more than `max` is not believed; `estimate` is for the policy
    `missing_usage: estimate`.
    """

    path: JsonPathText | None = None
    header: HeaderName | None = None
    flat: Amount | None = None
    unit_price: Price | None = None
    max: Amount | None = None
    estimate: Amount | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.path, self.header, self.flat)) != 1:
            raise ValueError("usage is exactly one of path, header and flat")
        measured = {"unit_price": self.unit_price, "max": self.max}
        if self.flat is None:
            for name, value in measured.items():
                if value is None:
                    raise ValueError(f"usage.{name} is missing: usage that a provider reports needs it")
        else:
            for name, value in (*measured.items(), ("estimate", self.estimate)):
                if value is not None:
                    raise ValueError(f"usage.{name} has no effect beside flat")
        return self


class UsageFrom(Strict):
    """Where usage is read on success, for providers whose status answer does not have it."""

    method: Annotated[str, Field(pattern=METHOD)] = "GET"
    path: Template


class QueryRoute(Strict):
    """A request that asks how a task stands. Its first terminal answer ends the call."""

    match: RoutePattern
    task_id: TaskIdPlace
    status: JsonPathText
    success: Many[str]
    failure: Many[str] = ()
    failure_when: JsonPathText | None = None
    usage: Usage
    usage_from: UsageFrom | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if not self.success:
            raise ValueError("success lists at least one status word")
        if both := sorted(set(self.success) & set(self.failure)):
            raise ValueError(f"'{both[0]}' is both a success and a failure")
        if self.usage_from is not None and self.usage.flat is not None:
            raise ValueError("usage_from has no effect beside usage.flat")
        _captured(self.match, self.task_id)
        return self


class ResultRoute(Strict):
    """A request for what a task produced: only for its account, and without side effect."""

    match: RoutePattern
    task_id: TaskIdPlace

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        _captured(self.match, self.task_id)
        return self


def _captured(match: Pattern, place: TaskIdPlace) -> None:
    if place.path is not None and place.path not in match.names:
        raise ValueError(f"task_id.path names '{place.path}', which {match} does not capture")
