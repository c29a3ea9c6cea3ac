"""What every part of a scenario is made of: the frozen strict base, and the words parts share."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from fakes.acts.play import Strict

__all__ = [
    "MINUTE_US",
    "SECOND_US",
    "Chance",
    "Empty",
    "HeaderMap",
    "LinkEnd",
    "Name",
    "OneOf",
    "Part",
    "Positive",
    "ReplicaName",
    "Whole",
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ReplicaName = Annotated[str, Field(pattern=r"^gateway-\d+$")]
LinkEnd = Annotated[str, Field(pattern=r"^(client|billing|gateway(-\d+)?|[A-Za-z0-9][A-Za-z0-9_-]{0,63})$")]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Chance = Annotated[float, Field(ge=0, le=1, strict=False)]
HeaderMap = dict[str, str]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US


class Part(Strict):
    """A part of a scenario. Files use the names that a reader expects (`from`, `for`); Python the fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_by_name=True)


class Empty(Part):
    """`{}`: takes no parameters."""


class OneOf(Part):
    """A mapping with exactly one of its keys."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"names exactly one of {known}; here {', '.join(named) or 'none'}")
        return self

    @property
    def chosen(self) -> str:
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)
