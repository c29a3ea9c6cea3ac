"""What a configuration declares of one provider of tasks, as the checks read it: routes, prices, doubts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from scenarios.declared.reading import maybe_nanos, nanos_of, section, words_of

__all__ = ["Look", "Pattern", "Provider", "Query", "Submit", "Usage", "read_provider"]


_DOUBTFUL = frozenset({502, 504, 524})


class Pattern:
    """`METHOD /path` with `*` one segment, `**` the rest, `{name}` one named segment."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.method, _, path = text.strip().partition(" ")
        parts = re.split(r"(\*\*|\*|\{\w+\})", path.strip())
        self._path = re.compile("".join(map(self._part, parts)), re.DOTALL)

    @staticmethod
    def _part(part: str) -> str:
        if part == "**":
            return ".*"
        if part == "*":
            return "[^/]+"
        if part.startswith("{") and part.endswith("}"):
            return f"(?P<{part[1:-1]}>[^/]+)"
        return re.escape(part)

    def captures(self, method: str, path: str) -> Mapping[str, str] | None:
        """The named segments where it matches, None where it does not."""
        if self.method not in ("ANY", method):
            return None
        found = self._path.fullmatch(path)
        return None if found is None else found.groupdict()


@dataclass(frozen=True, slots=True)
class Usage:
    """How a success is priced: a flat amount, or so much a unit of what the answer shows."""

    flat_nanos: int | None = None
    unit_price: Fraction = Fraction(0)
    max_nanos: int | None = None
    estimate_nanos: int | None = None
    fetched: bool = False  # from another request than the poll itself
    header: str | None = None  # where it stands, if not in the body


@dataclass(frozen=True, slots=True)
class Submit:
    pattern: Pattern
    hold_nanos: int
    task_id: str | None  # JSONPath into the answer


@dataclass(frozen=True, slots=True)
class Look:
    """Where a request about a task says which: `place` is body, path or query, `name` what it is called."""

    pattern: Pattern
    place: str = "path"
    name: str = "task_id"


@dataclass(frozen=True, slots=True)
class Query:
    look: Look
    status: str | None
    success: frozenset[str]
    failure: frozenset[str]
    failure_when: str | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Provider:
    """One configured provider. `label`: where a submit carries the gateway's own name for it."""

    name: str
    host: str
    auth_header: str | None
    submits: tuple[Submit, ...]
    queries: tuple[Query, ...]
    results: tuple[Look, ...]
    request_headers: tuple[str, ...]
    answer_headers: tuple[str, ...]
    doubtful: frozenset[int] = _DOUBTFUL  # statuses that are no verdict on a submit
    resolve: str = "none"
    label_header: str | None = None
    label_field: str | None = None
    swept: bool = False  # whether the gateway is told how to ask about a task by itself

    def query_for(self, method: str, path: str) -> Query | None:
        found = (one for one in self.queries if one.look.pattern.captures(method, path) is not None)
        return next(found, None)

    def look_for(self, method: str, path: str) -> Look | None:
        """The route by which this request asks about a task; it comes before every submit."""
        looks = (*(query.look for query in self.queries), *self.results)
        return next((one for one in looks if one.pattern.captures(method, path) is not None), None)

    def submit_for(self, method: str, path: str) -> Submit | None:
        """The submit route that takes this request."""
        if self.look_for(method, path) is not None:
            return None
        return next((one for one in self.submits if one.pattern.captures(method, path) is not None), None)

    @property
    def usages(self) -> tuple[Usage, ...]:
        return tuple(query.usage for query in self.queries)


def read_provider(name: str, one: Mapping[str, Any]) -> Provider:
    ambiguous, headers = section(one, "ambiguous"), section(one, "headers")
    label, statuses = section(ambiguous, "label"), ambiguous.get("statuses")
    default_hold = one.get("hold", "0")
    return Provider(
        name=name,
        host=urlsplit(str(one.get("base_url", ""))).netloc,
        auth_header=str(section(one, "auth").get("header", "")).lower() or None,
        submits=tuple(
            Submit(Pattern(route["match"]), nanos_of(route.get("hold", default_hold)), route.get("task_id"))
            for route in one.get("submit") or ()
        ),
        queries=tuple(_query(route) for route in one.get("query") or ()),
        results=tuple(_look(route) for route in one.get("result") or ()),
        request_headers=tuple(word.lower() for word in words_of(headers.get("request"))),
        answer_headers=tuple(word.lower() for word in words_of(headers.get("answer"))),
        doubtful=_DOUBTFUL if statuses is None else frozenset(map(int, words_of(statuses))),
        resolve=str(ambiguous.get("resolve", "none")),
        label_header=str(label["header"]).lower() if label.get("header") is not None else None,
        label_field=str(label["body"]) if label.get("body") is not None else None,
        swept=one.get("poll") is not None,
    )


def _look(route: Mapping[str, Any]) -> Look:
    place, name = next(iter(section(route, "task_id").items()), ("path", "task_id"))
    return Look(Pattern(route["match"]), str(place), str(name))


def _query(route: Mapping[str, Any]) -> Query:
    usage = section(route, "usage")
    return Query(
        look=_look(route),
        status=route.get("status"),
        success=frozenset(words_of(route.get("success"))),
        failure=frozenset(words_of(route.get("failure"))),
        failure_when=route.get("failure_when"),
        usage=Usage(
            flat_nanos=maybe_nanos(usage, "flat"),
            unit_price=Fraction(Decimal(str(usage.get("unit_price", "0")))),
            max_nanos=maybe_nanos(usage, "max"),
            estimate_nanos=maybe_nanos(usage, "estimate"),
            fetched=route.get("usage_from") is not None,
            header=usage.get("header"),
        ),
    )
