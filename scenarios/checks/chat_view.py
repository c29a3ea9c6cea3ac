"""Chats as the checks look at them: who asked, what really ran at which backend, what the record says.

Made once for a history, and empty where no models are declared. An answer names its call; a call's attempts
and what the backends received are joined by the nonce of the request and by time. Of a call whose answer
named nothing, the nonce is taken from the only request that its attempt can have been; what stays doubtful
stays apart: a join is never guessed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

from fakes.journal import ActPlayed, Answered, ChatAccepted, ChatEnded, ChatRefused, Received
from scenarios.checks.chat_parts import Attempt, ChatCall, Said, Work
from scenarios.checks.parts import Exchange, rows
from scenarios.checks.view import View
from scenarios.declared.chat import DeclaredChat
from scenarios.declared.gateway import Declared
from scenarios.history import Crashed, Heard, History, LinkChanged, Observed, Stopped, StoreFaulted

__all__ = ["ChatView", "is_chat", "protocol_of"]

_OPS = frozenset({"chat", "embed"})
_ON_ITS_WAY_US = 120_000  # a request is this long on its way where nothing holds it up
_PROTOCOLS = {
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
    "/v1/messages": "anthropic",
    "/v1/embeddings": "openai_embeddings",
    "/v1beta/models/": "gemini",
}
_ROUTES = tuple(_PROTOCOLS)


def is_chat(exchange: Exchange) -> bool:
    """Whether this is a request to a route of chat."""
    return exchange.sent.method == "POST" and exchange.sent.path.startswith(_ROUTES)


def protocol_of(exchange: Exchange) -> str:
    """The protocol of the route of chat that a request was sent to."""
    path = exchange.sent.path
    return next(protocol for route, protocol in _PROTOCOLS.items() if path.startswith(route))


class ChatView:
    """The joins. `ChatView.of(history, declared)` gives the one that all checks share."""

    def __init__(self, history: History, declared: Declared) -> None:
        self.declared: DeclaredChat | None = declared.chat
        self.calls: dict[str, ChatCall] = {}
        self.exchanges: list[Exchange] = []
        self.said: list[Said] = []
        self.works: list[Work] = []
        self.works_of: dict[str, list[Work]] = defaultdict(list)  # by nonce, in order
        self.exchanges_of: dict[str, list[Exchange]] = defaultdict(list)  # by nonce
        self.asking: dict[str, Exchange] = {}  # by the call that the answer named
        self.attempts: list[Attempt] = []  # in order of their start
        self.read = False
        self.read_us = 0
        self.cut_off = False  # whether a replica went down, or its store failed
        if declared.chat is None:
            return
        self._epoch_us = declared.epoch_us
        self.view = View.of(history, declared)
        self.read = any(one.what == "chats" and one.final for one in history.of(Observed))
        readings = [one.t_us for one in history.of(Observed) if one.what == "chat_attempts" and one.final]
        self.read_us = readings[0] if readings else 0
        self.cut_off = any(history.of(kind) for kind in (Crashed, Stopped, StoreFaulted))
        self.lines_changed = bool(history.of(LinkChanged))
        self._of_clients(history)
        self._named = {id(one) for one in self.asking.values()}
        self._of_backends(history, declared.chat)
        self._of_record(history)
        self._bind()
        self._hear()

    @classmethod
    def of(cls, history: History, declared: Declared) -> ChatView:
        return history.derived((cls, declared), lambda: cls(history, declared))

    # Building

    def _of_clients(self, history: History) -> None:
        for exchange in self.view.exchanges:
            if is_chat(exchange):
                self.exchanges.append(exchange)
                if exchange.sent.nonce is not None:
                    self.exchanges_of[exchange.sent.nonce].append(exchange)
                if exchange.call_id is not None:
                    self.asking.setdefault(exchange.call_id, exchange)
        own: dict[int, list[Exchange]] = defaultdict(list)
        for exchange in self.exchanges:
            own[exchange.sent.call].append(exchange)
        for heard in history.of(Heard):
            exchanges = own.get(heard.call, [])
            last = exchanges[-1] if exchanges else None
            self.said.append(Said(heard, exchanges, {} if last is None else last.says))
            if heard.call_id is not None and last is not None:
                self.asking.setdefault(heard.call_id, last)  # it left before its answer was whole

    def _of_backends(self, history: History, chat: DeclaredChat) -> None:
        by_seq: dict[tuple[str, int], Work] = {}
        for received in history.of(Received):
            if received.at in chat.backends and received.op in _OPS:
                made = by_seq[received.at, received.seq] = Work(received)
                self.works.append(made)
                if received.nonce is not None:
                    self.works_of[received.nonce].append(made)
        for accepted in history.of(ChatAccepted):
            if (work := by_seq.get((accepted.at, accepted.seq))) is not None:
                work.accepted = accepted
        for refused in history.of(ChatRefused):
            if (work := by_seq.get((refused.at, refused.seq))) is not None:
                work.refused = refused
        for ended in history.of(ChatEnded):
            if (work := by_seq.get((ended.at, ended.seq))) is not None:
                work.ended = ended
        for answered in history.of(Answered):
            if (work := by_seq.get((answered.at, answered.seq))) is not None:
                work.answered = answered
        for played in history.of(ActPlayed):
            work = by_seq.get((played.at, played.seq)) if played.applied else None
            if work is not None:
                work.acts.append(played.act)

    def _of_record(self, history: History) -> None:
        for row, observed in rows(history, "chats"):
            call = ChatCall(row, observed)
            self.calls[call.call_id] = call
        for row, observed in rows(history, "chat_attempts"):
            ended_us = row["ended_us"]
            attempt = Attempt(
                row,
                observed,
                int(row["started_us"]) - self._epoch_us,
                None if ended_us is None else int(ended_us) - self._epoch_us,
            )
            self.attempts.append(attempt)
            if attempt.call_id in self.calls:
                self.calls[attempt.call_id].attempts.append(attempt)
        self.attempts.sort(key=lambda one: one.started_us)
        for call in self.calls.values():
            call.attempts.sort(key=lambda one: int(one.row["number"]))

    def _bind(self) -> None:
        for call_id, exchange in self.asking.items():
            if call_id in self.calls:
                self.calls[call_id].exchange, self.calls[call_id].nonce = exchange, exchange.sent.nonce
        by_nonce: dict[str, list[Attempt]] = defaultdict(list)
        loose: dict[str, list[Attempt]] = defaultdict(list)  # by backend
        for attempt in self.attempts:
            call = self.calls.get(attempt.call_id)
            if call is not None and call.nonce is not None:
                by_nonce[call.nonce].append(attempt)
            else:
                loose[attempt.backend].append(attempt)
        doubted: set[int] = set()
        for nonce, attempts in by_nonce.items():
            shared = len({one.sent.call for one in self.exchanges_of[nonce]}) > 1
            doubted |= _joined(self.works_of.get(nonce, ()), attempts, loose if shared else {})
        self._bind_loose(loose, doubted)

    def _bind_loose(self, loose: dict[str, list[Attempt]], doubted: Set[int]) -> None:
        """Attempts of calls that no answer named: each to the only request that it can have been."""
        free: dict[str, list[Work]] = defaultdict(list)
        for work in self.works:
            if work.attempt is None:
                free[work.backend].append(work)
        for backend, attempts in loose.items():
            starts_us = [one.started_us for one in attempts]
            of: dict[int, list[Work]] = defaultdict(list)
            for work in free[backend]:
                t_us = work.received.t_us
                near = slice(bisect_right(starts_us, t_us - _ON_ITS_WAY_US), bisect_right(starts_us, t_us))
                fitting = [n for n in range(near.start, near.stop) if self._fits(attempts[n], work)]
                if len(fitting) == 1 and id(work) not in doubted:
                    of[fitting[0]].append(work)
                else:
                    for n in fitting:
                        of[n] += [work, work]  # in doubt, and so is everything that it may be
            for n, works in of.items():
                if len(works) == 1:
                    self._take(attempts[n], works[0])

    def _fits(self, attempt: Attempt, work: Work) -> bool:
        """Whether it may be the same: asked for by the same account, in the same protocol, of the same model,
        with the same answer."""
        call = self.calls.get(attempt.call_id)
        if call is None or not _had_its_answer(attempt, work):
            return call is None
        asked = {(one.account, protocol_of(one)) for one in self.exchanges_of.get(work.nonce or "", ())}
        taken = work.accepted or work.refused
        model = None if taken is None else taken.model
        return (call.account, call.row["protocol"]) in asked and model in (None, attempt.row["model"])

    def _take(self, attempt: Attempt, work: Work) -> None:
        attempt.work, work.attempt = work, attempt
        call = self.calls.get(attempt.call_id)
        if call is None or work.nonce is None or call.nonce not in (None, work.nonce):
            return
        call.nonce = work.nonce
        unnamed = [one for one in self.exchanges_of[work.nonce] if id(one) not in self._named]
        if call.exchange is None and len(unnamed) == 1:
            call.exchange = unnamed[0]

    def _hear(self) -> None:
        by_exchange = {id(call.exchange): call for call in self.calls.values() if call.exchange is not None}
        for said in self.said:
            call = by_exchange.get(id(said.last))
            if call is not None:
                call.heard = said.heard


def _joined(
    works: Iterable[Work], attempts: Sequence[Attempt], rivals: Mapping[str, Sequence[Attempt]]
) -> set[int]:
    """What a backend received of one question, each to the attempt that it must have been: to the last that
    began before it arrived, was not long over by then, and had its answer. Of several callers with one
    question, whose answers came at about the same time, nobody can tell which was whose; nor where one of
    `rivals`, attempts of calls that are not known by name, began just then. Answers what is left in doubt."""
    doubted: set[int] = set()
    waiting: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        waiting[attempt.backend].append(attempt)
    for work in works:
        candidates = waiting.get(work.backend, [])
        t_us = work.received.t_us
        if any(t_us - _ON_ITS_WAY_US <= one.started_us <= t_us for one in rivals.get(work.backend, ())):
            doubted.add(id(work))
            continue
        fitting = [one for one in candidates if one.started_us <= t_us and not _was_over(one, t_us)]
        if len({one.call_id for one in fitting}) > 1:
            fitting = [one for one in fitting if _had_its_answer(one, work)]
            fitting.sort(key=lambda one: _apart_us(one, work))
        if len(fitting) > 1 and len({one.call_id for one in fitting}) > 1:
            if _apart_us(fitting[1], work) - _apart_us(fitting[0], work) <= _ON_ITS_WAY_US:
                doubted.add(id(work))
                continue
            del fitting[1:]
        if fitting:
            attempt = fitting[-1]
            attempt.work, work.attempt = work, attempt
            candidates.remove(attempt)
    return doubted


def _was_over(attempt: Attempt, at_us: int) -> bool:
    """Whether it had ended so long before that its request must have been lost."""
    return attempt.ended_us is not None and attempt.ended_us + _ON_ITS_WAY_US < at_us


def _had_its_answer(attempt: Attempt, work: Work) -> bool:
    """Whether the attempt can have had the answer to this request."""
    answered = work.answered
    if answered is None or answered.status is None or attempt.row["status"] is None:
        return True
    return bool(attempt.row["status"] == answered.status)


def _apart_us(attempt: Attempt, work: Work) -> int:
    """How far the ends that the two of them saw are apart."""
    if work.answered is None or attempt.ended_us is None:
        return 1 << 62
    return abs(attempt.ended_us - work.answered.t_us)
