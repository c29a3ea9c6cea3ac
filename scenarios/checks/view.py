"""One history as the checks look at it: who asked what, what really ran, and what the record says of it.

Made once for a history, in a few passes, and shared. A client's request, a provider's task and a row of the
gateway are joined by the nonce that the request carried, by the task id, by the call id that the answer
named, and by the idempotency key. What cannot be joined stays apart: a join is never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from fakes.journal import Answered, Received, TaskAccepted, TaskEnded
from scenarios.checks.parts import CallRow, Exchange, Served, Task, by_name, rows
from scenarios.checks.reading import first_at, read_json
from scenarios.declared.gateway import Declared
from scenarios.declared.providers import Look
from scenarios.history import Calm, Ended, Got, History, Left, Observed, Sent

__all__ = ["View"]

_NAMES_ANOTHER = frozenset({"key_reused", "in_flight"})
"""Own refusals that may name the call of another body under the same key."""


def _exchange(sent: Sent, declared: Declared) -> Exchange:
    """What a request is, by the client's word or, for a raw one, by the declared routes."""
    asks = by_name(sent.headers)
    account = asks.get("x-thread-id") or sent.account
    if sent.op in ("submit", "probe"):
        return Exchange(sent, asks, "submit", sent.nonce, account=account)
    provider = declared.providers.get(sent.provider or "")
    if sent.op != "other" or provider is None:
        return Exchange(sent, asks, sent.op, task_id=sent.task_id, account=account)
    path, _, query = sent.path.removeprefix(f"/api/proxy/{provider.name}").partition("?")
    look = provider.look_for(sent.method, path)
    if look is not None:
        op = "result" if look in provider.results else "poll"
        return Exchange(sent, asks, op, task_id=_task_in(look, sent, path, query), account=account)
    if provider.submit_for(sent.method, path) is not None:
        body = read_json(sent.body)
        nonce = body.get("nonce") if isinstance(body, dict) else None
        return Exchange(sent, asks, "submit", nonce if isinstance(nonce, str) else None, account=account)
    return Exchange(sent, asks, "other", account=account)


def _task_in(look: Look, sent: Sent, path: str, query: str) -> str | None:
    """The task id that a request names, where it names one plainly."""
    found: Any = None
    if look.place == "path":
        found = (look.pattern.captures(sent.method, path) or {}).get(look.name)
    elif look.place == "query":
        found = dict(parse_qsl(query)).get(look.name)
    else:
        found = first_at(look.name, read_json(sent.body))
    return found if isinstance(found, str) else None


class View:
    """The joins. `View.of(history, declared)` gives the one that all checks of a history share."""

    def __init__(self, history: History, declared: Declared) -> None:
        self._declared = declared
        self.exchanges: list[Exchange] = []
        self.served: list[Served] = []
        self.tasks: list[Task] = []
        self.submissions: dict[str, list[Served]] = defaultdict(list)  # nonce → submits at providers
        self.submits: dict[str, list[Exchange]] = defaultdict(list)  # nonce → clients' submits
        self.keyed: dict[tuple[str, str, str], list[Exchange]] = defaultdict(list)
        self.account_of: dict[str, str] = {}  # nonce → the account that sent it first
        self.calls: dict[str, CallRow] = {
            str(row["call_id"]): CallRow(row, observed) for row, observed in rows(history, "calls")
        }
        self.read_calls = any(one.what == "calls" and one.final for one in history.of(Observed))
        self.calm_us: int | None = next((calm.t_us for calm in history.of(Calm)), None)
        self.end_us = max((fact.t_us for fact in history.of(Observed) if fact.final), default=0)
        self.trouble = next((end.trouble for end in history.of(Ended) if end.trouble), None)
        self._tasks_for: dict[str, list[Task]] = defaultdict(list)
        self._by_seq: dict[tuple[str, int], Served] = {}
        self._by_id: dict[tuple[str, str], list[Task]] = defaultdict(list)
        self._pair_clients(history)
        self._pair_fakes(history)
        self._follow_tasks(history)
        self._join_calls()

    @classmethod
    def of(cls, history: History, declared: Declared) -> View:
        return history.derived((cls, declared), lambda: cls(history, declared))

    # Reading

    def tasks_called(self, provider: str, task_id: str) -> Sequence[Task]:
        return self._by_id.get((provider, task_id), ())

    def task_of(self, call: CallRow) -> Task | None:
        """The task that a call owns, where the provider gave its id to no other."""
        origin = self.calls.get(call.late_of) if call.late_of else call
        if origin is None or origin.task_id is None:
            return None
        found = self.tasks_called(origin.provider, origin.task_id)
        return found[0] if len(found) == 1 else None

    def request_of(self, task: Task) -> Served | None:
        """The submit that started this task."""
        return self._by_seq.get((task.provider, task.accepted.seq))

    def tasks_for(self, nonce: str | None) -> Sequence[Task]:
        """The work that providers took on for this nonce."""
        return () if nonce is None else self._tasks_for.get(nonce, ())

    def calls_of(self, nonce: str) -> Sequence[CallRow]:
        """The calls that stand for this nonce, late rows included."""
        return self._calls_of.get(nonce, ())

    def nonce_of(self, call_id: str) -> str | None:
        return self._nonce_of.get(call_id)

    # Building

    def _pair_clients(self, history: History) -> None:
        waiting: dict[tuple[int, int, str], list[Exchange]] = defaultdict(list)
        for sent in history.of(Sent):
            exchange = _exchange(sent, self._declared)
            self.exchanges.append(exchange)
            waiting[sent.call, sent.attempt, sent.op].append(exchange)
            if exchange.nonce is not None:
                self.submits[exchange.nonce].append(exchange)
                self.account_of.setdefault(exchange.nonce, exchange.account)
            if exchange.op == "submit" and sent.key is not None:
                self.keyed[exchange.account, sent.provider or "", sent.key].append(exchange)
        # No two requests are the same attempt of one call, and each ends in one way.
        for got in history.of(Got):
            if queue := waiting.get((got.call, got.attempt, got.op)):
                queue.pop(0).end(got)
        for left in history.of(Left):
            if queue := waiting.get((left.call, left.attempt, left.op)):
                queue.pop(0).leave(left)

    def _pair_fakes(self, history: History) -> None:
        for received in history.of(Received):
            served = Served(received)
            self.served.append(served)
            self._by_seq[received.at, received.seq] = served
            if received.op == "submit" and received.nonce is not None and received.at != "billing":
                self.submissions[received.nonce].append(served)
        for answered in history.of(Answered):
            asked = self._by_seq.get((answered.at, answered.seq))
            if asked is not None:
                asked.answered = answered

    def _follow_tasks(self, history: History) -> None:
        for accepted in history.of(TaskAccepted):
            known = accepted.nonce in self.account_of
            nonce = accepted.nonce if known else None
            task = Task(accepted.at, accepted, nonce, self.account_of.get(nonce or ""))
            same = self._by_id[task.provider, task.task_id]
            same.append(task)
            for one in same if len(same) > 1 else ():
                one.id_shared = True
            self.tasks.append(task)
            if task.nonce is not None:
                self._tasks_for[task.nonce].append(task)
        for ended in history.of(TaskEnded):
            for task in self._by_id.get((ended.at, ended.task_id), ()):
                if task.ended is None:
                    task.ended = ended
                    break
        for served in self.served:
            received = served.received
            if received.task_id is not None and received.op in ("poll", "result"):
                for task in self._by_id.get((received.at, received.task_id), ()):
                    task.asked.append(served)

    def _join_calls(self) -> None:
        self._nonce_of: dict[str, str] = {}
        for nonce, exchanges in self.submits.items():
            for exchange in exchanges:
                if exchange.call_id in self.calls and exchange.own_code not in _NAMES_ANOTHER:
                    self._nonce_of.setdefault(str(exchange.call_id), nonce)
        for call in self.calls.values():
            task = self.task_of(call)
            if task is not None and task.nonce is not None:
                self._nonce_of.setdefault(call.call_id, task.nonce)
            if call.key is not None:
                under = self.keyed.get((call.account, call.provider, call.key), ())
                nonces = {exchange.nonce for exchange in under}
                only = nonces.pop() if len(nonces) == 1 else None
                if only is not None:
                    self._nonce_of.setdefault(call.call_id, only)
        self._calls_of: dict[str, list[CallRow]] = defaultdict(list)
        for call in self.calls.values():
            origin_id = call.late_of or call.call_id
            found = self._nonce_of.get(origin_id)
            if found is not None:
                self._nonce_of.setdefault(call.call_id, found)
                self._calls_of[found].append(call)
