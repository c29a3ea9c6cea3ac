"""A provider's message stream, event by event → events.

Usage is cumulative and split: what `message_delta` says lies over what `message_start` said, and nulls say
nothing. The first output figure is provisional: a message that ends without another has no figures. A message
ends with `message_stop`; one without was cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from refgate.dialects.anthropic.answer import STOP_REASONS, tier_of
from refgate.dialects.faults import broken, fault_in_body, truncated
from refgate.dialects.json_text import as_map, as_text, dumps
from refgate.dialects.spoken import (
    Began,
    CallBegan,
    CallSaid,
    Done,
    Event,
    Finish,
    Metered,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
    Unmetered,
    Usage,
)
from refgate.dialects.sse import Frame
from refgate.dialects.usage import read_anthropic
from refgate.dialects.watch import Watch, parsed

__all__ = ["StreamReader"]


class StreamReader(Watch):
    """Reads a message stream."""

    def __init__(self) -> None:
        super().__init__()
        self._laid: dict[str, Any] = {}  # usage objects over each other
        self._counted_on = False  # the output was counted after the message began
        self._calls: dict[int, int] = {}  # index of a tool_use block -> number of the call
        self._inputs: dict[int, str] = {}  # arguments that came whole with the block's start
        self._spoke: set[int] = set()
        self._begun: set[int] = set()
        self._finish: Finish | None = None
        self._sequence: str | None = None

    def read(self, frame: Frame) -> list[Event]:
        said = parsed(frame)
        if said is None:
            return self.broke(broken("an event is not a JSON object")) if frame.closed else []
        fault = fault_in_body(said)
        if fault is not None:
            return self.broke(fault)
        index = said.get("index")
        number = index if isinstance(index, int) else -1
        match said.get("type"):
            case "message_start":
                return self._start(as_map(said.get("message")))
            case "content_block_start":
                return self._block(number, as_map(said.get("content_block")))
            case "content_block_delta":
                return self._delta(number, as_map(said.get("delta")))
            case "content_block_stop":
                return self._block_end(number)
            case "message_delta":
                self._ending(said)
            case "message_stop":
                self.over = True
        return []

    def closing(self) -> list[Event]:
        if not self.over:
            return self.broke(truncated())
        if self._finish is None:
            self.note("finish_missing")
        return [
            Done(
                self._finish or Finish.STOP,
                self._final(),
                self.model,
                self._sequence,
                self.service_tier,
                self.notes,
            )
        ]

    def _final(self) -> Metered:
        """All that was counted; nothing where the output was not counted once it had been said."""
        known = self.metered
        return Unmetered("missing") if isinstance(known, Usage) and not self._counted_on else known

    def _start(self, message: dict[str, Any]) -> list[Event]:
        self.served(message.get("model"), tier_of(message.get("usage")))
        self._lay(message.get("usage"))
        if self.began:
            return []
        self.began = True
        return [Began(as_text(message.get("id")), self.model)]

    def _lay(self, usage: Any) -> None:
        """Fields that come with a value replace the earlier ones; a stale split of cache writes goes."""
        if usage is None:
            return
        if not isinstance(usage, dict):
            self.counted(read_anthropic(usage))
            return
        fresh = {name: value for name, value in usage.items() if value is not None}
        written = fresh.get("cache_creation_input_tokens")
        if written is not None and written != self._laid.get("cache_creation_input_tokens"):
            self._laid.pop("cache_creation", None)
        self._laid |= fresh
        self.counted(read_anthropic(self._laid))

    def _block(self, index: int, block: dict[str, Any]) -> list[Event]:
        self._begun.add(index)
        match block.get("type"):
            case "tool_use":
                self._calls[index] = len(self._calls)
                if as_map(block.get("input")):
                    self._inputs[index] = dumps(block["input"])
                return [CallBegan(self._calls[index], as_text(block.get("id")), as_text(block.get("name")))]
            case "text" if as_text(block.get("text")):
                return [TextSaid(block["text"])]
            case "thinking" if as_text(block.get("thinking")):
                return [ThoughtSaid(block["thinking"])]
            case "redacted_thinking":
                return [ThoughtSigned(None, as_text(block.get("data")))]
            case "text" | "thinking":
                return []
        self.note("parts_left_out")
        return []

    def _delta(self, index: int, delta: dict[str, Any]) -> list[Event]:
        if index not in self._begun:
            return self.broke(broken("a piece came for a block that had not begun"))
        match delta.get("type"):
            case "text_delta" if as_text(delta.get("text")):
                return [TextSaid(delta["text"])]
            case "thinking_delta" if as_text(delta.get("thinking")):
                return [ThoughtSaid(delta["thinking"])]
            case "signature_delta" if as_text(delta.get("signature")):
                return [ThoughtSigned(delta["signature"])]
            case "input_json_delta" if as_text(delta.get("partial_json")) and index in self._calls:
                self._spoke.add(index)
                return [CallSaid(self._calls[index], delta["partial_json"])]
        return []

    def _block_end(self, index: int) -> list[Event]:
        """Arguments that never came in pieces came whole, or are empty: then they are `{}`."""
        if index not in self._calls or index in self._spoke:
            return []
        self._spoke.add(index)
        return [CallSaid(self._calls[index], self._inputs.get(index, "{}"))]

    def _ending(self, said: dict[str, Any]) -> None:
        delta = as_map(said.get("delta"))
        word = delta.get("stop_reason")
        if isinstance(word, str):
            if word not in STOP_REASONS:
                self.note("finish_unknown")
            self._finish = STOP_REASONS.get(word, Finish.STOP)
        if isinstance(delta.get("stop_sequence"), str):
            self._sequence = delta["stop_sequence"]
        usage = said.get("usage")
        if not self._counted_on and as_map(usage).get("output_tokens") is not None:
            self._counted_on = True
            if isinstance(self.usage, Usage):  # what was provisional bounds nothing
                self.usage = replace(self.usage, output=0, reasoning=0)
        self._lay(usage)
