"""Chats in a scenario: the providers of language models, and the clients that call them.

A provider of models takes the plan and the acts of `fakes.chat`. A block of chat traffic says who calls
which model, in which protocol, and by what: a plain client, or a vendor's own SDK with its own retries.
Knows nothing of how that is worded on the wire (`scenarios.clients.chat_wording`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fakes.acts.script import ChatAct
from fakes.chat.plan import ChatPlan, ModelPlan
from fakes.chat.tokens import Prices
from scenarios.model.parts import Name, Part, Positive
from scenarios.model.traffic import Arrivals, Retry

__all__ = ["USUAL_MODELS", "ChatProtocol", "ChatProviderPart", "ChatTraffic", "ChatVia", "ChatWire"]

ChatWire = Literal["openai", "anthropic", "gemini"]
ChatProtocol = Literal["openai_chat", "openai_responses", "anthropic", "gemini", "openai_embeddings"]
ChatVia = Literal["plain", "openai", "anthropic"]

_SPOKEN_BY: dict[str, tuple[str, ...]] = {
    "openai": ("openai_chat", "openai_responses", "openai_embeddings"),
    "anthropic": ("anthropic",),
}


def _model(**prices: str) -> ModelPlan:
    return ModelPlan(prices=Prices(**prices))


USUAL_MODELS: Mapping[ChatWire, Mapping[str, ModelPlan]] = {
    "openai": {
        "gpt-4o-mini": _model(input="0.15", output="0.60", cache_read="0.075"),
        "text-embedding-3-small": _model(input="0.02", output="0"),
    },
    "anthropic": {
        "claude-haiku-4-5": _model(
            input="1", output="5", cache_read="0.10", cache_write_5m="1.25", cache_write_1h="2"
        ),
    },
    "gemini": {"gemini-2.5-flash": _model(input="0.30", output="2.50", cache_read="0.03")},
}
"""What a vendor has where a plan names no models of its own."""


class ChatProviderPart(Part):
    """A fake provider of language models: the wire it speaks, what it completes, and its misbehaviour.

    A plan that names no models has the vendor's usual ones, at their usual prices.
    """

    wire: ChatWire
    plan: ChatPlan = ChatPlan()
    acts: Annotated[tuple[ChatAct, ...], Field(strict=False)] = ()

    @property
    def played(self) -> ChatPlan:
        """The plan as it is played."""
        if self.plan.models != ChatPlan().models:
            return self.plan
        return self.plan.model_copy(update={"models": USUAL_MODELS[self.wire]})


class ChatTraffic(Arrivals):
    """Clients that call a model. `via` is who speaks: a plain client, or the SDK of a vendor.

    A question has so many `words`; `tools` offers one, `image` shows one, and `body` adds fields to the
    request, or replaces them. `stream: half` streams every other call of a block. With `same` all calls for
    a model ask the very same, under one nonce. A client leaves some time after it sent its request, or once
    it has heard so many events with content (`leaves_after_tokens`). Plain clients `retry` as they are told
    to; SDKs do as they do, at most `sdk_retries` times. Whatever is sent again is the same call.
    """

    send: Literal["chat"]
    account: Name
    thread: str | None = None
    model: Annotated[str, Field(min_length=1, max_length=200)]
    via: ChatVia = "plain"
    protocol: ChatProtocol = "openai_chat"
    stream: Literal["never", "always", "half"] = "never"
    words: Annotated[int, Field(ge=1, le=100_000)] = 20
    max_tokens: Positive | None = None
    tools: bool = False
    image: bool = False
    same: bool = False
    body: dict[str, Any] = Field(default_factory=dict)
    retry: Retry | None = None
    sdk_retries: Annotated[int, Field(ge=0, le=20)] = 2
    leaves_after_tokens: Positive | None = None

    @model_validator(mode="after")
    def _can_be_done(self) -> ChatTraffic:
        if self.via != "plain":
            if self.protocol not in _SPOKEN_BY[self.via]:
                spoken = ", ".join(_SPOKEN_BY[self.via])
                raise ValueError(f"the {self.via} SDK speaks {spoken}, not {self.protocol}")
            if self.retry is not None:
                raise ValueError("an SDK retries by itself: sdk_retries says how often")
        if self.protocol == "openai_embeddings" and (self.stream != "never" or self.tools or self.image):
            raise ValueError("embeddings are of text, and are not streamed")
        if self.leaves_after_tokens is not None and self.stream == "never":
            raise ValueError("leaves_after_tokens needs a stream")
        return self
