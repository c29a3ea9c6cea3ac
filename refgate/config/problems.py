"""What pydantic says of a configuration, put for the person who wrote it: line, field, suggestion."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from refgate.config.file import Located, Place, Problem, nearest

__all__ = ["at", "problem"]

_TAGS = ("embedded", "remote")


def at(place: Place, message: str) -> PydanticCustomError:
    """A problem of the whole that is best shown at one place in it."""
    return PydanticCustomError("placed", "{message}", {"message": message, "place": place})


def problem(error: Mapping[str, Any], root: type[BaseModel], located: Located, source: str) -> Problem:
    """One of pydantic's errors, of reading what was found into `root`."""
    loc: Place = tuple(error.get("ctx", {}).get("place", error["loc"]))
    if loc[:1] == ("billing",) and loc[1:2] and loc[1] in _TAGS:
        loc = (loc[0], *loc[2:])  # The tag of the union is no field of the file.
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"unknown field{nearest(str(loc[-1]), _fields_at(root, error['loc'][:-1]))}"
    elif error["type"] == "missing":
        message = "is missing"
    return Problem(source, located.line(loc), ".".join(map(str, loc)), message)


def _fields_at(root: type[BaseModel], place: Place) -> list[str]:
    """The names that a mapping at this place may have."""
    models: list[Any] = [root]
    for step in place:
        models = [inner for model in models for inner in _step(model, step)]
    return [
        field.alias or name
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
    ]


def _step(model: Any, step: str | int) -> list[Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            if step in (name, field.alias):
                return _plain(field.annotation)
        return [model] if step in _TAGS else []
    origin, arguments = typing.get_origin(model), typing.get_args(model)
    if origin is tuple:
        return _plain(arguments[0])
    return _plain(arguments[1]) if origin is dict else []


def _plain(annotation: Any) -> list[Any]:
    """The types an annotation allows, without `Annotated` and unions around them."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _plain(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for argument in typing.get_args(annotation) for one in _plain(argument)]
    return [annotation]
