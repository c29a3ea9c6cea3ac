"""Where task calls come in: one request from end to end, by the flow of its route.

Whatever goes wrong is answered in one envelope, and on record. Decides nothing about calls.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from refgate.errors import Code, Refusal
from refgate.events import CallRefused, Failed
from refgate.flows.answers import refused
from refgate.flows.arrival import Asked, arrive
from refgate.flows.passthrough import Forwarded, passthrough, result
from refgate.flows.query import query
from refgate.flows.routes import MetPassthrough, MetQuery, MetResult, MetSubmit
from refgate.flows.submit import submit
from refgate.flows.works import Works
from refgate.knock import Knock
from refgate.ports import StoreUnavailable

__all__ = ["Front"]


class Front:
    """The proxied routes of one replica."""

    def __init__(self, works: Works) -> None:
        self._works = works

    async def answer(self, knock: Knock) -> Response | Forwarded:
        """A caller's request from end to end. Never raises: what goes wrong is answered in one envelope."""
        asked: Asked | None = None
        try:
            asked = await arrive(self._works.settings, knock)
            return await self._flow(asked)
        except Refusal as refusal:
            told = refusal
        except StoreUnavailable:
            told = Refusal(
                Code.STORE_UNAVAILABLE, "the store cannot be reached", None, self._works.retry_after_s
            )
        except Exception as bug:
            self.failed("gateway", bug)
            told = Refusal(Code.INTERNAL, "something went wrong here")
        return self.refuse(told, asked)

    def refuse(self, told: Refusal, asked: Asked | None = None) -> Response:
        """An answer in the gateway's own name, on record."""
        answer = refused(told)
        self._works.emit(
            CallRefused(
                t_us=self._works.clock(),
                code=told.code.value,
                status=answer.status_code,
                provider=None if asked is None else asked.name,
                account=None if asked is None else asked.account,
                call_id=told.call_id,
            )
        )
        return answer

    def failed(self, where: str, bug: Exception) -> None:
        """Something that should not happen did. Its text goes nowhere: it may quote anything."""
        self._works.emit(Failed(t_us=self._works.clock(), where=where, what=type(bug).__name__))

    async def _flow(self, asked: Asked) -> Response | Forwarded:
        match asked.met:
            case MetSubmit() as met:
                # On its own task: the end of this request, whatever ends it, does not end the submit.
                work = self._works.afterwards.begin(submit(self._works, asked, met), name="submit")
                try:
                    return await asyncio.shield(work)
                except asyncio.CancelledError:
                    if not work.cancelled():
                        raise  # It is this request that ends; the submit goes on.
                    raise Refusal(
                        Code.OUTCOME_UNKNOWN,
                        "this replica had to stop before the call had its verdict",
                        retry_after_s=self._works.retry_after_s,
                    ) from None
            case MetQuery() as met:
                return await query(self._works, asked, met)
            case MetResult() as met:
                return await result(self._works, asked, met)
            case MetPassthrough():
                return await passthrough(self._works, asked)
