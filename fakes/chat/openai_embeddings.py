"""OpenAI embeddings: vectors as base64 of little-endian floats or as lists, and usage with no output."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any, ClassVar

from fakes.asgi import Request
from fakes.chat.asked import Asked, Prompt, fields_of, nonce_in
from fakes.chat.dialect import View
from fakes.chat.openai import OpenAI
from fakes.chat.openai_chat import openai_models
from fakes.chat.tokens import Tokens
from fakes.chat.usage import UsageForm
from fakes.json_text import json_bytes

__all__ = ["OpenAIEmbeddings"]

_INPUTS_MAX = 2_048


class OpenAIEmbeddings(OpenAI):
    """`POST /v1/embeddings`."""

    name: ClassVar[str] = "openai_embeddings"
    usage_form: ClassVar = UsageForm("total_tokens", "prompt_tokens", None)

    def read(self, request: Request) -> Asked | None:
        if request.path != "/v1/embeddings" or request.method != "POST":
            return openai_models(request)
        fields = request.fields
        prompt = Prompt()
        inputs = _inputs(fields.get("input"), prompt)
        model, dimensions = fields.get("model"), fields.get("dimensions")
        refused, about = None, None
        if not isinstance(request.json, dict):
            refused = "not_json"
        elif not isinstance(model, str):
            refused, about = "parameters", "you must provide a model parameter"
        elif inputs is None:
            refused, about = "parameters", "'$.input' is invalid."
        elif dimensions is not None and not (isinstance(dimensions, int) and 0 < dimensions <= 4_096):
            refused, about = "parameters", "Invalid value: 'dimensions'."
        return Asked(
            op="embed",
            model=model if isinstance(model, str) else None,
            prompt=prompt,
            nonce=nonce_in(prompt, fields_of(fields.get("metadata")).get("nonce"), fields.get("nonce")),
            base64=fields.get("encoding_format") == "base64",
            dimensions=dimensions if isinstance(dimensions, int) else None,
            inputs=inputs or 1,
            refused=refused,
            about=about,
        )

    def usage(self, tokens: Tokens) -> dict[str, Any]:
        return {"prompt_tokens": tokens.input_total, "total_tokens": tokens.input_total}

    def whole(self, view: View) -> tuple[dict[str, Any], str | None]:
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(vector, view.asked.base64)}
            for index, vector in enumerate(view.vectors)
        ]
        usage = self.usage_field(view, view.tokens)
        shown = json_bytes(usage["usage"]).decode() if usage.get("usage") else None
        return {"object": "list", "data": data, "model": view.model, **usage}, shown


def _inputs(given: object, prompt: Prompt) -> int | None:
    """Counts the input: a text, a list of tokens, or a list of either; None where it is none of these."""
    if isinstance(given, str) and given:
        prompt.text(given)
        prompt.last_user = given
        return 1
    if not isinstance(given, list) or not 0 < len(given) <= _INPUTS_MAX:
        return None
    if all(isinstance(item, int) for item in given):
        prompt.tokens += len(given)
        return 1
    for item in given:
        if isinstance(item, str) and item:
            prompt.text(item)
            prompt.last_user += f"{item}\n"
        elif isinstance(item, list) and item and all(isinstance(token, int) for token in item):
            prompt.tokens += len(item)
        else:
            return None
    return len(given)


def _vector(vector: Sequence[float], as_base64: bool) -> str | list[float]:
    packed = struct.pack(f"<{len(vector)}f", *vector)
    if as_base64:
        return base64.b64encode(packed).decode()
    return list(struct.unpack(f"<{len(vector)}f", packed))
