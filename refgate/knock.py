"""A request as it came, and what every kind of call asks of it alike: a token, an account, a body.

What is refused here is refused with the same words whoever asks; in which protocol that is told, and who may
call at all, is the business of whoever calls.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from refgate.config.settings import Caller, Settings
from refgate.errors import Code, Refusal
from refgate.headers import Pairs

__all__ = ["Knock", "account_of", "bearer", "body_of"]

_THREAD = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Knock:
    """`raw_path` is undecoded; for task calls, what follows `/api/proxy`."""

    method: str
    raw_path: bytes
    raw_query: bytes
    headers: Pairs
    body: Callable[[int], Awaitable[bytes | None]]  # reads at most so many bytes; None where there are more

    def header(self, name: str) -> str | None:
        """The value of a header that may be given once."""
        values = [value for one, value in self.headers if one == name]
        if len(values) > 1:
            raise Refusal(Code.BAD_REQUEST, f"the header {name} is given more than once")
        return values[0] if values else None


def bearer(header: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def account_of(caller: Caller, knock: Knock) -> str:
    """The account that pays: the one that is asked for, where this caller may use it."""
    asked = knock.header("x-thread-id")
    if asked is None:
        return caller.accounts[0]
    if not _THREAD.fullmatch(asked):
        raise Refusal(Code.BAD_REQUEST, "X-Thread-Id is 1 to 128 characters of printable ASCII")
    if not caller.may_use(asked):
        raise Refusal(Code.ACCOUNT_FORBIDDEN, "this caller may not use that account")
    return asked


async def body_of(settings: Settings, knock: Knock) -> bytes:
    """All of it, in time and within the limit."""
    limit = settings.limits.request_body
    try:
        async with asyncio.timeout(settings.timeouts.read_us / 1e6):
            body = await knock.body(limit)
    except TimeoutError:
        raise Refusal(Code.BAD_REQUEST, "the body did not arrive in time") from None
    if body is None:
        raise Refusal(Code.BODY_TOO_LARGE, f"the body is larger than {limit} bytes")
    return body
