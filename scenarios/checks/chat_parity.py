"""That the way in which a chat is asked for and heard has no price of its own, and what leaving costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from scenarios.checks.books import Books
from scenarios.checks.chat_money import TELLING, charge_due
from scenarios.checks.chat_parts import Attempt, ChatCall, Work
from scenarios.checks.chat_pricing import believable, least_nanos, tariffs_for, told_counts, work_nanos
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Check, Tally, check
from scenarios.declared.chat import DeclaredChat
from scenarios.declared.gateway import Declared
from scenarios.history import History
from scenarios.units import amount_text

__all__ = ["CHECKS", "disconnect_policy_kept", "stream_parity"]

_ON_THE_WAY_US = 500_000  # what the news of a leave may take to come
_UNREADABLE = ("malformed", "no_finish")
"""Acts after which a stream has no end that could be believed."""


@check("stream-parity", "money", of_chats=True)
def stream_parity(history: History, declared: Declared, tally: Tally) -> None:
    """The same tokens of the same model cost the same, whether streamed or not, and in whichever protocol
    they were asked for and told."""
    chat = declared.chat
    if chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    groups: dict[Hashable, list[tuple[ChatCall, int]]] = defaultdict(list)
    for call in view.calls.values():
        serving = None if call.open or call.hit or call.flags & TELLING else call.serving
        if serving is None or serving.work is None:
            continue
        key = _same(serving.work, serving, chat, declared.epoch_us)
        if key is not None:
            groups[key].append((call, books.charged_nanos(call.call_id)))
    for group in groups.values():
        kinds = {(call.row["protocol"], call.row["stream"]) for call, _ in group}
        if len(kinds) < 2:
            continue
        tally.saw(len(group))
        amounts = {amount: call for call, amount in group}
        if len(amounts) > 1:
            told = ", ".join(
                f"{amount_text(amount)} ({call.row['protocol']}{', stream' if call.row['stream'] else ''})"
                for amount, call in sorted(amounts.items())
            )
            tally.breach(f"the same tokens cost {told}", *(call.fact for call in amounts.values()))


def _same(work: Work, attempt: Attempt, chat: DeclaredChat, epoch_us: int) -> Hashable:
    """What calls have in common that must cost the same; None where the work was not told of honestly."""
    ended, accepted = work.ended, work.accepted
    if ended is None or accepted is None or not work.whole or not believable(ended, accepted.dialect):
        return None
    tariffs = tariffs_for(work, attempt, chat, epoch_us)
    if len(tariffs) != 1:
        return None
    counts = tuple(sorted((name, n) for name, n in told_counts(ended, accepted.dialect).items() if n))
    return ended.model, tariffs[0].from_us, counts


@check("disconnect-policy-kept", "money", of_chats=True)
def disconnect_policy_kept(history: History, declared: Declared, tally: Tally) -> None:
    """A caller who left pays no less than what was delivered to him costs, and no more than all that was
    generated, or than the hold where it had to be estimated: the row says that he left. Where streams are
    drained, and the backend told its figures in time, it is their exact price."""
    chat = declared.chat
    if chat is None:
        return
    view, books = ChatView.of(history, declared), Books.of(history, declared)
    for call in view.calls.values():
        left = None if call.exchange is None else call.exchange.left
        attempt = call.last
        if left is None or call.open or call.hit or attempt is None or attempt.work is None:
            continue
        if int(call.row["ended_us"] or 0) - declared.epoch_us <= left.t_us and call.outcome != "left":
            continue  # it had come to its end before, whatever that was, and the caller did not wait for it
        work = attempt.work
        if work.ended is None or work.accepted is None or work.answered is None:
            continue
        charged = books.charged_nanos(call.call_id)
        worth = work_nanos(work, attempt, chat, declared.epoch_us)
        if worth is None or call.flags & {"no_verdict", "unpriced"}:
            continue
        exact = _was_drained(work, left.t_us, view, chat)
        due = charge_due(call, attempt, declared)
        held = int(call.row["hold_nanos"] or 0)
        tariffs = tariffs_for(work, attempt, chat, declared.epoch_us)
        least = least_nanos(work, tariffs[0]) if tariffs and chat.missing_usage == "estimate" else 0
        if tariffs and chat.client_leaves == "abort" and call.heard is not None:
            least = min(least, tariffs[0].least_nanos(call.heard.tokens))  # the rest was on its way
        if exact and due is not None:
            kept = due.allows(charged, flagged=bool(call.flags & TELLING))
            bounds = f"exactly {amount_text(worth)}"
        else:
            most = max(worth, held)
            kept = min(least, held, worth) <= charged <= most and (
                charged == worth or bool(call.flags & TELLING)
            )
            bounds = f"{amount_text(min(least, held, worth))} to {amount_text(most)}, flagged"
        unsaid = work.ended.delivered == 0 or _heard_nothing(call)
        if charged == 0 and (unsaid or _broke_first(call, work, left.t_us)):
            kept = True
        if not tally.keeps(kept):
            tally.breach(
                f"the caller of call {call.call_id} left and was charged {amount_text(charged)}, flags "
                f"{', '.join(sorted(call.flags)) or 'none'}; by the policy it is {bounds}",
                left,
                work.ended,
                call.fact,
                *books.facts(call.call_id),
            )


def _heard_nothing(call: ChatCall) -> bool:
    """What its backend handed over was still on its way when the caller left; the row says who bears that."""
    return "unbilled_work" in call.flags and call.heard is not None and call.heard.tokens == 0


def _broke_first(call: ChatCall, work: Work, left_us: int) -> bool:
    """Whether the backend had failed before the gateway can have known that the caller was gone."""
    ended = work.ended
    if ended is None or call.outcome not in ("broken", "failed"):
        return False
    if any(unread in act for act in work.acts for unread in _UNREADABLE):
        return True
    return not ended.complete and ended.t_us <= left_us + _ON_THE_WAY_US


def _was_drained(work: Work, left_us: int, view: ChatView, chat: DeclaredChat) -> bool:
    """Whether the backend's figures must have been heard: nothing was in the way of reading on to them."""
    assert work.ended is not None and work.accepted is not None
    if chat.client_leaves != "drain" or view.cut_off or view.lines_changed:
        return False
    ended = work.ended
    if any(bend in act for act in work.acts for bend in _UNREADABLE):
        return False  # its figures came in a stream that had no sound end
    if sum(1 for one in view.exchanges if one.left is not None) > chat.drain_streams:
        return False  # there may have been no room for it
    return ended.complete and ended.t_us <= left_us + chat.drain_within_us // 2


CHECKS: tuple[Check, ...] = (stream_parity, disconnect_policy_kept)
