"""Where chat requests come in: the route, who asks, then the call on a task of its own.

The request's task watches the caller; the call's task outlives it. Whatever ends a call before it began, or
should not have happened, is answered in the caller's protocol, and every request leaves one row in the log.
Decides nothing about calls.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from starlette.types import Receive, Send

from refgate.answer import Answer
from refgate.chat import telling
from refgate.chat.arrival import Asked, Denied, arrive, denied, presented, visitor
from refgate.chat.flow import converse
from refgate.chat.notes import Notes, Subject
from refgate.chat.routes import Op, Route, route
from refgate.chat.voice import Voice, attend
from refgate.chat.works import Call, ChatWorks
from refgate.dialects.models import write_model, write_models
from refgate.dialects.spoken import Fault, FaultKind
from refgate.errors import Code, Refusal
from refgate.events import CallRefused, Failed
from refgate.gate import Gate
from refgate.knock import Knock

__all__ = ["Front"]

_CUT_OFF_S = 1  # to tell a caller that this replica stops; whoever stops it is waiting


class Front:
    """The chat routes of one replica."""

    def __init__(self, works: ChatWorks, gate: Gate, *, started_us: int) -> None:
        self._works = works
        self._gate = gate
        self._created_s = started_us // 1_000_000

    async def __call__(self, knock: Knock, receive: Receive, send: Send) -> None:
        works = self._works
        call_id = works.base.ids("chat")
        met = route(knock.method, knock.raw_path.decode("latin-1"), knock.headers)
        notes = Notes(works.log, works.base.clock, call_id, Subject(met.protocol.value))
        notes.presented = presented(knock)
        tape = notes.tape()
        voice = Voice(send, pairs=telling.always(met.protocol, call_id), tape=tape)
        visit = _Visit(works, met, call_id, voice, notes)
        try:
            self._gate.enter()
        except Refusal as refusal:
            await visit.deny(denied(refusal))
            return
        try:
            await self._answer(visit, knock, receive)
        except Denied as why:
            await visit.deny(why)
        except Refusal as refusal:
            await visit.deny(denied(refusal))
        except Exception as bug:
            await visit.failed(bug)
        finally:
            self._gate.leave()
            notes.answer(voice.status, voice.headers, tape)

    async def _answer(self, visit: _Visit, knock: Knock, receive: Receive) -> None:
        settings, met, notes = self._works.settings, visit.met, visit.notes
        who = visitor(settings, knock)
        notes.subject = replace(notes.subject, caller=who.caller, account=who.account)
        if met.op is None:
            raise Denied(Fault(FaultKind.NOT_FOUND, "there is no such route here"), code="not_found")
        if met.op is Op.MODELS:
            page = self._models(met)
            notes.listed()
            await visit.voice.whole(page)
            return
        asked = await arrive(settings, met, knock, who)
        notes.subject = replace(notes.subject, model=asked.plain.model, stream=asked.stream)
        notes.request(knock.headers, asked.body)
        work = self._works.base.afterwards.begin(visit.told(asked), name=f"chat {visit.call_id}")
        await attend(work, visit.voice, receive)

    def _models(self, met: Route) -> Answer:
        """All names that callers may use, or one of them."""
        names = self._works.settings.model_names
        if met.name is not None and met.name not in names:
            raise Denied(Fault(FaultKind.NOT_FOUND, "there is no such model here"), code="model_unknown")
        if met.name is None:
            page = write_models(met.protocol, sorted(names), created_s=self._created_s)
        else:
            page = write_model(met.protocol, met.name, created_s=self._created_s)
        return Answer(200, telling.JSON, page)


class _Visit:
    """One request, and every way in which it may end."""

    def __init__(self, works: ChatWorks, met: Route, call_id: str, voice: Voice, notes: Notes) -> None:
        self._works = works
        self.met = met
        self.call_id = call_id
        self.voice = voice
        self.notes = notes

    async def told(self, asked: Asked) -> None:
        """The call from its beginning to its end, on its own task. Raises nothing."""
        works = self._works
        whole_us = works.settings.chat.timeouts.whole_us
        call = Call(self.call_id, asked, self.voice, self.notes, works.now_us(), whole_us)
        try:
            await converse(works, call)
        except Denied as why:
            await self.deny(why)
        except asyncio.CancelledError:
            # This replica has to stop before the call has its end: the sweep will find its row.
            await self._cut_off()
            raise
        except Exception as bug:
            await self.failed(bug)

    async def deny(self, why: Denied) -> None:
        made = telling.refusal(self.met.protocol, why.fault, call_id=self.call_id, param=why.param)
        self.notes.denied(why.code, made.status)
        self._works.base.emit(
            CallRefused(
                t_us=self._works.now_us(),
                code=why.code,
                status=made.status,
                account=self.notes.subject.account,
                call_id=self.call_id,
            )
        )
        await self.voice.whole(made)

    async def failed(self, bug: Exception) -> None:
        """Something that should not happen did. Its text goes nowhere: it may quote anything."""
        now_us = self._works.now_us()
        what = type(bug).__name__
        self._works.base.emit(Failed(t_us=now_us, where="chat", what=what, call_id=self.call_id))
        self.notes.failed(Code.INTERNAL.value, 500)
        await self._error(Fault(FaultKind.INTERNAL, "something went wrong here"))

    async def _cut_off(self) -> None:
        self.notes.failed("stopped", 500)
        fault = Fault(FaultKind.INTERNAL, "this replica had to stop before the call had its end")
        try:
            async with asyncio.timeout(_CUT_OFF_S):
                await self._error(fault)
        except TimeoutError:
            return

    async def _error(self, fault: Fault) -> None:
        if self.voice.over:
            return
        if self.voice.begun:
            await self.voice.end(telling.broken_off(self.met.protocol, fault))
        else:
            made = telling.refusal(self.met.protocol, fault, call_id=self.call_id, retry=False)
            await self.voice.whole(made)
