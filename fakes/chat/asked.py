"""What a chat request means, whatever its protocol, and how its input is counted.

A dialect reads its JSON into an `Asked`. The count is the same for the same words in any protocol: a
quarter of the bytes of each text, rounded up, four tokens a message, and a flat figure for an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

__all__ = [
    "IMAGE_TOKENS",
    "Asked",
    "Prompt",
    "at_least_one",
    "fields_of",
    "items_of",
    "model_named",
    "nonce_in",
]

IMAGE_TOKENS = 85
_MESSAGE_TOKENS = 4
_NONCE = re.compile(r"\bnonce:([A-Za-z0-9_.-]+)")


@dataclass
class Prompt:
    """The input of a request while it is read."""

    tokens: int = 0
    last_user: str = ""

    def message(self, role: str, *texts: str) -> None:
        self.tokens += _MESSAGE_TOKENS
        for text in texts:
            self.text(text)
        if role == "user":
            self.last_user = "\n".join(texts)

    def text(self, text: str) -> None:
        self.tokens += -(-len(text.encode("utf-8", "replace")) // 4)

    def image(self) -> None:
        self.tokens += IMAGE_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as its dialect understood it. `op` is a ChatOp.

    `refused` is the refusal it meets whatever the script says, `about` what that is to say.
    """

    op: str
    model: str | None = None
    stream: bool = False
    prompt: Prompt = field(default_factory=Prompt)
    nonce: str | None = None
    tokens_max: int | None = None
    choices: int = 1
    tools: tuple[str, ...] = ()
    tool_forced: str | None = None  # the tool that must be called: any of those offered, or one by name
    include_usage: bool = False
    obfuscated: bool = True
    as_array: bool = False  # a stream as one JSON array
    base64: bool = False
    dimensions: int | None = None
    inputs: int = 1  # texts to embed
    refused: str | None = None
    about: str | None = None


def fields_of(value: object) -> dict[str, Any]:
    """The object, or an empty one where there is none: a request may hold anything."""
    return value if isinstance(value, dict) else {}


def items_of(value: object) -> list[Any]:
    """The list, or an empty one where there is none."""
    return value if isinstance(value, list) else []


def at_least_one(value: object) -> bool:
    """Whether this is a whole number above zero; `true` is none."""
    return type(value) is int and value >= 1


def model_named(path: str) -> str | None:
    """The model of `/v1/models/{model}`, whose name may hold a slash; None for the whole listing."""
    return unquote(path.removeprefix("/v1/models").strip("/")) or None


def nonce_in(prompt: Prompt, *given: object) -> str | None:
    """The nonce of a request: given in its metadata, else `nonce:abc123` in its last user message."""
    for text in given:
        if isinstance(text, str) and text:
            return text
    found = _NONCE.search(prompt.last_user)
    return found.group(1) if found else None
