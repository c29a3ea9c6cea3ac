"""Acts of providers and of billing, of every kind in the vocabulary, with windows, counts and matches.

One table for each service: the kind, and how its parameters are drawn. The tables name every act there is
(a test says so). Which kinds an example may use is the caller's choice.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fakes.acts.play import IdempotencyMode, OddKind, Op, Reason, RetryAfterForm, UsageKind
from fakes.acts.vocabulary import BillingDo, ProviderDo
from scenarios.generate.plain import (
    Plain,
    Word,
    either,
    fields,
    nothing,
    sometimes,
    spans,
    whole,
)
from scenarios.generate.scripts import OF_ANY, Matching, acts_of

__all__ = ["BILLING_KINDS", "PROVIDER_KINDS", "billing_acts", "provider_acts"]

_STATUSES = (
    500,
    503,
    502,
    504,
    524,
    529,
    400,
    401,
    402,
    403,
    404,
    408,
    409,
    413,
    422,
    425,
    429,
    451,
    520,
    599,
)
_WITHOUT_BODY = (204, 205)
_AMOUNTS = ("0.25", "1", "0", "0.001", "0.3", "3.5", "7", "19.999", "1000")
_WORDS = ("POSTPROCESSING", "success", "SUCCESS ", "", "Succeeded", "done")
_USAGE_VALUES = (
    "0.3",
    "0",
    "-0",
    "1e2",
    "1E-3",
    ".5",
    "5.",
    "007",
    "+1",
    " 1",
    "1 ",
    "1,5",
    "1_000",
    "0x10",
    "٣",
    "0.0000000005",
    "0.00000000049",
    "4.999999999999999999999999999999999",
    "999999999999999999",
    "1e-400",
    "1e400",
    "true",
    "null",
    "{}",
)
_HEADERS = (
    ("x-internal-host", "10.1.2.3"),
    ("server", "nginx"),
    ("connection", "close, x-secret-hop"),
    ("keep-alive", "timeout=5"),
    ("transfer-encoding", "identity"),
    ("proxy-authenticate", "Basic"),
    ("www-authenticate", "Bearer"),
    ("location", "http://elsewhere.test/"),
    ("content-type", "text/plain"),
    ("content-encoding", "gzip"),
    ("content-encoding", "br"),
    ("content-length", "10"),
    ("content-length", "0"),
    ("content-length", "100000"),
    ("etag", '"abc"'),
    ("retry-after", "-1"),
    ("retry-after", "soon"),
    ("x-request-id", "r-1"),
    ("x-proxy-call-id", "call_forged"),
    ("x-refgate-error", "in_flight"),
    ("x-idempotent-replay", "true"),
    ("x-fal-billable-units", "0.01"),
)
_REMOVED = ("content-type", "content-length", "x-fal-billable-units", "date")


def _one_of(literal: Any) -> Word:
    return either(*typing.get_args(literal))


def _rarely(*choices: Any) -> Word:
    return sometimes(either(*choices))


_STATUS = either(200, 201, 202, *_WITHOUT_BODY, 400, 404, 500, 502, 503)
_KIND = _one_of(OddKind)
_SHOWN = _one_of(UsageKind)
_VALUE = either(*_USAGE_VALUES)
_PAIRS = st.lists(st.sampled_from(_HEADERS), min_size=1, max_size=3)
_GONE = sometimes(either(*_REMOVED))


def _odd_body(draw: DrawFn) -> Plain:
    status = _STATUS(draw)
    return {"kind": "empty" if status in _WITHOUT_BODY else _KIND(draw), "status": status}


def _usage(draw: DrawFn) -> Plain:
    shown = _SHOWN(draw)
    return {"shown": shown, "value": _VALUE(draw)} if shown == "value" else {"shown": shown}


def _header_set(draw: DrawFn) -> Plain:
    found: Plain = {"set": dict(draw(_PAIRS))}
    gone = _GONE(draw)
    return found if gone is None else {**found, "remove": [gone]}


def _cut(draw: DrawFn) -> Plain:
    found: Plain = (_CUT_AFTER if _CUT_AT_BYTES(draw) else _CUT_WITHIN)(draw)
    return found


def _losses(*statuses: int) -> Word:
    how = either("reset", "close", "never_answers", "error", "html", "invalid_json", "empty")
    return fields(how=how, status=_rarely(*statuses))


_ERROR = fields(
    status=either(*_STATUSES), code=_rarely("X1"), retry_after=sometimes(spans(1_000, 20_000, by_ms=1_000))
)
_WAIT = fields(retry_after=sometimes(spans(1_000, 20_000, by_ms=1_000)))
_CUT_AT_BYTES = either(True, False)
_CUT_AFTER = fields(after_bytes=whole(0, 200), how=_rarely("reset"))
_CUT_WITHIN = fields(fraction=either("0", "0.5", "0.99", "1"), how=_rarely("reset"))
_LATENCY = fields(
    by=spans(100, 20_000, by_ms=100),
    jitter=sometimes(spans(100, 5_000, by_ms=100)),
    ramp_to=sometimes(spans(1_000, 20_000, by_ms=1_000)),
    when=_rarely("work"),
)

PROVIDER_KINDS: Mapping[str, Word] = MappingProxyType(
    {
        "error": _ERROR,
        "rate_limited": fields(
            retry_after=sometimes(spans(1_000, 20_000, by_ms=500)),
            form=sometimes(_one_of(RetryAfterForm)),
            why=_rarely("parallel"),
        ),
        "quota": fields(
            limit=whole(0, 4),
            per=spans(1_000, 30_000, by_ms=1_000),
            form=sometimes(_one_of(RetryAfterForm)),
        ),
        "concurrency": fields(limit=whole(0, 3)),
        "rejected": fields(reason=_one_of(Reason), code=_rarely("E7")),
        "not_ready": _WAIT,
        "odd_body": _odd_body,
        "never_answers": nothing,
        "drop": nothing,
        "reset": nothing,
        "garbage": nothing,
        "accepted_and_lost": _losses(500, 502, 503, 524),
        "cut": _cut,
        "latency": _LATENCY,
        "answer_headers": _header_set,
        "set_cookie": nothing,
        "compressed": fields(encoding=either("gzip", "deflate")),
        "bloated": fields(bytes=either(1_000, 65_536, 65_537, 200_000)),
        "not_found_yet": fields(for_=sometimes(spans(500, 20_000, by_ms=500))),
        "expired": fields(after=spans(0, 20_000, by_ms=1_000)),
        "status_goes_backwards": nothing,
        "unknown_status": fields(word=_rarely(*_WORDS)),
        "disagreeing": nothing,
        "task_fails": fields(reason=sometimes(_one_of(Reason)), billed=_rarely(True)),
        "task_takes": fields(
            takes=spans(0, 90_000, by_ms=500),
            queued=sometimes(spans(0, 10_000, by_ms=500)),
            jitter=sometimes(spans(500, 20_000, by_ms=500)),
        ),
        "task_never_ends": nothing,
        "task_without_output": nothing,
        "task_ends_with_error": nothing,
        "task_costs": fields(units=either(*_AMOUNTS)),
        "usage": _usage,
        "idempotency": fields(mode=_one_of(IdempotencyMode)),
        "accepted_twice": nothing,
        "same_task_id": nothing,
    }
)

BILLING_KINDS: Mapping[str, Word] = MappingProxyType(
    {
        "down": _WAIT,
        "refuse": nothing,
        "error": _ERROR,
        "odd_body": _odd_body,
        "never_answers": nothing,
        "drop": nothing,
        "reset": nothing,
        "garbage": nothing,
        "applied_but_answer_lost": _losses(500, 502, 503),
        "cut": _cut,
        "latency": _LATENCY,
    }
)

_OPS_OF_PROVIDERS: tuple[Op, ...] = ("submit", "poll", "submit", "poll", "result", "find")
_OPS_OF_BILLING: tuple[Op, ...] = ("reserve", "finalize", "look_up")


def provider_acts(kinds: Collection[str]) -> Word:
    """One act of a provider, of one of these kinds."""
    return acts_of(ProviderDo, PROVIDER_KINDS, kinds, _ops(_OPS_OF_PROVIDERS))


def billing_acts(kinds: Collection[str]) -> Word:
    """One act of billing, of one of these kinds."""
    return acts_of(BillingDo, BILLING_KINDS, kinds, _ops(_OPS_OF_BILLING))


def _ops(ops: tuple[Op, ...]) -> Matching:
    return lambda met: _matching(tuple(op for op in ops if op in met))


@cache
def _matching(ops: tuple[Op, ...]) -> Word:
    """What a request must be: an op that the act can meet, and what goes with that op."""
    op_of = sometimes(either(*ops))
    of_a_poll = fields(stage=sometimes(either("running", "ended", "queued", "succeeded")))

    def word(draw: DrawFn) -> Plain:
        op = op_of(draw)
        found: Plain = {} if op is None else {"op": op}
        return {**found, **OF_ANY(draw), **(of_a_poll(draw) if op == "poll" else {})}

    return word
