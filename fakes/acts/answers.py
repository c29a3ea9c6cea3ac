"""Acts on the answer: refused, broken, late, lost, or wearing the wrong headers.

They fit any service that answers HTTP, providers and billing alike. An act stands either *instead*
of the work (nothing was done) or *after* it (it was done, and the answer suffers): the difference
between a failure that is free and one that is not.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from fakes.acts.play import OPS_BILLED, Category, OddKind, Play, Reason, RetryAfterForm
from fakes.durations import DurationUs

__all__ = [
    "AcceptedAndLost",
    "AnswerHeaders",
    "AppliedButAnswerLost",
    "Bloated",
    "Compressed",
    "Concurrency",
    "Cut",
    "Down",
    "Drop",
    "Error",
    "Garbage",
    "Latency",
    "Loss",
    "Lost",
    "NeverAnswers",
    "NotReady",
    "OddBody",
    "Quota",
    "RateLimited",
    "Refuse",
    "Rejected",
    "Reset",
    "SetCookie",
]


# --- instead of the work: nothing is done, the request is only answered -------------------------


class Error(Play):
    """An error status in the provider's own shape."""

    status: int = Field(default=500, ge=400, le=599)
    code: str | None = None
    message: str | None = None
    retry_after: DurationUs | None = None


class RateLimited(Play):
    """The provider's rate limit, with `Retry-After` in one of its wild forms, or without."""

    retry_after: DurationUs | None = None
    form: RetryAfterForm = "seconds"
    why: Literal["rate", "parallel"] = "rate"


class Quota(Play):
    """A rate limit that starts after `limit` requests in each window of `per`."""

    limit: int = Field(ge=0)
    per: DurationUs = 60_000_000
    form: RetryAfterForm = "seconds"


class Concurrency(Play):
    """The limit on tasks at work: a submit beyond `limit` of them is refused."""

    ops: ClassVar[frozenset[str]] = OPS_BILLED
    limit: int = Field(ge=0)


class Rejected(Play):
    """A business rejection, in the provider's own shape (with some, HTTP 200)."""

    reason: Reason
    code: str | None = None
    message: str | None = None


class NotReady(Play):
    """503: the service is starting up or being maintained."""

    retry_after: DurationUs | None = None


class OddBody(Play):
    """A page, a text, broken JSON or JSON that is no object, under any status; nothing was done."""

    kind: OddKind
    status: int = Field(default=200, ge=200, le=599)

    @model_validator(mode="after")
    def _body_where_one_may_be(self) -> OddBody:
        if self.status in (204, 205, 304) and self.kind != "empty":
            raise ValueError(f"an answer with status {self.status} has no body: kind must be empty")
        return self


class NeverAnswers(Play):
    """The request is read and nothing happens until the client leaves; nothing was done."""


class Drop(Play):
    """The connection is closed before a byte of answer; nothing was done."""

    needs_wire: ClassVar[bool] = True


class Reset(Play):
    """The connection is reset before a byte of answer; nothing was done."""

    needs_wire: ClassVar[bool] = True


class Garbage(Play):
    """Bytes that are not HTTP, then close; nothing was done."""

    needs_wire: ClassVar[bool] = True


# --- after the work: it was done, its answer suffers --------------------------------------------

Loss = Literal["reset", "close", "never_answers", "error", "html", "invalid_json", "empty"]


class Lost(Play):
    """Base of the acts whose work is done and whose answer is lost."""

    how: Loss = "reset"
    status: int = Field(default=504, ge=500, le=599)


class AcceptedAndLost(Lost):
    """The work was taken on and will be billed, and the client never learns its task id.

    `error` answers `status` with a page (a load balancer's 504, a CDN's 524); `html`,
    `invalid_json` and `empty` answer 200.
    """

    ops: ClassVar[frozenset[str]] = OPS_BILLED


class AppliedButAnswerLost(Lost):
    """Billing applied the change, and the gateway never hears of it."""

    ops: ClassVar[frozenset[str]] = frozenset({"reserve", "finalize"})


class Cut(Play):
    """The answer is announced whole and cut after `after_bytes` of its body, or after `fraction` of it."""

    needs_wire: ClassVar[bool] = True
    after_bytes: int | None = Field(default=None, ge=0)
    fraction: str | None = Field(default=None, pattern=r"^(0(\.\d+)?|1)$")
    how: Literal["close", "reset"] = "close"

    @model_validator(mode="after")
    def _one_place(self) -> Cut:
        if (self.after_bytes is None) == (self.fraction is None):
            raise ValueError('cut says where: either after_bytes: 10 or fraction: "0.5"')
        return self

    def at(self, length: int) -> int:
        """How many of `length` bytes are handed over; at least one is always held back."""
        wanted = self.after_bytes if self.fraction is None else int(Decimal(self.fraction) * length)
        return max(0, min(wanted or 0, length - 1))


class Latency(Play):
    """The answer comes `by` later, and up to `jitter` more; with `ramp_to` it grows over the act's window.

    `when: answer` does the work at once and answers late; `when: work` starts the work late.
    """

    category: ClassVar[Category] = Category.DELAY
    by: DurationUs
    jitter: DurationUs = 0
    ramp_to: DurationUs | None = None
    when: Literal["answer", "work"] = "answer"


class AnswerHeaders(Play):
    """Headers set on the answer, whatever its body says: a wrong length, false encoding, hop-by-hop names."""

    category: ClassVar[Category] = Category.HEADERS
    set: dict[str, str] = Field(default_factory=dict)
    remove: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _can_be_written(self) -> AnswerHeaders:
        for name, value in self.set.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(f"{name!r} is no header name")
            if not re.fullmatch(r"[ -~]*", value):
                raise ValueError(f"{name}: a header value is printable ASCII, and not {value!r}")
            if name.lower() == "content-length" and not value.isdecimal():
                raise ValueError(f"content-length is a number, true or not, and not {value!r}")
        return self


class SetCookie(Play):
    """A cookie whose value is the nonce of the request, so that a replay to another caller is seen."""

    category: ClassVar[Category] = Category.HEADERS
    name: str = "session"


class Compressed(Play):
    """The body is really encoded, and says so."""

    category: ClassVar[Category] = Category.HEADERS
    encoding: Literal["gzip", "deflate"] = "gzip"


class Bloated(Play):
    """A JSON body is padded with spaces to `bytes`: still true, too large for a careful reader."""

    category: ClassVar[Category] = Category.HEADERS
    bytes: int = Field(ge=1, le=64 * 1024 * 1024)


# --- billing only ---------------------------------------------------------------------------------


class Down(Play):
    """503 from the billing service."""

    retry_after: DurationUs | None = None


class Refuse(Play):
    """402 from the billing service, whatever the balance; a key that holds already gets its hold again."""

    ops: ClassVar[frozenset[str]] = frozenset({"reserve"})
