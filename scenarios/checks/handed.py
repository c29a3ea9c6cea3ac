"""Which of a provider's answers a client's answer may be: the candidates for what was handed on.

Joined by the nonce of a submit, the task of a look, and method and path of anything else. A stored answer
that is given again is one of them too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from fakes.journal import Answered, digest
from scenarios.checks.parts import Exchange, Served, by_name
from scenarios.checks.verdicts import upstream_path
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.history import History

__all__ = ["Candidates", "Handed"]


class Candidates:
    """Requests at a provider that a client's answer may stem from, and what their answers were."""

    __slots__ = ("cut_lengths", "encoded", "halves", "known", "served", "statuses", "whole")

    def __init__(self, served: Sequence[Served]) -> None:
        self.served = served
        self.statuses: set[int | None] = set()
        self.whole: set[tuple[int | None, str | None]] = set()  # status and digest
        self.halves: list[Answered] = []
        self.cut_lengths: set[str | None] = set()
        self.encoded = False
        self.known = True  # each whole body can be compared
        for one in served:
            if one.answered is not None:
                self._add(one.answered)

    def _add(self, answered: Answered) -> None:
        self.statuses.add(answered.status)
        says = by_name(answered.headers)
        self.encoded = self.encoded or "content-encoding" in says
        if answered.complete:
            self.whole.add((answered.status, answered.body_digest))
            self.known = self.known and answered.body_digest is not None
            return
        self.cut_lengths.add(says.get("content-length"))
        if answered.body_bytes > 0:
            self.halves.append(answered)


class Handed:
    """`Handed.of(history, declared)` gives the one that all checks of a history share."""

    def __init__(self, view: View, declared: Declared) -> None:
        self._view, self._declared = view, declared
        self._others: dict[tuple[str, str, str], list[Served]] = defaultdict(list)
        self._known: dict[Hashable, Candidates] = {}
        for served in view.served:
            received = served.received
            self._others[received.at, received.method, received.path].append(served)

    @classmethod
    def of(cls, history: History, declared: Declared) -> Handed:
        return history.derived((cls, declared), lambda: cls(View.of(history, declared), declared))

    def by(self, exchange: Exchange) -> Candidates:
        """The requests at the provider whose answer this may be."""
        name = exchange.sent.provider or ""
        key: Hashable
        if exchange.op == "submit" and exchange.nonce is not None:
            key = (name, exchange.nonce)
        elif exchange.op in ("poll", "result") and exchange.task_id is not None:
            key = (name, "task", exchange.task_id)
        else:
            key = (name, "other", exchange.sent.method, upstream_path(exchange, name))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Candidates(self._served(name, exchange))
        return found

    def _served(self, name: str, exchange: Exchange) -> Sequence[Served]:
        if exchange.op == "submit" and exchange.nonce is not None:
            return [one for one in self._view.submissions.get(exchange.nonce, ()) if one.received.at == name]
        if exchange.op in ("poll", "result") and exchange.task_id is not None:
            return [one for task in self._view.tasks_called(name, exchange.task_id) for one in task.asked]
        return self._others.get((name, exchange.sent.method, upstream_path(exchange, name)), ())

    def judged(self, exchange: Exchange) -> bool:
        """Whether the answer is the provider's own, and its bytes can be compared."""
        if exchange.answered is None or exchange.own_code is not None:
            return False
        provider = self._declared.providers.get(exchange.sent.provider or "")
        if provider is None or exchange.sent.method == "HEAD":
            return False
        candidates = self.by(exchange)
        if candidates.encoded:
            return False  # decoded on the way, perhaps
        if str(len(exchange.answered.body)) in candidates.cut_lengths:
            return False  # whole by its own headers: nobody can tell that it is not
        if provider.resolve == "find" and exchange.op == "submit" and self._was_uncertain(exchange):
            return False  # the answer may be that of the search
        return candidates.known

    def _was_uncertain(self, exchange: Exchange) -> bool:
        """Whether some attempt of this submit had no answer of its own."""
        attempts = self._view.submits.get(exchange.nonce or "", ())
        return any(one.answered is None or one.own_code is not None for one in attempts)

    def matches(self, exchange: Exchange) -> bool:
        """Whether a whole answer of the provider has this status and these bytes."""
        got = exchange.answered
        assert got is not None
        return (got.status, digest(got.body)) in self.by(exchange).whole
