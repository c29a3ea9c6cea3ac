"""The protocols by name, and the vendors that speak several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fakes.chat.anthropic import Anthropic
from fakes.chat.dialect import ChatDialect
from fakes.chat.gemini import Gemini
from fakes.chat.openai_chat import OpenAIChat
from fakes.chat.openai_embeddings import OpenAIEmbeddings
from fakes.chat.openai_responses import OpenAIResponses

__all__ = ["CHAT_DIALECTS", "VENDORS", "dialects_named"]

CHAT_DIALECTS: Mapping[str, type[ChatDialect]] = {
    dialect.name: dialect for dialect in (Anthropic, Gemini, OpenAIChat, OpenAIResponses, OpenAIEmbeddings)
}

VENDORS: Mapping[str, tuple[str, ...]] = {"openai": ("openai_chat", "openai_responses", "openai_embeddings")}
"""A vendor's name stands for all its protocols."""


def dialects_named(names: str | Iterable[str]) -> tuple[ChatDialect, ...]:
    """The protocols of these names, each once and in order."""
    wanted: dict[str, None] = {}
    for name in (names,) if isinstance(names, str) else tuple(names):
        if name not in VENDORS and name not in CHAT_DIALECTS:
            raise ValueError(f"no dialect {name!r}: there are {', '.join((*VENDORS, *CHAT_DIALECTS))}")
        wanted |= dict.fromkeys(VENDORS.get(name, (name,)))
    if not wanted:
        raise ValueError("a provider speaks at least one dialect")
    return tuple(CHAT_DIALECTS[name]() for name in wanted)
