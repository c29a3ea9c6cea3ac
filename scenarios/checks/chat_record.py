"""What is kept of chats beside their calls: the request log, the debug log, answers in the cache."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from scenarios.checks.books import Books
from scenarios.checks.chat_parts import ChatCall, Work
from scenarios.checks.chat_view import ChatView
from scenarios.checks.chat_voices import Voices
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.parts import Exchange, Row, rows
from scenarios.checks.reading import read_json
from scenarios.declared.chat import Cache
from scenarios.declared.gateway import Declared
from scenarios.history import GatewayLogged, Heard, History, Observed
from scenarios.units import amount_text

__all__ = ["CHECKS", "cache_honest", "requests_logged"]

_YOUNG_US = 15_000_000  # a row may wait so long for its batch and for the table to be read
_CUT_MARK = 256  # what a cut body may be longer by, in marks and masks
_UNLOGGED = "request-unlogged"  # the event that stands for a row where there was no room for one
_OF_THE_TELLING = ("stream", "stream_options")
_NOT_WHOLE = frozenset(
    {"content_filter", "incomplete", "length", "MAX_TOKENS", "max_tokens", "pause_turn", "refusal", "SAFETY"}
)
"""Ends, in each protocol's word, of answers that another time would be other ones."""


@check("requests-logged", "record", of_chats=True)
def requests_logged(history: History, declared: Declared, tally: Tally) -> None:
    """Every request to a route of chat that was answered, a refused one too, has exactly one row in the
    request log, with its true status, account and charge, also through a crash and an outage of the store,
    for as long as declared; one for which there was no room is told of by a line of the log. Bodies are kept
    only where the debug log is on, and no longer than declared."""
    chat = declared.chat
    readings = [one for one in history.of(Observed) if one.final and one.what == "requests"]
    if chat is None or not readings:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    counted = Counter(str(row["request_id"]) for one in readings[-1:] for row in one.rows)
    logged = {str(row["request_id"]): (row, observed) for row, observed in rows(history, "requests")}
    read_us = readings[-1].t_us
    since_us, until_us = read_us - chat.log_keep_us + _YOUNG_US, read_us - _YOUNG_US
    told = "\n".join(one.text for one in history.of(GatewayLogged) if one.event == _UNLOGGED)
    for request_id, exchange in view.asking.items():
        answered = exchange.answered
        if not since_us <= exchange.sent.t_us <= until_us or request_id in told:
            continue
        if answered is None and request_id not in logged:
            continue  # what was cut off may have ended with its replica
        if not tally.keeps(counted[request_id] == 1):
            tally.breach(
                f"request {request_id} has {counted[request_id]} rows in the request log",
                exchange.sent,
                answered,
            )
            continue
        row, observed = logged[request_id]
        wrong = []
        if answered is not None and row["status"] != answered.status:
            wrong.append(f"status {row['status']}, and it was answered {answered.status}")
        if exchange.account and row["account"] not in (None, exchange.account):
            wrong.append(f"account {row['account']}, and {exchange.account} asked")
        charged = books.charged_nanos(request_id)
        if int(row["amount_nanos"] or 0) != charged and not _is_lost(view.calls.get(request_id)):
            wrong.append(
                f"{amount_text(int(row['amount_nanos'] or 0))}, and {amount_text(charged)} was charged"
            )
        if wrong:
            tally.breach(
                f"request {request_id} is logged with {'; '.join(wrong)}",
                exchange.sent,
                _narrowed(observed, row),
            )
    for call in view.calls.values():
        if not since_us <= int(call.row["created_us"]) - declared.epoch_us <= until_us:
            continue
        known = call.call_id in logged or call.open or call.outcome == "lost" or call.call_id in told
        if not tally.keeps(known):
            tally.breach(f"call {call.call_id} has no row in the request log", call.fact)
    _judge_debug(history, chat.debug_body, tally)


def _narrowed(observed: Observed, row: Row) -> Observed:
    return replace(observed, rows=(row,))


def _is_lost(call: ChatCall | None) -> bool:
    """Whether the call was settled after its replica had gone, and its row written before."""
    return call is not None and (call.open or call.outcome == "lost")


def _judge_debug(history: History, body_max: int, tally: Tally) -> None:
    for row, observed in rows(history, "debug"):
        if body_max == 0:
            tally.saw()
            tally.breach("the debug log is off, and has rows", observed)
            return
        if not tally.keeps(len(str(row["body"] or "")) <= body_max + _CUT_MARK):
            tally.breach(f"a body of {len(row['body'])} is kept, and {body_max} is declared", observed)


@check("cache-honest", "record", of_chats=True)
def cache_honest(history: History, declared: Declared, tally: Tally) -> None:
    """An answer from the cache is a whole, successful one that the same account was given for the very same
    question not longer ago than declared, a question that left nothing to chance: no backend works for it,
    the words are those, and it costs what a hit is declared to cost. Without a declared cache nothing comes
    from one."""
    chat = declared.chat
    if chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    voices = Voices.of(history, declared)
    for said in view.said:
        if not said.cached:
            continue
        tally.saw()
        wrong = "there is no cache" if chat.cache is None else None
        source = voices.only(said.heard)
        if wrong is None and said.last is not None and chat.cache is not None:
            wrong = _untrue(said.heard, said.last, source, view, chat.cache)
        if wrong is not None:
            origin = None if source is None else source.received
            tally.breach(f"call {said.heard.call} was answered from the cache: {wrong}", said.heard, origin)
    for call in view.calls.values():
        if not call.hit:
            continue
        charged = books.charged_nanos(call.call_id)
        wrong = _wrong_hit(call, charged, view, books, voices, chat.cache)
        if not tally.keeps(wrong is None):
            tally.breach(f"call {call.call_id} is a hit: {wrong}", call.fact, *books.facts(call.call_id))


def _untrue(heard: Heard, asked: Exchange, source: Work | None, view: ChatView, rule: Cache) -> str | None:
    if heard.status != 200 or heard.outcome not in ("ok", "left", "lost"):
        return f"it is no success ({heard.status}, {heard.outcome})"
    if heard.finish in _NOT_WHOLE:
        return f"it was not said to its end ({heard.finish})"
    if not _leaves_nothing_to_chance(asked):
        return "its question leaves the answer to chance"
    if source is None:
        return None  # nobody can tell whose words these are
    if not source.whole:
        return f"{source.backend} never ended that answer"
    attempt = source.attempt
    origin = None if attempt is None else view.calls.get(attempt.call_id)
    if source.ended is not None and asked.sent.t_us > source.ended.t_us + rule.ttl_us + 2_000_000:
        return f"it is older than {rule.ttl_us / 1e6:.0f} s"
    if origin is None or origin.exchange is None:
        return None
    if origin.account != asked.account:
        return f"{origin.account} had asked for it, and {asked.account} was given it"
    if _question(origin.exchange) != _question(asked):
        return "the question was another"
    return None


def _question(exchange: Exchange) -> object:
    """What decides the answer: the body but for how it is to be told, and the route."""
    body = read_json(exchange.sent.body)
    if not isinstance(body, dict):
        return exchange.sent.body
    route = exchange.sent.path.partition("?")[0].partition(":")[0]
    return route, {name: value for name, value in body.items() if name not in _OF_THE_TELLING}


def _leaves_nothing_to_chance(exchange: Exchange) -> bool:
    """Whether a question says that the same answer is wanted each time: no temperature, or a seed."""
    body = read_json(exchange.sent.body)
    if not isinstance(body, dict):
        return False
    inner = body.get("generationConfig", body.get("generation_config"))
    said = {**body, **inner} if isinstance(inner, dict) else body
    return said.get("temperature") == 0 or said.get("seed") is not None


def _wrong_hit(
    call: ChatCall,
    charged: int,
    view: ChatView,
    books: Books,
    voices: Voices,
    rule: Cache | None,
) -> str | None:
    if call.attempts:
        return f"it made {len(call.attempts)} attempts"
    if rule is None:
        return "there is no cache"
    if rule.hit == "free":
        return None if charged == 0 else f"it is free, and {amount_text(charged)} was charged"
    source = None if call.heard is None else voices.only(call.heard)
    attempt = None if source is None else source.attempt
    origin = None if attempt is None else view.calls.get(attempt.call_id)
    if origin is None or origin.flags:
        return None
    paid = books.charged_nanos(origin.call_id)
    if charged == paid:
        return None
    return f"the first cost {amount_text(paid)}, it costs the same, and {amount_text(charged)} was charged"


CHECKS: tuple[Check, ...] = (requests_logged, cache_honest)
