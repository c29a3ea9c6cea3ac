"""What is declared of one provider: where it is, its routes, how its answers are read, how doubt ends.

Everything here is checked when it is read, so that a call never meets a path that does not compile, a
poll that no query route understands, or an ambiguous submit that nothing could ever end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from refgate.config.routes import METHOD, QueryRoute, ResultRoute, SubmitRoute
from refgate.config.values import (
    Amount,
    BaseUrl,
    HeaderName,
    JsonPathText,
    Many,
    RoutePattern,
    SecretValue,
    Strict,
    Template,
)
from refgate.headers import may_be_allowed
from refgate.paths import Path, Pattern, fill, placeholders

__all__ = ["Ambiguous", "Auth", "Crossing", "Find", "Label", "Poll", "Provider"]

_EVERYTHING = (Pattern.parse("ANY /**"),)


class Auth(Strict):
    """The credential that the gateway puts on every request to the provider."""

    header: HeaderName = "authorization"
    value: str = "Bearer {key}"
    key: SecretValue

    @model_validator(mode="after")
    def _uses_its_key(self) -> Self:
        if self.value.count("{key}") != 1 or not re.fullmatch(r"[\x20-\x7e]+", self.value):
            raise ValueError("auth.value is printable text that contains {key} once")
        return self

    def pair(self) -> tuple[str, str]:
        return self.header, self.value.replace("{key}", self.key.reveal())


class Crossing(Strict):
    """Headers that may cross in addition to the built-in lists; a glob such as `x-fal-*` is allowed."""

    request: Many[str] = ()
    answer: Many[str] = ()

    @model_validator(mode="after")
    def _may_cross(self) -> Self:
        for name in (*self.request, *self.answer):
            if name != name.lower() or not re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~?-]+", name):
                raise ValueError(f"'{name}' is not a header name in lower case")
            if not may_be_allowed(name):
                raise ValueError(f"'{name}' may never cross, so that listing it has no effect")
        return self


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON template."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


class Poll(Strict):
    """How the gateway itself asks about a task: a template of a request that a query route understands."""

    method: Annotated[str, Field(pattern=METHOD)] = "GET"
    path: Template
    json_body: dict[str, Any] | None = Field(default=None, alias="json")


class Label(Strict):
    """Where a submit carries the gateway's own name for it: a header, or a field of its JSON body."""

    header: HeaderName | None = None
    body: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.header is None) == (self.body is None):
            raise ValueError("label is exactly one of header and body")
        if self.header is not None and not may_be_allowed(self.header):
            raise ValueError(f"'{self.header}' may never cross")
        return self


class Find(Strict):
    """How a submit is looked up by its label."""

    method: Annotated[str, Field(pattern=METHOD)] = "GET"
    path: Template
    task_id: JsonPathText


class Ambiguous(Strict):
    """Submits without a verdict: which statuses count as none, and how the truth is found out."""

    statuses: Many[Annotated[int, Field(ge=400, le=599)]] = (502, 504, 524)
    resolve: Literal["none", "resend", "find"] = "none"
    label: Label | None = None
    find: Find | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.resolve != "none" and self.label is None:
            raise ValueError(f"resolve: {self.resolve} needs a label that the submit carries")
        if (self.resolve == "find") != (self.find is not None):
            raise ValueError("find is given with resolve: find, and only then")
        if self.find is not None and "label" not in placeholders(self.find.path):
            raise ValueError("find.path does not contain {label}")
        return self


class Provider(Strict):
    """One provider."""

    enabled: bool = True
    base_url: BaseUrl
    auth: Auth
    hold: Amount
    headers: Crossing = Crossing()
    submit: Many[SubmitRoute] = ()
    query: Many[QueryRoute] = ()
    result: Many[ResultRoute] = ()
    passthrough: Many[RoutePattern] = _EVERYTHING
    poll: Poll | None = None
    ambiguous: Ambiguous = Ambiguous()

    @model_validator(mode="after")
    def _routes_lead_to_each_other(self) -> Self:
        label = self.ambiguous.label
        if label is not None and label.header == self.auth.header:
            raise ValueError(f"'{label.header}' carries the credential: the label needs a header of its own")
        if not self.submit:
            if self.query or self.result or self.poll or self.ambiguous.find:
                raise ValueError("query, result, poll and find have no effect without a submit route")
            return self
        if not self.query:
            raise ValueError("there is a submit route and no query route: no task would ever be charged")
        for one in self.query:
            if one.usage_from is not None:
                self._fillable(f"query '{one.match}': usage_from", one.usage_from.path, {"task_id"})
        if self.ambiguous.find is not None:
            self._fillable("ambiguous.find", self.ambiguous.find.path, {"label"})
        if self.poll is not None:
            for template in (self.poll.path, *_texts(self.poll.json_body)):
                self._fillable("poll", template, {"task_id"})
            for route in self.submit:
                self._understood(route, self.poll)
        return self

    def _fillable(self, where: str, template: str, known: set[str]) -> None:
        captured = frozenset.intersection(*(route.match.names for route in self.submit))
        for name in sorted(placeholders(template) - known - {"submit_path"} - captured):
            raise ValueError(f"{where}: nothing says what {{{name}}} stands for")

    def _understood(self, route: SubmitRoute, poll: Poll) -> None:
        if self.polled_by(route) is None:
            path = self._sample(route, poll)
            raise ValueError(f"poll asks {poll.method} {path.text}, which no query route matches")

    def polled_by(self, route: SubmitRoute) -> QueryRoute | None:
        """The query route that reads the answers to the gateway's own polls of this route's tasks."""
        if self.poll is None:
            return None
        method, path = self.poll.method, self._sample(route, self.poll)
        return next((one for one in self.query if one.match.match(method, path) is not None), None)

    def _sample(self, route: SubmitRoute, poll: Poll) -> Path:
        sample = route.match.sample()
        values = dict.fromkeys(route.match.names, "x") | {"submit_path": sample.text, "task_id": "x"}
        return Path.parse(fill(poll.path, values).partition("?")[0].encode())

    def hold_of(self, route: SubmitRoute) -> int:
        return self.hold if route.hold is None else route.hold
