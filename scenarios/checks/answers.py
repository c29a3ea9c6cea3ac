"""Answers and time: that they come, come whole, and leave nothing behind."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from operator import attrgetter

from scenarios.checks.chat_streams import intact, silence, whole_or_error
from scenarios.checks.chat_view import ChatView, is_chat
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.handed import Handed
from scenarios.checks.parts import Exchange
from scenarios.checks.reading import read_json
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import History, LinkChanged, Resources

__all__ = [
    "CHECKS",
    "alive_afterwards",
    "answers_in_time",
    "bytes_intact",
    "no_truncated_success",
    "resources_return",
]


@check("answers-in-time", "time")
def answers_in_time(history: History, declared: Declared, tally: Tally) -> None:
    """Every request ends for its client within the declared time, with an answer or a broken connection,
    whatever phase the silence of a provider, of billing or of the store falls in; in a stream no silence
    between two tokens is longer than declared."""
    silence(history, declared, tally)
    view = View.of(history, declared)
    lines = _OwnLines(history, view)
    last_us = max(map(attrgetter("t_us"), history), default=0)
    for exchange in view.exchanges:
        sent, ended_us = exchange.sent, exchange.ended_us
        chats = declared.chat if is_chat(exchange) else None
        within_us = declared.answer_within_us if chats is None else chats.answer_within_us
        until_us = sent.t_us + within_us
        if lines.broken(exchange, until_us):
            continue
        if ended_us is None:
            if last_us < until_us and view.trouble is None:
                continue
            tally.saw()
            tally.breach(f"a {sent.op} of call {sent.call} never ended for its client", sent)
        elif not tally.keeps(ended_us <= until_us):
            tally.breach(
                f"a {sent.op} of call {sent.call} took {(ended_us - sent.t_us) / 1e6:.3f} s, and "
                f"{within_us / 1e6:.3f} s are declared",
                sent,
                exchange.got or exchange.left,
            )


class _OwnLines:
    """The clients' own lines to each replica: what befell them is nothing that the gateway could help."""

    def __init__(self, history: History, view: View) -> None:
        self._times_us: dict[str, list[int]] = defaultdict(list)
        for fact in history.of(LinkChanged):
            if fact.src.startswith("client"):
                self._times_us[fact.dst].append(fact.t_us)
        # A client has so many connections to a replica: one that waits holds up whoever comes after it.
        self._stuck_us: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for exchange in view.exchanges if self._times_us else ():
            since_us, until_us = exchange.sent.t_us, exchange.ended_us
            if until_us is not None and self._befell(exchange.sent.to, since_us, until_us):
                self._stuck_us[exchange.sent.to].append((since_us, until_us))

    def broken(self, exchange: Exchange, until_us: int) -> bool:
        """Whether the line was broken while the client waited, or still held up by one that was broken."""
        to, sent_us = exchange.sent.to, exchange.sent.t_us
        if self._befell(to, sent_us, until_us):
            return True
        return any(since_us < sent_us < ended_us for since_us, ended_us in self._stuck_us.get(to, ()))

    def _befell(self, to: str, since_us: int, until_us: int) -> bool:
        times_us = self._times_us.get(to, [])
        first = bisect_left(times_us, since_us)
        return first < len(times_us) and times_us[first] <= until_us


@check("alive-afterwards", "time")
def alive_afterwards(history: History, declared: Declared, tally: Tally) -> None:
    """After the faults are over, a plain call to each provider succeeds, and one to each model, unless all
    that its backends say is that their own limits are reached."""
    view = View.of(history, declared)
    probes = defaultdict(list)
    for exchange in view.exchanges:
        if exchange.sent.op == "probe" and view.calm_us is not None and exchange.sent.t_us >= view.calm_us:
            probes[exchange.sent.provider or _model_of(exchange)].append(exchange)
    chats = ChatView.of(history, declared)
    for name, exchanges in probes.items():
        if _is_full(exchanges, chats):
            continue
        alive = [one for one in exchanges if one.got is not None and one.got.outcome == "ok"]
        if not tally.keeps(bool(alive)):
            tally.breach(
                f"after the faults were over no plain call to {name} succeeded",
                *(fact for one in exchanges for fact in (one.sent, one.got)),
            )


def _model_of(exchange: Exchange) -> str:
    body = read_json(exchange.sent.body)
    model = body.get("model") if isinstance(body, dict) else None
    return exchange.sent.to if model is None else f"the model {model}"


def _is_full(exchanges: list[Exchange], chats: ChatView) -> bool:
    """Whether all that the backends said to these was that their own limits are reached."""
    nonces = {one.sent.nonce for one in exchanges if one.sent.nonce is not None}
    works = [work for nonce in sorted(nonces) for work in chats.works_of.get(nonce, ())]
    return bool(works) and all(
        work.refused is not None and work.refused.reason in ("rate", "tokens") and not work.acts
        for work in works
    )


@check("resources-return", "time")
def resources_return(history: History, declared: Declared, tally: Tally) -> None:
    """When all is over, a replica has no more tasks, open exchanges and connections than before the first
    request."""
    before: dict[str, Resources] = {}
    for fact in history.of(Resources):
        if fact.phase == "baseline":
            before.setdefault(fact.at, fact)
    for fact in history.of(Resources):
        base = before.get(fact.at)
        if fact.phase != "final" or base is None:
            continue
        for what in ("tasks", "exchanges", "connections"):
            now, then = getattr(fact, what), getattr(base, what)
            if not tally.keeps(now <= then):
                tally.breach(f"{fact.at} is left with {now} {what}, and began with {then}", base, fact)


@check("bytes-intact", "streams")
def bytes_intact(history: History, declared: Declared, tally: Tally) -> None:
    """What a provider answered reaches the caller as it is, status and bytes, whatever it is made of: an
    object, a list, a number, a page; also when it is given again. Of a chat the words and the arguments of
    tools come through, in their order, however they were cut in pieces; and a sound answer is not called off
    as one that broke."""
    intact(history, declared, tally)
    handed = Handed.of(history, declared)
    for exchange in View.of(history, declared).exchanges:
        if not handed.judged(exchange) or exchange.got is None:
            continue
        if not tally.keeps(handed.matches(exchange)):
            served = handed.by(exchange).served
            tally.breach(
                f"the answer to a {exchange.sent.op} of call {exchange.sent.call} ({exchange.got.status}, "
                f"{len(exchange.got.body)} bytes) is none that {exchange.sent.provider} gave",
                exchange.sent,
                exchange.got,
                *(one.answered for one in served),
            )


@check("no-truncated-success", "streams")
def no_truncated_success(history: History, declared: Declared, tally: Tally) -> None:
    """A caller gets the whole answer or an explicit error in its protocol; never a clean end of half an
    answer."""
    whole_or_error(history, declared, tally)
    handed = Handed.of(history, declared)
    for exchange in View.of(history, declared).exchanges:
        halves = handed.by(exchange).halves
        judged = exchange.own_code is not None or handed.judged(exchange)
        if not halves or exchange.answered is None or not judged:
            continue
        if not tally.keeps(exchange.own_code is not None or handed.matches(exchange)):
            tally.breach(
                f"{exchange.sent.provider} broke its answer off, and the caller was given "
                f"{exchange.answered.status} as if it were whole",
                halves[0],
                exchange.sent,
                exchange.got,
            )


CHECKS: tuple[Check, ...] = (
    answers_in_time,
    alive_afterwards,
    resources_return,
    bytes_intact,
    no_truncated_success,
)
