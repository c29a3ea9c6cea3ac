"""What the sweep asks a provider, on behalf of calls that nobody else asks about.

A poll is exactly a caller's poll. An unknown submit is found by its label, or sent again under it, as
declared; what comes back is a verdict only where it cannot mean anything else.
"""

from __future__ import annotations

import json
from typing import Any

from refgate.answer import Answer
from refgate.config.providers import Find, Provider
from refgate.config.routes import SubmitRoute
from refgate.config.values import JsonPath
from refgate.errors import Code, Refusal, envelope
from refgate.flows import attempts
from refgate.flows.label import labelled
from refgate.flows.memo import headers_of, method_of, query_of
from refgate.flows.query import Polled, poll
from refgate.flows.reading import Declined, Doubtful, as_task_id, document, read_resend
from refgate.flows.submit import Submitted, conclude, task_of_another_call
from refgate.flows.templates import request_of
from refgate.flows.works import Works
from refgate.ledger.records import Attempt, Call, Verdict
from refgate.ledger.states import Outcome, State
from refgate.upstream import Failure, Outgoing

__all__ = ["ProviderInquiry", "recovered"]


class ProviderInquiry:
    """See `refgate.ledger.reconciler.Inquiry`."""

    def __init__(self, works: Works) -> None:
        self._works = works

    async def poll(self, call: Call) -> None:
        provider, submitted = self._declared(call)
        route = None if submitted is None or provider is None else provider.polled_by(submitted)
        if provider is None or provider.poll is None or route is None:
            return
        asked = provider.poll
        out, path = request_of(provider, call, asked.method, asked.path, asked.json_body)
        try:
            await poll(self._works, Polled(call, provider, route), out, path)
        except Refusal:
            return  # no verdict this time; the attempt's row says why

    async def resolve(self, call: Call) -> None:
        provider, route = self._declared(call)
        if provider is None or route is None:
            return
        if provider.ambiguous.resolve == "resend":
            await self._resend(call, provider, route)
        elif provider.ambiguous.find is not None:
            await self._find(call, provider, route, provider.ambiguous.find)

    def _declared(self, call: Call) -> tuple[Provider | None, SubmitRoute | None]:
        """What the call was made under; where the configuration has lost it since, nothing here can know."""
        provider = self._works.settings.providers.get(call.provider)
        if provider is None or call.route >= len(provider.submit):
            return provider, None
        return provider, provider.submit[call.route]

    def parting(self, call: Call, outcome: Outcome) -> Answer | None:
        if outcome is not Outcome.UNREACHED:
            return None  # nobody knows is not an answer, and is never replayed as one
        return envelope(
            Refusal(Code.UPSTREAM_UNREACHABLE, "the call ended before it reached the provider", call.call_id)
        )

    async def _resend(self, call: Call, provider: Provider, route: SubmitRoute) -> None:
        out = _again(call, provider)
        attempt = self._opened(call, "submit", out, call.submit_path)
        attempt, reply = await attempts.ask(self._works, attempt, out)
        verdict = read_resend(route, provider.ambiguous.statuses, reply)
        # A refusal may be of the moment (a limit, an empty balance, maintenance) and hide that the first was
        # taken on. Whoever still refuses when the time for a verdict is over is taken at his word.
        early = self._works.clock() < self._works.cadence.deadline_us(call.created_us)
        if isinstance(verdict, Doubtful) or (isinstance(verdict, Declined) and early):
            await attempts.close(self._works, attempt)
        else:
            await conclude(self._works, Submitted(call, provider, attempt, reply), verdict)

    async def _find(self, call: Call, provider: Provider, route: SubmitRoute, find: Find) -> None:
        out, path = request_of(provider, call, find.method, find.path)
        attempt, reply = await attempts.ask(self._works, self._opened(call, "find", out, path), out)
        known, task_id = _found(find, reply)
        if task_id is not None:
            state = await self._works.store.started(
                call.call_id,
                task_id=task_id,
                answer=recovered(route.task_id, task_id),
                attempt=attempt,
                now_us=self._works.clock(),
                due_us=self._works.next_look_us(call),
            )
            if state is State.RUNNING:
                self._works.tell_running(call, task_id)
            elif state is None and self._works.clock() >= self._too_late_us(call):
                # What is there under the call's own label is another's, and no other will come.
                refused = task_of_another_call(call.call_id)
                verdict = Verdict(0, Outcome.DUPLICATE, "task_of_another_call", submit=refused)
                await self._ended(call, verdict)
        elif known and self._works.clock() >= self._too_late_us(call):
            verdict = Verdict(0, Outcome.UNREACHED, "not_found", submit=self.parting(call, Outcome.UNREACHED))
            await self._ended(call, verdict, attempt)
        else:
            await attempts.close(self._works, attempt)

    async def _ended(self, call: Call, verdict: Verdict, attempt: Attempt | None = None) -> None:
        now_us = self._works.clock()
        if await self._works.store.claim(
            call.call_id, verdict, intent_id=self._works.ids("int"), attempt=attempt, now_us=now_us
        ):
            self._works.tell_end(call, verdict)

    def _too_late_us(self, call: Call) -> int:
        """When a submit that is not to be found can no longer be on its way into the provider's books."""
        times = self._works.settings
        return (
            call.created_us + self._works.lease_us + times.timeouts.total_us + times.reconcile.poll_after_us
        )

    def _opened(self, call: Call, op: str, out: Outgoing, path: str) -> Attempt:
        return attempts.opened(
            self._works, op=op, provider=call.provider, method=out.method, path=path, call_id=call.call_id
        )


def _again(call: Call, provider: Provider) -> Outgoing:
    """The very submit that went out before, label included."""
    headers, body = labelled(
        provider.ambiguous.label, call.call_id, (*headers_of(call.captures), provider.auth.pair()), call.body
    )
    query = query_of(call.captures)
    url = provider.base_url + call.submit_path + (f"?{query}" if query else "")
    return Outgoing(method_of(call.captures), url, headers, body)


def _found(find: Find, reply: Answer | Failure) -> tuple[bool, str | None]:
    """Whether the provider knows for sure, and which task it is if there is one."""
    if isinstance(reply, Failure):
        return False, None
    if reply.status == 404:
        return True, None
    if not 200 <= reply.status < 300:
        return False, None
    try:
        there, value = find.task_id.first(document(reply.body))
    except ValueError:
        return False, None
    task_id = as_task_id(value) if there else None
    return task_id is not None or not there or value in (None, ""), task_id


def recovered(path: JsonPath, task_id: str) -> Answer:
    """An answer to the submit with the task id where its route looks for it, and nothing else.

    The provider's own answer is lost; this is what its caller needs of it.
    """
    document: Any = task_id
    for step in reversed(path.steps or ()):
        document = [None] * step + [document] if isinstance(step, int) else {step: document}
    if not path.steps:
        document = {"task_id": task_id}
    body = json.dumps(document, separators=(",", ":")).encode()
    return Answer(200, (("content-type", "application/json"),), body)
