"""Declared settings at work: that what is written in a configuration is what happens.

One history shows only the settings that its run reached: the times of an attempt that ended by one, bounds on
what is asked for, what is refused. Settings that decide what follows (attempts, cooldowns, the cache, the
policies about money) have promises of their own.
"""

from __future__ import annotations

from scenarios.checks.chat_parts import Attempt
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.parts import rows
from scenarios.checks.reading import read_json
from scenarios.declared.chat import DeclaredChat
from scenarios.declared.gateway import Declared
from scenarios.history import GatewayLogged, History, Observed

__all__ = ["CHECKS", "config_is_live"]

_GIVEN_UP = "debug-given-up"
_ROOM_US = 1_500_000  # the way there and back, and what a row takes to be written


@check("config-is-live", "record", of_chats=True)
def config_is_live(history: History, declared: Declared, tally: Tally) -> None:
    """What is declared has its effect where a run reaches it: an attempt that ends by its time ends by one
    of the declared times; a model without a price is not called where that is declared; an answer is asked
    for within the declared bound; a debug log that is on has what was said."""
    chat = declared.chat
    if chat is None:
        return
    view = ChatView.of(history, declared)
    for call in view.calls.values():
        created_us = int(call.row["created_us"]) - declared.epoch_us
        for attempt in call.attempts:
            if attempt.row["failure"] == "timeout" and attempt.ended_us is not None:
                _judge_time(attempt, created_us + chat.whole_us, chat, tally)
    for work in view.works:
        if work.accepted is None:
            continue
        wall_us = work.received.t_us + declared.epoch_us
        priced = chat.prices.tariff(work.accepted.model, wall_us) is not None or chat.prices.open_ended
        if chat.unpriced_model == "refuse" and not tally.keeps(priced):
            tally.breach(
                f"{work.backend} was asked for {work.accepted.model}, which has no price", work.received
            )
        if work.accepted.dialect == "anthropic":
            _judge_bound(view, work.received.body, work.nonce, chat, tally)
    _judge_debug(history, chat, tally)


def _judge_time(attempt: Attempt, deadline_us: int, chat: DeclaredChat, tally: Tally) -> None:
    """A backend that said nothing was waited for as long as declared for the head of an answer."""
    work = attempt.work
    said = None if work is None or work.answered is None else work.answered
    if work is None or said is None or attempt.ended_us is None:
        return
    if said.status is not None or said.ended_by == "server":
        return  # it said something, or broke off by itself
    lasted_us = attempt.ended_us - attempt.started_us
    right = min(chat.headers_us, deadline_us - attempt.started_us)
    if not tally.keeps(-_ROOM_US <= lasted_us - right <= _ROOM_US):
        tally.breach(
            f"{attempt.backend} said nothing, and was given up after {lasted_us / 1e6:.1f} s; declared are "
            f"{right / 1e6:.1f} s",
            work.received,
            attempt.fact,
        )


def _judge_bound(view: ChatView, body: bytes, nonce: str | None, chat: DeclaredChat, tally: Tally) -> None:
    """A protocol that must be told how much may come is told what the caller said, or what is declared."""
    sent = read_json(body)
    asked = view.exchanges_of.get(nonce or "", [])
    if not isinstance(sent, dict) or len({one.sent.body for one in asked}) != 1:
        return
    question = read_json(asked[0].sent.body)
    if not isinstance(question, dict) or not isinstance(question.get("model"), str):
        return
    model = chat.models.get(question["model"])
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    given = [question[name] for name in names if type(question.get(name)) is int]
    if model is None or question.get("thinking") or question.get("reasoning_effort"):
        return
    right = min(given) if given else model.output_max
    if not tally.keeps(sent.get("max_tokens") == right):
        tally.breach(
            f"a backend was asked for {sent.get('max_tokens')} tokens at most, and {right} is declared",
            asked[0].sent,
        )


def _judge_debug(history: History, chat: DeclaredChat, tally: Tally) -> None:
    if chat.debug_body == 0 or not any(one.what == "debug" and one.final for one in history.of(Observed)):
        return
    if any(one.event == _GIVEN_UP for one in history.of(GatewayLogged)):
        return  # there was no room for all of it, and the log says so
    bodies = {str(row["request_id"]) for row, _ in rows(history, "debug")}
    last_us = max((one.t_us for one in history.of(Observed) if one.what == "debug" and one.final), default=0)
    for row, observed in rows(history, "requests"):
        old = observed.t_us <= last_us and int(row["at_us"] or 0) > 0
        if old and row["status"] == 200 and not tally.keeps(str(row["request_id"]) in bodies):
            tally.breach(f"the debug log is on, and has nothing of {row['request_id']}", observed)
            return


CHECKS: tuple[Check, ...] = (config_is_live,)
