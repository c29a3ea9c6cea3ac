"""What clients do: arrive, submit, poll, retry, repeat, leave.

Each block of a scenario's traffic is played by its own tasks; a call's story is told by one function.
All waiting is in virtual time, and every loop has an end: a client gives up, a retry has its number.
Outcomes are not judged here. Chats: `scenarios.clients.chats`; raw requests: `scenarios.clients.raw`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from fakes.journal import Journal
from fakes.time import SimLoop
from fakes.wire import Wire
from scenarios.clients.arrivals import arrivals_of, caller_headers, lower, sleep, wants_retry
from scenarios.clients.chats import Chats
from scenarios.clients.client import Call, Client, Ended, Order
from scenarios.clients.raw import PROXY, Raw
from scenarios.clients.task_wording import (
    WORDINGS,
    Wording,
    end_of,
    poll_of,
    result_of,
    submit_body,
    task_id_in,
)
from scenarios.gateways import PROBE
from scenarios.model.scenario import ChatTraffic, HttpTraffic, Poll, ProviderPart, Scenario, TaskTraffic

__all__ = ["Traffic"]

_PROBE_EVERY_MIN_US = 1_000_000
_PROBE_SPARE_US = 600_000_000


@dataclass(frozen=True, slots=True)
class _Submit:
    """One client's way of submitting in one block."""

    order: Order
    wording: Wording
    submit_path: str


class Traffic:
    """The clients of one world."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        config: Mapping[str, Any],
        client: Client,
        wire: Wire,
        loop: SimLoop,
        journal: Journal,
    ) -> None:
        self._scenario = scenario
        self._config = config
        self._client = client
        self._loop = loop
        self._raw = Raw(scenario, config=config, client=client, loop=loop)
        self.chats = Chats(config, client=client, wire=wire, loop=loop, journal=journal)

    async def play(self) -> None:
        """Everything that clients do, to its end."""
        async with asyncio.TaskGroup() as group:
            for index, block in enumerate(self._scenario.traffic):
                name = block.name or f"t{index}"
                match block:
                    case TaskTraffic():
                        story = self._tasks(name, block)
                    case HttpTraffic():
                        story = self._raw.play(name, block)
                    case ChatTraffic():
                        story = self.chats.play(name, block)
                group.create_task(story, name=f"traffic {name}")

    async def probe(self, provider: str) -> None:
        """One plain call to a provider, by a caller of its own, polled to its end."""
        block = TaskTraffic(send="task", provider=provider, account=PROBE)
        call = self._client.new_call(f"key-probe-{provider}")
        submit = self._submit(f"probe {provider}", block, call)
        submit = replace(submit, order=replace(submit.order, op="probe"))
        ended = await self._client.send(call, submit.order)
        part = self._scenario.providers[provider]
        assert isinstance(part, ProviderPart)
        plan = part.plan
        # Often enough to see both stages, and no oftener: every run pays for its probes.
        life_us = plan.takes + plan.queued
        every_us = max(_PROBE_EVERY_MIN_US, life_us // 2)
        poll = Poll().model_copy(update={"every": every_us, "give_up": 4 * life_us + _PROBE_SPARE_US})
        await self._followed(submit, poll, [(call, ended)])

    # Arrivals.

    async def _tasks(self, name: str, block: TaskTraffic) -> None:
        shared = self._client.new_call(f"key-{name}") if block.key == "shared" else None
        async with asyncio.TaskGroup() as group, aclosing(arrivals_of(name, block, self._loop)) as arrivals:
            async for who, turns in arrivals:
                group.create_task(self._task_client(who, name, block, shared, turns), name=who)

    async def _task_client(
        self, who: str, name: str, block: TaskTraffic, shared: Call | None, turns: int
    ) -> None:
        for turn in range(turns):
            if turn:
                await sleep(block.pause)
            await self._call(who, name, block, shared)

    # One call.

    async def _call(self, who: str, name: str, block: TaskTraffic, shared: Call | None) -> None:
        """A call's whole story: its copies, its polls, its repeats."""
        call = shared or self._new_call(name, block)
        submit = self._submit(who, block, call)
        if block.copies == 1:  # The usual case, without the price of a group.
            ends = [await self._submitted(call, submit, name, block)]
        else:
            async with asyncio.TaskGroup() as group:
                copies = [
                    group.create_task(self._submitted(call, submit, name, block), name=f"{who} copy")
                    for _ in range(block.copies)
                ]
            ends = [copy.result() for copy in copies]
        if block.again is None and not block.repeat_with_other_body:
            await self._followed(submit, block.poll, ends)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._followed(submit, block.poll, ends), name=f"{who} follow")
            group.create_task(self._repeated(call, submit, block), name=f"{who} repeat")

    def _new_call(self, name: str, block: TaskTraffic) -> Call:
        call = self._client.new_call()
        if block.key == "own":
            call.key = f"key-{name}-{call.number}"
        return call

    async def _submitted(
        self, call: Call, submit: _Submit, name: str, block: TaskTraffic
    ) -> tuple[Call, Ended]:
        """Sent, and sent again as the block's clients retry; the call that this came to, and its end."""
        ended = await self._client.send(call, submit.order)
        retry = block.retry
        wait_us = retry.wait if retry else 0
        for _ in range(retry.attempts - 1 if retry else 0):
            if retry is None or not wants_retry(retry, ended):
                break
            await sleep(max(wait_us, ended.retry_after_us))
            wait_us = min(2 * wait_us, retry.wait_max)
            if call.key is None:  # Nothing ties the two together: to everybody else it is a new call.
                call = self._new_call(name, block)
                submit = self._submit(submit.order.who, block, call)
            ended = await self._client.send(call, submit.order)
        return call, ended

    async def _repeated(self, call: Call, submit: _Submit, block: TaskTraffic) -> None:
        for _ in range(block.again.times if block.again else 0):
            await sleep(block.again.after if block.again else 0)
            await self._client.send(call, replace(submit.order, leaves_after_us=None))
        if block.repeat_with_other_body:
            other = self._client.new_call(call.key)
            await self._client.send(other, self._submit(submit.order.who, block, other).order)

    async def _followed(self, submit: _Submit, poll: Poll | None, ends: Sequence[tuple[Call, Ended]]) -> None:
        """The task of the first answer that names one, polled as the block says."""
        answered = ((call, task_id_in(submit.wording, end.body)) for call, end in ends if end.outcome == "ok")
        call, task_id = next((found for found in answered if found[1] is not None), (None, None))
        if poll is None or call is None or task_id is None:
            return
        over = asyncio.Event()
        if poll.pollers == 1 and not poll.also_by:
            await self._poller(call, submit, poll, task_id, over)
            return
        async with asyncio.TaskGroup() as group:
            for number in range(poll.pollers):
                who = f"{submit.order.who} poller {number}"
                group.create_task(self._poller(call, submit, poll, task_id, over), name=who)
            for account in poll.also_by:
                group.create_task(self._onlooker(call, submit, poll, task_id, account, over), name=account)

    async def _poller(
        self, call: Call, submit: _Submit, poll: Poll, task_id: str, over: asyncio.Event
    ) -> None:
        until_us = self._loop.now_us + poll.give_up
        order = self._poll_order(submit, poll, task_id, submit.order.account)
        while self._loop.now_us < until_us:
            await sleep(poll.every)
            ended = await self._client.send(call, order)
            end = end_of(submit.wording, ended.body) if ended.outcome == "ok" else None
            if end is None:
                continue
            result = self._result_order(submit, task_id) if poll.result and end == "success" else None
            if result is not None:
                await self._client.send(call, result)
            for _ in range(poll.keep_polling):
                await sleep(poll.every)
                await self._client.send(call, order)
            break
        over.set()

    async def _onlooker(
        self, call: Call, submit: _Submit, poll: Poll, task_id: str, account: str, over: asyncio.Event
    ) -> None:
        """Asks about somebody else's task while its owner does, and once more afterwards."""
        order = self._poll_order(submit, poll, task_id, account)
        result = self._result_order(submit, task_id, account)
        while not over.is_set():
            await sleep(poll.every)
            await self._client.send(call, order)
        await self._client.send(call, order)
        if result is not None:
            await self._client.send(call, result)

    # Wording.

    def _submit(self, who: str, block: TaskTraffic, call: Call) -> _Submit:
        wording = WORDINGS[self._scenario.providers[block.provider].wire]
        path = block.path or wording.submit
        headers = {**dict(wording.headers), **lower(block.headers)}
        if call.key is not None:
            headers.setdefault("x-idempotency-key", call.key)
        order = Order(
            who=who,
            op="submit",
            method="POST",
            path=f"{PROXY}/{block.provider}{path}",
            account=block.thread or block.account,
            headers=caller_headers(self._config, block.account, headers, thread=block.thread, is_json=True),
            body=submit_body(wording, call.nonce, block.body),
            provider=block.provider,
            timeout_us=block.timeout,
            leaves_after_us=block.leaves_after,
        )
        return _Submit(order, wording, path)

    def _poll_order(self, submit: _Submit, poll: Poll, task_id: str, account: str) -> Order:
        asked = poll_of(submit.wording, task_id, submit.submit_path)
        return replace(
            submit.order,
            op="poll",
            method=asked.method,
            path=f"{PROXY}/{submit.order.provider}{asked.path}",
            account=account,
            headers=caller_headers(self._config, account, {}, is_json=bool(asked.body)),
            body=asked.body,
            task_id=task_id,
            leaves_after_us=poll.leaves_after,
        )

    def _result_order(self, submit: _Submit, task_id: str, account: str | None = None) -> Order | None:
        asked = result_of(submit.wording, task_id, submit.submit_path)
        if asked is None:
            return None
        account = account or submit.order.account
        return replace(
            submit.order,
            op="result",
            method=asked.method,
            path=f"{PROXY}/{submit.order.provider}{asked.path}",
            account=account,
            headers=caller_headers(self._config, account, {}),
            body=b"",
            task_id=task_id,
            leaves_after_us=None,
        )
