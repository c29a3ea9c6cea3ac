"""What of the promises about holds, bounds and budgets is particular to chats."""

from __future__ import annotations

from scenarios.checks.books import Books, Committed
from scenarios.checks.chat_parts import ChatCall, Work
from scenarios.checks.chat_pricing import told_counts, work_nanos
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Tally
from scenarios.checks.parts import Exchange
from scenarios.checks.reading import read_json
from scenarios.declared.chat import DeclaredChat, Model
from scenarios.declared.gateway import Declared
from scenarios.history import History
from scenarios.units import amount_text

__all__ = ["bounded_charges", "no_phantoms", "nothing_unheld"]

_OWN_NO = "no_money"
_OUTPUT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_IMAGES = (b"image", b"file", b"audio", b"inlineData", b"inline_data")


def bounded_charges(history: History, declared: Declared, tally: Tally) -> None:
    """Part of charge-in-bounds: no more than the hold or the work, whatever figures were claimed; and a hold
    is enough for what the request can have cost within its own bounds."""
    chat = declared.chat
    if chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    for call in view.calls.values():
        if call.open or call.hit or not call.seen_whole:
            continue
        held = int(call.row["hold_nanos"] or 0)
        charged = books.charged_nanos(call.call_id)
        worths = [_worth(one.work, call, declared) for one in call.attempts if one.work is not None]
        if None in worths and chat.prices.open_ended:
            continue
        most = held if chat.usage_above_hold == "cap_at_hold" else max([held, *(one or 0 for one in worths)])
        if not tally.keeps(0 <= charged <= most):
            tally.breach(
                f"call {call.call_id} was charged {amount_text(charged)}; its hold is {amount_text(held)}, "
                f"and {amount_text(most)} the most that it may cost",
                call.fact,
                *books.facts(call.call_id),
                *(work.ended for work in call.works),
            )
        for work in call.works:
            worth = _foreseen(work, declared)
            if worth is None or not _within_its_bounds(work, call, chat):
                continue
            if not tally.keeps(worth <= held):
                tally.breach(
                    f"call {call.call_id} may cost {amount_text(worth)} within its own bounds, and "
                    f"{amount_text(held)} was held",
                    work.ended,
                    call.fact,
                )


def _worth(work: Work, call: ChatCall, declared: Declared) -> int | None:
    assert declared.chat is not None
    if work.ended is None or work.attempt is None:
        return 0
    return work_nanos(work, work.attempt, declared.chat, declared.epoch_us)


def _foreseen(work: Work, declared: Declared) -> int | None:
    """What the work costs as the model that was asked for: a backend may serve it as another."""
    if declared.chat is None or work.ended is None or work.accepted is None or work.attempt is None:
        return None
    at_us = work.attempt.started_us + declared.epoch_us
    tariff = declared.chat.prices.tariff(work.accepted.model, at_us)
    return None if tariff is None else tariff.cost_nanos(told_counts(work.ended, work.accepted.dialect))


def _within_its_bounds(work: Work, call: ChatCall, chat: DeclaredChat) -> bool:
    """Whether the work is no more than its request could ask for: no token of text is less than a byte."""
    ended, model = work.ended, chat.models.get(call.model)
    if ended is None or model is None or call.exchange is None:
        return False
    went_in = ended.input_uncached + ended.cache_read + ended.cache_write_5m + ended.cache_write_1h
    came_out = ended.output_text + ended.output_reasoning + ended.output_audio
    body = call.exchange.sent.body
    return went_in + ended.input_audio <= len(body) and came_out <= _output_bound(body, model)


def _output_bound(body: bytes, model: Model) -> int:
    asked = read_json(body)
    if not isinstance(asked, dict):
        return model.output_max
    generation = asked.get("generationConfig")
    inner = generation.get("maxOutputTokens") if isinstance(generation, dict) else None
    bounds = [asked.get(name) for name in _OUTPUT_FIELDS] + [inner]
    given = [one for one in bounds if type(one) is int and one > 0]
    choices = asked.get("n")
    times = choices if type(choices) is int and choices > 0 else 1
    return (min(given) if given else model.output_max) * times


def no_phantoms(history: History, declared: Declared, tally: Tally) -> None:
    """Part of no-phantom-refusal: whom the gateway refuses a chat for want of money."""
    chat = declared.chat
    if chat is None:
        return
    books = Books.of(history, declared)
    committed_of = {account: Committed(steps) for account, steps in books.steps.items()}
    for exchange in ChatView.of(history, declared).exchanges:
        got, cap = exchange.answered, declared.accounts.get(exchange.account)
        if got is None or exchange.own_code != _OWN_NO or cap is None or not books.read:
            continue
        most_held = _most_needed(exchange, chat, declared.epoch_us)
        if most_held is None:
            continue
        steps = committed_of.get(exchange.account)
        committed = 0 if steps is None else steps.most(exchange.sent.t_us, got.t_us)
        if not tally.keeps(committed + most_held > cap.cap_nanos):
            tally.breach(
                f"account {exchange.account} was refused while {amount_text(committed)} of "
                f"{amount_text(cap.cap_nanos)} was settled or held, and {amount_text(most_held)} is more "
                "than such a call can cost",
                exchange.sent,
                got,
            )


def _most_needed(exchange: Exchange, chat: DeclaredChat, epoch_us: int) -> int | None:
    """More than any honest hold for this request; None where that cannot be said."""
    body = exchange.sent.body
    asked = read_json(body)
    model = chat.models.get(str(asked.get("model"))) if isinstance(asked, dict) else None
    if model is None or any(word in body for word in _IMAGES):
        return None
    at_us = exchange.sent.t_us + epoch_us
    tokens_in, tokens_out = 2 * len(body) + 4_096, _output_bound(body, model)
    found = []
    for _, upstream in model.backends:
        tariff = chat.prices.tariff(upstream, at_us)
        if tariff is None:
            return None
        until_us = at_us + chat.whole_us  # a price may begin while the call goes on
        coming = [one for one in chat.prices.models[upstream] if at_us < one.from_us < until_us]
        found += [one.most_nanos(tokens_in, tokens_out) for one in (tariff, *coming)]
    return max(found, default=None)


def nothing_unheld(history: History, declared: Declared, tally: Tally) -> None:
    """Part of no-work-without-hold: a backend hears of a chat only once a hold is open for it."""
    if declared.chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    if not view.read or not books.read:
        return
    for call in view.calls.values():
        works = call.works
        if not works or call.row["hold_nanos"] == 0:
            continue
        first = min(works, key=lambda one: one.received.t_us)
        holds = books.holds_of.get(call.call_id, ())
        if not tally.keeps(any(hold.opened_us <= first.received.t_us for hold in holds)):
            tally.breach(
                f"{first.backend} received call {call.call_id} while no hold was open for it",
                first.received,
                call.fact,
                *books.facts(call.call_id),
            )
