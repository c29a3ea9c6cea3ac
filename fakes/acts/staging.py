"""From an act on the answer to the answer: what a client is to see when the act plays.

`instead` answers without the work, `lost` and `cut_short` let the answer of done work suffer, `dressed`
changes headers and encoding. Each service lends its own shape of errors (`Shape`); pages, broken JSON
and broken connections look the same everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Protocol
from urllib.parse import quote

from fakes.acts.answers import (
    AnswerHeaders,
    Bloated,
    Compressed,
    Concurrency,
    Cut,
    Down,
    Drop,
    Error,
    Garbage,
    Lost,
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
from fakes.acts.play import OddKind, Play, RetryAfterForm
from fakes.asgi import Ending, Reply
from fakes.front import Outcome
from fakes.journal import Headers

__all__ = ["Shape", "breaks_connections", "cut_short", "dressed", "instead", "lost", "retry_after"]

_ODD: dict[OddKind, tuple[str, bytes]] = {
    "html": (
        "text/html",
        b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>"
        b"</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
    ),
    "text": ("text/plain", b"upstream connect error or disconnect/reset before headers"),
    "invalid_json": ("application/json", b'{"status":"RUNN'),
    "empty": ("application/json", b""),
    "list": ("application/json", b"[]"),
    "string": ("application/json", b'"ok"'),
    "null": ("application/json", b"null"),
    "number": ("application/json", b"1"),
    "empty_object": ("application/json", b"{}"),
}


class Shape(Protocol):
    """How a service words its refusals. `kind` is a reason of business, or `rate`, `unavailable` …"""

    def refusal(
        self,
        kind: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        headers: Headers = (),
    ) -> Reply: ...


def breaks_connections(play: Play) -> bool:
    """Whether the act can only be played by a server that can break connections."""
    match play:
        case Lost(how=how):
            return how in ("reset", "close")
        case AnswerHeaders(set=given):
            return any(name.lower() == "content-length" for name in given)
        case _:
            return play.needs_wire


def retry_after(us: int | None, form: RetryAfterForm, wall_us: int) -> Headers:
    """The header that asks a client to wait, in one of the forms seen in the wild."""
    if us is None or form == "none":
        return ()
    seconds = -(-us // 1_000_000)
    match form:
        case "seconds":
            return (("retry-after", str(seconds)),)
        case "fraction":
            return (("retry-after", f"{Decimal(us) / 1_000_000:.3f}"),)
        case "date":
            due = datetime.fromtimestamp(-(-(wall_us + us) // 1_000_000), UTC)
            return (("retry-after", format_datetime(due, usegmt=True)),)
        case "ms":
            return (("retry-after-ms", str(us // 1_000)),)


def instead(play: Play, shape: Shape, wall_us: int) -> Outcome | None:
    """The outcome of an act that stands in place of the work, or None where the work is to be done."""
    match play:
        case Error(status=status, code=code, message=message, retry_after=wait):
            headers = retry_after(wait, "seconds", wall_us)
            kind = _kind_of_status(status)
            return Outcome(shape.refusal(kind, status=status, code=code, message=message, headers=headers))
        case RateLimited(retry_after=wait, form=form, why=why):
            return Outcome(shape.refusal(why, headers=retry_after(wait, form, wall_us)))
        case Quota(per=per, form=form):
            return Outcome(shape.refusal("rate", headers=retry_after(per, form, wall_us)))
        case Concurrency():
            return Outcome(shape.refusal("parallel"))
        case Rejected(reason=reason, code=code, message=message):
            return Outcome(shape.refusal(reason, code=code, message=message))
        case Refuse():
            return Outcome(shape.refusal("insufficient_balance"))
        case NotReady(retry_after=wait) | Down(retry_after=wait):
            return Outcome(shape.refusal("unavailable", headers=retry_after(wait, "seconds", wall_us)))
        case OddBody(kind=kind, status=status):
            return Outcome(_odd(kind, status))
        case NeverAnswers():
            return Outcome(Reply(504), Ending("silence"))
        case Drop():
            return Outcome(Reply(502), Ending("close"))
        case Reset():
            return Outcome(Reply(502), Ending("reset"))
        case Garbage():
            return Outcome(Reply(502), Ending("garbage"))
        case _:
            return None


def lost(play: Play, outcome: Outcome) -> Outcome:
    """What the client gets for work that was done, where the act loses its answer."""
    return _lost(play.how, play.status) if isinstance(play, Lost) else outcome


def cut_short(play: Play, outcome: Outcome) -> Outcome:
    """The finished answer, cut where the act says so."""
    if not isinstance(play, Cut):
        return outcome
    return replace(outcome, ending=Ending("cut", play.at(len(outcome.reply.body)), play.how))


def _lost(how: str, status: int) -> Outcome:
    match how:
        case "reset":
            return Outcome(Reply(502), Ending("reset"))
        case "close":
            return Outcome(Reply(502), Ending("close"))
        case "never_answers":
            return Outcome(Reply(504), Ending("silence"))
        case "error":
            return Outcome(_odd("html", status))
        case "html":
            return Outcome(_odd("html", 200))
        case "invalid_json":
            return Outcome(_odd("invalid_json", 200))
        case _:
            return Outcome(_odd("empty", 200))


def _odd(kind: OddKind, status: int) -> Reply:
    content_type, body = _ODD[kind]
    return Reply(status, body, (("content-type", content_type),))


def _kind_of_status(status: int) -> str:
    """The refusal whose words go best with a status; the status itself is given beside it."""
    kinds = {
        400: "parameters",
        401: "bad_key",
        402: "insufficient_balance",
        403: "permission",
        404: "task_not_found",
        409: "conflict",
        413: "too_large",
        422: "parameters",
        429: "rate",
        503: "unavailable",
    }
    return kinds.get(status, "server")


_BODILESS = frozenset({204, 304})


def _packed(body: bytes) -> bytes:
    """As gzip. Not by `gzip.compress`, whose header differs between versions of Python."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


def dressed(reply: Reply, plays: Iterable[Play], *, nonce: str | None) -> Reply:
    """The reply as it goes out: acts on headers in file order, then a true length unless one was given."""
    headers, body = list(reply.headers), reply.body
    removed: set[str] = set()
    for play in plays:
        match play:
            case AnswerHeaders(set=given, remove=remove):
                gone = {name.lower() for name in remove}
                removed |= gone
                replaced = gone | {name.lower() for name in given}
                headers = [(name, value) for name, value in headers if name not in replaced]
                headers += [(name.lower(), value) for name, value in given.items()]
            case SetCookie(name=name):
                value = quote(nonce or "none", safe="", errors="surrogatepass")  # a nonce may be any text
                headers.append(("set-cookie", f"{name}={value}; Path=/"))
            case Compressed() | Bloated() if reply.status in _BODILESS:
                continue  # there is nothing to pack or to pad
            case Compressed(encoding=encoding):
                body = _packed(body) if encoding == "gzip" else zlib.compress(body)
                headers.append(("content-encoding", encoding))
            case Bloated(bytes=size):
                body += b" " * (size - len(body))
    told = "content-length" not in removed and not reply.chunked
    if told and not any(name == "content-length" for name, _ in headers):
        headers.append(("content-length", str(len(body))))
    return Reply(reply.status, body, tuple(headers), reply.chunked)
