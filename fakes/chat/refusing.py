"""How a provider of models refuses: a dialect's words for one request, and the acts that refuse by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fakes.acts.chats import ChatRateLimited, ErrorIn200
from fakes.acts.play import Play
from fakes.acts.staging import Shape, instead, retry_after
from fakes.asgi import Reply
from fakes.chat.dialect import ChatDialect, Refusal
from fakes.front import Outcome
from fakes.journal import Headers

__all__ = ["ChatShape", "instead_of_chat"]

_INCURABLE = ("money", "spend_limit")


@dataclass(frozen=True, slots=True)
class ChatShape:
    """The refusals of one dialect to one request. `always`: the headers of every answer, after so long."""

    dialect: ChatDialect
    request_id: str
    always: Callable[[int], Headers]

    def refusal(
        self,
        kind: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        headers: Headers = (),
    ) -> Reply:
        return self._refuse(kind, status=status, code=code, message=message, headers=headers)

    def limited(self, kind: str, wait_us: int, message: str | None = None) -> Reply:
        """A rate limit that says how long, in the vendor's own way."""
        headers = self.dialect.wait_headers(wait_us)
        return self._refuse(kind, message=message, headers=headers, wait_us=wait_us)

    def told_in_body(self, kind: str, wait_us: int) -> Reply:
        return self._refuse(kind, wait_us=wait_us)

    def _refuse(
        self,
        kind: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        headers: Headers = (),
        wait_us: int | None = None,
    ) -> Reply:
        return self.dialect.refuse(
            Refusal(
                kind=kind,
                request_id=self.request_id,
                status=status,
                code=code,
                message=message,
                headers=(*self.always(0), *headers),
                wait_us=wait_us,
            )
        )


def instead_of_chat(shape: ChatShape) -> Callable[[Play, Shape, int], Outcome | None]:
    """The outcome of an act in place of the work: those of chats, then those of any service."""

    def chosen(play: Play, any_shape: Shape, wall_us: int) -> Outcome | None:
        match play:
            case ChatRateLimited():
                return Outcome(_limited(play, shape, wall_us))
            case ErrorIn200(error=kind, message=message):
                return Outcome(replace(shape.refusal(kind, message=message), status=200))
            case _:
                return instead(play, any_shape, wall_us)

    return chosen


def _limited(play: ChatRateLimited, shape: ChatShape, wall_us: int) -> Reply:
    wait_us = None if play.why in _INCURABLE and play.form == "own" else play.retry_after
    if wait_us is None or play.form == "none":
        reply = shape.refusal(play.why)
    elif play.form == "own":
        reply = shape.limited(play.why, wait_us)
    elif play.form == "body":
        reply = shape.told_in_body(play.why, wait_us)
    else:
        reply = shape.refusal(play.why, headers=retry_after(wait_us, play.form, wall_us))
    if play.should_retry is None:
        return reply
    return replace(
        reply, headers=(*reply.headers, ("x-should-retry", "true" if play.should_retry else "false"))
    )
