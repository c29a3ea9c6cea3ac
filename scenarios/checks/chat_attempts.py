"""What of the promises about attempts is particular to chats, and how many there may be."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from scenarios.checks.chat_parts import Attempt, ChatCall, Work
from scenarios.checks.chat_pricing import believable, told_counts
from scenarios.checks.chat_view import ChatView
from scenarios.checks.finding import Check, Tally, check
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["CHECKS", "attempts_bounded", "attempts_of_record", "refused_unheard", "sent_once"]

_READING_US = 5_000_000  # the tables are read one after the other; what is younger may be missing
_EARLY = frozenset({"unauthorized", "forbidden", "no_money"})
"""Own refusals that are given before any backend is touched; of a backend's own, callers hear otherwise."""

_OUTPUT = ("output", "reasoning")


@check("attempts-bounded", "routing", of_chats=True)
def attempts_bounded(history: History, declared: Declared, tally: Tally) -> None:
    """One call makes at most as many attempts as are declared, those of the emergency lane counted apart,
    whatever the failures; and no backend hears more of a question than its callers' requests allow."""
    chat = declared.chat
    if chat is None:
        return
    view = ChatView.of(history, declared)
    for call in view.calls.values():
        lanes = Counter(one.emergency for one in call.attempts)
        if not call.attempts:
            continue
        kept = lanes[False] <= chat.attempts_max and lanes[True] <= chat.emergency_calls
        if not tally.keeps(kept and (not lanes[True] or chat.all_open == "emergency")):
            tally.breach(
                f"call {call.call_id} made {lanes[False]} attempts and {lanes[True]} in the emergency lane; "
                f"{chat.attempts_max} and {chat.attempts_bound - chat.attempts_max} are declared",
                call.fact,
                *(one.fact for one in call.attempts),
            )
    for nonce, works in view.works_of.items():
        asked = view.exchanges_of.get(nonce, [])
        if asked and not tally.keeps(len(works) <= chat.attempts_bound * len(asked)):
            tally.breach(
                f"{len(works)} requests for {nonce} reached the backends, for {len(asked)} of its callers",
                *(exchange.sent for exchange in asked),
                *(work.received for work in works),
            )


def attempts_of_record(history: History, declared: Declared, tally: Tally) -> None:
    """Part of attempts-recorded: each request of a backend has its row, with the right backend, model,
    status, tokens; each row has its end."""
    chat = declared.chat
    if chat is None:
        return
    view = ChatView.of(history, declared)
    if not view.read_us:
        return
    spare = Counter(one.backend for one in view.attempts if one.work is None)
    for work in view.works:
        if work.received.t_us > view.read_us - _READING_US:
            continue
        if work.attempt is not None:
            _judge_row(work, work.attempt, tally)
        elif spare[work.backend] > 0:
            spare[work.backend] -= 1  # it may be that one
        else:
            tally.saw()
            tally.breach(f"{work.backend} received a chat that is no attempt of the record", *work.facts)
    for call in view.calls.values():
        if not tally.keeps(int(call.row["attempts"] or 0) == len(call.attempts)):
            tally.breach(
                f"call {call.call_id} counts {call.row['attempts']} attempts, and has {len(call.attempts)}",
                call.fact,
                *(one.fact for one in call.attempts),
            )
    young_us = view.read_us - chat.whole_us - chat.drain_within_us
    for attempt in view.attempts if not view.cut_off else ():
        if attempt.ended_us is None and attempt.started_us <= young_us:
            tally.saw()
            tally.breach(f"an attempt at {attempt.backend} never ended", attempt.fact)


def _judge_row(work: Work, attempt: Attempt, tally: Tally) -> None:
    row, answered, ended = attempt.row, work.answered, work.ended
    said = None if answered is None else answered.status
    wrong = []
    if row["status"] is not None and said is not None and row["status"] != said:
        wrong.append(f"status {row['status']}, and it answered {said}")
    if attempt.served and said is not None and said >= 400:
        wrong.append(f"no failure, and it answered {said}")
    if work.accepted is not None and row["model"] != work.accepted.model:
        wrong.append(f"model {row['model']}, and {work.accepted.model} was asked for")
    if attempt.served and ended is not None and work.accepted is not None:
        odd = any("odd" in act for act in work.acts)
        if row["served_model"] not in (None, ended.model) and not odd:
            wrong.append(f"served by {row['served_model']}, and {ended.model} served")
        if row["usage_source"] == "reported" and work.whole and believable(ended, work.accepted.dialect):
            told = told_counts(ended, work.accepted.dialect)
            right = {name: told.get(name, 0) for name in told if name not in _OUTPUT}
            right |= {"output": sum(told.get(name, 0) for name in _OUTPUT)}
            right |= {"reasoning": told.get("reasoning", 0)}
            wrong += [
                f"{name} {row[name]}, and it was {count}"
                for name, count in right.items()
                if int(row[name] or 0) != count
            ]
    if not tally.keeps(not wrong):
        tally.breach(
            f"an attempt at {work.backend} is recorded with {'; '.join(wrong)}", *work.facts, attempt.fact
        )


def sent_once(history: History, declared: Declared, tally: Tally) -> None:
    """Part of no-double-generation: a chat that may have been done is sent again only where that is
    declared, and one that was answered whole is not sent again at all."""
    chat = declared.chat
    if chat is None:
        return
    view = ChatView.of(history, declared)
    for call in view.calls.values():
        works = call.works
        for work, later in pairwise(works):
            why = _no_more(work, call, view)
            if why is None:
                tally.saw()
            elif not tally.keeps(why == "" and chat.may_repeat(call.model)):
                tally.breach(
                    f"call {call.call_id} went on to {later.backend} after {work.backend} had "
                    f"{why or 'taken it on, and nobody could know what came of it'}",
                    *work.facts,
                    later.received,
                    call.fact,
                )
        if len(works) == 1 and _no_more(works[0], call, view) is not None:
            tally.saw()


def _no_more(work: Work, call: ChatCall, view: ChatView) -> str | None:
    """Why a chat is not to be sent again: empty where only the declared policy forbids it; None: it may."""
    if work.accepted is None or work.ended is None:
        return None
    said = None if work.answered is None else work.answered.status
    told_of_an_error = any("error" in act for act in work.acts)
    if said is None or (said == 200 and not work.whole and not told_of_an_error):
        return ""
    if work.whole and not work.acts and not view.lines_changed and work.attempt is not None:
        in_time = work.attempt.ended_us is None or work.ended.t_us < work.attempt.ended_us
        return "answered it whole" if in_time else None
    return None


def refused_unheard(history: History, declared: Declared, tally: Tally) -> None:
    """Part of refused-reaches-nobody: whose key, account or money does not allow a chat."""
    if declared.chat is None:
        return
    view = ChatView.of(history, declared)
    works: dict[str, list[Work]] = defaultdict(list, view.works_of)
    for nonce, exchanges in view.exchanges_of.items():
        refused = [one for one in exchanges if one.answered is not None and one.own_code in _EARLY]
        if refused and len(refused) == len(exchanges) and not tally.keeps(not works[nonce]):
            tally.breach(
                f"a chat was refused ({refused[0].own_code}), and {works[nonce][0].backend} received it",
                refused[0].sent,
                refused[0].got,
                works[nonce][0].received,
            )


CHECKS: tuple[Check, ...] = (attempts_bounded,)
