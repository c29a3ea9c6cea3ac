"""Answers of chats as callers hear them: one voice, the whole of it or an error, in time; and what becomes of
the backend's work when the caller leaves."""

from __future__ import annotations

from scenarios.checks.chat_parts import Work
from scenarios.checks.chat_view import ChatView
from scenarios.checks.chat_voices import Voices
from scenarios.checks.finding import Check, Tally, check
from scenarios.checks.reading import read_json
from scenarios.declared.gateway import Declared
from scenarios.history import History, LinkChanged

__all__ = ["CHECKS", "cancel_reaches_upstream", "intact", "never_restarts", "silence", "whole_or_error"]

_SECOND_US = 1_000_000
_AT_ONCE_US = 5 * _SECOND_US  # what "at once" may take, on the way and at the store
_BENT = ("odd", "duplicat", "malformed", "leak", "broken_tool", "framing")
"""Acts after which the words that come through need not be those that were meant."""

_BROKE = frozenset({"truncated", "unreachable"})
_CUT_SHORT = frozenset({"length", "max_tokens", "MAX_TOKENS", "incomplete"})
"""Ends, in each protocol's word, after which what was said need not be whole."""


@check("never-restarts", "streams", of_chats=True)
def never_restarts(history: History, declared: Declared, tally: Tally) -> None:
    """Once a caller has heard a token, no other attempt speaks in the answer, and none is made for it."""
    if declared.chat is None:
        return
    view, voices = ChatView.of(history, declared), Voices.of(history, declared)
    for said in view.said:
        heard = said.heard
        speaking = voices.heard_in(heard)
        if heard.tokens and speaking and not tally.keeps(len(speaking) == 1):
            names = ", ".join(f"{one.backend}/{one.seq}" for one in speaking)
            tally.breach(f"in one answer speak {names}", heard, *voices.facts(heard))
    for call in view.calls.values():
        heard_last = call.heard
        if heard_last is None or heard_last.first_us is None or not heard_last.stream:
            continue
        after = [one for one in call.works if one.received.t_us > heard_last.first_us]
        if not tally.keeps(not after):
            tally.breach(
                f"call {call.call_id} went to {after[0].backend} after its caller had heard a token",
                heard_last,
                *(one.received for one in after),
            )


def whole_or_error(history: History, declared: Declared, tally: Tally) -> None:
    """Part of no-truncated-success: a chat that sounds whole to its caller was whole at the backend."""
    if declared.chat is None:
        return
    view, voices = ChatView.of(history, declared), Voices.of(history, declared)
    for said in view.said:
        heard = said.heard
        work = voices.only(heard)
        if work is None or work.ended is None or work.answered is None or heard.outcome != "ok":
            continue
        if not tally.keeps(work.ended.complete):
            tally.breach(
                f"{work.backend} broke its answer off after {work.ended.delivered} tokens, and the caller "
                "was given it as whole",
                heard,
                *work.facts,
            )


def intact(history: History, declared: Declared, tally: Tally) -> None:
    """Part of bytes-intact: the words of a chat, in their order, and the arguments of its tool calls."""
    if declared.chat is None:
        return
    view, voices = ChatView.of(history, declared), Voices.of(history, declared)
    for said in view.said:
        heard = said.heard
        work = voices.only(heard)
        if work is None or work.ended is None or _bent(work):
            continue
        text = work.ended.text
        right = text == heard.text if heard.outcome == "ok" else text.startswith(heard.text)
        if heard.outcome != "ok" and heard.text and len(text) < len(heard.text):
            right = heard.text.startswith(text)  # handed on before the event that carries it was whole
        if not tally.keeps(right):
            tally.breach(
                f"what call {heard.call} heard is not what {work.backend} said: {_parting(text, heard.text)}",
                heard,
                work.ended,
            )
        whole = heard.outcome == "ok" and heard.finish not in _CUT_SHORT
        for name, arguments in heard.calls if whole else ():
            if not tally.keeps(isinstance(read_json(arguments.encode()), dict)):
                tally.breach(f"the arguments of a call of {name} came as {arguments!r}", heard, work.ended)
    _judge_hung_up(view, tally)


def _judge_hung_up(view: ChatView, tally: Tally) -> None:
    """An answer that came soundly is not recorded, nor told, as one that broke."""
    if view.cut_off or view.lines_changed:
        return
    for work in view.works:
        attempt, answered = work.attempt, work.answered
        if attempt is None or answered is None or answered.status != 200 or work.acts:
            continue
        if answered.ended_by == "server" and not answered.complete:
            continue
        if not tally.keeps(attempt.row["failure"] not in _BROKE):
            tally.breach(
                f"{work.backend} was answering soundly, and its answer was taken for one that broke",
                *work.facts,
                attempt.fact,
            )


def _bent(work: Work) -> bool:
    return any(bend in act for act in work.acts for bend in _BENT)


def _parting(text: str, heard: str) -> str:
    at = next((n for n, (one, other) in enumerate(zip(text, heard, strict=False)) if one != other), None)
    at = min(len(text), len(heard)) if at is None else at
    return f"{text[at : at + 24]!r} became {heard[at : at + 24]!r} at {at}"


def silence(history: History, declared: Declared, tally: Tally) -> None:
    """Part of answers-in-time: between two tokens no silence is longer than declared."""
    chat = declared.chat
    if chat is None or any(fact.src.startswith("client") for fact in history.of(LinkChanged)):
        return
    view = ChatView.of(history, declared)
    for said in view.said:
        heard = said.heard
        if not heard.stream or heard.first_us is None or said.last is None:
            continue
        began_us = heard.first_us - said.last.sent.t_us  # until the first token, failover is silent
        most_us = max(began_us, chat.between_us) + _AT_ONCE_US + _SECOND_US
        if not tally.keeps(heard.longest_us <= most_us):
            tally.breach(
                f"the caller of call {heard.call} heard nothing for {heard.longest_us / 1e6:.3f} s, and "
                f"{chat.between_us / 1e6:.3f} s between two tokens are declared",
                heard,
            )


@check("cancel-reaches-upstream", "streams", of_chats=True)
def cancel_reaches_upstream(history: History, declared: Declared, tally: Tally) -> None:
    """After a caller has left, the backend's stream ends within the declared time: at once where that is the
    policy, else once it is read to its end, and no later than the drain may take."""
    chat = declared.chat
    if chat is None:
        return
    view = ChatView.of(history, declared)
    drained_us = chat.drain_within_us if chat.client_leaves == "drain" else 0
    for call in view.calls.values():
        left = None if call.exchange is None else call.exchange.left
        if left is None:
            continue
        for work in call.works:
            if work.accepted is None or not work.accepted.stream:
                continue
            # One without an end was still going on when everything was read.
            ended_us = view.view.end_us if work.answered is None else work.answered.t_us
            if ended_us <= left.t_us or _ran_on(work, left.t_us):
                continue
            until_us = left.t_us + drained_us + _AT_ONCE_US
            if not tally.keeps(ended_us <= until_us):
                tally.breach(
                    f"{work.backend} went on for {(ended_us - left.t_us) / 1e6:.3f} s after the caller of "
                    f"call {call.call_id} had left",
                    left,
                    work.received,
                    work.answered,
                )
            if work.received.t_us > left.t_us + _AT_ONCE_US:
                tally.breach(
                    f"call {call.call_id} went to {work.backend} after its caller had left",
                    left,
                    work.received,
                )


def _ran_on(work: Work, left_us: int) -> bool:
    """Whether the backend did not look whether its client was there: when that left, nobody saw."""
    unseen = work.accepted is not None and work.received.t_us <= left_us < work.accepted.t_us
    return unseen or (work.ended is not None and work.ended.ran_on)


CHECKS: tuple[Check, ...] = (never_restarts, cancel_reaches_upstream)
