"""OpenAI embeddings, in and out: the request between names of models, the answer read for its usage.

Vectors come as lists of numbers or as base64 of little-endian float32, as the caller asked; a provider of
the same protocol gives what was asked for, so the bytes pass (`passing`), and nothing is converted.
"""

from __future__ import annotations

from typing import Any

from refgate.dialects.canonical import Embeddings, Malformed
from refgate.dialects.faults import broken, failed, fault_in_body
from refgate.dialects.json_text import Fields, as_map, as_text
from refgate.dialects.spoken import Answer, Broke, Finish
from refgate.dialects.usage import read_embeddings

__all__ = ["read_answer", "read_request", "write_request"]

_INPUTS_MAX = 2048


def read_request(body: dict[str, Any]) -> Embeddings:
    """Raises Malformed or Untranslatable."""
    top = Fields(body, "")
    made = Embeddings(
        model=top.needed_text("model"),
        inputs=_inputs(top.any("input")),
        dimensions=top.count("dimensions", least=1),
        encoding="base64" if top.one_of("encoding_format", ("float", "base64")) == "base64" else "float",
        user=top.text("user"),
    )
    top.finish()
    return made


def _inputs(given: Any) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list) or not 0 < len(given) <= _INPUTS_MAX:
        raise Malformed("input", f"must be a string or a list of 1 to {_INPUTS_MAX}")
    if all(_is_token(one) for one in given):
        return (tuple(given),)
    made: list[str | tuple[int, ...]] = []
    for one in given:
        if isinstance(one, str):
            made.append(one)
        elif isinstance(one, list) and one and all(_is_token(token) for token in one):
            made.append(tuple(one))
        else:
            raise Malformed("input", "must hold strings, or token numbers")
    return tuple(made)


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def write_request(request: Embeddings, model: str) -> dict[str, Any]:
    """The body for a provider; `model` is its name there."""
    inputs = [list(one) if isinstance(one, tuple) else one for one in request.inputs]
    body: dict[str, Any] = {
        "model": model,
        "input": inputs[0] if len(inputs) == 1 else inputs,
        "encoding_format": request.encoding,
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    return body


def read_answer(body: Any) -> Answer | Broke:
    """What an embeddings answer cost; its vectors are not looked at."""
    usage = read_embeddings(as_map(body).get("usage"))
    fault = fault_in_body(body)
    if fault is not None:
        return failed(fault, usage)
    if not isinstance(body.get("data"), list) or not body["data"]:
        return failed(broken("the answer has no data"), usage)
    return Answer("", as_text(body.get("model")), (), Finish.STOP, usage)
