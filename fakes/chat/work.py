"""One request in progress, and the two facts about it: that it was taken on, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fakes.acts.chats import Billed
from fakes.chat.asked import Asked
from fakes.chat.performance import Told
from fakes.chat.plan import ModelPlan
from fakes.chat.tokens import Tokens, cost_nanos
from fakes.journal import ChatAccepted, ChatEnded

__all__ = ["Work"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was asked, by whom it is served, and what it will have used when all of it was generated.

    `billed` is what an act says of the bill, `takes_us` how long the answer takes where it is lost on its
    way, `runs_on` whether the work goes on when the client leaves.
    """

    seq: int
    asked: Asked
    served: str
    model: ModelPlan
    tokens: Tokens
    billed: Billed | None
    takes_us: int
    runs_on: bool

    def accepted(self, t_us: int, at: str, dialect: str, running: int) -> ChatAccepted:
        return ChatAccepted(
            t_us=t_us,
            at=at,
            seq=self.seq,
            nonce=self.asked.nonce,
            model=self.asked.model or "",
            dialect=dialect,
            stream=self.asked.stream,
            running=running,
        )

    def ended(self, t_us: int, at: str, told: Told) -> ChatEnded:
        tokens = self.tokens
        if not told.finished and self.billed != "all":
            tokens = replace(
                tokens,
                output_text=told.output_text,
                output_reasoning=told.output_reasoning,
                output_audio=0,  # sound comes after the words
            )
        billed = self.billed != "nothing"
        prices = self.model.prices_for(tokens.input_total)
        return ChatEnded(
            t_us=t_us,
            at=at,
            seq=self.seq,
            nonce=self.asked.nonce,
            model=self.served,
            **tokens.by_class(),
            cost_nanos=cost_nanos(tokens, prices) if billed else 0,
            billed=billed,
            complete=told.complete,
            delivered=told.delivered,
            events=told.events,
            text=told.text,
            usage_shown=told.usage,
            ran_on=told.ran_on,
        )
