"""The traffic of a scenario: when clients arrive, what they send, and what they do about the answers.

Tasks and raw requests stand here; chats in `scenarios.model.chat`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fakes.durations import DurationUs
from scenarios.model.parts import MINUTE_US, SECOND_US, HeaderMap, Name, Part
from scenarios.units import Rate, Size

__all__ = ["Again", "Arrivals", "HttpRequest", "HttpTraffic", "Poll", "Retry", "TaskTraffic"]

_CALLS_MAX = 200_000
_POLLS_MAX = 100_000


class Retry(Part):
    """When a client sends its request again: on these statuses, or when the answer was `lost`.

    `attempts` counts the first one too. The wait doubles up to `wait_max`, and is at least what a
    `Retry-After` of the answer says. Under a key, a retry is another attempt of the same call; without
    one it is a new call.
    """

    attempts: Annotated[int, Field(ge=1, le=50)] = 3
    on: Annotated[tuple[int | Literal["lost"], ...], Field(strict=False)] = (409, 429, 502, 503, 504, "lost")
    wait: DurationUs = 1 * SECOND_US
    wait_max: DurationUs = 30 * SECOND_US


class Again(Part):
    """After its answer the client sends the very same request again, so many times, so much later."""

    times: Annotated[int, Field(ge=1, le=20)] = 1
    after: DurationUs = 5 * SECOND_US


class Poll(Part):
    """How a client asks about its task until the answer is terminal, or until it gives up.

    `pollers` ask side by side; each asks `keep_polling` times more after the terminal answer. `also_by`
    are other accounts that ask about the task as well. `result` fetches the result where the wire has one.
    """

    every: DurationUs = 2 * SECOND_US
    give_up: DurationUs = 10 * MINUTE_US
    pollers: Annotated[int, Field(ge=1, le=50)] = 1
    keep_polling: Annotated[int, Field(ge=0, le=50)] = 0
    also_by: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    leaves_after: DurationUs | None = None
    result: bool = False

    @model_validator(mode="after")
    def _ends(self) -> Poll:
        if self.every * _POLLS_MAX < self.give_up:
            raise ValueError(f"more than {_POLLS_MAX} polls of one task: poll more rarely, or give up sooner")
        return self


class Arrivals(Part):
    """When the requests of one block of traffic begin, and how long its clients wait for an answer.

    Either each of `clients` starts at `at` (give or take a seeded `spread`) and does `times` calls one
    after another with a `pause` between; or, with `rate` and `for`, calls begin at that rate whatever
    becomes of earlier ones, evenly or at random.
    """

    send: str
    name: Name | None = None
    at: DurationUs = 0
    clients: Annotated[int, Field(ge=1, le=10_000)] = 1
    times: Annotated[int, Field(ge=1, le=100_000)] = 1
    pause: DurationUs = 1 * SECOND_US
    spread: DurationUs = 0
    rate: Rate | None = None
    lasting: DurationUs | None = Field(default=None, alias="for")
    arrivals: Literal["random", "even"] = "random"
    headers: HeaderMap = Field(default_factory=dict)
    timeout: DurationUs = 2 * MINUTE_US
    leaves_after: DurationUs | None = None

    @model_validator(mode="after")
    def _one_way_to_arrive(self) -> Arrivals:
        if (self.rate is None) != (self.lasting is None):
            raise ValueError("rate and for go together: so many calls a second, for so long")
        if self.rate is not None and self.times != 1:
            raise ValueError("either rate and for, or times: not both")
        given = self.model_fields_set
        if self.rate is not None and given & {"clients", "pause", "spread"}:
            raise ValueError("clients, pause and spread go with times, and not with rate and for")
        if self.rate is None and "arrivals" in given:
            raise ValueError("arrivals goes with rate and for")
        calls = self.clients * self.times
        if self.rate is not None and self.lasting is not None:
            calls = int(self.rate * self.lasting)
        if calls > _CALLS_MAX:
            raise ValueError(f"more than {_CALLS_MAX} calls in one block of traffic")
        return self


class TaskTraffic(Arrivals):
    """Clients that submit tasks and poll them. `key`: none, each call its own, or one shared by all.

    With a shared key all calls of the block are one logical call with one body. `copies` sends each
    request so many times at once; `repeat_with_other_body` sends another body under the key afterwards.
    `thread` is the `X-Thread-Id` header: the account to bill, where it is not the caller's first.
    `poll: null` means that nobody polls.
    """

    send: Literal["task"]
    provider: Name
    account: Name
    thread: str | None = None
    path: str | None = None
    body: dict[str, Any] = Field(default_factory=dict)
    key: Literal["own", "none", "shared"] = "own"
    copies: Annotated[int, Field(ge=1, le=50)] = 1
    again: Again | None = None
    repeat_with_other_body: bool = False
    retry: Retry | None = None
    poll: Poll | None = Poll()

    @model_validator(mode="after")
    def _repeats_need_a_key(self) -> TaskTraffic:
        repeats = self.copies > 1 or self.again is not None or self.repeat_with_other_body
        if self.key == "none" and repeats:
            raise ValueError("copies, again and repeat_with_other_body need a key: own or shared")
        return self


class HttpRequest(Part):
    """One raw request. At most one of `text`, `json` and `filler` (so many bytes of padding)."""

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")] = "GET"
    path: str
    headers: HeaderMap = Field(default_factory=dict)
    text: str | None = None
    json_body: Any = Field(default=None, alias="json")
    filler: Size | None = None
    wait: DurationUs = 0

    @model_validator(mode="after")
    def _one_body(self) -> HttpRequest:
        if sum(part is not None for part in (self.text, self.json_body, self.filler)) > 1:
            raise ValueError("a request has one body: text, json or filler")
        return self


class HttpTraffic(Arrivals):
    """Clients that send raw requests, one after another. With an `account` they carry its caller key."""

    send: Literal["http"]
    account: Name | None = None
    requests: Annotated[tuple[HttpRequest, ...], Field(strict=False, min_length=1, max_length=100)]
