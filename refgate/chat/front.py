"""Where chat requests come in: the route, who asks, then the call on a task of its own.

The request's task watches the caller; the call's task outlives it. Whatever ends a call before it began, or
should not have happened, is answered in the caller's protocol. Decides nothing about calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive, Send

from refgate.chat import telling
from refgate.chat.arrival import Asked, Denied, Visitor, arrive, denied, visitor
from refgate.chat.flow import converse
from refgate.chat.routes import Op, Route, route
from refgate.chat.voice import Voice, attend
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.json_text import dumps, loads
from refgate.dialects.models import write_models
from refgate.dialects.spoken import Fault, FaultKind
from refgate.errors import Refusal
from refgate.events import CallRefused, Failed
from refgate.flows.arrival import Knock
from refgate.gate import Gate
from refgate.ports import Answer

__all__ = ["Front"]


class Front:
    """The chat routes of one replica."""

    def __init__(self, works: ChatWorks, gate: Gate, *, started_us: int) -> None:
        self._works = works
        self._gate = gate
        self._created_s = started_us // 1_000_000

    async def __call__(self, knock: Knock, receive: Receive, send: Send) -> None:
        call_id = self._works.base.ids("chat")
        met = route(knock.method, knock.raw_path.decode("latin-1"), knock.headers)
        voice = Voice(send, pairs=telling.always(met.protocol, call_id))
        try:
            self._gate.enter()
        except Refusal as refusal:
            await self._deny(met, voice, call_id, denied(refusal), None)
            return
        try:
            await self._answer(met, knock, receive, voice, call_id)
        finally:
            self._gate.leave()

    async def _answer(self, met: Route, knock: Knock, receive: Receive, voice: Voice, call_id: str) -> None:
        who: Visitor | None = None
        try:
            who = visitor(self._works.settings, knock)
            if met.op is None:
                raise Denied(Fault(FaultKind.NOT_FOUND, "there is no such route here"), code="not_found")
            if met.op is Op.MODELS:
                await voice.whole(self._models(met))
                return
            asked = await arrive(self._works.settings, met, knock, who)
        except Refusal as refusal:
            await self._deny(met, voice, call_id, denied(refusal), who)
            return
        except Denied as why:
            await self._deny(met, voice, call_id, why, who)
            return
        except Exception as bug:
            await self._failed(met, voice, call_id, bug)
            return
        work = self._works.base.afterwards.begin(
            self._told(met, voice, call_id, asked), name=f"chat {call_id}"
        )
        await attend(work, voice, receive)

    async def _told(self, met: Route, voice: Voice, call_id: str, asked: Asked) -> None:
        """The call from its beginning to its end, on its own task. Raises nothing."""
        works = self._works
        whole_us = works.settings.chat.timeouts.whole_us
        call = Call(call_id, asked, voice, works.now_us(), whole_us)
        try:
            await converse(works, call)
        except Denied as why:
            await self._deny(met, voice, call_id, why, asked.visitor)
        except asyncio.CancelledError:
            # This replica has to stop before the call has its end: the sweep will find its row.
            await self._cut_off(met, voice, call_id)
            raise
        except Exception as bug:
            await self._failed(met, voice, call_id, bug)

    def _models(self, met: Route) -> Answer:
        """All names that callers may use, or one of them."""
        names = self._works.settings.model_names
        shown = sorted(names) if met.name is None else [met.name]
        if met.name is not None and met.name not in names:
            raise Denied(Fault(FaultKind.NOT_FOUND, "there is no such model here"), code="model_unknown")
        page = write_models(met.protocol, shown, created_s=self._created_s)
        if met.name is not None:
            listed: Mapping[str, list[object]] = loads(page.decode())
            page = dumps((listed.get("data") or listed["models"])[0]).encode()
        return Answer(200, telling.JSON, page)

    async def _deny(self, met: Route, voice: Voice, call_id: str, why: Denied, who: Visitor | None) -> None:
        made = telling.refusal(met.protocol, why.fault, call_id=call_id, param=why.param)
        self._works.base.emit(
            CallRefused(
                t_us=self._works.now_us(),
                code=why.code,
                status=made.status,
                account=None if who is None else who.account,
                call_id=call_id,
            )
        )
        await voice.whole(made)

    async def _failed(self, met: Route, voice: Voice, call_id: str, bug: Exception) -> None:
        """Something that should not happen did. Its text goes nowhere: it may quote anything."""
        now_us = self._works.now_us()
        self._works.base.emit(Failed(t_us=now_us, where="chat", what=type(bug).__name__, call_id=call_id))
        await self._error(met, voice, call_id, Fault(FaultKind.INTERNAL, "something went wrong here"))

    async def _cut_off(self, met: Route, voice: Voice, call_id: str) -> None:
        """Bounded, for whoever stops is waiting."""
        fault = Fault(FaultKind.INTERNAL, "this replica had to stop before the call had its end")
        try:
            async with asyncio.timeout(1):
                await self._error(met, voice, call_id, fault)
        except TimeoutError:
            return

    async def _error(self, met: Route, voice: Voice, call_id: str, fault: Fault) -> None:
        if voice.over:
            return
        if voice.begun:
            await voice.end(telling.broken_off(met.protocol, fault))
        else:
            await voice.whole(telling.refusal(met.protocol, fault, call_id=call_id, retry=False))
