"""A provider's chat completion stream, chunk by chunk → events.

Usage may come on any chunk: with the finish, after it, after [DONE], on every chunk (cumulative), null, or
twice; so `Done` waits for the bytes to end. A stream without a finish reason was cut, whatever it said.
"""

from __future__ import annotations

from typing import Any

from refgate.dialects.faults import broken, fault_in_body, truncated
from refgate.dialects.json_text import as_list, as_map, as_text
from refgate.dialects.openai_chat.answer import FINISH, made_call_id, text_of
from refgate.dialects.spoken import (
    Began,
    CallBegan,
    CallSaid,
    Done,
    Event,
    Finish,
    OtherSaid,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
)
from refgate.dialects.sse import Frame
from refgate.dialects.usage import read_openai_chat
from refgate.dialects.watch import Watch, parsed

__all__ = ["StreamReader"]


class StreamReader(Watch):
    """Reads a chat completion stream. The choice that speaks first is the answer; others are counted."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}  # the provider's index of a call -> ours
        self._id = ""
        self._main: int | None = None
        self._finished: dict[int, Finish | None] = {}  # each choice seen, and how it ended
        self._refused = False

    def sentinel(self) -> None:
        self.over = True

    def read(self, frame: Frame) -> list[Event]:
        chunk = parsed(frame)
        if chunk is None:
            return self.broke(broken("a chunk is not a JSON object")) if frame.closed else []
        fault = fault_in_body(chunk)
        if fault is not None:
            return self.broke(fault)
        self.served(chunk.get("model"), chunk.get("service_tier"))
        if chunk.get("usage") is not None:
            self.counted(read_openai_chat(chunk["usage"]))
        events: list[Event] = []
        if not self.began:
            self.began = True
            self._id = as_text(chunk.get("id"))
            events.append(Began(self._id, self.model))
        for one in as_list(chunk.get("choices")):
            events += self._choice(as_map(one))
        return events

    def closing(self) -> list[Event]:
        if not self._finished or None in self._finished.values():
            return self.broke(truncated())
        finish = self._finished[self._main or 0]
        if finish is Finish.STOP and self._calls:
            finish = Finish.TOOL_CALLS  # a call that was demanded by name ends with `stop`
        elif finish is Finish.STOP and self._refused:
            finish = Finish.REFUSAL
        return [
            Done(
                finish or Finish.STOP,
                self.metered,
                self.model,
                service_tier=self.service_tier,
                notes=self.notes,
            )
        ]

    def _choice(self, choice: dict[str, Any]) -> list[Event]:
        index = choice.get("index", 0)
        if isinstance(index, bool) or not isinstance(index, int):
            return self.broke(broken("a choice has no index"))
        if self._main is None:
            self._main = index
        self._finished.setdefault(index, None)
        delta = as_map(choice.get("delta"))
        events: list[Event] = []
        if index == self._main:
            events += self._delta(delta)
        elif said := text_of(delta):
            events.append(OtherSaid(index, said))
        word = choice.get("finish_reason")
        if isinstance(word, str):
            if word not in FINISH:
                self.note("finish_unknown")
            self._finished[index] = FINISH.get(word, Finish.STOP)
        return events

    def _delta(self, delta: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        thought = as_text(delta.get("reasoning_content")) or as_text(delta.get("reasoning"))
        if thought:
            events.append(ThoughtSaid(thought))
        if as_text(delta.get("content")):
            events.append(TextSaid(delta["content"]))
        if as_text(delta.get("refusal")):
            self._refused = True
            events.append(RefusalSaid(delta["refusal"]))
        for one in as_list(delta.get("tool_calls")):
            events += self._call(as_map(one))
        old = as_map(delta.get("function_call"))
        if old:
            events += self._call({"index": 0, "function": old})
        return events

    def _call(self, call: dict[str, Any]) -> list[Event]:
        """The id and name come once, the arguments in pieces, joined by index."""
        index = call.get("index", 0)
        function = as_map(call.get("function"))
        if isinstance(index, bool) or not isinstance(index, int):
            return self.broke(broken("a tool call has no index"))
        events: list[Event] = []
        if index not in self._calls:
            if not as_text(function.get("name")):
                return self.broke(broken("arguments came for a call that had not begun"))
            number = self._calls[index] = len(self._calls)
            call_id = as_text(call.get("id")) or made_call_id(self._id, number)
            events.append(CallBegan(number, call_id, function["name"]))
        if as_text(function.get("arguments")):
            events.append(CallSaid(self._calls[index], function["arguments"]))
        return events
