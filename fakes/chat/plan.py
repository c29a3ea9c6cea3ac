"""What a provider of models does when no act says otherwise: its models, prices, limits and speed.

Durations are text with a unit, prices decimal text; both are exact. A plan says nothing of vendors: the
same one is worded by every dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fakes.acts.play import Strict, UnitsText
from fakes.chat.tokens import Prices, Tier
from fakes.durations import DurationUs

__all__ = ["ChatPlan", "Limits", "ModelPlan"]


class Limits(Strict):
    """Token buckets that refill evenly over a minute; None is without limit.

    With `start: seeded` each bucket begins at a level drawn from the seed, as one finds it in the wild.
    """

    rpm: int | None = Field(default=None, ge=1)
    tpm: int | None = Field(default=None, ge=1)
    input_tpm: int | None = Field(default=None, ge=1)
    output_tpm: int | None = Field(default=None, ge=1)
    start: Literal["full", "seeded"] = "full"


class ModelPlan(Strict):
    """One model: what it costs, the name it answers under, how much it takes, limits of its own."""

    prices: Prices = Prices()
    tiers: Annotated[tuple[Tier, ...], Field(strict=False)] = ()
    served_as: str | None = None
    context: int = Field(default=128_000, ge=1)
    limits: Limits | None = None

    def prices_for(self, input_total: int) -> Prices:
        """The prices of the highest tier the input is strictly above, for the whole request."""
        reached = [tier for tier in self.tiers if input_total > tier.above]
        return max(reached, key=lambda tier: tier.above).prices if reached else self.prices


class ChatPlan(Strict):
    """The defaults of one provider. Models are found by exact name, then by pattern, in order.

    A text has `words` tokens after its first, which names the request; `reasoning` tokens come before
    it. With `headers` a stream's status line comes before its `first` token; `load_factor` is how much
    slower everything is with `load_full` completions in progress, and in proportion with fewer.
    `left_stream` and `left_whole` say whether work stops when its client leaves.
    """

    models: Mapping[str, ModelPlan] = Field(default_factory=lambda: {"*": ModelPlan()})
    words: int = Field(default=20, ge=0, le=100_000)
    reasoning: int = Field(default=0, ge=0, le=100_000)
    words_per_event: int = Field(default=1, ge=1)
    prompt: int | None = Field(default=None, ge=0)
    cache_read: int = Field(default=0, ge=0)
    cache_write_5m: int = Field(default=0, ge=0)
    cache_write_1h: int = Field(default=0, ge=0)
    headers_us: DurationUs = Field(default=0, alias="headers")
    first_us: DurationUs = Field(default=200_000, alias="first")
    first_jitter_us: DurationUs = Field(default=0, alias="first_jitter")
    between_us: DurationUs = Field(default=20_000, alias="between")
    load_factor: UnitsText = "1"
    load_full: int = Field(default=10, ge=1)
    limits: Limits = Limits()
    left_stream: Literal["stops", "runs_on"] = "stops"
    left_whole: Literal["stops", "runs_on"] = "runs_on"
    obfuscation: bool = False
    embedding_dimensions: int = Field(default=8, ge=1, le=4_096)

    @model_validator(mode="after")
    def _makes_sense(self) -> ChatPlan:
        if not self.models:
            raise ValueError('a provider without models serves nobody; {"*": {}} takes any name')
        if Fraction(self.load_factor) < 1:
            raise ValueError("load_factor is 1 or more: nobody gets faster under load")
        if self.headers_us > self.first_us:
            raise ValueError("headers come before the first token, or with it")
        return self

    def model(self, name: str) -> tuple[str, ModelPlan] | None:
        """The model of this name and the entry it is under, or None where there is none."""
        if name in self.models:
            return name, self.models[name]
        for pattern, model in self.models.items():
            if fnmatchcase(name, pattern):
                return pattern, model
        return None
