"""Whether the run itself is sound: nothing crashed that nobody crashed, and nobody left the world.

Not an invariant of the gateway's promises but of any program: no answer of 500 in its own name, no
exception let out of an app, no deadlock or livelock, no call to a host that is not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from scenarios.checks import Breach, Finding, Verdict
from scenarios.history import AppFailed, Ended, Escaped, Got, History
from scenarios.outcomes import ERROR_HEADER, header

__all__ = ["NAME", "STATEMENT", "sound"]

NAME = "run-sound"
STATEMENT = (
    "The run ends of itself: no deadlock, no livelock, no ceiling. No app lets an exception out or answers "
    "500 in its own name. Nobody reaches for a host outside the world."
)

_BROKEN_OFF = "returned without completing response"
"""How an app breaks off an answer whose other half never came; no exception got out."""


def sound(history: History) -> Finding:
    """The finding on one run. There is always something to judge: that it ended."""
    breaches = [*_of_the_run(history), *_of_answers(history)]
    if not breaches:
        return Finding(NAME, Verdict.HOLDS, "the run ended of itself", judged=1)
    more = f" (and {len(breaches) - 1} more)" if len(breaches) > 1 else ""
    return Finding(NAME, Verdict.BROKEN, breaches[0].sentence + more, 1, len(breaches), tuple(breaches[:20]))


def _of_the_run(history: History) -> Iterator[Breach]:
    for ended in history.of(Ended):
        if ended.trouble is not None:
            yield Breach(f"the run did not end of itself: {ended.trouble}", (ended,))
    for failed in history.of(AppFailed):
        if _BROKEN_OFF not in failed.error:
            yield Breach(f"{failed.at} let an exception out: {failed.error}", (failed,))
    for escaped in history.of(Escaped):
        yield Breach(f"{escaped.at} reached for {escaped.host}, which is not in the world", (escaped,))


def _of_answers(history: History) -> Iterator[Breach]:
    for got in history.of(Got):
        if got.status != 500:
            continue
        code = header(got.headers, ERROR_HEADER)
        if code is not None or _is_a_servers_own(got):
            yield Breach(f"the gateway answered 500 ({code or 'no code'})", (got,))


def _is_a_servers_own(got: Got) -> bool:
    return got.body == b"Internal Server Error"
